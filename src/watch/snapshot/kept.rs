//! What a backup repository holds, as its own manifests tell.

use std::time::Duration;

use serde::Serialize;

use super::{Known, Pitr, Rto, Timeline};
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
    /// The same as a line of time.
    pub timeline: Known<Timeline>,
    /// The proofs, newest first.
    pub proofs: Vec<KeptProof>,
    /// What `howdah backup expire` would remove.
    pub expiry: Known<Expiry>,
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

/// What another backup engine keeps of this cluster, as that engine tells it. Its word is not our proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineHistory {
    /// Which engine, and its name for this cluster: `pgBackRest main`.
    pub name: Text,
    /// Its backups, newest first; failed ones and running ones are in it.
    pub backups: Vec<KeptBackup>,
    /// What the engine itself finds wrong with its repository.
    pub complaints: Vec<Text>,
}

impl EngineHistory {
    /// The newest backup that it calls whole.
    pub fn newest(&self) -> Option<&KeptBackup> {
        self.backups.iter().find(|backup| backup.is_whole())
    }
}

/// One backup of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptBackup {
    /// Its name.
    pub id: Text,
    /// How it was taken: `physical` or `logical`; of another engine how much it holds, such as `full`.
    pub method: Text,
    /// When it began; what it holds had been committed then.
    pub began: Timestamp,
    /// How long it took.
    pub duration: Option<Duration>,
    /// Bytes that it takes in the repository.
    pub size: Option<u64>,
    /// When it was last verified.
    pub verified: Option<Timestamp>,
    /// What became of it.
    pub state: BackupState,
}

impl KeptBackup {
    /// True when there is something to restore from.
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, BackupState::Complete { .. })
    }

    /// Why it came to nothing that can be relied on. One that somebody cancelled did not fail.
    pub const fn failure(&self) -> Option<&Text> {
        match &self.state {
            BackupState::Failed { cancelled: false, why } | BackupState::Damaged { why } => {
                Some(why)
            }
            BackupState::Complete { wrong, .. } => wrong.as_ref(),
            BackupState::Failed { cancelled: true, .. } | BackupState::Unfinished => None,
        }
    }
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

/// A restore that was made to see whether it can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptProof {
    /// Its name.
    pub name: Text,
    /// The backup that it was made of.
    pub backup: Text,
    /// When it began.
    pub at: Timestamp,
    /// What came of it.
    pub verdict: ProofVerdict,
    /// The level of proof that the backup reached, 1 to 5.
    pub level: Option<u8>,
    /// How long it took until the first write.
    pub rto: Option<Duration>,
    /// At most so much would have been lost.
    pub rpo: Option<Duration>,
    /// It ran with settings that a real cluster must not have: a real restore takes longer.
    pub drill: bool,
    /// Why it is not better than that.
    pub findings: Vec<Text>,
}

/// What came of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofVerdict {
    /// The backup comes back, within its targets.
    Proven,
    /// It comes back, and a target is missed.
    TargetMissed,
    /// It does not come back.
    Failed,
    /// It does not come back because what is kept is damaged.
    Damaged,
}

/// What would be removed, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expiry {
    /// Every backup of so many days stays.
    pub days: u32,
    /// The newest so many of each kind stay, however old.
    pub at_least: usize,
    /// The backups that would go, oldest first.
    pub going: Vec<Text>,
    /// Files of WAL that would go; none when it cannot be told which are needed.
    pub wal: Option<u64>,
    /// Bytes that would become free.
    pub freed: u64,
    /// When this was found.
    pub at: Timestamp,
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
