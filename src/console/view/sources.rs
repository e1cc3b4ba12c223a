//! Where the facts come from, and how fresh they are.

use super::{Sight, pools::sight_mark, short_age};
use crate::{
    base::units::{age, span},
    console::{
        theme::{Glyphs, Meaning},
        widget::{Column, Line, TableRow, Tone, marked, piece},
    },
    watch::snapshot::{Freshness, Source, SourceKind},
};

/// The columns of the sources, in reading order.
pub fn columns(glyphs: Glyphs) -> [Column; 8] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::words("state", 5, 5, 0).whole(),
        Column::words("source", 9, 26, 0),
        Column::words("kind", 9, 9, 4),
        Column::figures("age", 5, 1),
        Column::figures("took", 6, 2),
        Column::figures("unread", 6, 3),
        Column::words("address", 12, u16::MAX, 1),
    ]
}

fn state(sight: &Sight<'_>, source: &Source) -> (Tone, &'static str) {
    match source.freshness(sight.now) {
        Freshness::Never if source.problem.is_some() => (Tone::BAD, "NEVER"),
        Freshness::Never => (Tone::WAIT, "wait"),
        Freshness::Stale(_) => (Tone::STALE, "STALE"),
        Freshness::Fresh if source.unreadable > 0 => (Tone::WARN, "fresh"),
        Freshness::Fresh => (Tone::GOOD, "fresh"),
    }
}

/// The state of a source with its age and what its last answer was like.
pub fn freshness(sight: &Sight<'_>, source: &Source) -> Line {
    let (tone, word) = state(sight, source);
    let mut line = vec![marked(sight.glyphs, tone, word)];
    let mut more = Vec::new();
    if let Some(last) = source.last_good {
        more.push(format!("{} old", age(sight.now.since(last))));
    }
    more.push(format!("asked every {}", short_age(source.period)));
    if let Some(took) = source.latency {
        more.push(format!("answered in {}", span(took)));
    }
    if source.unreadable > 0 {
        more.push(format!("{} lines unreadable", source.unreadable));
    }
    line.push(piece(format!("  {}", more.join(", ")), Meaning::Muted));
    line
}

/// The sources as rows; what is wrong with one stands in rows of its own below it.
pub fn rows(sight: &Sight<'_>) -> Vec<(TableRow, Vec<String>)> {
    sight.snapshot.sources.iter().map(|source| row(sight, source)).collect()
}

fn row(sight: &Sight<'_>, source: &Source) -> (TableRow, Vec<String>) {
    let (tone, word) = state(sight, source);
    let kind = match source.kind {
        SourceKind::Server => "server",
        SourceKind::Metrics => "metrics",
        SourceKind::PgBouncer => "PgBouncer",
        SourceKind::Repository => "repository",
        SourceKind::Jobs => "jobs",
        SourceKind::Engine => "engine",
        SourceKind::Silences => "file",
        SourceKind::Disks => "disks",
    };
    let unread = source.unreadable;
    let unread_meaning = if unread > 0 { Meaning::Warning } else { Meaning::Text };
    let cells = vec![
        sight_mark(sight, tone),
        piece(word, tone.meaning).into(),
        piece(source.name.to_string(), Meaning::Strong).into(),
        piece(kind, Meaning::Muted).into(),
        sight.figure(source.last_good.map(|last| short_age(sight.now.since(last)))),
        sight.span(source.latency),
        piece(unread.to_string(), unread_meaning).into(),
        piece(source.address.to_string(), Meaning::Muted).into(),
    ];
    let mut notes = Vec::new();
    if let Some(problem) = &source.problem {
        notes.push(problem.what.to_string());
        if !problem.remedy.is_empty() {
            notes.push(problem.remedy.to_string());
        }
    }
    (TableRow { cells, stale: false }, notes)
}

/// What watching costs the server, in a line.
pub fn cost(sight: &Sight<'_>) -> Line {
    let cost = &sight.snapshot.cost;
    let plural = if cost.connections == 1 { "" } else { "s" };
    vec![
        piece("our cost  ", Meaning::Muted),
        piece(format!("{} connection{plural}", cost.connections), Meaning::Text),
        piece(format!(", {} statements/min", cost.statements_per_minute), Meaning::Text),
        piece(format!(", busy {}/min at most", span(cost.busy_per_minute)), Meaning::Text),
    ]
}
