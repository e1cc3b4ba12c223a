//! The list of backups on the Recovery screen, and how size and duration went.

use super::{Sight, kept, pools::sight_mark, short_age};
use crate::{
    base::{
        text::Text,
        units::{bytes, clock, span},
    },
    console::{
        model::{RecoveryRow, Section, recovery_rows},
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Line, TableRow, piece},
    },
    watch::snapshot::{KeptBackup, KeptProof, ProofVerdict},
};

/// The columns of the list.
pub fn columns(glyphs: Glyphs) -> [Column; 8] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::figures("age", 5, 0),
        Column::words("kind", 8, 8, 1),
        Column::words("state", 10, 10, 0).whole(),
        Column::figures("size", 8, 2),
        Column::figures("took", 6, 3),
        Column::words("began", 12, 12, 5),
        Column::words("", 28, u16::MAX, 4),
    ]
}

/// A row of the list.
pub fn row(sight: &Sight<'_>, backup: &KeptBackup) -> TableRow {
    row_with(sight, backup, note(sight, backup))
}

/// The row of a backup that another engine keeps.
pub fn row_of_engine(sight: &Sight<'_>, engine: &Text, backup: &KeptBackup) -> TableRow {
    let note = match kept::reason(backup) {
        Some(why) => piece(why.to_string(), Meaning::Text),
        None => piece(format!("kept by {engine}"), Meaning::Muted),
    };
    row_with(sight, backup, vec![note])
}

fn row_with(sight: &Sight<'_>, backup: &KeptBackup, note: Line) -> TableRow {
    let (tone, word) = kept::state(backup);
    let cells: Vec<Cell> = vec![
        sight_mark(sight, tone),
        piece(kept::when(sight, backup), Meaning::Text).into(),
        piece(backup.method.to_string(), Meaning::Strong).into(),
        piece(word, tone.meaning).into(),
        sight.figure(backup.size.map(bytes)),
        sight.figure(backup.duration.map(span)),
        piece(sight.moment(backup.began), Meaning::Muted).into(),
        note.into(),
    ];
    TableRow { cells, stale: false }
}

/// Why it is no good, or what is known of its being good.
fn note(sight: &Sight<'_>, backup: &KeptBackup) -> Line {
    if let Some(why) = kept::reason(backup) {
        return vec![piece(why.to_string(), Meaning::Text)];
    }
    let kept = sight.snapshot.backup.repository.value();
    let came_back = |proof: &&KeptProof| {
        proof.backup == backup.id
            && matches!(proof.verdict, ProofVerdict::Proven | ProofVerdict::TargetMissed)
    };
    let proof = kept.and_then(|kept| kept.proofs.iter().find(came_back));
    let words = match (proof, backup.verified) {
        (Some(proof), _) => {
            let took = proof.rto.map_or_else(String::new, |rto| format!(" in {}", clock(rto)));
            format!("restored{took}, {} ago", short_age(sight.ago(proof.at)))
        }
        (None, Some(at)) => format!("verified {} ago", short_age(sight.ago(at))),
        (None, None) => String::new(),
    };
    vec![piece(words, Meaning::Muted)]
}

/// How the backups of one kind went: their sizes and durations, oldest first, as shares of the largest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trend {
    /// Bytes in the repository.
    pub sizes: Vec<f32>,
    /// How long they took.
    pub durations: Vec<f32>,
}

/// The trend of the whole backups of that kind. One alone is none.
pub fn trend(sight: &Sight<'_>, method: &str) -> Option<Trend> {
    let rows = recovery_rows(sight.snapshot, Section::Backups);
    let whole = |backup: &&KeptBackup| *backup.method == *method && backup.is_whole();
    let backups = || rows.iter().rev().filter_map(RecoveryRow::backup).filter(whole);
    let share = |values: Vec<Option<f64>>| -> Vec<f32> {
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        let part = |value: f64| if most > 0.0 { (value / most) as f32 } else { 0.0 };
        values.into_iter().map(|value| value.map_or(f32::NAN, part)).collect()
    };
    let trend = Trend {
        sizes: share(backups().map(|backup| Some(backup.size? as f64)).collect()),
        durations: share(backups().map(|backup| Some(backup.duration?.as_secs_f64())).collect()),
    };
    (trend.sizes.len() > 1).then_some(trend)
}
