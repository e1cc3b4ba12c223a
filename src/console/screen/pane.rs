//! One pane within its lines: title and captions on the upper line, rows inside.

use std::time::Duration;

use ratatui::layout::{Position, Rect};

use super::Layout;
use crate::{
    base::units::age,
    console::{
        model::{Pane, Rows, count, rows},
        theme::{Mark, Meaning},
        view::{Sight, alerts, backup, breakers, checks, pools},
        widget::{
            Canvas, Column, Line, Placed, TableRow, Tone, draw_captions, draw_rows, line_width,
            marked, piece, place, wrap,
        },
    },
    watch::snapshot::{Known, LinkState},
};

/// A list of rows, of which some are in sight.
pub struct List<'a> {
    /// All rows of the pane that the filter lets through.
    pub rows: Rows<'a>,
    /// How many there are without the filter.
    pub all: usize,
    /// The place of the selected one.
    pub selected: usize,
    /// The first in sight.
    pub first: usize,
    /// How many fit.
    pub room: usize,
}

impl<'a> List<'a> {
    /// The rows of a pane, so that the selected one is in sight when `room` rows fit: once it is beyond
    /// the middle it stays there, as far as there are rows.
    pub fn new(sight: &Sight<'a>, pane: Pane, room: u16) -> Self {
        let room = usize::from(room);
        let list = rows(sight.snapshot, pane, &sight.state.filter);
        let selected = list.selected(sight.state);
        let first = selected.saturating_sub(room / 2).min(list.len().saturating_sub(room));
        let all = count(sight.snapshot, pane);
        Self { rows: list, all, selected, first, room }
    }

    /// The places of the rows in sight.
    pub fn window(&self) -> &[usize] {
        self.rows.window(self.first, self.room)
    }

    /// Says what is out of sight, such as `↓ 12 more`; empty when nothing is.
    pub fn beyond(&self, sight: &Sight<'_>) -> String {
        let below = self.rows.len().saturating_sub(self.first + self.room);
        beyond(sight, self.first, below)
    }
}

/// Says how many rows are out of sight above and below, such as `↓ 12 more`; empty when none is.
pub fn beyond(sight: &Sight<'_>, above: usize, below: usize) -> String {
    let (up, down) = (sight.glyphs.up(), sight.glyphs.down());
    match (above, below) {
        (0, 0) => String::new(),
        (0, below) => format!("{down} {below} more"),
        (above, 0) => format!("{up} {above} more"),
        (above, below) => format!("{up} {above} {down} {below}"),
    }
}

/// The columns of a pane and its rows in sight.
pub fn table(
    sight: &Sight<'_>,
    pane: Pane,
    list: &List<'_>,
    area: Rect,
) -> (Vec<Column>, Vec<TableRow>) {
    let (window, room) = (list.window(), area.width);
    match pane {
        Pane::Pools => (pools::columns(sight.glyphs).to_vec(), pools::rows(sight, window)),
        Pane::Breakers => (breakers::columns(sight.glyphs).to_vec(), breakers::rows(sight, window)),
        Pane::Alerts => (alerts::columns(sight.glyphs, room), alerts::rows(sight, window, room)),
        Pane::Backup => {
            let first = hidden_lines(sight, list, area);
            let lines = backup::lines(sight, window, room).into_iter().skip(first);
            (backup::columns(sight.glyphs).to_vec(), lines.map(|line| line.cells).collect())
        }
    }
}

/// The place within `area` at which the selected row begins.
pub fn line_of(sight: &Sight<'_>, pane: Pane, list: &List<'_>, area: Rect) -> usize {
    match pane {
        Pane::Backup => backup_line(sight, list, area) - hidden_lines(sight, list, area),
        _ => list.selected.saturating_sub(list.first),
    }
}

/// The line at which the selected row of the backup pane begins: its rows take several each.
fn backup_line(sight: &Sight<'_>, list: &List<'_>, area: Rect) -> usize {
    let place = list.selected.saturating_sub(list.first);
    let lines = backup::lines(sight, list.window(), area.width);
    lines.iter().position(|line| line.row == Some(place)).unwrap_or(0)
}

/// Lines of the backup pane that are left out above, so that the selected row is in sight.
fn hidden_lines(sight: &Sight<'_>, list: &List<'_>, area: Rect) -> usize {
    (backup_line(sight, list, area) + 1).saturating_sub(usize::from(area.height))
}

/// Draws a pane into its outline, whose lines are there already. Returns how many rows it can show.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    pane: Pane,
    outline: Rect,
    layout: &mut Layout,
) -> u16 {
    if outline.width < 6 || outline.height < 3 {
        return 0;
    }
    let inner = Rect {
        x: outline.x + 1,
        y: outline.y + 1,
        width: outline.width - 2,
        height: outline.height - 2,
    };
    let list = List::new(sight, pane, inner.height);
    let text = Rect { x: inner.x + 1, width: inner.width - 2, ..inner };
    let (columns, rows) = table(sight, pane, &list, text);
    let placed = place(&columns, text.width);
    let top = Rect { y: outline.y, height: 1, ..text };
    let end = title(canvas, sight, pane, &list, outline);
    draw_captions(canvas, top, &columns, &placed, end.saturating_sub(text.x) + 1);
    body(canvas, sight, pane, (&columns, &placed, &rows), text);
    let focused = sight.state.focus == pane;
    if focused && !list.rows.is_empty() {
        let y = inner.y + line_of(sight, pane, &list, text) as u16;
        if y < inner.bottom() {
            canvas.select(Rect { y, height: 1, ..inner });
            layout.selection = Some(Position { x: text.x, y });
        }
    }
    inner.height
}

/// Writes the title on the upper line and returns the column after it.
pub fn title(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    pane: Pane,
    list: &List<'_>,
    outline: Rect,
) -> u16 {
    let focused = sight.state.focus == pane || sight.state.zoom == Some(pane);
    let meaning = if focused { Meaning::TitleFocused } else { Meaning::Title };
    let mut line: Line = vec![piece(format!(" {} ", pane.title()), meaning)];
    if !sight.state.filter.is_empty() {
        line.push(piece(format!("{} of {} ", list.rows.len(), list.all), Meaning::Warning));
    }
    let silent = if pane == Pane::Alerts { alerts::silent(sight) } else { 0 };
    if silent > 0 {
        line.push(piece(format!("{silent} silenced "), Meaning::Muted));
    }
    let beyond = list.beyond(sight);
    if !beyond.is_empty() {
        line.push(piece(format!("{beyond} "), Meaning::Text));
    }
    if let Some(old) = stale_as_a_whole(sight, pane) {
        line.push(piece(format!("STALE {} ", age(old)), Meaning::Warning));
    }
    let room =
        Rect { x: outline.x + 1, width: outline.width.saturating_sub(2), height: 1, ..outline };
    canvas.line(room, &line)
}

/// How old everything in a pane is, when all of it is too old.
fn stale_as_a_whole(sight: &Sight<'_>, pane: Pane) -> Option<Duration> {
    match pane {
        Pane::Pools => youngest(sight.snapshot.pools.iter().map(|pool| sight.stale(&pool.source))),
        Pane::Breakers => {
            youngest(sight.snapshot.breakers.iter().map(|breaker| sight.stale(&breaker.source)))
        }
        Pane::Alerts | Pane::Backup => sight.server_stale(),
    }
}

/// The least of the ages, if everything has one; ends at the first that has none.
fn youngest(mut ages: impl Iterator<Item = Option<Duration>>) -> Option<Duration> {
    let first = ages.next()??;
    ages.try_fold(first, |least, age| age.map(|age| least.min(age)))
}

/// Draws the rows, and below them what else there is to say.
pub fn body(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    pane: Pane,
    (columns, placed, rows): (&[Column], &[Placed], &[TableRow]),
    text: Rect,
) {
    draw_rows(canvas, text, columns, placed, rows);
    let below = (rows.len() as u16).min(text.height);
    let mut rest = Rect { y: text.y + below, height: text.height - below, ..text };
    let notes = notes(sight, pane, usize::from(text.width));
    if below > 0 && usize::from(rest.height) > notes.len() {
        rest = Rect { y: rest.y + 1, height: rest.height - 1, ..rest };
    }
    for (y, line) in (rest.top()..rest.bottom()).zip(&notes) {
        canvas.line(Rect { y, height: 1, ..rest }, line);
    }
}

/// What a pane says besides its rows, broken for its width.
fn notes(sight: &Sight<'_>, pane: Pane, width: usize) -> Vec<Line> {
    let filtered = !sight.state.filter.is_empty();
    let waiting = sight.snapshot.link.last_answer.is_none();
    let mut out = Vec::new();
    let mut say = |tone: Option<Tone>, text: &str| {
        let indent = tone.map_or(0, |_| usize::from(sight.glyphs.mark_width()) + 1);
        for (nth, line) in wrap(text, width.saturating_sub(indent)).into_iter().enumerate() {
            out.push(match tone {
                Some(tone) if nth == 0 => vec![
                    piece(
                        format!("{:w$} ", sight.glyphs.mark(tone.mark), w = indent - 1),
                        tone.meaning,
                    ),
                    piece(line, if tone == Tone::GOOD { Meaning::Ok } else { Meaning::Text }),
                ],
                Some(_) => vec![piece(format!("{:indent$}{line}", ""), Meaning::Text)],
                None => vec![piece(line, Meaning::Muted)],
            });
        }
    };
    // Where there is nothing to filter, that there is nothing remains the thing to say.
    let nothing_with = |filter: &str| rows(sight.snapshot, pane, filter).is_empty();
    if filtered && nothing_with(&sight.state.filter) && !nothing_with("") {
        say(None, "Nothing matches the filter. Esc shows all.");
        return out;
    }
    match pane {
        Pane::Pools | Pane::Breakers => {
            let none = match pane {
                Pane::Pools => sight.snapshot.pools.is_empty(),
                _ => sight.snapshot.breakers.is_empty(),
            };
            let silent =
                if pane == Pane::Pools { pools::silent_sources(sight) } else { Vec::new() };
            let paused = if pane == Pane::Pools { pools::pauses(sight) } else { Vec::new() };
            for pause in paused {
                say(Some(Tone::WARN), &pause);
            }
            for source in silent {
                let why = source.problem.as_ref().map(|problem| problem.what.to_string());
                let text = format!("{} NEVER answered: {}", source.name, why.unwrap_or_default());
                say(Some(Tone::BAD), &text);
            }
            if let (Pane::Pools, Known::Blind(why)) = (pane, &sight.snapshot.server) {
                say(Some(Tone::BLIND), &format!("BLIND server connections: {why}"));
            }
            if none && waiting {
                say(Some(Tone::WAIT), not_yet(sight));
            } else if pools::lacks_endpoints(sight) {
                let what = match pane {
                    Pane::Pools => {
                        "No application is watched: its pools and breakers are not seen."
                    }
                    _ => "No application is watched, so none of its breakers is seen.",
                };
                say(None, what);
                say(None, "To add its /metrics: howdah config example");
            } else if none {
                say(None, "The sources that answer tell of none.");
            }
        }
        Pane::Alerts => {
            let none = sight.snapshot.alerts.is_empty();
            let (tone, text) = checks::verdict(sight);
            if none && waiting {
                say(Some(Tone::WAIT), not_yet(sight));
            } else if none {
                match sight.server_stale() {
                    None => say(Some(tone), &text),
                    Some(_) => say(Some(Tone::STALE), "no alert when the server was last seen"),
                }
            }
            let summary = checks::summary(sight);
            if !summary.is_empty() && tone.mark != Mark::Good {
                let mut line = vec![piece("checks  ", Meaning::Muted)];
                line.extend(summary);
                if line_width(&line) > width {
                    line.remove(0);
                }
                out.push(line);
            }
        }
        Pane::Backup => {}
    }
    out
}

/// What a pane says before anything was seen.
fn not_yet(sight: &Sight<'_>) -> &'static str {
    match sight.snapshot.link.state {
        LinkState::Connecting | LinkState::Live => "waiting for the first answer",
        LinkState::Hung | LinkState::Down | LinkState::Refused => "nothing has been seen yet",
    }
}

/// The worst thing in a pane, for its tab.
pub fn worst(sight: &Sight<'_>, pane: Pane) -> Option<Tone> {
    let tones: Vec<Tone> = match pane {
        Pane::Pools => {
            sight.snapshot.pools.iter().map(|pool| pools::state(sight, pool).0).collect()
        }
        Pane::Breakers => {
            sight.snapshot.breakers.iter().map(|breaker| breakers::tone(breaker.state)).collect()
        }
        Pane::Alerts => sight.snapshot.alerts.iter().map(alerts::tone).collect(),
        Pane::Backup => backup::tones(sight),
    };
    let of = |meaning| tones.iter().find(|tone| tone.meaning == meaning).copied();
    of(Meaning::Critical).or_else(|| of(Meaning::Warning))
}

/// The mark and the words of a tab.
pub fn tab(sight: &Sight<'_>, pane: Pane, short: &str) -> Line {
    match worst(sight, pane) {
        Some(tone) => vec![marked(sight.glyphs, tone, short)],
        None => vec![piece(short, Meaning::Text)],
    }
}
