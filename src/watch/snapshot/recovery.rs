//! What could be brought back, and what is known of backups.

use std::time::Duration;

use serde::Serialize;

use super::{EngineHistory, Known, Repository};
use crate::base::{clock::Timestamp, text::Text};

/// If this machine died now: how much would be lost, how soon would we be back, and to which moments
/// could we return.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recoverability {
    /// What would be lost.
    pub rpo: Known<Rpo>,
    /// How long a restore takes.
    pub rto: Known<Rto>,
    /// Which moments can be restored.
    pub pitr: Known<Pitr>,
    /// The promise for the RPO.
    pub rpo_target: Duration,
    /// The promise for the RTO.
    pub rto_target: Duration,
}

/// What would be lost if this machine died this second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rpo {
    /// Age of the oldest commit that is not yet safe outside this machine.
    pub loss: Duration,
    /// What makes the rest safe, the best of all ways.
    pub source: Text,
    /// True when `loss` is only an upper bound, because we have not watched for long enough.
    pub at_most: bool,
    /// The other ways with their figures, for the detail view.
    pub ways: Vec<(Text, Known<Duration>)>,
}

/// How long a restore takes, as measured by one that really ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rto {
    /// The measurement, scaled to today's size.
    pub expected: Duration,
    /// When it was measured.
    pub measured: Timestamp,
    /// By what: `a drill` or `a restore`, and its record.
    pub source: Text,
}

/// Which moments can be restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pitr {
    /// The earliest moment.
    pub from: Timestamp,
    /// The latest moment.
    pub to: Timestamp,
    /// Stretches inside it that cannot be reached.
    pub gaps: u32,
}

/// What is known of backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Backup {
    /// The server's WAL archiver.
    pub archiver: Known<Archiver>,
    /// The backup repository; unknown until one is configured.
    pub repository: Known<Repository>,
    /// What other backup engines keep, each by its name; unknown until it has answered.
    pub engines: Vec<(Text, Known<EngineHistory>)>,
    /// Base backups being taken now, from `pg_stat_progress_basebackup`.
    pub running: Vec<RunningBackup>,
}

/// A base backup that is being taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunningBackup {
    /// The walsender's process.
    pub pid: i32,
    /// PostgreSQL's word for what it does now.
    pub phase: Text,
    /// Bytes sent.
    pub done: u64,
    /// Bytes in all, if estimated.
    pub total: Option<u64>,
}

/// The server's WAL archiver, as `pg_stat_archiver` and the settings tell it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Archiver {
    /// What the settings ask for.
    pub mode: ArchiveMode,
    /// Segments archived since the statistics were reset.
    pub archived: u64,
    /// The last one.
    pub last_wal: Option<Text>,
    /// When it was archived.
    pub last_at: Option<Timestamp>,
    /// When it was finished, to the second below: everything before is in the archive. Known while its
    /// status file is there and our role may list them.
    pub finished: Option<Timestamp>,
    /// Failed attempts since the statistics were reset.
    pub failed: u64,
    /// The segment of the last failure.
    pub last_failed_wal: Option<Text>,
    /// When the last failure was.
    pub last_failed_at: Option<Timestamp>,
    /// True while the newest event is a failure.
    pub failing: bool,
    /// Segments that wait to be archived, and since when the oldest waits.
    pub ready: Known<(u64, Option<Timestamp>)>,
}

/// What the settings ask of the archiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveMode {
    /// `archive_mode = off`.
    Off,
    /// Archiving is on, but neither a command nor a library is set: WAL piles up.
    NoCommand,
    /// Archiving.
    On,
    /// Archiving on a standby too.
    Always,
}
