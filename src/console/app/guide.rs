//! What keys do on the screen of the guides. Pure, as all of `update`.

use std::sync::Arc;

use super::{effects::Effect, update::stepped};
use crate::{
    console::{
        command::Step,
        model::{Answering, GuideWish, Model, Overlay, Screen, Seat, Sheet, Shelf},
    },
    guide::{page::Ask, spec::Grade, state::Input},
};

/// What the engine tells of the guides.
pub fn shelved(model: &mut Model, shelf: Arc<Shelf>) {
    let guides = &mut model.state.guides;
    if guides.shelf.is_empty() && guides.sheet.is_none() {
        guides.choice = shelf.first();
    }
    guides.shelf = shelf;
    clamp(model);
}

/// The page of the run that is open, or that it is left.
pub fn opened(model: &mut Model, sheet: Option<Arc<Sheet>>) {
    let guides = &mut model.state.guides;
    let before = guides.sheet.take();
    guides.sheet.clone_from(&sheet);
    let Some(sheet) = sheet else {
        guides.choice = guides.shelf.first();
        close_line(model);
        return;
    };
    if !sheet.asks_anew(before.as_deref()) {
        return;
    }
    guides.choice = sheet.page.chosen;
    guides.scroll = 0;
    // What was typed before the question stood there is thrown away.
    close_line(model);
    if sheet.is_typed()
        && model.state.overlay == Overlay::None
        && model.state.screen == Screen::Guides
    {
        begin_line(model, Answering::Answer);
    }
}

fn close_line(model: &mut Model) {
    model.state.guides.typed = None;
    if let Overlay::Answer(_) = model.state.overlay {
        model.state.overlay = Overlay::None;
        model.state.line.reset();
    }
}

/// Begins to type.
pub fn begin_line(model: &mut Model, what: Answering) {
    model.state.overlay = Overlay::Answer(what);
    model.state.line.reset();
    // Why the last answer was refused is past.
    if let Some(sheet) = model.state.guides.sheet.as_mut().filter(|sheet| sheet.refusal.is_some()) {
        Arc::make_mut(sheet).refusal = None;
    }
    let asked = model.state.guides.sheet.as_ref().map(|sheet| &sheet.page.ask);
    if let (Answering::Answer, Some(Ask::Enter(default))) = (what, asked) {
        model.state.line = default.to_string().into();
    }
}

/// Enter: begins or goes on with what is chosen, or answers the page.
pub fn enter(model: &mut Model) -> Vec<Effect> {
    let guides = &model.state.guides;
    let Some(sheet) = guides.sheet.clone() else {
        let choice = guides.choice;
        let shelf = Arc::clone(&guides.shelf);
        let wish = match shelf.runs.get(choice) {
            Some(run) => GuideWish::Resume(run.id.clone()),
            None => match shelf.guides.get(choice - shelf.runs.len().min(choice)) {
                Some(guide) => GuideWish::Begin(guide.id.clone(), Vec::new()),
                None => return Vec::new(),
            },
        };
        return vec![Effect::Guide(wish)];
    };
    match sheet.seat {
        Seat::Ours => {}
        Seat::Theirs(_) => return Vec::new(),
        Seat::Free => return vec![Effect::Guide(GuideWish::Resume(sheet.run.clone()))],
    }
    if sheet.page.rests.is_some() {
        return input(Input::Resume);
    }
    match &sheet.page.ask {
        Ask::Accept(_) => input(Input::Accept),
        Ask::Choose(_) => input(Input::Choose(guides.choice)),
        Ask::Confirm { grade: Grade::Mild, .. } => {
            input(Input::Confirm { typed: String::new(), reason: String::new() })
        }
        Ask::Enter(_) | Ask::Confirm { .. } => {
            begin_line(model, Answering::Answer);
            Vec::new()
        }
        Ask::Failed => input(Input::Again),
        Ask::Over => vec![Effect::Guide(GuideWish::Leave)],
        Ask::Wait(_) => Vec::new(),
    }
}

/// Enter, at the end of a line.
pub fn answer(model: &mut Model, what: Answering) -> Vec<Effect> {
    let line = model.state.line.value().trim().to_owned();
    let sheet = model.state.guides.sheet.as_ref();
    let expected = sheet.and_then(|sheet| sheet.page.ask.expects());
    match (what, expected) {
        (Answering::Answer, Some(expected)) if line != expected => {
            let refusal = format!("'{expected}' was not typed");
            return once_more(model, what, refusal);
        }
        (Answering::Answer, Some(_)) => {
            begin_line(model, Answering::Reason);
            model.state.guides.typed = Some(line);
            return Vec::new();
        }
        (Answering::Reason, _) if line.is_empty() => {
            return once_more(model, what, "a reason is needed".to_owned());
        }
        _ => {}
    }
    let typed = model.state.guides.typed.take();
    close_line(model);
    input(match what {
        Answering::Answer => Input::Enter(line),
        Answering::Reason => Input::Confirm { typed: typed.unwrap_or_default(), reason: line },
        Answering::Skip => Input::Skip(line),
        Answering::Pause => Input::Pause(line),
        Answering::Abort => Input::Abort(line),
        Answering::Note => Input::Note(line),
        Answering::Todo => Input::Todo(line),
    })
}

/// The line is typed once more, and why.
fn once_more(model: &mut Model, what: Answering, refusal: String) -> Vec<Effect> {
    begin_line(model, what);
    if let Some(sheet) = &mut model.state.guides.sheet {
        Arc::make_mut(sheet).refusal = Some(refusal.into());
    }
    Vec::new()
}

/// An input of the person's.
pub fn input(input: Input) -> Vec<Effect> {
    vec![Effect::Guide(GuideWish::Input(input))]
}

/// Moves the choice, or the page where nothing is to be chosen.
pub fn select(model: &mut Model, step: Step) {
    let room = model.room.guide;
    let guides = &mut model.state.guides;
    let count = match &guides.sheet {
        None => guides.shelf.len(),
        Some(sheet) => match &sheet.page.ask {
            Ask::Choose(options) if !matches!(step, Step::PageUp | Step::PageDown) => options.len(),
            _ => {
                let last = usize::from(room.1.saturating_sub(room.0));
                let page = usize::from(room.0.max(1));
                guides.scroll = stepped(guides.scroll.into(), step, page, last) as u16;
                return;
            }
        },
    };
    let page = usize::from(room.0.max(1));
    guides.choice = stepped(guides.choice, step, page, count.saturating_sub(1));
}

fn clamp(model: &mut Model) {
    let guides = &mut model.state.guides;
    if guides.sheet.is_none() {
        guides.choice = guides.choice.min(guides.shelf.len().saturating_sub(1));
    }
}
