//! Everything that is kept for a target, looked at: each backup, its WAL, and the records beside them.

use std::collections::BTreeMap;

use super::{
    Fault, Kind, Repository, Result,
    backup::lock,
    repository::{
        catalogue::{FAILED, State, VERIFIED},
        claim::CLAIM,
        key::Key,
        manifest::{BackupId, Level, Verification},
    },
    verify::Verifier,
    wal::{
        self,
        verified::Seen,
        verify::{Depth, Wrong},
    },
};
use crate::base::{clock::Timestamp, progress::Observer};

/// What stands directly below a target's name, besides what is still being written.
pub const LAYOUT: [&str; 7] =
    ["backups", "wal", "proofs", "restores", "spool", CLAIM, lock::OBJECT];
/// What stands directly below its WAL, besides timelines.
const WAL_LAYOUT: [&str; 2] = ["cluster.json", "verified"];

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Whole backups, each with what its verification found, oldest first.
    pub backups: Vec<Verification>,
    /// Everything else that is wrong, each naming the thing.
    pub findings: Vec<String>,
}

impl Inspection {
    /// Nothing is wrong.
    pub fn sound(&self) -> bool {
        self.findings.is_empty() && self.backups.iter().all(|v| v.findings.is_empty())
    }
}

/// Verifies every backup up to a level, and looks at everything beside them.
pub fn everything(
    repository: &Repository,
    verifier: &Verifier,
    level: Level,
    observer: &dyn Observer,
) -> Result<Inspection> {
    let mut found = Inspection::default();
    found.findings.extend(strangers(repository)?);
    found.findings.extend(claims(repository)?);
    // Looked at before the backups: one that begins meanwhile is not taken for an abandoned one.
    let busy = lock::busy(repository).unwrap_or(false);
    for entry in repository.backups()? {
        match entry.state {
            State::Complete { .. } => {
                found.backups.push(verifier.verify(repository, &entry.id, level, observer)?);
            }
            State::Damaged(fault) => found.findings.push(fault.what().as_str().to_owned()),
            State::Unfinished if !busy => found.findings.push(format!(
                "the backup {} has no manifest: it was killed, or its manifest is gone",
                entry.id
            )),
            State::Failed(_) => found.findings.extend(beside_reason(repository, &entry.id)?),
            State::Unfinished => {}
        }
        found.findings.extend(verifications(repository, &entry.id)?);
    }
    found.findings.extend(proofs(repository)?);
    found.findings.extend(restores(repository)?);
    if level >= Level::L3 {
        found.findings.extend(archive(repository, &found.backups, observer)?);
    }
    Ok(found)
}

/// What a failed backup has besides the reason for it.
fn beside_reason(repository: &Repository, id: &BackupId) -> Result<Vec<String>> {
    let folder = repository.backup_key(id)?;
    let (reason, verified) = (folder.join(FAILED)?, folder.join(VERIFIED)?);
    let mut left = repository.storage().list(&folder)?;
    left.retain(|object| object.key != reason && object.key.below(&verified).is_none());
    Ok(left.iter().map(|object| format!("'{}' is left of a failed backup", object.key)).collect())
}

/// Names that nothing of ours has.
fn strangers(repository: &Repository) -> Result<Vec<String>> {
    let storage = repository.storage();
    let target = repository.target();
    let mut found = Vec::new();
    for name in storage.children(Some(target))? {
        if !LAYOUT.contains(&&*name) {
            found.push(format!("'{}' is none of ours", target.join(&name)?));
        }
    }
    let wal = repository.wal_key()?;
    let timeline = |name: &str| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
    for name in storage.children(Some(&wal))? {
        if !WAL_LAYOUT.contains(&&*name) && !timeline(&name) {
            found.push(format!("'{}' is none of ours", wal.join(&name)?));
        }
    }
    for object in storage.list(&wal.join("verified")?)? {
        // Named after what segments share: 22 digits.
        let name = object.key.file().strip_suffix(".json").unwrap_or_default();
        if name.len() != 22 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            found.push(format!("'{}' is none of ours", object.key));
            continue;
        }
        let memory: Result<BTreeMap<String, Seen>> = repository.read_json(&object.key);
        found.extend(damage(memory.map(drop))?);
    }
    let backups = repository.backups_key()?;
    for name in storage.children(Some(&backups))? {
        if name.parse::<BackupId>().is_err() {
            found.push(format!("'{}' is no backup", backups.join(&name)?));
        }
    }
    Ok(found)
}

/// Damage is a finding; that one could not look is an error.
fn damage(looked: Result<()>) -> Result<Option<String>> {
    match looked {
        Ok(()) => Ok(None),
        Err(fault) if fault.kind == Kind::Damaged => Ok(Some(fault.what().as_str().to_owned())),
        Err(fault) => Err(fault),
    }
}

/// Whose it all is, and who is at work: both can be read.
fn claims(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    found.extend(damage(repository.claimed().map(drop))?);
    found.extend(damage(lock::holder(repository).map(drop))?);
    Ok(found)
}

/// Records of verifications: each is named after its moment.
fn verifications(repository: &Repository, id: &BackupId) -> Result<Vec<String>> {
    let folder = repository.backup_key(id)?.join(VERIFIED)?;
    let mut found = Vec::new();
    for object in repository.storage().list(&folder)? {
        let read: Result<Verification> = repository.read_json(&object.key);
        let looked = read.and_then(|verification| {
            named_after(&object.key, verification.at)?;
            if verification.id == *id {
                return Ok(());
            }
            let what = format!("'{}' is of the backup {}", object.key, verification.id);
            Err(Fault::new(Kind::Damaged, what))
        });
        found.extend(damage(looked)?);
    }
    Ok(found)
}

fn named_after(key: &Key, at: Timestamp) -> Result<()> {
    if key.file().starts_with(&at.strftime("%Y%m%dT%H%M%S").to_string())
        && key.file().split('.').count() == 3
    {
        return Ok(());
    }
    let what = format!("'{key}' is of another moment: {}", at.strftime("%Y-%m-%d %H:%M:%SZ"));
    Err(Fault::new(Kind::Damaged, what))
}

/// Proofs: the record, and beside it the words for a person, which must be those of the record.
fn proofs(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let below = repository.proofs_key()?;
    let names = repository.storage().children(Some(&below))?;
    for name in &names {
        let key = below.join(name)?;
        let Some(stem) = name.strip_suffix(".json") else {
            // What is written just now has its text first.
            let whole = name.strip_suffix(".md").map(|stem| format!("{stem}.json"));
            let now = name.starts_with(|c: char| c.is_ascii_digit()) && recent(repository, &key)?;
            if whole.is_none_or(|whole| !names.contains(&whole)) && !now {
                found.push(format!("'{key}' belongs to no proof"));
            }
            continue;
        };
        let read: Result<super::proof::Proof> = repository.read_json(&key);
        let looked = read.and_then(|proof| {
            named_after(&key, proof.at)?;
            let text = below.join(&format!("{stem}.md"))?;
            let there = repository.storage().stat(&text)?.is_some();
            let mut words = String::new();
            if there {
                // Foreign bytes differ from ours as any others do.
                let mut file = repository.storage().open(&text)?;
                let _ = std::io::Read::read_to_string(&mut file, &mut words);
            }
            if words == proof.markdown() {
                return Ok(());
            }
            let what = if there { "is not what the proof says" } else { "is missing" };
            Err(Fault::new(Kind::Damaged, format!("'{text}' {what}")))
        });
        found.extend(damage(looked)?);
    }
    Ok(found)
}

/// Younger than any proof takes to be kept.
fn recent(repository: &Repository, key: &Key) -> Result<bool> {
    let now = crate::base::clock::Clock::system().wall();
    let about = repository.storage().stat(key)?;
    Ok(about.is_none_or(|object| now.duration_since(object.modified).as_secs() < 60))
}

fn restores(repository: &Repository) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for object in repository.storage().list(&repository.restores_key()?)? {
        let read: Result<super::restore::record::Record> = repository.read_json(&object.key);
        let looked = read.and_then(|record| {
            if object.key.file() == format!("{}.json", record.id) {
                return Ok(());
            }
            let what = format!("'{}' is of another restore: {}", object.key, record.id);
            Err(Fault::new(Kind::Damaged, what))
        });
        found.extend(damage(looked)?);
    }
    Ok(found)
}

/// What of the archive no backup's verification has told: names that are none, and WAL from the oldest
/// physical backup on where there is none that needs it.
fn archive(
    repository: &Repository,
    verified: &[Verification],
    observer: &dyn Observer,
) -> Result<Vec<String>> {
    let archive = wal::Archive::Repository(repository.clone());
    let mut from = None;
    for verification in verified {
        if let Some(wal) = repository.manifest(&verification.id).ok().and_then(|m| m.wal) {
            from = Some(from.map_or(wal.start, |from: u64| from.min(wal.start)));
        }
    }
    let depth = Depth { from, sample: 1, ..Depth::default() };
    let report = match wal::verify::verify(&archive, depth, observer) {
        // Of whom it is cannot be told: that stands among the claims.
        Err(fault) if fault.kind == Kind::Damaged => return Ok(Vec::new()),
        report => report?,
    };
    let told = |what: &str| verified.iter().any(|v| v.findings.iter().any(|f| f == what));
    let found = report
        .findings
        .iter()
        .filter(|finding| finding.wrong == Wrong::Stranger || !told(&finding.to_string()));
    Ok(found.map(ToString::to_string).collect())
}
