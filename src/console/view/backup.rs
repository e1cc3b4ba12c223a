//! What is known of backups, in words.

use super::{Sight, fact, fact_line, percent, pools::sight_mark};
use crate::{
    base::{
        text::Text,
        units::{age, bytes, count},
    },
    console::{
        model::Row,
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Fact, Line, TableRow, Tone, marked, piece, wrap_line},
    },
    watch::snapshot::{ArchiveMode, Archiver, Known, RunningBackup},
};

/// The columns: a sign, a label, the fact.
pub fn columns(glyphs: Glyphs) -> [Column; 3] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::words("", 8, 8, 0),
        Column::words("", 16, u16::MAX, 0),
    ]
}

/// A line of the pane; lines of the same row share its place, so that a selection marks its first.
#[derive(Clone, Debug)]
pub struct BackupLine {
    /// The place among the rows given; `None` for a line that continues the one above.
    pub row: Option<usize>,
    /// What it says.
    pub cells: TableRow,
}

/// The lines of the given rows, broken for `room` cells.
pub fn lines(sight: &Sight<'_>, rows: &[Row], room: u16) -> Vec<BackupLine> {
    let stale = sight.server_stale().is_some();
    let mut out = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let lines = match row.index {
            0 => archiver_lines(sight),
            1 => repository_lines(sight),
            other => sight
                .snapshot
                .backup
                .running
                .get(other - 2)
                .map(|running| running_line(sight, running))
                .into_iter()
                .collect(),
        };
        let lines = lines.into_iter().flat_map(|cells| broken(sight, cells, room));
        out.extend(lines.enumerate().map(|(nth, cells)| BackupLine {
            row: (nth == 0).then_some(place),
            cells: TableRow { cells, stale },
        }));
    }
    out
}

/// A line whose words are broken to fit, as lines of their own.
fn broken(sight: &Sight<'_>, cells: Vec<Cell>, room: u16) -> Vec<Vec<Cell>> {
    let room = usize::from(room.saturating_sub(sight.glyphs.mark_width() + 10));
    let Some(Cell::Words(words)) = cells.get(2) else { return vec![cells] };
    wrap_line(words, room)
        .into_iter()
        .enumerate()
        .map(|(nth, line)| match nth {
            0 => vec![cells[0].clone(), cells[1].clone(), line.into()],
            _ => more("", line),
        })
        .collect()
}

fn head(sight: &Sight<'_>, tone: Tone, label: &str, words: Line) -> Vec<Cell> {
    vec![sight_mark(sight, tone), piece(label, Meaning::Strong).into(), words.into()]
}

fn more(label: &str, words: Line) -> Vec<Cell> {
    vec![Cell::Words(Vec::new()), piece(label, Meaning::Muted).into(), words.into()]
}

fn text(words: impl Into<String>) -> Line {
    vec![piece(words, Meaning::Text)]
}

/// How the archiver's state is meant, and in words of at most 24 cells where it can.
fn archiver_state(sight: &Sight<'_>, archiver: &Archiver) -> (Tone, String) {
    match (archiver.mode, archiver.failing, archiver.last_at) {
        (ArchiveMode::Off, ..) => (Tone::WARN, "OFF: no WAL is kept".to_owned()),
        (ArchiveMode::NoCommand, ..) => (Tone::STOP, "NO COMMAND: WAL piles up".to_owned()),
        (_, true, _) => {
            let since = archiver.last_failed_at.map(|at| age(sight.ago(at)));
            (Tone::BAD, format!("FAILING, last {} ago", since.unwrap_or_else(|| "?".to_owned())))
        }
        // Not a proof: a command that throws WAL away reports the same.
        (_, false, Some(at)) => (Tone::RUNS, format!("archived {} ago", age(sight.ago(at)))),
        (_, false, None) => (Tone::WAIT, "nothing archived yet".to_owned()),
    }
}

fn archiver_lines(sight: &Sight<'_>) -> Vec<Vec<Cell>> {
    let archiver = match &sight.snapshot.backup.archiver {
        Known::Is(archiver) => archiver,
        unseen => return vec![unknown_line(sight, "archiver", unseen)],
    };
    let (tone, words) = archiver_state(sight, archiver);
    let mut lines = vec![head(sight, tone, "archiver", vec![piece(words, tone.meaning)])];
    if let Some(wal) = &archiver.last_wal {
        lines.push(more("last WAL", text(wal.to_string())));
    }
    if archiver.mode == ArchiveMode::Off {
        return lines;
    }
    lines.push(more("waiting", ready(sight, archiver)));
    lines.push(more("failed", failures(sight, archiver)));
    lines
}

fn unknown_line<T>(sight: &Sight<'_>, label: &str, unseen: &Known<T>) -> Vec<Cell> {
    let tone = if matches!(unseen, Known::Blind(_)) { Tone::BLIND } else { Tone::UNKNOWN };
    let mut line = match unseen {
        Known::Blind(_) => vec![piece("BLIND ", Meaning::Unknown)],
        _ => Vec::new(),
    };
    line.push(piece(unseen.reason().map(Text::to_string).unwrap_or_default(), Meaning::Muted));
    head(sight, tone, label, line)
}

fn ready(sight: &Sight<'_>, archiver: &Archiver) -> Line {
    match &archiver.ready {
        Known::Is((0, _)) => text("no segment"),
        Known::Is((many, since)) => {
            let unit = if *many == 1 { "segment" } else { "segments" };
            let oldest = since.map(|at| format!(" for {}", age(sight.ago(at))));
            vec![
                piece(format!("{} {unit}", count(*many)), Meaning::Strong),
                piece(oldest.unwrap_or_default(), Meaning::Text),
            ]
        }
        unseen => sight.known(unseen, |_| String::new()),
    }
}

fn failures(sight: &Sight<'_>, archiver: &Archiver) -> Line {
    let last = archiver.last_failed_at.map(|at| format!(", {} ago", age(sight.ago(at))));
    match archiver.failed {
        0 => text("never"),
        1 => text(format!("once{}", last.unwrap_or_default())),
        many => text(format!("{} times{}", count(many), last.unwrap_or_default())),
    }
}

fn repository_lines(sight: &Sight<'_>) -> Vec<Vec<Cell>> {
    match &sight.snapshot.backup.repository {
        Known::Is(repository) => {
            vec![head(sight, Tone::RUNS, "backups", text(repository.location.to_string()))]
        }
        unseen => vec![unknown_line(sight, "backups", unseen)],
    }
}

fn running_line(sight: &Sight<'_>, running: &RunningBackup) -> Vec<Cell> {
    let done = running.total.filter(|total| *total > 0).map_or_else(
        || bytes(running.done),
        |total| format!("{} of {}", percent(running.done as f64 / total as f64), bytes(total)),
    );
    let words =
        vec![piece(done, Meaning::Text), piece(format!(" {}", running.phase), Meaning::Muted)];
    head(sight, Tone::RUNS, "running", words)
}

/// Everything known of the row at that place (see [`crate::console::model::backup_rows`]).
pub fn detail(sight: &Sight<'_>, index: usize) -> (String, Vec<Fact>) {
    match index {
        0 => ("WAL archiver".to_owned(), archiver_facts(sight)),
        1 => ("Backup repository".to_owned(), repository_facts(sight)),
        other => sight.snapshot.backup.running.get(other - 2).map_or_else(
            || (String::new(), Vec::new()),
            |running| {
                let total = running
                    .total
                    .map_or_else(|| format!("{} not estimated", sight.glyphs.unknown()), bytes);
                let facts = vec![
                    fact("process", running.pid.to_string()),
                    fact("phase", running.phase.to_string()),
                    fact("sent", bytes(running.done)),
                    fact("in all", total),
                ];
                (format!("Base backup of process {}", running.pid), facts)
            },
        ),
    }
}

fn archiver_facts(sight: &Sight<'_>) -> Vec<Fact> {
    let archiver = match &sight.snapshot.backup.archiver {
        Known::Is(archiver) => archiver,
        unseen => return vec![fact_line("state", sight.known(unseen, |_| String::new()))],
    };
    let (tone, words) = archiver_state(sight, archiver);
    let when = |at: Option<crate::base::clock::Timestamp>| {
        at.map_or_else(String::new, |at| {
            format!("  {}, {} ago", sight.moment(at), age(sight.ago(at)))
        })
    };
    let segment = |wal: &Option<Text>| {
        wal.as_ref().map_or_else(|| sight.glyphs.unknown().to_owned(), Text::to_string)
    };
    let mode = match archiver.mode {
        ArchiveMode::Off => "archive_mode = off: set it to on and give an archive_command",
        ArchiveMode::NoCommand => {
            "on, but there is neither archive_command nor archive_library: set one"
        }
        ArchiveMode::On => "on",
        ArchiveMode::Always => "always: standbys archive too",
    };
    vec![
        fact_line("state", vec![marked(sight.glyphs, tone, &words)]),
        fact("mode", mode),
        fact("last WAL", format!("{}{}", segment(&archiver.last_wal), when(archiver.last_at))),
        fact(
            "archived",
            format!("{} segments since the statistics began", count(archiver.archived)),
        ),
        fact_line("waiting", ready(sight, archiver)),
        fact(
            "failed",
            if archiver.failed == 0 {
                "never".to_owned()
            } else {
                format!(
                    "{} times, last {}{}",
                    count(archiver.failed),
                    segment(&archiver.last_failed_wal),
                    when(archiver.last_failed_at)
                )
            },
        ),
        fact_line(
            "proof",
            vec![piece(
                "none: the server tells what the command said, not what can be read back",
                Meaning::Muted,
            )],
        ),
    ]
}

fn repository_facts(sight: &Sight<'_>) -> Vec<Fact> {
    let known = &sight.snapshot.backup.repository;
    let mut facts =
        vec![fact_line("where", sight.known(known, |repository| repository.location.to_string()))];
    if known.value().is_none() {
        facts.push(fact(
            "meaning",
            "No backup is known to this console, so no restore can be promised. That there is none is \
             not said: another tool may keep some.",
        ));
    }
    facts
}

/// How the archiver's state is meant, if it is seen.
pub fn tone(sight: &Sight<'_>) -> Option<Tone> {
    sight.snapshot.backup.archiver.value().map(|archiver| archiver_state(sight, archiver).0)
}
