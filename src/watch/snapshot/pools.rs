//! Pools and circuit breakers, whoever keeps them.

use std::time::Duration;

use serde::Serialize;

use crate::base::{clock::Stamp, text::Text};

/// A pool of connections, whoever keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// Its name, unique within its source.
    pub name: Text,
    /// The name of the [`Source`](super::Source) that told us.
    pub source: Text,
    /// Whose pool it is.
    pub kind: PoolKind,
    /// Connections that work for somebody.
    pub in_use: Option<u64>,
    /// Connections that wait for work.
    pub idle: Option<u64>,
    /// The most it may open; `None` when unlimited or not told.
    pub max: Option<u64>,
    /// Callers that wait for a connection.
    pub waiting: Option<u64>,
    /// How long callers wait.
    pub wait: Option<Wait>,
    /// Callers that gave up waiting, since the application started.
    pub timeouts: Option<u64>,
    /// Share of `max` in use over the last samples, oldest first, 0 to 1; NaN where nothing was seen.
    pub trend: Vec<f32>,
    /// What else is to be known of it, such as `paused`.
    pub note: Option<Text>,
}

impl Pool {
    /// True for the pool of a PgBouncer's database that serves nobody until it is resumed.
    pub fn is_paused(&self) -> bool {
        let paused = self.note.as_ref().is_some_and(|note| note.starts_with("paused"));
        paused && self.kind == PoolKind::PgBouncer
    }

    /// The database of a PgBouncer's pool, of which each role has one: `app` of `app/anna`.
    pub fn database(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Share of the maximum in use, 0 to 1.
    pub fn share(&self) -> Option<f64> {
        match (self.in_use, self.max) {
            (Some(used), Some(max)) if max > 0 => Some(used as f64 / max as f64),
            _ => None,
        }
    }
}

/// Whose pool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// The server's connection slots.
    Server,
    /// The console's own connection.
    Own,
    /// An application's pool.
    Application,
    /// A PgBouncer pool (a pair of database and user).
    PgBouncer,
}

/// How long callers wait for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// The wait.
    pub value: Duration,
    /// Which wait that is.
    pub meaning: WaitMeaning,
}

/// Which wait a pool tells us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitMeaning {
    /// The longest that somebody waits right now.
    LongestNow,
    /// The mean over the last interval.
    MeanRecent,
    /// The 99th percentile over the last interval.
    P99Recent,
    /// The longest over the exporter's own window.
    MaxRecent,
}

/// A circuit breaker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breaker {
    /// Its name, unique within its source.
    pub name: Text,
    /// The name of the [`Source`](super::Source) that told us.
    pub source: Text,
    /// What it does now.
    pub state: BreakerState,
    /// Since when; when we saw it change, or when we first looked (see `since_exact`).
    pub since: Option<Stamp>,
    /// False when `since` is the moment that we first looked.
    pub since_exact: bool,
    /// Share of failed calls in its window, 0 to 1; `None` below the minimum volume.
    pub failure_rate: Option<f64>,
    /// Share of slow calls in its window, 0 to 1.
    pub slow_rate: Option<f64>,
    /// Calls in its window.
    pub calls: Option<u64>,
    /// When an open breaker lets the next probe through.
    pub next_try: Option<Stamp>,
    /// Probes of a half-open breaker: succeeded, wanted.
    pub probes: Option<(u32, u32)>,
    /// Calls refused since the application started.
    pub rejected: Option<u64>,
}

/// What a circuit breaker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Lets calls through.
    Closed,
    /// Refuses calls.
    Open,
    /// Lets a few probes through.
    HalfOpen,
    /// Switched off by a person: passes and counts.
    Disabled,
    /// Held open by a person.
    ForcedOpen,
    /// Counts only.
    MetricsOnly,
    /// The source says a word or number that its profile does not know.
    Unknown,
}

impl BreakerState {
    /// The word on screen, at most eleven cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF-OPEN",
            Self::Disabled => "DISABLED",
            Self::ForcedOpen => "FORCED OPEN",
            Self::MetricsOnly => "METRICS",
            Self::Unknown => "UNKNOWN",
        }
    }
}
