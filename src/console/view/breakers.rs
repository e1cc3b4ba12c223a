//! Circuit breakers in words.

use super::{Sight, fact, fact_line, percent, pools::sight_mark, short_age};
use crate::{
    base::units::{age, count},
    console::{
        theme::{Glyphs, Mark, Meaning},
        widget::{Column, Fact, Piece, TableRow, Tone, marked, piece},
    },
    watch::snapshot::{Breaker, BreakerState},
};

/// The columns of the breakers, in reading order.
pub fn columns(glyphs: Glyphs) -> [Column; 8] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::words("breaker", 8, 28, 0),
        Column::words("state", 11, 11, 0).whole(),
        Column::words("", 12, 22, 1),
        Column::figures("since", 6, 2),
        Column::figures("slow", 5, 4),
        Column::figures("refused", 7, 3),
        Column::words("source", 10, 26, 5),
    ]
}

/// How a breaker's state is meant.
pub const fn tone(state: BreakerState) -> Tone {
    match state {
        BreakerState::Closed => Tone::RUNS,
        BreakerState::Open | BreakerState::ForcedOpen => Tone::STOP,
        BreakerState::HalfOpen | BreakerState::Disabled => Tone::WARN,
        BreakerState::MetricsOnly => Tone { mark: Mark::Dot, meaning: Meaning::Muted },
        BreakerState::Unknown => Tone::UNKNOWN,
    }
}

/// The rows that stand at the given places.
pub fn rows(sight: &Sight<'_>, places: &[usize]) -> Vec<TableRow> {
    sight.at(&sight.snapshot.breakers, places).map(|breaker| row(sight, breaker)).collect()
}

fn row(sight: &Sight<'_>, breaker: &Breaker) -> TableRow {
    let tone = tone(breaker.state);
    let stale = sight.stale(&breaker.source);
    let info = match stale {
        Some(old) => piece(format!("STALE {}", short_age(old)), Meaning::Warning),
        None => info(sight, breaker),
    };
    let since = breaker.since.map(|since| {
        let sign = if breaker.since_exact { "" } else { ">" };
        format!("{sign}{}", short_age(sight.now.since(since)))
    });
    let cells = vec![
        sight_mark(sight, tone),
        piece(breaker.name.to_string(), Meaning::Strong).into(),
        piece(breaker.state.word(), tone.meaning).into(),
        info.into(),
        sight.figure(since),
        match breaker.slow_rate {
            Some(rate) if rate <= 0.0 => piece("0%", Meaning::Muted).into(),
            rate => sight.figure(rate.map(percent)),
        },
        sight.count(breaker.rejected),
        piece(breaker.source.to_string(), Meaning::Muted).into(),
    ];
    TableRow { cells, stale: stale.is_some() }
}

/// The one thing to know beside the state, in twelve cells where it can.
fn info(sight: &Sight<'_>, breaker: &Breaker) -> Piece {
    let next = breaker.next_try.map(|at| format!("try in {}", short_age(at.since(sight.now))));
    let text = match breaker.state {
        BreakerState::Open => next,
        BreakerState::HalfOpen => breaker.probes.map(|(good, all)| format!("{good}/{all} probes")),
        BreakerState::ForcedOpen => Some("by a person".to_owned()),
        BreakerState::Disabled => Some("guards not".to_owned()),
        BreakerState::MetricsOnly => Some("counts only".to_owned()),
        BreakerState::Unknown => Some("see detail".to_owned()),
        BreakerState::Closed => None,
    };
    text.or_else(|| failures(breaker))
        .map_or_else(|| sight.unknown(), |text| piece(text, Meaning::Text))
}

fn failures(breaker: &Breaker) -> Option<String> {
    match (breaker.failure_rate, breaker.calls) {
        (Some(rate), Some(calls)) => Some(format!("{} of {}", percent(rate), count(calls))),
        (Some(rate), None) => Some(format!("{} failed", percent(rate))),
        (None, Some(calls)) => Some(format!("{} calls", count(calls))),
        (None, None) => None,
    }
}

/// Everything known of the breaker at that place.
pub fn detail(sight: &Sight<'_>, index: usize) -> (String, Vec<Fact>) {
    let Some(breaker) = sight.snapshot.breakers.get(index) else {
        return (String::new(), Vec::new());
    };
    let since = match breaker.since {
        Some(since) if breaker.since_exact => format!("for {}", age(sight.now.since(since))),
        Some(since) => {
            format!("for {} or longer: so it was when we first looked", age(sight.now.since(since)))
        }
        None => format!("{} its source does not tell", sight.glyphs.unknown()),
    };
    let mode = match breaker.state {
        BreakerState::Disabled => "disabled by a person: passes every call, counts, never refuses",
        BreakerState::ForcedOpen => "forced open by a person: refuses every call until released",
        BreakerState::MetricsOnly => "metrics only: counts, never refuses",
        BreakerState::Unknown => "the source says a word that its profile does not know",
        BreakerState::Open => "automatic: refuses calls until the next try",
        BreakerState::HalfOpen => "automatic: lets a few probes through, refuses the rest",
        BreakerState::Closed => "automatic: lets every call through",
    };
    let rate = |rate: Option<f64>, few: &str| {
        rate.map_or_else(|| format!("{} {few}", sight.glyphs.unknown()), percent)
    };
    let mut facts = vec![
        fact_line(
            "state",
            vec![
                marked(sight.glyphs, tone(breaker.state), breaker.state.word()),
                piece(format!("  {since}"), Meaning::Muted),
            ],
        ),
        fact("mode", mode),
        fact("failed", rate(breaker.failure_rate, "too few calls to tell")),
        fact("slow", rate(breaker.slow_rate, "not told, or too few calls")),
        Fact { label: "calls", value: sight.count(breaker.calls) },
        Fact { label: "refused", value: sight.count(breaker.rejected) },
    ];
    if let Some(at) = breaker.next_try {
        facts.push(fact("next try", format!("in {}", age(at.since(sight.now)))));
    }
    if let Some((good, all)) = breaker.probes {
        facts.push(fact("probes", format!("{good} of {all} have succeeded")));
    }
    facts.extend(sight.source_facts(&breaker.source));
    (format!("Circuit breaker {}", breaker.name), facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::widget::place;

    #[test]
    fn no_room_is_so_small_that_a_state_is_cut() {
        for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
            let columns = columns(glyphs);
            for room in 14..200 {
                let placed = place(&columns, room);
                let state = placed.iter().find(|place| place.column == 2).expect("never goes");
                assert_eq!(state.width, 11, "at {room}");
                assert!(state.x + state.width <= room);
            }
        }
    }
}
