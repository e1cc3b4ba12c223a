//! How the run of a guide stands, for whoever takes over.

use ratatui::layout::Rect;

use super::{Layout, guides::told};
use crate::console::{
    theme::Meaning,
    view::Sight,
    widget::{Canvas, Line, Popup, piece, popup, popup_width},
};

/// Draws the popup over `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let Some(sheet) = &sight.state.guides.sheet else { return };
    let width = popup_width(area, 110);
    let cells = usize::from(width.saturating_sub(4));
    let lines: Vec<Line> =
        sheet.handover.iter().flat_map(|line| told(canvas, line, cells)).collect();
    let height = (lines.len() as u16).saturating_add(2).min(area.height);
    let shown = usize::from(height.saturating_sub(2));
    let first = usize::from(sight.state.scroll).min(lines.len().saturating_sub(shown));
    let hidden = lines.len().saturating_sub(first + shown);
    let mut foot = Line::new();
    if hidden > 0 {
        foot.push(piece(format!(" {} {hidden} more ", sight.glyphs.down()), Meaning::Text));
    }
    let title = "Handover note".to_owned();
    let inner = popup(canvas, area, &Popup { title, width, height, foot });
    layout.overlay = (inner.height, lines.len() as u16);
    for (y, line) in (inner.top()..inner.bottom()).zip(lines.iter().skip(first)) {
        canvas.line(Rect { y, height: 1, ..inner }, line);
    }
}
