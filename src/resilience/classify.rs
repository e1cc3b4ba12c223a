//! What an error means: for the breaker, for a retry, and for the connection it came on.
//!
//! A pure table from SQLSTATE (appendix A of PostgreSQL's documentation) to [`Class`], and from
//! there to three answers. The reasons: a server that *answers*, even with an error, is healthy; what
//! was rolled back may be repeated, what may have been committed may not; and a connection is kept
//! only when the protocol is known to be in step. Npgsql's critical codes, HikariCP's evictions and
//! Spring's translation were the peers compared.

use std::{error::Error as _, io};

use serde::Serialize;
use tokio_postgres::error::SqlState;

/// What went wrong, as coarse as the answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The connection broke or could not be made: I/O errors, a closed connection, SQLSTATE 08.
    Network,
    /// Our own deadline passed: the server may be hung, or the network a black hole.
    Timeout,
    /// The connection was lost around a commit; whether it happened is not known (08007, 40003).
    OutcomeUnknown,
    /// No connection slot is left (53300).
    ConnectionLimit,
    /// The server ran out of something else: disk, memory, a configured limit (53).
    Resource,
    /// An administrator or a crash ended the session (57P01, 57P02).
    Shutdown,
    /// The server is starting up, shutting down or recovering (57P03).
    Starting,
    /// The operating system failed the server, or its configuration file is bad (58, F0).
    System,
    /// Damaged data or index (XX001, XX002). Wake somebody; never repeat.
    Corruption,
    /// An internal error (XX000 and the rest of XX): often a bug that one query meets.
    Internal,
    /// The server takes no writes (25006): after a failover we talk to the wrong one.
    ReadOnly,
    /// Somebody cancelled the statement (57014), and it was not us.
    Cancelled,
    /// Serialization failure or deadlock (40001, 40P01): the transaction was chosen as the victim.
    Contention,
    /// A lock was not free within `lock_timeout`, or at once (55P03, 55006).
    LockBusy,
    /// The server ended a session that idled too long (25P03, 57P05).
    IdleTimeout,
    /// A statement was sent into a transaction that had failed before (25P02).
    FailedTransaction,
    /// Wrong role, password or database; nothing that waiting mends (28, 3D000, 57P04).
    Configuration,
    /// The statement or its data is at fault (22, 23, 42, P0, 0A and others). The server is healthy.
    Application,
}

/// What a breaker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A failure: counts towards every rule.
    Failure,
    /// A failure for the rate rule only: one bad query, sent five times, must not open alone.
    FailureByRateOnly,
    /// A failure that is a slow call as well, however long it took.
    SlowFailure,
    /// Nothing: it says nothing against the server.
    Ignored,
}

/// What may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Nothing: it would fail again, or the outcome is not known.
    Never,
    /// The call, if doing it twice is the same as doing it once, or if nothing was sent.
    IfIdempotent,
    /// The call, after a pause: the server says that it did nothing. (Inside a transaction this
    /// means the whole transaction.)
    Always,
    /// The whole transaction from its first statement, never the statement alone.
    WholeTransaction,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// It is in step and stays in the pool.
    Keep,
    /// It is in step; an open transaction on it must be rolled back.
    Rollback,
    /// It is dead, or not known to be in step.
    Discard,
    /// All connections of the pool lead to the wrong server.
    DiscardPool,
}

impl Class {
    /// Every class, in the order of declaration; for tables and tests.
    pub const ALL: [Self; 18] = [
        Self::Network,
        Self::Timeout,
        Self::OutcomeUnknown,
        Self::ConnectionLimit,
        Self::Resource,
        Self::Shutdown,
        Self::Starting,
        Self::System,
        Self::Corruption,
        Self::Internal,
        Self::ReadOnly,
        Self::Cancelled,
        Self::Contention,
        Self::LockBusy,
        Self::IdleTimeout,
        Self::FailedTransaction,
        Self::Configuration,
        Self::Application,
    ];

    /// What a breaker counts.
    pub const fn effect(self) -> Effect {
        match self {
            Self::Network
            | Self::OutcomeUnknown
            | Self::ConnectionLimit
            | Self::Resource
            | Self::Shutdown
            | Self::Starting
            | Self::System
            | Self::Corruption
            | Self::ReadOnly => Effect::Failure,
            Self::Timeout => Effect::SlowFailure,
            Self::Internal => Effect::FailureByRateOnly,
            Self::Cancelled
            | Self::Contention
            | Self::LockBusy
            | Self::IdleTimeout
            | Self::FailedTransaction
            | Self::Configuration
            | Self::Application => Effect::Ignored,
        }
    }

    /// What may be repeated. A busy lock is not: its waiter said how long to wait (`lock_timeout`,
    /// `NOWAIT`), and only the caller knows whether asking again makes sense.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Network | Self::Timeout | Self::Shutdown => Retry::IfIdempotent,
            Self::ConnectionLimit | Self::Resource | Self::Starting | Self::ReadOnly => {
                Retry::Always
            }
            Self::Contention => Retry::WholeTransaction,
            Self::OutcomeUnknown
            | Self::System
            | Self::Corruption
            | Self::Internal
            | Self::Cancelled
            | Self::LockBusy
            | Self::IdleTimeout
            | Self::FailedTransaction
            | Self::Configuration
            | Self::Application => Retry::Never,
        }
    }

    /// What becomes of the connection. A statement that somebody else cancelled has answered, so its
    /// connection is in step; one that we gave up on has not.
    pub const fn connection(self) -> Connection {
        match self {
            Self::Resource | Self::Application => Connection::Keep,
            Self::Cancelled | Self::Contention | Self::LockBusy | Self::FailedTransaction => {
                Connection::Rollback
            }
            Self::Network
            | Self::Timeout
            | Self::OutcomeUnknown
            | Self::ConnectionLimit
            | Self::Shutdown
            | Self::Starting
            | Self::System
            | Self::Corruption
            | Self::Internal
            | Self::IdleTimeout
            | Self::Configuration => Connection::Discard,
            Self::ReadOnly => Connection::DiscardPool,
        }
    }

    /// The stable word for metric labels and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::ConnectionLimit => "connection_limit",
            Self::Resource => "resource",
            Self::Shutdown => "shutdown",
            Self::Starting => "starting",
            Self::System => "system",
            Self::Corruption => "corruption",
            Self::Internal => "internal",
            Self::ReadOnly => "read_only",
            Self::Cancelled => "cancelled",
            Self::Contention => "contention",
            Self::LockBusy => "lock_busy",
            Self::IdleTimeout => "idle_timeout",
            Self::FailedTransaction => "failed_transaction",
            Self::Configuration => "configuration",
            Self::Application => "application",
        }
    }

    /// True when a person must look at once, whatever the breaker does.
    pub const fn is_critical(self) -> bool {
        matches!(self, Self::Corruption | Self::System)
    }

    /// The class of a SQLSTATE. A code that we do not know (a user's own, a newer server's) is the
    /// application's: whoever sends a code is alive.
    pub fn of_code(code: &str) -> Self {
        match code {
            "08007" | "40003" => Self::OutcomeUnknown,
            "53300" => Self::ConnectionLimit,
            "57P03" => Self::Starting,
            "57014" => Self::Cancelled,
            "25P03" | "57P05" => Self::IdleTimeout,
            "57P04" | "3D000" => Self::Configuration,
            "25006" => Self::ReadOnly,
            "25P02" => Self::FailedTransaction,
            "40000" | "40001" | "40P01" => Self::Contention,
            "55P03" | "55006" => Self::LockBusy,
            "XX001" | "XX002" => Self::Corruption,
            _ => match code.get(..2).unwrap_or_default() {
                "08" => Self::Network,
                "28" => Self::Configuration,
                "53" => Self::Resource,
                "57" => Self::Shutdown,
                "58" | "F0" => Self::System,
                "XX" => Self::Internal,
                _ => Self::Application,
            },
        }
    }

    /// The class of a driver's error. Errors without a SQLSTATE are the connection's, except for
    /// those of converting parameters and results, which are the application's.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(code) = error.code() {
            return Self::of_code(code.code());
        }
        let broken = error.is_closed()
            || error.source().is_some_and(|source| source.downcast_ref::<io::Error>().is_some());
        if broken || out_of_step(&error.to_string()) { Self::Network } else { Self::Application }
    }
}

/// True for the driver's words of a conversation that cannot go on. Its kinds are private, and these
/// carry no I/O error.
fn out_of_step(words: &str) -> bool {
    [
        "unexpected message",
        "error parsing response",
        "error communicating",
        "error connecting",
        "error performing TLS",
        "timeout waiting",
    ]
    .iter()
    .any(|start| words.starts_with(start))
}

impl From<&SqlState> for Class {
    fn from(state: &SqlState) -> Self {
        Self::of_code(state.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every row: codes; class; breaker, retry, connection.
    #[test]
    fn the_table_says_what_the_documentation_says() {
        use Class as C;
        use Connection::{Discard, DiscardPool, Keep, Rollback};
        use Effect::{Failure, FailureByRateOnly, Ignored};
        use Retry::{Always, IfIdempotent, Never, WholeTransaction};
        let table: &[(&[&str], Class, Effect, Retry, Connection)] = &[
            (
                &["08000", "08001", "08003", "08004", "08006", "08P01"],
                C::Network,
                Failure,
                IfIdempotent,
                Discard,
            ),
            (&["08007", "40003"], C::OutcomeUnknown, Failure, Never, Discard),
            (&["53000", "53100", "53200", "53400"], C::Resource, Failure, Always, Keep),
            (&["53300"], C::ConnectionLimit, Failure, Always, Discard),
            (&["57P01", "57P02", "57000"], C::Shutdown, Failure, IfIdempotent, Discard),
            (&["57P03"], C::Starting, Failure, Always, Discard),
            (&["58000", "58030", "58P01", "58P02", "F0000"], C::System, Failure, Never, Discard),
            (&["XX001", "XX002"], C::Corruption, Failure, Never, Discard),
            (&["XX000"], C::Internal, FailureByRateOnly, Never, Discard),
            (&["25006"], C::ReadOnly, Failure, Always, DiscardPool),
            (&["57014"], C::Cancelled, Ignored, Never, Rollback),
            (&["40001", "40P01"], C::Contention, Ignored, WholeTransaction, Rollback),
            (&["55P03", "55006"], C::LockBusy, Ignored, Never, Rollback),
            (&["25P03", "57P05"], C::IdleTimeout, Ignored, Never, Discard),
            (&["25P02"], C::FailedTransaction, Ignored, Never, Rollback),
            (&["28000", "28P01", "3D000", "57P04"], C::Configuration, Ignored, Never, Discard),
            (
                &[
                    "22012", "23505", "42601", "42P01", "P0001", "0A000", "21000", "54001",
                    "55000", "U0001", "", "é", "40002",
                ],
                C::Application,
                Ignored,
                Never,
                Keep,
            ),
        ];
        for (codes, class, effect, retry, connection) in table {
            for code in *codes {
                assert_eq!(Class::of_code(code), *class, "{code}");
            }
            assert_eq!(
                (class.effect(), class.retry(), class.connection()),
                (*effect, *retry, *connection),
                "{class:?}"
            );
        }
        assert_eq!(C::Timeout.effect(), Effect::SlowFailure);
        assert_eq!((C::Timeout.retry(), C::Timeout.connection()), (IfIdempotent, Discard));
    }

    #[test]
    fn labels_are_unique_and_fit_for_metrics() {
        let labels: HashSet<_> = Class::ALL.iter().map(|class| class.label()).collect();
        assert_eq!(labels.len(), Class::ALL.len());
        for label in labels {
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
            assert!(Class::ALL.iter().any(|c| serde_json::json!(c) == label), "{label}");
        }
    }

    #[test]
    fn only_damage_wakes_somebody() {
        let critical: Vec<_> = Class::ALL.into_iter().filter(|c| c.is_critical()).collect();
        assert_eq!(critical, [Class::System, Class::Corruption]);
        assert!(critical.iter().all(|c| c.retry() == Retry::Never));
    }

    #[tokio::test]
    async fn a_refused_connection_is_the_networks() {
        let dead: tokio_postgres::Config =
            "host=/nonexistent user=x connect_timeout=1".parse().expect("a configuration");
        let error = dead.connect(tokio_postgres::NoTls).await.map(|_| ()).expect_err("no server");
        assert_eq!(Class::of(&error), Class::Network);
    }
}
