//! One pane at a time, with the four as tabs above it: for screens too small for all of them.

use ratatui::layout::Rect;

use super::{Layout, overview::edges, pane};
use crate::{
    base::text::width,
    console::{
        model::Pane,
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line, grid, line_width, piece, place},
    },
};

/// The names of the tabs.
const fn short(pane: Pane) -> &'static str {
    match pane {
        Pane::Pools => "Pools",
        Pane::Breakers => "Breakers",
        Pane::Alerts => "Alerts",
        Pane::Backup => "Backup",
    }
}

/// Draws the focused pane into `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let focus = sight.state.focus;
    let mut room = area;
    if area.height >= 3 {
        let beyond = if framed(area) {
            String::new()
        } else {
            pane::List::new(sight, focus, area.height - 1).beyond(sight)
        };
        bar(canvas, sight, &beyond, Rect { height: 1, ..area });
        room = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    let shown = if framed(area) {
        grid(canvas, room, &[], &[]);
        edges(canvas, room);
        pane::draw(canvas, sight, focus, room, layout)
    } else {
        bare(canvas, sight, focus, room, layout)
    };
    layout.rows[focus.place()] = shown;
}

/// True when there is room for lines around the pane.
const fn framed(area: Rect) -> bool {
    area.width >= 50 && area.height >= 7
}

/// Draws the tabs; each says the worst of its pane. When they do not fit, only the focused one stands
/// there and says which of the four it is.
fn bar(canvas: &mut Canvas<'_>, sight: &Sight<'_>, beyond: &str, row: Rect) {
    let focus = sight.state.focus;
    let mut line = Line::new();
    for pane in Pane::ALL {
        let mut tab = pane::tab(sight, pane, short(pane));
        if pane == focus {
            for piece in &mut tab {
                piece.text = format!("[{}]", piece.text);
                piece.meaning = Meaning::TitleFocused;
            }
        }
        if !line.is_empty() {
            line.push(piece(" ", Meaning::Text));
        }
        line.extend(tab);
    }
    if line_width(&line) > usize::from(row.width) {
        line = pane::tab(sight, focus, short(focus));
        line.push(piece(format!(" {}/4", focus.place() + 1), Meaning::Muted));
    }
    let end = canvas.line(row, &line);
    let rest = Rect { x: end, width: row.right() - end, ..row };
    if rest.width > width(beyond) as u16 {
        canvas.line_right(rest, &[piece(beyond, Meaning::Text)]);
    }
}

/// Draws the rows without lines around them: every cell counts here.
fn bare(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    focus: Pane,
    room: Rect,
    layout: &mut Layout,
) -> u16 {
    if room.is_empty() {
        return 0;
    }
    let list = pane::List::new(sight, focus, room.height);
    let (columns, rows) = pane::table(sight, focus, &list, room);
    let placed = place(&columns, room.width);
    pane::body(canvas, sight, focus, (&columns, &placed, &rows), room);
    let y = room.y + pane::line_of(sight, focus, &list, room) as u16;
    if !list.rows.is_empty() && y < room.bottom() {
        canvas.select(Rect { y, height: 1, ..room });
        layout.selection = Some(ratatui::layout::Position { x: room.x, y });
    }
    room.height
}
