//! What was found sound before, so that only new segments are read again. Kept in the repository, one object
//! for each folder of segments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    base::clock::Timestamp,
    recover::{
        Repository, Result,
        repository::{key::Key, storage::Overwrite},
    },
};

/// What a verification saw of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The fingerprint of its content then.
    pub sha256: String,
    /// When.
    pub at: Timestamp,
    /// Bytes that it took in the archive then.
    #[serde(default)]
    pub size: u64,
    /// When it was written there.
    #[serde(default)]
    pub archived: Timestamp,
    /// Every record was read, too.
    pub records: bool,
    /// The first commit in it, where records were read.
    pub first_commit: Option<Timestamp>,
    /// The last one.
    pub last_commit: Option<Timestamp>,
}

/// Everything that was seen, by the segments' names.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    seen: BTreeMap<String, Seen>,
}

/// Digits of a name that segments in one object share.
const SHARED: usize = 22;

impl Memory {
    /// All that is remembered of a repository. What cannot be read is forgotten: the segments are then read
    /// again.
    pub fn load(repository: &Repository) -> Result<Self> {
        let mut seen = BTreeMap::new();
        for object in repository.storage().list(&root(repository)?)? {
            let part: Option<BTreeMap<String, Seen>> = repository.read_json(&object.key).ok();
            seen.extend(part.unwrap_or_default());
        }
        Ok(Self { seen })
    }

    /// What was seen of a segment.
    pub fn get(&self, name: &str) -> Option<&Seen> {
        self.seen.get(name)
    }

    /// Takes what was seen now, forgets what was found damaged, and keeps that in the repository.
    pub fn keep(
        &mut self,
        repository: &Repository,
        new: BTreeMap<String, Seen>,
        damaged: &[String],
    ) -> Result<()> {
        let shared = |name: &str| name.get(..SHARED).unwrap_or(name).to_owned();
        let lost = damaged.iter().filter(|name| self.seen.contains_key(*name));
        let touched: std::collections::BTreeSet<String> =
            new.keys().chain(lost).map(|n| shared(n)).collect();
        self.seen.extend(new);
        self.seen.retain(|name, _| !damaged.contains(name));
        for folder in touched {
            let part: BTreeMap<&String, &Seen> =
                self.seen.iter().filter(|(name, _)| name.starts_with(&folder)).collect();
            let key = root(repository)?.join(&format!("{folder}.json"))?;
            repository.write_json(&key, &part, Overwrite::Replace)?;
        }
        Ok(())
    }
}

fn root(repository: &Repository) -> Result<Key> {
    repository.wal_key()?.join("verified")
}
