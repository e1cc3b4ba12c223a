//! How bytes are kept: hashed, compressed, encrypted, hashed again as stored, and on the way back checked
//! twice.

mod reading;
#[cfg(test)]
mod tests;
mod writing;

use serde::{Deserialize, Serialize};

use super::{encryption::Recipients, key::Key};
pub(in crate::recover) use reading::unreadable;
pub use reading::{Sight, check, open};
pub use writing::{Sealing, SealingPacked};

/// How an object is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As it is.
    None,
    /// zstd.
    #[default]
    Zstd,
}

/// How something new is sealed.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    /// How it is packed.
    pub compression: Compression,
    /// Threads that compress beside the caller's; 0 for none.
    pub threads: u32,
    /// For whom it is encrypted; for nobody when empty.
    pub recipients: Recipients,
    /// `NAME.md5` is written beside it, for `md5sum -c`.
    pub md5: bool,
}

/// One stored file: what a manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The name of the object.
    pub key: Key,
    /// Its size as stored, in bytes.
    pub size: u64,
    /// SHA-256 of what is stored: checked without unpacking, by `sha256sum`, too.
    pub sha256: String,
    /// How it is packed.
    pub compression: Compression,
    /// Size of what was packed, in bytes.
    pub content_size: u64,
    /// SHA-256 of what was packed.
    pub content_sha256: String,
    /// The public keys for which it was encrypted; empty when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}
