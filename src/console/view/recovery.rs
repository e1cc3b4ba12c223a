//! The recoverability line: what would be lost, how soon we would be back, and to which moments.

use std::time::Duration;

use super::{Fact, Sight, fact, fact_line};
use crate::{
    base::{
        text::Text,
        units::{age, clock},
    },
    console::{
        theme::Meaning,
        widget::{Line, Piece, Tone, line_width, marked, piece},
    },
    watch::snapshot::{Known, Pitr},
};

/// The three figures in `room` cells. Reasons for what is not known stand beside it as far as there is
/// room; all of them are in the detail of the backup pane.
pub fn line(sight: &Sight<'_>, room: usize) -> Line {
    let all = &sight.snapshot.recoverability;
    let mut parts = [
        (rpo(sight), all.rpo.reason()),
        (rto(sight), all.rto.reason()),
        (pitr(sight), all.pitr.reason()),
    ];
    let taken: usize = parts.iter().map(|(part, _)| line_width(part) + 2).sum();
    let mut spare = room.saturating_sub(taken);
    for (part, reason) in &mut parts {
        let Some(reason) = reason else { continue };
        let cells = crate::base::text::width(reason) + 1;
        if cells <= spare {
            part.push(piece(format!(" {reason}"), Meaning::Muted));
            spare -= cells;
        }
    }
    let mut line = Vec::new();
    for (part, _) in parts {
        if !line.is_empty() {
            line.push(piece("  ", Meaning::Text));
        }
        line.extend(part);
    }
    if sight.server_stale().is_some() {
        for piece in &mut line {
            piece.meaning = Meaning::Stale;
        }
    }
    line
}

fn figure(sight: &Sight<'_>, at_most: bool, value: Duration, target: Duration) -> Line {
    let sign = match (at_most, sight.glyphs) {
        (false, _) => "",
        (true, crate::console::theme::Glyphs::Unicode) => "≤",
        (true, crate::console::theme::Glyphs::Ascii) => "<=",
    };
    let mut line = vec![piece(format!("{sign}{}", clock(value)), Meaning::Strong)];
    if target.is_zero() {
        return line;
    }
    line.push(piece(format!("/{} ", clock(target)), Meaning::Muted));
    line.push(verdict(sight, value <= target));
    line
}

fn verdict(sight: &Sight<'_>, kept: bool) -> Piece {
    if kept { sight_sign(sight, Tone::GOOD) } else { marked(sight.glyphs, Tone::BAD, "OVER") }
}

fn sight_sign(sight: &Sight<'_>, tone: Tone) -> Piece {
    piece(sight.glyphs.mark(tone.mark), tone.meaning)
}

fn unseen<T>(sight: &Sight<'_>, known: &Known<T>) -> Piece {
    match known {
        Known::Blind(_) => marked(sight.glyphs, Tone::BLIND, "BLIND"),
        _ => sight.unknown(),
    }
}

fn rpo(sight: &Sight<'_>) -> Line {
    let all = &sight.snapshot.recoverability;
    let mut line = vec![piece("RPO ", Meaning::Muted)];
    match &all.rpo {
        Known::Is(rpo) => line.extend(figure(sight, rpo.at_most, rpo.loss, all.rpo_target)),
        known => line.push(unseen(sight, known)),
    }
    line
}

fn rto(sight: &Sight<'_>) -> Line {
    let all = &sight.snapshot.recoverability;
    let mut line = vec![piece("RTO ", Meaning::Muted)];
    match &all.rto {
        Known::Is(rto) => {
            line.extend(figure(sight, false, rto.expected, all.rto_target));
            line.push(piece(format!(" {} ago", age(sight.ago(rto.measured))), Meaning::Muted));
        }
        known => line.push(unseen(sight, known)),
    }
    line
}

fn reach(pitr: &Pitr) -> String {
    let span = Duration::try_from(pitr.to.duration_since(pitr.from)).unwrap_or_default();
    age(span)
}

fn pitr(sight: &Sight<'_>) -> Line {
    let mut line = vec![piece("PITR ", Meaning::Muted)];
    match &sight.snapshot.recoverability.pitr {
        Known::Is(pitr) => {
            line.push(piece(format!("{} ", reach(pitr)), Meaning::Strong));
            line.push(match pitr.gaps {
                0 => piece("no gaps ", Meaning::Muted),
                1 => piece("1 GAP ", Meaning::Critical),
                many => piece(format!("{many} GAPS "), Meaning::Critical),
            });
            line.push(sight_sign(sight, if pitr.gaps == 0 { Tone::GOOD } else { Tone::BAD }));
        }
        known => line.push(unseen(sight, known)),
    }
    line
}

/// What stands behind the three figures.
pub fn facts(sight: &Sight<'_>) -> Vec<Fact> {
    let all = &sight.snapshot.recoverability;
    let mut facts = Vec::new();
    match &all.rpo {
        Known::Is(rpo) => {
            let mut line = figure(sight, rpo.at_most, rpo.loss, all.rpo_target);
            line.push(piece(format!("  safe by {}", rpo.source), Meaning::Muted));
            facts.push(fact_line("RPO", line));
            for (way, loss) in &rpo.ways {
                facts.push(way_fact(sight, way, loss));
            }
        }
        known => facts.push(fact_line("RPO", reason(sight, known))),
    }
    match &all.rto {
        Known::Is(rto) => {
            let mut line = figure(sight, false, rto.expected, all.rto_target);
            line.push(piece(
                format!("  measured by the restore of {}", sight.moment(rto.measured)),
                Meaning::Muted,
            ));
            facts.push(fact_line("RTO", line));
        }
        known => facts.push(fact_line("RTO", reason(sight, known))),
    }
    match &all.pitr {
        Known::Is(pitr) => facts.push(fact(
            "PITR",
            format!(
                "{} {} {}, {} gaps",
                sight.moment(pitr.from),
                sight.glyphs.to(),
                sight.moment(pitr.to),
                pitr.gaps
            ),
        )),
        known => facts.push(fact_line("PITR", reason(sight, known))),
    }
    facts
}

fn way_fact(sight: &Sight<'_>, way: &Text, loss: &Known<Duration>) -> Fact {
    let mut line = vec![piece(format!("by {way}: "), Meaning::Text)];
    line.extend(sight.known(loss, |loss| clock(*loss)));
    fact_line("", line)
}

fn reason<T>(sight: &Sight<'_>, known: &Known<T>) -> Line {
    sight.known(known, |_| String::new())
}
