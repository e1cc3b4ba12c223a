//! A buffer with a theme and glyphs, and the few strokes that everything is drawn with.

use ratatui::{
    buffer::{Buffer, Cell},
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::text::{Piece, Tone, line_width};
use crate::{
    base::text::{fit, width},
    console::theme::{Glyphs, Meaning, Theme},
};

/// Where and how to draw.
#[derive(Debug)]
pub struct Canvas<'a> {
    /// The cells.
    pub buf: &'a mut Buffer,
    /// The looks.
    pub theme: &'a Theme,
    /// The signs.
    pub glyphs: Glyphs,
}

impl Canvas<'_> {
    /// Writes `text` at (`x`, `y`), at most to the right edge of `area`, and returns the column after it.
    /// What does not fit is cut without a mark; outside of `area` nothing is written.
    pub fn put(&mut self, area: Rect, x: u16, y: u16, text: &str, meaning: Meaning) -> u16 {
        let area = area.intersection(self.buf.area);
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        let room = usize::from(area.right() - x);
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.buf.set_stringn(x, y, text, room, self.full(meaning)).0;
        }
        // Most words: each byte is a cell, and nothing of what stood there is left.
        let fresh = self.cell(" ", meaning);
        let cells = room.min(text.len());
        for (place, byte) in self.row_mut(x, y, cells).iter_mut().zip(text.bytes()) {
            place.clone_from(&fresh);
            place.set_char(char::from(byte));
        }
        x + cells as u16
    }

    /// A cell that shows `symbol` and nothing of what stood there before.
    pub fn cell(&self, symbol: &str, meaning: Meaning) -> Cell {
        let mut cell = Cell::EMPTY;
        cell.set_symbol(symbol).set_style(self.full(meaning));
        cell
    }

    /// The `cells` cells from (`x`, `y`) on, as far as the row and the buffer reach.
    pub fn row_mut(&mut self, x: u16, y: u16, cells: usize) -> &mut [Cell] {
        let area = self.buf.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return &mut [];
        }
        let start = usize::from(y - area.y) * usize::from(area.width) + usize::from(x - area.x);
        let cells = cells.min(usize::from(area.right() - x));
        self.buf.content.get_mut(start..start + cells).unwrap_or_default()
    }

    /// The style of a meaning with nothing left open, so that what stood there before does not shine
    /// through.
    fn full(&self, meaning: Meaning) -> Style {
        let style = self.theme.style(Meaning::Text).patch(self.theme.style(meaning));
        Style {
            fg: style.fg.or(Some(Color::Reset)),
            bg: style.bg.or(Some(Color::Reset)),
            sub_modifier: Modifier::all().difference(style.add_modifier),
            ..style
        }
    }

    /// Writes a line at the left of `area`'s first row; what does not fit ends in an ellipsis. Returns
    /// the column after it.
    pub fn line(&mut self, area: Rect, line: &[Piece]) -> u16 {
        let mut x = area.left();
        let whole = line_width(line) <= usize::from(area.width);
        for (index, piece) in line.iter().enumerate() {
            let room = usize::from(area.right().saturating_sub(x));
            let more = !whole && line[index + 1..].iter().any(|piece| !piece.text.is_empty());
            let text = if more && width(&piece.text) >= room {
                // The mark must stand although this very piece might just fit.
                fit(&piece.text, room.saturating_sub(1), "").into_owned() + self.glyphs.ellipsis()
            } else {
                fit(&piece.text, room, self.glyphs.ellipsis()).into_owned()
            };
            x = self.put(area, x, area.top(), &text, piece.meaning);
            if width(&piece.text) > room {
                break;
            }
        }
        x
    }

    /// Writes a line so that it ends at the right of `area`'s first row. Returns its first column.
    pub fn line_right(&mut self, area: Rect, line: &[Piece]) -> u16 {
        let used = (line_width(line) as u16).min(area.width);
        let start = area.right() - used;
        self.line(Rect { x: start, width: used, ..area }, line);
        start
    }

    /// Lays the style of a meaning over an area; its words stay.
    pub fn tint(&mut self, area: Rect, meaning: Meaning) {
        self.buf.set_style(area.intersection(self.buf.area), self.theme.style(meaning));
    }

    /// Marks the selected row. A theme that gives the selection a colour of its own or reverses it paints the
    /// whole row alike: reversed, the colours of the states would make a patchwork of it. One that gives it
    /// a background alone keeps them.
    pub fn select(&mut self, row: Rect) {
        let style = self.theme.style(Meaning::Selection);
        let alike = style.fg.is_some() || style.add_modifier.contains(Modifier::REVERSED);
        let style = if alike {
            Style { sub_modifier: Modifier::empty(), ..self.full(Meaning::Selection) }
        } else {
            style
        };
        self.buf.set_style(row.intersection(self.buf.area), style);
    }

    /// Makes an area blank, in the screen's own style. A wide character that stood half in it goes.
    pub fn blank(&mut self, area: Rect) {
        let area = area.intersection(self.buf.area);
        let mut blank = Cell::EMPTY;
        blank.set_style(self.theme.style(Meaning::Text));
        for y in area.top()..area.bottom() {
            if area.left() > self.buf.area.left() {
                let before = &mut self.buf[(area.left() - 1, y)];
                if width(before.symbol()) > 1 {
                    before.set_symbol(" ");
                }
            }
            self.row_mut(area.left(), y, usize::from(area.width)).fill(blank.clone());
        }
    }

    /// The sign of a state, alone.
    pub fn sign(&self, tone: Tone) -> Piece {
        super::text::piece(self.glyphs.mark(tone.mark), tone.meaning)
    }

    /// A bar of `area`'s first row that is full at a `share` of 1. A share above zero shows at least
    /// one cell, and one below 1 never shows a full bar.
    pub fn bar(&mut self, area: Rect, share: Option<f64>, stale: bool) {
        let (full, empty) = self.glyphs.bar();
        let cells = usize::from(area.width);
        let Some(share) = share.filter(|share| share.is_finite()) else {
            self.put(area, area.x, area.y, self.glyphs.unknown(), Meaning::Unknown);
            return;
        };
        let filled = match share {
            s if s <= 0.0 => 0,
            s if s >= 1.0 => cells,
            s => ((s * cells as f64).round() as usize).clamp(1, cells.saturating_sub(1).max(1)),
        };
        let meaning = match share {
            _ if stale => Meaning::Stale,
            s if s >= 0.9 => Meaning::GaugeHigh,
            s if s >= 0.75 => Meaning::GaugeMid,
            _ => Meaning::GaugeLow,
        };
        let x = self.put(area, area.x, area.y, &full.repeat(filled), meaning);
        self.put(area, x, area.y, &empty.repeat(cells - filled), Meaning::GaugeEmpty);
    }

    /// The newest values of a trend, 0 to 1, that fit into `area`'s first row, the newest at its right.
    /// A gap is left where nothing was seen.
    pub fn spark(&mut self, area: Rect, values: &[f32], stale: bool) {
        let cells = usize::from(area.width);
        let levels = self.glyphs.levels();
        let shown = &values[values.len().saturating_sub(cells)..];
        let text: String = shown
            .iter()
            .map(|value| match value {
                v if v.is_nan() => " ",
                v => levels[((v.clamp(0.0, 1.0) * 7.0).round() as usize).min(7)],
            })
            .collect();
        let meaning = if stale { Meaning::Stale } else { Meaning::Sparkline };
        let x = area.x + (cells - shown.len()) as u16;
        self.put(area, x, area.y, &text, meaning);
    }
}
