//! The recoverability line: what would be lost, how soon we would be back, and to which moments.

use std::time::Duration;

use super::{Sight, fact, fact_line, short_age};
use crate::{
    base::{text::Text, units},
    console::{
        theme::Meaning,
        widget::{Fact, Line, Piece, Tone, line_width, marked, piece},
    },
    watch::snapshot::{Known, Pitr},
};

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All.
    Full,
    /// No ages, no words where a sign does.
    Terse,
    /// Figures and verdicts, without the promises.
    Bare,
    /// Verdicts alone.
    Verdict,
}

/// The three figures in `room` cells. Reasons for what is not known stand beside it as far as there is
/// room; all of them are in the detail of the backup pane.
pub fn line(sight: &Sight<'_>, room: usize) -> Line {
    let all = &sight.snapshot.recoverability;
    let parts = |level: Level| {
        [
            (rpo(sight, level), all.rpo.reason()),
            (rto(sight, level), all.rto.reason()),
            (pitr(sight, level), all.pitr.reason()),
        ]
    };
    let width = |parts: &[(Line, Option<&Text>)]| -> usize {
        parts.iter().map(|(part, _)| line_width(part) + 2).sum::<usize>().saturating_sub(2)
    };
    let mut parts = [Level::Full, Level::Terse, Level::Bare]
        .into_iter()
        .map(|level| parts(level).to_vec())
        .find(|parts| width(parts) <= room)
        .unwrap_or_else(|| parts(Level::Bare).to_vec());
    // Half a verdict is none: what does not fit goes whole.
    while parts.len() > 1 && width(&parts) > room {
        parts.pop();
    }
    if width(&parts) > room {
        parts = vec![(rpo(sight, Level::Verdict), None)];
    }
    let taken = width(&parts);
    let mut spare = room.saturating_sub(taken);
    for (part, reason) in &mut parts {
        // Before the first answer every reason is the same.
        let asked = sight.snapshot.link.last_answer.is_some();
        let Some(reason) = reason.filter(|_| asked) else { continue };
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

/// A duration as a clock shows it, in minutes up to 99:59: the promises are made in minutes.
fn clock(d: Duration) -> String {
    match d.as_secs() {
        secs @ 0..6000 => format!("{}:{:02}", secs / 60, secs % 60),
        _ => units::clock(d),
    }
}

fn figure(
    sight: &Sight<'_>,
    level: Level,
    at_most: bool,
    value: Duration,
    target: Duration,
) -> Line {
    let sign = match (at_most, sight.glyphs) {
        (false, _) => "",
        (true, crate::console::theme::Glyphs::Unicode) => "≤",
        (true, crate::console::theme::Glyphs::Ascii) => "<=",
    };
    let mut line = vec![piece(format!("{sign}{}", clock(value)), Meaning::Strong)];
    if target.is_zero() {
        return line;
    }
    if level == Level::Verdict {
        return vec![verdict(sight, value <= target)];
    }
    let target_words = match level {
        Level::Bare | Level::Verdict => " ".to_owned(),
        Level::Full | Level::Terse => format!("/{} ", clock(target)),
    };
    line.push(piece(target_words, Meaning::Muted));
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

fn rpo(sight: &Sight<'_>, level: Level) -> Line {
    let all = &sight.snapshot.recoverability;
    let mut line = vec![piece("RPO ", Meaning::Muted)];
    match &all.rpo {
        Known::Is(rpo) => line.extend(figure(sight, level, rpo.at_most, rpo.loss, all.rpo_target)),
        known => line.push(unseen(sight, known)),
    }
    line
}

fn rto(sight: &Sight<'_>, level: Level) -> Line {
    let all = &sight.snapshot.recoverability;
    let mut line = vec![piece("RTO ", Meaning::Muted)];
    match &all.rto {
        Known::Is(rto) => {
            line.extend(figure(sight, level, false, rto.expected, all.rto_target));
            if level == Level::Full {
                let days = short_age(sight.ago(rto.measured));
                line.push(piece(format!(" {days} ago"), Meaning::Muted));
            }
        }
        known => line.push(unseen(sight, known)),
    }
    line
}

fn reach(pitr: &Pitr) -> String {
    let span = Duration::try_from(pitr.to.duration_since(pitr.from)).unwrap_or_default();
    units::age(span)
}

fn pitr(sight: &Sight<'_>, level: Level) -> Line {
    let mut line = vec![piece("PITR ", Meaning::Muted)];
    match &sight.snapshot.recoverability.pitr {
        Known::Is(pitr) => {
            line.push(piece(format!("{} ", reach(pitr)), Meaning::Strong));
            line.push(match pitr.gaps {
                0 if level != Level::Full => piece("", Meaning::Muted),
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
            let mut line = figure(sight, Level::Full, rpo.at_most, rpo.loss, all.rpo_target);
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
            let mut line = figure(sight, Level::Full, false, rto.expected, all.rto_target);
            line.push(piece(
                format!("  measured {} by {}", sight.moment(rto.measured), rto.source),
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
