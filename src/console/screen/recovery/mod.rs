//! The Recovery screen: the line of time above, then the lists of backups, jobs and proofs.

mod line;
mod list;

use ratatui::layout::Rect;

use super::{Layout, detail, overview::edges, zoom};
use crate::console::{
    model::{Section, recovery_rows},
    view::{Sight, proofs},
    widget::{Canvas, grid},
};

/// Rows that each part gets. They hang on the size alone, so that nothing jumps when something moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    line: u16,
    lists: [u16; 3],
    /// What is known of the selected row.
    detail: u16,
    /// The last row tells what would expire.
    expiry: u16,
}

/// Rows that all three lists need: one each, and the lines above them.
const LISTS: u16 = 3 * 2;

impl Shares {
    /// Shares `height` rows inside the frame; the lines between the parts are counted in.
    fn new(height: u16, section: Section) -> Self {
        let line = match height {
            0..4 => 0,
            4..7 => 2,
            7..11 => 4,
            _ => line::ROWS,
        };
        let rest = height - line;
        let mut shares = Self { line, lists: [0; 3], detail: 0, expiry: 0 };
        if rest < LISTS + 2 {
            // One list at a time.
            let above = u16::from(line > 0).min(rest);
            shares.lists[section.place()] = rest - above;
            return shares;
        }
        shares.expiry = 1;
        let rest = rest - shares.expiry;
        if rest >= 27 {
            shares.detail = (rest / 4).clamp(7, 11);
        }
        let rows = rest - 3 - if shares.detail > 0 { shares.detail + 1 } else { 0 };
        let (jobs, proofs) = ((rows * 3 / 10).clamp(1, 9), (rows / 5).clamp(1, 6));
        shares.lists = [rows - jobs - proofs, jobs, proofs];
        shares
    }
}

/// Draws the screen into `area`.
pub fn draw(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect, layout: &mut Layout) {
    let framed = area.width >= 30 && area.height >= 7;
    let inner = if framed {
        Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 }
    } else {
        area
    };
    let section = sight.state.recovery.section;
    let mut shares = Shares::new(inner.height, section);
    if !framed && shares.detail > 0 {
        // Its heading stands on a line of the frame.
        shares.lists[0] += std::mem::take(&mut shares.detail) + 1;
    }
    if framed {
        grid(canvas, area, &[], &cuts(inner, &shares));
        line::title(canvas, sight, before(Rect { y: area.y, height: 1, ..inner }));
    }
    let mut y = inner.y;
    if shares.line > 0 {
        line::draw(canvas, sight, Rect { height: shares.line, ..inner }, layout);
        y += shares.line;
    }
    for part in Section::ALL {
        let rows = shares.lists[part.place()];
        layout.sections[part.place()] = rows;
        if rows == 0 {
            continue;
        }
        if y > inner.y {
            let alone = shares.expiry == 0;
            let text = Rect { y, height: 1, ..inner };
            let edge = if framed { before(text) } else { text };
            list::title(canvas, sight, part, rows, alone, (edge, text));
            y += 1;
        }
        list::draw(canvas, sight, part, Rect { y, height: rows, ..inner }, layout);
        y += rows;
        if part == Section::Backups && shares.detail > 0 {
            let room = Rect { y: y + 1, height: shares.detail, ..inner };
            selected(canvas, sight, room);
            y += shares.detail + 1;
        }
    }
    if shares.expiry > 0 {
        canvas.line(Rect { y, height: 1, ..inner }, &proofs::expiry(sight));
    }
    if framed {
        focus(canvas, section, area, inner, &shares);
    }
}

/// The same row from a cell before: there a name begins that stands on a line.
const fn before(row: Rect) -> Rect {
    Rect { x: row.x - 1, width: row.width + 1, ..row }
}

/// The rows on which lines go across.
fn cuts(inner: Rect, shares: &Shares) -> Vec<u16> {
    let mut cuts = Vec::new();
    let mut y = inner.y + shares.line;
    for part in Section::ALL {
        let rows = shares.lists[part.place()];
        if rows > 0 && y > inner.y {
            cuts.push(y);
            y += 1;
        }
        y += rows;
        if part == Section::Backups && shares.detail > 0 {
            cuts.push(y);
            y += shares.detail + 1;
        }
    }
    cuts
}

/// Marks the lines around the list that has the keys.
fn focus(canvas: &mut Canvas<'_>, section: Section, area: Rect, inner: Rect, shares: &Shares) {
    let before = Section::ALL.iter().take(section.place());
    let above: u16 = before
        .map(|part| shares.lists[part.place()])
        .filter(|rows| *rows > 0)
        .map(|rows| rows + 1)
        .sum();
    let below_detail =
        if section == Section::Backups || shares.detail == 0 { 0 } else { shares.detail + 1 };
    let top = inner.y + shares.line + above + below_detail;
    let rows = shares.lists[section.place()] + 2;
    let bottom = (top + rows).min(area.bottom());
    let begin = if shares.line > 0 { top } else { area.y };
    edges(canvas, Rect { y: begin, height: bottom.saturating_sub(begin), ..area });
}

/// What is known of the selected row of the list that has the keys, where there is room for it.
fn selected(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect) {
    let state = &sight.state.recovery;
    let rows = recovery_rows(sight.snapshot, state.section);
    let Some(row) = rows.get(state.place(state.section, &rows)) else { return };
    let (title, facts) = detail::facts_of(sight, row);
    zoom::facts(canvas, sight, area, &title, &facts);
}
