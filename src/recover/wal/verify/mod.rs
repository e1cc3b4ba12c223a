//! Reads the archive and proves what can be proven of it: names, sizes, page headers, fingerprints, the
//! cluster, records' checksums, and that nothing is missing.
//!
//! | file | its duty |
//! |---|---|
//! | `names` | what a listing alone tells |
//! | `reading` | what reading the segments tells: fingerprints, pages, records |
//! | `whole` | what is missing, and what should not be there |
//! | `beside` | labels of base backups, and the last segment of a timeline that was left |
//! | `around` | the commits next to a loss |

mod around;
mod beside;
mod names;
mod reading;
mod whole;

pub use around::commits_in;

use serde::Serialize;

use self::{names::by_name, reading::Reading, whole::of_chain};
use super::{
    archive::{Archive, Listed},
    chain::{self, Chain, Window},
    dump::Dump,
    segment::{Segment, WalFile},
    verified::{Memory, Seen},
};
use crate::{
    base::{
        clock::{Clock, SignedDuration, Timestamp},
        progress::Observer,
        text::Text,
    },
    recover::{Fault, Kind, Result, repository::manifest::lsn},
};

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
    /// What no recovery asks for is not what was archived.
    Beside,
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
    let within = |segment: Segment| {
        depth.from.is_none_or(|from| segment.end(size) > from)
            && depth.to.is_none_or(|to| segment.start(size) < to)
    };
    let wanted: Vec<(Segment, &Listed)> =
        names::segments(&listing, &findings).filter(|(segment, _)| within(*segment)).collect();
    for Listed { kept, .. } in &listing.files {
        if beside::about(kept.file).is_some_and(within) {
            findings.extend(beside::look(archive, kept)?);
        }
    }
    let (todo, remembered): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(segment, listed)| {
        let seen = memory.get(&segment.to_string());
        depth.all || seen.is_none_or(|seen| stale(seen, listed, depth, now))
    });

    let cluster = reading::expected(archive, &todo)?;
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
    let (seen, found) = reading.all(&todo, depth, observer)?;
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
            around::look_around(archive, dump, &memory, size, lost, &reading.cancel)?;
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

/// What is lost with a file.
fn window(file: WalFile, size: u64) -> Option<Window> {
    let WalFile::Segment(segment) = file else { return None };
    let (start, end) = (segment.start(size), segment.end(size));
    Some(Window { timeline: segment.timeline, start, end, after: None, before: None })
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
