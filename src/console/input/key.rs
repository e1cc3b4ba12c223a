//! A key press, and how it is written: `q`, `G`, `?`, `ctrl-c`, `shift-tab`, `page-down`, `space`.

use std::{fmt, str::FromStr};

use crate::base::text::is_unsafe;

/// A key press. Made by [`Key::new`] or parsed, so that one press has one form only: a shifted letter is
/// the capital letter, and a letter with Ctrl is the small letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    code: Code,
    mods: Mods,
}

/// What was pressed, without the modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, 1 to 24.
    F(u8),
}

/// What was held down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mods {
    /// Ctrl.
    pub ctrl: bool,
    /// Alt.
    pub alt: bool,
    /// Shift.
    pub shift: bool,
}

impl Mods {
    /// Nothing held down.
    pub const NONE: Self = Self { ctrl: false, alt: false, shift: false };
}

/// The names of the keys that are not characters one can see.
const NAMES: [(&str, Code); 15] = [
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("backspace", Code::Backspace),
    ("delete", Code::Delete),
    ("insert", Code::Insert),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("home", Code::Home),
    ("end", Code::End),
    ("page-up", Code::PageUp),
    ("page-down", Code::PageDown),
    ("space", Code::Char(' ')),
];

impl Key {
    /// The one form of this press.
    pub fn new(code: Code, mods: Mods) -> Self {
        let Code::Char(c) = code else { return Self { code, mods } };
        let c = if mods.ctrl {
            single(c.to_lowercase()).unwrap_or(c)
        } else if mods.shift {
            single(c.to_uppercase()).unwrap_or(c)
        } else {
            c
        };
        Self { code: Code::Char(c), mods: Mods { shift: false, ..mods } }
    }

    /// A press without modifiers.
    pub fn plain(code: Code) -> Self {
        Self::new(code, Mods::NONE)
    }

    /// What was pressed.
    pub const fn code(self) -> Code {
        self.code
    }

    /// What was held down; never Shift for a character.
    pub const fn mods(self) -> Mods {
        self.mods
    }

    /// The character that this press types into a line.
    pub const fn typed(self) -> Option<char> {
        match self.code {
            Code::Char(c) if !self.mods.ctrl && !self.mods.alt => Some(c),
            _ => None,
        }
    }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    if chars.next().is_none() { first } else { None }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held =
            [(self.mods.ctrl, "ctrl-"), (self.mods.alt, "alt-"), (self.mods.shift, "shift-")];
        for (_, name) in held.into_iter().filter(|(held, _)| *held) {
            f.write_str(name)?;
        }
        match (NAMES.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Code::F(n)) => write!(f, "f{n}"),
            (None, Code::Char(c)) => write!(f, "{c}"),
            // Every other code has a name.
            (None, _) => Err(fmt::Error),
        }
    }
}

/// A text that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a key; keys are written like 'q', 'ctrl-c', 'shift-tab', 'page-down', 'f5'")]
pub struct NotAKey(pub String);

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut mods = Mods::NONE;
        let mut rest = text;
        loop {
            let (flag, after) = if let Some(after) = rest.strip_prefix("ctrl-") {
                (&mut mods.ctrl, after)
            } else if let Some(after) = rest.strip_prefix("alt-") {
                (&mut mods.alt, after)
            } else if let Some(after) = rest.strip_prefix("shift-") {
                (&mut mods.shift, after)
            } else {
                break;
            };
            if std::mem::replace(flag, true) {
                return Err(NotAKey(crate::base::text::clean(text).into_owned()));
            }
            rest = after;
        }
        let code = named(rest)
            .or_else(|| {
                single(rest.chars()).filter(|c| !is_unsafe(*c) && *c != ' ').map(Code::Char)
            })
            .ok_or_else(|| NotAKey(crate::base::text::clean(text).into_owned()))?;
        Ok(Self::new(code, mods))
    }
}

fn named(name: &str) -> Option<Code> {
    if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*code);
    }
    let n = name.strip_prefix('f')?.parse().ok().filter(|n| (1..=24).contains(n))?;
    (!name.starts_with("f0") && !name.starts_with("f+")).then_some(Code::F(n))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_code() -> impl Strategy<Value = Code> {
        prop_oneof![
            any::<char>()
                .prop_filter("a key types no control", |c| !is_unsafe(*c))
                .prop_map(Code::Char),
            (0..NAMES.len()).prop_map(|i| NAMES[i].1),
            (1_u8..=24).prop_map(Code::F),
        ]
    }

    fn any_key() -> impl Strategy<Value = Key> {
        (any_code(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(code, ctrl, alt, shift)| Key::new(code, Mods { ctrl, alt, shift }))
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_again(key in any_key()) {
            prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in any::<String>()) {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key));
            }
        }
    }

    #[test]
    fn keys_read_as_people_write_them() {
        let ctrl = Mods { ctrl: true, ..Mods::NONE };
        let shift = Mods { shift: true, ..Mods::NONE };
        for (text, key) in [
            ("q", Key::plain(Code::Char('q'))),
            ("G", Key::plain(Code::Char('G'))),
            ("shift-g", Key::plain(Code::Char('G'))),
            ("ctrl-C", Key::new(Code::Char('c'), ctrl)),
            ("shift-tab", Key::new(Code::Tab, shift)),
            ("-", Key::plain(Code::Char('-'))),
            ("ctrl--", Key::new(Code::Char('-'), ctrl)),
            ("f", Key::plain(Code::Char('f'))),
            ("f12", Key::plain(Code::F(12))),
            ("space", Key::plain(Code::Char(' '))),
        ] {
            assert_eq!(text.parse::<Key>(), Ok(key), "{text}");
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for text in
            ["", " ", "ctrl-", "ctrl-ctrl-a", "f0", "f25", "f01", "entr", "ab", "\u{1b}", "\n"]
        {
            assert!(text.parse::<Key>().is_err(), "{text:?}");
        }
        assert!(!"\u{1b}[".parse::<Key>().expect_err("no key").to_string().contains('\u{1b}'));
    }

    #[test]
    fn only_plain_characters_type() {
        let typed = |text: &str| text.parse::<Key>().expect("a key").typed();
        assert_eq!(typed("x"), Some('x'));
        assert_eq!(typed("space"), Some(' '));
        assert_eq!(typed("ctrl-x"), None);
        assert_eq!(typed("alt-x"), None);
        assert_eq!(typed("enter"), None);
    }
}
