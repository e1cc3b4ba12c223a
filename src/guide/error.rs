//! What can go wrong with a guide.

use std::{io, path::PathBuf};

use crate::base::text::Text;

/// Why a guide cannot be read, begun or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum GuideError {
    /// The file is no guide.
    #[error("{0}")]
    Spec(String),
    /// There is no guide of that name.
    #[error("there is no guide '{word}'; there are {known}")]
    Unknown {
        /// What was asked for.
        word: Text,
        /// Those that there are.
        known: String,
    },
    /// There is no run of that name.
    #[error("there is no run '{0}' of a guide; `howdah guide list` shows them")]
    NoRun(Text),
    /// Somebody else drives it.
    #[error("the run {run} is driven by {driver}: look on, or let it be handed over there first")]
    Driven {
        /// The run.
        run: Text,
        /// Who, where, since when.
        driver: Text,
    },
    /// A second person spoke where none was asked for.
    #[error("nothing in the run {0} waits for a second person")]
    NotAsked(Text),
    /// A file cannot be read or written.
    #[error("'{}': {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it was.
    #[error("'{}' cannot be understood: {why}", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// For `map_err`: the path that an error is about.
pub(super) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> GuideError + use<> {
    let path = path.to_owned();
    move |source| GuideError::Io { path, source }
}
