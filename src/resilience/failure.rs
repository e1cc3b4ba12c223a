//! A statement that failed, explained.

use std::{error::Error as StdError, fmt};

use super::{classify::Class, connect::Cause};
use crate::base::text::Text;

/// A statement failed. `to_string()` names the cause, also when the driver knows only that the
/// connection is closed: a session that is killed while it is idle learns why only in the task that
/// reads its socket.
#[derive(Debug)]
pub struct QueryError(Box<Failure>);

/// Boxed: every call hands the room for its error through all that wrap it, and few need it.
#[derive(Debug)]
struct Failure {
    error: tokio_postgres::Error,
    class: Class,
    ended: Option<Cause>,
    sent: bool,
}

/// What the server cannot know about a failed statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// It ran for `statement_timeout` or longer, so that a cancel (57014) was our own doing.
    pub(super) timed_out: bool,
    /// Writing was to be expected here, so that 25006 means the wrong server.
    pub(super) writable: bool,
}

impl QueryError {
    /// `ended` is why the session is gone, if it is; `sent` is false when the statement cannot have
    /// reached the server.
    pub(super) fn new(
        error: tokio_postgres::Error,
        ended: Option<Cause>,
        sent: bool,
        about: Circumstances,
    ) -> Self {
        let class = match (Class::of(&error), &ended) {
            (Class::Network, Some(Cause::Server { code, .. })) => Class::of_code(code),
            (Class::Cancelled, _) if about.timed_out => Class::Timeout,
            (Class::ReadOnly, _) if !about.writable => Class::Application,
            (class, _) => class,
        };
        Self(Box::new(Failure { error, class, ended, sent }))
    }

    /// What it means.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The SQLSTATE: the server's answer, or what it ended the session with.
    pub fn code(&self) -> Option<&str> {
        match (self.0.error.code(), &self.0.ended) {
            (Some(code), _) => Some(code.code()),
            (None, Some(Cause::Server { code, .. })) => Some(code.as_str()),
            _ => None,
        }
    }

    /// Why the session is gone, as far as its own task knows.
    pub fn ended(&self) -> Option<&Cause> {
        self.0.ended.as_ref()
    }

    /// False when the statement cannot have reached the server, so that it may be repeated.
    pub fn sent(&self) -> bool {
        self.0.sent
    }

    /// The driver's error.
    pub fn driver(&self) -> &tokio_postgres::Error {
        &self.0.error
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.error.as_db_error(), &self.0.ended) {
            (Some(server), _) => {
                write!(f, "{} ({})", Text::one_line(server.message()), server.code().code())
            }
            (None, Some(cause)) => write!(f, "the connection is gone: {cause}"),
            (None, None) => match self.0.error.source() {
                Some(source) => write!(f, "{}: {source}", self.0.error),
                None => write!(f, "{}", self.0.error),
            },
        }
    }
}

impl StdError for QueryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0.error)
    }
}
