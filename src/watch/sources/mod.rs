//! Where facts come from: applications' metrics endpoints, PgBouncer's admin console, a backup repository,
//! the folder of jobs.

pub mod address;
pub mod disks;
pub mod endpoint;
pub mod exposition_text;
pub mod interpret;
pub mod keeper;
pub mod pace;
pub mod pgbouncer;
pub mod profile;
pub mod profiles;
pub mod scrape;
pub mod selector;

use super::snapshot::{Breaker, EngineHistory, Folder, Job, Pool, Repository, Silence, Source};

/// What one attempt to ask a source brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The source, with its problem if there is one.
    pub source: Source,
    /// True when pools and breakers are what this attempt told. False when it failed: then there are
    /// none here, and the last ones stay known and grow old.
    pub answered: bool,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// Its breakers.
    pub breakers: Vec<Breaker>,
    /// What it keeps, if it is a backup repository.
    pub repository: Option<Repository>,
    /// The jobs, if it is their folder.
    pub jobs: Option<Vec<Job>>,
    /// What it keeps, if it is another backup engine.
    pub engine: Option<EngineHistory>,
    /// What is silenced, if it is the file of that.
    pub silences: Option<Vec<Silence>>,
    /// What room there is, if it is this machine.
    pub folders: Option<Vec<Folder>>,
}

impl Reading {
    /// What a failed attempt brings.
    pub fn failed(source: Source) -> Self {
        Self { answered: false, ..Self::answered(source) }
    }

    /// An answer that tells of nothing yet.
    pub fn answered(source: Source) -> Self {
        Self {
            source,
            answered: true,
            pools: Vec::new(),
            breakers: Vec::new(),
            repository: None,
            jobs: None,
            engine: None,
            silences: None,
            folders: None,
        }
    }
}
