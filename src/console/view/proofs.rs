//! Proofs, and what would expire, in words.

use super::{Sight, fact, fact_line, pools::sight_mark, short_age, timeline::full};
use crate::{
    base::units::{bytes, clock, count},
    console::{
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Fact, Line, TableRow, Tone, marked, piece},
    },
    watch::snapshot::{KeptProof, Known, ProofVerdict},
};

/// The columns of the list of proofs.
pub fn columns(glyphs: Glyphs) -> [Column; 6] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::figures("age", 5, 0),
        Column::words("verdict", 13, 13, 0).whole(),
        Column::figures("RTO", 7, 1),
        Column::figures("RPO", 7, 2),
        Column::words("of", 16, u16::MAX, 3),
    ]
}

/// What came of a proof, and how that is meant.
const fn verdict(proof: &KeptProof) -> (Tone, &'static str) {
    match proof.verdict {
        ProofVerdict::Proven => (Tone::GOOD, "proven"),
        ProofVerdict::TargetMissed => (Tone::WARN, "TARGET MISSED"),
        ProofVerdict::Failed => (Tone::BAD, "FAILED"),
        ProofVerdict::Damaged => (Tone::BAD, "DAMAGED"),
    }
}

/// A row of the list.
pub fn row(sight: &Sight<'_>, proof: &KeptProof) -> TableRow {
    let (tone, word) = verdict(proof);
    let of = match proof.findings.first() {
        Some(finding) => piece(finding.to_string(), Meaning::Text),
        None => piece(proof.backup.to_string(), Meaning::Muted),
    };
    let cells: Vec<Cell> = vec![
        sight_mark(sight, tone),
        piece(short_age(sight.ago(proof.at)), Meaning::Text).into(),
        piece(word, tone.meaning).into(),
        sight.figure(proof.rto.map(clock)),
        sight.figure(proof.rpo.map(clock)),
        of.into(),
    ];
    TableRow { cells, stale: false }
}

/// Everything known of one proof.
pub fn detail(sight: &Sight<'_>, proof: &KeptProof) -> (String, Vec<Fact>) {
    let (tone, word) = verdict(proof);
    let made = format!("{}, {} ago", full(proof.at), short_age(sight.ago(proof.at)));
    let measured = |value: Option<std::time::Duration>, suffix: &str| {
        value.map_or_else(
            || vec![sight.unknown(), piece(" it did not get so far", Meaning::Muted)],
            |value| vec![piece(format!("{}{suffix}", clock(value)), Meaning::Text)],
        )
    };
    let drill = if proof.drill { "  by a drill: a real restore takes longer" } else { "" };
    let level = proof.level.map(|level| format!("L{level}"));
    let mut facts = vec![
        fact_line("verdict", vec![marked(sight.glyphs, tone, word)]),
        fact("backup", proof.backup.to_string()),
        fact("made", made),
        fact_line(
            "level",
            level.map_or_else(|| vec![sight.unknown()], |level| vec![piece(level, Meaning::Text)]),
        ),
        fact_line("RTO", measured(proof.rto, drill)),
        fact_line("RPO", measured(proof.rpo, " at most")),
    ];
    for (nth, finding) in proof.findings.iter().enumerate() {
        facts.push(fact(if nth == 0 { "findings" } else { "" }, finding.to_string()));
    }
    facts.push(fact("kept as", format!("proofs/{}", proof.name)));
    (format!("Proof of {}", proof.backup), facts)
}

/// What `howdah backup expire` would remove, in a line.
pub fn expiry(sight: &Sight<'_>) -> Line {
    let mut line = vec![piece("expire  ", Meaning::Muted)];
    let Some(kept) = sight.snapshot.backup.repository.value() else {
        line.push(sight.unknown());
        return line;
    };
    match &kept.expiry {
        Known::Is(expiry) => {
            let mut going = Vec::new();
            match expiry.going.len() {
                0 => {}
                1 => going.push("1 backup".to_owned()),
                many => going.push(format!("{many} backups")),
            }
            if let Some(files) = expiry.wal.filter(|files| *files > 0) {
                going.push(format!("{} WAL files", count(files)));
            }
            let mut words = if going.is_empty() {
                "would remove nothing".to_owned()
            } else {
                format!("would remove {}: {}", going.join(", "), bytes(expiry.freed))
            };
            if expiry.wal.is_none() {
                words.push_str("; which WAL is needed is not known");
            }
            line.push(piece(words, Meaning::Text));
            line.push(piece(
                format!("  keeps {} d, {} each", expiry.days, expiry.at_least),
                Meaning::Muted,
            ));
        }
        unseen => line.extend(sight.known(unseen, |_| String::new())),
    }
    line
}
