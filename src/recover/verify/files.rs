//! L1: the files are those that were written. Nothing is unpacked, so no key is needed, and it goes as fast
//! as the disk.

use std::{collections::BTreeSet, io::Read};

use md5::{Digest as _, Md5};

use super::{Ground, Rung};
use crate::{
    base::{
        digest::{Hasher, hex},
        progress::Counter,
    },
    recover::{
        Fault, Result,
        repository::{
            catalogue::{MANIFEST, VERIFIED},
            key::Key,
            sealed::Stored,
        },
    },
};

/// Behind a file's name: its checksum for others to read, as `md5sum` writes it.
const SIDECAR: &str = ".md5";
/// No such file is larger.
const SIDECAR_LIMIT: u64 = 4096;
/// How much is read at once.
const PART: usize = 1 << 20;

/// L1.
#[derive(Clone, Copy, Debug)]
pub struct Files;

impl Rung for Files {
    fn level(&self) -> super::Level {
        super::Level::L1
    }

    fn climb(&self, ground: &Ground<'_>) -> Result<Vec<String>> {
        let objects = ground.repository.storage().list(&folder(ground)?)?;
        let there: BTreeSet<Key> = objects.into_iter().map(|object| object.key).collect();
        let mut findings = strangers(ground, &there)?;
        let sidecars = Sidecars::of(ground, &there);
        let counter = Counter::new("hashing files", ground.manifest.stored_size(), ground.observer);
        for file in &ground.manifest.files {
            if !there.contains(&file.stored.key) {
                findings.push(format!("'{}' is missing", file.stored.key));
                continue;
            }
            findings.extend(wrong(ground, &file.stored, &sidecars, &counter)?);
        }
        Ok(findings)
    }
}

fn folder(ground: &Ground<'_>) -> Result<Key> {
    ground.repository.backup_key(&ground.manifest.id)
}

/// Checksums beside the files. Either all have one, or none.
struct Sidecars<'a> {
    there: &'a BTreeSet<Key>,
    wanted: bool,
}

impl<'a> Sidecars<'a> {
    fn of(ground: &Ground<'_>, there: &'a BTreeSet<Key>) -> Self {
        let mut files = ground.manifest.files.iter();
        let wanted = files.any(|file| beside(&file.stored.key).is_some_and(|k| there.contains(&k)));
        Self { there, wanted }
    }

    /// The one of a file, if it shall have one.
    fn beside(&self, key: &Key) -> Option<Key> {
        beside(key).filter(|_| self.wanted)
    }

    /// What is wrong with it.
    fn wrong(&self, ground: &Ground<'_>, key: &Key, of: &Key, md5: &str) -> Result<Option<String>> {
        if !self.there.contains(key) {
            return Ok(Some(format!("'{key}' is missing")));
        }
        let mut text = Vec::new();
        let file = ground.repository.storage().open(key)?;
        file.take(SIDECAR_LIMIT)
            .read_to_end(&mut text)
            .map_err(Fault::io(format!("cannot read '{key}'")))?;
        let same = text == format!("{md5}  {}\n", of.file()).as_bytes();
        Ok((!same).then(|| format!("'{key}' tells another MD5 than '{of}' has")))
    }
}

fn beside(key: &Key) -> Option<Key> {
    Key::new(&format!("{key}{SIDECAR}")).ok()
}

/// What is wrong with one file, or with the checksum beside it.
fn wrong(
    ground: &Ground<'_>,
    stored: &Stored,
    sidecars: &Sidecars<'_>,
    counter: &Counter<'_>,
) -> Result<Option<String>> {
    let key = &stored.key;
    let sidecar = sidecars.beside(key);
    let mut file = counter.read(ground.repository.storage().open(key)?);
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; PART]);
    let mut md5 = sidecar.as_ref().map(|_| Md5::new());
    loop {
        let read = file.read(&mut buffer).map_err(Fault::io(format!("cannot read '{key}'")))?;
        if read == 0 {
            break;
        }
        let part = buffer.get(..read).unwrap_or_default();
        hasher.update(part);
        if let Some(md5) = &mut md5 {
            md5.update(part);
        }
    }
    let size = hasher.length();
    if size != stored.size {
        return Ok(Some(format!("'{key}' has {size} bytes instead of {}", stored.size)));
    }
    if hasher.finish() != stored.sha256 {
        return Ok(Some(format!("'{key}' is not what was written: its SHA-256 differs")));
    }
    match (sidecar, md5) {
        (Some(sidecar), Some(md5)) => sidecars.wrong(ground, &sidecar, key, &hex(&md5.finalize())),
        _ => Ok(None),
    }
}

/// Files that the manifest does not know: nobody would miss them, and nobody should find them.
fn strangers(ground: &Ground<'_>, there: &BTreeSet<Key>) -> Result<Vec<String>> {
    let folder = folder(ground)?;
    let (manifest, verified) = (folder.join(MANIFEST)?, folder.join(VERIFIED)?);
    let known: BTreeSet<_> = ground.manifest.files.iter().map(|file| &file.stored.key).collect();
    let strange = there.iter().filter(|key| {
        let sidecar = key.as_str().strip_suffix(SIDECAR);
        !known.contains(key)
            && **key != manifest
            && key.below(&verified).is_none()
            && !sidecar.is_some_and(|of| known.iter().any(|known| known.as_str() == of))
    });
    Ok(strange.map(|key| format!("'{key}' is not in the manifest")).collect())
}
