//! A finished restore, kept for the next estimate and as the measured part of RTO:
//! `TARGET/restores/TIME.json`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{closure::Name, copy_back::Mode};
use crate::{
    base::clock::{Clock, Timestamp},
    recover::{
        Fault, Kind, Repository, Result,
        physical::restored::Times,
        repository::{
            key::Key,
            manifest::{BackupId, Phase},
            storage::Overwrite,
        },
    },
};

/// What was brought back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum What {
    /// A whole database, under a new name.
    Database {
        /// Its name in the backup.
        database: String,
        /// Its name now.
        into: String,
    },
    /// A whole cluster, from a base backup and archived WAL.
    Cluster {
        /// The moment, in words.
        target: String,
        /// Where it is now.
        folder: PathBuf,
        /// How long it took until the first read, to its target, and until the first write.
        times: Times,
        /// Bytes of WAL that were replayed.
        replayed: u64,
    },
    /// Tables, in a side schema.
    Tables {
        /// The database that they are in now.
        database: String,
        /// The tables, `schema.name`.
        tables: Vec<String>,
        /// The side schema; none where they came back to their old place.
        schema: Option<String>,
    },
    /// A side schema's rows, copied into a live table.
    CopyBack {
        /// The database.
        database: String,
        /// The live table.
        table: Name,
        /// How.
        mode: Mode,
        /// The table that they came from.
        source: Name,
        /// The table that keeps what undoes it.
        kept: Name,
        /// The number of its transaction, while nobody was told whether that was committed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pending: Option<String>,
    },
}

/// One finished restore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its name: the moment it began.
    pub id: String,
    /// When it began.
    pub began: Timestamp,
    /// What was brought back.
    #[serde(flatten)]
    pub what: What,
    /// From which backup.
    pub backup: Option<BackupId>,
    /// The server that it was brought to.
    pub server: String,
    /// Bytes of the dump, unpacked.
    pub bytes: u64,
    /// How long each phase took, in order.
    pub phases: Vec<Phase>,
    /// What the checks found wrong; empty when nothing was.
    pub findings: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

impl Record {
    /// How long it took altogether.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.phases.iter().map(|phase| phase.seconds.max(0.0)).sum())
    }
}

impl Repository {
    /// The name below which the records of restores stand.
    pub fn restores_key(&self) -> Result<Key> {
        self.target().join("restores")
    }

    /// Keeps a record. It is not replaced by another one.
    pub fn keep_restore(&self, record: &Record) -> Result<()> {
        let key = self.restores_key()?.join(&format!("{}.json", record.id))?;
        self.write_json(&key, record, Overwrite::Never)
    }

    /// Keeps a record in the place of an earlier one of the same restore.
    pub fn settle_restore(&self, record: &Record) -> Result<()> {
        let key = self.restores_key()?.join(&format!("{}.json", record.id))?;
        self.write_json(&key, record, Overwrite::Replace)
    }

    /// Removes the record of what never was.
    pub fn forget_restore(&self, id: &str) -> Result<()> {
        self.storage().remove(&self.restores_key()?.join(&format!("{id}.json"))?)
    }

    /// All records, oldest first. One that cannot be read tells nothing;
    /// [`crate::recover::inspection`] names it.
    pub fn restores(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for object in self.storage().list(&self.restores_key()?)? {
            match self.read_json::<Record>(&object.key) {
                Ok(record) => records.push(record),
                Err(Fault { kind: Kind::Damaged, .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(records)
    }
}

/// The name of a restore that begins now, and that moment.
pub fn begin() -> (String, Timestamp) {
    let now = Clock::system().wall();
    (now.strftime("%Y%m%dT%H%M%S%.3fZ").to_string(), now)
}
