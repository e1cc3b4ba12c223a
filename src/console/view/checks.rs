//! Every check with its state, also those that find nothing: green is earned.

use super::{Sight, check_words, limit, pools::sight_mark, short_age, with_unit};
use crate::{
    console::{
        theme::{Glyphs, Meaning},
        widget::{Column, Line, Piece, TableRow, Tone, piece},
    },
    watch::snapshot::{Check, CheckState},
};

/// The columns of the checks, in reading order.
pub fn columns(glyphs: Glyphs) -> [Column; 7] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::words("", 7, 7, 0).whole(),
        Column::words("check", 22, 30, 0),
        Column::figures("worst", 11, 1),
        Column::words("limits", 12, 20, 3),
        Column::figures("ran", 5, 4),
        Column::words("", 12, u16::MAX, 2),
    ]
}

/// How a check's state is meant, and its word.
pub const fn tone(state: CheckState) -> (Tone, &'static str) {
    match state {
        CheckState::Pending => (Tone::WAIT, "PENDING"),
        CheckState::Ok => (Tone::GOOD, "ok"),
        CheckState::Warning => (Tone::WARN, "WARN"),
        CheckState::Critical => (Tone::STOP, "CRIT"),
        CheckState::Blind => (Tone::BLIND, "BLIND"),
        CheckState::Failed => (Tone::BAD, "FAILED"),
    }
}

const fn rank(state: CheckState) -> u8 {
    match state {
        CheckState::Critical => 0,
        CheckState::Failed => 1,
        CheckState::Blind => 2,
        CheckState::Warning => 3,
        CheckState::Pending => 4,
        CheckState::Ok => 5,
    }
}

/// All checks, the worst first, each as a row.
pub fn rows(sight: &Sight<'_>, first: usize, many: usize) -> Vec<TableRow> {
    let mut checks: Vec<&Check> = sight.snapshot.checks.iter().collect();
    checks.sort_by_key(|check| rank(check.state));
    checks.into_iter().skip(first).take(many).map(|check| row(sight, check)).collect()
}

fn row(sight: &Sight<'_>, check: &Check) -> TableRow {
    let (tone, word) = tone(check.state);
    let worst = check.findings.first();
    let value = worst.and_then(|finding| finding.value).map(|value| with_unit(value, &check.unit));
    let limits = match (check.warn.is_empty(), check.crit.is_empty()) {
        (true, true) => String::new(),
        (false, true) => limit(&check.warn, &check.unit),
        (true, false) => limit(&check.crit, &check.unit),
        (false, false) => {
            format!("{}, {}", limit(&check.warn, &check.unit), limit(&check.crit, &check.unit))
        }
    };
    let note = match (&check.error, worst) {
        (Some(error), _) => error.to_string(),
        (None, Some(finding)) if finding.subject.is_empty() => finding.detail.to_string(),
        (None, Some(finding)) => format!("{} {}", finding.subject, finding.detail),
        (None, None) => String::new(),
    };
    let ran = check.ran.map(|ran| short_age(sight.now.since(ran)));
    let cells = vec![
        sight_mark(sight, tone),
        piece(word, tone.meaning).into(),
        piece(check_words(&check.id), Meaning::Text).into(),
        value.map_or_else(|| piece("", Meaning::Text), |value| piece(value, tone.meaning)).into(),
        piece(limits, Meaning::Muted).into(),
        piece(ran.unwrap_or_default(), Meaning::Muted).into(),
        piece(note, Meaning::Muted).into(),
    ];
    TableRow { cells, stale: sight.server_stale().is_some() }
}

/// How many checks are in which state, the worst first: `1 CRIT  2 BLIND  9 ok`.
pub fn summary(sight: &Sight<'_>) -> Line {
    let mut line: Vec<Piece> = Vec::new();
    for state in [
        CheckState::Critical,
        CheckState::Failed,
        CheckState::Blind,
        CheckState::Warning,
        CheckState::Pending,
        CheckState::Ok,
    ] {
        let many = sight.snapshot.checks.iter().filter(|check| check.state == state).count();
        if many > 0 {
            let (tone, word) = tone(state);
            if !line.is_empty() {
                line.push(piece("  ", Meaning::Text));
            }
            line.push(piece(format!("{many} {word}"), tone.meaning));
        }
    }
    line
}

/// What to say when there is no alert: all is well only when every check ran and saw.
pub fn verdict(sight: &Sight<'_>) -> (Tone, String) {
    let checks = &sight.snapshot.checks;
    let of = |state| checks.iter().filter(|check| check.state == state).count();
    let (blind, failed) = (of(CheckState::Blind), of(CheckState::Failed));
    let pending = of(CheckState::Pending);
    let beyond = of(CheckState::Warning) + of(CheckState::Critical);
    if checks.is_empty() || pending == checks.len() {
        (Tone::WAIT, "no check has run yet".to_owned())
    } else if beyond > 0 {
        (
            Tone::WARN,
            format!("no alert yet, but {beyond} of {} checks are beyond a limit", checks.len()),
        )
    } else if blind + failed > 0 {
        (
            Tone::BLIND,
            format!("no alert, but {} of {} checks cannot see", blind + failed, checks.len()),
        )
    } else if pending > 0 {
        (Tone::WAIT, format!("no alert so far: {pending} of {} checks are to run", checks.len()))
    } else {
        (Tone::GOOD, format!("no alert: all {} checks ran and saw", checks.len()))
    }
}
