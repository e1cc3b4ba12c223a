//! The catalogue: what the manifests say, read from the repository each time. There is no second truth.

use std::io::Read as _;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Repository,
    key::Key,
    manifest::{BackupId, FORMAT, Failed, Level, Manifest, Verification},
    storage::Overwrite,
};
use crate::recover::{Fault, Kind, Result};

/// The last file of a backup.
pub const MANIFEST: &str = "manifest.json";
/// Stands in place of a manifest when the backup failed.
pub const FAILED: &str = "failed.json";
/// The folder of verifications, inside a backup.
pub const VERIFIED: &str = "verified";
/// No file of ours that is read whole is larger: a manifest holds some hundred bytes for each table.
const LIMIT: u64 = 1 << 30;

/// One backup of a catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub id: BackupId,
    /// What became of it.
    pub state: State,
}

/// What became of a backup.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It is whole.
    Complete {
        /// What it is.
        manifest: Box<Manifest>,
        /// The newest verification, if there was one.
        verified: Option<Verification>,
    },
    /// It failed, and says why.
    Failed(Failed),
    /// Files without a manifest: it runs, or was killed.
    Unfinished,
    /// Its manifest cannot be read.
    Damaged(Fault),
}

impl Entry {
    /// The manifest, if it is whole.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            State::Complete { manifest, .. } => Some(manifest),
            _ => None,
        }
    }

    /// The level of proof that its newest verification reached, if that found nothing wrong.
    pub fn level(&self) -> Option<Level> {
        match &self.state {
            State::Complete { verified: Some(verified), .. } if verified.findings.is_empty() => {
                verified.reached
            }
            _ => None,
        }
    }
}

impl Repository {
    /// All backups of this target, oldest first. A damaged one is in it, as such.
    pub fn backups(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.storage().children(Some(&self.backups_key()?))? {
            // What is not named like a backup is not ours.
            if let Ok(id) = name.parse() {
                entries.push(self.backup(&id)?);
            }
        }
        Ok(entries)
    }

    /// One backup.
    pub fn backup(&self, id: &BackupId) -> Result<Entry> {
        let manifest = self.backup_key(id)?.join(MANIFEST)?;
        let failed = self.backup_key(id)?.join(FAILED)?;
        let state = if self.storage().stat(&manifest)?.is_some() {
            match self.manifest(id) {
                Ok(manifest) => State::Complete {
                    manifest: Box::new(manifest),
                    verified: self.verifications(id)?.pop(),
                },
                Err(fault) if fault.kind == Kind::Damaged => State::Damaged(fault),
                Err(fault) => return Err(fault),
            }
        } else if self.storage().stat(&failed)?.is_some() {
            match self.read_json(&failed) {
                Ok(failed) => State::Failed(failed),
                Err(fault) if fault.kind == Kind::Damaged => State::Damaged(fault),
                Err(fault) => return Err(fault),
            }
        } else {
            State::Unfinished
        };
        Ok(Entry { id: id.clone(), state })
    }

    /// The manifest of a backup.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is none, is of a later format, or belongs to another backup.
    pub fn manifest(&self, id: &BackupId) -> Result<Manifest> {
        let key = self.backup_key(id)?.join(MANIFEST)?;
        let value: serde_json::Value = self.read_json(&key)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            return Err(Fault::new(
                Kind::Damaged,
                format!("'{key}' is of a format that this version does not know"),
            )
            .remedy("use the version of howdah that wrote it, or a later one"));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| {
            Fault::new(Kind::Damaged, format!("'{key}' is no manifest: {error}"))
        })?;
        if manifest.id != *id {
            return Err(Fault::new(
                Kind::Damaged,
                format!("'{key}' belongs to the backup {}", manifest.id),
            ));
        }
        Ok(manifest)
    }

    /// All verifications of a backup, oldest first.
    pub fn verifications(&self, id: &BackupId) -> Result<Vec<Verification>> {
        let folder = self.backup_key(id)?.join(VERIFIED)?;
        let objects = self.storage().list(&folder)?;
        let mut found: Vec<Verification> = Vec::new();
        for object in objects {
            found.push(self.read_json(&object.key)?);
        }
        found.sort_by_key(|verification| verification.at);
        Ok(found)
    }

    /// Keeps the outcome of a verification.
    pub fn keep_verification(&self, verification: &Verification) -> Result<()> {
        let at = verification.at.strftime("%Y%m%dT%H%M%S%.6fZ");
        let key = self.backup_key(&verification.id)?.join(VERIFIED)?.join(&format!("{at}.json"))?;
        self.write_json(&key, verification, Overwrite::Never)
    }

    /// Reads a small object as JSON.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is not JSON of that shape.
    pub fn read_json<T: DeserializeOwned>(&self, key: &Key) -> Result<T> {
        let mut text = Vec::new();
        self.storage()
            .open(key)?
            .take(LIMIT)
            .read_to_end(&mut text)
            .map_err(Fault::io(format!("cannot read '{key}'")))?;
        serde_json::from_slice(&text).map_err(|error| {
            Fault::new(Kind::Damaged, format!("'{key}' cannot be understood: {error}"))
        })
    }

    /// The same; none where there is no such object. That is asked for only when reading failed: what stands
    /// in the way of every segment must be quick.
    pub fn read_if_there<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        match self.read_json(key) {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.storage().stat(key)?.is_none() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Writes a small object as JSON, made for people to read, too.
    pub fn write_json<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        overwrite: Overwrite,
    ) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value).map_err(|error| {
            Fault::new(Kind::Failed, format!("'{key}' cannot be written as JSON: {error}"))
        })?;
        text.push(b'\n');
        let mut upload = self.storage().create(key, overwrite)?;
        std::io::Write::write_all(&mut upload, &text)
            .map_err(Fault::io(format!("cannot write '{key}'")))?;
        upload.finish()
    }
}
