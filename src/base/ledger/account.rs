//! What was done, as people ask for it: each act with its end.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    LedgerError,
    lines::{self, Place},
    record::{Outcome, Record},
};
use crate::base::clock::Timestamp;

/// An act from its begin to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// The line that began it, or the only one.
    pub begin: Record,
    /// The line that ended it.
    pub end: Option<Record>,
}

impl Account {
    /// How it ended; `None` when no end is recorded.
    pub fn outcome(&self) -> Option<Outcome> {
        let last = self.end.as_ref().unwrap_or(&self.begin);
        (last.outcome != Outcome::Begun).then_some(last.outcome)
    }

    /// How it ended, in words.
    pub fn outcome_in_words(&self) -> &'static str {
        self.outcome().map_or("no end recorded", Outcome::word)
    }
}

/// Which acts are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// On the target of this name, or with this system identifier.
    pub target: Option<String>,
}

impl Selection {
    pub(super) fn takes(&self, record: &Record) -> bool {
        let named = |name: &str| {
            record.target.as_ref().is_some_and(|target| {
                &*target.name == name || target.system_identifier.as_deref() == Some(name)
            })
        };
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
            && self.target.as_deref().is_none_or(named)
    }
}

/// The acts of a ledger, in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounts {
    /// The acts.
    pub acts: Vec<Account>,
    /// Lines that cannot be read or that are not what their hash says; what they told is not shown.
    pub bad_lines: Vec<u64>,
}

/// Reads the acts of a folder's ledger. This trusts each line that has its own hash: only
/// [`verify`](super::verify()) looks at the whole chain.
pub fn accounts(folder: &Path, selection: &Selection) -> Result<Accounts, LedgerError> {
    let mut found = BTreeMap::new();
    let mut bad_lines = Vec::new();
    for (at, line) in lines::of_folder(folder)?.enumerate() {
        match line?.1 {
            Place::Good(line) => {
                let record = line.record;
                match record.begun {
                    Some(begun) => {
                        if let Some(Account { end, .. }) = found.get_mut(&begun) {
                            *end = Some(record);
                        }
                    }
                    None if selection.takes(&record) => {
                        found.insert(record.seq, Account { begin: record, end: None });
                    }
                    None => {}
                }
            }
            Place::Bad => bad_lines.push(at as u64 + 1),
            // It was never finished, so its act never began.
            Place::Torn => {}
        }
    }
    Ok(Accounts { acts: found.into_values().collect(), bad_lines })
}
