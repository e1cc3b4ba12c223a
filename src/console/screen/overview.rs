//! Four panes in two columns and two rows, with lines shared between them.

use ratatui::layout::Rect;

use super::{Layout, pane};
use crate::console::{
    model::Pane,
    theme::Meaning,
    view::Sight,
    widget::{Canvas, grid},
};

/// Draws the overview into `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let middle = area.x + area.width / 2;
    let between = area.y + area.height / 2;
    grid(canvas, area, &[middle], &[between]);
    let left = (area.left(), middle);
    let right = (middle, area.right() - 1);
    let upper = (area.top(), between);
    let lower = (between, area.bottom() - 1);
    let panes = Pane::ALL.map(|pane| {
        let (x, y) = match pane {
            Pane::Pools => (left, upper),
            Pane::Breakers => (right, upper),
            Pane::Alerts => (left, lower),
            Pane::Backup => (right, lower),
        };
        (pane, Rect { x: x.0, y: y.0, width: x.1 - x.0 + 1, height: y.1 - y.0 + 1 })
    });
    for (pane, outline) in panes {
        if pane == sight.state.focus {
            edges(canvas, outline);
        }
    }
    for (pane, outline) in panes {
        layout.rows[pane.place()] = pane::draw(canvas, sight, pane, outline, layout);
    }
}

/// Marks the lines around the pane that has the focus.
pub fn edges(canvas: &mut Canvas<'_>, outline: Rect) {
    for edge in [
        Rect { height: 1, ..outline },
        Rect { y: outline.bottom() - 1, height: 1, ..outline },
        Rect { width: 1, ..outline },
        Rect { x: outline.right() - 1, width: 1, ..outline },
    ] {
        canvas.tint(edge, Meaning::BorderFocused);
    }
}
