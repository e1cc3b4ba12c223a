//! Everything known of the selected row, in a popup that scrolls.

use ratatui::layout::Rect;

use super::{Layout, pane::List};
use crate::console::{
    model::Pane,
    theme::Meaning,
    view::{Sight, alerts, backup, breakers, checks, pools, recovery},
    widget::{
        Canvas, Fact, Popup, draw_facts, draw_rows, lay_facts, piece, place, popup, popup_width,
    },
};

/// What is known of the thing at that place of the pane's list: a title and its facts.
pub fn facts(sight: &Sight<'_>, pane: Pane, index: usize) -> (String, Vec<Fact>) {
    match pane {
        Pane::Pools => pools::detail(sight, index),
        Pane::Breakers => breakers::detail(sight, index),
        Pane::Alerts => alerts::detail(sight, index),
        Pane::Backup => backup::detail(sight, index),
    }
}

/// Draws the popup over `area`. The detail of an alert goes on with all checks, the detail of a backup
/// row with what could be brought back.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let pane = sight.state.zoom.unwrap_or(sight.state.focus);
    let list = List::new(sight, pane, 1);
    let row = list.rows.row(list.selected);
    let (mut title, mut all) =
        row.map_or_else(|| (String::new(), Vec::new()), |row| facts(sight, pane, row.index));
    if title.is_empty() {
        pane.title().clone_into(&mut title);
    }
    if pane == Pane::Backup {
        all.push(Fact { label: "", value: piece("", Meaning::Text).into() });
        all.extend(recovery::facts(sight));
    }
    let wide = popup_width(area, 110);
    let lines = lay_facts(&all, wide.saturating_sub(4));
    let checks = if pane == Pane::Alerts { sight.snapshot.checks.len() } else { 0 };
    let gap = usize::from(!lines.is_empty() && checks > 0);
    let total = lines.len() + gap + checks;
    let height = (total as u16).saturating_add(2).min(area.height);
    let shown = usize::from(height.saturating_sub(2));
    let first = usize::from(sight.state.scroll).min(total.saturating_sub(shown));
    let hidden = total - shown.min(total) - first;
    let foot = match (first, hidden) {
        (0, 0) => Vec::new(),
        (_, 0) => vec![piece(" end ", Meaning::Muted)],
        (_, hidden) => {
            vec![piece(format!(" {} {hidden} more ", sight.glyphs.down()), Meaning::Text)]
        }
    };
    let inner = popup(canvas, area, &Popup { title, width: wide, height, foot });
    layout.overlay = (inner.height, total as u16);
    draw_facts(canvas, inner, &lines, first);
    let above = lines.len() + gap;
    if checks > 0 && above < first + shown {
        let skip = first.saturating_sub(above);
        let y = inner.y + above.saturating_sub(first) as u16;
        let room = Rect { y, height: inner.bottom().saturating_sub(y), ..inner };
        let columns = checks::columns(sight.glyphs);
        let placed = place(&columns, room.width);
        let rows = checks::rows(sight, skip, usize::from(room.height));
        draw_rows(canvas, room, &columns, &placed, &rows);
    }
}
