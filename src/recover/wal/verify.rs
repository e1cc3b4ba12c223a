//! Reads the archive and proves what can be proven of it: names, sizes, page headers, fingerprints, the
//! cluster, records' checksums, and that nothing is missing.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::Serialize;

use super::{
    archive::{Archive, Listed, Listing},
    chain::{self, Chain, Origin, Window},
    dump::{Dump, End, Scratch},
    page::{self, About, Flaw},
    segment::{Segment, WalFile},
    verified::{Memory, Seen},
};
use crate::{
    base::{
        cancel::Cancel,
        clock::{Clock, SignedDuration, Timestamp},
        digest::sha256,
        progress::{Observer, Progress},
        text::Text,
    },
    recover::{
        Fault, Kind, Result,
        repository::{claim::Cluster, manifest::lsn},
    },
};

/// How many consecutive segments are read in one go: unpacked on disk they take 128 MB.
const BATCH: usize = 8;
/// How far the commits around a loss are looked for, in segments.
const LOOK_AROUND: u64 = 16;

/// What is on a disk decays without being touched: a segment is read again after this time.
const AGAIN: SignedDuration = SignedDuration::from_hours(24 * 7);

/// How much is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// Only segments that end behind this position.
    pub from: Option<u64>,
    /// Only segments that begin before this one.
    pub to: Option<u64>,
    /// Everything, although it was found sound before, and every record.
    pub all: bool,
    /// Records are read in one of so many batches of consecutive segments, and in the first and the last one;
    /// 0 reads none.
    pub sample: usize,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Segments are missing.
    Gap,
    /// It is not what was archived, or cannot be unpacked.
    Fingerprint,
    /// Only zeros.
    Zeroed,
    /// It is too short or too long.
    Size,
    /// It is another segment than its name says.
    Place,
    /// Of a timeline that its name or the history rules out.
    Timeline,
    /// A page header is not what it should be.
    Page,
    /// Of another cluster, version, or cut.
    Foreign,
    /// There more than once, with different content.
    Twice,
    /// A record's checksum is wrong, or it does not follow from the one before.
    Record,
    /// A name that no file of an archive has.
    Stranger,
    /// A timeline without its history, or with one that cannot be read.
    History,
    /// A timeline that should not be: a copy of the cluster archives here.
    Unexpected,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind.
    pub wrong: Wrong,
    /// The file or timeline.
    pub subject: Text,
    /// In words.
    pub what: Text,
    /// What is lost with it.
    pub lost: Option<Window>,
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is wrong, in the order of positions.
    pub findings: Vec<Finding>,
    /// Segments read now.
    pub read: usize,
    /// Segments found sound before, and not read again.
    pub remembered: usize,
    /// Segments whose records were read now.
    pub records: usize,
    /// Why no records could be read.
    pub no_records: Option<Text>,
    /// What is there.
    pub chain: Chain,
}

/// Verifies an archive.
pub fn verify(archive: &Archive, depth: Depth, observer: &dyn Observer) -> Result<Report> {
    let listing = archive.list()?;
    let mut memory = match archive.repository() {
        Some(repository) => Memory::load(repository)?,
        None => Memory::default(),
    };
    let names = chain::of(archive, &listing, &memory)?;
    let size = names.segment_size;
    let mut findings = by_name(&listing, size);
    let now = Clock::system().wall();
    let wanted: Vec<(Segment, &Listed)> = segments(&listing, &findings)
        .filter(|(segment, _)| {
            depth.from.is_none_or(|from| segment.end(size) > from)
                && depth.to.is_none_or(|to| segment.start(size) < to)
        })
        .collect();
    let (todo, remembered): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(segment, listed)| {
        let seen = memory.get(&segment.to_string());
        depth.all || seen.is_none_or(|seen| stale(seen, listed, depth, now))
    });

    let cluster = expected(archive, &todo)?;
    let dump = if depth.sample == 0 && !depth.all {
        Err(Fault::new(Kind::Usage, "records were not asked for"))
    } else {
        cluster.map_or_else(
            || Err(Fault::new(Kind::Unavailable, "no segment tells its version")),
            |cluster| Dump::find(cluster.major()),
        )
    };
    let reading = Reading {
        archive,
        chain: &names,
        cluster,
        dump: dump.as_ref().ok(),
        cancel: observer.cancel().clone(),
    };
    let (seen, found) = reading.all(&batches(&todo, size), depth, observer)?;
    findings.extend(found);
    let records = seen.values().filter(|seen| seen.records).count();
    if let Some(repository) = archive.repository() {
        let damaged: Vec<String> = findings.iter().map(|f| f.subject.to_string()).collect();
        memory.keep(repository, seen, &damaged)?;
    }

    let chain = chain::of(archive, &listing, &memory)?;
    findings.extend(of_chain(&chain, depth));
    if let Some(dump) = reading.dump {
        for lost in findings.iter_mut().filter_map(|finding| finding.lost.as_mut()) {
            look_around(archive, dump, &memory, size, lost, &reading.cancel)?;
        }
    }
    findings.sort_by_key(|f| (f.lost.as_ref().map(|w| (w.timeline, w.start)), f.subject.clone()));
    Ok(Report {
        findings,
        read: todo.len(),
        remembered: remembered.len(),
        records,
        no_records: dump.err().map(|fault| fault.to_string().into()),
        chain,
    })
}

/// Whether a segment must be read although it was found sound before: it is another one, it was touched since,
/// its records were not read and shall be, or it is [`AGAIN`] since.
fn stale(seen: &Seen, listed: &Listed, depth: Depth, now: Timestamp) -> bool {
    Some(&seen.sha256) != listed.kept.sha256.as_ref()
        || (seen.size, seen.archived) != (listed.size, listed.at)
        || depth.sample == 1 && !seen.records
        || now.duration_since(seen.at) > AGAIN
}

/// What names alone tell: strangers, segments of another cut, and names that are there twice.
fn by_name(listing: &Listing, size: u64) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for name in &listing.strangers {
        let what = Text::ours("no file of an archive is called so");
        findings.push(Finding { wrong: Wrong::Stranger, subject: name.clone(), what, lost: None });
    }
    let mut before: Option<&Listed> = None;
    for listed in &listing.files {
        let file = listed.kept.file;
        let subject: Text = file.to_string().into();
        if let WalFile::Segment(segment) = file
            && !segment.fits(size)
        {
            let what = format!("no segment of {size} bytes is called so").into();
            findings.push(Finding { wrong: Wrong::Stranger, subject, what, lost: None });
        } else if before.is_some_and(|before| {
            before.kept.file == file && before.kept.sha256 != listed.kept.sha256
        }) && findings.last().is_none_or(|finding| finding.subject != subject)
        {
            let what = "it is there more than once, each time with other content".into();
            let lost = window(file, size);
            findings.push(Finding { wrong: Wrong::Twice, subject, what, lost });
        }
        before = Some(listed);
    }
    findings
}

fn window(file: WalFile, size: u64) -> Option<Window> {
    let WalFile::Segment(segment) = file else { return None };
    let (start, end) = (segment.start(size), segment.end(size));
    Some(Window { timeline: segment.timeline, start, end, after: None, before: None })
}

/// The segments that names say nothing against.
fn segments<'a>(
    listing: &'a Listing,
    findings: &[Finding],
) -> impl Iterator<Item = (Segment, &'a Listed)> {
    let bad: Vec<Text> = findings.iter().map(|finding| finding.subject.clone()).collect();
    listing.files.iter().filter_map(move |listed| match listed.kept.file {
        WalFile::Segment(segment) if !bad.iter().any(|b| **b == *segment.to_string()) => {
            Some((segment, listed))
        }
        _ => None,
    })
}

/// The cluster that all segments should be of: the one that the repository belongs to; in a plain folder the
/// one that most of a few segments say.
fn expected(archive: &Archive, todo: &[(Segment, &Listed)]) -> Result<Option<Cluster>> {
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

struct Reading<'a> {
    archive: &'a Archive,
    chain: &'a Chain,
    cluster: Option<Cluster>,
    dump: Option<&'a Dump>,
    cancel: Cancel,
}

type Outcome = (BTreeMap<String, Seen>, Vec<Finding>);

impl Reading<'_> {
    /// Reads all batches, as many at once as there are processors.
    fn all(
        &self,
        batches: &[Vec<(Segment, &Listed)>],
        depth: Depth,
        observer: &dyn Observer,
    ) -> Result<Outcome> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome: Mutex<Result<Outcome>> = Mutex::new(Ok(Outcome::default()));
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(batch) = batches.get(number) else { break };
                let edge = number == 0 || number + 1 == batches.len();
                let records =
                    depth.all || edge || depth.sample > 0 && number.is_multiple_of(depth.sample);
                let read = if observer.cancelled() {
                    Err(Fault::new(Kind::Cancelled, "the verification was cancelled"))
                } else {
                    self.batch(batch, records)
                };
                let mut all = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *all, read) {
                    (Ok((seen, findings)), Ok((more_seen, more))) => {
                        seen.extend(more_seen);
                        findings.extend(more);
                    }
                    (Ok(_), Err(fault)) => *all = Err(fault),
                    (Err(_), _) => break,
                }
                drop(all);
                let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
                let total = Some(batches.len() as u64);
                observer.progress(&Progress::items("reading segments", so_far as u64, total));
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
        thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(&self, batch: &[(Segment, &Listed)], records: bool) -> Result<Outcome> {
        let (mut seen, mut findings) = Outcome::default();
        let dump = self.dump.filter(|_| records);
        let scratch = dump.map(|_| Scratch::new()).transpose()?;
        let mut sound: Vec<Segment> = Vec::new();
        for &(segment, listed) in batch {
            let content = match self.archive.read(&listed.kept) {
                Ok(content) => content,
                Err(fault) if fault.kind == Kind::Damaged => {
                    findings.push(self.finding(segment, Wrong::Fingerprint, fault.what()));
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            if let Err((wrong, what)) = self.check(segment, &content) {
                findings.push(self.finding(segment, wrong, &what.into()));
                continue;
            }
            if let Some(scratch) = &scratch {
                scratch.put(segment, &content)?;
            }
            let sha256 = listed.kept.sha256.clone().unwrap_or_else(|| sha256(&content));
            seen.insert(segment.to_string(), new_seen(sha256, listed));
            sound.push(segment);
        }
        if let (Some(dump), Some(scratch)) = (dump, &scratch) {
            for run in runs(&sound, self.chain.segment_size) {
                self.records(dump, scratch, run, &mut seen, &mut findings)?;
            }
        }
        Ok((seen, findings))
    }

    /// Checks what a segment says of itself.
    fn check(
        &self,
        segment: Segment,
        content: &[u8],
    ) -> std::result::Result<About, (Wrong, String)> {
        let about =
            page::check(segment, content).map_err(|flaw| (kind(&flaw), flaw.to_string()))?;
        if let (Some(cluster), Some(own)) = (self.cluster, about.head.cluster())
            && let Some(why) = cluster.differs(&own)
        {
            return Err((Wrong::Foreign, why));
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
            return Err((Wrong::Timeline, flaw.to_string()));
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

fn transactions() -> [String; 1] {
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

/// What the whole tells: gaps, histories that are missing, and timelines that should not be.
fn of_chain(chain: &Chain, depth: Depth) -> Vec<Finding> {
    let mut findings = Vec::new();
    for gap in chain.gaps() {
        let inside = depth.from.is_none_or(|from| gap.end > from)
            && depth.to.is_none_or(|to| gap.start < to);
        if inside {
            let what = chain::named(&gap, chain.segment_size).into();
            let subject = Segment::at(gap.timeline, gap.start, chain.segment_size);
            let subject = subject.to_string().into();
            findings.push(Finding { wrong: Wrong::Gap, subject, what, lost: Some(gap) });
        }
    }
    for timeline in &chain.timelines {
        let what = match &timeline.origin {
            Origin::First | Origin::From(_) => continue,
            Origin::Missing => Text::ours("it is not in the archive: recovery cannot follow it"),
            Origin::Damaged(why) => why.clone(),
        };
        let subject = format!("{:08X}.history", timeline.id).into();
        findings.push(Finding { wrong: Wrong::History, subject, what, lost: None });
    }
    for (id, what) in chain.unexpected() {
        let subject = format!("{id:08X}.history").into();
        findings.push(Finding { wrong: Wrong::Unexpected, subject, what, lost: None });
    }
    findings
}

/// Finds the commits next to a loss: the last one before it and the first one behind it.
fn look_around(
    archive: &Archive,
    dump: &Dump,
    memory: &Memory,
    size: u64,
    lost: &mut Window,
    cancel: &Cancel,
) -> Result<()> {
    let (first, behind) = (lost.start / size, lost.end / size);
    let commits =
        |number: u64| commits_of(archive, dump, memory, lost.timeline, number, size, cancel);
    if lost.after.is_none() {
        for number in (first.saturating_sub(LOOK_AROUND)..first).rev() {
            let Some((_, newest)) = commits(number)? else { break };
            if newest.is_some() {
                lost.after = newest;
                break;
            }
        }
    }
    if lost.before.is_none() {
        for number in behind..behind + LOOK_AROUND {
            let Some((first, _)) = commits(number)? else { break };
            if first.is_some() {
                lost.before = first;
                break;
            }
        }
    }
    Ok(())
}

type Commits = (Option<Timestamp>, Option<Timestamp>);

/// The first and the last commit in a segment; none when it is not there or cannot be read.
fn commits_of(
    archive: &Archive,
    dump: &Dump,
    memory: &Memory,
    timeline: u32,
    number: u64,
    size: u64,
    cancel: &Cancel,
) -> Result<Option<Commits>> {
    let segment = Segment::numbered(timeline, number, size);
    if let Some(seen) = memory.get(&segment.to_string()).filter(|seen| seen.records) {
        return Ok(Some((seen.first_commit, seen.last_commit)));
    }
    let kept = archive.find(WalFile::Segment(segment))?;
    let [kept] = kept.as_slice() else { return Ok(None) };
    let Ok(content) = archive.read(kept) else { return Ok(None) };
    if page::check(segment, &content).is_err() {
        return Ok(None);
    }
    commits_in(dump, segment, &content, cancel).map(Some)
}

/// The first and the last commit in the content of a segment, as far as its records are sound.
pub fn commits_in(
    dump: &Dump,
    segment: Segment,
    content: &[u8],
    cancel: &Cancel,
) -> Result<Commits> {
    let scratch = Scratch::new()?;
    scratch.put(segment, content)?;
    let (mut first, mut last) = (None, None);
    dump.read(scratch.path(), (segment, segment), &transactions(), cancel, &mut |record| {
        if let Some(outcome) = record.outcome().filter(|outcome| outcome.committed) {
            first = first.or(Some(outcome.at));
            last = Some(outcome.at);
        }
    })?;
    Ok((first, last))
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is missing is named already.
        if !self.what.starts_with(&*self.subject) {
            write!(f, "{}: ", self.subject)?;
        }
        write!(f, "{}", self.what)?;
        match &self.lost {
            Some(lost) => write!(f, "; lost: {lost}"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// The position up to which the newest timeline is there, for a summary.
    pub fn newest(&self) -> Option<(u32, String)> {
        let timeline = self.chain.timelines.iter().rfind(|t| !t.ranges.is_empty())?;
        Some((timeline.id, lsn(timeline.ranges.last()?.end)))
    }
}
