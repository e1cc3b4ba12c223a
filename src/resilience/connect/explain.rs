//! From the driver's errors to ours.

use std::io;

use tokio_postgres::error::{DbError, SqlState};

use super::{
    error::{ConnectError, Slots, Unready},
    fate::{io_error, is_garbage},
};
use crate::{base::text::Text, resilience::tls::TlsProblem};

/// What an attempt knew when it failed.
pub(super) struct Attempted<'a> {
    pub(super) host: &'a Text,
    pub(super) user: &'a str,
    pub(super) dbname: &'a str,
    pub(super) had_password: bool,
    pub(super) ignored: Option<&'a Text>,
}

impl Attempted<'_> {
    /// What the driver's error means.
    pub(super) fn explain(&self, error: &tokio_postgres::Error) -> ConnectError {
        if let Some(server) = error.as_db_error() {
            return self.explain_refusal(server);
        }
        let host = self.host.clone();
        if error.is_closed() {
            return ConnectError::Dropped { host };
        }
        let words = with_cause(error);
        let Some(io) = io_error(error) else {
            // The driver keeps these kinds private; its own words tell them apart.
            return if words.contains("does not support TLS") {
                ConnectError::NoTls { host }
            } else if words.contains("password missing") {
                ConnectError::PasswordMissing {
                    host,
                    user: Text::foreign(self.user),
                    ignored: self.ignored.cloned(),
                }
            } else if words.starts_with("authentication error") {
                ConnectError::NoCommonMethod { host, what: with_cause(error) }
            } else {
                ConnectError::Garbage { host, what: with_cause(error) }
            };
        };
        if let Some(rustls::Error::InvalidMessage(_)) = io.get_ref().and_then(|e| e.downcast_ref())
        {
            return ConnectError::Garbage { host, what: with_cause(error) };
        }
        if let Some(problem) = TlsProblem::below(io) {
            return ConnectError::Tls { host, problem };
        }
        match io.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => ConnectError::Dropped { host },
            io::ErrorKind::TimedOut => {
                ConnectError::Unreachable { host, reason: Text::foreign(&io.to_string()) }
            }
            _ if is_garbage(io) => ConnectError::Garbage { host, what: with_cause(error) },
            _ => ConnectError::Unreachable { host, reason: Text::foreign(&io.to_string()) },
        }
    }

    /// What the server's refusal means. Messages may be in any language, so that codes and the names of
    /// the server's own functions decide where they can.
    fn explain_refusal(&self, server: &DbError) -> ConnectError {
        let host = self.host.clone();
        let message = Text::one_line(server.message());
        let user = Text::foreign(self.user);
        let dbname = Text::foreign(self.dbname);
        let ignored = self.ignored.cloned();
        let routine = server.routine().unwrap_or_default();
        match *server.code() {
            SqlState::INVALID_PASSWORD if self.had_password => {
                ConnectError::PasswordWrong { host, user, ignored }
            }
            SqlState::INVALID_PASSWORD => ConnectError::PasswordMissing { host, user, ignored },
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                if routine == "ClientAuthentication" || message.contains("pg_hba.conf") =>
            {
                ConnectError::NoPgHbaEntry { host, message }
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                ConnectError::NotAuthenticated { host, user, message }
            }
            SqlState::INVALID_CATALOG_NAME => ConnectError::DatabaseMissing { host, dbname },
            SqlState::INSUFFICIENT_PRIVILEGE | SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
                if matches!(routine, "CheckMyDatabase" | "InitPostgres") =>
            {
                ConnectError::DatabaseDenied { host, dbname, message }
            }
            SqlState::TOO_MANY_CONNECTIONS => {
                let slots = match routine {
                    "InitPostgres" => Slots::Ordinary,
                    "InitializeSessionUserId" => Slots::OfRole,
                    "CheckMyDatabase" => Slots::OfDatabase,
                    _ => Slots::All,
                };
                ConnectError::TooManyConnections { host, slots }
            }
            SqlState::CANNOT_CONNECT_NOW => {
                ConnectError::Unready { host, state: unready(server.message()) }
            }
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                ConnectError::Unready { host, state: Unready::ShuttingDown }
            }
            _ => ConnectError::Server { host, code: Text::foreign(server.code().code()), message },
        }
    }
}

/// Four states share 57P03; only the words tell them apart, and only in English.
fn unready(message: &str) -> Unready {
    let says = |words| message.contains(words);
    if says("shutting down") {
        Unready::ShuttingDown
    } else if says("starting up") {
        Unready::StartingUp
    } else if says("in recovery") || says("not yet accepting") {
        Unready::Recovering
    } else if says("not accepting connections") {
        Unready::NotHotStandby
    } else {
        Unready::Other(Text::one_line(message))
    }
}

/// The driver's words and those of what lies below.
fn with_cause(error: &tokio_postgres::Error) -> Text {
    match std::error::Error::source(error) {
        Some(cause) => Text::one_line(&format!("{error}: {cause}")),
        None => Text::one_line(&error.to_string()),
    }
}
