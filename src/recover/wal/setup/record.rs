//! What the settings were before: kept on the machine of the one who changed them, one file for each
//! cluster. Not in the repository: what another account than the server's wrote there could lock that one
//! out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::wanted::Change;
use crate::{
    base::{
        clock::Timestamp,
        paths::{private_folder, write_private},
    },
    recover::{Fault, Kind, Result},
};

/// One set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was begun.
    pub at: Timestamp,
    /// What was written, in order.
    pub changes: Vec<Change>,
    /// It was taken back.
    pub undone: bool,
}

/// The set-ups of one cluster, in a file.
#[derive(Clone, Debug)]
pub struct Records {
    file: PathBuf,
}

impl Records {
    /// Those of a cluster, by its system identifier, in that folder.
    pub fn of(folder: &Path, system_identifier: &str) -> Self {
        Self { file: folder.join(format!("{system_identifier}.json")) }
    }

    /// Where they stand.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All of them, oldest first.
    pub fn read(&self) -> Result<Vec<Record>> {
        let text = match fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Fault::io(format!("cannot read '{}'", self.file.display())))?,
        };
        serde_json::from_slice(&text).map_err(|error| {
            let what = format!("'{}' cannot be understood: {error}", self.file.display());
            Fault::new(Kind::Damaged, what)
        })
    }

    /// The one that can be taken back: the last that was not.
    pub fn last(&self) -> Result<Option<Record>> {
        Ok(self.read()?.into_iter().rfind(|record| !record.undone))
    }

    /// Adds one, or writes one anew.
    pub(super) fn keep(&self, record: &Record) -> Result<()> {
        let cannot = || Fault::io(format!("cannot write '{}'", self.file.display()));
        let mut all = self.read()?;
        match all.iter_mut().find(|other| other.at == record.at) {
            Some(same) => record.clone_into(same),
            None => all.push(record.clone()),
        }
        let text = serde_json::to_vec_pretty(&all)
            .map_err(|error| Fault::new(Kind::Failed, format!("no record: {error}")))?;
        if let Some(folder) = self.file.parent() {
            private_folder(folder).map_err(cannot())?;
        }
        write_private(&self.file, &text).map_err(cannot())
    }
}
