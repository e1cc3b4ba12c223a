//! Long work that runs, or ran, in processes of its own.

use serde::Serialize;

use crate::base::{clock::Timestamp, progress::Measured, text::Text};

/// A job of this user on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its name, such as `20261109-020000-ka`.
    pub id: Text,
    /// What it does: the ledger's dotted word, such as `backup.run`.
    pub what: Text,
    /// The command that it runs; secrets are masked.
    pub command: Text,
    /// Who started it.
    pub who: Text,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended; none while it runs, or when nobody can tell.
    pub ended: Option<Timestamp>,
    /// How it is.
    pub state: JobState,
    /// How far its present phase is.
    pub progress: Option<Measured>,
    /// The last step that it began.
    pub step: Option<Text>,
    /// When it last said something.
    pub last_word: Option<Timestamp>,
    /// What a job that is over has left to be put away.
    pub left: Vec<Text>,
    /// What it holds, if it is a lease.
    pub lease: Option<Lease>,
}

/// A database of a target's PgBouncer that a job keeps paused. Its end comes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The target's name.
    pub target: Text,
    /// The database, as PgBouncer's clients call it.
    pub database: Text,
    /// When RESUME comes.
    pub until: Timestamp,
    /// Why, as the person said.
    pub why: Option<Text>,
}

/// How a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Its process has not said yet that it runs.
    Starting,
    /// It runs.
    Running,
    /// It did what it was to do.
    Done,
    /// It failed, for this reason.
    Failed(Text),
    /// Its end was wished for.
    Cancelled(Text),
    /// Its process is gone and left no result.
    Lost(Text),
    /// Nobody here can tell, for this reason.
    Unknown(Text),
}

impl JobState {
    /// True while it may still say something.
    pub const fn runs(&self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Why it is so, where there is something to say.
    pub const fn reason(&self) -> Option<&Text> {
        match self {
            Self::Starting | Self::Running | Self::Done => None,
            Self::Failed(why) | Self::Cancelled(why) | Self::Lost(why) | Self::Unknown(why) => {
                Some(why)
            }
        }
    }
}
