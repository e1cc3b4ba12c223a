//! Names of what is kept: slash-separated, relative, and never a way out of the repository.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::recover::{Fault, Kind, Result};

/// The name of one object in a repository, such as `prod/backups/20261125T020000Z-physical/manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// Checks a name: parts of letters, digits and `._-+=@%`, none of them empty or made of dots only.
    pub fn new(name: &str) -> Result<Self> {
        if name.split('/').all(is_part) {
            return Ok(Self(name.to_owned()));
        }
        Err(Fault::new(Kind::Usage, format!("'{name}' cannot be a name in a repository"))
            .remedy("use letters, digits and the signs . _ - + = @ %"))
    }

    /// The name of something below this one.
    pub fn join(&self, part: &str) -> Result<Self> {
        Self::new(&format!("{}/{part}", self.0))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    pub fn file(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What stands behind `prefix/`, if it stands below it.
    pub fn below(&self, prefix: &Self) -> Option<&str> {
        self.0.strip_prefix(&prefix.0)?.strip_prefix('/')
    }
}

/// True for one part of a name.
fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.chars().any(|c| c != '.')
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-+=@%".contains(c))
}

/// A foreign name, such as a database's, as one part of a key: what may not stand in it becomes `%` and two
/// hex digits a byte, so that different names stay different.
pub fn escaped(name: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-".contains(&c);
    name.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl TryFrom<String> for Key {
    type Error = Fault;
    fn try_from(name: String) -> Result<Self> {
        Self::new(&name)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_name_leads_out_of_the_repository() {
        for name in ["", "/a", "a//b", "..", "a/../b", "a/.", "a\0", "a b", "a\n", "ä", "..."] {
            assert!(Key::new(name).is_err(), "{name:?}");
        }
        assert_eq!(Key::new("a/b.zst").expect("a name").file(), "b.zst");
    }

    proptest! {
        #[test]
        fn any_foreign_name_becomes_one_part(a in ".+", b in ".+") {
            prop_assert!(Key::new(&escaped(&a)).is_ok_and(|key| !key.as_str().contains('/')));
            prop_assert_eq!(a == b, escaped(&a) == escaped(&b));
        }
    }
}
