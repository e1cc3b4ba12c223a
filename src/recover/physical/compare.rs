//! What was unpacked, held against PostgreSQL's own list of what it sent.

use std::io::Read as _;

use crate::recover::{
    Fault, Kind, Repository, Result,
    base_backup::{BaseManifest, Members, compare},
    repository::manifest::{Manifest, Role},
};

/// At most so many differences are named.
const SHOWN: usize = 5;

/// Compares names, sizes and fingerprints of everything that was unpacked with `backup_manifest`. Returns why
/// it could not be compared: a backup whose list is lost may still be the only one.
///
/// # Errors
/// [`Kind::Damaged`] when something is there that PostgreSQL did not send, or the other way round.
pub(super) fn with_list(
    repository: &Repository,
    manifest: &Manifest,
    members: &Members,
) -> Result<Option<Fault>> {
    let listed = match list(repository, manifest) {
        Err(fault) if fault.kind == Kind::Damaged => {
            return Ok(Some(fault.during("what was restored was not compared with what was sent")));
        }
        listed => listed?,
    };
    let Some(wal) = &manifest.wal else { return Ok(None) };
    let mut wrong = compare(&listed, members, wal.segment_size);
    if wrong.is_empty() {
        return Ok(None);
    }
    let more = wrong.len().saturating_sub(SHOWN);
    wrong.truncate(SHOWN);
    let mut what = format!("the backup {} holds something else: {}", manifest.id, wrong.join("; "));
    if more > 0 {
        what += &format!("; and {more} more");
    }
    Err(Fault::new(Kind::Damaged, what).remedy("choose another backup"))
}

fn list(repository: &Repository, manifest: &Manifest) -> Result<BaseManifest> {
    let file = manifest.files.iter().find(|file| file.role == Role::BackupManifest);
    let Some(file) = file else {
        return Err(Fault::new(Kind::Damaged, "the backup has no backup_manifest"));
    };
    let mut text = Vec::new();
    let read = repository.unseal(&file.stored).and_then(|mut content| {
        let key = &file.stored.key;
        content.read_to_end(&mut text).map_err(Fault::io(format!("cannot read '{key}'")))
    });
    match read {
        Err(fault) if fault.kind == Kind::Unavailable => {
            Err(Fault::new(Kind::Damaged, fault.what().clone()))
        }
        read => read.and_then(|_| BaseManifest::parse(&text)),
    }
}
