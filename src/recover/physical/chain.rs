//! Which WAL follows a backup without a gap, by the names of what is kept: nothing is read but history
//! files.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    archive::{Archive, Kept},
    timeline::{Segment, Stretch, history_name, history_of, path},
};
use crate::{
    base::clock::Timestamp,
    recover::{Fault, Kind, Result, repository::manifest::WalSpan},
};

/// What an archive holds, sorted.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    segments: BTreeMap<Segment, Timestamp>,
    paths: BTreeMap<u32, Vec<Stretch>>,
    /// History files that cannot be understood, each with the reason.
    pub unreadable: Vec<Fault>,
    segment_size: u64,
}

impl Shelf {
    /// Sorts what is kept, and reads the history files.
    pub fn of(archive: &dyn Archive, segment_size: u64) -> Result<Self> {
        Self::of_files(archive, &archive.files()?, segment_size)
    }

    /// The same for files that are listed already.
    pub fn of_files(archive: &dyn Archive, files: &[Kept], segment_size: u64) -> Result<Self> {
        Self::sort(files, segment_size, &mut |name| {
            let folder = tempfile::tempdir().map_err(Fault::io("no temporary folder"))?;
            let copy = folder.path().join(name);
            archive.fetch(name, &copy)?;
            std::fs::read_to_string(&copy).map_err(Fault::io(format!("cannot read '{name}'")))
        })
    }

    /// The same for a list; `read` gives the text of a history file.
    pub fn sort(
        kept: &[Kept],
        segment_size: u64,
        read: &mut dyn FnMut(&str) -> Result<String>,
    ) -> Result<Self> {
        let mut shelf = Self { segment_size, ..Self::default() };
        for file in kept {
            if let Some(segment) = Segment::parse(&file.name, segment_size) {
                shelf.segments.insert(segment, file.modified);
            } else if let Some(timeline) = history_of(&file.name) {
                match read(&file.name).and_then(|text| path(timeline, &text)) {
                    Ok(path) => drop(shelf.paths.insert(timeline, path)),
                    Err(fault) => shelf.unreadable.push(fault),
                }
            }
        }
        Ok(shelf)
    }

    /// The timelines that can follow a backup, the newest last: its own, and those that left their parents
    /// after the backup's end.
    pub fn timelines_after(&self, base: &WalSpan) -> Vec<u32> {
        let follows = |path: &&Vec<Stretch>| {
            path.iter()
                .any(|s| s.timeline == base.timeline && s.end.is_some_and(|end| end >= base.stop))
        };
        let mut found = vec![base.timeline];
        found.extend(
            self.paths.iter().filter(|(_, path)| follows(path)).map(|(timeline, _)| timeline),
        );
        found
    }

    /// Timelines that went on after another one, on the way to `timeline`, had left them: which of the two
    /// is wanted only a person knows. A drill that archives leaves such a fork.
    pub fn abandoned(&self, timeline: u32, base: &WalSpan) -> Vec<(u32, u64)> {
        let Some(path) = self.paths.get(&timeline) else { return Vec::new() };
        let after = path.iter().skip_while(|s| s.timeline != base.timeline);
        after
            .filter_map(|s| Some((s.timeline, s.end?)))
            .filter(|(timeline, end)| {
                // The segment of the fork itself stands on both.
                let beyond = Segment { timeline: *timeline, number: end / self.segment_size + 1 };
                let last = Segment { timeline: *timeline, number: u64::MAX };
                self.segments.range(beyond..=last).next().is_some()
            })
            .collect()
    }

    /// A later timeline than the backup's whose segments are there and whose history is not: nobody can tell
    /// whether it leads on from the backup.
    pub fn without_history(&self, base: &WalSpan) -> Option<u32> {
        let unknown =
            |timeline: &u32| *timeline > base.timeline && !self.paths.contains_key(timeline);
        let begins = base.start / self.segment_size;
        let later = self.segments.keys().filter(|segment| segment.number >= begins);
        later.map(|segment| segment.timeline).filter(unknown).max()
    }

    /// Segments on a timeline.
    pub fn on(&self, timeline: u32) -> impl Iterator<Item = (Segment, Timestamp)> + '_ {
        let bounds = Segment { timeline, number: 0 }..=Segment { timeline, number: u64::MAX };
        self.segments.range(bounds).map(|(segment, at)| (*segment, *at))
    }

    /// The chain of WAL from a backup along the way to `timeline`.
    ///
    /// # Errors
    /// [`Kind::Refused`] when that timeline does not lead on from the backup.
    pub fn chain(&self, base: &WalSpan, timeline: u32) -> Result<Chain> {
        let path = self.path_to(base, timeline)?;
        let size = self.segment_size;
        let (first, stop) = (base.start / size, base.stop.saturating_sub(1) / size);
        let mut links: Vec<Link> = Vec::new();
        let mut missing = None;
        let last = self.last_number(&path);
        for number in first..=last.max(stop) {
            match self.pick(&path, number) {
                Some(segment) => links.push(Link { segment, archived: self.segments[&segment] }),
                // The backup itself holds what it needs to be consistent.
                None if number <= stop => links.clear(),
                None => {
                    missing = Some(number);
                    break;
                }
            }
        }
        let end =
            links.last().map_or(base.stop, |link| (link.segment.number + 1) * size).max(base.stop);
        let gap = missing.filter(|number| *number <= last).map(|number| Gap {
            first: Segment { timeline: timeline_at(&path, number, size), number },
            resumes: (number..=last).find(|&n| self.pick(&path, n).is_some()),
        });
        Ok(Chain { timeline, path, links, end, gap, segment_size: size })
    }

    fn path_to(&self, base: &WalSpan, timeline: u32) -> Result<Vec<Stretch>> {
        if timeline == base.timeline {
            let own = self.paths.get(&timeline).cloned();
            return Ok(own.unwrap_or(vec![Stretch { timeline, begin: 0, end: None }]));
        }
        let Some(path) = self.paths.get(&timeline) else {
            let what = format!(
                "timeline {timeline} is not in the archive: '{}' is missing",
                history_name(timeline)
            );
            return Err(Fault::new(Kind::Refused, what).remedy(self.known(base)));
        };
        match path.iter().find(|s| s.timeline == base.timeline) {
            Some(s) if s.end.is_none_or(|end| end >= base.stop) => Ok(path.clone()),
            _ => {
                let what = format!(
                    "timeline {timeline} does not come from this backup: it left timeline {} before the backup's end",
                    base.timeline
                );
                Err(Fault::new(Kind::Refused, what).remedy(self.known(base)))
            }
        }
    }

    fn known(&self, base: &WalSpan) -> String {
        let known: Vec<String> =
            self.timelines_after(base).iter().map(ToString::to_string).collect();
        format!("from this backup one can reach: timeline {}", known.join(", "))
    }

    fn last_number(&self, path: &[Stretch]) -> u64 {
        let timelines: BTreeSet<u32> = path.iter().map(|s| s.timeline).collect();
        let on_path = |segment: &&Segment| {
            timelines.contains(&segment.timeline)
                && path.iter().any(|s| {
                    s.timeline == segment.timeline
                        && s.end.is_none_or(|end| segment.number * self.segment_size < end)
                })
        };
        self.segments.keys().filter(on_path).map(|segment| segment.number).max().unwrap_or(0)
    }

    /// The file from which the server would read a segment: of the newest timeline that had begun by then
    /// (xlogrecovery.c, `XLogFileReadAnyTLI`).
    fn pick(&self, path: &[Stretch], number: u64) -> Option<Segment> {
        let size = self.segment_size;
        let began = path.iter().rev().filter(|s| s.begin / size <= number);
        let holds = began.filter(|s| s.end.is_none_or(|end| number * size < end));
        holds
            .map(|s| Segment { timeline: s.timeline, number })
            .find(|s| self.segments.contains_key(s))
    }
}

fn timeline_at(path: &[Stretch], number: u64, size: u64) -> u32 {
    path.iter().rev().find(|s| s.begin / size <= number).map_or(1, |s| s.timeline)
}

/// The WAL that follows a backup without a gap.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Where it leads.
    pub timeline: u32,
    /// The way there.
    pub path: Vec<Stretch>,
    /// Its segments, each following the one before.
    pub links: Vec<Link>,
    /// The position behind its last segment.
    pub end: u64,
    /// What is missing behind it, if more follows or should.
    pub gap: Option<Gap>,
    /// Bytes in a segment.
    pub segment_size: u64,
}

/// One segment of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The segment.
    pub segment: Segment,
    /// When it was archived.
    pub archived: Timestamp,
}

/// A hole in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first segment that is missing.
    pub first: Segment,
    /// The number of the segment with which it goes on.
    pub resumes: Option<u64>,
}

impl Chain {
    /// Where the last segment was archived; none without any.
    pub fn archived(&self) -> Option<Timestamp> {
        self.links.last().map(|link| link.archived)
    }

    /// The name of a segment of it.
    pub fn name(&self, segment: Segment) -> String {
        segment.name(self.segment_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    fn shelf(names: &[(u32, std::ops::RangeInclusive<u64>)], history: &[(u32, &str)]) -> Shelf {
        let at = Timestamp::from_second(1000).expect("a time");
        let mut kept = Vec::new();
        for (timeline, numbers) in names {
            for number in numbers.clone() {
                let name = Segment { timeline: *timeline, number }.name(SIZE);
                kept.push(Kept { name, modified: at });
            }
        }
        kept.extend(history.iter().map(|(t, _)| Kept { name: history_name(*t), modified: at }));
        let text = |name: &str| {
            history.iter().find(|(t, _)| history_name(*t) == name).expect("known").1.to_owned()
        };
        Shelf::sort(&kept, SIZE, &mut |name| Ok(text(name))).expect("sorted")
    }

    fn base() -> WalSpan {
        WalSpan { timeline: 1, start: 2 * SIZE + 40, stop: 2 * SIZE + 256, segment_size: SIZE }
    }

    #[test]
    fn a_gap_is_seen_and_what_lies_behind_it_does_not_count() {
        let chain = shelf(&[(1, 2..=4), (1, 6..=8)], &[]).chain(&base(), 1).expect("a chain");
        assert_eq!((chain.links.len(), chain.end), (3, 5 * SIZE));
        let gap = chain.gap.expect("a gap");
        assert_eq!((gap.first.number, gap.resumes), (5, Some(6)));
        let whole = shelf(&[(1, 1..=8)], &[]).chain(&base(), 1).expect("a chain");
        assert_eq!((whole.links.len(), whole.gap), (7, None));
    }

    #[test]
    fn without_an_archive_the_backup_stands_alone() {
        let chain = shelf(&[], &[]).chain(&base(), 1).expect("a chain");
        assert_eq!((chain.links.len(), chain.end, chain.gap), (0, base().stop, None));
        let late = shelf(&[(1, 3..=4)], &[]).chain(&base(), 1).expect("its own segment is inside");
        assert_eq!(late.links.len(), 2);
    }

    #[test]
    fn a_fork_is_followed_and_the_file_is_that_of_the_newer_timeline() {
        let history = format!("1\t0/{:X}\tx", 4 * SIZE + 96);
        let shelf = shelf(&[(1, 2..=4), (2, 4..=5)], &[(2, &history)]);
        let chain = shelf.chain(&base(), 2).expect("a chain");
        let way: Vec<_> =
            chain.links.iter().map(|l| (l.segment.timeline, l.segment.number)).collect();
        assert_eq!(way, [(1, 2), (1, 3), (2, 4), (2, 5)]);
        assert_eq!(shelf.timelines_after(&base()), [1, 2]);
        assert_eq!(shelf.abandoned(2, &base()), [], "the old timeline ends with the fork");
        assert_eq!(shelf.chain(&base(), 7).expect_err("unknown").kind, Kind::Refused);
    }

    #[test]
    fn a_timeline_whose_history_is_gone_is_not_passed_over() {
        let shelf = shelf(&[(1, 2..=4), (2, 4..=5)], &[]);
        assert_eq!(shelf.without_history(&base()), Some(2));
        let later = WalSpan { timeline: 2, ..base() };
        assert_eq!(shelf.without_history(&later), None, "it begins on that timeline");
    }

    #[test]
    fn a_timeline_that_went_on_after_it_was_left_is_told() {
        let history = format!("1\t0/{:X}\tx", 4 * SIZE + 96);
        let shelf = shelf(&[(1, 2..=6), (2, 4..=5)], &[(2, &history)]);
        assert_eq!(shelf.abandoned(2, &base()), [(1, 4 * SIZE + 96)]);
        let before = WalSpan { stop: 5 * SIZE, ..base() };
        assert_eq!(shelf.chain(&before, 2).expect_err("left before").kind, Kind::Refused);
    }
}
