//! Checks that ask nobody: they judge what the sources said.
//!
//! The classes of alert are those of the deployment checklist: critical are a breaker open for more
//! than a minute, a failed health check and an exhausted pool; warnings are high connection wait,
//! elevated ping latency and a high share of idle connections.

mod connections;
mod disks;
mod recovery;
#[cfg(test)]
mod tests;

use super::{ParseError, Spec, parse};
use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
    },
    watch::snapshot::{
        Breaker, EngineHistory, Finding, Folder, Freshness, Known, Link, Pool, Recoverability,
        Repository, Server, Source,
    },
};

/// What the sources said.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The moment of judging.
    pub now: Stamp,
    /// When watching began, and every source was first asked.
    pub began: Stamp,
    /// Our own connection.
    pub link: &'a Link,
    /// The server's connections, if it told.
    pub server: Option<&'a Server>,
    /// Every pool.
    pub pools: &'a [Pool],
    /// Every breaker.
    pub breakers: &'a [Breaker],
    /// Every source.
    pub sources: &'a [Source],
    /// Folders of this machine that must not run out of room.
    pub folders: &'a [Folder],
    /// What the backup repository holds.
    pub kept: &'a Known<Repository>,
    /// What other backup engines keep, each by its name.
    pub engines: &'a [(Text, Known<EngineHistory>)],
    /// What could be brought back.
    pub recoverability: &'a Recoverability,
    /// The moment of judging, for people.
    pub wall: Timestamp,
}

/// How a derived check finds its subjects.
type Find = fn(&Facts<'_>) -> Vec<Finding>;

/// A derived check: what it is, and how it finds its subjects and their values.
pub struct Derived {
    /// Its specification, from `assets/checks/derived.txt`.
    pub spec: Spec,
    /// Finds the subjects and their values; nothing is judged yet. What is not known is found without a
    /// value, because nothing found would mean nothing wrong.
    pub find: Find,
}

/// The id of the check that fires when the server does not answer; it mutes the checks that depend
/// on the server.
pub const SERVER_UNREACHABLE: &str = "server_unreachable";

/// The name of the server among the sources.
pub const SERVER: &str = "server";

/// The name of this machine's disks among the sources.
pub const DISKS: &str = "disks";

/// Every derived check.
pub fn all() -> Result<Vec<Derived>, ParseError> {
    let specs = parse::derived(include_str!("../../../../assets/checks/derived.txt"))?;
    specs.into_iter().map(|spec| Ok(Derived { find: finder(&spec)?, spec })).collect()
}

fn finder(spec: &Spec) -> Result<Find, ParseError> {
    Ok(match spec.id.as_str() {
        SERVER_UNREACHABLE => connections::server_unreachable,
        "ping_latency" => connections::ping_latency,
        "pool_exhausted" => connections::pool_exhausted,
        "pool_wait" => connections::pool_wait,
        "pgbouncer_paused" => connections::pgbouncer_paused,
        "idle_share" => connections::idle_share,
        "breaker_open" => connections::breaker_open,
        "source_silent" => connections::source_silent,
        "backup_failed" => recovery::backup_failed,
        "backup_missing" => recovery::backup_missing,
        "backup_age" => recovery::backup_age,
        "backup_unproven" => recovery::backup_unproven,
        "rpo_missed" => recovery::rpo_missed,
        "rto_missed" => recovery::rto_missed,
        "pitr_gap" => recovery::pitr_gap,
        "disk_used_pct" => disks::disk_used,
        "disk_full_in" => disks::disk_full,
        other => {
            let what = "it has neither a query nor a function of its name".to_owned();
            return Err(ParseError { id: other.to_owned(), what });
        }
    })
}

fn finding(subject: &str, value: f64, detail: &str) -> Finding {
    Finding {
        subject: subject.into(),
        value: Some(value),
        detail: Text::foreign(detail),
        severity: None,
    }
}

/// What a source said, if it is new: old figures, or none, say nothing about now, neither good nor bad.
fn as_seen(facts: &Facts<'_>, source: &Text, found: Finding) -> Finding {
    let source = facts.sources.iter().find(|known| known.name == *source);
    if source.is_some_and(|source| source.freshness(facts.now) == Freshness::Fresh) {
        return found;
    }
    Finding {
        value: None,
        detail: Text::ours("its source is silent: what it told, if anything, is old"),
        ..found
    }
}
