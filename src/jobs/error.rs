//! What can be wrong with a job.

use std::{io, path::PathBuf};

use super::JobId;
use crate::base::text::Text;

/// Why something could not be done with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// That is no name of a job.
    #[error("'{0}' is no job: see `howdah jobs list`")]
    NotAnId(Text),
    /// There is no such job.
    #[error("there is no job '{0}': see `howdah jobs list`")]
    Unknown(Text),
    /// More than one job is meant.
    #[error("'{word}' may be {}: say more of it", list(candidates))]
    Ambiguous {
        /// What was said.
        word: Text,
        /// What it may mean.
        candidates: Vec<JobId>,
    },
    /// A file of a job cannot be read or written.
    #[error("'{}': {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of a job is not what it should be.
    #[error("'{}' is no description of a job: {why}", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Its process did not get as far as to say that it runs.
    #[error("the job could not begin: {said}")]
    NotBegun {
        /// The last thing that it printed.
        said: Text,
    },
    /// It runs, so it cannot be removed.
    #[error("job {0} is running; `howdah jobs cancel {0}` ends it")]
    Running(JobId),
    /// What can be done to it, nobody here can tell.
    #[error("job {id}: {why}")]
    OutOfReach {
        /// The job.
        id: JobId,
        /// Why.
        why: Text,
    },
    /// It was asked to end in every way and still runs.
    #[error("job {0} does not end, not even by SIGKILL: its process waits inside the kernel")]
    Unkillable(JobId),
}

fn list(candidates: &[JobId]) -> String {
    candidates.iter().map(JobId::as_str).collect::<Vec<_>>().join(" or ")
}

/// Names the file that an I/O error is about.
pub(super) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> JobError {
    let path = path.to_owned();
    move |source| JobError::Io { path, source }
}
