//! The manifest: what a backup is, in one file that is written last. Where there is no manifest there is no
//! backup.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{claim::Cluster, sealed::Stored};
use crate::{
    base::clock::Timestamp,
    recover::{Fault, Kind as FaultKind},
};

/// The format that this version writes. A manifest of a later one is refused by name, never guessed at.
pub const FORMAT: u32 = 1;

/// What a backup is called: when it began and of which kind, such as `20261125T020000Z-physical`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The name of a backup that begins at this moment.
    pub fn new(began: Timestamp, method: Method) -> Self {
        Self(format!("{}-{method}", began.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it began, to the second.
    pub fn began(&self) -> Timestamp {
        // It was readable when this was made.
        moment(&self.0).unwrap_or_default()
    }

    /// How it was, or is, taken.
    pub fn method(&self) -> Method {
        if self.0.ends_with("-logical") { Method::Logical } else { Method::Physical }
    }
}

/// The moment that a name begins with: `20261125T020000Z`.
fn moment(name: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| name.get(range);
    let (date, time) = (part(0..8)?, name.get(8..16)?.strip_prefix('T')?);
    let text = format!(
        "{}-{}-{}T{}:{}:{}",
        date.get(..4)?,
        date.get(4..6)?,
        date.get(6..)?,
        time.get(..2)?,
        time.get(2..4)?,
        time.get(4..)?
    );
    text.parse().ok()
}

impl FromStr for BackupId {
    type Err = Fault;
    fn from_str(name: &str) -> Result<Self, Fault> {
        let fits = name.split_once('-').is_some_and(|(at, method)| {
            at.len() == 16 && moment(at).is_some() && matches!(method, "logical" | "physical")
        });
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(Fault::new(FaultKind::Usage, format!("'{name}' is not the name of a backup"))
                .remedy("`howdah backup list` shows them"))
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = Fault;
    fn try_from(name: String) -> Result<Self, Fault> {
        name.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By `pg_dump` and `pg_dumpall --globals-only`: databases as statements and rows.
    Logical,
    /// By `pg_basebackup`: the data folder, with the WAL that makes it consistent.
    Physical,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Logical => "logical",
            Self::Physical => "physical",
        })
    }
}

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

/// What was in the cluster besides rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Roles by name.
    pub roles: Vec<String>,
    /// Tablespaces: name to place.
    pub tablespaces: BTreeMap<String, String>,
    /// The databases.
    pub databases: Vec<Database>,
}

/// One database of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its number: the name of its folder.
    pub oid: u32,
    /// Its size in bytes, by `pg_database_size`.
    pub size: u64,
    /// Encoding, `LC_COLLATE`, and the version of the collation library that sorted its indexes.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The collation library's version; none where the server does not tell.
    pub collation_version: Option<String>,
    /// Extensions: name to version.
    pub extensions: BTreeMap<String, String>,
    /// Large objects.
    pub large_objects: u64,
    /// Its tables, sequences and materialized views.
    pub relations: Vec<Relation>,
}

/// One relation of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`: `r` table, `p` partitioned table, `S` sequence, `m` materialized view.
    pub kind: char,
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_class.relfilenode`, with the tablespace it stands in (0: the database's own): from WAL back to a
    /// name. 0 for what has no file.
    pub filenode: u32,
    /// `pg_class.reltablespace`.
    pub tablespace: u32,
    /// Unlogged: a physical restore brings it back empty.
    pub unlogged: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its rows, exactly, where they are known: a table's as they stood in the dump, a materialized view's as the
    /// server counted them in the dump's snapshot.
    pub rows: Option<u64>,
    /// The largest value of a single-column primary key, as text, or a sequence's last value.
    pub last: Option<String>,
    /// Seconds that its rows took in the backup: weights of the next one's progress.
    pub seconds: Option<f64>,
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
        Duration::try_from(self.ended.duration_since(self.began)).unwrap_or_default()
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

/// A log position as PostgreSQL writes it: `16/B374D848`.
pub fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

/// Reads a log position.
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |digits: &str| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(in crate::recover) mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::recover) fn serialize<S: Serializer>(
        number: &u64,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(&number.to_string())
    }

    pub(in crate::recover) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<u64, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
mod lsn_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(position: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::lsn(*position))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = String::deserialize(d)?;
        super::parse_lsn(&text)
            .ok_or_else(|| D::Error::custom(format!("'{text}' is no log position")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_postgresql_does() {
        assert_eq!(lsn(0x16_B374_D848), "16/B374D848");
        assert_eq!(parse_lsn("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(parse_lsn("16"), None);
    }

    #[test]
    fn a_name_says_when_and_how_and_nothing_else_is_one() {
        let at: Timestamp = "2026-11-25T02:00:00Z".parse().expect("a time");
        let id = BackupId::new(at, Method::Physical);
        assert_eq!(id.as_str(), "20261125T020000Z-physical");
        assert_eq!(id.as_str().parse::<BackupId>().expect("a name"), id);
        assert_eq!((id.began(), id.method()), (at, Method::Physical));
        for name in
            ["", "20261399T020000Z-logical", "../x", "20261125T020000Z-other", "20261125T020000Z"]
        {
            assert!(name.parse::<BackupId>().is_err(), "{name}");
        }
    }

    #[test]
    fn levels_are_ordered() {
        assert!(Level::L1 < Level::L5);
        assert_eq!(Level::L3.to_string(), "L3");
    }
}
