//! Where backups, WAL and proofs are kept.
//!
//! ```text
//! TARGET/target.json                  whose it is, and whether it is encrypted
//! TARGET/backups/ID/manifest.json     written last: a backup exists when this does
//! TARGET/backups/ID/…                 its files
//! TARGET/backups/ID/failed.json       in place of a manifest: why there is none
//! TARGET/backups/ID/verified/…        the outcomes of its verifications
//! TARGET/wal/TIMELINE/FIRST22/NAME.SHA256.zst   a segment: its name, and the fingerprint of its content
//! TARGET/proofs/…                     restores that were really made and measured
//! ```
//!
//! | file | its duty |
//! |---|---|
//! | [`key`] | names of objects |
//! | [`address`] | where a repository is, in words |
//! | [`storage`] | what a place must be able to do |
//! | [`folder`], `bucket` | places that can (`bucket`: feature `s3`) |
//! | [`sealed`] | bytes on their way in and out: hashes, compression, encryption |
//! | [`encryption`] | public keys that seal, private keys that open |
//! | [`manifest`] | what a backup is |
//! | [`json`] | small objects, closed by their own fingerprint |
//! | [`catalogue`] | what the manifests say |
//! | [`claim`] | whose it is: one cluster's, for good |
//! | [`checkup`] | whether it can be relied on |

pub mod address;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod catalogue;
pub mod checkup;
pub mod claim;
pub mod encryption;
pub mod folder;
pub mod json;
pub mod key;
pub mod manifest;
pub mod sealed;
pub mod storage;

use std::{
    fmt,
    io::{Read, Write as _},
    sync::Arc,
};

use self::{
    address::Address,
    encryption::{Keys, Outcome, Recipients},
    folder::Folder,
    key::Key,
    manifest::BackupId,
    sealed::{Compression, Seal, Sealing, SealingPacked, Sight, Stored},
    storage::Storage,
};
use super::{Fault, Kind, Result};

/// Opens the part of an existing repository that belongs to a target: `location` is a folder's path, or a
/// bucket's URL as [`Address::parse`] reads it. A bucket is not asked yet.
pub fn open(location: &str, target: &str) -> Result<Repository> {
    let storage: Arc<dyn Storage> = match Address::parse(location)? {
        Address::Folder(path) => Arc::new(Folder::open(&path)?),
        Address::Bucket(place) => bucket(place)?,
    };
    Repository::new(storage, target)
}

/// The same, making the folder, for its owner only, where there is none. A bucket is not made.
pub fn make(location: &str, target: &str) -> Result<Repository> {
    if let Address::Folder(path) = Address::parse(location)? {
        Folder::make(&path)?;
    }
    open(location, target)
}

#[cfg(feature = "s3")]
fn bucket(place: address::Place) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(bucket::Bucket::new(place)?))
}

#[cfg(not(feature = "s3"))]
fn bucket(_place: address::Place) -> Result<Arc<dyn Storage>> {
    Err(Fault::new(Kind::Config, "this howdah was built without buckets")
        .remedy("build it with the feature 's3', or use a folder"))
}

/// The part of a repository that belongs to one target.
#[derive(Clone)]
pub struct Repository {
    storage: Arc<dyn Storage>,
    target: Key,
    recipients: Recipients,
    keys: Keys,
    md5: bool,
}

impl Repository {
    /// The part of `storage` that belongs to a target, by the target's name.
    pub fn new(storage: Arc<dyn Storage>, target: &str) -> Result<Self> {
        let target = Key::new(&key::escaped(target))?;
        let (recipients, keys) = (Recipients::default(), Keys::default());
        Ok(Self { storage, target, recipients, keys, md5: false })
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

    /// The same, writing `NAME.md5` beside each new file of a backup, or not.
    #[must_use]
    pub fn with_md5(self, md5: bool) -> Self {
        Self { md5, ..self }
    }

    /// Begins a new object: compressed by the caller's own thread, and encrypted as this repository is.
    pub fn seal(&self, key: &Key) -> Result<Sealing> {
        self.seal_as(key, Compression::default(), 0)
    }

    /// The same for what is compressed already, or much: `threads` compress beside the caller's.
    pub fn seal_as(&self, key: &Key, compression: Compression, threads: u32) -> Result<Sealing> {
        Sealing::create(self.storage(), key, &self.seal_for(key, compression, threads)?)
    }

    /// The same for what comes packed by zstd: it is kept as it comes.
    pub fn seal_packed(&self, key: &Key) -> Result<SealingPacked> {
        SealingPacked::create(self.storage(), key, &self.seal_for(key, Compression::None, 0)?)
    }

    fn seal_for(&self, key: &Key, compression: Compression, threads: u32) -> Result<Seal> {
        let recipients = self.recipients.clone();
        let md5 = self.md5 && key.below(&self.backups_key()?).is_some();
        Ok(Seal { compression, threads, recipients, md5 })
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

    /// The public keys for which it is encrypted; empty when it is not.
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.names()
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
