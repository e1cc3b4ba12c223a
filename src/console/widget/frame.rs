//! Lines around and between panes, with their titles; popups.

use ratatui::layout::Rect;

use super::{
    canvas::Canvas,
    text::{Line, piece},
};
use crate::console::theme::Meaning;

/// Draws the lines of a grid over `area`: its outline, a line down at each of `downs` and a line across
/// at each of `acrosses` (absolute columns and rows, each inside the outline).
pub fn grid(canvas: &mut Canvas<'_>, area: Rect, downs: &[u16], acrosses: &[u16]) {
    if area.width < 2 || area.height < 2 {
        return;
    }
    let signs = canvas.glyphs.borders();
    let (left, right, top, bottom) = (area.left(), area.right() - 1, area.top(), area.bottom() - 1);
    let crossing = |x: u16, y: u16| match (y == top, y == bottom, x == left, x == right) {
        (true, _, true, _) => signs.corners[0],
        (true, _, _, true) => signs.corners[1],
        (_, true, true, _) => signs.corners[2],
        (_, true, _, true) => signs.corners[3],
        (true, ..) => signs.tees[0],
        (_, true, ..) => signs.tees[1],
        (_, _, true, _) => signs.tees[2],
        (_, _, _, true) => signs.tees[3],
        _ => signs.cross,
    };
    let (across, down) =
        (canvas.cell(signs.across, Meaning::Border), canvas.cell(signs.down, Meaning::Border));
    let columns = || [left, right].into_iter().chain(downs.iter().copied());
    for y in [top, bottom].into_iter().chain(acrosses.iter().copied()) {
        canvas.row_mut(left, y, usize::from(area.width)).fill(across.clone());
    }
    for y in top..=bottom {
        let crossed = y == top || y == bottom || acrosses.contains(&y);
        for x in columns() {
            let sign =
                if crossed { canvas.cell(crossing(x, y), Meaning::Border) } else { down.clone() };
            canvas.row_mut(x, y, 1).fill(sign);
        }
    }
}

/// A box over the screen.
#[derive(Debug)]
pub struct Popup {
    /// Its title.
    pub title: String,
    /// The width that it would like, borders included.
    pub width: u16,
    /// The height that it would like, borders included.
    pub height: u16,
    /// Written into its lower border, at the right.
    pub foot: Line,
}

/// The width that a popup gets: what it likes, or the whole screen's when only slivers would be left beside
/// it.
pub const fn popup_width(area: Rect, likes: u16) -> u16 {
    if likes.saturating_add(8) > area.width { area.width } else { likes }
}

/// Draws an empty popup in the middle of `area` and returns the room inside. A popup that is as wide
/// or high as the screen or more takes all of it.
pub fn popup(canvas: &mut Canvas<'_>, area: Rect, popup: &Popup) -> Rect {
    let width = popup_width(area, popup.width);
    let height = popup.height.min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    canvas.blank(place);
    if width < 6 || height < 3 {
        return place;
    }
    grid(canvas, place, &[], &[]);
    canvas.tint(Rect { height: 1, ..place }, Meaning::BorderFocused);
    canvas.tint(Rect { y: place.bottom() - 1, height: 1, ..place }, Meaning::BorderFocused);
    canvas.tint(Rect { width: 1, ..place }, Meaning::BorderFocused);
    canvas.tint(Rect { x: place.right() - 1, width: 1, ..place }, Meaning::BorderFocused);
    let edge = Rect { x: place.x + 2, width: width - 4, height: 1, ..place };
    canvas.line(edge, &[piece(format!(" {} ", popup.title), Meaning::TitleFocused)]);
    if !popup.foot.is_empty() {
        canvas.line_right(Rect { y: place.bottom() - 1, ..edge }, &popup.foot);
    }
    Rect { x: place.x + 2, y: place.y + 1, width: width - 4, height: height - 2 }
}
