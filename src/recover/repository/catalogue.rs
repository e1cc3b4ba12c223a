//! The catalogue: what the manifests say, read from the repository each time. There is no second truth.

use super::{
    Repository,
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
        /// What its verifications say together: see [`standing`].
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

    /// The level of proof that it has, as long as nothing is found wrong.
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
                    verified: standing(self.verifications(id)?),
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

    /// All verifications of a backup, oldest first. One that cannot be read says nothing;
    /// `howdah verify --all` names it.
    pub fn verifications(&self, id: &BackupId) -> Result<Vec<Verification>> {
        let folder = self.backup_key(id)?.join(VERIFIED)?;
        let mut found: Vec<Verification> = Vec::new();
        for object in self.storage().list(&folder)? {
            match self.read_json(&object.key) {
                Ok(verification) => found.push(verification),
                Err(fault) if fault.kind == Kind::Damaged => {}
                Err(fault) => return Err(fault),
            }
        }
        found.retain(|verification| verification.id == *id);
        found.sort_by_key(|verification| verification.at);
        Ok(found)
    }

    /// Keeps the outcome of a verification. Of several in a row with the same outcome only the first and the
    /// last stay: a backup may be looked at every minute.
    pub fn keep_verification(&self, verification: &Verification) -> Result<()> {
        let folder = self.backup_key(&verification.id)?.join(VERIFIED)?;
        let name = |v: &Verification| {
            folder.join(&format!("{}.json", v.at.strftime("%Y%m%dT%H%M%S%.6fZ")))
        };
        self.write_json(&name(verification)?, verification, Overwrite::Never)?;
        let all = self.verifications(&verification.id)?;
        if let [.., first, middle, last] = all.as_slice()
            && first.same_outcome(middle)
            && middle.same_outcome(last)
        {
            self.storage().remove(&name(middle)?)?;
        }
        Ok(())
    }
}

/// What verifications say together, oldest first. What was found wrong stands until a later one has looked as
/// far and found nothing. Without such a finding a level stands that was reached once: that the files are
/// still those is what each later verification begins with.
pub fn standing(verifications: Vec<Verification>) -> Option<Verification> {
    verifications.into_iter().reduce(|before, mut later| {
        if !later.findings.is_empty() {
            later
        } else if before.findings.is_empty() {
            later.reached = later.reached.max(before.reached);
            later
        } else if later.reached > before.reached {
            later
        } else {
            before
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::clock::Timestamp, recover::repository::manifest::Method};

    fn of(second: i64, reached: Option<Level>, finding: Option<&str>) -> Verification {
        let at = Timestamp::from_second(second).expect("a time");
        let id = BackupId::new(Timestamp::from_second(0).expect("a time"), Method::Physical);
        let findings = finding.map(str::to_owned).into_iter().collect();
        Verification { id, at, reached, asked: Level::L5, findings }
    }

    #[test]
    fn what_was_found_stands_until_somebody_looked_as_far_again() {
        let says = |all: &[Verification]| {
            let one = standing(all.to_vec()).expect("one");
            (one.reached, one.findings.len())
        };
        let proven = of(1, Some(Level::L5), None);
        let cheap = of(2, Some(Level::L2), None);
        assert_eq!(says(&[proven.clone(), cheap.clone()]), (Some(Level::L5), 0));
        let gap = of(3, Some(Level::L2), Some("a gap"));
        assert_eq!(says(&[proven.clone(), gap.clone()]), (Some(Level::L2), 1));
        let again = of(4, Some(Level::L2), None);
        assert_eq!(says(&[gap.clone(), again]), (Some(Level::L2), 1), "it did not look as far");
        let mended = of(5, Some(Level::L3), None);
        assert_eq!(
            says(&[proven, cheap, gap, mended]),
            (Some(Level::L3), 0),
            "the old proof is gone"
        );
        assert_eq!(standing(Vec::new()), None);
    }
}
