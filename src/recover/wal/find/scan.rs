//! Reads the archive through `pg_waldump`, several segments at a time in several processes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{Ended, FileId, Listed, ended};
use crate::{
    base::{cancel::Cancel, clock::Timestamp, progress::Observer, text::Text},
    recover::{
        Kind, Result,
        wal::{
            archive::Archive,
            dump::{Dump, End, Record, Scratch},
            parallel,
            segment::Segment,
        },
    },
};

/// Segments that one process reads: unpacked on disk they take 144 MB, with the one behind them.
const BATCH: usize = 8;

/// An archive, ready to be read.
pub(super) struct Scan<'a> {
    pub(super) archive: &'a Archive,
    pub(super) dump: &'a Dump,
    pub(super) size: u64,
    pub(super) segments: &'a [Listed<'a>],
}

/// What transactions did to relation files.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Commits that removed files, by position and timeline.
    pub(super) removals: BTreeMap<(u64, u32), Removal>,
    /// Files that were created, by position, with the transaction.
    pub(super) created: BTreeMap<u64, (u32, FileId)>,
    /// How transactions ended, where that was asked for.
    pub(super) ends: BTreeMap<u32, Ended>,
    /// From a subtransaction to the transaction that it ended with.
    pub(super) parents: BTreeMap<u32, u32>,
    pub(super) broken: Vec<Text>,
}

/// A commit that removed files.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) xid: u32,
    pub(super) children: Vec<u32>,
    pub(super) at: Timestamp,
    pub(super) before: u64,
    pub(super) files: Vec<FileId>,
}

/// Rows deleted from a file by a transaction, and the timeline on which.
type Deletions = BTreeMap<(FileId, u32), (u64, u32)>;

impl Scan<'_> {
    /// What all transactions did to relation files; with `ends`, how each of them ended.
    pub(super) fn traces(&self, ends: bool, observer: &dyn Observer) -> Result<Traces> {
        let traces = Mutex::new(Traces::default());
        let broken = self.each(
            &self.dump.passes(&["Transaction", "Storage"]),
            observer,
            "looking for the transaction",
            &|timeline, record| {
                let mut traces = traces.lock().unwrap_or_else(PoisonError::into_inner);
                traces.take(timeline, record, ends);
            },
        )?;
        let mut traces = traces.into_inner().unwrap_or_else(PoisonError::into_inner);
        traces.broken = broken;
        Ok(traces)
    }

    /// Rows that each transaction deleted from these files.
    pub(super) fn deletions(
        &self,
        files: &BTreeMap<FileId, Text>,
        observer: &dyn Observer,
    ) -> Result<(Deletions, Vec<Text>)> {
        let heap = "--rmgr=Heap".to_owned();
        let of_each: Option<Vec<String>> =
            files.keys().map(|file| self.dump.relation(&file.for_dump())).collect();
        // Where it cannot choose by relation, all rows are told, and chosen here.
        let passes: Vec<Vec<String>> = match of_each {
            Some(relations) => relations.into_iter().map(|one| vec![heap.clone(), one]).collect(),
            None => vec![vec![heap]],
        };
        let deletions = Mutex::new(Deletions::new());
        let broken =
            self.each(&passes, observer, "counting deleted rows", &|timeline, record| {
                let Some(file) = deleted_from(record) else { return };
                if files.keys().any(|known| known.is(file)) {
                    let mut all = deletions.lock().unwrap_or_else(PoisonError::into_inner);
                    all.entry((file, record.xid)).or_insert((0, timeline)).0 += 1;
                }
            })?;
        Ok((deletions.into_inner().unwrap_or_else(PoisonError::into_inner), broken))
    }

    /// True when anything was written into a file of that timeline between two positions.
    pub(super) fn written(
        &self,
        file: FileId,
        timeline: u32,
        span: std::ops::Range<u64>,
        cancel: &Cancel,
    ) -> Result<bool> {
        let within: Vec<Listed<'_>> = self
            .segments
            .iter()
            .copied()
            .filter(|(segment, _)| {
                segment.timeline == timeline
                    && segment.end(self.size) > span.start
                    && segment.start(self.size) <= span.end
            })
            .collect();
        let mut written = false;
        let filter: Vec<String> = self.dump.relation(&file.for_dump()).into_iter().collect();
        let told = format!(": rel {} ", file.for_dump());
        let about = |record: &Record<'_>| !filter.is_empty() || record.what.contains(&told);
        for batch in within.chunks(BATCH) {
            let scratch = self.unpack(batch)?;
            let Some(range) = edges(batch) else { continue };
            self.dump.read(scratch.path(), range, &filter, cancel, &mut |record| {
                written |= span.contains(&record.lsn) && about(record);
            })?;
        }
        Ok(written)
    }

    fn unpack(&self, batch: &[Listed<'_>]) -> Result<Scratch> {
        let scratch = Scratch::new()?;
        for (segment, kept) in batch {
            self.archive.copy(kept, &scratch.place(*segment))?;
        }
        Ok(scratch)
    }

    /// Tells each record that the filters let through, once; returns where reading broke off.
    fn each(
        &self,
        passes: &[Vec<String>],
        observer: &dyn Observer,
        phase: &'static str,
        told: &(dyn Fn(u32, &Record<'_>) + Sync),
    ) -> Result<Vec<Text>> {
        let runs = self.segments.chunk_by(|(a, _), (b, _)| a.next(self.size) == *b);
        // Each batch with the segment behind it, into which its last record may run.
        let batches: Vec<(&[Listed<'_>], usize)> = runs
            .flat_map(|run| {
                (0..run.len()).step_by(BATCH).map(move |from| {
                    let own = BATCH.min(run.len() - from);
                    (&run[from..(from + own + 1).min(run.len())], own)
                })
            })
            .collect();
        let words = (phase, "the search");
        let broken = parallel::each(&batches, words, observer, &|_, (batch, own)| {
            self.batch(batch, *own, passes, observer.cancel(), told)
        })?;
        Ok(broken.concat())
    }

    fn batch(
        &self,
        batch: &[Listed<'_>],
        own: usize,
        passes: &[Vec<String>],
        cancel: &Cancel,
        told: &(dyn Fn(u32, &Record<'_>) + Sync),
    ) -> Result<Vec<Text>> {
        let scratch = match self.unpack(batch) {
            Ok(scratch) => scratch,
            Err(fault) if fault.kind == Kind::Damaged => return Ok(vec![fault.what().clone()]),
            Err(fault) => return Err(fault),
        };
        let Some((first, last)) = edges(batch) else { return Ok(Vec::new()) };
        let own_end = first.start(self.size) + own as u64 * self.size;
        let mut broken = Vec::new();
        for filters in passes {
            let end =
                self.dump.read(scratch.path(), (first, last), filters, cancel, &mut |record| {
                    // What begins in the segment behind is told by the next batch.
                    if record.lsn < own_end {
                        told(first.timeline, record);
                    }
                })?;
            if let End::Broken(said) = end {
                broken.push(said);
            }
        }
        Ok(broken)
    }
}

fn edges(batch: &[Listed<'_>]) -> Option<(Segment, Segment)> {
    Some((batch.first()?.0, batch.last()?.0))
}

/// The file from which a `Heap DELETE` record deletes.
fn deleted_from(record: &Record<'_>) -> Option<FileId> {
    if !record.what.starts_with("DELETE") {
        return None;
    }
    let (_, block) = record.what.split_once("blkref #0: rel ")?;
    block.split_whitespace().next()?.parse().ok()
}

impl Traces {
    fn take(&mut self, timeline: u32, record: &Record<'_>, ends: bool) {
        if record.manager == "Storage" {
            if let Some(file) = record.what.strip_prefix("CREATE ").and_then(FileId::from_path) {
                self.created.insert(record.lsn, (record.xid, file));
            }
            return;
        }
        let Some(outcome) = record.outcome() else { return };
        if ends {
            let end = ended(&outcome, record.lsn, record.prev);
            for xid in outcome.children.iter().chain([&outcome.xid]) {
                self.ends.insert(*xid, end);
                self.parents.insert(*xid, outcome.xid);
            }
        }
        let files: Vec<FileId> =
            outcome.removed.iter().filter_map(|path| FileId::from_path(path)).collect();
        if outcome.committed && !files.is_empty() {
            let removal = Removal {
                xid: outcome.xid,
                children: outcome.children,
                at: outcome.at,
                before: record.prev,
                files,
            };
            self.removals.insert((record.lsn, timeline), removal);
        }
    }
}
