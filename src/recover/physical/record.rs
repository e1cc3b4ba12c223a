//! What a restored folder says of itself, so that a later command, or a person, knows what it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{configure::write_as, target::Target};
use crate::{
    base::clock::Timestamp,
    cluster::folder::Account,
    recover::{Fault, Kind, Result, repository::manifest::BackupId},
};

/// Its name, beside the data folder.
pub const FILE: &str = "howdah-restore.json";

/// A restore, as it stands in its folder from its first moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How far it is.
    pub state: State,
    /// What was restored.
    pub backup: BackupId,
    /// The system identifier, as text.
    pub system_identifier: String,
    /// The moment that was wanted.
    pub target: Target,
    /// When it began.
    pub began: Timestamp,
    /// The data folder.
    pub data: PathBuf,
    /// Tablespaces.
    pub tablespaces: Vec<PathBuf>,
    /// Its socket and log, while nobody else may connect.
    pub private: PathBuf,
    /// The port that was chosen.
    pub port: u16,
    /// The server's programs.
    pub binaries: PathBuf,
    /// The account that it runs as, when that is not ours.
    pub account: Option<Account>,
    /// Roles that may be superusers.
    pub roles: Vec<String>,
    /// It is in place of the cluster that was there: archiving goes on as it is configured.
    pub in_place: bool,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was begun. Found with nobody working on it, it was killed: only good for removal.
    Unfinished,
    /// It waits at its target, for reading only.
    Inspecting,
    /// It was promoted.
    Done,
}

impl Record {
    /// Reads the record of a restored folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let what = format!("'{}' was not restored by howdah: {error}", folder.display());
            Fault::new(Kind::Usage, what)
        })?;
        serde_json::from_str(&text).map_err(|error| {
            Fault::new(Kind::Damaged, format!("'{}' cannot be understood: {error}", path.display()))
        })
    }

    /// Writes it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Fault::new(Kind::Failed, format!("the record cannot be written as JSON: {error}"))
        })?;
        write_as(&folder.join(FILE), &(text + "\n"), None)
    }
}
