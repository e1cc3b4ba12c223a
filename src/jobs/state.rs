//! How a job is, judged from outside.

use std::time::Duration;

use serde::Serialize;

use super::card::{Card, End, Outcome};
use crate::base::{clock::Timestamp, process, text::Text};

/// How a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Its process has not said yet that it runs.
    Starting,
    /// It runs.
    Running,
    /// It did what it was to do.
    Done,
    /// It failed, for this reason, and cleaned up.
    Failed {
        /// Why.
        reason: Text,
    },
    /// Its end was wished for, and it cleaned up.
    Cancelled {
        /// By what.
        reason: Text,
    },
    /// Its process is gone and left no result; what its open steps have left is still there.
    Lost {
        /// What became of the process, as far as can be told.
        why: Text,
    },
    /// Nobody here can tell: it belongs to another machine.
    Unknown {
        /// Why.
        why: Text,
    },
}

/// A process that has not said within this time that it runs will not do so any more.
const STARTING: Duration = Duration::from_secs(30);

impl State {
    /// The word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Lost { .. } => "lost",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Why it is so, where there is something to say.
    pub fn reason(&self) -> Option<&Text> {
        match self {
            Self::Starting | Self::Running | Self::Done => None,
            Self::Failed { reason } | Self::Cancelled { reason } => Some(reason),
            Self::Lost { why } | Self::Unknown { why } => Some(why),
        }
    }

    /// True when nothing more will come of it.
    pub const fn over(&self) -> bool {
        matches!(
            self,
            Self::Done | Self::Failed { .. } | Self::Cancelled { .. } | Self::Lost { .. }
        )
    }

    /// How a job is that has ended by itself.
    pub(super) fn ended(outcome: &Outcome) -> Self {
        let reason = outcome.reason.clone().unwrap_or_default();
        match outcome.end {
            End::Done => Self::Done,
            End::Failed => Self::Failed { reason },
            End::Cancelled => Self::Cancelled { reason },
        }
    }

    /// How a job is that has left no result.
    pub(super) fn without_result(card: &Card, here: &Here, now: Timestamp) -> Self {
        let lost = |why: &'static str| Self::Lost { why: Text::ours(why) };
        if card.host != here.host {
            let why = format!("it was started on '{}', which cannot be seen from here", card.host);
            return Self::Unknown { why: why.into() };
        }
        if card.boot.is_some() && card.boot != here.boot {
            return lost("the machine was restarted under it");
        }
        match &card.process {
            Some(process) if process.alive() => Self::Running,
            Some(_) => lost("its process was killed or has died: it left no result"),
            None if now.duration_since(card.started).unsigned_abs() < STARTING => Self::Starting,
            None => lost("its process never began"),
        }
    }
}

/// Where this reader is.
pub(super) struct Here {
    pub host: Text,
    pub boot: Option<String>,
}

impl Here {
    pub fn now() -> Self {
        let host = process::host();
        Self { host: host.into(), boot: process::boot() }
    }
}
