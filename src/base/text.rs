//! Foreign text made safe to show.
//!
//! Role, database and table names, query text, server messages and metric labels may hold anything,
//! escape sequences included: PostgreSQL stores and sends them raw. They are cleaned here, where
//! they enter, and carried as [`Text`] from then on.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    ops::Deref,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text that holds no control, bidirectional or invisible character, so that it is safe on a
/// terminal, in a log and in a report. Made by [`Text::foreign`], or from our own words.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Cow<'static, str>);

impl Text {
    /// Cleans text that comes from outside.
    pub fn foreign(raw: &str) -> Self {
        Self(Cow::Owned(clean(raw).into_owned()))
    }

    /// Cleans text that may run over several lines, such as a query: white space is folded first.
    pub fn one_line(raw: &str) -> Self {
        let folded = raw.split_whitespace().collect::<Vec<_>>().join(" ");
        Self(Cow::Owned(clean(&folded).into_owned()))
    }

    /// Words of our own.
    pub const fn ours(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::foreign(&raw)
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::foreign(raw)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What is read back was written by a file's last writer, whoever that was: it is cleaned again.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// True for characters that change how a terminal behaves or that hide what stands there: C0, DEL,
/// C1, bidirectional controls, zero-width and other format characters, line and paragraph
/// separators, tags, variation selectors (Unicode 16, general categories Cc, Cf, Zl, Zp).
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Makes every unsafe character visible: ESC becomes `^[`, a C1 control `<9B>`, an invisible one
/// `<U+202E>`. Clean text is borrowed.
pub fn clean(raw: &str) -> Cow<'_, str> {
    // Almost all text is plain, and cleaned many times a second.
    if raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !raw.chars().any(is_unsafe) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        let code = u32::from(c);
        // Writing to a string cannot fail.
        let _ = match c {
            '\0'..='\x1f' => write!(out, "^{}", (c as u8 + b'@') as char),
            '\x7f' => out.write_str("^?"),
            '\u{80}'..='\u{9f}' => write!(out, "<{code:02X}>"),
            _ if is_unsafe(c) => write!(out, "<U+{code:04X}>"),
            _ => out.write_char(c),
        };
    }
    Cow::Owned(out)
}

/// Terminal cells that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts `text` to at most `cells` cells; what was cut is marked by `mark` (such as `…` or `~`).
pub fn fit<'a>(text: &'a str, cells: usize, mark: &str) -> Cow<'a, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let room = cells.saturating_sub(width(mark));
    let mut taken = 0;
    let mut out = String::new();
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > room {
            break;
        }
        out.push(c);
    }
    if cells >= width(mark) {
        out.push_str(mark);
    }
    Cow::Owned(out)
}

/// The known word that looks most like `word`, if one looks like it at all: for "did you mean".
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        // Below this, what looks alike to the measure does not to a person.
        .filter(|(likeness, _)| *likeness >= 0.8)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_become_visible() {
        assert_eq!(clean("a\x1b]52;c;x\x07b"), "a^[]52;c;x^Gb");
        assert_eq!(clean("\u{9b}31m"), "<9B>31m");
        assert_eq!(clean("ab\u{202e}cd\u{200b}"), "ab<U+202E>cd<U+200B>");
        assert_eq!(clean("line\r\nnext\t\x7f"), "line^M^Jnext^I^?");
    }

    #[test]
    fn a_query_becomes_one_line() {
        assert_eq!(Text::one_line("SELECT 1\n\t  FROM t").as_str(), "SELECT 1 FROM t");
    }

    #[test]
    fn fitting_never_cuts_a_wide_character_in_half() {
        assert_eq!(fit("abcdef", 4, "…"), "abc…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("abc", 3, "…"), "abc");
        assert_eq!(fit("abc", 0, "…"), "");
    }

    #[test]
    fn only_a_slip_of_the_finger_is_suggested() {
        let known = ["console.theme", "console.color", "watch.interval"];
        assert_eq!(nearest("console.thme", known), Some("console.theme"));
        assert_eq!(nearest("watch.intreval", known), Some("watch.interval"));
        assert_eq!(nearest("zebra", known), None);
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(raw in any::<String>()) {
            prop_assert!(!clean(&raw).chars().any(is_unsafe));
        }

        #[test]
        fn cleaning_twice_changes_nothing_and_borrows(raw in any::<String>()) {
            let once = clean(&raw).into_owned();
            prop_assert!(matches!(clean(&once), Cow::Borrowed(same) if same == once));
        }

        #[test]
        fn fitted_text_fits(raw in any::<String>(), cells in 0_usize..40) {
            let text = Text::foreign(&raw);
            prop_assert!(width(&fit(&text, cells, "…")) <= cells);
        }
    }
}
