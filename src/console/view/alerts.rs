//! Alerts in words.

use super::{Sight, check_words, fact, fact_line, limit, pools::sight_mark, short_age, with_unit};
use crate::{
    base::{
        text::{Text, fit, width},
        units::age,
    },
    console::{
        theme::{Glyphs, Mark, Meaning},
        widget::{Column, Fact, Line, TableRow, Tone, line_width, marked, piece},
    },
    watch::snapshot::{Alert, AlertState, Severity, Silence},
};

/// Cells of `silenced 7h42m` with a mark that there is more.
const SILENCED: usize = 15;

/// The columns of the alerts, in reading order. In little room one column says it all; in more, each
/// thing has its own.
pub fn columns(glyphs: Glyphs, room: u16) -> Vec<Column> {
    let mark = glyphs.mark_width();
    let mut columns =
        vec![Column::words("", mark, mark, 0).whole(), Column::words("", 4, 4, 0).whole()];
    if is_compact(room) {
        columns.push(Column::words("", 16, u16::MAX, 0));
    } else {
        columns.extend([
            Column::words("what", 20, 38, 0),
            Column::words("where", 8, 20, 0),
            Column::figures("value", 10, 0),
            Column::words("limit", 8, 12, 1),
            Column::words("detail", 16, u16::MAX, 3),
        ]);
    }
    columns.push(Column::figures("since", 5, 0).whole());
    columns
}

const fn is_compact(room: u16) -> bool {
    room < 57
}

/// How an alert is meant: one that does not fire, or is silenced, is told, but does not shout.
pub fn tone(alert: &Alert) -> Tone {
    if alert.silenced.is_some() {
        return Tone { mark: Mark::Dot, meaning: Meaning::Muted };
    }
    match (alert.state, alert.severity) {
        (AlertState::Firing, Severity::Critical) => Tone::STOP,
        (AlertState::Firing, Severity::Warning) => Tone::WARN,
        (AlertState::Pending, _) => Tone { mark: Mark::Wait, meaning: Meaning::Warning },
        (AlertState::Acked, _) => Tone { mark: Mark::Dot, meaning: Meaning::Warning },
        (AlertState::Resolving, _) => Tone { mark: Mark::Wait, meaning: Meaning::Muted },
    }
}

/// How long somebody's silence lasts yet, by whom and why: `silenced 27m by ann: the deploy`.
fn silenced(sight: &Sight<'_>, silence: &Silence) -> String {
    let left = short_age(sight.until(silence.until));
    format!("silenced {left} by {}: {}", silence.person(), silence.why)
}

/// The word of an alert's state.
pub const fn state_word(state: AlertState) -> &'static str {
    match state {
        AlertState::Pending => "pending",
        AlertState::Firing => "FIRING",
        AlertState::Acked => "acked",
        AlertState::Resolving => "resolving",
    }
}

/// The rows that stand at the given places.
pub fn rows(sight: &Sight<'_>, places: &[usize], room: u16) -> Vec<TableRow> {
    let compact = is_compact(room);
    // In one column: what is left beside the sign, the severity and the age.
    let cells = usize::from(room.saturating_sub(sight.glyphs.mark_width() + 12));
    let cells = compact.then_some(cells);
    sight.at(&sight.snapshot.alerts, places).map(|alert| row(sight, alert, cells)).collect()
}

fn row(sight: &Sight<'_>, alert: &Alert, compact: Option<usize>) -> TableRow {
    let tone = tone(alert);
    let quiet = alert.silenced.as_ref().map(|silence| silenced(sight, silence));
    let text = if quiet.is_some() { Meaning::Muted } else { Meaning::Text };
    let mut cells =
        vec![sight_mark(sight, tone), piece(alert.severity.word(), tone.meaning).into()];
    match (compact, quiet) {
        (Some(room), Some(quiet)) => cells.push(hushed(sight, alert, &quiet, room).into()),
        (Some(room), None) => cells.push(told(alert, tone, room).into()),
        (None, quiet) => {
            let value = alert.value.map(|value| with_unit(value, &alert.unit));
            let mut what = state(alert);
            let meaning = if quiet.is_some() { Meaning::Muted } else { Meaning::Strong };
            what.push(piece(check_words(&alert.check), meaning));
            cells.extend([
                what.into(),
                piece(alert.subject.to_string(), text).into(),
                value.map_or_else(|| sight.unknown(), |value| piece(value, tone.meaning)).into(),
                piece(limit(&alert.threshold, &alert.unit), Meaning::Muted).into(),
                piece(quiet.unwrap_or_else(|| alert.detail.to_string()), text).into(),
            ]);
        }
    }
    cells.push(piece(short_age(sight.now.since(alert.since)), text).into());
    // Not dimmed when the server is gone: an alert is what the engine says now.
    TableRow { cells, stale: false }
}

/// The state, where it is another than firing; what is silenced says more than that.
fn state(alert: &Alert) -> Line {
    if alert.state == AlertState::Firing || alert.silenced.is_some() {
        return Line::new();
    }
    vec![piece(format!("{} ", state_word(alert.state)), Meaning::Muted)]
}

/// What an alert is about, with the subject where the check's own words do not name it.
fn about(alert: &Alert) -> (String, Option<&Text>) {
    let what = check_words(&alert.check);
    let told = what.split(' ').any(|word| word == &*alert.subject);
    (what, (!told).then_some(&alert.subject))
}

/// An alert in one column.
fn told(alert: &Alert, tone: Tone, room: usize) -> Line {
    let mut line = state(alert);
    let (what, subject) = about(alert);
    line.push(piece(what, Meaning::Strong));
    line.extend(subject.map(|subject| piece(format!(" {subject}"), Meaning::Text)));
    let value = alert.value.map(|value| with_unit(value, &alert.unit));
    // Half a figure is worse than none: the detail has it.
    if let Some(value) = value.filter(|value| line_width(&line) + width(value) < room) {
        line.push(piece(format!(" {value}"), tone.meaning));
    }
    line
}

/// One that is silenced, in one column: whatever there is no room for, that it is silenced and for how long is
/// said whole.
fn hushed(sight: &Sight<'_>, alert: &Alert, quiet: &str, room: usize) -> Line {
    let (what, subject) = about(alert);
    let what = subject.map_or_else(|| what.clone(), |subject| format!("{what} {subject}"));
    let needed = SILENCED.min(width(quiet)) + 1;
    let what = fit(&what, room.saturating_sub(needed), sight.glyphs.ellipsis());
    vec![piece(format!("{what} {quiet}"), Meaning::Muted)]
}

/// Everything known of the alert at that place.
pub fn detail(sight: &Sight<'_>, index: usize) -> (String, Vec<Fact>) {
    let Some(alert) = sight.snapshot.alerts.get(index) else { return (String::new(), Vec::new()) };
    let tone = tone(alert);
    let value = alert
        .value
        .map_or_else(|| sight.glyphs.unknown().to_owned(), |value| with_unit(value, &alert.unit));
    let limit = match limit(&alert.threshold, &alert.unit) {
        limit if limit.is_empty() => limit,
        limit => format!("  limit {limit}"),
    };
    let mut facts = vec![
        fact_line(
            "state",
            vec![
                marked(sight.glyphs, tone, alert.severity.word()),
                piece(format!("  {}", state_word(alert.state)), Meaning::Text),
                piece(
                    format!(
                        "  for {}, since {}",
                        age(sight.now.since(alert.since)),
                        sight.moment(alert.since_wall)
                    ),
                    Meaning::Muted,
                ),
            ],
        ),
        fact_line(
            "value",
            vec![
                piece(value, tone.meaning),
                piece(limit, Meaning::Muted),
                piece(format!("  on {}", alert.subject), Meaning::Text),
            ],
        ),
        fact("detail", alert.detail.to_string()),
    ];
    if let Some(silence) = &alert.silenced {
        let through = match silence.up_to {
            Severity::Warning => "; critical breaks through",
            Severity::Critical => "",
        };
        let words = format!(
            "for another {}, until {}, by {}: {}{through} (howdah silence end {})",
            age(sight.until(silence.until)),
            sight.moment(silence.until),
            silence.by,
            silence.why,
            silence.id,
        );
        facts.push(fact("silenced", words));
    }
    if !alert.remedy.is_empty() {
        facts.push(fact("what to do", alert.remedy.to_string()));
    }
    if let Some(guide) = sight.state.guides.shelf.answer(&alert.check) {
        let words = format!("{} (guide '{}')", guide.title, guide.id);
        facts.push(fact("the way out", words));
    }
    if !alert.muted.is_empty() {
        let names: Vec<&str> = alert.muted.iter().map(|muted| &**muted).collect();
        facts.push(fact("also muted", format!("{}: {}", names.len(), names.join(", "))));
    }
    facts.push(fact_line("identity", vec![piece(alert.id.to_string(), Meaning::Muted)]));
    (check_words(&alert.check), facts)
}

/// Alerts that somebody has silenced.
pub fn silent(sight: &Sight<'_>) -> usize {
    sight.snapshot.alerts.iter().filter(|alert| alert.silenced.is_some()).count()
}

/// Alerts that fire now and are not silenced: critical ones, warnings.
pub fn firing(sight: &Sight<'_>) -> (usize, usize) {
    let count = |severity| {
        sight
            .snapshot
            .alerts
            .iter()
            .filter(|alert| alert.state == AlertState::Firing && alert.silenced.is_none())
            .filter(|alert| alert.severity == severity)
            .count()
    };
    (count(Severity::Critical), count(Severity::Warning))
}
