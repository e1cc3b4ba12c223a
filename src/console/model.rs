//! What is on screen, as plain data: the snapshot shown and what the person has done to the view.
//!
//! The screens draw from it, `update` changes it. It knows neither keys nor terminal.

use std::{collections::BTreeMap, sync::Arc};

use tui_input::Input;

use super::input::keymap::Keymap;
use crate::{
    base::{clock::Stamp, text::Text},
    watch::snapshot::{
        Alert, Breaker, BreakerState, KeptBackup, Pool, PoolKind, RunningBackup, Snapshot,
    },
};

/// The panes of the overview, in reading order: two columns, two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pane {
    /// Connection pools, top left.
    #[default]
    Pools,
    /// Circuit breakers, top right.
    Breakers,
    /// Health alerts, bottom left.
    Alerts,
    /// Backup history, bottom right.
    Backup,
}

impl Pane {
    /// Its place in [`Pane::ALL`].
    pub const fn place(self) -> usize {
        self as usize
    }

    /// All panes, in reading order.
    pub const ALL: [Self; 4] = [Self::Pools, Self::Breakers, Self::Alerts, Self::Backup];

    /// The words on its border.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pools => "Pools",
            Self::Breakers => "Circuit breakers",
            Self::Alerts => "Health alerts",
            Self::Backup => "Backup history",
        }
    }
}

/// What lies over the panes and takes the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Nothing: keys go to the panes.
    #[default]
    None,
    /// All commands with their keys.
    Help,
    /// A line to find a command by its name.
    Palette,
    /// A line to narrow the rows down.
    Filter,
    /// Everything known of the selected row.
    Detail,
    /// Where the facts come from, and how fresh they are.
    Sources,
}

impl Overlay {
    /// True while a line is being typed: letters are text then, not commands.
    pub const fn is_typing(self) -> bool {
        matches!(self, Self::Palette | Self::Filter)
    }
}

/// How a passing message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something was done.
    Info,
    /// Something could not be done.
    Refusal,
}

/// A message that passes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// What it says.
    pub text: Text,
    /// How it is meant.
    pub tone: Tone,
    /// When it goes.
    pub until: Stamp,
}

/// What the person has done to the view.
#[derive(Clone, Debug, Default)]
pub struct UiState {
    /// The pane that has the keys.
    pub focus: Pane,
    /// The pane that fills the screen.
    pub zoom: Option<Pane>,
    /// The selected row of each pane, by the identity of its [`Row`], so that it stays the same thing
    /// when rows move. No entry: the first row.
    pub selected: BTreeMap<Pane, Text>,
    /// What lies over the panes.
    pub overlay: Overlay,
    /// First line shown of the help, detail or sources overlay.
    pub scroll: u16,
    /// The line being typed, in the palette or the filter: `value()` and `visual_cursor()`.
    pub line: Input,
    /// The chosen entry of the palette, counted from its first.
    pub choice: usize,
    /// Only rows that hold these words are shown; empty shows all.
    pub filter: String,
    /// Since when the screen stands still; the snapshot shown is the one of that moment.
    pub frozen: Option<Stamp>,
    /// A message that passes by.
    pub toast: Option<Toast>,
    /// The name of the theme.
    pub theme: String,
    /// The terminal reports the mouse to us, and no longer marks text for copying.
    pub mouse: bool,
}

/// Everything that a frame is drawn from, besides the time.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// What is shown; stands still while frozen.
    pub snapshot: Arc<Snapshot>,
    /// What is known.
    pub latest: Arc<Snapshot>,
    /// What the person has done to the view.
    pub state: UiState,
    /// Columns and rows of the screen.
    pub size: (u16, u16),
    /// Which key means which command.
    pub keys: Keymap,
    /// The names of the themes that can be chosen, in the order of choice.
    pub themes: Vec<String>,
    /// How much the last frame had room for.
    pub room: Room,
    /// The way to the terminal loses or garbles reports of the mouse, as Mosh does.
    pub mouse_garbled: bool,
}

/// How much a frame had room for: what a page is, and where scrolling ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Rows that each pane can show, in the order of [`Pane::ALL`]; 0 for a pane that is not shown.
    pub rows: [u16; 4],
    /// Lines of the overlay that are shown, and how many it has.
    pub overlay: (u16, u16),
}

impl Model {
    /// The rows of a pane as they are shown now.
    pub fn rows(&self, pane: Pane) -> Vec<Row> {
        rows(&self.snapshot, pane, &self.state.filter)
    }

    /// The selected row of the focused pane; none when the pane is empty.
    pub fn selected_row(&self) -> Option<Row> {
        let mut rows = self.rows(self.state.focus);
        let index = selected_index(&self.state, self.state.focus, &rows);
        (index < rows.len()).then(|| rows.swap_remove(index))
    }

    /// The selected alert, if alerts have the focus.
    pub fn selected_alert(&self) -> Option<&Alert> {
        if self.state.focus != Pane::Alerts {
            return None;
        }
        self.snapshot.alerts.get(self.selected_row()?.index)
    }
}

/// A command as it is shown in the key bar, the help and the palette.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the key file, such as `retry-now`.
    pub id: &'static str,
    /// The heading that it stands under in the help, such as `View`.
    pub group: &'static str,
    /// What the key bar and the palette call it.
    pub title: &'static str,
    /// What it does, one sentence.
    pub help: &'static str,
    /// Its keys as they are written, such as `q` and `ctrl-c`; empty when it is in the palette only.
    pub keys: Vec<String>,
    /// Why it cannot be used now.
    pub disabled: Option<Text>,
}

/// A row of a pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which thing it shows, the same for as long as the thing exists.
    pub id: Text,
    /// Where the thing stands in the snapshot's own list; for the backup pane see [`backup_rows`].
    pub index: usize,
}

/// The rows of a pane in the order in which they are shown: worst first, otherwise as the sources tell
/// them, and only those that hold all words of `filter`, whatever their case.
pub fn rows(snapshot: &Snapshot, pane: Pane, filter: &str) -> Vec<Row> {
    match pane {
        Pane::Pools => ordered(&snapshot.pools, pool_rank, pool_id, |pool| {
            holds(filter, &[&pool.name, &pool.source])
        }),
        Pane::Breakers => ordered(&snapshot.breakers, breaker_rank, breaker_id, |breaker| {
            holds(filter, &[&breaker.name, &breaker.source, breaker.state.word()])
        }),
        Pane::Alerts => ordered(
            &snapshot.alerts,
            |_| 0,
            alert_id,
            |alert| {
                holds(filter, &[alert.severity.word(), &alert.check, &alert.subject, &alert.detail])
            },
        ),
        Pane::Backup => {
            backup_rows(snapshot).into_iter().filter(|row| holds(filter, &[&row.id])).collect()
        }
    }
}

/// The rows of the backup pane: `archiver` (index 0), then `running/PID` for each base backup under way
/// (from index 2), `backup/ID` for each one in the repository, newest first, and at the end, because it
/// says least, `repository` (index 1). What an index means tells [`backup_at`].
pub fn backup_rows(snapshot: &Snapshot) -> Vec<Row> {
    let fixed = [Text::ours("archiver"), Text::ours("repository")];
    let running =
        snapshot.backup.running.iter().map(|backup| Text::from(format!("running/{}", backup.pid)));
    let kept = snapshot.backup.repository.value().into_iter().flat_map(|kept| &kept.backups);
    let kept = kept.map(|backup| Text::from(format!("backup/{}", backup.id)));
    let ids = fixed.into_iter().chain(running).chain(kept);
    let mut rows: Vec<Row> = ids.enumerate().map(|(index, id)| Row { id, index }).collect();
    let repository = rows.remove(1);
    rows.push(repository);
    rows
}

/// The thing in a row of the backup pane.
#[derive(Clone, Copy, Debug)]
pub enum BackupRow<'a> {
    /// The server's archiver.
    Archiver,
    /// The repository.
    Repository,
    /// A base backup under way.
    Running(&'a RunningBackup),
    /// A backup in the repository.
    Kept(&'a KeptBackup),
}

/// What a row of [`backup_rows`] shows, by its index.
pub fn backup_at(snapshot: &Snapshot, index: usize) -> Option<BackupRow<'_>> {
    let running = &snapshot.backup.running;
    Some(match index {
        0 => BackupRow::Archiver,
        1 => BackupRow::Repository,
        _ if index - 2 < running.len() => BackupRow::Running(running.get(index - 2)?),
        _ => {
            let kept = snapshot.backup.repository.value()?;
            BackupRow::Kept(kept.backups.get(index - 2 - running.len())?)
        }
    })
}

/// The place of the selected row among `rows`; the first when the selected thing is gone.
pub fn selected_index(state: &UiState, pane: Pane, rows: &[Row]) -> usize {
    let wanted = state.selected.get(&pane);
    rows.iter().position(|row| Some(&row.id) == wanted).unwrap_or(0)
}

fn ordered<T>(
    things: &[T],
    rank: impl Fn(&T) -> u8,
    id: impl Fn(&T) -> Text,
    shown: impl Fn(&T) -> bool,
) -> Vec<Row> {
    let mut rows: Vec<(u8, Row)> = things
        .iter()
        .enumerate()
        .filter(|(_, thing)| shown(thing))
        .map(|(index, thing)| (rank(thing), Row { id: id(thing), index }))
        .collect();
    rows.sort_by_key(|(rank, _)| *rank);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn pool_rank(pool: &Pool) -> u8 {
    // The console's own connection is always in use: that is its work.
    let full = pool.kind != PoolKind::Own && pool.share().unwrap_or(0.0) >= 1.0;
    u8::from(pool.waiting.unwrap_or(0) == 0 && !full)
}

fn breaker_rank(breaker: &Breaker) -> u8 {
    match breaker.state {
        BreakerState::Open | BreakerState::ForcedOpen => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Unknown => 2,
        BreakerState::Disabled | BreakerState::MetricsOnly => 3,
        BreakerState::Closed => 4,
    }
}

fn pool_id(pool: &Pool) -> Text {
    Text::from(format!("{}/{}", pool.source, pool.name))
}

fn breaker_id(breaker: &Breaker) -> Text {
    Text::from(format!("{}/{}", breaker.source, breaker.name))
}

fn alert_id(alert: &Alert) -> Text {
    alert.id.clone()
}

fn holds(filter: &str, parts: &[&str]) -> bool {
    if filter.is_empty() {
        return true;
    }
    let all = parts.join(" ").to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| all.contains(word))
}
