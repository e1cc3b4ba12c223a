//! The line of time: base backups as marks above a bar of what can be restored, a cursor on both, and
//! what is known of the moment under it.

use ratatui::layout::Rect;

use super::Layout;
use crate::{
    base::text::width,
    console::{
        model::line_of_time,
        theme::Meaning,
        view::{
            Sight,
            timeline::{self, Covered},
        },
        widget::{Canvas, piece, wrap},
    },
    watch::snapshot::{Known, Timeline},
};

/// Rows that it takes: marks, bar, ends, and two of words.
pub const ROWS: u16 = 5;

/// What moves the cursor.
const HINT: &str = " left and right pick a moment, R restores to it ";

/// Writes the title.
pub fn title(canvas: &mut Canvas<'_>, sight: &Sight<'_>, edge: Rect) {
    let mut line = vec![piece(" WAL timeline ", Meaning::Title)];
    if let Some(old) = sight.stale(crate::watch::sources::keeper::REPOSITORY) {
        let words = format!("STALE {} ", crate::base::units::age(old));
        line.push(piece(words, Meaning::Warning));
    }
    let taken = usize::from(canvas.line(edge, &line).saturating_sub(edge.x));
    if line_of_time(sight.snapshot).is_some_and(|line| !line.bases.is_empty())
        && taken + HINT.len() < usize::from(edge.width)
    {
        canvas.line_right(edge, &[piece(HINT, Meaning::Muted)]);
    }
}

/// Draws it into `area`; with few rows the words come first, then the bar, then marks and ends.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    layout.line = area.width;
    let Some(line) = line_of_time(sight.snapshot).filter(|line| !line.bases.is_empty()) else {
        let why = why_none(sight);
        for (y, words) in (area.top()..area.bottom()).zip(wrap(&why, usize::from(area.width))) {
            canvas.line(Rect { y, height: 1, ..area }, &[piece(words, Meaning::Muted)]);
        }
        return;
    };
    let mut y = area.y;
    let mut next = || {
        y += 1;
        Rect { y: y - 1, height: 1, ..area }
    };
    match area.height {
        0 => return,
        1..4 => {}
        4 => bar(canvas, sight, line, None, next()),
        _ => {
            let marks = next();
            bar(canvas, sight, line, Some(marks), next());
            ends(canvas, sight, next());
        }
    }
    if area.height == 4 {
        ends(canvas, sight, next());
    }
    for words in timeline::moment(sight) {
        let row = next();
        if row.y < area.bottom() {
            canvas.line(row, &words);
        }
    }
}

/// Why there is no line.
fn why_none(sight: &Sight<'_>) -> String {
    let why = match &sight.snapshot.backup.repository {
        Known::Is(kept) => match &kept.timeline {
            Known::Is(_) => "there is no base backup yet, so no moment can be restored",
            unseen => unseen.reason().map_or("", |why| why.as_str()),
        },
        unseen => unseen.reason().map_or("", |why| why.as_str()),
    };
    format!("{} {why}", sight.glyphs.unknown())
}

fn bar(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    line: &Timeline,
    marks: Option<Rect>,
    row: Rect,
) {
    let state = &sight.state.recovery;
    let Some(axis) = state.axis(sight.snapshot, sight.wall, row.width) else { return };
    let cells = timeline::cells(line, &axis, sight.wall, row.width);
    for (x, covered) in (row.left()..row.right()).zip(cells) {
        let [whole, gap, outside] = sight.glyphs.time();
        let (sign, meaning) = match covered {
            Covered::Whole => (whole, Meaning::Ok),
            Covered::Gap => (gap, Meaning::Critical),
            Covered::Outside => (outside, Meaning::Muted),
            Covered::Ahead => (" ", Meaning::Muted),
        };
        canvas.put(row, x, row.y, sign, meaning);
    }
    let cursor = state.moment(sight.snapshot).and_then(|at| axis.cell(at));
    if let Some(marks) = marks {
        for (cell, meaning) in timeline::marks(sight, line, &axis) {
            canvas.put(marks, marks.x + cell, marks.y, sight.glyphs.base(), meaning);
        }
        if let Some(cell) = cursor {
            canvas.put(marks, marks.x + cell, marks.y, sight.glyphs.cursor(), Meaning::Strong);
        }
    }
    if let Some(cell) = cursor {
        canvas.select(Rect { x: row.x + cell, width: 1, ..row });
    }
}

/// The moments at both ends of the bar, and what a cell is where there is room.
fn ends(canvas: &mut Canvas<'_>, sight: &Sight<'_>, row: Rect) {
    let state = &sight.state.recovery;
    let Some(axis) = state.axis(sight.snapshot, sight.wall, row.width) else { return };
    let timeline::Ends { from, cell, to: (to, cells) } = timeline::ends(sight, &axis, row.width);
    canvas.line(row, &[piece(&from, Meaning::Muted)]);
    let begin = row.x + width(&from) as u16 + 2;
    let end = row.x + cells.max(width(&to) as u16);
    let at = end.saturating_sub(width(&to) as u16);
    if at >= begin {
        canvas.put(row, at, row.y, &to, Meaning::Muted);
    }
    // In the middle of what is left, or behind the end of a young history.
    let (left, right) = if at >= begin + width(&cell) as u16 + 4 {
        (begin, at)
    } else {
        (end.max(begin), row.right())
    };
    let room = usize::from(right.saturating_sub(left));
    if room >= width(&cell) + 2 {
        let x = left + ((room - width(&cell)) / 2) as u16;
        canvas.put(row, x, row.y, &cell, Meaning::Muted);
    }
}
