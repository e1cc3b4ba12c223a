//! What is known of backups, in words.

use super::{Sight, engines, fact, fact_line, kept, percent, pools::sight_mark};
use crate::{
    base::{
        text::Text,
        units::{age, bytes, count},
    },
    console::{
        model::{BackupRow, backup_at},
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Fact, Line, TableRow, Tone, marked, piece, wrap_line},
    },
    watch::snapshot::{ArchiveMode, Archiver, EngineHistory, KeptBackup, Known, RunningBackup},
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

/// The lines of the rows at the given places, broken for `room` cells.
pub fn lines(sight: &Sight<'_>, places: &[usize], room: u16) -> Vec<BackupLine> {
    let stale = sight.server_stale().is_some();
    let mut out = Vec::new();
    for (place, index) in places.iter().enumerate() {
        let lines = match backup_at(sight.snapshot, *index) {
            Some(BackupRow::Archiver) => archiver_lines(sight),
            Some(BackupRow::Repository) => repository_lines(sight),
            Some(BackupRow::Engine(name, told)) => vec![engine_line(sight, name, told)],
            Some(BackupRow::Running(running)) => vec![running_line(sight, running)],
            Some(BackupRow::Kept(backup)) => vec![kept_line(sight, backup, room)],
            None => Vec::new(),
        };
        let lines = lines.into_iter().flat_map(|cells| broken(sight, cells, room));
        out.extend(lines.enumerate().map(|(nth, cells)| BackupLine {
            row: (nth == 0).then_some(place),
            cells: TableRow { cells, stale },
        }));
    }
    out
}

/// Cells for the words of a line: behind the sign, the label and the gaps between them.
fn words_room(sight: &Sight<'_>, room: u16) -> usize {
    usize::from(room.saturating_sub(sight.glyphs.mark_width() + 10))
}

/// Lines that one row has at most: what is wrong with one backup must not hide the others. All of it stands in its
/// detail.
const MOST: usize = 2;

/// A line whose words are broken to fit, as lines of their own; the last one is cut off where they are too many.
fn broken(sight: &Sight<'_>, cells: Vec<Cell>, room: u16) -> Vec<Vec<Cell>> {
    let Some(Cell::Words(words)) = cells.get(2) else { return vec![cells] };
    let mut lines = wrap_line(words, words_room(sight, room));
    let beyond: Line = lines.drain(MOST.min(lines.len())..).flatten().collect();
    if let Some(last) = lines.last_mut() {
        last.extend(beyond);
    }
    lines
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
        // A crash begins its statistics anew: what was archived before, they do not say.
        (_, false, None) => (Tone::WAIT, "none since stats began".to_owned()),
    }
}

fn archiver_lines(sight: &Sight<'_>) -> Vec<Vec<Cell>> {
    let archiver = match &sight.snapshot.backup.archiver {
        Known::Is(archiver) => archiver,
        unseen => return vec![unknown_line(sight, "archiver", unseen)],
    };
    let (tone, words) = archiver_state(sight, archiver);
    let mut lines = vec![head(sight, tone, "archiver", vec![piece(words, tone.meaning)])];
    // Where backups are to be shown below, only what is not as it should be gets a line.
    let brief = sight.snapshot.backup.repository.value().is_some();
    if let Some(wal) = archiver.last_wal.as_ref().filter(|_| !brief) {
        lines.push(more("last WAL", text(wal.to_string())));
    }
    if archiver.mode == ArchiveMode::Off {
        return lines;
    }
    if !brief || !matches!(archiver.ready, Known::Is((0, _))) {
        lines.push(more("waiting", ready(sight, archiver)));
    }
    if !brief || archiver.failing {
        lines.push(more("failed", failures(sight, archiver)));
    }
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
        Known::Is(repository) if repository.backups.is_empty() => {
            let words = format!("NONE in {}", repository.location);
            vec![head(sight, Tone::STOP, "backups", vec![piece(words, Meaning::Critical)])]
        }
        Known::Is(repository) => {
            vec![head(sight, Tone::RUNS, "kept in", text(repository.location.to_string()))]
        }
        unseen => vec![unknown_line(sight, "backups", unseen)],
    }
}

fn engine_line(sight: &Sight<'_>, name: &Text, told: &Known<EngineHistory>) -> Vec<Cell> {
    let Known::Is(history) = told else {
        let mut cells = unknown_line(sight, "engine", told);
        if let Some(Cell::Words(words)) = cells.get_mut(2) {
            words.insert(0, piece(format!("{name}: "), Meaning::Text));
        }
        return cells;
    };
    let (tone, words) = engines::state(history);
    let when = history.newest().map_or_else(|| "engine".to_owned(), |b| kept::when(sight, b));
    head(sight, tone, &when, words)
}

fn kept_line(sight: &Sight<'_>, backup: &KeptBackup, room: u16) -> Vec<Cell> {
    let (tone, _) = kept::state(backup);
    let words = kept::words(backup, words_room(sight, room));
    head(sight, tone, &kept::when(sight, backup), words)
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

/// Everything known of the row at that place (see [`crate::console::model::Row`]).
pub fn detail(sight: &Sight<'_>, index: usize) -> (String, Vec<Fact>) {
    match backup_at(sight.snapshot, index) {
        Some(BackupRow::Archiver) => ("WAL archiver".to_owned(), archiver_facts(sight)),
        Some(BackupRow::Repository) => ("Backup repository".to_owned(), repository_facts(sight)),
        Some(BackupRow::Engine(name, told)) => engines::detail(sight, name, told),
        Some(BackupRow::Running(running)) => running_facts(sight, running),
        Some(BackupRow::Kept(backup)) => kept::detail(sight, backup),
        None => (String::new(), Vec::new()),
    }
}

/// Everything known of a base backup that is being taken.
pub fn running_facts(sight: &Sight<'_>, running: &RunningBackup) -> (String, Vec<Fact>) {
    let total =
        running.total.map_or_else(|| format!("{} not estimated", sight.glyphs.unknown()), bytes);
    let facts = vec![
        fact("process", running.pid.to_string()),
        fact("phase", running.phase.to_string()),
        fact("sent", bytes(running.done)),
        fact("in all", total),
    ];
    (format!("Base backup of process {}", running.pid), facts)
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
    match &sight.snapshot.backup.repository {
        Known::Is(repository) => kept::repository(sight, repository),
        unseen => vec![
            fact_line("where", sight.known(unseen, |_| String::new())),
            fact(
                "meaning",
                "No backup is known to this console, so no restore can be promised. That there is none \
                 is not said: another tool may keep some.",
            ),
        ],
    }
}

/// How archiver and newest backup are meant, as far as they are seen: the signs on the pane's tab.
pub fn tones(sight: &Sight<'_>) -> Vec<Tone> {
    let backup = &sight.snapshot.backup;
    let archiver = backup.archiver.value().map(|archiver| archiver_state(sight, archiver).0);
    let newest = backup.repository.value().map(|kept| match kept.last_attempt() {
        Some(newest) => kept::state(newest).0,
        None => Tone::STOP,
    });
    let engines = backup.engines.iter().filter_map(|(_, told)| told.value());
    archiver.into_iter().chain(newest).chain(engines.map(|e| engines::state(e).0)).collect()
}
