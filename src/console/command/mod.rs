//! The one catalogue of commands. Key bar, help, palette, key file and the table in the README are all
//! made from it.

mod catalogue;
mod table;

pub use catalogue::CATALOGUE;
pub use table::markdown_table;

use crate::{
    base::text::Text,
    console::{
        input::keymap::{KeyError, KeySettings, Keymap, Preset},
        model::{Answering, Entry, Errand, Model, Overlay, Screen},
    },
};

/// Something that a person can do.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name in the key file, such as `retry-now`.
    pub id: &'static str,
    /// What the key bar and the palette call it.
    pub title: &'static str,
    /// What it does, one sentence.
    pub help: &'static str,
    /// The keys that it comes with; none means palette only.
    pub keys: &'static [&'static str],
    /// Whether the key bar shows it.
    pub in_bar: bool,
    /// The screens that it belongs to; none when it is of use on all.
    pub on: &'static [Screen],
    /// What it does.
    pub action: Action,
    /// Whether it can be used now, or why not.
    pub enabled: fn(&Model) -> Result<(), Text>,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave the console.
    Quit,
    /// Open or close the help.
    Help,
    /// Open the palette.
    Palette,
    /// Open the filter.
    Filter,
    /// One step back; never leaves the console.
    Back,
    /// Let the focused pane fill the screen; if it does, open the selected row.
    Open,
    /// Show everything known of the selected row.
    Detail,
    /// Show where the facts come from.
    Sources,
    /// Open a screen.
    Screen(Screen),
    /// Move the focus.
    Focus(Move),
    /// Move the selection, or scroll what lies over the panes.
    Select(Step),
    /// Let the screen stand still, or live again.
    Freeze,
    /// The next theme.
    Theme,
    /// Ask all sources at once, without waiting for their turn.
    RetryNow,
    /// Take the selected alert.
    Acknowledge,
    /// Let the selected alert wake nobody for a while.
    Silence,
    /// End the silence of the selected alert.
    EndSilence,
    /// Let the terminal report the mouse, or no longer.
    Mouse,
    /// Draw everything again.
    Redraw,
    /// Stop by job control.
    Suspend,
    /// Begin the guide that answers what is selected.
    GuideForAlert,
    /// In a run of a guide: to the step before.
    GuideBack,
    /// In a run of a guide: type this.
    GuideLine(Answering),
    /// In a run of a guide: show how it stands, for whoever takes over.
    Handover,
    /// Move the cursor on the line of time, or spread it out.
    Go(Go),
    /// Ask whether something is to be done to backups.
    Ask(Errand),
    /// Restore to the moment under the cursor.
    RestoreHere,
    /// Cause an incident on a demo target.
    Incident(&'static str),
}

impl Action {
    /// The heading that it stands under in the help.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Focus(_) | Self::Select(_) | Self::Open | Self::Back | Self::Screen(_) => "Move",
            Self::Help | Self::Palette | Self::Filter | Self::Detail | Self::Sources => "Find",
            Self::RetryNow
            | Self::Acknowledge
            | Self::Silence
            | Self::EndSilence
            | Self::GuideForAlert => "Act",
            Self::Go(_) | Self::Ask(_) | Self::RestoreHere => "Recovery",
            Self::Freeze | Self::Theme | Self::Mouse | Self::Redraw => "Screen",
            Self::Quit | Self::Suspend => "Leave",
            Self::GuideBack | Self::GuideLine(_) | Self::Handover => "In a guide",
            Self::Incident(_) => "Incidents of the demo",
        }
    }
}

/// Where the focus goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The next pane in reading order, around the end.
    Next,
    /// The previous pane, around the start.
    Previous,
    /// The pane on the left, if there is one.
    Left,
    /// The pane on the right, if there is one.
    Right,
}

/// Where the cursor on the line of time goes, and how it is spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Ten cells to the left.
    Earlier,
    /// Ten cells to the right.
    Later,
    /// To the end of the base backup before.
    BackupBefore,
    /// To the end of the next base backup; behind the last to the newest moment.
    BackupAfter,
    /// To the newest moment that can be restored, and on with it.
    Newest,
    /// A cell becomes less time.
    Closer,
    /// A cell becomes more time.
    Farther,
}

/// Where the selection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One up.
    Up,
    /// One down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
}

/// The commands that must keep a key, because the palette is not enough to reach them.
const NEEDED: [&str; 3] = ["quit", "back", "palette"];

/// The command of that id.
pub fn find(id: &str) -> Option<&'static Command> {
    CATALOGUE.iter().find(|command| command.id == id)
}

/// The keymap: the keys that the commands come with, changed by the person's settings. All that is wrong
/// is reported at once.
pub fn keymap(settings: &KeySettings) -> Result<Keymap, Vec<KeyError>> {
    let presets: Vec<Preset> =
        CATALOGUE.iter().map(|command| Preset { id: command.id, keys: command.keys }).collect();
    Keymap::new(&presets, settings, &NEEDED)
}

/// The command as it is shown now.
pub fn entry(command: &Command, model: &Model) -> Entry {
    Entry {
        id: command.id,
        group: command.action.group(),
        title: command.title,
        help: command.help,
        keys: model.keys.keys_of(command.id).iter().map(ToString::to_string).collect(),
        disabled: command.refused(model),
    }
}

/// All commands, for the help.
pub fn all(model: &Model) -> Vec<Entry> {
    CATALOGUE.iter().map(|command| entry(command, model)).collect()
}

/// The commands of the key bar, the most wanted first.
pub fn bar(model: &Model) -> Vec<Entry> {
    if model.in_run() {
        return bar_of_run(model);
    }
    let here = model.state.screen;
    let shown = |command: &&Command| command.in_bar && command.is_on(here);
    CATALOGUE.iter().filter(shown).map(|command| entry(command, model)).collect()
}

/// The commands of the key bar in a run of a guide, which says itself what Enter does. While an answer is typed
/// letters are letters.
fn bar_of_run(model: &Model) -> Vec<Entry> {
    let typing: &[(&str, &str)] = &[("open", "Take it"), ("back", "Not now")];
    let reading: &[(&str, &str)] = &[
        ("help", "Help"),
        ("back", "Back"),
        ("retry-now", "Look again"),
        ("guide-back", "Step back"),
        ("guide-skip", "Leave out"),
        ("guide-abort", "End here"),
        ("guide-pause", "Rest"),
        ("guide-handover", "Handover"),
        ("guide-note", "Note"),
        ("guide-todo", "TODO"),
    ];
    let types = matches!(model.state.overlay, Overlay::Answer(_));
    let named =
        |(id, title): &(&str, &'static str)| Some(Entry { title, ..entry(find(id)?, model) });
    if types { typing } else { reading }.iter().filter_map(named).collect()
}

/// The commands that open the screens.
pub fn screens(model: &Model) -> Vec<Entry> {
    let opens = |command: &&Command| matches!(command.action, Action::Screen(_));
    CATALOGUE.iter().filter(opens).map(|command| entry(command, model)).collect()
}

/// The commands that the palette finds for `words`: every word must stand in the title, the id or the
/// help. The closest come first: those whose name begins so, those whose name holds it, then the rest.
pub fn matching(model: &Model, words: &str) -> Vec<Entry> {
    let words = words.trim().to_lowercase();
    let mut found: Vec<(u8, &Command)> = CATALOGUE
        .iter()
        .filter_map(|command| Some((distance(command, &words)?, command)))
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().map(|(_, command)| entry(command, model)).collect()
}

/// How far a command is from what was typed: 0 when its name begins so, 1 when each word typed begins a word
/// of its name, 2 when it stands within the name, 3 when only the help has it; none when nothing has. So
/// `hang` is the incident before it is any other command's `change`.
fn distance(command: &Command, typed: &str) -> Option<u8> {
    let title = command.title.to_lowercase();
    let name = format!("{title} {}", command.id);
    let begins = |word: &str| name.split([' ', '-']).any(|part| part.starts_with(word));
    let each = |stands: &dyn Fn(&str) -> bool| typed.split_whitespace().all(stands);
    if title.starts_with(typed) || command.id.starts_with(typed) {
        Some(0)
    } else if each(&begins) {
        Some(1)
    } else if each(&|word| name.contains(word)) {
        Some(2)
    } else {
        let all = format!("{name} {}", command.help.to_lowercase());
        each(&|word| all.contains(word)).then_some(3)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_titles_are_unique_and_helps_are_sentences() {
        let ids: BTreeSet<_> = CATALOGUE.iter().map(|command| command.id).collect();
        let titles: BTreeSet<_> = CATALOGUE.iter().map(|command| command.title).collect();
        assert_eq!((ids.len(), titles.len()), (CATALOGUE.len(), CATALOGUE.len()));
        for command in CATALOGUE {
            assert!(command.help.ends_with('.'), "{}", command.id);
            assert!(command.title.len() <= 24, "{}", command.id);
        }
    }

    #[test]
    fn the_keys_that_commands_come_with_are_readable_and_unique() {
        let map = keymap(&KeySettings::new()).expect("a keymap without errors");
        for command in CATALOGUE {
            assert_eq!(map.keys_of(command.id).len(), command.keys.len(), "{}", command.id);
        }
    }

    #[test]
    fn no_key_needs_alt_or_a_function_key() {
        for key in CATALOGUE.iter().flat_map(|command| command.keys) {
            let key: crate::console::input::key::Key = key.parse().expect("a key");
            assert!(!key.mods().alt, "{key}");
            assert!(!matches!(key.code(), crate::console::input::key::Code::F(_)), "{key}");
        }
    }

    #[test]
    fn the_palette_finds_by_any_word_and_prefers_beginnings() {
        let model = Model::default();
        let found = matching(&model, "fr");
        assert_eq!(found[0].id, "freeze");
        for words in ["hang", "incident hang", "hang inc"] {
            assert_eq!(matching(&model, words)[0].id, "incident-hang", "{words}");
        }
        // In the help of the themes only, and still found.
        assert!(matching(&model, "hang").iter().any(|entry| entry.id == "theme"));
        assert!(matching(&model, "no such command").is_empty());
        assert_eq!(matching(&model, "").len(), CATALOGUE.len());
    }

    #[test]
    fn a_disabled_command_stays_visible_and_says_why() {
        let entry = matching(&Model::default(), "incident-hang").remove(0);
        assert_eq!(entry.disabled.as_deref(), Some("only on a target made by 'howdah demo'"));
    }
}
