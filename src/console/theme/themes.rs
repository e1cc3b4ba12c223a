//! The themes that can be chosen: those that come with the program and the user's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Depth, Meaning, Theme, ThemeError,
    file::{Sheet, sheet},
};
use crate::base::text::nearest;

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
        let near = nearest(name, self.0.iter().map(|sheet| sheet.name.as_str())).map(str::to_owned);
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

#[cfg(test)]
mod tests {
    use ratatui::style::{Color, Modifier};

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
