//! Other backup engines: their history beside our own, their checks, verifications and restores.
//!
//! | file | its duty |
//! |---|---|
//! | [`access`] | which engines a target has, and how each is called: account, deadline, cancel |
//! | [`pgbackrest`], [`barman`], [`walg`] | what each says, read into the plain types of this file |
//! | `chain` | gaps between archived segments, by their names |
//! | [`own`] | our own backups as the same plain type |
//! | [`restore`] | a restore by an engine: the plan, then the deed |
//!
//! No exit code is believed alone: pgBackRest 2.45 ends with 0 for a repository without a stanza, and for
//! one whose files are damaged. pgBackRest and Barman are tested as they run; WAL-G by its documented output
//! alone.

pub mod access;
pub mod barman;
mod chain;
pub mod own;
pub mod pgbackrest;
pub mod restore;
pub mod walg;

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use access::Access;

use super::{Fault, Kind, Result};
use crate::base::{clock::Timestamp, text::Text};

/// Who took a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// We.
    Howdah,
    /// pgBackRest.
    PgBackRest,
    /// Barman.
    Barman,
    /// WAL-G.
    WalG,
}

impl Engine {
    /// Its name, as it writes it itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Howdah => "howdah",
            Self::PgBackRest => "pgBackRest",
            Self::Barman => "Barman",
            Self::WalG => "WAL-G",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How much of the cluster a backup holds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it.
    Full,
    /// What has changed since the last full one.
    Differential,
    /// What has changed since the backup before.
    Incremental,
    /// Databases as statements and rows.
    Logical,
}

impl Extent {
    /// In one word of the field.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Differential => "diff",
            Self::Incremental => "incr",
            Self::Logical => "logical",
        }
    }
}

/// What became of a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum State {
    /// Its engine says that it is whole.
    Whole,
    /// It cannot be relied upon.
    Failed {
        /// Why.
        reason: Text,
    },
    /// It is being taken, or waits for its WAL.
    Running {
        /// How much of it is done, 0 to 100, where the engine tells.
        percent: Option<f64>,
    },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Running { percent: Some(percent) } => write!(f, "running, {percent:.0} %"),
            Self::Running { percent: None } => f.write_str("running"),
        }
    }
}

/// First and last of something: segments by name, or log positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub first: Text,
    /// The last.
    pub last: Text,
}

/// A tablespace of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// Its name.
    pub name: String,
    /// Where it stood when the backup was taken.
    pub location: String,
}

/// One backup, whoever took it. What its engine does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backup {
    /// Who took it.
    pub engine: Engine,
    /// Its name there.
    pub id: Text,
    /// How much it holds.
    pub extent: Option<Extent>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Bytes that it adds to the repository.
    pub stored: Option<u64>,
    /// Bytes of the cluster that it brings back.
    pub cluster: Option<u64>,
    /// Segments of WAL that make it consistent.
    pub wal: Option<Span>,
    /// Log positions at which it began and ended.
    pub lsn: Option<Span>,
    /// Of which cluster it is. A text in JSON: it does not fit into a double.
    #[serde(serialize_with = "as_text")]
    pub system_identifier: Option<u64>,
    /// The backup that it builds upon.
    pub parent: Option<Text>,
    /// What became of it.
    pub state: State,
}

impl Backup {
    /// One of which nothing is known but its name.
    pub(crate) fn named(engine: Engine, id: impl Into<Text>, state: State) -> Self {
        Self {
            engine,
            id: id.into(),
            extent: None,
            began: None,
            ended: None,
            stored: None,
            cluster: None,
            wal: None,
            lsn: None,
            system_identifier: None,
            parent: None,
            state,
        }
    }

    /// How it was taken, in words: `pgBackRest incr`, `howdah logical`.
    pub fn method(&self) -> Text {
        match self.extent {
            Some(extent) => format!("{} {}", self.engine, extent.word()).into(),
            None => self.engine.name().into(),
        }
    }

    /// How long it took, where both ends are known and in order.
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from(self.ended?.duration_since(self.began?)).ok()
    }

    /// True when its engine says that it is whole.
    pub fn whole(&self) -> bool {
        self.state == State::Whole
    }

    /// The moment it is sorted by: when it began, else when it ended. A running one is the newest.
    fn moment(&self) -> Timestamp {
        self.began.or(self.ended).unwrap_or(match self.state {
            State::Running { .. } => Timestamp::MAX,
            _ => Timestamp::MIN,
        })
    }
}

/// What an engine keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// Its backups, the newest first.
    pub backups: Vec<Backup>,
    /// What the engine itself finds wrong with its repository.
    pub complaints: Vec<Text>,
}

impl History {
    /// The newest backup that is whole.
    pub fn newest_whole(&self) -> Option<&Backup> {
        self.backups.iter().find(|backup| backup.whole())
    }

    /// Adds what another engine keeps, the newest first.
    pub fn add(&mut self, other: Self) {
        self.backups.extend(other.backups);
        self.complaints.extend(other.complaints);
        self.sort();
    }

    fn sort(&mut self) {
        self.backups.sort_by_key(|backup| std::cmp::Reverse(backup.moment()));
    }
}

/// What a check or a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong, each naming the thing. Empty when nothing was found.
    pub findings: Vec<Text>,
    /// What was looked at, and what else is worth knowing.
    pub notes: Vec<Text>,
}

/// Output that is not what the engine is documented to print.
fn not_understood(engine: Engine, command: &str, why: impl fmt::Display) -> Fault {
    let what = format!("what {engine} says to '{command}' cannot be understood: {why}");
    Fault::new(Kind::Damaged, what)
        .remedy(format!("run it by hand to see it, and check which version of {engine} this is"))
}

/// JSON as an engine printed it.
fn read_json<T: serde::de::DeserializeOwned>(
    engine: Engine,
    command: &str,
    text: &[u8],
) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| not_understood(engine, command, error))
}

/// A moment in seconds since 1970.
fn seconds(engine: Engine, seconds: i64) -> Result<Timestamp> {
    Timestamp::from_second(seconds)
        .map_err(|_| not_understood(engine, "list", format!("{seconds} is no moment")))
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn as_text<S: Serializer>(
    number: &Option<u64>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(serializer)
}

/// A number that some versions write as a text.
fn number_or_text<'de, D: Deserializer<'de>, T: std::str::FromStr + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Number(T),
        Text(String),
    }
    match Option::<Either<T>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(format!("'{text}' is no number"))),
        },
    }
}
