//! The target, our connection to it, and who answers there.

use std::time::Duration;

use serde::Serialize;

use super::Known;
use crate::base::{
    clock::{Stamp, Timestamp},
    text::Text,
};

/// What the user asked to look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// Its name in the configuration, or the database's.
    pub name: Text,
    /// What kind of place it is; decides the colour of the identity bar and the care taken.
    pub environment: Environment,
    /// `host:port/database as user`, without a password.
    pub address: Text,
    /// Nothing may be changed through this console.
    pub read_only: bool,
}

/// The kind of place a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Real users' data.
    Production,
    /// A rehearsal of production.
    Staging,
    /// A developer's.
    Development,
    /// Made by `howdah demo`, thrown away after.
    Demo,
    /// Nobody said: treated with production's care.
    #[default]
    Unknown,
}

impl Environment {
    /// The word on the identity bar, at most five cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Production => "PROD",
            Self::Staging => "STAGE",
            Self::Development => "DEV",
            Self::Demo => "DEMO",
            Self::Unknown => "ENV ?",
        }
    }
}

/// The state of our own connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// The first attempt is under way.
    #[default]
    Connecting,
    /// The last probe was answered in time.
    Live,
    /// Connected, but the last probe was not answered within its deadline.
    Hung,
    /// There is no connection.
    Down,
    /// The server answered and will not let us in: trying again will not help without a change.
    Refused,
}

/// Our own connection to the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Link {
    /// What it is now.
    pub state: LinkState,
    /// Since when it is so.
    pub since: Stamp,
    /// The last time that the server answered a probe.
    pub last_answer: Option<Stamp>,
    /// Round trip of the last answered probe.
    pub latency: Option<Duration>,
    /// Attempts since the connection was lost.
    pub attempt: u32,
    /// When the next attempt starts.
    pub next_try: Option<Stamp>,
    /// What went wrong, and what to do about it.
    pub problem: Option<Problem>,
}

/// Something that went wrong, in words for the person on call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// What happened, naming the thing.
    pub what: Text,
    /// What to do about it; empty when there is nothing to advise.
    pub remedy: Text,
}

/// Who answered at the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// Primary or standby.
    pub role: Role,
    /// `server_version`, such as `15.18`.
    pub version: Text,
    /// `server_version_num`, such as 150018.
    pub version_num: u32,
    /// The current timeline; from the WAL file name on a primary, because `pg_control_checkpoint()`
    /// still shows the old one right after a promotion.
    pub timeline: Option<u32>,
    /// The 64-bit system identifier of the cluster.
    pub system_identifier: u64,
    /// When the postmaster started.
    pub started: Timestamp,
    /// The role that we are logged in as.
    pub user: Text,
    /// The database that we are connected to.
    pub database: Text,
    /// True when `default_transaction_read_only` or recovery refuses writes.
    pub read_only: bool,
}

/// The role of a server in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// In recovery.
    Standby,
}

/// The server's own view of its connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Server {
    /// Its clock when it answered.
    pub clock: Option<Timestamp>,
    /// Client backends; background processes do not count.
    pub sessions: u32,
    /// `max_connections`.
    pub max_connections: u32,
    /// Slots that an ordinary role cannot have: `superuser_reserved_connections` and, from
    /// PostgreSQL 16, `reserved_connections`.
    pub reserved: u32,
    /// Sessions executing a statement.
    pub active: Known<u32>,
    /// Sessions between statements, outside a transaction.
    pub idle: Known<u32>,
    /// Sessions between statements, inside a transaction.
    pub idle_in_transaction: Known<u32>,
    /// Sessions that wait for a heavyweight lock.
    pub waiting: Known<u32>,
    /// Transactions per second over the last interval, all databases.
    pub tps: Option<f64>,
    /// Sessions by `application_name`, most first.
    pub applications: Vec<Application>,
}

/// The sessions of one `application_name`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Application {
    /// The name that its clients give.
    pub name: Text,
    /// All of them.
    pub sessions: u32,
    /// Executing a statement.
    pub active: u32,
    /// Between statements, outside a transaction.
    pub idle: u32,
    /// Between statements, inside a transaction.
    pub idle_in_transaction: u32,
}

impl Server {
    /// Slots that an ordinary role can have.
    pub const fn usable(&self) -> u32 {
        self.max_connections.saturating_sub(self.reserved)
    }
}
