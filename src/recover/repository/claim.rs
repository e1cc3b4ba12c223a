//! Whose a part of the repository is: one cluster's, for good. A second cluster under the same name would mix
//! its WAL and backups with those of the first.

use serde::{Deserialize, Serialize};

use super::{Repository, key::Key, storage::Overwrite};
use crate::{
    base::clock::{Clock, Timestamp},
    recover::{Fault, Kind, Result},
};

/// The object that says so, directly below the target's name.
pub const CLAIM: &str = "target.json";

/// Whose a part of the repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The target's name, as it stands in the repository.
    pub name: String,
    /// The cluster's system identifier. A text in JSON: it does not fit into a double.
    #[serde(with = "super::manifest::as_text")]
    pub system_identifier: u64,
    /// `server_version_num` when it was last claimed: 150018 is 15.18.
    pub version: u32,
    /// When it was first claimed.
    pub since: Timestamp,
}

impl Repository {
    fn claim_key(&self) -> Result<Key> {
        self.target().join(CLAIM)
    }

    /// The cluster that this part belongs to, if one has claimed it.
    pub fn claimed(&self) -> Result<Option<Claim>> {
        let key = self.claim_key()?;
        if self.storage().stat(&key)?.is_none() {
            return Ok(None);
        }
        self.read_json(&key).map(Some)
    }

    /// Claims this part for a cluster. One that has claimed it already keeps it; a new minor or major
    /// version of it is written down.
    ///
    /// # Errors
    /// [`Kind::Refused`] when another cluster has.
    pub fn claim(&self, system_identifier: u64, version: u32) -> Result<Claim> {
        let key = self.claim_key()?;
        let new =
            |since| Claim { name: self.target().to_string(), system_identifier, version, since };
        let there = if let Some(there) = self.claimed()? {
            there
        } else {
            let own = new(Clock::system().wall());
            match self.write_json(&key, &own, Overwrite::Never) {
                // Somebody was faster; perhaps ourselves, in another process.
                Err(fault) if fault.kind == Kind::Refused => self.claimed()?.ok_or(fault)?,
                done => return done.map(|()| own),
            }
        };
        if there.system_identifier != system_identifier {
            let what = format!(
                "'{}' in {} belongs to the cluster {}, and this is {system_identifier}",
                self.target(),
                self.storage().describe(),
                there.system_identifier
            );
            return Err(Fault::new(Kind::Refused, what)
                .remedy("give this one another --name, or another repository"));
        }
        if there.version == version {
            return Ok(there);
        }
        let own = new(there.since);
        self.write_json(&key, &own, Overwrite::Replace)?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recover::repository::folder::Folder;

    #[test]
    fn the_first_cluster_keeps_its_place_through_upgrades_and_a_second_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Arc::new(Folder::open(home.path()).expect("opened"));
        let repository = Repository::new(folder, "prod").expect("a name");
        assert_eq!(repository.claimed().expect("looked"), None);
        let first = repository.claim(u64::MAX - 7, 150_018).expect("claimed");
        assert_eq!(repository.claim(u64::MAX - 7, 150_018).expect("again"), first);
        let later = repository.claim(u64::MAX - 7, 160_004).expect("upgraded");
        assert_eq!((later.version, later.since), (160_004, first.since));
        assert_eq!(repository.claimed().expect("looked"), Some(later.clone()));
        let refused = repository.claim(42, 160_004).expect_err("another cluster");
        assert_eq!(refused.kind, Kind::Refused);
        assert!(refused.to_string().contains("another --name"), "{refused}");
        assert_eq!(repository.claimed().expect("looked"), Some(later));
    }
}
