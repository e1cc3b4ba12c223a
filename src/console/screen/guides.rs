//! What walks a person through.

use ratatui::layout::Rect;

use crate::console::{
    theme::Meaning,
    widget::{Canvas, grid, piece, wrap},
};

/// Draws the screen into `area`.
pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    if area.width < 6 || area.height < 3 {
        return;
    }
    grid(canvas, area, &[], &[]);
    super::overview::edges(canvas, area);
    let inner =
        Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 };
    canvas
        .line(Rect { y: area.y, height: 1, ..inner }, &[piece(" Guides ", Meaning::TitleFocused)]);
    let words = wrap("There is no guide yet.", usize::from(inner.width));
    for (y, line) in (inner.top()..inner.bottom()).zip(words) {
        canvas.line(Rect { y, height: 1, ..inner }, &[piece(line, Meaning::Muted)]);
    }
}
