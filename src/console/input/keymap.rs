//! Which key means which command: the defaults, changed by the person's own `[keys]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::key::{Key, NotAKey};
use crate::base::text::{clean, nearest};

/// The section `[keys]` of a configuration: command id to key or keys, such as `quit = ["q", "ctrl-c"]`.
/// A command that is named there has these keys and no others; an empty list leaves it to the palette.
pub type KeySettings = BTreeMap<String, Keys>;

/// One key or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Keys {
    /// One key.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Keys {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

/// A command and the keys it comes with.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The command's id.
    pub id: &'static str,
    /// Its keys as they are written.
    pub keys: &'static [&'static str],
}

/// Which key means which command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap {
    commands: BTreeMap<Key, &'static str>,
    keys: BTreeMap<&'static str, Vec<Key>>,
}

/// What is wrong with a key setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No command has that id.
    #[error("there is no command '{name}'{}", nearest.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default())]
    UnknownCommand {
        /// What was written.
        name: String,
        /// The id that looks most like it.
        nearest: Option<&'static str>,
    },
    /// The text names no key.
    #[error("command '{command}': {source}")]
    Unreadable {
        /// The command it stands at.
        command: &'static str,
        /// What was written.
        source: NotAKey,
    },
    /// One key is given to two commands.
    #[error("the key '{key}' is given to both '{first}' and '{second}'")]
    Duplicate {
        /// The key.
        key: Key,
        /// One command.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// No key is left for a command that one must be able to reach.
    #[error("no key is left for '{0}'")]
    Unreachable(&'static str),
}

impl Keymap {
    /// The keys of `defaults`, changed by `settings`. A key that a setting takes for one command is lost
    /// to the command that had it by default. Every command of `needed` must keep a key. All that is wrong
    /// is reported at once.
    pub fn new(
        defaults: &[Preset],
        settings: &KeySettings,
        needed: &[&'static str],
    ) -> Result<Self, Vec<KeyError>> {
        let mut map = Self::default();
        let mut errors = Vec::new();
        for (name, keys) in settings {
            let Some(default) = defaults.iter().find(|default| default.id == name) else {
                errors.push(unknown(name, defaults));
                continue;
            };
            map.keys.entry(default.id).or_default();
            for text in keys.texts() {
                if let Err(error) = map.bind(default.id, text) {
                    errors.push(error);
                }
            }
        }
        let chosen: Vec<&str> = map.keys.keys().copied().collect();
        let taken: Vec<Key> = map.commands.keys().copied().collect();
        for default in defaults.iter().filter(|default| !chosen.contains(&default.id)) {
            for text in default.keys {
                if text.parse().is_ok_and(|key| taken.contains(&key)) {
                    continue;
                }
                if let Err(error) = map.bind(default.id, text) {
                    errors.push(error);
                }
            }
        }
        for id in needed.iter().filter(|id| map.keys_of(id).is_empty()) {
            errors.push(KeyError::Unreachable(id));
        }
        if errors.is_empty() { Ok(map) } else { Err(errors) }
    }

    fn bind(&mut self, id: &'static str, text: &str) -> Result<(), KeyError> {
        let key: Key =
            text.parse().map_err(|source| KeyError::Unreadable { command: id, source })?;
        match self.commands.insert(key, id) {
            Some(first) if first != id => Err(KeyError::Duplicate { key, first, second: id }),
            Some(_) => Ok(()),
            None => {
                self.keys.entry(id).or_default().push(key);
                Ok(())
            }
        }
    }

    /// The command that this key means.
    pub fn command(&self, key: Key) -> Option<&'static str> {
        self.commands.get(&key).copied()
    }

    /// The keys of a command, the first one first.
    pub fn keys_of(&self, id: &str) -> &[Key] {
        self.keys.get(id).map_or(&[], Vec::as_slice)
    }
}

fn unknown(name: &str, defaults: &[Preset]) -> KeyError {
    let nearest = nearest(name, defaults.iter().map(|default| default.id));
    KeyError::UnknownCommand { name: clean(name).into_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: [Preset; 3] = [
        Preset { id: "quit", keys: &["q", "ctrl-c"] },
        Preset { id: "help", keys: &["?"] },
        Preset { id: "freeze", keys: &["f", "space"] },
    ];

    fn map(toml: &str) -> Result<Keymap, Vec<KeyError>> {
        let settings: KeySettings = toml::from_str(toml).expect("readable TOML");
        Keymap::new(&DEFAULTS, &settings, &["quit"])
    }

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let map = map("").expect("a keymap");
        assert_eq!(map.command(key("ctrl-c")), Some("quit"));
        assert_eq!(map.keys_of("freeze"), [key("f"), key("space")]);
        assert_eq!(map.command(key("x")), None);
    }

    #[test]
    fn a_setting_replaces_all_keys_of_its_command() {
        let map = map("quit = 'Q'\nhelp = ['f1', 'h']").expect("a keymap");
        assert_eq!(map.command(key("q")), None);
        assert_eq!(map.keys_of("quit"), [key("Q")]);
        assert_eq!(map.command(key("f1")), Some("help"));
    }

    #[test]
    fn a_setting_takes_a_default_key_away() {
        let map = map("help = 'f'").expect("a keymap");
        assert_eq!(map.command(key("f")), Some("help"));
        assert_eq!(map.keys_of("freeze"), [key("space")]);
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let errors = map("help = 'x'\nfreeze = 'x'").expect_err("a duplicate");
        assert_eq!(errors[0].to_string(), "the key 'x' is given to both 'freeze' and 'help'");
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        let errors = map("freez = 'x'\nzzz = 'y'").expect_err("unknown commands");
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["there is no command 'freez'; did you mean 'freeze'?", "there is no command 'zzz'",]
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let errors = map("help = 'hyper-x'\nquit = []").expect_err("two errors");
        assert!(matches!(errors[0], KeyError::Unreadable { command: "help", .. }), "{errors:?}");
        assert_eq!(errors[1], KeyError::Unreachable("quit"));
    }

    #[test]
    fn quit_cannot_lose_its_last_key() {
        assert_eq!(
            map("help = ['q', 'ctrl-c']").expect_err("no way out"),
            [KeyError::Unreachable("quit")]
        );
    }
}
