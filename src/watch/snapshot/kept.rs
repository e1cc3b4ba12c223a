//! What a backup repository holds, as its own manifests tell.

use std::time::Duration;

use serde::Serialize;

use super::{Known, Pitr, Rto};
use crate::base::{clock::Timestamp, text::Text};

/// A backup repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repository {
    /// Where it is.
    pub location: Text,
    /// The backups of this target, newest first. Failed ones are in it.
    pub backups: Vec<KeptBackup>,
    /// Up to where the WAL is in it, whole and readable back from there to its newest base backup.
    pub wal: Known<KeptWal>,
    /// How long a restore takes.
    pub rto: Known<Rto>,
    /// Which moments can be restored.
    pub pitr: Known<Pitr>,
}

impl Repository {
    /// The newest backup that is whole.
    pub fn newest(&self) -> Option<&KeptBackup> {
        self.backups.iter().find(|backup| matches!(backup.state, BackupState::Complete { .. }))
    }

    /// The newest attempt that has ended, well or badly.
    pub fn last_attempt(&self) -> Option<&KeptBackup> {
        self.backups.iter().find(|backup| backup.state != BackupState::Unfinished)
    }
}

/// One backup of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptBackup {
    /// Its name.
    pub id: Text,
    /// How it was taken: `physical` or `logical`, or another engine's word.
    pub method: Text,
    /// When it began; what it holds had been committed then.
    pub began: Timestamp,
    /// How long it took.
    pub duration: Option<Duration>,
    /// Bytes that it takes in the repository.
    pub size: Option<u64>,
    /// What became of it.
    pub state: BackupState,
}

/// What became of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    /// It is whole.
    Complete {
        /// The level of proof that its newest verification reached, 1 to 5; none when there was none yet.
        level: Option<u8>,
        /// What that verification found wrong, if it did.
        wrong: Option<Text>,
    },
    /// It failed.
    Failed {
        /// Why.
        why: Text,
        /// Somebody wanted it so.
        cancelled: bool,
    },
    /// It runs, or was killed.
    Unfinished,
    /// Its manifest cannot be read.
    Damaged {
        /// Why.
        why: Text,
    },
}

/// How far the WAL reaches in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeptWal {
    /// The timeline.
    pub timeline: u32,
    /// The position just after its last segment.
    pub end: u64,
    /// When that segment was put there.
    pub at: Timestamp,
}
