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
/// Where it stood beside the WAL at first; read, and no longer written.
const WAL_CLAIM: &str = "cluster.json";

/// Which cluster something is of, as far as that something tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its system identifier. A text in JSON: it does not fit into a double.
    #[serde(with = "super::manifest::as_text")]
    pub system_identifier: u64,
    /// `server_version_num`: 150018 is 15.18. WAL tells the major version alone: 150000.
    pub version: u32,
    /// Bytes of a segment of its WAL, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_size: Option<u64>,
}

impl Cluster {
    /// Its major version, such as 15.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Why something of `other` does not belong to this cluster; none when it may. `pg_upgrade` makes a
    /// cluster with an identifier of its own: another major version is another cluster.
    pub fn differs(&self, other: &Self) -> Option<String> {
        if self.system_identifier != other.system_identifier {
            return Some(format!(
                "it is of the cluster {}, not of {}",
                other.system_identifier, self.system_identifier
            ));
        }
        if self.major() != other.major() {
            return Some(format!("it is of PostgreSQL {}, not of {}", other.major(), self.major()));
        }
        match (self.segment_size, other.segment_size) {
            (Some(ours), Some(others)) if ours != others => {
                Some(format!("its cluster cuts WAL into segments of {others} bytes, not of {ours}"))
            }
            _ => None,
        }
    }

    /// Both together, where they do not differ.
    fn and(&self, other: &Self) -> Self {
        Self {
            system_identifier: self.system_identifier,
            version: self.version.max(other.version),
            segment_size: self.segment_size.or(other.segment_size),
        }
    }
}

/// Whose a part of the repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The target's name, as it stands in the repository.
    pub name: String,
    /// The cluster; its version is the highest that has claimed it.
    #[serde(flatten)]
    pub cluster: Cluster,
    /// When it was first claimed.
    pub since: Timestamp,
    /// What comes in is encrypted: whoever has no recipients is refused, and can leave nothing readable.
    #[serde(default)]
    pub encrypted: bool,
}

/// What [`WAL_CLAIM`] says.
#[derive(Deserialize)]
struct WalClaim {
    #[serde(with = "super::manifest::as_text")]
    system_identifier: u64,
    major: u32,
    segment_size: u64,
}

impl Repository {
    /// The cluster that this part belongs to: by its claim; by what older versions wrote with the first
    /// segment; else by the newest backup.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when they contradict each other, or cannot be understood.
    pub fn claimed(&self) -> Result<Option<Claim>> {
        let Some(claim) = self.written_claim()? else {
            return match self.claimed_by_wal()? {
                Some(claim) => Ok(Some(claim)),
                None => self.claimed_by_backup(),
            };
        };
        self.completed(claim).map(Some)
    }

    /// What a claim does not say yet, from what older versions wrote.
    fn completed(&self, claim: Claim) -> Result<Claim> {
        if claim.cluster.segment_size.is_some() {
            return Ok(claim);
        }
        let Some(before) = self.claimed_by_wal()? else { return Ok(claim) };
        if let Some(why) = claim.cluster.differs(&before.cluster) {
            let what = format!("'{}' has two owners: {why}", self.target());
            return Err(Fault::new(Kind::Damaged, what).remedy(
                "look whose WAL is in it (`howdah wal verify`), and remove the wrong claim",
            ));
        }
        Ok(Claim { cluster: claim.cluster.and(&before.cluster), ..claim })
    }

    /// Claims this part for a cluster that is about to write into it. One that has claimed it already keeps
    /// it; what is newly known of it is written down.
    ///
    /// # Errors
    /// [`Kind::Refused`] when another cluster has; [`Kind::Config`] when what is in it is encrypted, and we
    /// would not encrypt.
    pub fn claim(&self, own: &Cluster) -> Result<Claim> {
        let key = self.claim_key()?;
        let written = self.written_claim()?;
        let there = match &written {
            Some(written) => Some(self.completed(written.clone())?),
            None => self.claimed()?,
        };
        let there = if let Some(there) = there {
            there
        } else {
            let new = self.new_claim(*own, Clock::system().wall());
            match self.write_json(&key, &new, Overwrite::Never) {
                // Somebody was faster; perhaps ourselves, in another process.
                Err(fault) if fault.kind == Kind::Refused => self.claimed()?.ok_or(fault)?,
                done => return done.map(|()| new),
            }
        };
        self.may_write(&there, own)?;
        let encrypted = there.encrypted || self.encrypts();
        let now = Claim { cluster: there.cluster.and(own), encrypted, ..there.clone() };
        if written.as_ref() != Some(&now) {
            self.write_json(&key, &now, Overwrite::Replace)?;
        }
        Ok(now)
    }

    /// Lets what comes in from now on be kept as it is, though what is there may be encrypted.
    pub fn stop_encrypting(&self) -> Result<()> {
        match self.claimed()? {
            Some(claim) if claim.encrypted => {
                let claim = Claim { encrypted: false, ..claim };
                self.write_json(&self.claim_key()?, &claim, Overwrite::Replace)
            }
            _ => Ok(()),
        }
    }

    fn may_write(&self, there: &Claim, own: &Cluster) -> Result<()> {
        if let Some(why) = there.cluster.differs(own) {
            let what = format!(
                "'{}' in {} belongs to the cluster {}: {why}",
                self.target(),
                self.storage().describe(),
                there.cluster.system_identifier
            );
            return Err(Fault::new(Kind::Refused, what)
                .remedy("give each cluster a --name of its own, or another repository"));
        }
        if there.encrypted && !self.encrypts() {
            let what = format!(
                "'{}' in {} is encrypted, and no recipients are known here",
                self.target(),
                self.storage().describe()
            );
            return Err(Fault::new(Kind::Config, what).remedy(
                "name the configuration that has recover.recipients with --config, or let it no longer be \
                 encrypted: `howdah repo init --unencrypted`",
            ));
        }
        Ok(())
    }

    fn written_claim(&self) -> Result<Option<Claim>> {
        self.read_if_there(&self.claim_key()?)
    }

    fn claim_key(&self) -> Result<Key> {
        self.target().join(CLAIM)
    }

    fn new_claim(&self, cluster: Cluster, since: Timestamp) -> Claim {
        Claim { name: self.target().to_string(), cluster, since, encrypted: self.encrypts() }
    }

    fn claimed_by_wal(&self) -> Result<Option<Claim>> {
        let key = self.wal_key()?.join(WAL_CLAIM)?;
        let Some(wal) = self.read_if_there::<WalClaim>(&key)? else { return Ok(None) };
        let since = self.storage().stat(&key)?.map(|object| object.modified).unwrap_or_default();
        let cluster = Cluster {
            system_identifier: wal.system_identifier,
            version: wal.major * 10_000,
            segment_size: Some(wal.segment_size),
        };
        Ok(Some(Claim { encrypted: false, ..self.new_claim(cluster, since) }))
    }

    fn claimed_by_backup(&self) -> Result<Option<Claim>> {
        let newest = self.backups()?.into_iter().rev().find_map(|entry| entry.manifest().cloned());
        Ok(newest.map(|manifest| {
            let cluster = Cluster {
                system_identifier: manifest.cluster.system_identifier,
                version: manifest.cluster.version,
                segment_size: manifest.wal.map(|wal| wal.segment_size),
            };
            let encrypted = manifest.files.iter().any(|file| !file.stored.recipients.is_empty());
            Claim { encrypted, ..self.new_claim(cluster, manifest.began) }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recover::repository::{encryption::Recipients, folder::Folder};

    const ID: u64 = u64::MAX - 7;
    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn cluster(system_identifier: u64, version: u32, segment_size: Option<u64>) -> Cluster {
        Cluster { system_identifier, version, segment_size }
    }

    fn repository(home: &tempfile::TempDir) -> Repository {
        let folder = Arc::new(Folder::open(home.path()).expect("opened"));
        Repository::new(folder, "prod").expect("a name")
    }

    #[test]
    fn the_first_cluster_keeps_its_place_and_a_second_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home);
        assert_eq!(repository.claimed().expect("looked"), None);
        let first = repository.claim(&cluster(ID, 150_018, None)).expect("claimed");
        assert_eq!(repository.claim(&cluster(ID, 150_018, None)).expect("again"), first);
        // WAL knows the size of segments, and no minor version.
        let segment = cluster(ID, 150_000, Some(16 << 20));
        let later = repository.claim(&segment).expect("its WAL");
        assert_eq!(later.cluster, cluster(ID, 150_018, Some(16 << 20)));
        assert_eq!(later.since, first.since);
        assert_eq!(repository.claimed().expect("looked"), Some(later.clone()));
        for other in [
            cluster(42, 150_018, None),
            cluster(ID, 160_001, None),
            cluster(ID, 150_000, Some(1 << 20)),
        ] {
            let refused = repository.claim(&other).expect_err("another cluster");
            assert_eq!(refused.kind, Kind::Refused);
            assert!(refused.to_string().contains("--name"), "{refused}");
        }
        assert_eq!(repository.claimed().expect("looked"), Some(later));
    }

    #[test]
    fn what_older_versions_wrote_is_read_and_then_written_anew() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home);
        let wal = home.path().join("prod/wal");
        std::fs::create_dir_all(&wal).expect("made");
        let write = |id: u64| {
            let text = format!(
                "{{\"system_identifier\": \"{id}\", \"major\": 15, \"segment_size\": 16777216}}"
            );
            std::fs::write(wal.join(WAL_CLAIM), text).expect("written");
        };
        write(ID);
        let old = repository.claimed().expect("looked").expect("there");
        assert_eq!(old.cluster, cluster(ID, 150_000, Some(16 << 20)));
        let refused = repository.claim(&cluster(42, 150_018, None)).expect_err("another");
        assert_eq!(refused.kind, Kind::Refused);
        repository.claim(&cluster(ID, 150_018, None)).expect("the same");
        assert!(home.path().join("prod").join(CLAIM).is_file());

        // The claim of a backup, beside WAL of another cluster.
        std::fs::remove_file(home.path().join("prod").join(CLAIM)).expect("removed");
        std::fs::remove_file(wal.join(WAL_CLAIM)).expect("removed");
        repository.claim(&cluster(42, 150_018, None)).expect("free");
        write(ID);
        assert_eq!(repository.claimed().expect_err("two owners").kind, Kind::Damaged);
    }

    #[test]
    fn who_would_not_encrypt_is_refused_where_it_was_encrypted_before() {
        let home = tempfile::tempdir().expect("a folder");
        let plain = repository(&home);
        let own = cluster(ID, 150_018, None);
        assert!(!plain.claim(&own).expect("claimed").encrypted);
        let sealing = repository(&home).sealing_for(Recipients::parse([RECIPIENT]).expect("a key"));
        assert!(sealing.claim(&own).expect("claimed").encrypted);
        let refused = plain.claim(&own).expect_err("readable");
        assert_eq!(refused.kind, Kind::Config);
        assert!(refused.to_string().contains("--config"), "{refused}");
        plain.stop_encrypting().expect("wished");
        assert!(!plain.claim(&own).expect("claimed").encrypted);
    }
}
