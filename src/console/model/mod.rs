//! What is on screen, as plain data: the snapshot shown and what the person has done to the view.
//!
//! The screens draw from it, `update` changes it. It knows neither keys nor terminal.

mod axis;
mod errand;
mod guide;
mod recovery;
mod rows;
mod silence;

use std::{collections::BTreeMap, sync::Arc};

use tui_input::Input;

pub use self::{
    axis::Axis,
    errand::{Calling, Errand, Question},
    guide::{Answering, GuideWish, Guides, Offered, Seat, Sheet, Shelf, Waiting},
    recovery::{RecoveryRow, RecoveryState, Section, line_of_time, recovery_rows},
    rows::{BackupRow, Row, Rows, backup_at, count, rows},
    silence::SilenceForm,
};
use super::input::keymap::Keymap;
use crate::{
    base::{clock::Stamp, text::Text},
    watch::snapshot::{Alert, Snapshot},
};

/// The screens, in the order of their keys. Figures that are left out belong to screens that are still to
/// come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Screen {
    /// Four panes: pools, breakers, alerts, backups.
    #[default]
    Overview,
    /// What could be brought back: backups, the WAL timeline, jobs, proofs.
    Recovery,
    /// What walks a person through.
    Guides,
}

impl Screen {
    /// All screens, in the order of their keys.
    pub const ALL: [Self; 3] = [Self::Overview, Self::Recovery, Self::Guides];

    /// Its name on its tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Recovery => "Recovery",
            Self::Guides => "Guides",
        }
    }

    /// The command that opens it.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Recovery => "recovery",
            Self::Guides => "guides",
        }
    }
}

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
    /// How the run of a guide stands, for whoever takes over.
    Handover,
    /// A line to answer a guide with.
    Answer(Answering),
    /// A command that is to be run, with the question whether.
    Question,
    /// The form with which an alert is silenced; its reason is typed.
    Silence,
}

impl Overlay {
    /// True while a line is being typed: letters are text then, not commands.
    pub const fn is_typing(self) -> bool {
        matches!(self, Self::Palette | Self::Filter | Self::Answer(_) | Self::Silence)
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
    /// The screen that is open.
    pub screen: Screen,
    /// The pane that has the keys.
    pub focus: Pane,
    /// The pane that fills the overview.
    pub zoom: Option<Pane>,
    /// The selected row of each pane, by the identity of its [`Row`], so that it stays the same thing
    /// when rows move. No entry: the first row.
    pub selected: BTreeMap<Pane, Text>,
    /// First check shown below the rows of the zoomed alerts.
    pub below: u16,
    /// What was done to the Recovery screen.
    pub recovery: RecoveryState,
    /// What lies over the panes.
    pub overlay: Overlay,
    /// What [`Overlay::Question`] asks.
    pub question: Option<Question>,
    /// What [`Overlay::Silence`] shows.
    pub silence: Option<SilenceForm>,
    /// First line shown of the help, detail or sources overlay.
    pub scroll: u16,
    /// The line being typed, in the palette or the filter: `value()` and `visual_cursor()`.
    pub line: Input,
    /// The chosen entry of the palette, counted from its first.
    pub choice: usize,
    /// Only rows that hold these words are shown; empty shows all.
    pub filter: String,
    /// The guides.
    pub guides: Guides,
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
    /// How howdah is called for the target that is shown.
    pub calling: Calling,
}

/// How much a frame had room for: what a page is, and where scrolling ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Rows that each pane can show, in the order of [`Pane::ALL`]; 0 for a pane that is not shown.
    pub rows: [u16; 4],
    /// Checks that are shown below the rows of the zoomed alerts, and how many there are.
    pub below: (u16, u16),
    /// Rows that each list of the Recovery screen can show, in the order of [`Section::ALL`].
    pub sections: [u16; 3],
    /// Cells of the line of time.
    pub line: u16,
    /// Lines of the overlay that are shown, and how many it has.
    pub overlay: (u16, u16),
    /// Lines of the guides' screen that are shown, and how many it has.
    pub guide: (u16, u16),
}

impl Model {
    /// True while a run of a guide fills the screen.
    pub fn in_run(&self) -> bool {
        self.state.screen == Screen::Guides && self.state.guides.sheet.is_some()
    }

    /// The rows of a pane as they are shown now.
    pub fn rows(&self, pane: Pane) -> Rows<'_> {
        rows(&self.snapshot, pane, &self.state.filter)
    }

    /// The selected row of the focused pane; none when the pane is empty.
    pub fn selected_row(&self) -> Option<Row> {
        let rows = self.rows(self.state.focus);
        rows.row(rows.selected(&self.state))
    }

    /// The selected alert, if alerts have the focus.
    pub fn selected_alert(&self) -> Option<&Alert> {
        if self.state.focus != Pane::Alerts {
            return None;
        }
        self.snapshot.alerts.get(self.selected_row()?.index)
    }

    /// What calls for a way out: the selected breaker or alert, on the Recovery screen the selected backup or the
    /// moment under the cursor; with none of these in sight, the worst alert.
    pub fn call(&self) -> Option<Call<'_>> {
        let alert = match self.state.focus {
            _ if self.state.screen == Screen::Recovery => {
                let call = self.state.recovery.call(&self.snapshot);
                if call.is_some() {
                    return call;
                }
                self.snapshot.alerts.first()?
            }
            Pane::Breakers => {
                let breaker = self.snapshot.breakers.get(self.selected_row()?.index)?;
                return Some(Call { check: "breaker_open", subject: &breaker.name });
            }
            Pane::Alerts => self.selected_alert()?,
            Pane::Pools | Pane::Backup => self.snapshot.alerts.first()?,
        };
        let subject = alert.subject.strip_prefix("pid ").unwrap_or(&alert.subject);
        Some(Call { check: &alert.check, subject })
    }
}

/// What a guide may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The health check that found it.
    pub check: &'a str,
    /// What it speaks of: the alert's subject, or the breaker's name. Of `pid 123` it is the number.
    pub subject: &'a str,
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
