//! Lines that are typed: the palette's, the filter's, an answer, a reason.

use tui_input::InputRequest;

use super::{
    effects::Effect,
    guide, silence,
    update::{open, run, say},
};
use crate::{
    base::{
        clock::Stamp,
        text::{Text, clean, is_unsafe},
    },
    console::{
        command::{self, Step},
        input::key::{Code, Key},
        model::{Model, Overlay, Tone},
    },
};

/// Characters that a typed line may have.
const LINE: usize = 200;

/// A key while a line is typed: it is text, or ends it.
pub(super) fn key(model: &mut Model, key: Key, now: Stamp) -> Vec<Effect> {
    if model.state.overlay == Overlay::Silence {
        match key.code() {
            Code::Enter => return silence::send(model, now),
            _ if silence::takes(model, key) => return Vec::new(),
            _ => {}
        }
    }
    let palette = model.state.overlay == Overlay::Palette;
    let answering = match model.state.overlay {
        Overlay::Answer(what) => Some(what),
        _ => None,
    };
    match key.code() {
        Code::Esc => {
            if model.state.overlay == Overlay::Filter {
                model.state.filter.clear();
            }
            open(model, Overlay::None);
        }
        Code::Enter if palette => return choose(model, now),
        Code::Enter => match answering {
            Some(what) => return guide::answer(model, what),
            None => open(model, Overlay::None),
        },
        Code::Up if palette => model.state.choice = model.state.choice.saturating_sub(1),
        Code::Down if palette => {
            let last = command::matching(model, model.state.line.value()).len().saturating_sub(1);
            model.state.choice = (model.state.choice + 1).min(last);
        }
        Code::Tab if palette => complete(model),
        Code::PageUp | Code::PageDown if answering.is_some() => {
            let down = key.code() == Code::PageDown;
            guide::select(model, if down { Step::PageDown } else { Step::PageUp });
        }
        _ => {
            if let Some(request) = editing(key) {
                edit(model, request);
            }
        }
    }
    Vec::new()
}

fn choose(model: &mut Model, now: Stamp) -> Vec<Effect> {
    let found = command::matching(model, model.state.line.value());
    let Some(entry) = found.get(model.state.choice) else { return Vec::new() };
    if let Some(reason) = &entry.disabled {
        // The palette stays open: the person sees the reason and chooses again.
        say(model, Text::from(format!("{}: {reason}", entry.title)), Tone::Refusal, now);
        return Vec::new();
    }
    open(model, Overlay::None);
    run(model, entry.id, now)
}

fn complete(model: &mut Model) {
    let found = command::matching(model, model.state.line.value());
    if let Some(entry) = found.get(model.state.choice) {
        model.state.line = entry.title.to_lowercase().into();
        model.state.choice = 0;
    }
}

/// Line editing as readline has it.
fn editing(key: Key) -> Option<InputRequest> {
    let mods = key.mods();
    Some(match (key.code(), mods.ctrl, mods.alt) {
        (Code::Char(c), false, false) if !is_unsafe(c) => InputRequest::InsertChar(c),
        (Code::Backspace, false, false) | (Code::Char('h'), true, false) => {
            InputRequest::DeletePrevChar
        }
        (Code::Delete, false, false) | (Code::Char('d'), true, false) => {
            InputRequest::DeleteNextChar
        }
        (Code::Left, false, false) | (Code::Char('b'), true, false) => InputRequest::GoToPrevChar,
        (Code::Right, false, false) | (Code::Char('f'), true, false) => InputRequest::GoToNextChar,
        (Code::Left, true, _) | (Code::Char('b'), false, true) => InputRequest::GoToPrevWord,
        (Code::Right, true, _) | (Code::Char('f'), false, true) => InputRequest::GoToNextWord,
        (Code::Home, ..) | (Code::Char('a'), true, false) => InputRequest::GoToStart,
        (Code::End, ..) | (Code::Char('e'), true, false) => InputRequest::GoToEnd,
        (Code::Char('w'), true, false) | (Code::Backspace, _, true) => InputRequest::DeletePrevWord,
        (Code::Char('u'), true, false) => InputRequest::DeleteLine,
        (Code::Char('k'), true, false) => InputRequest::DeleteTillEnd,
        (Code::Char('y'), true, false) => InputRequest::Yank,
        _ => return None,
    })
}

fn edit(model: &mut Model, request: InputRequest) {
    let grows = matches!(request, InputRequest::InsertChar(_) | InputRequest::Yank);
    if grows && model.state.line.value().chars().count() >= LINE {
        return;
    }
    model.state.line.handle(request);
    typed(model);
}

fn typed(model: &mut Model) {
    model.state.choice = 0;
    if model.state.overlay == Overlay::Filter {
        model.state.filter = model.state.line.value().to_owned();
    }
}

/// A paste is text and nothing else: outside a line it is dropped, inside it never presses Enter.
pub(super) fn paste(model: &mut Model, text: &str) {
    if !model.state.overlay.is_typing() {
        return;
    }
    let room = LINE.saturating_sub(model.state.line.value().chars().count());
    for c in clean(text).chars().take(room) {
        model.state.line.handle(InputRequest::InsertChar(c));
    }
    typed(model);
}
