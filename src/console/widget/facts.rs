//! Labelled facts, one below the other, that break over lines where they must.

use ratatui::layout::Rect;

use super::{
    canvas::Canvas,
    table::Cell,
    text::{Line, wrap_line},
};
use crate::console::theme::Meaning;

/// A labelled fact.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its label; empty continues the fact above.
    pub label: &'static str,
    /// The fact.
    pub value: Cell,
}

/// One line of a laid-out list of facts.
#[derive(Clone, Debug)]
pub struct FactLine {
    label: &'static str,
    value: Cell,
}

impl FactLine {
    /// A line that goes over the whole width, such as a heading.
    pub fn heading(label: &'static str) -> Self {
        Self { label, value: Cell::Words(Line::new()) }
    }
}

/// Cells that the labels take.
const LABELS: u16 = 13;

/// Breaks facts into lines for a width. In less than 30 cells the labels are left out.
pub fn lay_facts(facts: &[Fact], width: u16) -> Vec<FactLine> {
    let room = usize::from(width.saturating_sub(label_cells(width)));
    let mut lines = Vec::new();
    for fact in facts {
        match &fact.value {
            Cell::Words(line) => {
                for (nth, line) in wrap_line(line, room).into_iter().enumerate() {
                    let label = if nth == 0 { fact.label } else { "" };
                    lines.push(FactLine { label, value: line.into() });
                }
            }
            other => lines.push(FactLine { label: fact.label, value: other.clone() }),
        }
    }
    lines
}

const fn label_cells(width: u16) -> u16 {
    if width < 30 { 0 } else { LABELS }
}

/// Draws the lines from `first` on, as many as fit.
pub fn draw_facts(canvas: &mut Canvas<'_>, area: Rect, lines: &[FactLine], first: usize) {
    let labels = label_cells(area.width);
    for (y, line) in (area.top()..area.bottom()).zip(lines.iter().skip(first)) {
        let row = Rect { y, height: 1, ..area };
        if labels > 0 {
            canvas.put(row, row.x, y, line.label, Meaning::Muted);
        }
        let value = Rect { x: row.x + labels, width: row.width - labels, ..row };
        match &line.value {
            Cell::Words(words) => {
                canvas.line(value, words);
            }
            Cell::Bar(share) => canvas.bar(value, *share, false),
            Cell::Spark(values) => {
                let width = value.width.min(values.len() as u16);
                canvas.spark(Rect { width, ..value }, values, false);
            }
        }
    }
}
