//! The manifest: what a backup is, in one file that is written last. Where there is no manifest there is no
//! backup.

mod id;
mod inventory;
mod position;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{claim::Cluster, sealed::Stored};
use crate::base::clock::{Timestamp, passed};
pub use id::{BackupId, Method};
pub use inventory::{Database, Inventory, Relation};
pub(in crate::recover) use position::as_text;
use position::lsn_text;
pub use position::{lsn, parse_lsn};

/// The format that this version writes. A manifest of a later one is refused by name, never guessed at.
pub const FORMAT: u32 = 1;

/// A backup as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// Its name.
    pub id: BackupId,
    /// How it was taken.
    pub method: Method,
    /// When it began: what a logical backup holds is what had been committed then.
    pub began: Timestamp,
    /// When its last file was safe.
    pub ended: Timestamp,
    /// The version of howdah that took it.
    pub howdah: String,
    /// The tool that took it, as it names itself: `pg_dump (PostgreSQL) 15.18`.
    pub tool: String,
    /// The cluster it is of.
    pub cluster: Origin,
    /// Its files, in the order in which they were written.
    pub files: Vec<File>,
    /// The WAL that belongs to it: none for a logical backup.
    pub wal: Option<WalSpan>,
    /// What was in the cluster besides rows, for comparison after a restore.
    pub inventory: Inventory,
    /// How long each phase took, in order.
    pub phases: Vec<Phase>,
}

/// The cluster that a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its system identifier. A text in JSON: it does not fit into a double.
    #[serde(with = "as_text")]
    pub system_identifier: u64,
    /// `server_version_num`: 150018 is 15.18.
    pub version: u32,
    /// Its timeline.
    pub timeline: u32,
    /// Host and port as they were connected to.
    pub host: String,
    /// Its data folder, where our role may see it.
    pub data_directory: Option<String>,
    /// It was a standby.
    pub standby: bool,
}

impl Origin {
    /// Which cluster it is.
    pub fn cluster(&self) -> Cluster {
        let (system_identifier, version) = (self.system_identifier, self.version);
        Cluster { system_identifier, version, segment_size: None }
    }
}

/// What a file of a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Role {
    /// Roles, tablespaces and their settings: SQL.
    Globals,
    /// One database in `pg_dump`'s custom format, not compressed by `pg_dump`.
    Dump {
        /// Its name.
        database: String,
    },
    /// The data folder, as a tar archive.
    Base,
    /// A tablespace, as a tar archive.
    Tablespace {
        /// Its number: the name of its link in `pg_tblspc`.
        oid: u32,
        /// Where it stood.
        location: String,
    },
    /// The WAL between the backup's start and its end, as a tar archive.
    Wal,
    /// PostgreSQL's own `backup_manifest`.
    BackupManifest,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is.
    #[serde(flatten)]
    pub role: Role,
    /// Where and how it is kept.
    #[serde(flatten)]
    pub stored: Stored,
}

/// The stretch of WAL that makes a physical backup consistent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSpan {
    /// The timeline it was taken on.
    pub timeline: u32,
    /// Recovery begins here.
    #[serde(with = "lsn_text")]
    pub start: u64,
    /// Recovery must come at least this far.
    #[serde(with = "lsn_text")]
    pub stop: u64,
    /// Bytes in a segment.
    pub segment_size: u64,
}

/// One phase of a run and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

impl Manifest {
    /// How long the backup took.
    pub fn duration(&self) -> Duration {
        passed(self.began, self.ended)
    }

    /// Bytes that it takes in the repository.
    pub fn stored_size(&self) -> u64 {
        self.files.iter().map(|file| file.stored.size).sum()
    }

    /// Bytes that it holds, unpacked.
    pub fn content_size(&self) -> u64 {
        self.files.iter().map(|file| file.stored.content_size).sum()
    }
}

/// An attempt that became no backup: kept so that its reason stands in history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The name that it would have had.
    pub id: BackupId,
    /// How it was taken.
    pub method: Method,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why, in words.
    pub why: String,
    /// The step it was in.
    pub step: String,
    /// Somebody wanted it so.
    pub cancelled: bool,
}

/// How far a backup's word has been tested. Each level includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Its files are those that were written: sizes and hashes.
    L1,
    /// Their structure is sound: every member read, tables of contents, row counts.
    L2,
    /// The WAL that it needs is there without a gap, and sound.
    L3,
    /// It was restored, and a server came up on it.
    L4,
    /// Structure of tables and indexes (`pg_amcheck`), counts and fingerprints are as they were.
    L5,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}", *self as u8 + 1)
    }
}

/// The outcome of one verification of one backup; kept beside its manifest, one object each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The backup.
    pub id: BackupId,
    /// When.
    pub at: Timestamp,
    /// The level that was reached; none when not even its files were as written.
    pub reached: Option<Level>,
    /// The level that was asked for.
    pub asked: Level,
    /// What was found wrong, each naming the thing. Empty when nothing was.
    pub findings: Vec<String>,
}

impl Verification {
    /// Whether both looked as far and found the same.
    pub fn same_outcome(&self, other: &Self) -> bool {
        let outcome = |v: &Self| (v.reached, v.asked, v.findings.clone());
        outcome(self) == outcome(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered() {
        assert!(Level::L1 < Level::L5);
        assert_eq!(Level::L3.to_string(), "L3");
    }
}
