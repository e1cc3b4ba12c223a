//! What can keep the ledger from being written or read.

use std::{io, path::PathBuf, time::Duration};

/// Why an act could not be recorded, or the ledger not be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be written. Before an act this means: the act is refused.
    #[error("the ledger '{}' cannot be written: {source}{}", path.display(), remedy(source))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("the ledger '{}' cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds it, and does not let go.
    #[error(
        "the ledger '{}' is held by another process for {}s; is one stopped?",
        path.display(),
        waited.as_secs()
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Its last line cannot be read and there is no head, so that nothing can be chained to it.
    #[error(
        "the ledger '{}' is damaged at its end and its head is gone: see `howdah ledger verify`, \
         then move the folder aside, which begins a new ledger",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// An action must be dotted words, such as `backup.run`.
    #[error("'{0}' is no action: dotted lower-case words are expected, such as 'backup.run'")]
    NotAnAction(String),
    /// A bundle cannot be written.
    #[error("the export cannot be written: {0}")]
    Export(io::Error),
    /// A bundle cannot be read.
    #[error("the bundle cannot be read: {0}")]
    Bundle(io::Error),
    /// That is no bundle.
    #[error("that is no exported ledger: {0}")]
    NotABundle(String),
    /// The record cannot be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free space there, or move it with ledger.folder"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give it another place with ledger.folder"
        }
        _ => "",
    }
}
