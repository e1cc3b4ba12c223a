//! What reading the segments tells.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use super::{Depth, Finding, Wrong, window};
use crate::{
    base::{cancel::Cancel, clock::Clock, digest::Hasher, progress::Observer, text::Text},
    recover::{
        Fault, Kind, Result,
        repository::claim::Cluster,
        wal::{
            archive::{Archive, Kept, Listed, each_part},
            chain::{Chain, Origin},
            dump::{Dump, End, Scratch},
            page::{self, About, Flaw, Pages},
            parallel,
            segment::{Segment, WalFile},
            verified::Seen,
        },
    },
};

/// How many consecutive segments are read in one go: unpacked on disk they take 128 MB.
const BATCH: usize = 8;

/// The cluster that all segments should be of: the one that the repository belongs to; in a plain folder the
/// one that most of a few segments say.
pub(super) fn expected(archive: &Archive, todo: &[(Segment, &Listed)]) -> Result<Option<Cluster>> {
    if let Some(repository) = archive.repository() {
        return Ok(repository.claimed()?.map(|claim| claim.cluster));
    }
    let step = (todo.len() / 5).max(1);
    let some = todo.iter().step_by(step).chain(todo.last());
    let told: Vec<Cluster> = some
        .filter_map(|(_, listed)| page::head(&archive.read(&listed.kept).ok()?).ok()?.cluster())
        .collect();
    let count = |one: &Cluster| told.iter().filter(|other| *other == one).count();
    Ok(told.iter().max_by_key(|one| count(one)).copied())
}

/// Consecutive segments of one timeline, a few at a time.
fn batches<'a>(todo: &[(Segment, &'a Listed)], size: u64) -> Vec<Vec<(Segment, &'a Listed)>> {
    let mut batches: Vec<Vec<(Segment, &'a Listed)>> = Vec::new();
    for &(segment, listed) in todo {
        match batches.last_mut() {
            Some(batch)
                if batch.len() < BATCH
                    && batch.last().is_some_and(|(before, _)| before.next(size) == segment) =>
            {
                batch.push((segment, listed));
            }
            _ => batches.push(vec![(segment, listed)]),
        }
    }
    batches
}

/// A reading of an archive, and what it needs to know.
pub(super) struct Reading<'a> {
    pub(super) archive: &'a Archive,
    pub(super) chain: &'a Chain,
    pub(super) cluster: Option<Cluster>,
    pub(super) dump: Option<&'a Dump>,
    pub(super) cancel: Cancel,
}

/// Segments that were found sound, and what was wrong with others.
type Outcome = (BTreeMap<String, Seen>, Vec<Finding>);

impl Reading<'_> {
    /// Reads all of them, some at once, and the records of some.
    pub(super) fn all(
        &self,
        todo: &[(Segment, &Listed)],
        depth: Depth,
        observer: &dyn Observer,
    ) -> Result<Outcome> {
        let batches = batches(todo, self.chain.segment_size);
        let words = ("reading segments", "the verification");
        let read = parallel::each(&batches, words, observer, &|number, batch| {
            let edge = number == 0 || number + 1 == batches.len();
            let records =
                depth.all || edge || depth.sample > 0 && number.is_multiple_of(depth.sample);
            self.batch(batch, records)
        })?;
        let (mut seen, mut findings) = Outcome::default();
        for (more_seen, more) in read {
            seen.extend(more_seen);
            findings.extend(more);
        }
        Ok((seen, findings))
    }

    fn batch(&self, batch: &[(Segment, &Listed)], records: bool) -> Result<Outcome> {
        let (mut seen, mut findings) = Outcome::default();
        let dump = self.dump.filter(|_| records);
        let scratch = dump.map(|_| Scratch::new()).transpose()?;
        let mut sound: Vec<Segment> = Vec::new();
        for &(segment, listed) in batch {
            let read = match self.one(segment, &listed.kept, scratch.as_ref()) {
                Err(fault) if fault.kind == Kind::Damaged => {
                    Err((Wrong::Fingerprint, fault.what().clone()))
                }
                read => read?,
            };
            match read {
                Ok(sha256) => {
                    seen.insert(segment.to_string(), new_seen(sha256, listed));
                    sound.push(segment);
                }
                Err((wrong, what)) => {
                    findings.push(self.finding(segment, wrong, &what));
                    // Its records are not to be read.
                    scratch.as_ref().inspect(|scratch| scratch.remove(segment));
                }
            }
        }
        if let (Some(dump), Some(scratch)) = (dump, &scratch) {
            for run in runs(&sound, self.chain.segment_size) {
                self.records(dump, scratch, run, &mut seen, &mut findings)?;
            }
        }
        Ok((seen, findings))
    }

    /// Reads one segment, into `scratch`, too, where its records are wanted; returns its fingerprint, or what is
    /// wrong with it.
    fn one(
        &self,
        segment: Segment,
        kept: &Kept,
        scratch: Option<&Scratch>,
    ) -> Result<std::result::Result<String, (Wrong, Text)>> {
        let mut pages = Pages::of(segment);
        // Where the archive keeps a fingerprint, reading has compared it.
        let mut hasher = kept.sha256.is_none().then(Hasher::default);
        let cannot = || Fault::io("cannot unpack a segment");
        let unpacked = scratch.map(|scratch| File::create(scratch.place(segment)));
        let mut unpacked = unpacked.transpose().map_err(cannot())?;
        each_part(kept, self.archive.open(kept)?, &mut |part| {
            pages.take(part);
            if let Some(hasher) = &mut hasher {
                hasher.update(part);
            }
            unpacked.as_mut().map_or(Ok(()), |file| file.write_all(part).map_err(cannot()))
        })?;
        let known = kept.sha256.clone().or_else(|| hasher.map(Hasher::finish));
        Ok(self.check(segment, pages).map(|_| known.unwrap_or_default()))
    }

    /// Checks what a segment says of itself.
    fn check(&self, segment: Segment, pages: Pages) -> std::result::Result<About, (Wrong, Text)> {
        let about = pages.finish().map_err(|flaw| (kind(&flaw), flaw.to_string().into()))?;
        if let (Some(cluster), Some(own)) = (self.cluster, about.head.cluster())
            && let Some(why) = cluster.differs(&own)
        {
            return Err((Wrong::Foreign, why.into()));
        }
        // Only the segment in which a timeline begins holds pages of the one before.
        let own = self.chain.timeline(segment.timeline);
        let begins_here = match own.map(|own| (&own.origin, own.ranges.first())) {
            Some((Origin::From(ancestors), _)) => ancestors.last().is_some_and(|left| {
                Segment::at(segment.timeline, left.at, self.chain.segment_size) == segment
                    && about.head.timeline <= left.timeline
            }),
            // Where nobody can tell where it begins, that is what is wrong.
            Some((Origin::Missing | Origin::Damaged(_), Some(first))) => {
                first.start == segment.start(self.chain.segment_size)
                    && about.head.timeline < segment.timeline
            }
            _ => false,
        };
        if about.head.timeline != segment.timeline && !begins_here {
            let flaw = Flaw::Timeline { at: 0, is: about.head.timeline };
            return Err((Wrong::Timeline, flaw.to_string().into()));
        }
        Ok(about)
    }

    /// Reads the records of consecutive segments; one that breaks is a finding, and those behind it are read
    /// on their own.
    fn records(
        &self,
        dump: &Dump,
        scratch: &Scratch,
        mut run: &[Segment],
        seen: &mut BTreeMap<String, Seen>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let size = self.chain.segment_size;
        while let [first, .., last] | [first @ last] = run {
            let mut at = first.start(size);
            let end = dump.read(
                scratch.path(),
                (*first, *last),
                &transactions(),
                &self.cancel,
                &mut |r| {
                    at = at.max(r.lsn);
                    if let Some(outcome) = r.outcome().filter(|outcome| outcome.committed)
                        && let Some(seen) =
                            seen.get_mut(&Segment::at(first.timeline, r.lsn, size).to_string())
                    {
                        seen.first_commit = seen.first_commit.or(Some(outcome.at));
                        seen.last_commit = Some(outcome.at);
                    }
                },
            )?;
            let broken = match end {
                End::Whole => run.len(),
                End::Broken(ref said) => {
                    let place = position_in(said).unwrap_or(at);
                    let number = Segment::at(first.timeline, place, size);
                    let index = run.iter().position(|segment| *segment == number).unwrap_or(0);
                    if let Some(segment) = run.get(index) {
                        findings.push(self.finding(*segment, Wrong::Record, said));
                        seen.remove(&segment.to_string());
                    }
                    index
                }
            };
            for segment in run.iter().take(broken) {
                if let Some(seen) = seen.get_mut(&segment.to_string()) {
                    seen.records = true;
                }
            }
            run = run.get(broken + 1..).unwrap_or_default();
        }
        Ok(())
    }

    fn finding(&self, segment: Segment, wrong: Wrong, what: &Text) -> Finding {
        Finding {
            wrong,
            subject: segment.to_string().into(),
            what: what.clone(),
            lost: window(WalFile::Segment(segment), self.chain.segment_size),
        }
    }
}

fn new_seen(sha256: String, listed: &Listed) -> Seen {
    let at = Clock::system().wall();
    let (size, archived) = (listed.size, listed.at);
    Seen { sha256, at, size, archived, records: false, first_commit: None, last_commit: None }
}

pub(super) fn transactions() -> [String; 1] {
    ["--rmgr=Transaction".to_owned()]
}

/// The first position that a message names: where the record stands that cannot be read.
fn position_in(said: &str) -> Option<u64> {
    let words = said.split(|c: char| c.is_whitespace() || ",:;".contains(c));
    words
        .filter(|word| word.contains('/'))
        .find_map(crate::recover::repository::manifest::parse_lsn)
}

fn kind(flaw: &Flaw) -> Wrong {
    match flaw {
        Flaw::Zeroed | Flaw::ZeroTail { .. } => Wrong::Zeroed,
        Flaw::Size { .. } => Wrong::Size,
        Flaw::Place { .. } => Wrong::Place,
        Flaw::Timeline { .. } => Wrong::Timeline,
        Flaw::NoHeader(_) | Flaw::ByteOrder | Flaw::Impossible(_) | Flaw::Page { .. } => {
            Wrong::Page
        }
    }
}

/// Splits segments where one is missing.
fn runs(segments: &[Segment], size: u64) -> Vec<&[Segment]> {
    segments.chunk_by(|a, b| a.next(size) == *b).collect()
}
