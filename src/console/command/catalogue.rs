//! The commands themselves.

use super::{Action, Command, Go, Move, Step};
use crate::{
    base::text::Text,
    console::model::{Answering, Errand, Model, Overlay, Pane, Screen, Seat, line_of_time},
    watch::snapshot::{AlertState, Environment, Reach},
};

/// Every command, in the order of the help; the key bar takes the same order.
#[rustfmt::skip]
pub const CATALOGUE: &[Command] = &[
    bar("quit", "Quit", "Leave the console.", &["q", "ctrl-c"], Action::Quit),
    bar("help", "Help", "Show all commands with their keys.", &["?"], Action::Help),
    bar("palette", "Command", "Find a command by its name.", &[":"], Action::Palette),
    bar("way-out", "Way out", "Begin the guide that answers what is selected: an alert, a breaker, a failed backup, a gap; else the worst alert.", &["w"], Action::GuideForAlert)
        .on(&[Screen::Overview, Screen::Recovery]).when(has_way_out),
    bar("filter", "Filter", "Show only rows that hold the words you type.", &["/"], Action::Filter)
        .on(&[Screen::Overview]),
    bar("back-up", "Back up", "Take a backup of the data folder now, as a job.", &["B"], Action::Ask(Errand::Physical))
        .on(&[Screen::Recovery]).when(can_back_up),
    bar("verify", "Verify", "Verify the selected backup, as a job.", &["V"], Action::Ask(Errand::Verify))
        .on(&[Screen::Recovery]).when(can_verify),
    bar("prove", "Prove", "Restore the selected backup into a scratch cluster and measure, as a job.", &["P"], Action::Ask(Errand::Prove))
        .on(&[Screen::Recovery]).when(can_prove),
    bar("restore-here", "Restore", "Restore to the moment under the cursor.", &["R"], Action::RestoreHere)
        .on(&[Screen::Recovery]).when(can_restore_here),
    bar("open", "Open", "Let the pane fill the screen; then open the selected row.", &["enter"], Action::Open)
        .when(can_open),
    bar("back", "Back", "Go one step back; never leaves the console.", &["esc"], Action::Back)
        .when(can_go_back),
    bar("next-pane", "Next pane", "Move to the next pane or list.", &["tab"], Action::Focus(Move::Next)),
    bar("freeze", "Freeze", "Let the screen stand still, or live again.", &["f", "space"], Action::Freeze),
    bar("acknowledge", "Acknowledge", "Take the selected alert: it is yours now.", &["a"], Action::Acknowledge)
        .on(&[Screen::Overview])
        .when(can_acknowledge),
    bar("silence", "Silence", "Let the selected alert wake nobody for a while, with a reason.", &["z"], Action::Silence)
        .on(&[Screen::Overview]).when(can_silence),
    bar("retry-now", "Retry now", "Ask all sources now, without waiting for their turn.", &["r"], Action::RetryNow),
    more("end-silence", "End silence", "Let the selected alert that is silenced speak again.", &["Z"], Action::EndSilence)
        .on(&[Screen::Overview]).when(can_end_silence),
    more("detail", "Detail", "Show everything known of the selected row.", &["d"], Action::Detail).when(has_detail),
    more("sources", "Sources", "Show where the facts come from and how old they are.", &["s"], Action::Sources),
    more("overview", "Overview", "Show the four panes.", &["1"], Action::Screen(Screen::Overview)),
    more("recovery", "Recovery", "Show backups, the WAL timeline, jobs and proofs.", &["3"], Action::Screen(Screen::Recovery)),
    more("guides", "Guides", "Show what walks you through.", &["5"], Action::Screen(Screen::Guides)),
    more("previous-pane", "Previous pane", "Move to the previous pane or list.", &["shift-tab"], Action::Focus(Move::Previous)),
    more("pane-left", "Left", "Move to the pane on the left; on the WAL timeline one cell back.", &["left", "h"], Action::Focus(Move::Left)),
    more("pane-right", "Right", "Move to the pane on the right; on the WAL timeline one cell on.", &["right", "l"], Action::Focus(Move::Right)),
    more("much-earlier", "Much earlier", "Go ten cells back on the WAL timeline.", &["shift-left", "H"], Action::Go(Go::Earlier))
        .on(&[Screen::Recovery]).when(has_line),
    more("much-later", "Much later", "Go ten cells on, on the WAL timeline.", &["shift-right", "L"], Action::Go(Go::Later))
        .on(&[Screen::Recovery]).when(has_line),
    more("backup-before", "Base backup before", "Go to the base backup before, on the WAL timeline.", &["["], Action::Go(Go::BackupBefore))
        .on(&[Screen::Recovery]).when(has_line),
    more("backup-after", "Next base backup", "Go to the next base backup on the WAL timeline; behind the last to the newest moment.", &["]"], Action::Go(Go::BackupAfter))
        .on(&[Screen::Recovery]).when(has_line),
    more("newest", "Newest moment", "Go to the newest moment that can be restored, and on with it.", &["N"], Action::Go(Go::Newest))
        .on(&[Screen::Recovery]).when(has_line),
    more("closer", "Closer", "Spread the WAL timeline out around the cursor.", &["+", "="], Action::Go(Go::Closer))
        .on(&[Screen::Recovery]).when(has_line),
    more("farther", "Farther", "Draw the WAL timeline together.", &["-"], Action::Go(Go::Farther))
        .on(&[Screen::Recovery]).when(has_line),
    more("back-up-logical", "Back up the database", "Take a backup of the target's database as statements and rows, as a job.", &[], Action::Ask(Errand::Logical))
        .on(&[Screen::Recovery]).when(can_back_up_logically),
    more("up", "Up", "Select the row above.", &["up", "k"], Action::Select(Step::Up)),
    more("down", "Down", "Select the row below.", &["down", "j"], Action::Select(Step::Down)),
    more("page-up", "Page up", "Go one page up.", &["page-up", "ctrl-u"], Action::Select(Step::PageUp)),
    more("page-down", "Page down", "Go one page down.", &["page-down", "ctrl-d"], Action::Select(Step::PageDown)),
    more("first", "First row", "Go to the first row.", &["home", "g"], Action::Select(Step::First)),
    more("last", "Last row", "Go to the last row.", &["end", "G"], Action::Select(Step::Last)),
    more("theme", "Next theme", "Change the colours; the choice is kept.", &["T"], Action::Theme).when(has_themes),
    more("mouse", "Mouse", "Let the wheel scroll; marking text for copying then needs Shift.", &["m"], Action::Mouse)
        .when(can_use_mouse),
    more("redraw", "Redraw", "Draw everything again.", &["ctrl-l"], Action::Redraw),
    more("suspend", "Suspend", "Stop the console; 'fg' brings it back.", &["ctrl-z"], Action::Suspend),
    more("guide-back", "Step back", "In a guide: go back to the step before.", &["b"], Action::GuideBack).when(in_run),
    more("guide-skip", "Leave out", "In a guide: leave this step out, with a reason.", &["o"], Action::GuideLine(Answering::Skip))
        .when(in_run),
    more("guide-note", "Note", "In a guide: write a word into its record.", &["n"], Action::GuideLine(Answering::Note))
        .when(in_run),
    more("guide-todo", "TODO", "In a guide: write into its record what is still to be done.", &["t"], Action::GuideLine(Answering::Todo))
        .when(in_run),
    more("guide-handover", "Handover note", "In a guide: show how it stands, for whoever takes over.", &["i"], Action::Handover)
        .when(has_run),
    more("guide-pause", "Rest", "In a guide: let it rest; nothing can be confirmed meanwhile.", &["p"], Action::GuideLine(Answering::Pause))
        .when(in_run),
    more("guide-abort", "End here", "In a guide: end it, with a reason; what was done is told.", &["x"], Action::GuideLine(Answering::Abort))
        .when(in_run),
    incident("incident-stop", "Incident: stop", "Stop the demo's server.", "stop"),
    incident("incident-kill", "Incident: kill", "Kill the demo's server, as a crash does.", "kill"),
    incident("incident-hang", "Incident: hang", "Let the demo's server hang (SIGSTOP).", "hang"),
    incident("incident-resume", "Incident: resume", "Let the demo's server run again.", "resume"),
    incident("incident-pool-exhausted", "Incident: pool exhausted", "Use up the connections of the demo's applications.", "pool-exhausted"),
    incident("incident-long-lock", "Incident: long lock", "Hold a lock that the demo's applications wait for.", "long-lock"),
    incident("incident-slow-queries", "Incident: slow queries", "Make the demo's statements slow.", "slow-queries"),
    incident("incident-archive-fails", "Incident: archive fails", "Let the demo's archive command fail.", "archive-fails"),
    incident("incident-archive-hangs", "Incident: archive hangs", "Let the demo's archive command hang.", "archive-hangs"),
    incident("incident-corrupt-backup", "Incident: corrupt backup", "Flip one bit in the demo's newest backup.", "corrupt-backup"),
    incident("incident-corrupt-wal", "Incident: corrupt WAL", "Flip one bit in a WAL segment of the demo's archive.", "corrupt-wal"),
    incident("incident-missing-wal", "Incident: missing WAL", "Take a WAL segment out of the demo's archive.", "missing-wal"),
    incident("incident-drop-table", "Incident: drop table", "Drop the demo's table customers.", "drop-table"),
    incident("incident-disk-full", "Incident: disk full", "Fill the disk of the demo's repository.", "disk-full"),
    incident("incident-clear", "Incident: clear", "End every incident of the demo.", "clear"),
];

const fn bar(
    id: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    action: Action,
) -> Command {
    Command { id, title, help, keys, in_bar: true, on: &[], action, enabled: always }
}

const fn more(
    id: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    action: Action,
) -> Command {
    Command { in_bar: false, ..bar(id, title, help, keys, action) }
}

const fn incident(
    id: &'static str,
    title: &'static str,
    help: &'static str,
    name: &'static str,
) -> Command {
    more(id, title, help, &[], Action::Incident(name)).when(is_demo)
}

impl Command {
    /// Of use on these screens alone.
    const fn on(self, screens: &'static [Screen]) -> Self {
        Self { on: screens, ..self }
    }

    /// True when it is of use on that screen.
    pub fn is_on(&self, screen: Screen) -> bool {
        self.on.is_empty() || self.on.contains(&screen)
    }

    /// Why it cannot be used now, if it cannot.
    pub fn refused(&self, model: &Model) -> Option<Text> {
        if self.is_on(model.state.screen) {
            return (self.enabled)(model).err();
        }
        let screens: Vec<&str> = self.on.iter().map(|screen| screen.title()).collect();
        Some(Text::from(format!("it belongs to the screen {}", screens.join(" or "))))
    }

    const fn when(self, enabled: fn(&Model) -> Result<(), Text>) -> Self {
        Self { enabled, ..self }
    }
}

const fn only(condition: bool, otherwise: &'static str) -> Result<(), Text> {
    if condition { Ok(()) } else { Err(Text::ours(otherwise)) }
}

#[expect(clippy::unnecessary_wraps, reason = "every condition has this form")]
const fn always(_: &Model) -> Result<(), Text> {
    Ok(())
}

/// The detail of the alerts goes on with all checks, so that there is always something to read.
fn has_detail(model: &Model) -> Result<(), Text> {
    match model.state.screen {
        Screen::Overview => {}
        // Below what is known of a row stands what could be brought back: there is always that.
        Screen::Recovery => return Ok(()),
        Screen::Guides => return Err(Text::ours("a guide shows all that it has")),
    }
    let checks = model.state.focus == Pane::Alerts && !model.snapshot.checks.is_empty();
    only(checks || model.selected_row().is_some(), "the pane has no row")
}

fn can_open(model: &Model) -> Result<(), Text> {
    if model.state.overlay == Overlay::Question || model.state.screen == Screen::Guides {
        return Ok(());
    }
    let shut = model.state.screen == Screen::Overview && model.state.zoom.is_none();
    if shut { Ok(()) } else { has_detail(model) }
}

fn can_go_back(model: &Model) -> Result<(), Text> {
    let state = &model.state;
    let somewhere = state.overlay != Overlay::None
        || !state.filter.is_empty()
        || state.zoom.is_some()
        || state.screen != Screen::Overview
        || state.frozen.is_some();
    only(somewhere, "this is the first screen")
}

fn can_acknowledge(model: &Model) -> Result<(), Text> {
    only(model.state.focus == Pane::Alerts, "select an alert first")?;
    let alert = model.selected_alert().ok_or(Text::ours("there is no alert"))?;
    match alert.state {
        AlertState::Firing => Ok(()),
        AlertState::Acked => Err(Text::ours("somebody has taken it already")),
        AlertState::Pending => Err(Text::ours("it does not fire yet")),
        AlertState::Resolving => Err(Text::ours("its cause is gone already")),
    }
}

fn can_silence(model: &Model) -> Result<(), Text> {
    only(model.state.focus == Pane::Alerts, "select an alert first")?;
    only(model.selected_alert().is_some(), "there is no alert")
}

fn can_end_silence(model: &Model) -> Result<(), Text> {
    can_silence(model)?;
    let silenced = model.selected_alert().is_some_and(|alert| alert.silenced.is_some());
    only(silenced, "the selected alert is not silenced")
}

fn has_way_out(model: &Model) -> Result<(), Text> {
    let call = model.call().ok_or(Text::ours("there is nothing to answer"))?;
    only(model.state.guides.shelf.answer(call.check).is_some(), "no guide answers this")
}

fn has_run(model: &Model) -> Result<(), Text> {
    only(model.in_run(), "open a guide first")
}

fn in_run(model: &Model) -> Result<(), Text> {
    let sheet = model.state.guides.sheet.as_ref().filter(|_| model.state.screen == Screen::Guides);
    let sheet = sheet.ok_or(Text::ours("open a guide first"))?;
    only(sheet.seat == Seat::Ours, "somebody else drives this run: you look on")
}

fn has_line(model: &Model) -> Result<(), Text> {
    let bases = line_of_time(&model.snapshot).is_some_and(|line| !line.bases.is_empty());
    only(bases, "there is no base backup to begin at")
}

fn can_back_up(model: &Model) -> Result<(), Text> {
    model.words(Errand::Physical).map(drop)
}

fn can_back_up_logically(model: &Model) -> Result<(), Text> {
    model.words(Errand::Logical).map(drop)
}

fn can_verify(model: &Model) -> Result<(), Text> {
    model.words(Errand::Verify).map(drop)
}

fn can_prove(model: &Model) -> Result<(), Text> {
    model.words(Errand::Prove).map(drop)
}

/// The line below the cursor says more.
fn can_restore_here(model: &Model) -> Result<(), Text> {
    has_line(model)?;
    let moment = model.state.recovery.moment(&model.snapshot);
    let reach = moment.zip(line_of_time(&model.snapshot)).map(|(at, line)| line.reach(at));
    match reach {
        Some(Reach::From { .. }) => Ok(()),
        Some(Reach::Beyond(_)) => Err(Text::ours("that moment is not archived yet")),
        Some(_) => Err(Text::ours("that moment cannot be restored")),
        None => Err(Text::ours("no moment is known")),
    }
}

fn has_themes(model: &Model) -> Result<(), Text> {
    only(model.themes.len() > 1, "there is no other theme")
}

fn can_use_mouse(model: &Model) -> Result<(), Text> {
    only(!model.mouse_garbled, "Mosh garbles what a mouse reports")
}

fn is_demo(model: &Model) -> Result<(), Text> {
    let demo = model.snapshot.target.environment == Environment::Demo;
    only(demo, "only on a target made by 'howdah demo'")
}
