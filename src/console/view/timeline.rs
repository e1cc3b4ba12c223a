//! The line of time, in words and signs: what each cell of it stands for, and what is known of the moment
//! under the cursor.

use std::time::Duration;

use super::{Sight, kept, short_age};
use crate::{
    base::{clock::Timestamp, units::bytes},
    console::{
        model::{Axis, line_of_time},
        theme::Meaning,
        widget::{Line, Tone, marked, piece},
    },
    watch::snapshot::{BaseBackup, KeptBackup, Reach, Timeline},
};

/// What one cell of the line stands for. The worst of its seconds counts: a gap is never rounded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// Each moment of it can be restored.
    Whole,
    /// Some moment of it cannot be restored, although later ones can.
    Gap,
    /// It lies behind all WAL that is kept, or before the first backup.
    Outside,
    /// It has not come yet.
    Ahead,
}

/// What each cell stands for.
pub fn cells(line: &Timeline, axis: &Axis, now: Timestamp, cells: u16) -> Vec<Covered> {
    let stretches = line.stretches();
    let ends = stretches.first().zip(stretches.last()).map(|(a, b)| (a.0, b.1));
    let (first, last) = ends.map_or((0, 0), |(a, b)| (a.as_second(), b.as_second()));
    let covered = |cell: u16| {
        let (begin, behind) = axis.seconds(cell);
        if begin > now.as_second().max(last) {
            return Covered::Ahead;
        }
        // Only the seconds between the first and the last that can be restored can be a gap.
        let (begin, end) = (begin.max(first), (behind - 1).min(last));
        if ends.is_none() || begin > end {
            return Covered::Outside;
        }
        let whole = stretches.iter().any(|(a, b)| a.as_second() <= begin && end <= b.as_second());
        if whole { Covered::Whole } else { Covered::Gap }
    };
    (0..cells).map(covered).collect()
}

/// The base backups with the cell that each stands in, and how it is meant; of several in one cell the worst.
pub fn marks(sight: &Sight<'_>, line: &Timeline, axis: &Axis) -> Vec<(u16, Meaning)> {
    let mut marks: Vec<(u16, Meaning)> = Vec::new();
    for base in &line.bases {
        let Some(cell) = axis.cell(base.from) else { continue };
        let meaning =
            of_base(sight, base).map_or(Meaning::Text, |backup| kept::state(backup).0.meaning);
        match marks.iter_mut().find(|(at, _)| *at == cell) {
            Some((_, worst)) if meaning == Meaning::Critical => *worst = meaning,
            Some(_) => {}
            None => marks.push((cell, meaning)),
        }
    }
    marks
}

fn of_base<'a>(sight: &Sight<'a>, base: &BaseBackup) -> Option<&'a KeptBackup> {
    let kept = sight.snapshot.backup.repository.value()?;
    kept.backups.iter().find(|backup| backup.id == base.id)
}

/// The moment under the cursor: when, how long ago, and whether it can be restored; then from what.
pub fn moment(sight: &Sight<'_>) -> [Line; 2] {
    let state = &sight.state.recovery;
    let (Some(line), Some(at)) = (line_of_time(sight.snapshot), state.moment(sight.snapshot))
    else {
        return [Line::new(), Line::new()];
    };
    let newest = if state.moment.is_none() { "newest  " } else { "" };
    let mut first = vec![
        piece(full(at), Meaning::Strong),
        piece(format!("  {newest}{}  ", distance(sight, at)), Meaning::Muted),
    ];
    let (verdict, second) = verdict(sight, line, at);
    first.push(verdict);
    [first, second]
}

/// A moment with its date, to the second, in UTC: `2026-11-23 09:13:25Z`.
pub fn full(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn distance(sight: &Sight<'_>, at: Timestamp) -> String {
    let passed = sight.wall.duration_since(at);
    match Duration::try_from(passed) {
        Ok(passed) => format!("{} ago", short_age(passed)),
        Err(_) => format!("in {}", short_age(passed.unsigned_abs())),
    }
}

fn verdict(
    sight: &Sight<'_>,
    line: &Timeline,
    at: Timestamp,
) -> (crate::console::widget::Piece, Line) {
    let muted = |words: String| vec![piece(words, Meaning::Muted)];
    let no = |words: &str| marked(sight.glyphs, Tone::BAD, words);
    match line.reach(at) {
        Reach::From { base, replay } => {
            let mut words = vec![piece(format!("from {}", base.id), Meaning::Text)];
            if let Some(backup) = of_base(sight, base) {
                let (tone, word) = kept::state(backup);
                words.push(piece("  ", Meaning::Text));
                words.push(marked(sight.glyphs, tone, &word));
            }
            words.push(piece(
                replay.map_or_else(
                    || "  replays WAL of an unknown size".to_owned(),
                    |replay| format!("  replays at most {} of WAL", bytes(replay)),
                ),
                Meaning::Muted,
            ));
            (marked(sight.glyphs, Tone::RUNS, "can be restored"), words)
        }
        Reach::Gap(base) => {
            let missing = base.missing.as_ref().map_or_else(
                || "no commit is in the archive".to_owned(),
                |broken| format!("WAL {broken}"),
            );
            let words = format!("{missing}: behind {} from {}", full(base.to), base.id);
            (no("CANNOT be restored"), muted(words))
        }
        Reach::Beyond(base) => {
            let words = format!("the newest commit in the archive is of {}", full(base.to));
            (marked(sight.glyphs, Tone::WARN, "not archived yet"), muted(words))
        }
        Reach::Before(base) => {
            let words = format!("the first base backup ended {}", full(base.from));
            (no("CANNOT be restored"), muted(words))
        }
        Reach::NoBase => (no("CANNOT be restored"), muted("there is no base backup".to_owned())),
    }
}

/// What stands below the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Its first moment.
    pub from: String,
    /// How much a cell is.
    pub cell: String,
    /// Its last moment, and the cells from its begin to there.
    pub to: (String, u16),
}

/// The ends of the line; a young history ends before the last cell.
pub fn ends(sight: &Sight<'_>, axis: &Axis, cells: u16) -> Ends {
    let (from, to) = axis.ends();
    let cell = Duration::from_secs(axis.step().unsigned_abs());
    let to = match axis.cell(sight.wall) {
        Some(cell) => ("now".to_owned(), cell + 1),
        None => (full(to), cells),
    };
    Ends { from: full(from), cell: format!("1 cell = {}", short_age(cell)), to }
}
