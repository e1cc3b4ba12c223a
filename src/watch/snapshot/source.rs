//! Where facts come from, whether they are still worth believing, and what they cost.

use std::time::Duration;

use serde::Serialize;

use super::Problem;
use crate::base::{clock::Stamp, text::Text};

/// Something that tells us facts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// Its name, unique; pools and breakers refer to it.
    pub name: Text,
    /// What it is.
    pub kind: SourceKind,
    /// Where it is, without secrets.
    pub address: Text,
    /// How often it is asked.
    pub period: Duration,
    /// The last time that it answered well.
    pub last_good: Option<Stamp>,
    /// What is wrong with it now.
    pub problem: Option<Problem>,
    /// How long the last answer took.
    pub latency: Option<Duration>,
    /// Lines of its last answer that could not be read.
    pub unreadable: u32,
}

impl Source {
    /// How old its facts are at `now`. They are stale when an answer is overdue by half a period,
    /// and one second at the least.
    pub fn freshness(&self, now: Stamp) -> Freshness {
        let Some(last_good) = self.last_good else { return Freshness::Never };
        let age = now.since(last_good);
        let grace = (self.period / 2).max(Duration::from_millis(800));
        if age > self.period + grace { Freshness::Stale(age) } else { Freshness::Fresh }
    }
}

/// What tells us facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The PostgreSQL server.
    Server,
    /// An application's metrics endpoint.
    Metrics,
    /// PgBouncer's admin console.
    PgBouncer,
    /// A backup repository.
    Repository,
    /// The folder of this user's jobs.
    Jobs,
    /// Another backup engine.
    Engine,
    /// What somebody has silenced.
    Silences,
    /// The disks of this machine.
    Disks,
}

/// Whether facts are still worth believing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has never answered.
    Never,
    /// It answered when it should have.
    Fresh,
    /// Its last good answer is that old.
    Stale(Duration),
}

/// What watching costs the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Connections that we hold.
    pub connections: u32,
    /// Statements in the last minute.
    pub statements_per_minute: u32,
    /// Time that the server was busy with them in the last minute, as seen from here: the round
    /// trips, so an upper bound.
    pub busy_per_minute: Duration,
}
