//! What can go wrong with PostgreSQL's programs and the clusters made with them.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

/// Why a cluster could not be made or used. Every message says what to do, or what was seen.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// No server programs on this machine.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found: looked in {searched}. \
         Install them with:  {install}  or set HOWDAH_PG_BIN to their folder"
    )]
    NoBinaries {
        /// Where we looked.
        searched: String,
        /// The command that installs them on this system.
        install: String,
    },
    /// The environment names a folder without server programs.
    #[error("HOWDAH_PG_BIN={} holds no initdb and postgres", .0.display())]
    WrongBinaries(PathBuf),
    /// Server programs, but of other versions only.
    #[error(
        "there are no programs of PostgreSQL {wanted} here, and those in '{}' are of another version: \
         install PostgreSQL {wanted}, or set HOWDAH_PG_BIN to the folder of its programs",
        found.display()
    )]
    OtherVersion {
        /// The major version that was looked for.
        wanted: u32,
        /// What there is.
        found: PathBuf,
    },
    /// PostgreSQL refuses to run as root, and there is no account to drop to.
    #[error(
        "PostgreSQL does not run as root, and this system has neither an account `postgres` \
         nor `nobody` to run it as: start howdah as an ordinary user"
    )]
    NoAccount,
    /// No folder has a path short enough for a unix socket.
    #[error("no temporary folder with a path short enough for a unix socket: {} is too long; set TMPDIR to a shorter one", .0.display())]
    PathTooLong(PathBuf),
    /// The port that was asked for is in use.
    #[error("port {0} on 127.0.0.1 is in use")]
    PortTaken(u16),
    /// A program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// Its name.
        program: String,
        /// What it last said.
        output: String,
    },
    /// A program did not do in time what it was asked.
    #[error("{what} took longer than {} s", limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// The server does not run.
    #[error("the server does not run")]
    NotRunning,
    /// A file or process of the cluster could not be handled.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the cluster does not read as it was written.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ClusterError {
    /// For `map_err`: the system's error, with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
