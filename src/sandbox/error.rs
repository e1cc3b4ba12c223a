//! What can go wrong with a sandbox.

use std::io;

use thiserror::Error;

use crate::cluster::ClusterError;

/// Why a sandbox could not be made or used. Every message says what to do, or what was seen.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Its cluster, or a file or process of it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A demo application did not do what it was asked.
    #[error("the demo application {name}: {why}")]
    App {
        /// Its name.
        name: String,
        /// What it answered, or why it did not.
        why: String,
    },
    /// What the incident needs is not there.
    #[error("{0}")]
    NotYet(String),
    /// There is no demo to act on.
    #[error("no demo is running: start one with `howdah demo`")]
    NoDemo,
    /// No incident has that name.
    #[error("no incident is called `{name}`: there are {known}")]
    UnknownIncident {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl SandboxError {
    /// For `map_err`: the system's error, with what was tried.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let io = ClusterError::io(what);
        move |source| io(source).into()
    }
}
