//! What a backup is called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    base::clock::Timestamp,
    recover::{Fault, Kind},
};

/// What a backup is called: when it began and of which kind, such as `20261125T020000Z-physical`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The name of a backup that begins at this moment.
    pub fn new(began: Timestamp, method: Method) -> Self {
        Self(format!("{}-{method}", began.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it began, to the second.
    pub fn began(&self) -> Timestamp {
        // It was readable when this was made.
        moment(&self.0).unwrap_or_default()
    }

    /// How it was, or is, taken.
    pub fn method(&self) -> Method {
        if self.0.ends_with("-logical") { Method::Logical } else { Method::Physical }
    }
}

/// The moment that a name begins with: `20261125T020000Z`.
fn moment(name: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| name.get(range);
    let (date, time) = (part(0..8)?, name.get(8..16)?.strip_prefix('T')?);
    let text = format!(
        "{}-{}-{}T{}:{}:{}",
        date.get(..4)?,
        date.get(4..6)?,
        date.get(6..)?,
        time.get(..2)?,
        time.get(2..4)?,
        time.get(4..)?
    );
    text.parse().ok()
}

impl FromStr for BackupId {
    type Err = Fault;
    fn from_str(name: &str) -> Result<Self, Fault> {
        let fits = name.split_once('-').is_some_and(|(at, method)| {
            at.len() == 16 && moment(at).is_some() && matches!(method, "logical" | "physical")
        });
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err(Fault::new(Kind::Usage, format!("'{name}' is not the name of a backup"))
                .remedy("`howdah backup list` shows them"))
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = Fault;
    fn try_from(name: String) -> Result<Self, Fault> {
        name.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By `pg_dump` and `pg_dumpall --globals-only`: databases as statements and rows.
    Logical,
    /// By `pg_basebackup`: the data folder, with the WAL that makes it consistent.
    Physical,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Logical => "logical",
            Self::Physical => "physical",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_how_and_nothing_else_is_one() {
        let at: Timestamp = "2026-11-25T02:00:00Z".parse().expect("a time");
        let id = BackupId::new(at, Method::Physical);
        assert_eq!(id.as_str(), "20261125T020000Z-physical");
        assert_eq!(id.as_str().parse::<BackupId>().expect("a name"), id);
        assert_eq!((id.began(), id.method()), (at, Method::Physical));
        for name in
            ["", "20261399T020000Z-logical", "../x", "20261125T020000Z-other", "20261125T020000Z"]
        {
            assert!(name.parse::<BackupId>().is_err(), "{name}");
        }
    }
}
