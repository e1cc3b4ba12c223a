//! A window over the screen with more lines than may fit into it.

use ratatui::layout::Rect;

use super::Layout;
use crate::console::{
    theme::Meaning,
    view::Sight,
    widget::{Canvas, Line, Popup, piece, popup},
};

/// Draws the window over `area`, `width` cells wide and as high as it needs and there is room; its foot says how
/// many lines are below.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    area: Rect,
    layout: &mut Layout,
    (title, width): (&str, u16),
    lines: &[Line],
) {
    let height = (lines.len() as u16).saturating_add(2).min(area.height);
    let shown = usize::from(height.saturating_sub(2));
    let first = usize::from(sight.state.scroll).min(lines.len().saturating_sub(shown));
    let hidden = lines.len().saturating_sub(first + shown);
    let mut foot = Line::new();
    if hidden > 0 {
        foot.push(piece(format!(" {} {hidden} more ", sight.glyphs.down()), Meaning::Text));
    } else if first > 0 {
        foot.push(piece(" end ", Meaning::Muted));
    }
    let inner = popup(canvas, area, &Popup { title: title.to_owned(), width, height, foot });
    layout.overlay = (inner.height, lines.len() as u16);
    for (y, line) in (inner.top()..inner.bottom()).zip(lines.iter().skip(first)) {
        canvas.line(Rect { y, height: 1, ..inner }, line);
    }
}
