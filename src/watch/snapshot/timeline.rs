//! The line of time of a repository: which moments can be restored, from what, and how much is replayed.

use serde::Serialize;

use crate::base::{clock::Timestamp, text::Text};

/// Every base backup with the moments that the WAL behind it reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The base backups, oldest first.
    pub bases: Vec<BaseBackup>,
    /// How far the WAL had come at which moment, oldest first; thinned out where there is much.
    pub wal: Vec<WalPoint>,
}

/// A base backup on the line of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseBackup {
    /// The backup's name.
    pub id: Text,
    /// The first moment that can be restored from it: its end.
    pub from: Timestamp,
    /// The last moment that its WAL reaches: its last commit.
    pub to: Timestamp,
    /// The position at which its replay begins.
    pub start: u64,
    /// Which WAL segment is missing or damaged behind it, if more follows: `NAME is missing`.
    pub missing: Option<Text>,
}

/// How far the WAL had come at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WalPoint {
    /// When a segment was archived.
    pub at: Timestamp,
    /// The position behind it.
    pub end: u64,
}

/// Whether and how a moment can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// There is no base backup.
    NoBase,
    /// It lies before the first base backup had ended.
    Before(&'a BaseBackup),
    /// It can be restored.
    From {
        /// From this backup.
        base: &'a BaseBackup,
        /// At most so many bytes of WAL are replayed; none when that is not known.
        replay: Option<u64>,
    },
    /// It lies behind the last moment of this backup's WAL, and before the next backup had ended.
    Gap(&'a BaseBackup),
    /// It lies behind all WAL that is kept: this is the newest.
    Beyond(&'a BaseBackup),
}

impl Timeline {
    /// The first and the last moment that can be restored; none without a base backup.
    pub fn ends(&self) -> Option<(Timestamp, Timestamp)> {
        let from = self.bases.iter().map(|base| base.from).min()?;
        let to = self.bases.iter().map(|base| base.to).max()?;
        Some((from, to))
    }

    /// Whether `moment` can be restored, and how: from the newest backup whose WAL reaches it, because that
    /// replays least.
    pub fn reach(&self, moment: Timestamp) -> Reach<'_> {
        let holds = |base: &&BaseBackup| base.from <= moment && moment <= base.to;
        if let Some(base) = self.bases.iter().rev().find(holds) {
            return Reach::From { base, replay: self.replayed(base, moment) };
        }
        let before = self.bases.iter().filter(|base| base.from <= moment);
        let Some(nearest) = before.max_by_key(|base| (base.to, base.from)) else {
            return self.bases.first().map_or(Reach::NoBase, Reach::Before);
        };
        let more = self.bases.iter().any(|base| base.from > moment);
        if more || nearest.missing.is_some() { Reach::Gap(nearest) } else { Reach::Beyond(nearest) }
    }

    /// Up to the segment that was the first to be archived after the moment: it holds the moment, too.
    fn replayed(&self, base: &BaseBackup, moment: Timestamp) -> Option<u64> {
        let at = self.wal.partition_point(|point| point.at < moment);
        let point = self.wal.get(at).or(self.wal.last())?;
        Some(point.end.saturating_sub(base.start))
    }

    /// The stretches that can be restored, oldest first: neighbours whose moments overlap are one.
    pub fn stretches(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut bases: Vec<&BaseBackup> = self.bases.iter().collect();
        bases.sort_by_key(|base| base.from);
        let mut out: Vec<(Timestamp, Timestamp)> = Vec::new();
        for base in bases {
            match out.last_mut() {
                Some(last) if base.from <= last.1 => last.1 = last.1.max(base.to),
                _ => out.push((base.from, base.to)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn base(id: &'static str, from: i64, to: i64, missing: bool) -> BaseBackup {
        let missing = missing.then(|| Text::ours("000000010000000000000005"));
        BaseBackup { id: Text::ours(id), from: at(from), to: at(to), start: from as u64, missing }
    }

    fn line() -> Timeline {
        let wal = (0..50).map(|n| WalPoint { at: at(n * 10), end: n as u64 * 10 + 5 }).collect();
        let bases =
            vec![base("a", 100, 200, true), base("b", 150, 200, true), base("c", 300, 400, false)];
        Timeline { bases, wal }
    }

    #[test]
    fn a_moment_is_reached_from_the_newest_backup_before_it() {
        let line = line();
        let told = |second: i64| match line.reach(at(second)) {
            Reach::NoBase => "none".to_owned(),
            Reach::Before(base) => format!("before {}", base.id),
            Reach::From { base, replay } => format!("{} + {}", base.id, replay.expect("known")),
            Reach::Gap(base) => format!("gap behind {}", base.id),
            Reach::Beyond(base) => format!("beyond {}", base.id),
        };
        for (second, words) in [
            (99, "before a"),
            (100, "a + 5"),
            (149, "a + 55"),
            (150, "b + 5"),
            (200, "b + 55"),
            (201, "gap behind b"),
            (299, "gap behind b"),
            (300, "c + 5"),
            (399, "c + 105"),
            (401, "beyond c"),
        ] {
            assert_eq!(told(second), words, "at {second}");
        }
        assert_eq!(Timeline::default().reach(at(1)), Reach::NoBase);
        assert_eq!(line.stretches(), [(at(100), at(200)), (at(300), at(400))]);
    }

    proptest! {
        /// A moment can be reached exactly when it lies in one of the stretches.
        #[test]
        fn stretches_and_reach_agree(
            spans in prop::collection::vec((0_i64..100, 0_i64..40), 0..8),
            moment in -5_i64..150,
        ) {
            let mut bases: Vec<BaseBackup> =
                spans.iter().map(|(from, long)| base("x", *from, from + long, false)).collect();
            bases.sort_by_key(|base| base.from);
            let line = Timeline { bases, wal: Vec::new() };
            let inside =
                line.stretches().iter().any(|(from, to)| *from <= at(moment) && at(moment) <= *to);
            prop_assert_eq!(matches!(line.reach(at(moment)), Reach::From { .. }), inside);
        }
    }
}
