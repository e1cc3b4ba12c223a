//! Words with a meaning, and how they break and are swept.

use ratatui::buffer::Buffer;

use crate::{
    base::text::{clean, is_unsafe, width},
    console::theme::{Glyphs, Mark, Meaning},
};

/// Words and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The words; cleaned where they entered, and swept again in the finished frame.
    pub text: String,
    /// What they mean.
    pub meaning: Meaning,
}

/// One line of pieces.
pub type Line = Vec<Piece>;

/// A sign and a meaning that go together: with the word beside them, a state is told three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// The sign.
    pub mark: Mark,
    /// The meaning.
    pub meaning: Meaning,
}

impl Tone {
    /// Proven to be well.
    pub const GOOD: Self = Self { mark: Mark::Good, meaning: Meaning::Ok };
    /// Running as it should.
    pub const RUNS: Self = Self { mark: Mark::Dot, meaning: Meaning::Ok };
    /// To be looked at.
    pub const WARN: Self = Self { mark: Mark::Warn, meaning: Meaning::Warning };
    /// To be acted on.
    pub const STOP: Self = Self { mark: Mark::Stop, meaning: Meaning::Critical };
    /// Failed.
    pub const BAD: Self = Self { mark: Mark::Bad, meaning: Meaning::Critical };
    /// Not known.
    pub const UNKNOWN: Self = Self { mark: Mark::None, meaning: Meaning::Unknown };
    /// Not to be seen by our role.
    pub const BLIND: Self = Self { mark: Mark::Blind, meaning: Meaning::Unknown };
    /// Not there yet.
    pub const WAIT: Self = Self { mark: Mark::Wait, meaning: Meaning::Muted };
    /// Too old.
    pub const STALE: Self = Self { mark: Mark::Wait, meaning: Meaning::Warning };
}

/// A piece of a line.
pub fn piece(text: impl Into<String>, meaning: Meaning) -> Piece {
    Piece { text: text.into(), meaning }
}

/// Sign and word of a state, such as `■ OPEN`.
pub fn marked(glyphs: Glyphs, tone: Tone, word: &str) -> Piece {
    piece(format!("{} {word}", glyphs.mark(tone.mark)), tone.meaning)
}

/// Cells that a line takes.
pub fn line_width(line: &[Piece]) -> usize {
    line.iter().map(|piece| width(&piece.text)).sum()
}

/// Breaks `text` into lines of at most `cells` cells, between words where it can.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let gap = usize::from(!line.is_empty());
        if width(&line) + gap + width(word) <= cells {
            if gap == 1 {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            let mut bytes = [0; 4];
            if width(&line) + width(c.encode_utf8(&mut bytes)) > cells {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Breaks a line of pieces as [`wrap`] breaks words; each word keeps its meaning.
pub fn wrap_line(line: &[Piece], cells: usize) -> Vec<Line> {
    let cells = cells.max(2);
    let mut lines: Vec<Line> = Vec::new();
    let mut now: Line = Vec::new();
    let mut used = 0;
    for part in line {
        for token in tokens(&part.text) {
            let (gap, word) = token.split_at(token.len() - token.trim_start().len());
            let fits = used + width(token) <= cells;
            if word.is_empty() && !fits {
                continue;
            }
            if fits {
                now.push(piece(token, part.meaning));
                used += width(token);
                continue;
            }
            if used > 0 && (!gap.is_empty() || width(word) <= cells) {
                lines.push(std::mem::take(&mut now));
                used = 0;
            }
            for (nth, bit) in wrap(word, cells).into_iter().enumerate() {
                if nth > 0 || used + width(&bit) > cells {
                    lines.push(std::mem::take(&mut now));
                }
                used = width(&bit);
                now.push(piece(bit, part.meaning));
            }
        }
    }
    lines.push(now);
    lines
}

/// Words, each with the white space before it.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.len() - rest.trim_start().len();
        let end = rest[start..].find(char::is_whitespace).map_or(rest.len(), |at| start + at);
        let (token, left) = rest.split_at(end);
        rest = left;
        (!token.is_empty()).then_some(token)
    })
}

/// Goes over the finished frame: a cell that holds a control, bidirectional or invisible character,
/// however it came there, shows it in a visible form. The last of three walls; the first stands where
/// text enters ([`crate::base::text`]).
pub fn sweep(buf: &mut Buffer) {
    for cell in &mut buf.content {
        let symbol = cell.symbol();
        if symbol.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            continue;
        }
        if symbol.chars().any(is_unsafe) {
            let visible: String = clean(symbol).chars().take(1).collect();
            cell.set_symbol(&visible);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn words_break_between_words_and_long_ones_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert!(wrap("  ", 4).is_empty());
    }

    #[test]
    fn the_sweep_leaves_nothing_unsafe() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 3, 1));
        buf.content[0].set_symbol("\x1b");
        buf.content[1].set_symbol("a\u{202e}");
        buf.content[2].set_symbol("é");
        sweep(&mut buf);
        let symbols: Vec<&str> = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(symbols, ["^", "a", "é"]);
    }

    #[test]
    fn a_line_of_pieces_keeps_its_meanings_when_it_breaks() {
        let line =
            vec![piece("BLIND", Meaning::Unknown), piece("  grant pg_monitor", Meaning::Muted)];
        let words: Vec<String> = wrap_line(&line, 12)
            .iter()
            .map(|line| line.iter().map(|piece| piece.text.as_str()).collect())
            .collect();
        assert_eq!(words, ["BLIND  grant", "pg_monitor"]);
    }

    proptest! {
        #[test]
        fn wrapped_pieces_fit_and_lose_no_letter(
            texts in proptest::collection::vec(any::<String>(), 0..4),
            cells in 2_usize..40,
        ) {
            let line: Line =
                texts.iter().map(|text| piece(clean(text), Meaning::Text)).collect();
            let lines = wrap_line(&line, cells);
            for line in &lines {
                prop_assert!(line_width(line) <= cells, "{line:?}");
            }
            let letters = |lines: &[Line]| -> String {
                let all = lines.iter().flatten().flat_map(|piece| piece.text.chars());
                all.filter(|c| !c.is_whitespace()).collect()
            };
            prop_assert_eq!(letters(&lines), letters(&[line]));
        }

        #[test]
        fn wrapped_lines_fit_and_lose_no_letter(text in any::<String>(), cells in 2_usize..40) {
            let text = clean(&text).into_owned();
            let lines = wrap(&text, cells);
            for line in &lines {
                prop_assert!(width(line) <= cells, "{line:?}");
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
