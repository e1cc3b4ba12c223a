//! What the terminal can show, from what the environment says of it. Pure: the strings are given.

use super::Glyphs;

/// The variables that tell what a terminal can show, as they stand in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct TermEnv<'a> {
    /// `TERM`.
    pub term: Option<&'a str>,
    /// `COLORTERM`.
    pub colorterm: Option<&'a str>,
    /// `NO_COLOR` (no-color.org): set and not empty means no colour.
    pub no_color: Option<&'a str>,
    /// `LC_ALL`.
    pub lc_all: Option<&'a str>,
    /// `LC_CTYPE`.
    pub lc_ctype: Option<&'a str>,
    /// `LANG`.
    pub lang: Option<&'a str>,
}

/// How many colours may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None: bold, underline and reverse video only.
    #[default]
    None,
    /// The 16 ANSI colours, as the user's terminal paints them.
    Ansi16,
    /// 24-bit colours.
    Rgb,
}

impl Depth {
    /// What the environment allows. GNU screen passes `COLORTERM` on and paints 24-bit colours
    /// wrongly, so it counts as a 16-colour terminal.
    pub fn from_env(env: &TermEnv<'_>) -> Self {
        let term = env.term.unwrap_or_default();
        let no_color = env.no_color.is_some_and(|value| !value.is_empty());
        if no_color || term.is_empty() || monochrome(term) {
            return Self::None;
        }
        let told = matches!(env.colorterm, Some("truecolor" | "24bit"));
        if (told && !term.starts_with("screen")) || term.ends_with("-direct") {
            Self::Rgb
        } else {
            Self::Ansi16
        }
    }
}

impl Glyphs {
    /// Unicode when the locale is UTF-8 and the terminal is not one that lacks the glyphs: the Linux
    /// console, a DEC terminal, a dumb one. The first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set
    /// and not empty decides (POSIX.1-2024, 8.2).
    pub fn from_env(env: &TermEnv<'_>) -> Self {
        let term = env.term.unwrap_or_default();
        let poor = term.is_empty() || term.starts_with("linux") || monochrome(term);
        let locale = [env.lc_all, env.lc_ctype, env.lang]
            .into_iter()
            .flatten()
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        if utf8 && !poor { Self::Unicode } else { Self::Ascii }
    }
}

fn monochrome(term: &str) -> bool {
    let digit_after = |prefix: &str| {
        term.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    term == "dumb" || term.ends_with("-mono") || term.ends_with("-m") || digit_after("vt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_depth_follows_the_environment() {
        for (term, colorterm, no_color, depth) in [
            (Some("xterm-256color"), Some("truecolor"), None, Depth::Rgb),
            (Some("xterm-256color"), Some("24bit"), None, Depth::Rgb),
            (Some("xterm-direct"), None, None, Depth::Rgb),
            (Some("xterm-256color"), None, None, Depth::Ansi16),
            (Some("screen.xterm-256color"), Some("truecolor"), None, Depth::Ansi16),
            (Some("tmux-256color"), Some("truecolor"), None, Depth::Rgb),
            (Some("linux"), None, None, Depth::Ansi16),
            (Some("vt100"), None, None, Depth::None),
            (Some("dumb"), Some("truecolor"), None, Depth::None),
            (None, None, None, Depth::None),
            (Some("xterm-256color"), Some("truecolor"), Some("1"), Depth::None),
            (Some("xterm-256color"), Some("truecolor"), Some(""), Depth::Rgb),
        ] {
            let env = TermEnv { term, colorterm, no_color, ..TermEnv::default() };
            assert_eq!(Depth::from_env(&env), depth, "{env:?}");
        }
    }

    #[test]
    fn glyphs_follow_the_locale() {
        for (term, lc_all, lc_ctype, lang, glyphs) in [
            ("xterm", None, None, Some("en_GB.UTF-8"), Glyphs::Unicode),
            ("xterm", None, Some("C.utf8"), Some("C"), Glyphs::Unicode),
            ("xterm", Some("C"), None, Some("en_GB.UTF-8"), Glyphs::Ascii),
            ("xterm", Some(""), None, Some("en_GB.UTF-8"), Glyphs::Unicode),
            ("xterm", None, None, None, Glyphs::Ascii),
            ("linux", None, None, Some("en_GB.UTF-8"), Glyphs::Ascii),
            ("vt220", None, None, Some("en_GB.UTF-8"), Glyphs::Ascii),
            ("vte-256color", None, None, Some("en_GB.UTF-8"), Glyphs::Unicode),
        ] {
            let env = TermEnv { term: Some(term), lc_all, lc_ctype, lang, ..TermEnv::default() };
            assert_eq!(Glyphs::from_env(&env), glyphs, "{env:?}");
        }
    }
}
