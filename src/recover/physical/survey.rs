//! What stands in the WAL that follows a backup: damage, transactions, restore points. Read by
//! `pg_waldump`, which checks each record's CRC and its link to the one before.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    ops::Range,
    path::Path,
};

use super::{
    archive::Archive,
    chain::{Chain, Link},
    timeline::Segment,
};
use crate::{
    base::{
        clock::Timestamp,
        exec::{ExecError, Tool},
        progress::{Observer, Progress, Silent},
        text::Text,
    },
    cluster::Binaries,
    recover::{
        Fault, Kind, Result,
        repository::manifest::{Manifest, WalSpan, lsn, parse_lsn},
        wal::dump::{complaint, filters},
    },
};

/// Segments that are unpacked at a time: 256 MiB of the usual size.
const BATCH: usize = 16;

/// The end of a transaction, as its WAL record tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The transaction's number.
    pub xid: u32,
    /// Where its record begins.
    pub lsn: u64,
    /// When, by the server's clock.
    pub at: Timestamp,
    /// It was committed, not rolled back.
    pub committed: bool,
}

/// A named restore point (`pg_create_restore_point`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Where its record begins.
    pub lsn: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Transactions that ended behind the backup's end, in order of the WAL.
    pub ends: Vec<Ended>,
    /// The last transaction that ended before it, where that WAL is in the archive.
    pub before: Option<Ended>,
    /// Restore points behind the backup's end.
    pub points: Vec<Point>,
    /// Where the sound WAL ends: nothing behind it can be reached.
    pub end: u64,
    /// Damage, at the place where the sound WAL ends.
    pub damage: Option<Fault>,
    /// Bytes of WAL that were read.
    pub read: u64,
}

impl Survey {
    /// The last commit that can be reached.
    pub fn last_commit(&self) -> Option<&Ended> {
        self.ends.iter().rev().find(|ended| ended.committed)
    }

    /// The first commit behind the backup's end.
    pub fn first_commit(&self) -> Option<&Ended> {
        self.ends.iter().find(|ended| ended.committed)
    }

    /// The last transaction whose record begins at or before a position.
    pub fn ended_by(&self, lsn: u64) -> Option<&Ended> {
        self.ends.iter().rev().find(|ended| ended.lsn <= lsn)
    }
}

/// Reads a chain from its beginning to its end, or to the first damage.
pub fn survey(
    chain: &Chain,
    archive: &dyn Archive,
    manifest: &Manifest,
    binaries: &Binaries,
    observer: &dyn Observer,
) -> Result<Survey> {
    let base = span(manifest)?;
    let dump = Dump::of(chain, manifest, binaries, &["Transaction", "XLOG"]);
    let mut found = Survey { end: chain.end, ..Survey::default() };
    let folder = tempfile::tempdir().map_err(Fault::io("no temporary folder for WAL"))?;
    let size = chain.segment_size;
    // Each batch begins with the last segment of the one before, so that records that run over the edge are
    // read whole.
    let mut from = 0;
    while from < chain.links.len() && found.damage.is_none() {
        let to = (from + BATCH).min(chain.links.len());
        let begin = if from == 0 { from } else { from - 1 };
        let batch = &chain.links[begin..to];
        for link in batch.get(from - begin..).unwrap_or_default() {
            if let Err(fault) = bring(*link, chain, archive, manifest, folder.path()) {
                if fault.kind != Kind::Damaged {
                    return Err(fault);
                }
                // pg_waldump would ask the broken file for the size of segments.
                let _ = fs::remove_file(folder.path().join(file_name(chain, link.segment.number)));
                found.end = link.segment.number * size;
                found.damage = Some(fault);
                break;
            }
            let done = (link.segment.number - chain.links[0].segment.number + 1) * size;
            let total = chain.links.len() as u64 * size;
            observer.progress(&Progress::bytes("checking the WAL", done, Some(total)));
            found.read += size;
        }
        let start = batch.first().map_or(0, |link| link.segment.number * size).max(base.start);
        let end = batch.last().map_or(0, |link| (link.segment.number + 1) * size).min(found.end);
        if start < end {
            let broken = dump.read(folder.path(), start..end, observer, &mut |line| {
                note(line, base, &mut found);
            })?;
            if let Some((at, fault)) = broken {
                found.end = at;
                found.ends.retain(|ended| ended.lsn < at);
                found.points.retain(|point| point.lsn < at);
                found.damage = Some(fault);
            }
        }
        for link in &batch[..batch.len() - 1] {
            // Done with; what cannot be removed now goes with the folder.
            let _ = fs::remove_file(folder.path().join(file_name(chain, link.segment.number)));
        }
        from = to;
    }
    Ok(found)
}

/// The last commit of a chain, from its last segments alone: none when they hold none.
pub fn last_commit(
    chain: &Chain,
    archive: &dyn Archive,
    manifest: &Manifest,
    binaries: &Binaries,
) -> Result<Option<Ended>> {
    let base = span(manifest)?;
    let dump = Dump::of(chain, manifest, binaries, &["Transaction"]);
    let folder = tempfile::tempdir().map_err(Fault::io("no temporary folder for WAL"))?;
    let silent = Silent::default();
    for link in chain.links.iter().rev().take(BATCH) {
        bring(*link, chain, archive, manifest, folder.path())?;
        let begin = link.segment.number * chain.segment_size;
        let range = begin.max(base.start)..begin + chain.segment_size;
        // Many thousands a segment, of which the last one alone is to be understood.
        let mut last = String::new();
        dump.read(folder.path(), range, &silent, &mut |line| {
            if line.contains(", desc: COMMIT") {
                line.clone_into(&mut last);
            }
        })?;
        let mut found = Survey::default();
        note(&last, base, &mut found);
        if let Some(last) = found.last_commit() {
            return Ok(Some(*last));
        }
    }
    Ok(None)
}

/// The WAL that a physical backup's manifest tells of.
pub fn span(manifest: &Manifest) -> Result<&WalSpan> {
    manifest.wal.as_ref().ok_or_else(|| {
        let what = format!("the backup {} is logical: it holds one moment only", manifest.id);
        Fault::new(Kind::Usage, what).remedy("choose a physical backup")
    })
}

/// All segments stand under the name of the last timeline, so that one tool reads over the forks.
fn file_name(chain: &Chain, number: u64) -> String {
    Segment { timeline: chain.timeline, number }.name(chain.segment_size)
}

fn bring(
    link: Link,
    chain: &Chain,
    archive: &dyn Archive,
    manifest: &Manifest,
    folder: &Path,
) -> Result<()> {
    let name = chain.name(link.segment);
    let copy = folder.join(file_name(chain, link.segment.number));
    archive.fetch(&name, &copy)?;
    let damaged =
        |why: String| Err(Fault::new(Kind::Damaged, format!("the segment '{name}' {why}")));
    let cannot = || Fault::io(format!("cannot read '{}'", copy.display()));
    let size = fs::metadata(&copy).map_err(cannot())?.len();
    if size != chain.segment_size {
        return damaged(format!("has {size} bytes instead of {}", chain.segment_size));
    }
    let mut head = [0; 40];
    File::open(&copy).and_then(|mut file| file.read_exact(&mut head)).map_err(cannot())?;
    let seen = Header::read(&head);
    let begins = link.segment.number * chain.segment_size;
    if !seen.long {
        return damaged("does not begin with a WAL page".to_owned());
    }
    if seen.position != begins {
        return damaged(format!("holds the WAL at {}, not at {}", lsn(seen.position), lsn(begins)));
    }
    if seen.system_identifier != manifest.cluster.system_identifier {
        return damaged(format!(
            "is of another cluster: system identifier {}",
            seen.system_identifier
        ));
    }
    let on_path = chain
        .path
        .iter()
        .any(|s| s.timeline == seen.timeline && seen.timeline <= link.segment.timeline);
    if !on_path {
        return damaged(format!("is of timeline {}", seen.timeline));
    }
    Ok(())
}

/// The header of a segment's first page (`XLogLongPageHeaderData` in xlog_internal.h), as this machine
/// orders bytes.
struct Header {
    long: bool,
    timeline: u32,
    position: u64,
    system_identifier: u64,
}

impl Header {
    fn read(bytes: &[u8; 40]) -> Self {
        let u32_at = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let u64_at = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(eight)
        };
        let (magic, info) =
            (u16::from_ne_bytes([bytes[0], bytes[1]]), u16::from_ne_bytes([bytes[2], bytes[3]]));
        // Magic numbers of all versions are 0xD0xx or 0xD1xx; XLP_LONG_HEADER is 2.
        let long = matches!(magic >> 8, 0xD0 | 0xD1) && info & 2 != 0;
        Self { long, timeline: u32_at(4), position: u64_at(8), system_identifier: u64_at(24) }
    }
}

/// `pg_waldump` over segments of a chain.
struct Dump<'a> {
    chain: &'a Chain,
    binaries: &'a Binaries,
    filters: Vec<String>,
}

impl<'a> Dump<'a> {
    /// Tells the records of these resource managers; of all where `pg_waldump` cannot choose.
    fn of(
        chain: &'a Chain,
        manifest: &Manifest,
        binaries: &'a Binaries,
        managers: &[&str],
    ) -> Self {
        let filters = filters(manifest.cluster.version / 10_000, managers).unwrap_or_default();
        Self { chain, binaries, filters }
    }

    /// Reads that range and tells each line; where a record is broken, its position and why.
    fn read(
        &self,
        folder: &Path,
        range: Range<u64>,
        observer: &dyn Observer,
        told: &mut dyn FnMut(&str),
    ) -> Result<Option<(u64, Fault)>> {
        let tool = Tool::new(self.binaries.program("pg_waldump"))
            .arg("-p")
            .arg(folder)
            .args(["-t", &self.chain.timeline.to_string()])
            .args(["-s", &lsn(range.start), "-e", &lsn(range.end)])
            .args(&self.filters)
            // Times are printed in local time.
            .env("TZ", "UTC");
        let (read, ended) = tool.read(observer.cancel(), |stdout| {
            let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
            while 0 < stdout.read_line(&mut line)? {
                told(line.strip_suffix('\n').unwrap_or(&line));
                line.clear();
            }
            Ok(())
        })?;
        read.map_err(Fault::io("cannot read what pg_waldump prints"))?;
        match ended {
            Ok(()) => Ok(None),
            Err(ExecError::Failed { messages, .. }) => {
                Ok(Some(self.broken(messages.last(), range.start)))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// What `pg_waldump` said when it stopped.
    fn broken(&self, said: Option<&Text>, start: u64) -> (u64, Fault) {
        let chain = self.chain;
        let said = said.cloned().unwrap_or(Text::ours("pg_waldump said nothing"));
        let at = broken_at(&said).unwrap_or(start);
        let name = Segment { timeline: chain.timeline, number: at / chain.segment_size };
        let why = complaint(&said);
        let what = format!("the WAL is damaged in the segment '{}': {why}", chain.name(name));
        (at, Fault::new(Kind::Damaged, what))
    }
}

/// `error in WAL record at 0/3000148: …` and `could not find a valid record after 0/3000148`: the last sound
/// record begins there.
fn broken_at(said: &str) -> Option<u64> {
    said.split_whitespace().find_map(|word| parse_lsn(word.trim_end_matches(':')))
}

/// One line of `pg_waldump`:
/// `rmgr: Transaction len (rec/tot): 34/34, tx: 733, lsn: 0/015A5F80, prev 0/015A5F48, desc: COMMIT 2026-…`.
fn note(line: &str, base: &WalSpan, found: &mut Survey) {
    let Some((head, desc)) = line.split_once(", desc: ") else { return };
    let after = |name: &str| head.split_once(name).map(|(_, rest)| rest.trim_start());
    let word = |name: &str| after(name)?.split([',', ' ']).next();
    let Some(at) = word("lsn:").and_then(parse_lsn) else { return };
    if head.starts_with("rmgr: Transaction") {
        let committed = desc.starts_with("COMMIT");
        if !committed && !desc.starts_with("ABORT") {
            return;
        }
        let Some(ended) = ended(desc, word("tx:"), at, committed) else { return };
        if at < base.stop {
            found.before = Some(ended);
        } else if found.ends.last().is_none_or(|last| last.lsn < at) {
            found.ends.push(ended);
        }
    } else if head.starts_with("rmgr: XLOG")
        && at >= base.stop
        && let Some(name) = desc.strip_prefix("RESTORE_POINT ")
        && found.points.last().is_none_or(|last| last.lsn < at)
    {
        found.points.push(Point { name: name.to_owned(), lsn: at });
    }
}

/// The time is two words of the description, in UTC; `COMMIT_PREPARED` tells the number inside it.
fn ended(desc: &str, tx: Option<&str>, lsn: u64, committed: bool) -> Option<Ended> {
    let mut words = desc.split([' ', ';', ':']).skip(1);
    let xid = if desc.contains("_PREPARED") { words.next() } else { tx }?.parse().ok()?;
    let day = desc
        .split([' ', ';'])
        .find(|word| word.len() == 10 && word.as_bytes().get(4) == Some(&b'-'))?;
    let time = desc.split_once(day)?.1.split_whitespace().next()?;
    let at = format!("{day}T{time}Z").parse().ok()?;
    Some(Ended { xid, lsn, at, committed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(lines: &str) -> Survey {
        let base =
            WalSpan { timeline: 1, start: 0x0200_0028, stop: 0x0200_0100, segment_size: 16 << 20 };
        let mut found = Survey::default();
        lines.lines().for_each(|line| note(line, &base, &mut found));
        found
    }

    #[test]
    fn transactions_and_restore_points_are_read() {
        let found = noted(
            "rmgr: Transaction len (rec/tot):     34/    34, tx:        700, lsn: 0/02000060, prev 0/02000028, desc: COMMIT 2026-11-25 21:00:00.5 UTC\n\
             rmgr: Heap        len (rec/tot):     54/   150, tx:        733, lsn: 0/03000028, prev 0/02000100, desc: INSERT off 1, blkref #0: rel 1663/5/16384 blk 0 FPW\n\
             rmgr: Transaction len (rec/tot):     34/    34, tx:        733, lsn: 0/030000C0, prev 0/03000028, desc: COMMIT 2026-11-25 22:00:00.123456 UTC\n\
             rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/03000100, prev 0/030000C0, desc: RESTORE_POINT before it, all\n\
             rmgr: Transaction len (rec/tot):     82/    82, tx:        734, lsn: 0/03000180, prev 0/03000100, desc: ABORT 2026-11-25 22:00:01.000001 UTC; rels: base/5/16390\n\
             rmgr: Transaction len (rec/tot):     82/    82, tx:          0, lsn: 0/03000280, prev 0/03000180, desc: COMMIT_PREPARED 735: 2026-11-25 22:00:02 UTC",
        );
        let told: Vec<_> =
            found.ends.iter().map(|e| (e.xid, e.committed, e.at.to_string())).collect();
        assert_eq!(
            told,
            [
                (733, true, "2026-11-25T22:00:00.123456Z".to_owned()),
                (734, false, "2026-11-25T22:00:01.000001Z".to_owned()),
                (735, true, "2026-11-25T22:00:02Z".to_owned()),
            ]
        );
        assert_eq!(found.before.expect("before the end").xid, 700);
        assert_eq!(found.points, [Point { name: "before it, all".into(), lsn: 0x0300_0100 }]);
        assert_eq!(found.last_commit().map(|e| e.xid), Some(735));
    }

    #[test]
    fn the_place_of_damage_is_read_from_the_message() {
        assert_eq!(
            broken_at(
                "error in WAL record at 0/3000148: incorrect resource manager data checksum in record at 0/3000180"
            ),
            Some(0x0300_0148)
        );
        assert_eq!(broken_at("could not find file"), None);
    }
}
