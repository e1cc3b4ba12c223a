//! A connection to PgBouncer's console, and the questions that it is asked.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::tables::{self, Table};
use crate::{
    base::{text::Text, units},
    resilience::{
        connect::{ConnectError, Connection, connect},
        conninfo::{Settings, TargetSession},
    },
    watch::snapshot::Problem,
};

/// Looks between two questions for the settings: they change by RELOAD only.
const SETTINGS_EVERY: u32 = 15;

/// A PgBouncer.
#[derive(Clone, Debug)]
pub struct Bouncer {
    /// The name that its pools refer to.
    pub name: Text,
    /// How to reach its console.
    pub settings: Settings,
    /// How often it is asked.
    pub period: Duration,
    /// Longest wait for a connection.
    pub connect_within: Duration,
    /// Longest wait for one answer of all that a look asks.
    pub answer_within: Duration,
}

impl Bouncer {
    /// The console at those settings, asked every 2 s, within 1 s for the connection and 1 s for the
    /// answers. Database, options and session kind are set to what a console understands.
    pub fn new(name: &str, settings: Settings) -> Self {
        let mut settings = settings.calling_itself("howdah");
        tables::CONSOLE.clone_into(&mut settings.dbname);
        settings.options = None;
        settings.target = TargetSession::Any;
        Self {
            name: Text::from(name),
            settings,
            period: Duration::from_secs(2),
            connect_within: Duration::from_secs(1),
            answer_within: Duration::from_secs(1),
        }
    }
}

/// Why the console told nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Connected, but no answer in time.
    #[error("no answer to {to} within {}", units::span(*.after))]
    NoAnswer {
        /// The question.
        to: &'static str,
        /// The limit.
        after: Duration,
    },
    /// What answers is not PgBouncer.
    #[error("what answers there is not PgBouncer's admin console: {0}")]
    NotAConsole(Text),
    /// It refuses a question that must be answered.
    #[error("{0} failed: {1}")]
    Refused(&'static str, Text),
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Lost(Text),
}

impl ConsoleError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(..)
            | Self::Connect(ConnectError::Server { .. } | ConnectError::NotAuthenticated { .. }) => {
                "add the role to stats_users in pgbouncer.ini, and RELOAD"
            }
            Self::Connect(ConnectError::Refused { .. } | ConnectError::NoSocket { .. }) => {
                "is PgBouncer running? check its service and its log, then host and port"
            }
            Self::Connect(ConnectError::DatabaseMissing { .. }) | Self::NotAConsole(_) => {
                "correct host and port: they must be PgBouncer's own"
            }
            Self::Connect(error) => error.remedy(),
            Self::NoAnswer { .. } => {
                "PgBouncer hangs: look at its process and its machine; clients wait there too"
            }
            Self::Lost(_) => "look into PgBouncer's log: it was stopped, restarted, or cut us off",
        }
    }

    /// The same in words for the person on call.
    pub fn problem(&self, bouncer: &Bouncer) -> Problem {
        let what = match self {
            Self::Connect(error) => error.to_string(),
            other => format!("{}: {other}", bouncer.settings.describe()),
        };
        Problem { what: Text::from(what), remedy: Text::ours(self.remedy()) }
    }
}

/// What a look at the console brought.
pub(super) struct Told {
    pub(super) pools: Table,
    pub(super) databases: Option<Table>,
    pub(super) max_clients: Option<u64>,
}

/// A live console.
pub(super) struct Console {
    connection: Connection,
    looks: u32,
    max_clients: Option<u64>,
}

impl Console {
    /// Connects and makes sure that PgBouncer answers.
    pub(super) async fn open(bouncer: &Bouncer) -> Result<Self, ConsoleError> {
        let connection = connect(&bouncer.settings, bouncer.connect_within).await?;
        let console = Self { connection, looks: 0, max_clients: None };
        let limit = bouncer.answer_within;
        let ping = timeout(limit, console.show("SHOW VERSION")).await;
        let answer =
            ping.map_err(|_| ConsoleError::NoAnswer { to: "SHOW VERSION", after: limit })?;
        let version = match answer {
            Ok(table) => table.and_then(|table| table.first().map(Text::foreign)),
            Err(ConsoleError::Refused(_, why)) => return Err(ConsoleError::NotAConsole(why)),
            Err(error) => return Err(error),
        };
        match version {
            Some(version) if version.starts_with("PgBouncer") => Ok(console),
            Some(other) => Err(ConsoleError::NotAConsole(other)),
            None => Err(ConsoleError::NotAConsole(Text::ours("it tells no version"))),
        }
    }

    /// Asks everything, within `limit` in all.
    pub(super) async fn look(&mut self, limit: Duration) -> Result<Told, ConsoleError> {
        let mut asked = "SHOW POOLS";
        let work = async {
            let pools = self.show(asked).await?;
            let unknown = || ConsoleError::Refused("SHOW POOLS", Text::ours("not supported"));
            let pools = pools.ok_or_else(unknown)?;
            asked = "SHOW DATABASES";
            let databases = self.show(asked).await?;
            if self.looks.is_multiple_of(SETTINGS_EVERY) {
                asked = "SHOW CONFIG";
                let config = self.show(asked).await?;
                self.max_clients = config.as_ref().and_then(tables::max_clients);
            }
            self.looks = self.looks.wrapping_add(1);
            Ok(Told { pools, databases, max_clients: self.max_clients })
        };
        let told = timeout(limit, work).await;
        told.map_err(|_| ConsoleError::NoAnswer { to: asked, after: limit })?
    }

    /// Has something done; `verb` is what it is called when it is refused.
    pub(super) async fn order(&self, verb: &'static str, words: &str) -> Result<(), ConsoleError> {
        match self.connection.client.simple_query(words).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_db_error() {
                Some(told) => ConsoleError::Refused(verb, Text::one_line(told.message())),
                None => ConsoleError::Lost(Text::one_line(&error.to_string())),
            }),
        }
    }

    /// One command by the simple protocol; `None` when this version does not know it.
    pub(super) async fn show(&self, command: &'static str) -> Result<Option<Table>, ConsoleError> {
        match self.connection.client.simple_query(command).await {
            Ok(messages) => Ok(Some(Table::of(&messages))),
            Err(error) => match error.as_db_error() {
                Some(told) if *told.code() == SqlState::PROTOCOL_VIOLATION => Ok(None),
                Some(told) => Err(ConsoleError::Refused(command, Text::one_line(told.message()))),
                None => Err(ConsoleError::Lost(Text::one_line(&error.to_string()))),
            },
        }
    }
}
