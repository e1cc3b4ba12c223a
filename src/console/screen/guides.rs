//! What walks a person through: the guides and the runs that wait, or the page of the one that is open.

use std::time::Duration;

use ratatui::layout::{Position, Rect};

use super::{Layout, Ui, lines::input, shelf};
use crate::{
    base::{clock::Timestamp, text::width, units},
    console::{
        model::{Answering, Overlay, Seat, Sheet},
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line as Words, Piece, Tone, grid, marked, piece, wrap, wrap_line},
    },
    guide::{
        page::{Ask, Line, Pace, Page, Undo},
        spec::Grade,
    },
};

/// Choices of a page in sight at once: there is room for what they are about, too.
const OFFERED: usize = 9;

/// Draws the screen into `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) {
    if area.width < 6 || area.height < 3 {
        return;
    }
    grid(canvas, area, &[], &[]);
    super::overview::edges(canvas, area);
    let inner =
        Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 };
    let head = Rect { y: area.y, height: 1, ..inner };
    match &sight.state.guides.sheet {
        None => {
            canvas.line(head, &[piece(" Guides ", Meaning::TitleFocused)]);
            shelf::draw(canvas, sight, ui.wall, inner, layout);
        }
        Some(sheet) => {
            let page = &sheet.page;
            let title = format!(" {} {} {} ", page.title, canvas.glyphs.dot(), page.on);
            canvas.line(head, &[piece(title, Meaning::TitleFocused)]);
            if let Some(clock) = clock(page, ui.wall)
                && usize::from(head.width) > clock.text.len() + 40
            {
                canvas.line_right(head, &[clock]);
            }
            self::sheet(canvas, sight, ui, sheet, inner, layout);
        }
    }
}

/// How long it has taken, of what it may take: the promise for RTO. A warning from its half on, critical from
/// four fifths.
fn clock(page: &Page, wall: Timestamp) -> Option<Piece> {
    let since = wall.duration_since(page.began);
    if since.is_negative() || page.ask == Ask::Over {
        return None;
    }
    let since = since.unsigned_abs();
    let Some(budget) = page.budget.filter(|budget| *budget > 0) else {
        return Some(piece(
            format!(" since the beginning {} ", units::clock(since)),
            Meaning::Muted,
        ));
    };
    let of = units::clock(Duration::from_secs(budget));
    let meaning = match since.as_secs() * 10 / budget {
        8.. => Meaning::Critical,
        5.. => Meaning::Warning,
        _ => Meaning::Muted,
    };
    Some(piece(format!(" RTO {} of {of} ", units::clock(since)), meaning))
}

fn sheet(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    sheet: &Sheet,
    area: Rect,
    layout: &mut Layout,
) {
    let page = &sheet.page;
    let cells = usize::from(area.width);
    let mut head: Vec<Words> = vec![Words::new()];
    head.extend(wrap(&page.line, cells).into_iter().map(|line| vec![piece(line, Meaning::Strong)]));
    let asks = asked(canvas, sight, sheet, ui.wall, cells);
    let body: Vec<Words> = page.body.iter().flat_map(|line| told(canvas, line, cells)).collect();

    let room = area.height.saturating_sub(head.len() as u16 + asks.lines.len() as u16 + 2);
    layout.guide = (room, body.len() as u16);
    let mut y = area.top();
    let mut put = |canvas: &mut Canvas<'_>, line: &Words| {
        if y < area.bottom() {
            canvas.line(Rect { y, height: 1, ..area }, line);
        }
        y += 1;
    };
    for line in &head {
        put(canvas, line);
    }
    self::head(canvas, page, Rect { height: 1, ..area });
    put(canvas, &Words::new());
    let first = sight.state.guides.scroll.min((body.len() as u16).saturating_sub(room));
    for line in body.iter().skip(first.into()).take(room.into()) {
        put(canvas, line);
    }
    let hidden = (body.len() as u16).saturating_sub(first + room);
    put(canvas, &elsewhere(first, hidden));
    // The question stands at the bottom, always in the same place.
    let first = area.bottom().saturating_sub(asks.lines.len() as u16).max(area.top());
    for (y, (nth, line)) in (first..area.bottom()).zip(asks.lines.iter().enumerate()) {
        let row = Rect { y, height: 1, ..area };
        if asks.typed == Some(nth) {
            layout.cursor = input(canvas, sight, row, ">");
        } else {
            canvas.line(row, line);
        }
        if asks.chosen == Some(nth) {
            canvas.select(row);
            layout.selection = Some(Position { x: row.x, y });
        }
    }
}

/// How many lines stand above and below what is in sight, and the key that shows them.
fn elsewhere(above: u16, below: u16) -> Words {
    let lines = |many: u16, word: &str, key: &str| {
        let lines = if many == 1 { "line" } else { "lines" };
        format!("{many} {word} {lines}: {key}")
    };
    let words = match (above, below) {
        (0, 0) => return Words::new(),
        (_, 1..) => lines(below, "more", "page-down"),
        _ => lines(above, "earlier", "page-up"),
    };
    vec![piece(words, Meaning::Muted)]
}

/// The part and the step; and, whatever else has to go, on which machine and on what.
fn head(canvas: &mut Canvas<'_>, page: &Page, row: Rect) {
    let site = page.site.in_words();
    let at = canvas.line_right(row, &[piece(site, Meaning::Strong)]);
    let left = Rect { width: at.saturating_sub(row.x + 2), ..row };
    let words = format!("step {} {} {}", page.number, canvas.glyphs.dot(), page.chunk);
    canvas.line(left, &[piece(words, Meaning::Muted)]);
}

/// The lines of a question.
#[derive(Default)]
struct Asked {
    lines: Vec<Words>,
    /// The line that is chosen.
    chosen: Option<usize>,
    /// The line that is being typed.
    typed: Option<usize>,
}

fn asked(
    canvas: &Canvas<'_>,
    sight: &Sight<'_>,
    sheet: &Sheet,
    wall: Timestamp,
    cells: usize,
) -> Asked {
    let page = &sheet.page;
    let mut asked = Asked::default();
    if let Some(why) = &sheet.refusal {
        let said = [
            piece(canvas.glyphs.mark(Tone::WARN.mark), Meaning::Warning),
            piece(format!(" {why}"), Meaning::Warning),
        ];
        asked.lines.extend(wrap_line(&said, cells));
    }
    match &sheet.seat {
        Seat::Ours => {}
        Seat::Theirs(driver) => {
            if let Some(rests) = &page.rests {
                asked.lines.push(vec![piece(rests.to_string(), Meaning::Warning)]);
            }
            let words = format!("{driver} drives this run; you look on");
            asked.lines.push(vec![piece(words, Meaning::Warning)]);
            return asked;
        }
        Seat::Free => {
            if let Some(rests) = &page.rests {
                asked.lines.push(vec![piece(rests.to_string(), Meaning::Warning)]);
            }
            let words = " nobody drives this run: takes it over".to_owned();
            asked.lines.push(vec![piece("Enter", Meaning::Key), piece(words, Meaning::Text)]);
            return asked;
        }
    }
    match &page.undo {
        Some(Undo::By(undo)) => {
            let line = [piece("undo: ", Meaning::Muted), piece(undo.to_string(), Meaning::Text)];
            asked.lines.extend(wrap_line(&line, cells));
        }
        Some(Undo::Never) => asked.lines.push(vec![piece("NO UNDO", Meaning::Critical)]),
        None => {}
    }
    if let Some(rests) = &page.rests {
        asked.lines.push(vec![piece(rests.to_string(), Meaning::Warning)]);
        asked.lines.push(vec![piece("Enter", Meaning::Key), piece(" goes on", Meaning::Text)]);
        return asked;
    }
    if let Overlay::Answer(what) = sight.state.overlay {
        asked.lines.push(vec![piece(prompt(what, page), Meaning::Text)]);
        asked.typed = Some(asked.lines.len());
        asked.lines.push(Words::new());
        return asked;
    }
    let key =
        |does: String| vec![piece("Enter", Meaning::Key), piece(format!(" {does}"), Meaning::Text)];
    match &page.ask {
        Ask::Wait(what) => {
            asked.lines.push(vec![marked(canvas.glyphs, Tone::WAIT, what)]);
            if let Some(pace) = &page.pace {
                asked.lines.extend(wrap_line(&timed(pace, wall), cells));
            }
        }
        Ask::Accept(_) if !page.well => asked.lines.push(vec![
            piece("r", Meaning::Key),
            piece(" looks again; ", Meaning::Text),
            piece("o", Meaning::Key),
            piece(" leaves it out, with a reason", Meaning::Text),
        ]),
        Ask::Accept(words) => asked.lines.push(key(words.to_string())),
        Ask::Choose(options) if options.is_empty() => {
            let words = "there is nothing to choose; r looks again, b goes back";
            asked.lines.push(vec![piece(words, Meaning::Warning)]);
        }
        Ask::Choose(options) => {
            let chosen = sight.state.guides.choice.min(options.len() - 1);
            let first = (chosen + 1).saturating_sub(OFFERED);
            for (nth, option) in options.iter().enumerate().skip(first).take(OFFERED) {
                if nth == chosen {
                    asked.chosen = Some(asked.lines.len());
                }
                asked.lines.push(vec![piece(format!(" {option}"), Meaning::Text)]);
            }
            let which =
                format!("takes it: {} of {}; up and down choose", chosen + 1, options.len());
            asked.lines.push(key(which));
        }
        Ask::Enter(default) if default.is_empty() => asked.lines.push(key("to type it".to_owned())),
        Ask::Enter(default) => asked.lines.push(key(format!("to type it [{default}]"))),
        Ask::Confirm { grade: Grade::Mild, .. } => asked.lines.push(key("does it".to_owned())),
        Ask::Confirm { .. } => asked.lines.push(key("to confirm it".to_owned())),
        Ask::Failed => {
            asked.lines.push(key("once more; or b, o, x: back, leave out, end here".to_owned()));
        }
        Ask::Over => {
            let record = format!("howdah guide export {}", sheet.run);
            let line = [piece("its record: ", Meaning::Muted), piece(record, Meaning::Key)];
            asked.lines.extend(wrap_line(&line, cells));
            asked.lines.push(key("to the guides".to_owned()));
        }
    }
    asked
}

/// How long the act has run, of what it usually takes at the most; and what silence is normal.
fn timed(pace: &Pace, wall: Timestamp) -> Words {
    let (taken, budget) = (units::clock(pace.taken(wall)), units::clock(pace.budget));
    let (word, meaning) =
        if pace.is_late(wall) { ("LATE ", Meaning::Warning) } else { ("", Meaning::Muted) };
    vec![
        piece(format!("{word}{taken} of {budget}"), meaning),
        piece(format!("; normal silence: {}", pace.silence), Meaning::Muted),
    ]
}

fn prompt(what: Answering, page: &Page) -> String {
    match (what, &page.ask) {
        (Answering::Answer, Ask::Confirm { grade: Grade::Severe, challenge, .. }) => {
            let challenge = challenge.as_ref().map_or("", |text| text.as_str());
            format!("Type {challenge} to do it")
        }
        (Answering::Answer, Ask::Confirm { .. }) => "Type y to do it".to_owned(),
        (Answering::Answer, _) => "Type it; Enter takes it".to_owned(),
        (Answering::Reason, _) => "Why? It goes into the ledger".to_owned(),
        (Answering::Skip, _) => "Why is this left out?".to_owned(),
        (Answering::Pause, _) => "Why does it rest?".to_owned(),
        (Answering::Abort, _) => "Why does it end here?".to_owned(),
        (Answering::Note, _) => "A word for the record".to_owned(),
        (Answering::Todo, _) => "What is still to be done?".to_owned(),
    }
}

/// A line of a page, broken to that many cells.
pub(super) fn told(canvas: &Canvas<'_>, line: &Line, cells: usize) -> Vec<Words> {
    let sign = |tone: Tone| piece(format!("{} ", canvas.glyphs.mark(tone.mark)), tone.meaning);
    let words = match line {
        Line::Say(words) => vec![piece(words.to_string(), Meaning::Text)],
        Line::Fact { label, value, well } => {
            let tone = match well {
                None => Tone { mark: Tone::RUNS.mark, meaning: Meaning::Muted },
                Some(true) => Tone::GOOD,
                Some(false) => Tone::BAD,
            };
            let value = match value {
                Some(value) => piece(value.to_string(), Meaning::Strong),
                None => piece(canvas.glyphs.unknown(), Meaning::Unknown),
            };
            let mut line = vec![sign(tone), piece(format!("{label}: "), Meaning::Muted), value];
            if *well == Some(false) {
                line.push(piece("  not as it has to be", Meaning::Critical));
            }
            line
        }
        Line::Plan(words) => {
            let lines = hanging(words, cells.saturating_sub(2)).into_iter();
            return lines
                .map(|line| vec![piece("  ", Meaning::Muted), piece(line, Meaning::Text)])
                .collect();
        }
        Line::Command(words) => {
            vec![piece("$ ", Meaning::Muted), piece(words.to_string(), Meaning::Key)]
        }
        Line::Bad(words) => vec![sign(Tone::BAD), piece(words.to_string(), Meaning::Critical)],
        Line::Done(words) => vec![sign(Tone::GOOD), piece(words.to_string(), Meaning::Text)],
        Line::Watch(guarded) => {
            let limit = |word: &str, meaning| piece(format!("{word}: {}", guarded.limit), meaning);
            match &guarded.seen {
                None => vec![sign(Tone::RUNS), limit("watched", Meaning::Muted)],
                Some(Ok(value)) => vec![
                    sign(Tone::GOOD),
                    limit("watched", Meaning::Muted),
                    piece("; now ", Meaning::Muted),
                    piece(value.to_string(), Meaning::Strong),
                ],
                Some(Err(why)) => vec![
                    sign(Tone::WARN),
                    limit("NOT WATCHED", Meaning::Warning),
                    piece(format!(": {why}"), Meaning::Warning),
                ],
            }
        }
    };
    wrap_line(&words, cells)
}

/// A line of a plan. What does not fit goes on below its own column, behind the label: nobody agrees to what
/// is cut off.
fn hanging(words: &str, cells: usize) -> Vec<String> {
    if width(words) <= cells {
        return vec![words.to_owned()];
    }
    let indent = words.len() - words.trim_start().len();
    // `ok  repository  it is there` has two labels: the words begin behind the last gap in the left half.
    let gaps = words.match_indices("  ").map(|(gap, _)| gap).filter(|gap| *gap >= indent);
    let begin = |gap: usize| Some(gap + words[gap..].find(|c| c != ' ')?);
    let begins = gaps.filter_map(begin).take_while(|at| at * 2 < cells).last().unwrap_or(0);
    let (label, rest) = words.split_at(begins);
    let lines = wrap(rest, cells.saturating_sub(width(label)));
    let label_of = |nth| if nth == 0 { label.to_owned() } else { " ".repeat(width(label)) };
    lines.into_iter().enumerate().map(|(nth, line)| label_of(nth) + &line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_broken_below_its_own_column() {
        assert_eq!(hanging("undo   nothing", 20), ["undo   nothing"]);
        assert_eq!(
            hanging("  undo   nothing is lost by it", 20),
            ["  undo   nothing is", "         lost by it"]
        );
        assert_eq!(
            hanging("ok  files  none is wrong in it  at all", 24),
            ["ok  files  none is wrong", "           in it at all"]
        );
        assert_eq!(hanging("one line without a label", 12), ["one line", "without a", "label"]);
    }
}
