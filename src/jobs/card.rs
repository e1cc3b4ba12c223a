//! What stands in `job.json` and `result.json`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::JobError;
use crate::base::{
    clock::Timestamp,
    ledger::{Target, Who},
    process::Identity,
    text::Text,
};

/// A job's name: the moment at which it was started and two letters, such as `20261109-020000-ka`. Later
/// jobs sort behind earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// A name for a job that starts now; two of one second differ by their letters, most probably.
    pub(super) fn new(now: Timestamp) -> Self {
        let letter = || char::from(b'a' + rand::random_range(0..26_u8));
        let moment = now.strftime("%Y%m%d-%H%M%S");
        Self(format!("{moment}-{}{}", letter(), letter()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        // It becomes the name of a folder: nothing that leads out of it.
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || !text.chars().all(good) {
            return Err(JobError::NotAnId(text.into()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What it does: the ledger's dotted word, such as `backup.run`.
    pub what: Text,
    /// The words that it was started with; secrets are masked.
    pub arguments: Vec<Text>,
    /// The folder in which it was started.
    pub folder: Text,
    /// On what.
    pub target: Option<Target>,
    /// Why, as the person said.
    pub why: Option<Text>,
    /// What it is known by to whoever had it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Text>,
    /// Who started it.
    pub who: Who,
    /// On which machine.
    pub host: Text,
    /// When.
    pub started: Timestamp,
    /// During which start of that machine; `None` where the system does not say.
    pub boot: Option<String>,
    /// Its process; `None` until that has begun.
    pub process: Option<Identity>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It did what it was to do.
    Done,
    /// It failed.
    Failed,
    /// Its end was wished for, and it cleaned up.
    Cancelled,
}

/// What a job's own process says at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Why, unless it is done.
    pub reason: Option<Text>,
    /// The exit code of its process.
    pub exit: u8,
    /// When.
    pub ended: Timestamp,
}
