//! What a message does to the model. Pure: what has to happen outside is returned.

use std::{sync::Arc, time::Duration};

use super::{
    effects::{Effect, Told},
    guide, recovery, silence, typing,
};
use crate::{
    base::{clock::Stamp, text::Text},
    console::{
        command::{self, Action, Move, Step},
        input::key::Key,
        model::{GuideWish, Model, Overlay, Pane, Screen, Toast, Tone},
    },
    guide::state::Input,
    watch::snapshot::Snapshot,
};

/// How long a passing message stays.
const TOAST: Duration = Duration::from_secs(4);
/// A message that stood this long has been seen: the next key takes it away, because it stands where the
/// keys are told.
const SEEN: Duration = Duration::from_millis(300);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted in one piece.
    Paste(String),
    /// The wheel was turned; true is down.
    Wheel(bool),
    /// The screen has this size now.
    Resized(u16, u16),
    /// There is a new snapshot.
    Snapshot(Arc<Snapshot>),
    /// The engine says something.
    Told(Told),
    /// A second has passed.
    Tick,
}

/// Changes the model; returns what has to happen outside.
pub fn update(model: &mut Model, msg: Msg, now: Stamp) -> Vec<Effect> {
    model.state.toast.take_if(|toast| toast.until <= now);
    match msg {
        Msg::Key(key) => return press(model, key, now),
        Msg::Paste(text) => typing::paste(model, &text),
        Msg::Wheel(down) => select(model, if down { Step::Down } else { Step::Up }),
        Msg::Resized(columns, rows) => model.size = (columns, rows),
        Msg::Snapshot(snapshot) => {
            if model.state.frozen.is_none() {
                model.snapshot = Arc::clone(&snapshot);
            }
            model.latest = snapshot;
        }
        Msg::Told(Told::Notice(notice)) => say(model, notice.text, notice.tone, now),
        Msg::Told(Told::Shelf(shelf)) => guide::shelved(model, shelf),
        Msg::Told(Told::Sheet(sheet)) => guide::opened(model, sheet),
        // Ages are counted when drawn.
        Msg::Tick => {}
    }
    Vec::new()
}

pub(super) fn say(model: &mut Model, text: Text, tone: Tone, now: Stamp) {
    model.state.toast = Some(Toast { text, tone, until: now.plus(TOAST) });
}

fn press(model: &mut Model, key: Key, now: Stamp) -> Vec<Effect> {
    model.state.toast.take_if(|toast| toast.until.since(now) <= TOAST.saturating_sub(SEEN));
    let meant = model.keys.command(key).and_then(command::find);
    if model.state.overlay.is_typing() {
        // While a line is typed only what cannot be text is a command, and only leaving is one.
        match meant {
            Some(command) if command.action == Action::Quit && key.typed().is_none() => {
                return vec![Effect::Quit];
            }
            _ => return typing::key(model, key, now),
        }
    }
    meant.map_or_else(Vec::new, |command| run(model, command.id, now))
}

/// Runs the command of that id, or says why it cannot be used now.
pub fn run(model: &mut Model, id: &str, now: Stamp) -> Vec<Effect> {
    let Some(command) = command::find(id) else { return Vec::new() };
    if let Some(reason) = command.refused(model) {
        // A step back from nowhere is not worth a word: Esc is pressed to be sure.
        if command.action != Action::Back {
            let text = Text::from(format!("{}: {reason}", command.title));
            say(model, text, Tone::Refusal, now);
        }
        return Vec::new();
    }
    act(model, command.action, now)
}

fn act(model: &mut Model, action: Action, now: Stamp) -> Vec<Effect> {
    match action {
        Action::Quit => return vec![Effect::Quit],
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend],
        Action::RetryNow if model.in_run() => return guide::input(Input::Again),
        Action::GuideForAlert => {
            let shelf = &model.state.guides.shelf;
            let call =
                model.call().and_then(|call| Some((shelf.answer(call.check)?, call.subject)));
            let Some((guide, subject)) = call else { return Vec::new() };
            let offered = guide.subject.iter().map(|name| (name.to_string(), subject.to_owned()));
            let begin = GuideWish::Begin(guide.id.clone(), offered.collect());
            show(model, Screen::Guides);
            return vec![Effect::Guide(begin)];
        }
        Action::GuideBack => return guide::input(Input::Back),
        Action::GuideLine(what) => guide::begin_line(model, what),
        Action::RetryNow => {
            say(model, Text::ours("Asking all sources now."), Tone::Info, now);
            return vec![Effect::RetryNow];
        }
        Action::Acknowledge => return acknowledge(model),
        Action::Silence => silence::ask(model),
        Action::EndSilence => return silence::end(model),
        Action::Incident(name) => return vec![Effect::Incident(name)],
        Action::Theme => return next_theme(model, now),
        Action::Mouse => {
            model.state.mouse = !model.state.mouse;
            let told = if model.state.mouse {
                "Mouse: on. To mark text for copying, hold Shift."
            } else {
                "Mouse: off. Marking text is the terminal's again."
            };
            say(model, Text::ours(told), Tone::Info, now);
            return vec![Effect::Mouse(model.state.mouse)];
        }
        Action::Help => toggle(model, Overlay::Help),
        Action::Sources => toggle(model, Overlay::Sources),
        Action::Handover => toggle(model, Overlay::Handover),
        Action::Detail => toggle(model, Overlay::Detail),
        Action::Palette => {
            open(model, Overlay::Palette);
            model.state.line.reset();
            model.state.choice = 0;
        }
        Action::Filter => {
            open(model, Overlay::Filter);
            model.state.line = model.state.filter.clone().into();
        }
        Action::Back if leaves_run(model) => return vec![Effect::Guide(GuideWish::Leave)],
        Action::Back => back(model),
        Action::Open if model.state.overlay == Overlay::Question => {
            let since = model.state.question.as_ref().map_or(now, |question| question.since);
            if now.since(since) >= SEEN {
                let effects = recovery::answer(model);
                open(model, Overlay::None);
                return effects;
            }
        }
        Action::Go(to) => recovery::go(model, to),
        Action::Ask(errand) => recovery::ask(model, errand, now),
        Action::RestoreHere => return restore_here(model),
        // What is not in sight is not answered.
        Action::Open if model.in_run() && model.state.overlay != Overlay::None => back(model),
        Action::Open if model.state.screen == Screen::Guides => return guide::enter(model),
        Action::Open => match model.state.zoom {
            _ if model.state.screen != Screen::Overview => toggle(model, Overlay::Detail),
            // More is known of backups than a pane could hold.
            None if model.state.focus == Pane::Backup => show(model, Screen::Recovery),
            None => {
                model.state.zoom = Some(model.state.focus);
                model.state.below = 0;
            }
            Some(_) => toggle(model, Overlay::Detail),
        },
        Action::Screen(screen) => {
            show(model, screen);
            if screen == Screen::Guides {
                return vec![Effect::Guide(GuideWish::List)];
            }
        }
        Action::Focus(to) => focus(model, to),
        Action::Select(step) => select(model, step),
        Action::Freeze => freeze(model, now),
    }
    Vec::new()
}

/// Begins the guide that brings a cluster back, with the moment under the cursor as the one that is wanted.
fn restore_here(model: &mut Model) -> Vec<Effect> {
    let Some(at) = model.state.recovery.moment(&model.snapshot) else { return Vec::new() };
    let moment = at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let offered = [("lost", "cluster".to_owned()), ("moment", moment)];
    let offered = offered.map(|(name, value)| (name.to_owned(), value)).to_vec();
    show(model, Screen::Guides);
    vec![Effect::Guide(GuideWish::Begin(Text::ours("restore"), offered))]
}

/// True when the next step back leaves the run.
fn leaves_run(model: &Model) -> bool {
    model.in_run() && model.state.overlay == Overlay::None
}

fn acknowledge(model: &Model) -> Vec<Effect> {
    model.selected_alert().map(|alert| Effect::Acknowledge(alert.id.clone())).into_iter().collect()
}

fn next_theme(model: &mut Model, now: Stamp) -> Vec<Effect> {
    let at = model.themes.iter().position(|name| *name == model.state.theme);
    let next = at.map_or(0, |at| at + 1) % model.themes.len().max(1);
    let Some(name) = model.themes.get(next).cloned() else { return Vec::new() };
    model.state.theme.clone_from(&name);
    say(model, Text::from(format!("Theme: {name}")), Tone::Info, now);
    vec![Effect::SaveTheme(name)]
}

pub(super) fn open(model: &mut Model, overlay: Overlay) {
    if overlay != Overlay::Question {
        model.state.question = None;
    }
    if overlay != Overlay::Silence {
        model.state.silence = None;
    }
    model.state.overlay = overlay;
    model.state.scroll = 0;
}

fn toggle(model: &mut Model, overlay: Overlay) {
    let same = model.state.overlay == overlay;
    open(model, if same { Overlay::None } else { overlay });
}

/// Opens a screen as it was left; the overview with its four panes.
fn show(model: &mut Model, screen: Screen) {
    open(model, Overlay::None);
    model.state.screen = screen;
    if screen == Screen::Overview {
        model.state.zoom = None;
    }
}

/// The newest thing goes first: overlay, screen, filter, zoom, freeze.
fn back(model: &mut Model) {
    let state = &mut model.state;
    if state.overlay != Overlay::None {
        open(model, Overlay::None);
    } else if state.screen != Screen::Overview {
        state.screen = Screen::Overview;
    } else if !state.filter.is_empty() {
        state.filter.clear();
    } else if state.zoom.is_some() {
        state.zoom = None;
    } else if state.frozen.is_some() {
        thaw(model);
    }
}

fn freeze(model: &mut Model, now: Stamp) {
    if model.state.frozen.is_some() {
        thaw(model);
    } else {
        model.state.frozen = Some(now);
    }
}

fn thaw(model: &mut Model) {
    model.state.frozen = None;
    model.snapshot = Arc::clone(&model.latest);
}

fn focus(model: &mut Model, to: Move) {
    match model.state.screen {
        Screen::Overview => {}
        Screen::Recovery => return recovery::focus(model, to),
        Screen::Guides => return,
    }
    let at = model.state.focus.place();
    // The pane of the backups does not fill the overview: it has a screen of its own.
    let count = if model.state.zoom.is_some() { Pane::Backup.place() } else { Pane::ALL.len() };
    // Two columns, filled row by row.
    let next = match to {
        Move::Next => (at + 1) % count,
        Move::Previous => (at + count - 1) % count,
        Move::Left => at - at % 2,
        Move::Right => at - at % 2 + 1,
    };
    model.state.focus = Pane::ALL.get(next.min(count - 1)).copied().unwrap_or_default();
    if let Some(zoomed) = &mut model.state.zoom {
        *zoomed = model.state.focus;
    }
}

fn select(model: &mut Model, step: Step) {
    if model.state.overlay != Overlay::None {
        let (shown, lines) = model.room.overlay;
        let last = usize::from(lines.saturating_sub(shown));
        let to = stepped(model.state.scroll.into(), step, shown.max(1).into(), last);
        model.state.scroll = to as u16;
        return;
    }
    match model.state.screen {
        Screen::Overview => {}
        Screen::Recovery => return recovery::select(model, step, stepped),
        Screen::Guides => return guide::select(model, step),
    }
    if scrolls_below(model, step) {
        return;
    }
    let pane = model.state.focus;
    let jump = model.room.rows.get(pane.place()).copied().unwrap_or(0).max(1);
    let rows = model.rows(pane);
    let from = rows.selected(&model.state);
    if let Some(row) = rows.row(stepped(from, step, jump.into(), rows.len().saturating_sub(1))) {
        model.state.selected.insert(pane, row.id);
    }
}

/// Below the zoomed alerts stand all checks, as one list with them: who goes on beyond the last alert moves
/// the checks, and who comes back moves them first. True when they took the step.
fn scrolls_below(model: &mut Model, step: Step) -> bool {
    if model.state.zoom != Some(Pane::Alerts) {
        return false;
    }
    let (shown, lines) = model.room.below;
    let rows = model.rows(Pane::Alerts);
    let at_end = rows.selected(&model.state) + 1 >= rows.len();
    let takes = match step {
        Step::Down | Step::PageDown | Step::Last => at_end,
        Step::Up | Step::PageUp | Step::First => model.state.below > 0,
    };
    if takes {
        let last = usize::from(lines.saturating_sub(shown));
        let to = stepped(model.state.below.into(), step, shown.max(1).into(), last);
        model.state.below = to as u16;
    }
    // To the first is to the first of all.
    takes && step != Step::First
}

/// Where a step leads from a place, between the first and the last.
pub(super) const fn stepped(from: usize, step: Step, page: usize, last: usize) -> usize {
    let to = match step {
        Step::Up => from.saturating_sub(1),
        Step::Down => from.saturating_add(1),
        Step::PageUp => from.saturating_sub(page),
        Step::PageDown => from.saturating_add(page),
        Step::First => 0,
        Step::Last => last,
    };
    if to > last { last } else { to }
}
