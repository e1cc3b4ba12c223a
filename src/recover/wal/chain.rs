//! What the archive holds, by the names of its files: contiguous stretches of each timeline, what is missing
//! between them, and which timelines came from where.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    archive::{Archive, Listing},
    history::{self, Left},
    page,
    segment::{Segment, USUAL_SIZE, WalFile},
    verified::Memory,
};
use crate::{
    base::{clock::Timestamp, text::Text},
    recover::{
        Repository, Result,
        repository::manifest::{WalSpan, lsn},
    },
};

/// The archive as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Bytes of a segment.
    pub segment_size: u64,
    /// Its timelines, by number.
    pub timelines: Vec<Timeline>,
}

/// Where a timeline comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cluster's first one.
    First,
    /// Its ancestors, oldest first.
    From(Vec<Left>),
    /// Its history is not in the archive: recovery cannot follow it.
    Missing,
    /// Its history cannot be read, and why.
    Damaged(Text),
}

/// What is there of one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Its number.
    pub id: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// When its history was archived.
    pub began: Option<Timestamp>,
    /// Its contiguous stretches, in order.
    pub ranges: Vec<Range>,
}

/// A contiguous stretch of segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The position of its first byte.
    pub start: u64,
    /// The position behind its last byte.
    pub end: u64,
    /// The first commit in it that a verification has seen.
    pub first_commit: Option<Timestamp>,
    /// The last one.
    pub last_commit: Option<Timestamp>,
    /// When its last segment was archived.
    pub archived: Timestamp,
}

/// A stretch that is lost, and what it may have held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The timeline.
    pub timeline: u32,
    /// From here,
    pub start: u64,
    /// to here.
    pub end: u64,
    /// The last known commit before it.
    pub after: Option<Timestamp>,
    /// The first known commit behind it.
    pub before: Option<Timestamp>,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: Option<Timestamp>| {
            at.map_or_else(|| "—".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
        };
        let (start, end) = (lsn(self.start), lsn(self.end));
        write!(
            f,
            "timeline {}, {start} to {end}, commits between {} and {}",
            self.timeline,
            time(self.after),
            time(self.before)
        )
    }
}

/// The chain of a repository.
pub fn chain(repository: &Repository) -> Result<Chain> {
    let archive = Archive::Repository(repository.clone());
    let memory = Memory::load(repository)?;
    of(&archive, &archive.list()?, &memory)
}

/// The chain of a listing.
pub fn of(archive: &Archive, listing: &Listing, memory: &Memory) -> Result<Chain> {
    let segment_size = segment_size(archive, listing)?;
    let mut timelines: BTreeMap<u32, Timeline> = BTreeMap::new();
    for listed in &listing.files {
        let id = listed.kept.file.timeline();
        let origin = if id == 1 { Origin::First } else { Origin::Missing };
        let blank = Timeline { id, origin, began: None, ranges: Vec::new() };
        let timeline = timelines.entry(id).or_insert(blank);
        match listed.kept.file {
            WalFile::Segment(segment) if segment.fits(segment_size) => {
                let (start, end) = (segment.start(segment_size), segment.end(segment_size));
                let seen = memory.get(&segment.to_string());
                let (first, last) = seen.map_or((None, None), |s| (s.first_commit, s.last_commit));
                match timeline.ranges.last_mut() {
                    Some(range) if range.end == end => {}
                    Some(range) if range.end == start => {
                        range.end = end;
                        range.archived = listed.at;
                        range.first_commit = range.first_commit.or(first);
                        range.last_commit = last.or(range.last_commit);
                    }
                    _ => timeline.ranges.push(Range {
                        start,
                        end,
                        first_commit: first,
                        last_commit: last,
                        archived: listed.at,
                    }),
                }
            }
            WalFile::History(_) => {
                timeline.began = Some(listed.at);
                let read = archive.read(&listed.kept).and_then(|text| history::parse(id, &text));
                timeline.origin = match read {
                    Ok(ancestors) => Origin::From(ancestors),
                    Err(fault) => Origin::Damaged(fault.what().clone()),
                };
            }
            WalFile::Segment(_) | WalFile::Partial(_) | WalFile::Backup(..) => {}
        }
    }
    // A name alone, such as that of a .backup, makes no timeline.
    let timelines = timelines.into_values();
    let timelines = timelines.filter(|t| !t.ranges.is_empty() || t.began.is_some()).collect();
    Ok(Chain { segment_size, timelines })
}

/// Bytes of a segment: by the claim, or by the first segment that says so.
fn segment_size(archive: &Archive, listing: &Listing) -> Result<u64> {
    if let Some(repository) = archive.repository()
        && let Some(size) = repository.claimed()?.and_then(|claim| claim.cluster.segment_size)
    {
        return Ok(size);
    }
    let segments = listing.files.iter().filter(|l| matches!(l.kept.file, WalFile::Segment(_)));
    let heads = segments.filter_map(|l| page::head(&archive.read(&l.kept).ok()?).ok());
    Ok(heads.map(|head| head.segment_size).next().unwrap_or(USUAL_SIZE))
}

impl Chain {
    /// One timeline.
    pub fn timeline(&self, id: u32) -> Option<&Timeline> {
        self.timelines.iter().find(|timeline| timeline.id == id)
    }

    /// What is missing: between the stretches of a timeline, between a timeline's beginning and its first
    /// segment, and between an ancestor's last segment and the point where it was left.
    pub fn gaps(&self) -> Vec<Window> {
        let mut gaps = Vec::new();
        for timeline in &self.timelines {
            for pair in timeline.ranges.windows(2) {
                if let [left, right] = pair {
                    gaps.push(Window {
                        timeline: timeline.id,
                        start: left.end,
                        end: right.start,
                        after: left.last_commit,
                        before: right.first_commit,
                    });
                }
            }
            gaps.extend(self.gaps_at_fork(timeline));
        }
        gaps
    }

    fn gaps_at_fork(&self, timeline: &Timeline) -> Vec<Window> {
        let mut gaps = Vec::new();
        let Origin::From(ancestors) = &timeline.origin else { return gaps };
        let Some(left) = ancestors.last() else { return gaps };
        let Some(parent) = self.timeline(left.timeline) else { return gaps };
        let fork = left.at / self.segment_size * self.segment_size;
        let Some(last) = parent.ranges.iter().rfind(|range| range.start < fork) else {
            return gaps;
        };
        if last.end < fork {
            let before = timeline.ranges.first().and_then(|range| range.first_commit);
            let (start, after) = (last.end, last.last_commit);
            gaps.push(Window { timeline: parent.id, start, end: fork, after, before });
        }
        if let Some(first) = timeline.ranges.first().filter(|range| range.start > fork) {
            let (end, before) = (first.start, first.first_commit);
            gaps.push(Window {
                timeline: timeline.id,
                start: fork,
                end,
                after: last.last_commit,
                before,
            });
        }
        gaps
    }

    /// Timelines that branched off while their parent went on, each with the words for it: a copy of the
    /// cluster was promoted and archives here, and recovery to the newest timeline would follow it.
    pub fn unexpected(&self) -> Vec<(u32, Text)> {
        let mut found = Vec::new();
        for timeline in &self.timelines {
            let (Origin::From(ancestors), Some(began)) = (&timeline.origin, timeline.began) else {
                continue;
            };
            let Some(left) = ancestors.last() else { continue };
            let Some(last) = self.timeline(left.timeline).and_then(|t| t.ranges.last()) else {
                continue;
            };
            // The segment in which it was left may still come, as a whole one.
            let fork_end = (left.at / self.segment_size + 1) * self.segment_size;
            if last.end > fork_end && last.archived > began {
                let what = format!(
                    "timeline {} left timeline {} at {}, which went on to {}: a copy of the cluster was \
                     promoted and archives here; recovery to the newest timeline follows it",
                    timeline.id,
                    left.timeline,
                    lsn(left.at),
                    lsn(last.end)
                );
                found.push((timeline.id, what.into()));
            }
        }
        found
    }

    /// True when recovery along a timeline finds the segment of that number: on the timeline itself, or on
    /// the newest ancestor that has it and was not left before it began.
    fn holds(&self, timeline: u32, number: u64) -> bool {
        let start = number * self.segment_size;
        let has = |id: u32| {
            self.timeline(id).is_some_and(|timeline| {
                timeline.ranges.iter().any(|r| r.start <= start && start < r.end)
            })
        };
        if has(timeline) {
            return true;
        }
        let Some(Origin::From(ancestors)) = self.timeline(timeline).map(|t| &t.origin) else {
            return false;
        };
        ancestors.iter().any(|left| left.at > start && has(left.timeline))
    }

    /// How far recovery comes along a timeline from a position without a gap: the position behind the last
    /// byte that is there, at least that one.
    pub fn reach(&self, timeline: u32, from: u64) -> u64 {
        let mut number = from / self.segment_size.max(1);
        let begin = number;
        while self.holds(timeline, number) {
            number += 1;
        }
        if number == begin { from } else { number * self.segment_size }
    }
}

/// What of a stretch is missing, in windows; empty when all of it is there.
pub fn covers(chain: &Chain, span: &WalSpan) -> Vec<Window> {
    let size = chain.segment_size.max(1);
    // A stop at the very beginning of a segment needs nothing of it.
    let numbers = span.start / size..=span.stop.saturating_sub(1).max(span.start) / size;
    let mut missing: Vec<Window> = Vec::new();
    for number in numbers.filter(|number| !chain.holds(span.timeline, *number)) {
        let start = number * size;
        match missing.last_mut() {
            Some(window) if window.end == start => window.end += size,
            _ => missing.push(Window {
                timeline: span.timeline,
                start,
                end: start + size,
                after: None,
                before: None,
            }),
        }
    }
    missing
}

/// The segments of a window, for messages.
pub fn named(window: &Window, size: u64) -> String {
    let first = Segment::at(window.timeline, window.start, size);
    let last = Segment::at(window.timeline, window.end.saturating_sub(1), size);
    match (window.end - window.start) / size {
        0 | 1 => format!("{first} is missing"),
        count => format!("{first} to {last} are missing ({count} segments)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = USUAL_SIZE;

    fn range(start: u64, end: u64, archived: i64) -> Range {
        Range {
            start: start * SIZE,
            end: end * SIZE,
            first_commit: None,
            last_commit: None,
            archived: Timestamp::from_second(archived).expect("a time"),
        }
    }

    fn timeline(id: u32, left: Option<(u32, u64)>, ranges: Vec<Range>) -> Timeline {
        let began = left.map(|_| Timestamp::from_second(100).expect("a time"));
        let origin =
            left.map_or(Origin::First, |(timeline, at)| Origin::From(vec![Left { timeline, at }]));
        Timeline { id, origin, began, ranges }
    }

    fn span(timeline: u32, start: u64, stop: u64) -> WalSpan {
        WalSpan { timeline, start, stop, segment_size: SIZE }
    }

    fn ends(windows: &[Window]) -> Vec<(u32, u64, u64)> {
        windows.iter().map(|w| (w.timeline, w.start / SIZE, w.end / SIZE)).collect()
    }

    #[test]
    fn a_failover_leaves_no_gap_and_each_hole_around_it_is_one() {
        let at = 5 * SIZE + 100;
        let whole = Chain {
            segment_size: SIZE,
            timelines: vec![
                timeline(1, None, vec![range(1, 5, 50)]),
                timeline(2, Some((1, at)), vec![range(5, 9, 200)]),
            ],
        };
        assert_eq!(whole.gaps(), []);
        assert_eq!(whole.unexpected(), []);
        assert_eq!(whole.reach(2, SIZE), 9 * SIZE);
        assert_eq!(whole.reach(1, SIZE), 5 * SIZE);
        assert_eq!(covers(&whole, &span(2, SIZE + 1, 9 * SIZE)), []);
        assert_eq!(ends(&covers(&whole, &span(1, 3 * SIZE, 7 * SIZE))), [(1, 5, 7)]);

        let mut holed = whole;
        holed.timelines[0].ranges = vec![range(1, 2, 50), range(3, 4, 50)];
        holed.timelines[1].ranges = vec![range(6, 9, 200)];
        assert_eq!(ends(&holed.gaps()), [(1, 2, 3), (1, 4, 5), (2, 5, 6)]);
        assert_eq!(ends(&covers(&holed, &span(2, SIZE, 8 * SIZE))), [(2, 2, 3), (2, 4, 6)]);
        assert_eq!(holed.reach(2, SIZE), 2 * SIZE);
    }

    #[test]
    fn a_parent_that_goes_on_betrays_a_promoted_copy() {
        let chain = Chain {
            segment_size: SIZE,
            timelines: vec![
                timeline(1, None, vec![range(1, 9, 200)]),
                timeline(2, Some((1, 5 * SIZE + 100)), vec![range(5, 6, 120)]),
            ],
        };
        let unexpected = chain.unexpected();
        assert_eq!(unexpected.len(), 1);
        assert!(unexpected[0].1.contains("timeline 2 left timeline 1 at 0/5000064"));
    }
}
