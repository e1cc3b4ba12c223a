//! Where backups, WAL and proofs are kept.
//!
//! ```text
//! TARGET/backups/ID/manifest.json     written last: a backup exists when this does
//! TARGET/backups/ID/…                 its files
//! TARGET/backups/ID/failed.json       in place of a manifest: why there is none
//! TARGET/backups/ID/verified/…        the outcomes of its verifications
//! TARGET/wal/cluster.json             the cluster whose WAL this is
//! TARGET/wal/TIMELINE/FIRST22/NAME.SHA256.zst   a segment: its name, and the fingerprint of its content
//! TARGET/proofs/…                     restores that were really made and measured
//! ```
//!
//! | file | its duty |
//! |---|---|
//! | [`key`] | names of objects |
//! | [`storage`], [`folder`] | what a place must be able to do, and a folder that can |
//! | [`sealed`] | bytes on their way in and out: hashes, compression, encryption |
//! | [`encryption`] | public keys that seal, private keys that open |
//! | [`manifest`] | what a backup is |
//! | [`catalogue`] | what the manifests say |

pub mod catalogue;
pub mod encryption;
pub mod folder;
pub mod key;
pub mod manifest;
pub mod sealed;
pub mod storage;

use std::{
    fmt,
    io::{Read, Write as _},
    path::Path,
    sync::Arc,
};

use self::{
    encryption::{Keys, Outcome, Recipients},
    folder::Folder,
    key::Key,
    manifest::BackupId,
    sealed::{Compression, Seal, Sealing, Sight, Stored},
    storage::Storage,
};
use super::{Fault, Kind, Result};

/// Opens the part of an existing repository that belongs to a target: `location` is a folder's path.
pub fn open(location: &str, target: &str) -> Result<Repository> {
    Repository::new(Arc::new(Folder::open(Path::new(location))?), target)
}

/// The part of a repository that belongs to one target.
#[derive(Clone)]
pub struct Repository {
    storage: Arc<dyn Storage>,
    target: Key,
    recipients: Recipients,
    keys: Keys,
}

impl Repository {
    /// The part of `storage` that belongs to a target, by the target's name.
    pub fn new(storage: Arc<dyn Storage>, target: &str) -> Result<Self> {
        let target = Key::new(&key::escaped(target))?;
        Ok(Self { storage, target, recipients: Recipients::default(), keys: Keys::default() })
    }

    /// The same, encrypting everything that is sealed in it from now on.
    #[must_use]
    pub fn sealing_for(self, recipients: Recipients) -> Self {
        Self { recipients, ..self }
    }

    /// The same, opening what is encrypted with these identities.
    #[must_use]
    pub fn opening_with(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Begins a new object: compressed by the caller's own thread, and encrypted as this repository is.
    pub fn seal(&self, key: &Key) -> Result<Sealing> {
        self.seal_as(key, Compression::default(), 0)
    }

    /// The same for what is compressed already, or much: `threads` compress beside the caller's.
    pub fn seal_as(&self, key: &Key, compression: Compression, threads: u32) -> Result<Sealing> {
        let recipients = self.recipients.clone();
        Sealing::create(self.storage(), key, &Seal { compression, threads, recipients })
    }

    /// Reads what was sealed; see [`sealed::open`].
    pub fn unseal(&self, stored: &Stored) -> Result<Box<dyn Read + Send>> {
        sealed::open(self.storage(), stored, &self.keys)
    }

    /// Checks what was sealed, as deep as the identities let it; see [`sealed::check`].
    pub fn check_sealed(&self, stored: &Stored) -> Result<Sight> {
        sealed::check(self.storage(), stored, &self.keys)
    }

    /// True when what is kept from now on is encrypted.
    pub fn encrypts(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Bytes as they are kept under a name that no manifest describes: encrypted, if this repository is.
    pub fn enveloped(&self, key: &Key, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if !self.encrypts() {
            return Ok(bytes);
        }
        let cannot = || Fault::io(format!("cannot encrypt '{key}'"));
        let mut stream = self.recipients.encrypt(key, Vec::with_capacity(bytes.len() + 4096))?;
        stream.write_all(&bytes).map_err(cannot())?;
        stream.finish().map_err(cannot())
    }

    /// Reads what [`Repository::enveloped`] has encrypted.
    ///
    /// # Errors
    /// [`Kind::Config`] when none of our identities opens it.
    pub fn open_envelope(&self, key: &Key) -> Result<Box<dyn Read + Send>> {
        match self.keys.decrypt(key, &[], self.storage().open(key)?)? {
            Outcome::Opened(reader) => Ok(Box::new(reader)),
            Outcome::NoKey(_) => {
                let what = format!("'{key}' is encrypted, and no identity that is given opens it");
                Err(Fault::new(Kind::Config, what).remedy("name it in recover.identity"))
            }
        }
    }

    /// Where it is kept.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The name below which everything of this target stands.
    pub fn target(&self) -> &Key {
        &self.target
    }

    /// The name below which its backups stand.
    pub fn backups_key(&self) -> Result<Key> {
        self.target.join("backups")
    }

    /// The name below which one backup stands.
    pub fn backup_key(&self, id: &BackupId) -> Result<Key> {
        self.backups_key()?.join(id.as_str())
    }

    /// The name below which its WAL stands.
    pub fn wal_key(&self) -> Result<Key> {
        self.target.join("wal")
    }

    /// The name below which its proofs stand.
    pub fn proofs_key(&self) -> Result<Key> {
        self.target.join("proofs")
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({}/{})", self.storage.describe(), self.target)
    }
}
