//! What there is to walk through: the runs that wait, and the guides, each with its age.

use ratatui::layout::{Position, Rect};

use super::Layout;
use crate::{
    base::{clock::Timestamp, text::width},
    console::{
        model::{Offered, Shelf, Waiting},
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line as Words, piece, wrap},
    },
    guide::walked,
};

/// Cells for the age of a list.
const AGE: usize = 13;

/// Draws it into `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    wall: Timestamp,
    area: Rect,
    layout: &mut Layout,
) {
    let (shelf, choice) = (&sight.state.guides.shelf, sight.state.guides.choice);
    let lines = rows(shelf, wall, area.width.into());
    let foot = foot(shelf, choice, wall, usize::from(area.width));
    let shown = area.height.saturating_sub(foot.len() as u16);
    let chosen = lines.iter().position(|(_, at)| *at == Some(choice)).unwrap_or(0);
    let first = (chosen + 1).saturating_sub(shown.into());
    layout.guide = (shown, lines.len() as u16);
    let all = Rect { height: shown, ..area };
    for (y, (line, at)) in (all.top()..all.bottom()).zip(lines.iter().skip(first)) {
        let row = Rect { y, height: 1, ..area };
        canvas.line(row, line);
        if *at == Some(choice) {
            canvas.select(row);
            layout.selection = Some(Position { x: row.x, y });
        }
    }
    for (y, line) in (all.bottom()..area.bottom()).zip(&foot) {
        canvas.line(Rect { y, height: 1, ..area }, line);
    }
}

/// The rows: runs that wait, then the guides, each with its age; with their places among what can be chosen.
fn rows(shelf: &Shelf, wall: Timestamp, cells: usize) -> Vec<(Words, Option<usize>)> {
    let mut lines: Vec<(Words, Option<usize>)> = Vec::new();
    if let Some(trouble) = &shelf.trouble {
        let words = wrap(trouble, cells).into_iter();
        lines.extend(words.map(|line| (vec![piece(line, Meaning::Warning)], None)));
    }
    if !shelf.runs.is_empty() {
        lines.push((vec![piece("Begun, and not over", Meaning::Title)], None));
    }
    for (at, run) in shelf.runs.iter().enumerate() {
        let began = run.began.strftime("%m-%d %H:%M");
        let mut line = vec![piece(format!("{began} {} ", run.on), Meaning::Muted)];
        line.push(match (&run.driver, &run.gone) {
            (Some(_), _) => piece("DRIVEN ", Meaning::Warning),
            (None, Some(_)) => piece("GONE ", Meaning::Warning),
            (None, None) => piece("waits ", Meaning::Text),
        });
        line.push(piece(run.title.to_string(), Meaning::Strong));
        line.push(piece(format!(": {}", run.step), Meaning::Text));
        lines.push((line, Some(at)));
    }
    if !shelf.runs.is_empty() {
        lines.push((Words::new(), None));
        lines.push((vec![piece("To begin", Meaning::Title)], None));
    }
    let longest = shelf.guides.iter().map(|guide| width(&guide.title)).max().unwrap_or_default();
    for (at, guide) in shelf.guides.iter().enumerate() {
        let (word, warns) = walked::word(guide.walked.as_ref(), wall);
        let gap = " ".repeat(longest - width(&guide.title));
        let line = vec![
            piece(format!("{}{gap}  ", guide.title), Meaning::Strong),
            piece(format!("{word:<AGE$}  "), if warns { Meaning::Warning } else { Meaning::Muted }),
            piece(guide.about.to_string(), Meaning::Muted),
        ];
        lines.push((line, Some(shelf.runs.len() + at)));
    }
    if shelf.is_empty() && shelf.trouble.is_none() {
        lines.push((vec![piece("reading", Meaning::Muted)], None));
    }
    lines
}

/// What the chosen guide is for, and who walked it last; where the chosen run stands, and what Enter does with it.
fn foot(shelf: &Shelf, choice: usize, wall: Timestamp, cells: usize) -> Vec<Words> {
    let (first, second) = match (shelf.runs.get(choice), choice.checked_sub(shelf.runs.len())) {
        (Some(run), _) => stands(run),
        (None, Some(at)) if let Some(guide) = shelf.guides.get(at) => meant(guide, wall),
        _ => return Vec::new(),
    };
    let first = wrap(&first, cells).into_iter().map(|line| (line, Meaning::Text));
    let second = wrap(&second, cells).into_iter().map(|line| (line, Meaning::Muted));
    let lines = first.chain(second).map(|(line, meaning)| vec![piece(line, meaning)]);
    std::iter::once(Words::new()).chain(lines).collect()
}

fn meant(guide: &Offered, wall: Timestamp) -> (String, String) {
    let last = match &guide.walked {
        Some(walked) => format!("On this target {}.", walked.in_words(wall)),
        None => "On this target nobody has walked it to its end yet.".to_owned(),
    };
    (guide.about.to_string(), last)
}

fn stands(run: &Waiting) -> (String, String) {
    let next = match (&run.driver, &run.gone) {
        (Some(driver), _) => format!("{driver} drives it: Enter looks on."),
        (None, Some(gone)) => format!("{gone}: Enter, then x ends it."),
        (None, None) => "Nobody drives it: Enter goes on with it.".to_owned(),
    };
    (format!("It stands at: {}", run.step), next)
}
