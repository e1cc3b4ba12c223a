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

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ratatui::style::{Color, Modifier, Style};
use thiserror::Error;
use toml::{Table, Value};

use super::{Depth, Meaning, Theme};

/// The themes that come with the program, the default first.
const BUILT_IN: [(&str, &str); 6] = [
    ("ansi", include_str!("../../../themes/ansi.toml")),
    ("light", include_str!("../../../themes/light.toml")),
    ("dark", include_str!("../../../themes/dark.toml")),
    ("high-contrast", include_str!("../../../themes/high-contrast.toml")),
    ("colour-blind", include_str!("../../../themes/colour-blind.toml")),
    ("mono", include_str!("../../../themes/mono.toml")),
];

const ROOT: &str = "ansi";

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
struct Brush {
    fg: Option<Ink>,
    bg: Option<Ink>,
    attributes: Modifier,
}

impl Brush {
    fn style(self, depth: Depth) -> Style {
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

#[derive(Clone, Debug)]
struct Sheet {
    name: String,
    parent: Option<String>,
    brushes: BTreeMap<usize, Brush>,
}

/// Every theme that can be chosen.
#[derive(Clone, Debug)]
pub struct Themes(Vec<Sheet>);

impl Themes {
    /// The themes that come with the program.
    pub fn built_in() -> Self {
        // A test reads every one of them; a file that cannot be read is left out, never a crash.
        Self(BUILT_IN.iter().filter_map(|(name, text)| sheet(name, name, text).ok()).collect())
    }

    /// The built-in themes and the user's own: each `NAME.toml` in `folder`. A file that is wrong is
    /// left out and its error returned. A folder that does not exist holds no themes.
    pub fn with_folder(folder: &Path) -> (Self, Vec<ThemeError>) {
        let mut themes = Self::built_in();
        let mut errors = Vec::new();
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
            let file = path.display().to_string();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let added = fs::read_to_string(path)
                .map_err(|source| ThemeError::Unreadable { file: file.clone(), source })
                .and_then(|text| themes.add(&name, &file, &text));
            errors.extend(added.err());
        }
        (themes, errors)
    }

    /// Adds a theme, in place of one of the same name. `file` is what errors call it.
    pub fn add(&mut self, name: &str, file: &str, text: &str) -> Result<(), ThemeError> {
        let new = sheet(name, file, text)?;
        if let Some(parent) = &new.parent
            && parent != name
            && !self.0.iter().any(|sheet| sheet.name == *parent)
        {
            return Err(self.unknown(parent));
        }
        self.0.retain(|sheet| sheet.name != name);
        self.0.push(new);
        Ok(())
    }

    /// The names of the themes that a terminal of that depth can show.
    pub fn offered(&self, depth: Depth) -> Vec<&str> {
        let can = |sheet: &&Sheet| {
            // Without colours every theme is shown by its bold, underline and reverse.
            depth == Depth::None
                || self.build(sheet, depth).is_ok_and(|theme| theme.needs() <= depth)
        };
        self.0.iter().filter(can).map(|sheet| sheet.name.as_str()).collect()
    }

    /// The theme of that name, for a terminal of that depth.
    pub fn pick(&self, name: &str, depth: Depth) -> Result<Theme, ThemeError> {
        let sheet =
            self.0.iter().find(|sheet| sheet.name == name).ok_or_else(|| self.unknown(name))?;
        let theme = self.build(sheet, depth)?;
        if depth == Depth::None {
            return Ok(theme.without_colour());
        }
        if theme.needs() > depth {
            return Err(ThemeError::TooDeep { name: name.to_owned() });
        }
        Ok(theme)
    }

    fn unknown(&self, name: &str) -> ThemeError {
        let near = nearest(name, self.0.iter().map(|sheet| sheet.name.as_str()));
        ThemeError::Unknown { name: name.to_owned(), near }
    }

    fn build(&self, sheet: &Sheet, depth: Depth) -> Result<Theme, ThemeError> {
        let mut chain = vec![sheet];
        while let Some(parent) = self.parent(chain[chain.len() - 1]) {
            if chain.len() > self.0.len() {
                return Err(ThemeError::Circle { name: sheet.name.clone() });
            }
            chain.push(parent);
        }
        let brush = |meaning: &Meaning| {
            chain.iter().find_map(|sheet| sheet.brushes.get(&(*meaning as usize))).copied()
        };
        let styles = Meaning::ALL
            .iter()
            .map(|meaning| brush(meaning).unwrap_or_default().style(depth))
            .collect();
        Ok(Theme { name: sheet.name.clone(), styles })
    }

    fn parent(&self, sheet: &Sheet) -> Option<&Sheet> {
        let name = match &sheet.parent {
            Some(parent) => parent.as_str(),
            None if sheet.name == ROOT => return None,
            None => ROOT,
        };
        self.0.iter().find(|sheet| sheet.name == name)
    }
}

fn sheet(name: &str, file: &str, text: &str) -> Result<Sheet, ThemeError> {
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
    ThemeError::UnknownKey { file: file.to_owned(), key: key.to_owned(), near: nearest(key, known) }
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
        near: nearest(word, known),
    }
}

/// The known word that is most like `word`; none when none is like it.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_theme_can_be_read_and_shown() {
        for (name, text) in BUILT_IN {
            sheet(name, name, text).unwrap_or_else(|error| panic!("{error}"));
            let theme = Themes::built_in().pick(name, Depth::Rgb).expect(name);
            for meaning in [Meaning::Critical, Meaning::Selection, Meaning::IdentityProduction] {
                let plain = theme.style(Meaning::Text);
                assert_ne!(theme.style(meaning), plain, "{name}: {} must stand out", meaning.key());
            }
        }
    }

    #[test]
    fn the_two_roots_say_every_meaning() {
        for name in ["ansi", "mono"] {
            let themes = Themes::built_in();
            let sheet = themes.0.iter().find(|sheet| sheet.name == name).expect(name);
            for meaning in Meaning::ALL {
                let said = sheet.brushes.contains_key(&(*meaning as usize));
                assert!(said, "{name} lacks '{}'", meaning.key());
            }
        }
    }

    #[test]
    fn depth_decides_what_is_offered() {
        let themes = Themes::built_in();
        assert_eq!(themes.offered(Depth::Rgb).len(), BUILT_IN.len());
        let few = themes.offered(Depth::Ansi16);
        assert_eq!(few, ["ansi", "high-contrast", "colour-blind", "mono"]);
        let error = themes.pick("dark", Depth::Ansi16).expect_err("needs 24 bits");
        assert!(error.to_string().contains("COLORTERM"), "{error}");
    }

    #[test]
    fn no_colour_keeps_what_stood_out() {
        for name in Themes::built_in().offered(Depth::None) {
            let theme = Themes::built_in().pick(name, Depth::None).expect(name);
            assert_eq!(theme.needs(), Depth::None);
            let standing_out = Modifier::REVERSED | Modifier::BOLD | Modifier::UNDERLINED;
            for meaning in [Meaning::Selection, Meaning::IdentityProduction, Meaning::Critical] {
                let kept = theme.style(meaning).add_modifier;
                assert!(kept.intersects(standing_out), "{name}: {}", meaning.key());
            }
        }
    }

    #[test]
    fn a_theme_changes_only_what_it_says() {
        let mut themes = Themes::built_in();
        themes.add("mine", "mine.toml", "parent = 'mono'\n[styles]\nok = 'green'").expect("good");
        let mine = themes.pick("mine", Depth::Ansi16).expect("there");
        let mono = themes.pick("mono", Depth::Ansi16).expect("there");
        assert_eq!(mine.style(Meaning::Ok).fg, Some(Color::Green));
        assert_eq!(mine.style(Meaning::Critical), mono.style(Meaning::Critical));
    }

    #[test]
    fn errors_name_file_key_and_the_nearest_word() {
        let mut themes = Themes::built_in();
        for (text, words) in [
            (
                "[styles]\ncritcal = 'red'",
                "theme 'x.toml': unknown key 'critcal'; did you mean 'critical'?",
            ),
            ("[styls]\n", "theme 'x.toml': unknown key 'styls'; did you mean 'styles'?"),
            (
                "[styles]\nok = 'gren bold'",
                "theme 'x.toml': key 'ok': 'gren' is neither a colour nor an attribute; did you mean 'green'?",
            ),
            (
                "[palette]\nrose = '#12345'",
                "theme 'x.toml': key 'rose': '#12345' is neither a colour nor an attribute",
            ),
            ("[styles]\nok = 3", "theme 'x.toml': key 'ok' must be a string"),
            ("parent = 'drak'", "there is no theme 'drak'; did you mean 'dark'?"),
        ] {
            let error = themes.add("x", "x.toml", text).expect_err(text);
            assert_eq!(error.to_string(), words);
        }
        let error = themes.add("x", "x.toml", "[styles\n").expect_err("no TOML");
        assert!(error.to_string().starts_with("theme 'x.toml' is not valid TOML"), "{error}");
    }

    #[test]
    fn parents_in_a_circle_are_an_error_not_a_hang() {
        let mut themes = Themes::built_in();
        themes.add("a", "a.toml", "parent = 'a'").expect("read");
        assert!(matches!(themes.pick("a", Depth::Rgb), Err(ThemeError::Circle { .. })));
    }

    #[test]
    fn a_folder_gives_its_good_themes_and_an_error_for_each_bad_one() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("good.toml"), "[styles]\nok = 'blue'").expect("written");
        fs::write(folder.path().join("bad.toml"), "[styles]\nk = 'blue'").expect("written");
        fs::write(folder.path().join("readme.txt"), "no theme").expect("written");
        let (themes, errors) = Themes::with_folder(folder.path());
        assert!(themes.offered(Depth::Rgb).contains(&"good"));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains("bad.toml"), "{}", errors[0]);
    }
}
