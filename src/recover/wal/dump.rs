//! PostgreSQL's `pg_waldump`: every record's checksum, and what transactions did.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::segment::Segment;
use crate::{
    base::{
        cancel::Cancel,
        clock::Timestamp,
        exec::{ExecError, Tool},
        text::Text,
    },
    cluster::{Binaries, binaries::major_of},
    recover::{Fault, Kind, Result, repository::manifest::parse_lsn},
};

/// `pg_waldump` of a certain major version: another one does not understand the records.
#[derive(Clone, Debug)]
pub struct Dump {
    program: PathBuf,
    major: u32,
}

/// The first version whose filters can be given several times, and that filters by relation (release notes
/// of 15). An older one takes the last of several.
const WITH_FILTERS: u32 = 15;

/// One record, as `pg_waldump` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The resource manager: `Heap`, `Transaction`.
    pub manager: &'a str,
    /// The transaction or subtransaction that wrote it; 0 for none.
    pub xid: u32,
    /// Its position.
    pub lsn: u64,
    /// The position of the record before it.
    pub prev: u64,
    /// What it does, in `pg_waldump`'s words.
    pub what: &'a str,
}

/// How a reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every record was sound.
    Whole,
    /// At a record that is not: `pg_waldump`'s own words.
    Broken(Text),
}

impl Dump {
    /// Finds the one for a major version.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when there is none, or only of another version.
    pub fn find(major: u32) -> Result<Self> {
        let program = Binaries::for_server(major)?.program("pg_waldump");
        let said = Tool::new(&program).arg("--version").run(&Cancel::new(), &mut |_| {})?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if major_of(&said) == Some(major) {
            return Ok(Self { program, major });
        }
        let what = format!("'{said}' cannot read WAL of PostgreSQL {major}");
        let remedy = "set HOWDAH_PG_BIN to the folder of that version's programs";
        Err(Fault::new(Kind::Unavailable, what).remedy(remedy))
    }

    /// The passes, each with its filters, that tell the records of several resource managers.
    pub fn passes(&self, managers: &[&str]) -> Vec<Vec<String>> {
        match filters(self.major, managers) {
            Some(all) => vec![all],
            None => managers.iter().map(|manager| vec![filter(manager)]).collect(),
        }
    }

    /// The filter for a relation (`tablespace/database/number`); none where this version has none: then all
    /// records are told.
    pub fn relation(&self, file: &str) -> Option<String> {
        (self.major >= WITH_FILTERS).then(|| format!("--relation={file}"))
    }

    /// Reads the records of consecutive segments that stand in a folder, those of some resource managers or
    /// all; each checksum is checked whatever is told.
    pub fn read(
        &self,
        folder: &Path,
        (first, last): (Segment, Segment),
        filters: &[String],
        cancel: &Cancel,
        told: &mut dyn FnMut(&Record<'_>),
    ) -> Result<End> {
        let tool = Tool::new(&self.program)
            // Times are printed in the local zone.
            .env("TZ", "UTC")
            .arg("-p")
            .arg(folder)
            .args(filters)
            .args([first.to_string(), last.to_string()]);
        let (read, ended) = tool.read(cancel, |stdout| {
            BufReader::with_capacity(1 << 16, stdout).split(b'\n').try_for_each(|line| {
                if let Some(record) = std::str::from_utf8(&line?).ok().and_then(parse) {
                    told(&record);
                }
                Ok(())
            })
        })?;
        read.map_err(Fault::io("cannot read from pg_waldump"))?;
        match ended {
            Ok(()) => Ok(End::Whole),
            // A record longer than all that was given to it: nothing ends in here, and nothing is broken.
            Err(ExecError::Failed { messages, .. })
                if messages.iter().any(|m| m.contains("could not find a valid record after")) =>
            {
                Ok(End::Whole)
            }
            Err(ExecError::Failed { messages, code: Some(1), .. }) if !messages.is_empty() => {
                let said: Vec<&str> = messages.iter().map(|message| complaint(message)).collect();
                Ok(End::Broken(said.join("; ").into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What `pg_waldump` complains of, without its name and the word for how bad it is, which was another before 14.
pub fn complaint(message: &str) -> &str {
    let words = message.strip_prefix("pg_waldump: ").unwrap_or(message);
    words.strip_prefix("error: ").or(words.strip_prefix("fatal: ")).unwrap_or(words)
}

/// What has `pg_waldump` of a major version tell the records of these resource managers and no others; none
/// where it cannot in one go.
pub fn filters(major: u32, managers: &[&str]) -> Option<Vec<String>> {
    (major >= WITH_FILTERS || managers.len() < 2)
        .then(|| managers.iter().map(|manager| filter(manager)).collect())
}

fn filter(manager: &str) -> String {
    format!("--rmgr={manager}")
}

/// Reads one line of `pg_waldump`; none for what is no record.
fn parse(line: &str) -> Option<Record<'_>> {
    let rest = line.strip_prefix("rmgr: ")?;
    let (head, what) = rest.split_once(", desc: ")?;
    let field = |name: &str| {
        let (_, value) = head.split_once(name)?;
        Some(value.split(',').next()?.trim())
    };
    Some(Record {
        manager: rest.split_whitespace().next()?,
        xid: field(", tx:")?.parse().ok()?,
        lsn: field(", lsn:")?.split_whitespace().next().and_then(parse_lsn)?,
        prev: parse_lsn(field(", prev ")?)?,
        what,
    })
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The transaction.
    pub xid: u32,
    /// It was committed.
    pub committed: bool,
    /// When.
    pub at: Timestamp,
    /// Its subtransactions.
    pub children: Vec<u32>,
    /// The relation files that were removed with it, as paths in the data folder.
    pub removed: Vec<&'a str>,
}

impl<'a> Record<'a> {
    /// Reads a `Transaction` record; none for another kind, such as an invalidation.
    pub fn outcome(&self) -> Option<Outcome<'a>> {
        if self.manager != "Transaction" {
            return None;
        }
        let (word, rest) = self.what.split_once(' ')?;
        let (committed, prepared) = match word {
            "COMMIT" => (true, false),
            "ABORT" => (false, false),
            "COMMIT_PREPARED" => (true, true),
            "ABORT_PREPARED" => (false, true),
            _ => return None,
        };
        let (xid, rest) = if prepared {
            let (xid, rest) = rest.split_once(": ")?;
            (xid.parse().ok()?, rest)
        } else {
            (self.xid, rest)
        };
        let mut parts = rest.split("; ");
        let at = time(parts.next()?)?;
        let mut outcome = Outcome { xid, committed, at, children: Vec::new(), removed: Vec::new() };
        for part in parts {
            if let Some(list) = part.strip_prefix("subxacts: ") {
                outcome.children = list.split_whitespace().filter_map(|x| x.parse().ok()).collect();
            } else if let Some(list) = part.strip_prefix("rels: ") {
                outcome.removed = list.split_whitespace().collect();
            }
        }
        Some(outcome)
    }
}

/// `2026-11-25 22:00:00.123456 UTC`.
fn time(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.trim().split_once(' ')?;
    let (clock, zone) = rest.split_once(' ')?;
    (zone == "UTC").then(|| format!("{date}T{clock}Z").parse().ok()).flatten()
}

/// A folder for unpacked segments, gone with its owner.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A fresh one, in the system's temporary folder.
    pub fn new() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("howdah-wal-").tempdir();
        made.map(Self).map_err(Fault::io("cannot make a folder for unpacked WAL"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a segment into it.
    pub fn put(&self, segment: Segment, content: &[u8]) -> Result<()> {
        let path = self.place(segment);
        fs::write(&path, content).map_err(Fault::io(format!("cannot write '{}'", path.display())))
    }

    /// Where a segment stands in it, or is put.
    pub fn place(&self, segment: Segment) -> PathBuf {
        self.path().join(segment.to_string())
    }

    /// Removes one from it.
    pub fn remove(&self, segment: Segment) {
        // It goes with the folder in any case.
        let _ = fs::remove_file(self.place(segment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_its_line() {
        let line = "rmgr: Heap        len (rec/tot):     59/  8135, tx:        937, lsn: 0/DA000060, \
                    prev 0/DA000028, desc: LOCK off 10: xid 937: flags 0x01 , blkref #0: rel 1663/16384/16397 blk 1";
        let record = parse(line).expect("a record");
        assert_eq!((record.manager, record.xid), ("Heap", 937));
        assert_eq!((record.lsn, record.prev), (0xDA00_0060, 0xDA00_0028));
        assert!(record.what.starts_with("LOCK off 10"));
        assert_eq!(record.outcome(), None);
        assert_eq!(parse("first record is after 0/1, at 0/2, skipping over 1 bytes"), None);
    }

    #[test]
    fn an_outcome_names_its_files_and_subtransactions() {
        let line = |what: &str| {
            format!(
                "rmgr: Transaction len (rec/tot): 1/ 1, tx: 7, lsn: 0/8, prev 0/1, desc: {what}"
            )
        };
        let text = line(
            "COMMIT 2026-11-25 22:00:01.500000 UTC; rels: base/5/16390 pg_tblspc/9/PG_15_202209061/5/7; subxacts: 8 9; inval msgs: catcache 7",
        );
        let outcome = parse(&text).and_then(|record| record.outcome()).expect("an outcome");
        assert_eq!(outcome.at.to_string(), "2026-11-25T22:00:01.5Z");
        assert_eq!((outcome.xid, outcome.children), (7, vec![8, 9]));
        assert_eq!(outcome.removed, ["base/5/16390", "pg_tblspc/9/PG_15_202209061/5/7"]);
        let text = line("ABORT_PREPARED 12: 2026-11-25 22:00:01.000000 UTC");
        let outcome = parse(&text).and_then(|record| record.outcome()).expect("an outcome");
        assert_eq!((outcome.xid, outcome.committed), (12, false));
        let text = line("INVALIDATION ; inval msgs: catcache 7");
        assert_eq!(parse(&text).and_then(|record| record.outcome()), None);
    }
}
