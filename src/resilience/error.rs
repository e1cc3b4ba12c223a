//! A call that gave no answer, and what follows from it: for the breaker, for another attempt, for the caller.

use std::time::Duration;

use super::{
    breaker::{Mode, Refused, Verdict},
    classify::{Class, Effect},
    failure::QueryError,
    pool::AcquireError,
    retry::Again,
};
use crate::base::units;

/// A call that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The breaker did not let it through; nothing was sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There was no session for it; nothing was sent.
    #[error(transparent)]
    NoSession(Box<AcquireError>),
    /// The statement failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The deadline passed.
    #[error("no answer within {}{}", units::span(*.after), if *.sent { "" } else { ": waited for a session" })]
    Deadline {
        /// How long this attempt was given.
        after: Duration,
        /// True when a session was there and a statement may have reached the server.
        sent: bool,
    },
    /// The statement returned another number of rows than asked for.
    #[error("{found} rows came where {wanted} was wanted")]
    RowCount {
        /// What was wanted.
        wanted: &'static str,
        /// How many came.
        found: usize,
    },
    /// The transaction was ended by `COMMIT`, and whether it happened is not known.
    #[error("whether the transaction was committed is not known: {0}")]
    CommitUnknown(#[source] Box<Error>),
    /// A statement of the transaction failed and its code went on regardless: it was rolled back.
    #[error("a statement of the transaction failed before, so it was rolled back")]
    FailedBefore,
    /// A transaction was used after it had ended.
    #[error("the transaction has ended")]
    Finished,
    /// The application's own reason to roll a transaction back.
    #[error("rolled back: {0}")]
    Own(Box<dyn std::error::Error + Send + Sync>),
}

impl From<AcquireError> for Error {
    fn from(error: AcquireError) -> Self {
        Self::NoSession(Box::new(error))
    }
}

impl Error {
    /// Wraps the application's own reason to roll a transaction back.
    pub fn own(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Own(reason.into())
    }

    /// What it means; `None` for what the server has no part in.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Query(error) => Some(error.class()),
            Self::NoSession(error) => error.class(),
            Self::Deadline { sent: true, .. } => Some(Class::Timeout),
            Self::CommitUnknown(_) => Some(Class::OutcomeUnknown),
            Self::FailedBefore => Some(Class::FailedTransaction),
            Self::Refused(_)
            | Self::Deadline { .. }
            | Self::RowCount { .. }
            | Self::Finished
            | Self::Own(_) => None,
        }
    }

    /// The SQLSTATE, when there is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Query(error) => error.code(),
            Self::CommitUnknown(error) => error.code(),
            _ => None,
        }
    }

    /// True when a statement may have reached the server.
    pub(super) fn sent(&self) -> bool {
        match self {
            Self::Query(error) => error.sent(),
            Self::Deadline { sent, .. } => *sent,
            Self::Refused(_) | Self::NoSession(_) => false,
            _ => true,
        }
    }

    /// What the breaker is told.
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::Bad(self.class().map_or(Effect::Ignored, Class::effect))
    }

    pub(super) fn again(&self, idempotent: bool) -> Again {
        match (self, self.class()) {
            // Nobody was bothered, so it costs no budget either.
            (Self::Refused(refused), _) if refused.mode == Mode::Auto => {
                Again::Unspent(refused.retry_in.unwrap_or_default())
            }
            (_, Some(class)) => Again::statement(class, idempotent, self.sent()),
            (_, None) => Again::No,
        }
    }
}
