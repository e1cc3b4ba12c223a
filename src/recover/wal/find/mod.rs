//! From "the table is gone" to the transaction that did it, and the position just before it.
//!
//! The commit record of a transaction names the relation files that go with it: those of a dropped table, and
//! the old ones of a truncated or rewritten one, whose new ones were created in the same transaction. Rows
//! are deleted one record each. Records know files by number only; the backups know their names.

mod names;
mod scan;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use self::scan::{Scan, Traces};
use super::{
    archive::Archive,
    dump::{Dump, Outcome},
    segment::{Segment, WalFile},
};
use crate::{
    base::{clock::Timestamp, progress::Observer, text::Text},
    recover::{Fault, Kind, Result},
};

pub use names::{FileId, Known, files_of};

/// What happened to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blast {
    /// `DROP TABLE`.
    Dropped,
    /// `TRUNCATE`.
    Truncated,
    /// At least so many rows were deleted in one transaction.
    Deleted {
        /// So many.
        at_least: u64,
    },
}

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Search {
    /// What happened.
    pub blast: Blast,
    /// The table's files, by name.
    pub files: Vec<Known>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

/// A transaction that may have done it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The table.
    pub table: Text,
    /// The transaction; that of the statement itself where it ran in a subtransaction.
    pub xid: u32,
    /// The transaction that it is a part of.
    pub top: u32,
    /// How it ended; none when the archive holds no end of it: it ran when the server crashed, or runs still.
    pub ended: Option<Ended>,
    /// Rows that it deleted, where they were counted.
    pub rows: Option<u64>,
    /// The timeline.
    pub timeline: u32,
    /// False when WAL does not tell this from a table that was written anew in the same transaction
    /// (`VACUUM FULL`, `ALTER TABLE`).
    pub certain: bool,
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// It took effect.
    pub committed: bool,
    /// When.
    pub at: Timestamp,
    /// The position of its commit record.
    pub lsn: u64,
    /// The position of the record before: recovery to here has everything but this transaction.
    pub before: u64,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The candidates, newest first. One that was rolled back changed nothing, and is not among them.
    pub candidates: Vec<Candidate>,
    /// Segments that were read.
    pub segments: usize,
    /// Bytes of WAL that were read.
    pub bytes: u64,
    /// Where reading broke off: segments behind these places were not seen, or not whole.
    pub broken: Vec<Text>,
}

/// Searches an archive.
pub fn find(archive: &Archive, search: &Search, observer: &dyn Observer) -> Result<Found> {
    let listing = archive.list()?;
    let segments: Vec<_> = listing
        .files
        .iter()
        .filter_map(|listed| match listed.kept.file {
            // What was archived before cannot hold what came later.
            WalFile::Segment(segment) if search.since.is_none_or(|since| listed.at >= since) => {
                Some((segment, &listed.kept))
            }
            _ => None,
        })
        .collect();
    let Some((first, kept)) = segments.first() else {
        let what = "the archive holds no segment of that time";
        return Err(Fault::new(Kind::Unavailable, what));
    };
    let head = super::page::head(&archive.read(kept)?).map_err(|flaw| {
        Fault::new(Kind::Damaged, format!("{first}: {flaw}")).remedy("run `howdah wal verify`")
    })?;
    let major = super::page::major_of(head.magic).unwrap_or_default();
    let dump = Dump::find(major)?;
    let scan = Scan { archive, dump: &dump, size: head.segment_size, segments: &segments };

    let counting = matches!(search.blast, Blast::Deleted { .. });
    let traces = scan.traces(counting, observer)?;
    let history = follow(&traces, &search.files, &|file, timeline, span| {
        scan.written(file, timeline, span, observer.cancel())
    })?;
    let (mut candidates, mut broken) = (Vec::new(), traces.broken.clone());
    match search.blast {
        Blast::Dropped | Blast::Truncated => {
            let dropped = search.blast == Blast::Dropped;
            for removal in history.removed {
                let candidate = removal.candidate;
                let certain = match (removal.became, dropped) {
                    (Became::Gone, true) | (Became::Empty, false) => Some(true),
                    (Became::Rewritten, true) => Some(false),
                    _ => None,
                };
                candidates.extend(certain.map(|certain| Candidate { certain, ..candidate }));
            }
        }
        Blast::Deleted { at_least } => {
            let (deleted, also_broken) = scan.deletions(&history.files, observer)?;
            broken.extend(also_broken);
            candidates = totals(deleted, &traces, &history.files, at_least);
        }
    }
    candidates.retain(|candidate| {
        let Some(ended) = &candidate.ended else { return true };
        ended.committed
            && search.since.is_none_or(|since| ended.at >= since)
            && search.until.is_none_or(|until| ended.at <= until)
    });
    candidates.sort_by_key(|c| std::cmp::Reverse(c.ended.map_or(u64::MAX, |ended| ended.lsn)));
    broken.sort();
    broken.dedup();
    let bytes = segments.len() as u64 * head.segment_size;
    Ok(Found { candidates, segments: segments.len(), bytes, broken })
}

/// What became of a table whose file went with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    /// No file took its place.
    Gone,
    /// An empty one did.
    Empty,
    /// One with rows did: written anew, or dropped beside a new table.
    Rewritten,
}

struct Removed {
    candidate: Candidate,
    became: Became,
}

struct History {
    removed: Vec<Removed>,
    /// All files that the table had in this time.
    files: BTreeMap<FileId, Text>,
}

/// Tells whether anything was written into a file of a timeline between two positions.
type Written<'a> = dyn Fn(FileId, u32, Range<u64>) -> Result<bool> + 'a;

/// Follows a table from file to file: what is truncated or rewritten goes on under another number.
fn follow(traces: &Traces, known: &[Known], written: &Written<'_>) -> Result<History> {
    let mut files: BTreeMap<FileId, Text> =
        known.iter().map(|known| (known.file, known.label.clone())).collect();
    let mut removed = Vec::new();
    for ((lsn, timeline), removal) in &traces.removals {
        let family: BTreeSet<u32> = removal.children.iter().copied().chain([removal.xid]).collect();
        let created: Vec<(u64, u32, FileId)> = traces
            .created
            .range(..lsn)
            .filter(|(_, (xid, _))| family.contains(xid))
            .map(|(at, (xid, file))| (*at, *xid, *file))
            .collect();
        // The record names what was removed last first; new files are created in the order of the statement.
        for (place, file) in removal.files.iter().rev().enumerate() {
            let Some(label) = files.iter().find(|(f, _)| f.is(*file)).map(|(_, l)| l.clone())
            else {
                continue;
            };
            let is_written = |new: &(u64, u32, FileId)| written(new.2, *timeline, new.0..*lsn);
            // TRUNCATE goes table by table, each with its indexes behind it. What writes a table anew begins
            // with its rows, and removes the old indexes before the old rows.
            let (new, became) = match (created.first(), created.get(place)) {
                (Some(first), _) if is_written(first)? => (Some(first), Became::Rewritten),
                (_, Some(paired)) if is_written(paired)? => (Some(paired), Became::Rewritten),
                (_, Some(paired)) => (Some(paired), Became::Empty),
                (_, None) => (None, Became::Gone),
            };
            let ended =
                Ended { committed: true, at: removal.at, lsn: *lsn, before: removal.before };
            let candidate = Candidate {
                table: label.clone(),
                xid: new.map_or(removal.xid, |(_, xid, _)| *xid),
                top: removal.xid,
                ended: Some(ended),
                rows: None,
                timeline: *timeline,
                certain: true,
            };
            if let Some((.., new)) = new {
                files.insert(*new, label);
            }
            removed.push(Removed { candidate, became });
        }
    }
    Ok(History { removed, files })
}

/// Adds up the rows of each transaction with its subtransactions.
fn totals(
    deleted: BTreeMap<(FileId, u32), (u64, u32)>,
    traces: &Traces,
    files: &BTreeMap<FileId, Text>,
    at_least: u64,
) -> Vec<Candidate> {
    let mut sums: BTreeMap<(u32, Text), (u64, u32, u32)> = BTreeMap::new();
    for ((file, xid), (rows, timeline)) in deleted {
        let Some((_, label)) = files.iter().find(|(known, _)| known.is(file)) else { continue };
        let top = traces.parents.get(&xid).copied().unwrap_or(xid);
        // One that was rolled back to a savepoint has an end of its own.
        let own = traces.ends.get(&xid).filter(|end| !end.committed).map_or(top, |_| xid);
        let sum = sums.entry((own, label.clone())).or_insert((0, xid, timeline));
        sum.0 += rows;
    }
    let many = sums.into_iter().filter(|(_, (rows, ..))| *rows >= at_least);
    many.map(|((top, table), (rows, xid, timeline))| Candidate {
        table,
        xid,
        top,
        ended: traces.ends.get(&top).copied(),
        rows: Some(rows),
        timeline,
        certain: true,
    })
    .collect()
}

/// The end of a transaction as a scan keeps it.
fn ended(outcome: &Outcome<'_>, lsn: u64, before: u64) -> Ended {
    Ended { committed: outcome.committed, at: outcome.at, lsn, before }
}

/// The segments of a search, by name.
type Listed<'a> = (Segment, &'a super::archive::Kept);
