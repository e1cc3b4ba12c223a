//! Why there is no connection, told apart by what the person must do.

use std::{path::PathBuf, time::Duration};

use super::progress::Stage;
use crate::{
    base::{text::Text, units},
    resilience::tls::TlsProblem,
};

/// No connection, and why. `to_string()` names the thing; [`ConnectError::remedy`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address.
    #[error("cannot resolve the host name {host:?}: {reason}")]
    Unresolved {
        /// The name.
        host: Text,
        /// The resolver's words.
        reason: Text,
    },
    /// The machine is there, and nothing listens on that port.
    #[error("{host} refused the connection: no server listens there")]
    Refused {
        /// `host:port`.
        host: Text,
    },
    /// There is no such socket file.
    #[error("there is no socket {}: no server listens there", .path.display())]
    NoSocket {
        /// The file looked for.
        path: PathBuf,
    },
    /// The socket file is there and we may not use it.
    #[error("not allowed to use the socket {}", .path.display())]
    SocketDenied {
        /// The file.
        path: PathBuf,
    },
    /// Another failure of the network, such as "no route to host".
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// `host:port`.
        host: Text,
        /// The system's words.
        reason: Text,
    },
    /// No answer in time.
    #[error("no connection to {host} within {}: {stage}", units::span(*.after))]
    TimedOut {
        /// `host:port`.
        host: Text,
        /// How far it came.
        stage: Stage,
        /// The limit that was reached.
        after: Duration,
    },
    /// The server accepted the connection and closed it before the session stood.
    #[error("{host} closed the connection while we logged in")]
    Dropped {
        /// `host:port`.
        host: Text,
    },
    /// Something else than PostgreSQL answers there.
    #[error("what answers at {host} does not speak PostgreSQL's protocol: {what}")]
    Garbage {
        /// `host:port`.
        host: Text,
        /// The driver's words.
        what: Text,
    },
    /// The server wants a password and none was given.
    #[error("{host} wants a password for {user:?}, and there is none{}", note(.ignored.as_ref()))]
    PasswordMissing {
        /// `host:port`.
        host: Text,
        /// The role.
        user: Text,
        /// A passfile that was there and not used, and why.
        ignored: Option<Text>,
    },
    /// The server does not take the password.
    #[error("{host} does not take the password of {user:?}{}", note(.ignored.as_ref()))]
    PasswordWrong {
        /// `host:port`.
        host: Text,
        /// The role.
        user: Text,
        /// A passfile that was there and not used, and why.
        ignored: Option<Text>,
    },
    /// No rule of pg_hba.conf lets us in, or one keeps us out.
    #[error("pg_hba.conf on {host} does not let us in: {message}")]
    NoPgHbaEntry {
        /// `host:port`.
        host: Text,
        /// The server's words; they name our address, role, database and encryption.
        message: Text,
    },
    /// Another way of authentication failed, or the role may not log in.
    #[error("{host} does not let {user:?} in: {message}")]
    NotAuthenticated {
        /// `host:port`.
        host: Text,
        /// The role.
        user: Text,
        /// The server's words.
        message: Text,
    },
    /// The server wants a way of authentication that we do not have, or has none that we want.
    #[error("cannot log in to {host}: {what}")]
    NoCommonMethod {
        /// `host:port`.
        host: Text,
        /// The driver's words.
        what: Text,
    },
    /// There is no such database.
    #[error("there is no database {dbname:?} on {host}")]
    DatabaseMissing {
        /// `host:port`.
        host: Text,
        /// The database.
        dbname: Text,
    },
    /// The database is there and not for us: no CONNECT privilege, or it allows no connections.
    #[error("{host} does not open the database {dbname:?} to us: {message}")]
    DatabaseDenied {
        /// `host:port`.
        host: Text,
        /// The database.
        dbname: Text,
        /// The server's words.
        message: Text,
    },
    /// No connection slot is free (53300).
    #[error("{host} has no free connection slot: {slots}")]
    TooManyConnections {
        /// `host:port`.
        host: Text,
        /// Which slots are used up.
        slots: Slots,
    },
    /// The server is there and does not take connections now (57P03, 57P01, 57P02).
    #[error("{host} does not take connections: {state}")]
    Unready {
        /// `host:port`.
        host: Text,
        /// What it is doing.
        state: Unready,
    },
    /// TLS was wanted and the server has none.
    #[error("{host} does not offer TLS")]
    NoTls {
        /// `host:port`.
        host: Text,
    },
    /// TLS failed: certificates, versions, files.
    #[error("no TLS with {host}: {problem}")]
    Tls {
        /// `host:port`.
        host: Text,
        /// What is wrong.
        problem: TlsProblem,
    },
    /// The other end of the unix socket belongs to somebody else than `requirepeer` says.
    #[error("the server behind {host} runs as {found:?}, not as {wanted:?}")]
    WrongPeer {
        /// The socket.
        host: Text,
        /// The value of `requirepeer`.
        wanted: Text,
        /// Who it is.
        found: Text,
    },
    /// A session, but not of the kind that `target_session_attrs` wants.
    #[error("{host} is {found}, and target_session_attrs={wanted} asks for another")]
    WrongSession {
        /// `host:port`.
        host: Text,
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The server refused the session for another reason.
    #[error("{host}: {message} ({code})")]
    Server {
        /// `host:port`.
        host: Text,
        /// The SQLSTATE.
        code: Text,
        /// The server's words.
        message: Text,
    },
    /// Several hosts were tried and none would do; one error each, in the order of trying.
    #[error("no host would do: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoHost(Vec<ConnectError>),
}

/// Which connection slots are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// All, the reserved ones too.
    All,
    /// The ordinary ones; those reserved for superusers (and for members of
    /// pg_use_reserved_connections) are left.
    Ordinary,
    /// Those of the role (`ALTER ROLE ... CONNECTION LIMIT`).
    OfRole,
    /// Those of the database (`ALTER DATABASE ... CONNECTION LIMIT`).
    OfDatabase,
}

impl std::fmt::Display for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all of max_connections are used, the reserved ones too",
            Self::Ordinary => "only those reserved for superusers are left",
            Self::OfRole => "the connection limit of the role is reached",
            Self::OfDatabase => "the connection limit of the database is reached",
        })
    }
}

/// What a server does that takes no connections now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It has just been started.
    StartingUp,
    /// It replays WAL after a crash, or as a standby that has not reached a consistent state.
    Recovering,
    /// It is being stopped.
    ShuttingDown,
    /// It is a standby that does not allow queries (`hot_standby = off`).
    NotHotStandby,
    /// Another state, in the server's words.
    Other(Text),
}

impl std::fmt::Display for Unready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StartingUp => f.write_str("it is starting up"),
            Self::Recovering => f.write_str("it is in recovery and not yet consistent"),
            Self::ShuttingDown => f.write_str("it is shutting down"),
            Self::NotHotStandby => f.write_str("it is a standby without hot_standby"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

fn note(ignored: Option<&Text>) -> String {
    ignored.map_or_else(String::new, |ignored| format!(" ({ignored})"))
}

impl ConnectError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => {
                "check the spelling of the host and the resolver of this machine"
            }
            Self::Refused { .. } | Self::NoSocket { .. } => {
                "start the server, or correct host and port (ss -ltnp, pg_lsclusters)"
            }
            Self::SocketDenied { .. } => "connect over TCP, or as a user who may enter the folder",
            Self::Unreachable { .. } => "check network, route and firewall between here and there",
            Self::TimedOut { stage, .. } => match stage {
                Stage::Resolve => "check the resolver of this machine, or give hostaddr",
                Stage::Connect => {
                    "check that the machine is up and that no firewall drops the port"
                }
                _ => {
                    "look at the server's machine: stopped or swapping processes, full disk, storage"
                }
            },
            Self::Dropped { .. } => {
                "look into the server's log; a proxy in between may have no backend"
            }
            Self::Garbage { .. } => "correct host and port: another service listens there",
            Self::PasswordMissing { .. } => {
                "put it into ~/.pgpass (mode 0600), PGPASSWORD or the service file"
            }
            Self::PasswordWrong { .. } => "correct the password, or set it again with \\password",
            Self::NoPgHbaEntry { .. } => {
                "add a line to pg_hba.conf and reload, or come from an allowed address"
            }
            Self::NotAuthenticated { .. } => {
                "correct the role, or its entry in pg_hba.conf or pg_ident.conf"
            }
            Self::NoCommonMethod { .. } => {
                "use a method both sides have: scram-sha-256 or a certificate"
            }
            Self::DatabaseMissing { .. } => "correct dbname (psql -l lists them)",
            Self::DatabaseDenied { .. } => "GRANT CONNECT ON DATABASE, or choose another database",
            Self::TooManyConnections { slots, .. } => match slots {
                Slots::All | Slots::Ordinary => {
                    "end idle sessions or find the pool that leaks; a superuser may still get in"
                }
                Slots::OfRole => "raise the role's CONNECTION LIMIT or use fewer sessions",
                Slots::OfDatabase => "raise the database's CONNECTION LIMIT or use fewer sessions",
            },
            Self::Unready { state, .. } => match state {
                Unready::StartingUp | Unready::Recovering => {
                    "wait; the server's log tells how far the replay has come"
                }
                Unready::ShuttingDown => "wait for the restart, or find out who stops it",
                Unready::NotHotStandby | Unready::Other(_) => "connect to another server",
            },
            Self::NoTls { .. } => {
                "set ssl = on on the server, or ask for less than sslmode=require"
            }
            Self::Tls { problem, .. } => problem.remedy(),
            Self::WrongPeer { .. } => "correct requirepeer, or find out who listens there",
            Self::WrongSession { .. } => {
                "add the other servers to host, or ask for another session"
            }
            Self::Server { .. } => "the server's log tells more",
            Self::NoHost(errors) => errors.last().map_or("name a host", Self::remedy),
        }
    }

    /// True when trying again without a change by a person cannot help: a wrong password, a missing
    /// database, a refused certificate. A role that is wrong on one host is wrong until it is corrected.
    pub fn permanent(&self) -> bool {
        match self {
            Self::PasswordMissing { .. }
            | Self::PasswordWrong { .. }
            | Self::NoPgHbaEntry { .. }
            | Self::NotAuthenticated { .. }
            | Self::NoCommonMethod { .. }
            | Self::DatabaseMissing { .. }
            | Self::DatabaseDenied { .. }
            | Self::NoTls { .. }
            | Self::Tls { .. }
            | Self::WrongPeer { .. }
            | Self::SocketDenied { .. }
            | Self::Garbage { .. } => true,
            // Data exceptions, unknown settings, syntax: our own startup packet is wrong.
            Self::Server { code, .. } => {
                ["22", "42", "0A", "3D"].iter().any(|c| code.starts_with(c))
            }
            Self::Unready { state, .. } => *state == Unready::NotHotStandby,
            Self::Unresolved { .. }
            | Self::Refused { .. }
            | Self::NoSocket { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Dropped { .. }
            | Self::TooManyConnections { .. }
            | Self::WrongSession { .. } => false,
            // One host that may come back is enough to go on.
            Self::NoHost(errors) => errors.iter().all(Self::permanent),
        }
    }

    /// True when another host of the list may do better. libpq ends at the first server that refuses
    /// the login; we go on from one that has no slot free or is not ready, because that is what a list of
    /// hosts is for.
    pub(super) fn next_host_may_help(&self) -> bool {
        matches!(
            self,
            Self::Unresolved { .. }
                | Self::Refused { .. }
                | Self::NoSocket { .. }
                | Self::SocketDenied { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Dropped { .. }
                | Self::TooManyConnections { .. }
                | Self::Unready { .. }
                | Self::WrongSession { .. }
        )
    }
}
