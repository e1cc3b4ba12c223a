//! One pane over the whole screen: every column, and below the table what is known of the selected row.

use ratatui::layout::{Position, Rect};

use super::{Layout, detail, overview::edges, pane};
use crate::console::{
    model::{Pane, rows},
    theme::Meaning,
    view::{Sight, checks},
    widget::{
        Canvas, Fact, draw_captions, draw_facts, draw_rows, grid, lay_facts, line_width, piece,
        place,
    },
};

/// How the room inside is shared: rows of the table, of the detail, of the third part. The shares hang on
/// the size alone, so that nothing jumps when the selection moves.
struct Shares {
    table: u16,
    detail: u16,
    third: u16,
}

impl Shares {
    /// Shares `height` rows; two lines between the parts are counted in.
    fn new(pane: Pane, height: u16, any: bool) -> Self {
        let has_third = pane == Pane::Alerts;
        if height < 10 {
            return Self { table: height, detail: 0, third: 0 };
        }
        if !any {
            let table = 3.min(height);
            return Self {
                table,
                detail: 0,
                third: if has_third { height - table - 1 } else { 0 },
            };
        }
        if !has_third {
            let detail = (height * 11 / 20).clamp(5, 14);
            return Self { table: height - detail - 1, detail, third: 0 };
        }
        let table = (height / 4).clamp(4, 12).min(height - 8);
        let rest = height - table - 2;
        let detail = (rest * 6 / 10).clamp(3, 10);
        Self { table, detail, third: rest - detail }
    }
}

/// Draws the zoomed pane into `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    shown: Pane,
    area: Rect,
    layout: &mut Layout,
) {
    if area.width < 6 || area.height < 4 {
        return;
    }
    let inner =
        Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 };
    let any = !rows(sight.snapshot, shown, &sight.state.filter).is_empty();
    let shares = Shares::new(shown, inner.height, any);
    let table = Rect { height: shares.table, ..inner };
    let mut cuts = Vec::new();
    if shares.detail > 0 {
        cuts.push(table.bottom());
    }
    if shares.third > 0 {
        cuts.push(inner.bottom() - shares.third - 1);
    }
    grid(canvas, area, &[], &cuts);
    edges(canvas, area);
    for cut in &cuts {
        let line = Rect { x: area.x + 1, y: *cut, width: area.width - 2, height: 1 };
        canvas.tint(line, Meaning::Border);
    }
    let captions = u16::from(table.height > 2);
    let rows_room = table.height - captions;
    let list = pane::List::new(sight, shown, rows_room);
    pane::title(canvas, sight, shown, &list, area);
    let top = table.y + if any { captions } else { 0 };
    let body = Rect { y: top, height: table.bottom() - top, ..inner };
    let (columns, rows) = pane::table(sight, shown, &list, body);
    let placed = place(&columns, inner.width);
    if captions > 0 && any {
        draw_captions(canvas, table, &columns, &placed, 0);
    }
    pane::body(canvas, sight, shown, (&columns, &placed, &rows), body);
    layout.rows[shown.place()] = rows_room;
    if any {
        let y = top + pane::line_of(sight, shown, &list, body) as u16;
        if y < table.bottom() {
            let line = Rect { x: area.x + 1, y, width: area.width - 2, height: 1 };
            canvas.select(line);
            layout.selection = Some(Position { x: inner.x, y });
        }
    }
    if shares.detail > 0 {
        let place = Rect { y: table.bottom() + 1, height: shares.detail, ..inner };
        selected(canvas, sight, shown, &list, place);
    }
    if shares.third > 0 {
        let place = Rect { y: inner.bottom() - shares.third, height: shares.third, ..inner };
        all_checks(canvas, sight, place, layout);
    }
}

/// Writes a heading on the line above `area`, and what is out of sight.
fn heading(canvas: &mut Canvas<'_>, area: Rect, title: &str, beyond: &str) {
    let edge = Rect { x: area.x - 1, y: area.y - 1, width: area.width + 2, height: 1 };
    let mut line = vec![piece(format!(" {title} "), Meaning::Title)];
    if !beyond.is_empty() {
        line.push(piece(format!("{beyond} "), Meaning::Text));
    }
    canvas.line(edge, &line);
}

/// Draws facts under their heading, as many as fit.
pub fn facts(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, title: &str, facts: &[Fact]) {
    let lines = lay_facts(facts, area.width);
    let hidden = lines.len().saturating_sub(usize::from(area.height));
    heading(canvas, area, title, &pane::beyond(sight, 0, hidden));
    draw_facts(canvas, area, &lines, 0);
}

fn selected(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    shown: Pane,
    list: &pane::List<'_>,
    area: Rect,
) {
    let Some(index) = list.rows.window(list.selected, 1).first() else { return };
    let (title, known) = detail::facts(sight, shown, *index);
    facts(canvas, sight, area, &title, &known);
}

/// All checks, from the one on to which the person has scrolled.
fn all_checks(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let (all, room) = (sight.snapshot.checks.len(), usize::from(area.height));
    let first = usize::from(sight.state.below).min(all.saturating_sub(room));
    layout.below = (area.height, all as u16);
    heading(
        canvas,
        area,
        "All checks",
        &pane::beyond(sight, first, all.saturating_sub(first + room)),
    );
    let columns = checks::columns(sight.glyphs);
    let placed = place(&columns, area.width);
    let rows = checks::rows(sight, first, room);
    draw_rows(canvas, area, &columns, &placed, &rows);
    let summary = checks::summary(sight);
    let width = line_width(&summary) as u16 + 2;
    if width + 24 < area.width {
        let mut line = vec![piece(" ", Meaning::Text)];
        line.extend(summary);
        line.push(piece(" ", Meaning::Text));
        canvas.line_right(Rect { y: area.y - 1, height: 1, ..area }, &line);
    }
}
