//! What the screens say: facts of the snapshot as words, signs and meanings, for the visible rows only.
//!
//! No cell is drawn here and no clock is read.

pub mod alerts;
pub mod backup;
pub mod backups;
pub mod breakers;
pub mod checks;
pub mod engines;
pub mod jobs;
pub mod kept;
pub mod link;
pub mod pools;
pub mod proofs;
pub mod recovery;
pub mod sources;
pub mod timeline;

use std::time::Duration;

use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    console::{
        model::UiState,
        theme::{Glyphs, Meaning},
        widget::{Cell, Fact, Line, Piece, Tone, marked, piece},
    },
    watch::snapshot::{Freshness, Known, LinkState, Snapshot, SourceKind},
};

/// Everything that words are made from.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The facts.
    pub snapshot: &'a Snapshot,
    /// What the person has done to the view.
    pub state: &'a UiState,
    /// The signs.
    pub glyphs: Glyphs,
    /// The moment that ages are counted to: now, or the moment of the freeze.
    pub now: Stamp,
    /// The real now.
    pub live_now: Stamp,
    /// The same for people.
    pub wall: Timestamp,
}

/// A fact in plain words.
pub fn fact(label: &'static str, text: impl Into<String>) -> Fact {
    Fact { label, value: piece(text, Meaning::Text).into() }
}

/// A fact with its own pieces.
pub fn fact_line(label: &'static str, line: Line) -> Fact {
    Fact { label, value: line.into() }
}

impl Sight<'_> {
    /// The things of a list that stand at the given places, skipping what is no more.
    pub fn at<'s, T>(&self, list: &'s [T], places: &'s [usize]) -> impl Iterator<Item = &'s T> {
        places.iter().filter_map(|place| list.get(*place))
    }

    /// How old that source's facts are, if they are too old to be believed.
    pub fn stale(&self, source: &str) -> Option<Duration> {
        if self.is_server(source) {
            return self.server_stale();
        }
        match self.snapshot.freshness(source, self.now) {
            Freshness::Stale(age) => Some(age),
            Freshness::Never | Freshness::Fresh => None,
        }
    }

    /// How old the server's own facts are, if they are too old to be believed: it is down, hung, or
    /// silent for longer than it should be.
    pub fn server_stale(&self) -> Option<Duration> {
        let link = &self.snapshot.link;
        let age = self.now.since(link.last_answer?);
        let late = self
            .snapshot
            .sources
            .iter()
            .find(|source| source.kind == SourceKind::Server)
            .is_some_and(|source| matches!(source.freshness(self.now), Freshness::Stale(_)));
        match link.state {
            LinkState::Live | LinkState::Connecting if !late => None,
            _ => Some(age),
        }
    }

    fn is_server(&self, source: &str) -> bool {
        self.snapshot.source(source).is_some_and(|source| source.kind == SourceKind::Server)
    }

    /// `—`.
    pub fn unknown(&self) -> Piece {
        piece(self.glyphs.unknown(), Meaning::Unknown)
    }

    /// A figure, or `—`.
    pub fn figure(&self, value: Option<String>) -> Cell {
        value.map_or_else(|| self.unknown(), |text| piece(text, Meaning::Text)).into()
    }

    /// A count, or `—`. Nothing is muted: it needs no eye.
    pub fn count(&self, value: Option<u64>) -> Cell {
        match value {
            Some(0) => piece("0", Meaning::Muted).into(),
            _ => self.figure(value.map(units::count)),
        }
    }

    /// A wait or an age, or `—`.
    pub fn span(&self, value: Option<Duration>) -> Cell {
        self.figure(value.map(short))
    }

    /// What is known, or `—` or `BLIND` with the reason.
    pub fn known<T>(&self, value: &Known<T>, say: impl FnOnce(&T) -> String) -> Line {
        match value {
            Known::Is(value) => vec![piece(say(value), Meaning::Text)],
            Known::Unknown(why) => vec![self.unknown(), piece(format!(" {why}"), Meaning::Muted)],
            Known::Blind(why) => vec![
                marked(self.glyphs, Tone::BLIND, "BLIND"),
                piece(format!(" {why}"), Meaning::Muted),
            ],
        }
    }

    /// The facts about the source that told something.
    pub fn source_facts(&self, name: &Text) -> Vec<Fact> {
        let Some(source) = self.snapshot.source(name) else {
            return vec![fact("source", name.to_string())];
        };
        let mut facts = vec![
            fact("source", format!("{} {} {}", source.name, self.glyphs.dot(), source.address)),
            fact_line("freshness", sources::freshness(self, source)),
        ];
        if let Some(problem) = &source.problem {
            facts.push(Fact {
                label: "problem",
                value: piece(problem.what.to_string(), Meaning::Warning).into(),
            });
            if !problem.remedy.is_empty() {
                facts.push(fact("what to do", problem.remedy.to_string()));
            }
        }
        facts
    }

    /// A moment for people: `02:00:07Z` today, else `11-09 02:00Z`.
    pub fn moment(&self, at: Timestamp) -> String {
        let (day, today) = (at.to_string(), self.wall.to_string());
        if day.get(..10) == today.get(..10) {
            format!("{}Z", day.get(11..19).unwrap_or_default())
        } else {
            format!(
                "{} {}Z",
                day.get(5..10).unwrap_or_default(),
                day.get(11..16).unwrap_or_default()
            )
        }
    }

    /// The time on the wall in UTC, which never stands still: `09:14:07Z`.
    pub fn live_wall_clock(&self) -> String {
        let frozen = self.live_now.since(self.now);
        let wall = self.wall.checked_add(frozen).unwrap_or(self.wall).to_string();
        format!("{}Z", wall.get(11..19).unwrap_or_default())
    }

    /// How long it is until then, on the wall clock; zero for a moment that has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.wall)).unwrap_or_default()
    }

    /// How long ago that was, on the wall clock; zero for a moment that lies ahead.
    pub fn ago(&self, at: Timestamp) -> Duration {
        Duration::try_from(self.wall.duration_since(at)).unwrap_or_default()
    }
}

/// A wait or an age in at most five cells: `380us`, `2ms`, `1.9s`, `12s`, `1m12s`, `11m`, `3h05m`, `13h`,
/// `41d`.
pub fn short(d: Duration) -> String {
    let secs = d.as_secs();
    match secs {
        600..3600 => format!("{}m", secs / 60),
        36_000..86_400 => format!("{}h", secs / 3600),
        _ => units::span(d),
    }
}

/// The same in whole seconds, for what changes once a second.
pub fn short_age(d: Duration) -> String {
    if d.as_secs() < 60 { units::age(d) } else { short(d) }
}

/// A share as a percentage: `0.2%`, `42%`, `100%`; never `0%` or `100%` for what is not quite.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p <= 0.0 => "0%".to_owned(),
        p if p < 0.1 => "<0.1%".to_owned(),
        p if p < 9.95 => format!("{p:.1}%"),
        p if p > 99.0 && p < 100.0 => ">99%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

/// A value with its unit, as the checks write them.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "s" | "ms" if value == 0.0 => format!("0{unit}"),
        "s" if value >= 0.0 => short(Duration::try_from_secs_f64(value).unwrap_or_default()),
        "ms" if value >= 0.0 => short(Duration::try_from_secs_f64(value / 1e3).unwrap_or_default()),
        "bytes" if value >= 0.0 => units::bytes(value as u64),
        "%" => format!("{}%", units::number(value)),
        "" | "flag" => units::number(value),
        _ => format!("{} {unit}", units::number(value)),
    }
}

/// A threshold as written, with its figure in the unit's own words: `> 52428800` of bytes is `> 50.0 MB`.
pub fn limit(written: &str, unit: &str) -> String {
    let figure = written.rsplit_once(' ').and_then(|(sign, n)| Some((sign, n.parse().ok()?)));
    match (figure, unit) {
        (Some((sign, value)), "s" | "ms" | "bytes" | "%") => {
            format!("{sign} {}", with_unit(value, unit))
        }
        _ => written.to_owned(),
    }
}

/// A check's id as words: `connections_used_pct` is `connections used`.
pub fn check_words(id: &str) -> String {
    let bare = id.strip_suffix("_pct").or_else(|| id.strip_suffix("_bytes")).unwrap_or(id);
    bare.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ages_keep_to_five_cells() {
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (72, "1m12s"),
            (599, "9m59s"),
            (600, "10m"),
            (35_999, "9h59m"),
            (36_000, "10h"),
            (86_400, "1d0h"),
            (864_000, "10d"),
        ] {
            let got = short_age(Duration::from_secs(secs));
            assert_eq!(got, text);
            assert!(got.len() <= 5);
        }
        assert_eq!(short(Duration::from_micros(380)), "380us");
    }

    #[test]
    fn percentages_never_round_to_nothing_or_all() {
        for (share, text) in [
            (0.0, "0%"),
            (0.0004, "<0.1%"),
            (0.002, "0.2%"),
            (0.42, "42%"),
            (0.996, ">99%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(with_unit(42.0, "s"), "42s");
        assert_eq!(with_unit(97.5, "%"), "97.5%");
        assert_eq!(with_unit(3.0, "segments"), "3 segments");
        assert_eq!(with_unit(16_777_216.0, "bytes"), "16.0 MB");
        assert_eq!(with_unit(-1.0, "s"), "-1 s");
        assert_eq!(with_unit(0.0, "s"), "0s");
        assert_eq!(limit("> 52428800", "bytes"), "> 50.0 MB");
        assert_eq!(limit("> 300", "s"), "> 5m00s");
        assert_eq!(limit("changed", "timeline"), "changed");
        assert_eq!(check_words("connections_used_pct"), "connections used");
    }
}
