//! Everything that is shown, as immutable plain data.
//!
//! The sampler publishes one [`Snapshot`] after another; the console, `howdah status` and its JSON
//! all draw from the same. What is not known says why ([`Known`]); what is old is told from the
//! stamp of its source ([`Source::freshness`]). Nothing here reads a clock.

mod disks;
mod health;
mod jobs;
mod kept;
mod known;
mod pools;
mod recovery;
mod server;
mod source;
mod timeline;

use serde::Serialize;

pub use self::{
    disks::{Disk, Folder},
    health::{Alert, AlertState, Check, CheckState, Finding, Severity, Silence},
    jobs::{Job, JobState, Lease},
    kept::{
        BackupState, EngineHistory, Expiry, KeptBackup, KeptProof, KeptWal, ProofVerdict,
        Repository,
    },
    known::Known,
    pools::{Breaker, BreakerState, Pool, PoolKind, Wait, WaitMeaning},
    recovery::{ArchiveMode, Archiver, Backup, Pitr, Recoverability, Rpo, Rto, RunningBackup},
    server::{Application, Environment, Identity, Link, LinkState, Problem, Role, Server, Target},
    source::{Cost, Freshness, Source, SourceKind},
    timeline::{BaseBackup, Reach, Timeline, WalPoint},
};
use crate::base::clock::{Stamp, Timestamp};

/// One consistent sight of a target and of everything around it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// When it was put together, monotonic.
    pub at: Stamp,
    /// When it was put together, for people.
    pub wall: Timestamp,
    /// What we look at.
    pub target: Target,
    /// Our own connection to it.
    pub link: Link,
    /// Who answered there.
    pub identity: Known<Identity>,
    /// Its connections.
    pub server: Known<Server>,
    /// What could be brought back, and how soon.
    pub recoverability: Recoverability,
    /// Pools from every source.
    pub pools: Vec<Pool>,
    /// Circuit breakers from every source.
    pub breakers: Vec<Breaker>,
    /// Every check with its last result.
    pub checks: Vec<Check>,
    /// What is wrong, worst first.
    pub alerts: Vec<Alert>,
    /// What is known of backups and of the WAL archive.
    pub backup: Backup,
    /// Long work that runs or ran, the latest first.
    pub jobs: Known<Vec<Job>>,
    /// Folders of this machine that must not run out of room.
    pub folders: Vec<Folder>,
    /// Where the facts come from.
    pub sources: Vec<Source>,
    /// What watching costs the server.
    pub cost: Cost,
}

impl Snapshot {
    /// The source of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.name == name)
    }

    /// How old the facts of that source are at `now`; a source that is not listed has never answered.
    pub fn freshness(&self, source: &str, now: Stamp) -> Freshness {
        self.source(source).map_or(Freshness::Never, |source| source.freshness(now))
    }
}
