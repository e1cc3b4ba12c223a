//! The ledger: every act of howdah that changes anything, one line each, append-only and chained.
//!
//! A folder holds `ledger.jsonl`, one JSON object a line, and `head.json`, the number and hash of the last
//! line. Each line holds the hash of the line before (`prev`) and, as its last member, its own (`hash`):
//! SHA-256 of the line with that member cut out. So `sed 's/,"hash":"[0-9a-f]*"}$/}/' | tr -d '\n' |
//! sha256sum` on a line checks it without us. Who can write the folder can write a whole new chain, its
//! head included: the chain finds changes, it does not prevent them; witnesses elsewhere are for that.
//!
//! An act is recorded before it begins ([`Ledger::begin`]) and when it ends ([`Entry::done`],
//! [`Entry::failed`], [`Entry::refused`]). When the first cannot be written the act is refused; when the
//! second is missing, readers say `no end recorded`.

mod account;
mod error;
mod export;
mod lines;
mod record;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod who;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use account::{Account, Accounts, Selection, accounts};
pub use error::LedgerError;
pub use export::{Header, export, verify_bundle};
pub use record::{Outcome, Record, Target};
pub use tail::Head;
use tail::{Mending, Tail};
pub use verify::{Fault, Verdict, verify};
pub use who::Who;

use crate::base::{clock::Clock, process, secret::mask, text::Text};

/// An act that is about to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    action: Text,
    target: Option<Target>,
    why: Option<Text>,
    details: Value,
}

impl Act {
    /// An act by its dotted word: the room, then what it does, such as `backup.run`.
    pub fn new(action: impl Into<Text>) -> Self {
        Self { action: action.into(), target: None, why: None, details: Value::Null }
    }

    /// On what.
    #[must_use]
    pub fn on(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Why, as the person said.
    #[must_use]
    pub fn because(self, why: &str) -> Self {
        Self { why: Some(reason(why)), ..self }
    }

    /// More about it, an object. Text in it is cleaned and passwords in connection strings are masked;
    /// a [`Secret`](crate::base::secret::Secret) writes itself as asterisks.
    #[must_use]
    pub fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// The ledger in one folder, written in one person's name. Its clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
    who: Who,
    host: Text,
    job: Option<Text>,
    clock: Clock,
}

/// What an ending says.
struct Ending {
    outcome: Outcome,
    why: Option<Text>,
    begun: Option<u64>,
}

impl Ledger {
    /// The ledger of `folder`, which is made with the first line.
    pub fn new(folder: &Path, who: Who, clock: &Clock) -> Self {
        let host = process::host();
        let (host, clock) = (host.into(), clock.clone());
        Self { folder: folder.to_owned(), who, host, job: None, clock }
    }

    /// The same ledger, written by the job of that name.
    #[must_use]
    pub fn in_job(self, job: Option<&str>) -> Self {
        Self { job: job.map(Text::from), ..self }
    }

    /// Where it stands.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Records that an act begins. On an error the act must not be begun.
    pub fn begin(&self, act: Act) -> Result<Entry, LedgerError> {
        let ending = Ending { outcome: Outcome::Begun, why: act.why.clone(), begun: None };
        let seq = self.append(&act, ending)?;
        Ok(Entry { ledger: self.clone(), seq, act })
    }

    /// Records that an act was refused before it began; the line's number.
    pub fn refuse(&self, act: &Act, why: &str) -> Result<u64, LedgerError> {
        let ending = Ending { outcome: Outcome::Refused, why: Some(reason(why)), begun: None };
        self.append(act, ending)
    }

    fn append(&self, act: &Act, ending: Ending) -> Result<u64, LedgerError> {
        if !is_action(&act.action) {
            return Err(LedgerError::NotAnAction(act.action.to_string()));
        }
        let (mut tail, mendings) = Tail::lock(&self.folder)?;
        for mending in &mendings {
            let act = Act::new("ledger.mended").with(told(mending));
            let done = Ending { outcome: Outcome::Done, why: None, begun: None };
            tail.push(|seq, prev| self.record(seq, prev, &act, done))?;
            tail.told(mending)?;
        }
        tail.push(|seq, prev| self.record(seq, prev, act, ending))
    }

    fn record(&self, seq: u64, prev: String, act: &Act, ending: Ending) -> Record {
        Record {
            seq,
            time: self.clock.wall(),
            who: self.who.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            job: self.job.clone(),
            action: act.action.clone(),
            target: act.target.clone(),
            why: ending.why,
            outcome: ending.outcome,
            begun: ending.begun,
            details: record::tidy(act.details.clone()),
            prev,
        }
    }
}

/// An act that has begun. Dropping it records nothing: the ledger then says `no end recorded`, as it does
/// when the process was killed.
#[derive(Debug)]
#[must_use = "an act that is dropped has no end recorded"]
pub struct Entry {
    ledger: Ledger,
    seq: u64,
    act: Act,
}

impl Entry {
    /// The number of the line that began it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// It is done; more about it, an object.
    pub fn done(self, details: Value) -> Result<(), LedgerError> {
        self.end(Outcome::Done, None, details)
    }

    /// It failed, for this reason.
    pub fn failed(self, why: &str, details: Value) -> Result<(), LedgerError> {
        self.end(Outcome::Failed, Some(reason(why)), details)
    }

    /// It was not allowed to go on, for this reason; nothing was changed.
    pub fn refused(self, why: &str) -> Result<(), LedgerError> {
        self.end(Outcome::Refused, Some(reason(why)), Value::Null)
    }

    fn end(self, outcome: Outcome, why: Option<Text>, details: Value) -> Result<(), LedgerError> {
        let act = Act { details, ..self.act };
        self.ledger.append(&act, Ending { outcome, why, begun: Some(self.seq) }).map(drop)
    }
}

fn reason(why: &str) -> Text {
    Text::one_line(&mask(why))
}

fn told(mending: &Mending) -> Value {
    match mending {
        Mending::Torn { file, bytes, sha256 } => json!({
            "what": "a line was torn, by a process that died or a disk that was full while it was written",
            "file": file.file_name().map(|name| name.to_string_lossy()),
            "bytes": bytes,
            "sha256": sha256,
        }),
        Mending::NoHead => json!({
            "what": "the head was gone: lines that were cut off the end before this line cannot be told",
        }),
    }
}

/// Dotted words: lower-case letters, digits and hyphens, two words at least.
fn is_action(action: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    action.contains('.') && action.split('.').all(word)
}
