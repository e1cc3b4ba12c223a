//! Theme files: TOML by meaning, with a parent.
//!
//! ```toml
//! about = "Calm colours on a dark ground"
//! parent = "ansi"
//!
//! [palette]
//! rose = "#f7768e"
//! amber = { rgb = "#e69f00", ansi = "yellow" }
//!
//! [styles]
//! critical = "rose bold"
//! identity-production = "white on rose bold"
//! ```
//!
//! A style is written as `[colour] [on colour] [bold|dim|italic|underline|reverse ...]`, or `plain`. What a
//! theme does not say comes from its parent; without one, from `ansi`.

use std::{collections::BTreeMap, io};

use ratatui::style::{Color, Modifier, Style};
use thiserror::Error;
use toml::{Table, Value};

use super::{Depth, Meaning};
use crate::base::text::nearest;

const COLOURS: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

const ATTRIBUTES: [(&str, Modifier); 6] = [
    ("plain", Modifier::empty()),
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underline", Modifier::UNDERLINED),
    ("reverse", Modifier::REVERSED),
];

const SECTIONS: [&str; 4] = ["about", "parent", "palette", "styles"];

/// What is wrong with a theme. Each names the file and the key.
#[derive(Debug, Error)]
pub enum ThemeError {
    /// The file cannot be read.
    #[error("theme '{file}' cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("theme '{file}' is not valid TOML: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// The parser's words.
        why: String,
    },
    /// A key that means nothing.
    #[error("theme '{file}': unknown key '{key}'{}", hint(near.as_deref()))]
    UnknownKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The nearest key that there is.
        near: Option<String>,
    },
    /// A value that is not a string, or not a style.
    #[error("theme '{file}': key '{key}': '{word}' is neither a colour nor an attribute{}", hint(near.as_deref()))]
    UnknownWord {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The word of its value that was not understood.
        word: String,
        /// The nearest word that there is.
        near: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("theme '{file}': key '{key}' must be {wanted}")]
    WrongKind {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The parents go round in a circle.
    #[error("theme '{name}': its parents lead back to itself")]
    Circle {
        /// The theme.
        name: String,
    },
    /// There is no theme of that name.
    #[error("there is no theme '{name}'{}", hint(near.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The nearest name that there is.
        near: Option<String>,
    },
    /// The theme needs more colours than the terminal has.
    #[error(
        "theme '{name}' needs 24-bit colour, and this terminal does not announce it (COLORTERM=truecolor)"
    )]
    TooDeep {
        /// The theme.
        name: String,
    },
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default()
}

/// A colour for terminals with 24 bits, and one for those with 16 colours.
#[derive(Clone, Copy, Debug)]
struct Ink {
    full: Color,
    ansi: Option<Color>,
}

/// A style as written, with the colours for both depths.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brush {
    fg: Option<Ink>,
    bg: Option<Ink>,
    attributes: Modifier,
}

impl Brush {
    /// The style for a terminal of that depth.
    pub(super) fn style(self, depth: Depth) -> Style {
        let colour = |ink: Ink| match depth {
            Depth::Rgb => ink.full,
            Depth::None | Depth::Ansi16 => ink.ansi.unwrap_or(ink.full),
        };
        Style {
            fg: self.fg.map(colour),
            bg: self.bg.map(colour),
            add_modifier: self.attributes,
            ..Style::new()
        }
    }
}

/// A theme file as it was read; its parent is only named.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) parent: Option<String>,
    /// By the place of their meaning in [`Meaning::ALL`].
    pub(super) brushes: BTreeMap<usize, Brush>,
}

/// Reads a theme file; `file` is what errors call it.
pub(super) fn sheet(name: &str, file: &str, text: &str) -> Result<Sheet, ThemeError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| ThemeError::Syntax {
        file: file.to_owned(),
        why: error.message().to_owned(),
    })?;
    if let Some(key) = table.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        return Err(unknown_key(file, key, SECTIONS));
    }
    let parent = table.get("parent").map(|value| string(file, "parent", value)).transpose()?;
    if let Some(about) = table.get("about") {
        string(file, "about", about)?;
    }
    let mut palette = BTreeMap::new();
    for (key, value) in section(file, "palette", &table)? {
        palette.insert(key.as_str(), ink(file, key, value)?);
    }
    let mut brushes = BTreeMap::new();
    for (key, value) in section(file, "styles", &table)? {
        let Some(meaning) = Meaning::ALL.iter().find(|meaning| meaning.key() == key) else {
            return Err(unknown_key(file, key, Meaning::ALL.iter().map(|meaning| meaning.key())));
        };
        let words = string(file, key, value)?;
        brushes.insert(*meaning as usize, brush(file, key, words, &palette)?);
    }
    Ok(Sheet { name: name.to_owned(), parent: parent.map(str::to_owned), brushes })
}

fn section<'a>(
    file: &str,
    key: &str,
    table: &'a Table,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, ThemeError> {
    match table.get(key) {
        None => Ok(None.into_iter().flatten()),
        Some(Value::Table(section)) => Ok(Some(section.iter()).into_iter().flatten()),
        Some(_) => Err(wrong_kind(file, key, "a table")),
    }
}

fn ink(file: &str, key: &str, value: &Value) -> Result<Ink, ThemeError> {
    const WANTED: &str = "a colour, or { rgb = \"#rrggbb\", ansi = \"colour\" }";
    let none = BTreeMap::new();
    match value {
        Value::String(word) => {
            colour(word, &none).ok_or_else(|| unknown_word(file, key, word, &none))
        }
        Value::Table(pair) => {
            let part = |name: &str| {
                let word = string(
                    file,
                    key,
                    pair.get(name).ok_or_else(|| wrong_kind(file, key, WANTED))?,
                )?;
                colour(word, &none).ok_or_else(|| unknown_word(file, key, word, &none))
            };
            Ok(Ink { full: part("rgb")?.full, ansi: Some(part("ansi")?.full) })
        }
        _ => Err(wrong_kind(file, key, WANTED)),
    }
}

fn brush(
    file: &str,
    key: &str,
    words: &str,
    palette: &BTreeMap<&str, Ink>,
) -> Result<Brush, ThemeError> {
    let mut brush = Brush::default();
    let mut on = false;
    for word in words.split_whitespace() {
        if let Some((_, attribute)) = ATTRIBUTES.iter().find(|(name, _)| *name == word) {
            brush.attributes |= *attribute;
        } else if word == "on" {
            on = true;
        } else {
            let ink =
                colour(word, palette).ok_or_else(|| unknown_word(file, key, word, palette))?;
            *if on { &mut brush.bg } else { &mut brush.fg } = Some(ink);
            on = false;
        }
    }
    Ok(brush)
}

fn colour(word: &str, palette: &BTreeMap<&str, Ink>) -> Option<Ink> {
    if let Some(ink) = palette.get(word) {
        return Some(*ink);
    }
    let full = match word.strip_prefix('#') {
        Some(hex) if hex.len() == 6 && hex.is_ascii() => {
            let code = u32::from_str_radix(hex, 16).ok()?;
            let [_, r, g, b] = code.to_be_bytes();
            Color::Rgb(r, g, b)
        }
        Some(_) => return None,
        None => COLOURS.iter().find(|(name, _)| *name == word)?.1,
    };
    Some(Ink { full, ansi: None })
}

fn string<'a>(file: &str, key: &str, value: &'a Value) -> Result<&'a str, ThemeError> {
    value.as_str().ok_or_else(|| wrong_kind(file, key, "a string"))
}

fn wrong_kind(file: &str, key: &str, wanted: &'static str) -> ThemeError {
    ThemeError::WrongKind { file: file.to_owned(), key: key.to_owned(), wanted }
}

fn unknown_key<'a>(file: &str, key: &str, known: impl IntoIterator<Item = &'a str>) -> ThemeError {
    ThemeError::UnknownKey {
        file: file.to_owned(),
        key: key.to_owned(),
        near: nearest(key, known).map(str::to_owned),
    }
}

fn unknown_word(file: &str, key: &str, word: &str, palette: &BTreeMap<&str, Ink>) -> ThemeError {
    let known = COLOURS
        .iter()
        .map(|(name, _)| *name)
        .chain(ATTRIBUTES.iter().map(|(name, _)| *name))
        .chain(palette.keys().copied());
    ThemeError::UnknownWord {
        file: file.to_owned(),
        key: key.to_owned(),
        word: word.to_owned(),
        near: nearest(word, known).map(str::to_owned),
    }
}
