//! The cluster that archives into a repository: written with the first segment, and held against each later
//! one, so that a copy of the cluster cannot mix its WAL with the original's.

use serde::{Deserialize, Serialize};

use super::page::{Head, major_of};
use crate::recover::{
    Fault, Kind, Repository, Result,
    repository::{key::Key, storage::Overwrite},
};

/// Which cluster it is, and how its WAL is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its system identifier. A text in JSON: it does not fit into a double.
    #[serde(with = "crate::recover::repository::manifest::as_text")]
    pub system_identifier: u64,
    /// Its major version.
    pub major: u32,
    /// Bytes of a segment.
    pub segment_size: u64,
}

impl Claim {
    /// What a segment says; none where its version is not known.
    pub fn of(head: &Head) -> Option<Self> {
        Some(Self {
            system_identifier: head.system_identifier,
            major: major_of(head.magic)?,
            segment_size: head.segment_size,
        })
    }

    /// Why a segment that says `other` does not belong to this cluster; none when it does.
    pub fn differs(&self, other: &Self) -> Option<String> {
        if self.system_identifier != other.system_identifier {
            return Some(format!(
                "it is of the cluster {}, this archive of {}",
                other.system_identifier, self.system_identifier
            ));
        }
        if self.major != other.major {
            return Some(format!(
                "it is of PostgreSQL {}, this archive of {}",
                other.major, self.major
            ));
        }
        (self.segment_size != other.segment_size).then(|| {
            format!(
                "its cluster cuts segments of {} bytes, this archive has such of {}",
                other.segment_size, self.segment_size
            )
        })
    }
}

impl Repository {
    /// The cluster that archives here; none before its first segment.
    pub fn wal_claim(&self) -> Result<Option<Claim>> {
        let key = claim_key(self)?;
        match self.read_json(&key) {
            Ok(claim) => Ok(Some(claim)),
            // Looked for only then: this stands in the way of every segment.
            Err(_) if self.storage().stat(&key)?.is_none() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Takes the archive for the cluster of this segment, or checks that it is the same one.
    ///
    /// # Errors
    /// [`Kind::Refused`] when it belongs to another one.
    pub fn wal_claim_for(&self, name: &str, own: &Claim) -> Result<()> {
        let claimed = match self.wal_claim()? {
            Some(claimed) => claimed,
            None => match self.write_json(&claim_key(self)?, own, Overwrite::Never) {
                Ok(()) => return Ok(()),
                // Another one was faster.
                Err(fault) if fault.kind == Kind::Refused => self.wal_claim()?.ok_or(fault)?,
                Err(fault) => return Err(fault),
            },
        };
        match claimed.differs(own) {
            None => Ok(()),
            Some(why) => Err(Fault::new(Kind::Refused, format!("{name} is refused: {why}"))
                .remedy("give each cluster a name of its own in the repository (--name)")),
        }
    }
}

fn claim_key(repository: &Repository) -> Result<Key> {
    repository.wal_key()?.join("cluster.json")
}
