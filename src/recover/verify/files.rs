//! L1: the files are those that were written. Nothing is unpacked, so no key is needed, and it goes as fast
//! as the disk.

use std::{collections::BTreeSet, io::Read};

use super::{Ground, Rung};
use crate::{
    base::{digest::Hasher, progress::Progress},
    recover::{
        Fault, Result,
        repository::{
            catalogue::{MANIFEST, VERIFIED},
            sealed::Stored,
        },
    },
};

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
        let mut findings = strangers(ground)?;
        let total = ground.manifest.stored_size();
        let mut done = 0;
        for file in &ground.manifest.files {
            if ground.repository.storage().stat(&file.stored.key)?.is_none() {
                findings.push(format!("'{}' is missing", file.stored.key));
                continue;
            }
            let told = |read: u64| {
                ground.observer.progress(&Progress::bytes(
                    "hashing files",
                    done + read,
                    Some(total),
                ));
            };
            findings.extend(wrong(ground, &file.stored, &told)?);
            done += file.stored.size;
        }
        Ok(findings)
    }
}

/// What is wrong with one file.
fn wrong(ground: &Ground<'_>, stored: &Stored, told: &dyn Fn(u64)) -> Result<Option<String>> {
    let key = &stored.key;
    let mut file = ground.repository.storage().open(key)?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; PART]);
    loop {
        ground.go_on()?;
        let read = file.read(&mut buffer).map_err(Fault::io(format!("cannot read '{key}'")))?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        told(hasher.length());
    }
    let size = hasher.length();
    Ok(if size != stored.size {
        Some(format!("'{key}' has {size} bytes instead of {}", stored.size))
    } else if hasher.finish() != stored.sha256 {
        Some(format!("'{key}' is not what was written: its SHA-256 differs"))
    } else {
        None
    })
}

/// Files that the manifest does not know: nobody would miss them, and nobody should find them.
fn strangers(ground: &Ground<'_>) -> Result<Vec<String>> {
    let folder = ground.repository.backup_key(&ground.manifest.id)?;
    let verified = folder.join(VERIFIED)?;
    let known: BTreeSet<_> = ground.manifest.files.iter().map(|file| &file.stored.key).collect();
    let manifest = folder.join(MANIFEST)?;
    let objects = ground.repository.storage().list(&folder)?;
    let strange = objects.iter().filter(|object| {
        // Beside a file there may stand its checksum for others to read.
        let sidecar = object.key.as_str().strip_suffix(".md5");
        !known.contains(&object.key)
            && object.key != manifest
            && object.key.below(&verified).is_none()
            && !sidecar.is_some_and(|of| known.iter().any(|key| key.as_str() == of))
    });
    Ok(strange.map(|object| format!("'{}' is not in the manifest", object.key)).collect())
}
