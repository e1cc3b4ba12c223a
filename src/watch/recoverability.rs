//! What would be lost if this machine died now, from what can be proven.

use std::{collections::VecDeque, time::Duration};

use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    watch::snapshot::{ArchiveMode, Archiver, KeptWal, Known, Rpo},
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
    /// How far the WAL reaches in the backup repository; none when there is no repository.
    pub kept: Option<&'a Known<KeptWal>>,
    /// The timeline that the server writes.
    pub timeline: Option<u32>,
}

/// A page header is written when a segment is begun: that much holds no commit.
const EMPTY_SEGMENT: u64 = 40;

/// The best of all ways in which commits are safe outside this machine.
pub fn rpo(evidence: &Evidence<'_>) -> Known<Rpo> {
    let mut ways: Vec<(Text, Known<(Duration, bool)>)> = Vec::new();
    match evidence.kept {
        // What was put into the repository counts, not what the archive command said of it.
        Some(Known::Is(kept)) => {
            ways.push((Text::ours("WAL in the repository"), in_repository(evidence, *kept)));
        }
        Some(Known::Unknown(why) | Known::Blind(why)) => {
            ways.push((Text::ours("WAL in the repository"), Known::Unknown(why.clone())));
            ways.push((Text::ours("WAL archive"), archived(evidence)));
        }
        None => ways.push((Text::ours("WAL archive"), archived(evidence))),
    }
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
    exposed_behind(evidence, end, archiver.finished, archiver.last_at)
}

fn in_repository(evidence: &Evidence<'_>, kept: KeptWal) -> Known<(Duration, bool)> {
    match evidence.timeline {
        None => return Known::Unknown(Text::ours("the server's timeline is not known")),
        Some(timeline) if timeline != kept.timeline => {
            let what = format!("it holds timeline {}, the server writes {timeline}", kept.timeline);
            return Known::Unknown(what.into());
        }
        Some(_) => {}
    }
    // When a segment was finished is told by the server for its last archived one only.
    let archiver = evidence.archiver.value();
    let last = archiver.and_then(|archiver| archiver.last_wal.as_deref());
    let same = last.is_some_and(|wal| segment_end(wal, evidence.segment) == Some(kept.end));
    let finished = archiver.filter(|_| same).and_then(|archiver| archiver.finished);
    exposed_behind(evidence, kept.end, finished, Some(kept.at))
}

/// How long the oldest commit behind `end` has been at risk: exactly, or at most. `finished` is when the
/// segment that ends there was, `stored` when it was put away.
fn exposed_behind(
    evidence: &Evidence<'_>,
    end: Lsn,
    finished: Option<Timestamp>,
    stored: Option<Timestamp>,
) -> Known<(Duration, bool)> {
    match evidence.history.exposed_for(end.saturating_add(EMPTY_SEGMENT), evidence.now) {
        Ok(loss) => Known::Is((loss, false)),
        // Beyond our memory: what is not archived was written after the last archived segment was
        // finished, so it cannot be older than that.
        Err(_) => match (finished, stored) {
            (Some(at), _) => Known::Is((age(evidence.server_now, at), true)),
            // Segments may have waited for long before they were archived.
            (None, Some(at)) => {
                let age = units::age(age(evidence.server_now, at));
                Known::Unknown(format!("at least {age}: watched for too short a time").into())
            }
            (None, None) => {
                Known::Unknown(Text::ours("the time of the last archived segment is not known"))
            }
        },
    }
}

fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
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
            finished: None,
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
            kept: None,
            timeline: Some(1),
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
    fn beyond_our_memory_the_end_of_the_last_segment_bounds_it() {
        let mut history = LsnHistory::default();
        history.note(at(99), 9 * SEGMENT);
        let mut archiver = archiver("000000010000000000000001", 0);
        let unknown = loss(&history, &archiver, &[]);
        assert!(unknown.reason().expect("not known").contains("at least 1m00s"), "{unknown:?}");
        if let Known::Is(archiver) = &mut archiver {
            archiver.finished = Some(Timestamp::from_second(970).expect("a time"));
        }
        let known = loss(&history, &archiver, &[]);
        let rpo = known.value().expect("known");
        assert_eq!((rpo.loss, rpo.at_most), (Duration::from_secs(90), true));
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
    fn what_is_in_the_repository_counts_and_not_what_the_server_was_told() {
        let mut history = LsnHistory::default();
        history.note(at(10), SEGMENT);
        history.note(at(60), 9 * SEGMENT);
        let archiver = archiver("000000010000000000000009", 0);
        let look = |kept: &Known<KeptWal>, timeline: u32| {
            rpo(&Evidence {
                now: at(100),
                server_now: Timestamp::from_second(1060).expect("a time"),
                history: &history,
                segment: SEGMENT,
                archiver: &archiver,
                standbys: &[],
                kept: Some(kept),
                timeline: Some(timeline),
            })
        };
        let stored = Timestamp::from_second(1000).expect("a time");
        let kept = Known::Is(KeptWal { timeline: 1, end: SEGMENT, at: stored });
        let known = look(&kept, 1);
        assert_eq!(
            known.value().expect("known").loss,
            Duration::from_secs(90),
            "the server claims 0"
        );
        let other = look(&kept, 2);
        assert!(other.reason().expect("unknown").contains("the server writes 2"), "{other:?}");
        let none = Known::Unknown(Text::ours("it holds no WAL"));
        let claimed = look(&none, 1);
        assert_eq!(&*claimed.value().expect("known").source, "WAL archive");
    }

    #[test]
    fn a_position_that_went_back_clears_the_memory() {
        let mut history = LsnHistory::default();
        history.note(at(1), 500);
        history.note(at(2), 100);
        assert_eq!(history.exposed_for(50, at(3)), Err(Duration::from_secs(1)));
    }
}
