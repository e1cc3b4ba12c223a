//! Everything known of the selected row, in a popup that scrolls.

use ratatui::layout::Rect;

use super::{Layout, pane::List};
use crate::console::{
    model::{Pane, RecoveryRow, Screen, recovery_rows},
    theme::Meaning,
    view::{Sight, alerts, backup, breakers, checks, engines, jobs, kept, pools, proofs, recovery},
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

/// What is known of the selected row of the Recovery screen; below it what could be brought back.
fn of_recovery(sight: &Sight<'_>) -> (String, Vec<Fact>) {
    let section = sight.state.recovery.section;
    let rows = recovery_rows(sight.snapshot, section);
    let selected = rows.get(sight.state.recovery.place(section, &rows));
    selected.map_or_else(|| (String::new(), Vec::new()), |row| facts_of(sight, row))
}

/// What is known of a row of the Recovery screen: a title and its facts.
pub fn facts_of(sight: &Sight<'_>, row: &RecoveryRow<'_>) -> (String, Vec<Fact>) {
    match row {
        RecoveryRow::Backup(backup) => kept::detail(sight, backup),
        RecoveryRow::Other(engine, backup) => engines::backup_detail(sight, engine, backup),
        RecoveryRow::Running(running) => backup::running_facts(sight, running),
        RecoveryRow::Job(job) => jobs::detail(sight, job),
        RecoveryRow::Proof(proof) => proofs::detail(sight, proof),
    }
}

/// Draws the popup over `area`. The detail of an alert goes on with all checks, the detail of a backup
/// row with what could be brought back.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let pane = sight.state.zoom.unwrap_or(sight.state.focus);
    let recovery = sight.state.screen == Screen::Recovery;
    let (mut title, mut all) = if recovery {
        of_recovery(sight)
    } else {
        let list = List::new(sight, pane, 1);
        let row = list.rows.row(list.selected);
        row.map_or_else(|| (String::new(), Vec::new()), |row| facts(sight, pane, row.index))
    };
    if title.is_empty() {
        let name = if recovery { Screen::Recovery.title() } else { pane.title() };
        name.clone_into(&mut title);
    }
    if recovery || pane == Pane::Backup {
        all.push(Fact { label: "", value: piece("", Meaning::Text).into() });
        all.extend(recovery::facts(sight));
    }
    let wide = popup_width(area, 110);
    let lines = lay_facts(&all, wide.saturating_sub(4));
    let checks = if pane == Pane::Alerts && !recovery { sight.snapshot.checks.len() } else { 0 };
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
