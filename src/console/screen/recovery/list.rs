//! The lists of the Recovery screen.

use ratatui::layout::{Position, Rect};

use super::Layout;
use crate::console::{
    model::{RecoveryRow, Section, recovery_rows},
    screen::pane::beyond,
    theme::Meaning,
    view::{Sight, backups, jobs, proofs},
    widget::{
        Canvas, Column, Line, TableRow, draw_captions, draw_rows, line_width, piece, place, wrap,
    },
};
use crate::{base::text::Text, watch::snapshot::Known};

/// The rows of a list, and which of them are in sight.
struct Shown<'a> {
    rows: Vec<RecoveryRow<'a>>,
    selected: usize,
    first: usize,
}

impl<'a> Shown<'a> {
    fn new(sight: &Sight<'a>, section: Section, room: u16) -> Self {
        let rows = recovery_rows(sight.snapshot, section);
        let selected = sight.state.recovery.place(section, &rows);
        let room = usize::from(room);
        let first = selected.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
        Self { rows, selected, first }
    }
}

fn columns(sight: &Sight<'_>, section: Section) -> Vec<Column> {
    match section {
        Section::Backups => backups::columns(sight.glyphs).to_vec(),
        Section::Jobs => jobs::columns(sight.glyphs).to_vec(),
        Section::Proofs => proofs::columns(sight.glyphs).to_vec(),
    }
}

fn table_row(sight: &Sight<'_>, row: &RecoveryRow<'_>) -> Option<TableRow> {
    match row {
        RecoveryRow::Backup(backup) => Some(backups::row(sight, backup)),
        RecoveryRow::Other(engine, backup) => Some(backups::row_of_engine(sight, engine, backup)),
        RecoveryRow::Proof(proof) => Some(proofs::row(sight, proof)),
        RecoveryRow::Job(_) | RecoveryRow::Running(_) => jobs::row(sight, row),
    }
}

/// Writes a list's name on the line above it, with what is out of sight, and the captions of its columns. A
/// list that stands alone says which of all it is. `edge` is the room of the name, `text` that of the rows.
pub fn title(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    section: Section,
    rows: u16,
    alone: bool,
    (edge, text): (Rect, Rect),
) {
    let shown = Shown::new(sight, section, rows);
    let focused = sight.state.recovery.section == section;
    let meaning = if focused { Meaning::TitleFocused } else { Meaning::Title };
    let mut line: Line = vec![piece(format!(" {} ", section.title()), meaning)];
    if alone {
        let place = format!("{}/{} ", section.place() + 1, Section::ALL.len());
        line.push(piece(place, Meaning::Muted));
    }
    let hidden = shown.rows.len().saturating_sub(shown.first + usize::from(rows));
    let beyond = beyond(sight, shown.first, hidden);
    if !beyond.is_empty() {
        line.push(piece(format!("{beyond} "), Meaning::Text));
    }
    let end = canvas.line(edge, &line);
    if section == Section::Backups {
        trend(canvas, sight, Rect { x: end, width: edge.right().saturating_sub(end), ..edge });
    } else if !shown.rows.is_empty() {
        let columns = columns(sight, section);
        let placed = place(&columns, text.width);
        draw_captions(canvas, text, &columns, &placed, (end + 1).saturating_sub(text.x));
    }
}

/// How size and duration of the selected kind of backup went.
fn trend(canvas: &mut Canvas<'_>, sight: &Sight<'_>, room: Rect) {
    let selected = sight.state.recovery.backup(sight.snapshot);
    let Some(backup) = selected.and_then(|row| row.backup()) else { return };
    let Some(trend) = backups::trend(sight, &backup.method) else { return };
    let words: Line = vec![piece(format!(" {} size ", backup.method), Meaning::Muted)];
    let more: Line = vec![piece(" time ", Meaning::Muted)];
    let fixed = (line_width(&words) + line_width(&more) + 1) as u16;
    if room.width < fixed + 8 {
        return;
    }
    let cells = ((room.width - fixed - 2) / 2).min(24).min(trend.sizes.len() as u16);
    let begin = room.right() - fixed - 2 * cells;
    let mut x = canvas.line(Rect { x: begin, width: room.right() - begin, ..room }, &words);
    canvas.spark(Rect { x, width: cells, ..room }, &trend.sizes, false);
    x += cells;
    x = canvas.line(Rect { x, width: room.right() - x, ..room }, &more);
    canvas.spark(Rect { x, width: cells, ..room }, &trend.durations, false);
    canvas.put(room, x + cells, room.y, " ", Meaning::Muted);
}

/// Draws the rows in sight; without any, why there is none.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    section: Section,
    area: Rect,
    layout: &mut Layout,
) {
    let shown = Shown::new(sight, section, area.height);
    if shown.rows.is_empty() {
        let lines = wrap(&none(sight, section), usize::from(area.width));
        for (y, line) in (area.top()..area.bottom()).zip(lines) {
            canvas.line(Rect { y, height: 1, ..area }, &[piece(line, Meaning::Muted)]);
        }
        return;
    }
    let columns = columns(sight, section);
    let placed = place(&columns, area.width);
    let window = shown.rows.iter().skip(shown.first).take(usize::from(area.height));
    let rows: Vec<TableRow> = window.filter_map(|row| table_row(sight, row)).collect();
    draw_rows(canvas, area, &columns, &placed, &rows);
    let y = area.y + shown.selected.saturating_sub(shown.first) as u16;
    if y < area.bottom() && sight.state.recovery.section == section {
        canvas.select(Rect { y, height: 1, ..area });
        layout.selection = Some(Position { x: area.x, y });
    }
}

/// Why a list has no row.
fn none(sight: &Sight<'_>, section: Section) -> String {
    let unknown = |why: Option<&str>| format!("{} {}", sight.glyphs.unknown(), why.unwrap_or(""));
    let repository = &sight.snapshot.backup.repository;
    match (section, repository, &sight.snapshot.jobs) {
        (Section::Jobs, _, Known::Is(_)) => {
            "No job was started from this account: `--detach`, or a command of this screen, starts one."
                .to_owned()
        }
        (Section::Jobs, _, unseen) => unknown(unseen.reason().map(Text::as_str)),
        (Section::Backups, Known::Is(_), _) => {
            "There is no backup yet: `howdah backup` takes one.".to_owned()
        }
        (Section::Proofs, Known::Is(_), _) => {
            "No restore was tried yet: `howdah prove` does, and measures the RTO.".to_owned()
        }
        (_, unseen, _) => unknown(unseen.reason().map(Text::as_str)),
    }
}
