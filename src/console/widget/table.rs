//! A table whose columns leave in a fixed order when the room gets small.

use ratatui::layout::Rect;

use super::{
    canvas::Canvas,
    text::{Line, Piece, line_width},
};
use crate::console::theme::Meaning;

/// A column: how much room it wants, and when it goes.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its caption.
    pub title: &'static str,
    /// The cells that it needs.
    pub min: u16,
    /// The cells that it takes when there is room.
    pub max: u16,
    /// Figures stand at the right of their column.
    pub right: bool,
    /// Columns of the highest rank go first; those of rank 0 never go.
    pub rank: u8,
    /// Never cut, because it holds a word that must be read whole. Others give way first.
    pub whole: bool,
}

impl Column {
    /// A column of words that grows from `min` to `max` and leaves by `rank`.
    pub const fn words(title: &'static str, min: u16, max: u16, rank: u8) -> Self {
        Self { title, min, max, right: false, rank, whole: false }
    }

    /// A column of figures, `cells` wide.
    pub const fn figures(title: &'static str, cells: u16, rank: u8) -> Self {
        Self { title, min: cells, max: cells, right: true, rank, whole: false }
    }

    /// The same column, never cut.
    #[must_use]
    pub const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }
}

/// What stands in one place of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Words(Line),
    /// A bar that is full at 1.
    Bar(Option<f64>),
    /// A trend, oldest first.
    Spark(Vec<f32>),
}

impl From<Piece> for Cell {
    fn from(piece: Piece) -> Self {
        Self::Words(vec![piece])
    }
}

impl From<Line> for Cell {
    fn from(line: Line) -> Self {
        Self::Words(line)
    }
}

/// A row: a cell for each column, shown or not.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// The cells, in the order of the columns.
    pub cells: Vec<Cell>,
    /// Its facts are too old to be believed: all but words of warning are dimmed.
    pub stale: bool,
}

/// Where a column came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its place among the columns.
    pub column: usize,
    /// Its first cell, counted from the left of the table.
    pub x: u16,
    /// Its cells.
    pub width: u16,
}

/// Decides which columns are shown in `room` cells, and how wide.
pub fn place(columns: &[Column], room: u16) -> Vec<Placed> {
    let mut shown: Vec<(usize, u16)> =
        columns.iter().enumerate().map(|(index, column)| (index, column.min)).collect();
    let taken = |shown: &[(usize, u16)], gap: u16| {
        let cells: u32 = shown.iter().map(|(_, width)| u32::from(*width)).sum();
        cells + u32::from(gap) * (shown.len().saturating_sub(1)) as u32
    };
    let room_for = u32::from(room);
    while taken(&shown, 1) > room_for {
        let last =
            shown.iter().enumerate().max_by_key(|(at, (index, _))| (columns[*index].rank, *at));
        match last {
            Some((at, (index, _))) if columns[*index].rank > 0 => shown.remove(at),
            _ => break,
        };
    }
    // Too small even for what never goes: names give way to words that must be read whole.
    while taken(&shown, 1) > room_for {
        let widest = shown
            .iter_mut()
            .filter(|(index, width)| !columns[*index].whole && *width > 0)
            .max_by_key(|(_, width)| *width);
        match widest {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
    shown.retain(|(_, width)| *width > 0);
    let gap = if room >= 76 && taken(&shown, 2) <= room_for { 2 } else { 1 };
    let mut spare = room_for.saturating_sub(taken(&shown, gap));
    while spare > 0 {
        let before = spare;
        for (index, width) in &mut shown {
            if spare > 0 && *width < columns[*index].max {
                *width += 1;
                spare -= 1;
            }
        }
        if spare == before {
            break;
        }
    }
    let mut x = 0;
    shown
        .into_iter()
        .map(|(column, width)| {
            let placed = Placed { column, x, width };
            x += width + gap;
            placed
        })
        .collect()
}

/// Writes the captions of the columns into `area`'s first row, as far as they fit over their column and
/// begin at `from` or later.
pub fn draw_captions(
    canvas: &mut Canvas<'_>,
    area: Rect,
    columns: &[Column],
    placed: &[Placed],
    from: u16,
) {
    let mut last = None;
    for place in placed {
        let column = &columns[place.column];
        let cells = column.title.len() as u16;
        let x = if column.right { (place.x + place.width).saturating_sub(cells) } else { place.x };
        if cells > 0 && cells <= place.width && x >= from {
            // Blanks set a caption off from the line that it may stand on; little stumps of the line
            // between two captions would look like signs.
            let blank = match last {
                Some(last) if x.saturating_sub(last) < 6 => x.saturating_sub(last),
                _ => u16::from(x > from),
            };
            for before in x - blank..x {
                canvas.put(area, area.x + before, area.y, " ", Meaning::Muted);
            }
            last = Some(x + cells);
            let end = canvas.put(area, area.x + x, area.y, column.title, Meaning::Muted);
            canvas.put(area, end, area.y, " ", Meaning::Muted);
        }
    }
}

/// Writes rows, one below the other, as many as fit.
pub fn draw_rows(
    canvas: &mut Canvas<'_>,
    area: Rect,
    columns: &[Column],
    placed: &[Placed],
    rows: &[TableRow],
) {
    for (y, row) in (area.top()..area.bottom()).zip(rows) {
        for place in placed {
            let left = area.x + place.x;
            if left >= area.right() {
                break;
            }
            let width = place.width.min(area.right() - left);
            let spot = Rect { x: left, y, width, height: 1 };
            match &row.cells[place.column] {
                Cell::Bar(share) => canvas.bar(spot, *share, row.stale),
                Cell::Spark(values) => canvas.spark(spot, values, row.stale),
                Cell::Words(line) => {
                    let line = if row.stale { faded(line) } else { line.clone() };
                    if columns[place.column].right && line_width(&line) <= usize::from(width) {
                        canvas.line_right(spot, &line);
                    } else {
                        canvas.line(spot, &line);
                    }
                }
            }
        }
    }
}

fn faded(line: &[Piece]) -> Line {
    let fade = |piece: &Piece| match piece.meaning {
        Meaning::Warning | Meaning::Unknown => piece.clone(),
        _ => Piece { meaning: Meaning::Stale, ..piece.clone() },
    };
    line.iter().map(fade).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::words("name", 6, 12, 0),
        Column::words("state", 11, 11, 0).whole(),
        Column::figures("calls", 5, 1),
        Column::words("detail", 8, u16::MAX, 2),
    ];

    fn names(room: u16) -> Vec<(&'static str, u16)> {
        place(&COLUMNS, room).iter().map(|p| (COLUMNS[p.column].title, p.width)).collect()
    }

    #[test]
    fn columns_leave_in_a_fixed_order_and_names_give_way_to_states() {
        assert_eq!(names(40), [("name", 10), ("state", 11), ("calls", 5), ("detail", 11)]);
        assert_eq!(names(33), [("name", 6), ("state", 11), ("calls", 5), ("detail", 8)]);
        assert_eq!(names(32), [("name", 12), ("state", 11), ("calls", 5)]);
        assert_eq!(names(20), [("name", 8), ("state", 11)]);
        assert_eq!(names(15), [("name", 3), ("state", 11)]);
        assert_eq!(names(12), [("state", 11)]);
    }

    proptest! {
        #[test]
        fn columns_never_overlap_nor_leave_the_table(room in 12_u16..400) {
            let placed = place(&COLUMNS, room);
            prop_assert!(placed.windows(2).all(|two| two[0].x + two[0].width < two[1].x));
            let last = placed.last().expect("one column at least");
            prop_assert!(last.x + last.width <= room, "{placed:?}");
        }
    }
}
