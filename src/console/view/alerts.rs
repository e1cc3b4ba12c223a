//! Alerts in words.

use super::{Sight, check_words, fact, fact_line, limit, pools::sight_mark, short_age, with_unit};
use crate::{
    base::{text::width, units::age},
    console::{
        theme::{Glyphs, Mark, Meaning},
        widget::{Column, Fact, Line, TableRow, Tone, line_width, marked, piece},
    },
    watch::snapshot::{Alert, AlertState, Severity},
};

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

/// How an alert is meant: one that does not fire is told, but does not shout.
pub fn tone(alert: &Alert) -> Tone {
    match (alert.state, alert.severity) {
        (AlertState::Firing, Severity::Critical) => Tone::STOP,
        (AlertState::Firing, Severity::Warning) => Tone::WARN,
        (AlertState::Pending, _) => Tone { mark: Mark::Wait, meaning: Meaning::Warning },
        (AlertState::Acked, _) => Tone { mark: Mark::Dot, meaning: Meaning::Warning },
        (AlertState::Resolving, _) => Tone { mark: Mark::Wait, meaning: Meaning::Muted },
    }
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
    let what = check_words(&alert.check);
    let value = alert.value.map(|value| with_unit(value, &alert.unit));
    let mut cells =
        vec![sight_mark(sight, tone), piece(alert.severity.word(), tone.meaning).into()];
    let mut line: Line = Vec::new();
    if alert.state != AlertState::Firing {
        line.push(piece(format!("{} ", state_word(alert.state)), Meaning::Muted));
    }
    if let Some(room) = compact {
        let told = what.split(' ').any(|word| word == &*alert.subject);
        line.push(piece(what, Meaning::Strong));
        if !told {
            line.push(piece(format!(" {}", alert.subject), Meaning::Text));
        }
        // Half a figure is worse than none: the detail has it.
        if let Some(value) = value.filter(|value| line_width(&line) + width(value) < room) {
            line.push(piece(format!(" {value}"), tone.meaning));
        }
        cells.push(line.into());
    } else {
        line.push(piece(what, Meaning::Strong));
        cells.extend([
            line.into(),
            piece(alert.subject.to_string(), Meaning::Text).into(),
            value.map_or_else(|| sight.unknown(), |value| piece(value, tone.meaning)).into(),
            piece(limit(&alert.threshold, &alert.unit), Meaning::Muted).into(),
            piece(alert.detail.to_string(), Meaning::Text).into(),
        ]);
    }
    cells.push(piece(short_age(sight.now.since(alert.since)), Meaning::Text).into());
    // Not dimmed when the server is gone: an alert is what the engine says now.
    TableRow { cells, stale: false }
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

/// Alerts that fire now: critical ones, warnings.
pub fn firing(sight: &Sight<'_>) -> (usize, usize) {
    let count = |severity| {
        sight
            .snapshot
            .alerts
            .iter()
            .filter(|alert| alert.state == AlertState::Firing && alert.severity == severity)
            .count()
    };
    (count(Severity::Critical), count(Severity::Warning))
}
