//! What would be lost if this machine died now, from what can be proven.

use std::{collections::VecDeque, time::Duration};

use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    watch::snapshot::{ArchiveMode, Archiver, Known, Rpo},
};

/// Bytes of WAL, as the distance from `0/0`.
pub type Lsn = u64;

/// Where the WAL stood when: tells when a position was written.
#[derive(Debug, Default)]
pub struct LsnHistory {
    samples: VecDeque<(Stamp, Lsn)>,
}

/// How far back positions are remembered.
const REMEMBERED: Duration = Duration::from_hours(2);

impl LsnHistory {
    /// Notes where the WAL stands. An LSN that went back belongs to another cluster or timeline:
    /// what was known before is forgotten.
    pub fn note(&mut self, now: Stamp, lsn: Lsn) {
        if self.samples.back().is_some_and(|(_, last)| lsn < *last) {
            self.samples.clear();
        }
        // Of a run of equal positions only the ends matter.
        let flat = self.samples.len() >= 2
            && self.samples.iter().rev().take(2).all(|(_, known)| *known == lsn);
        if flat {
            self.samples.pop_back();
        }
        self.samples.push_back((now, lsn));
        while self.samples.front().is_some_and(|(at, _)| now.since(*at) > REMEMBERED) {
            self.samples.pop_front();
        }
    }

    /// The last known position.
    pub fn last(&self) -> Option<Lsn> {
        self.samples.back().map(|(_, lsn)| *lsn)
    }

    /// How long ago the first byte beyond `safe` was written. `Err` with the length of our memory
    /// when it was written before that.
    pub fn exposed_for(&self, safe: Lsn, now: Stamp) -> Result<Duration, Duration> {
        let memory = self.samples.front().map_or(Duration::ZERO, |(at, _)| now.since(*at));
        match self.samples.iter().position(|(_, lsn)| *lsn > safe) {
            None if self.samples.is_empty() => Err(Duration::ZERO),
            None => Ok(Duration::ZERO),
            Some(0) => Err(memory),
            // Written after the sample before: the earlier bound, so that we never promise too much.
            Some(at) => Ok(self.samples.get(at - 1).map_or(memory, |(then, _)| now.since(*then))),
        }
    }
}

/// A standby as the primary sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standby {
    /// Its `application_name`.
    pub name: Text,
    /// Connected from this very machine: it would die with it.
    pub local: bool,
    /// What it has flushed to its own disk.
    pub flushed: Option<Lsn>,
}

/// What is known of safety at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Now, monotonic.
    pub now: Stamp,
    /// Now by the server's clock, which also stamped what it archived.
    pub server_now: Timestamp,
    /// Where the WAL stood when.
    pub history: &'a LsnHistory,
    /// Size of a WAL segment in bytes.
    pub segment: u64,
    /// The archiver.
    pub archiver: &'a Known<Archiver>,
    /// The standbys.
    pub standbys: &'a [Standby],
}

/// A page header is written when a segment is begun: that much holds no commit.
const EMPTY_SEGMENT: u64 = 40;

/// The best of all ways in which commits are safe outside this machine.
pub fn rpo(evidence: &Evidence<'_>) -> Known<Rpo> {
    let mut ways: Vec<(Text, Known<(Duration, bool)>)> = Vec::new();
    ways.push((Text::ours("WAL archive"), archived(evidence)));
    for standby in evidence.standbys {
        ways.push((format!("standby {}", standby.name).into(), flushed(evidence, standby)));
    }
    let best = ways
        .iter()
        .filter_map(|(name, known)| {
            known.value().map(|(loss, bound)| (*loss, *bound, name.clone()))
        })
        .min_by_key(|(loss, ..)| *loss);
    let shown = |known: &Known<(Duration, bool)>| known.clone().map(|(loss, _)| loss);
    if let Some((loss, at_most, source)) = best {
        let ways = ways.iter().map(|(name, known)| (name.clone(), shown(known))).collect();
        return Known::Is(Rpo { loss, source, at_most, ways });
    }
    let reasons: Vec<String> = ways
        .iter()
        .filter_map(|(name, known)| known.reason().map(|why| format!("{name}: {why}")))
        .collect();
    Known::Unknown(reasons.join("; ").into())
}

fn archived(evidence: &Evidence<'_>) -> Known<(Duration, bool)> {
    let archiver = match evidence.archiver {
        Known::Is(archiver) => archiver,
        Known::Unknown(why) => return Known::Unknown(why.clone()),
        Known::Blind(why) => return Known::Blind(why.clone()),
    };
    match archiver.mode {
        ArchiveMode::Off => return Known::Unknown(Text::ours("archiving is off")),
        ArchiveMode::NoCommand => return Known::Unknown(Text::ours("no archive command is set")),
        ArchiveMode::On | ArchiveMode::Always => {}
    }
    let Some(wal) = &archiver.last_wal else {
        return Known::Unknown(Text::ours("no segment was archived yet"));
    };
    let Some(end) = segment_end(wal, evidence.segment) else {
        return Known::Unknown(format!("the last archived file is '{wal}', not a segment").into());
    };
    match evidence.history.exposed_for(end.saturating_add(EMPTY_SEGMENT), evidence.now) {
        Ok(loss) => Known::Is((loss, false)),
        // Beyond our memory: the segment was finished before it was archived, so the first byte
        // after it is at least that old. Only a queue can make it older, and then we do not know.
        Err(_) => match archiver.last_at {
            Some(at) if archiver.ready.value().is_some_and(|(count, _)| *count == 0) => {
                let age = evidence.server_now.duration_since(at);
                Known::Is((Duration::try_from(age).unwrap_or_default(), true))
            }
            Some(at) => {
                let age =
                    Duration::try_from(evidence.server_now.duration_since(at)).unwrap_or_default();
                let why = format!("at least {}: segments wait to be archived", units::age(age));
                Known::Unknown(why.into())
            }
            None => {
                Known::Unknown(Text::ours("the time of the last archived segment is not known"))
            }
        },
    }
}

fn flushed(evidence: &Evidence<'_>, standby: &Standby) -> Known<(Duration, bool)> {
    if standby.local {
        return Known::Unknown(Text::ours("it runs on the same machine"));
    }
    let Some(flushed) = standby.flushed else {
        return Known::Blind(Text::ours("its position cannot be seen without pg_monitor"));
    };
    match evidence.history.exposed_for(flushed, evidence.now) {
        Ok(loss) => Known::Is((loss, false)),
        Err(memory) => {
            Known::Unknown(format!("behind for more than {}", units::age(memory)).into())
        }
    }
}

/// The position just after a segment, from its file name: timeline, then the number as two groups of
/// eight hex digits (PostgreSQL documentation, "WAL Internals").
fn segment_end(name: &str, segment: u64) -> Option<Lsn> {
    if name.len() != 24 || segment == 0 {
        return None;
    }
    let high = u64::from_str_radix(name.get(8..16)?, 16).ok()?;
    let low = u64::from_str_radix(name.get(16..24)?, 16).ok()?;
    let per_high = 0x1_0000_0000 / segment;
    high.checked_mul(per_high)?.checked_add(low)?.checked_add(1)?.checked_mul(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    fn at(seconds: u64) -> Stamp {
        Stamp::default().plus(Duration::from_secs(seconds))
    }

    fn archiver(last_wal: &str, ready: u64) -> Known<Archiver> {
        Known::Is(Archiver {
            mode: ArchiveMode::On,
            archived: 1,
            last_wal: Some(last_wal.into()),
            last_at: Some(Timestamp::from_second(1000).expect("a time")),
            failed: 0,
            last_failed_wal: None,
            last_failed_at: None,
            failing: false,
            ready: Known::Is((ready, None)),
        })
    }

    fn loss(history: &LsnHistory, archiver: &Known<Archiver>, standbys: &[Standby]) -> Known<Rpo> {
        rpo(&Evidence {
            now: at(100),
            server_now: Timestamp::from_second(1060).expect("a time"),
            history,
            segment: SEGMENT,
            archiver,
            standbys,
        })
    }

    #[test]
    fn a_segment_name_gives_its_end() {
        assert_eq!(segment_end("000000010000000000000001", SEGMENT), Some(2 * SEGMENT));
        assert_eq!(segment_end("0000000300000002000000FF", SEGMENT), Some(0x3_0000_0000));
        assert_eq!(segment_end("00000002.history", SEGMENT), None);
        assert_eq!(segment_end("00000001000000000000000Z", SEGMENT), None);
    }

    #[test]
    fn loss_is_the_age_of_the_first_byte_beyond_what_is_safe() {
        let mut history = LsnHistory::default();
        for (second, lsn) in
            [(10, SEGMENT), (40, 2 * SEGMENT), (58, 2 * SEGMENT), (60, 2 * SEGMENT + 500)]
        {
            history.note(at(second), lsn);
        }
        let known = loss(&history, &archiver("000000010000000000000001", 0), &[]);
        let rpo = known.value().expect("known");
        assert_eq!((rpo.loss, rpo.at_most), (Duration::from_secs(42), false));
    }

    #[test]
    fn nothing_written_since_means_nothing_to_lose() {
        let mut history = LsnHistory::default();
        history.note(at(1), 2 * SEGMENT);
        history.note(at(99), 2 * SEGMENT + EMPTY_SEGMENT);
        let known = loss(&history, &archiver("000000010000000000000001", 0), &[]);
        assert_eq!(known.value().expect("known").loss, Duration::ZERO);
    }

    #[test]
    fn beyond_our_memory_the_archiver_bounds_it_only_without_a_queue() {
        let mut history = LsnHistory::default();
        history.note(at(99), 9 * SEGMENT);
        let known = loss(&history, &archiver("000000010000000000000001", 0), &[]);
        let rpo = known.value().expect("known");
        assert_eq!((rpo.loss, rpo.at_most), (Duration::from_mins(1), true));
        let queued = loss(&history, &archiver("000000010000000000000001", 3), &[]);
        assert!(queued.reason().expect("not known").contains("at least 1m00s"), "{queued:?}");
    }

    #[test]
    fn a_standby_on_this_machine_saves_nothing_and_the_best_way_wins() {
        let mut history = LsnHistory::default();
        history.note(at(90), SEGMENT);
        history.note(at(99), SEGMENT + 9);
        let off = Known::Unknown(Text::ours("archiving is off"));
        let standby = |local| Standby { name: "b".into(), local, flushed: Some(SEGMENT + 9) };
        assert!(loss(&history, &off, &[standby(true)]).reason().is_some());
        let known = loss(&history, &off, &[standby(true), standby(false)]);
        let rpo = known.value().expect("known");
        assert_eq!((rpo.loss, &*rpo.source, rpo.ways.len()), (Duration::ZERO, "standby b", 3));
    }

    #[test]
    fn a_position_that_went_back_clears_the_memory() {
        let mut history = LsnHistory::default();
        history.note(at(1), 500);
        history.note(at(2), 100);
        assert_eq!(history.exposed_for(50, at(3)), Err(Duration::from_secs(1)));
    }
}
