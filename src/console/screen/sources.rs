//! Where the facts come from, how fresh they are, and what watching costs the server.

use ratatui::layout::Rect;

use super::Layout;
use crate::console::{
    theme::Meaning,
    view::{Sight, sources},
    widget::{
        Canvas, Line, Popup, TableRow, draw_captions, draw_rows, piece, place, popup, popup_width,
        wrap,
    },
};

/// A line of the popup.
enum Shown {
    Row(TableRow),
    Words(Line),
}

/// Draws the popup over `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let wide = popup_width(area, 120);
    let room = usize::from(wide.saturating_sub(4));
    let mut lines = Vec::new();
    for (row, notes) in sources::rows(sight) {
        lines.push(Shown::Row(row));
        for note in notes.iter().flat_map(|note| wrap(note, room.saturating_sub(8))) {
            lines.push(Shown::Words(vec![piece(format!("        {note}"), Meaning::Warning)]));
        }
    }
    if lines.is_empty() {
        lines.push(Shown::Words(vec![piece("no source is configured", Meaning::Muted)]));
    }
    lines.push(Shown::Words(Line::new()));
    lines.push(Shown::Words(sources::cost(sight)));
    let height = (lines.len() as u16).saturating_add(3).min(area.height);
    let shown = usize::from(height.saturating_sub(3));
    let first = usize::from(sight.state.scroll).min(lines.len().saturating_sub(shown));
    let hidden = lines.len().saturating_sub(first + shown);
    let mut foot = Line::new();
    if hidden > 0 {
        foot.push(piece(format!(" {} {hidden} more ", sight.glyphs.down()), Meaning::Text));
    }
    let title = "Sources".to_owned();
    let inner = popup(canvas, area, &Popup { title, width: wide, height, foot });
    layout.overlay = (inner.height.saturating_sub(1), lines.len() as u16);
    let columns = sources::columns(sight.glyphs);
    let placed = place(&columns, inner.width);
    draw_captions(canvas, Rect { height: 1, ..inner }, &columns, &placed, 0);
    for (y, line) in (inner.top() + 1..inner.bottom()).zip(lines.iter().skip(first)) {
        let row = Rect { y, height: 1, ..inner };
        match line {
            Shown::Row(cells) => {
                draw_rows(canvas, row, &columns, &placed, std::slice::from_ref(cells));
            }
            Shown::Words(words) => {
                canvas.line(row, words);
            }
        }
    }
}
