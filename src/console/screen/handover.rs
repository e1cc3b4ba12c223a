//! How the run of a guide stands, for whoever takes over.

use ratatui::layout::Rect;

use super::{Layout, guides::told, scrolled};
use crate::console::{
    view::Sight,
    widget::{Canvas, Line, popup_width},
};

/// Draws the popup over `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let Some(sheet) = &sight.state.guides.sheet else { return };
    let width = popup_width(area, 110);
    let cells = usize::from(width.saturating_sub(4));
    let lines: Vec<Line> =
        sheet.handover.iter().flat_map(|line| told(canvas, line, cells)).collect();
    scrolled::draw(canvas, sight, area, layout, ("Handover note", width), &lines);
}
