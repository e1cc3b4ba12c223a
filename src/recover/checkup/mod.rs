//! What is looked at after a restore, of whichever kind: is the cluster what the backup says it was?
//!
//! Everything is asked of the server itself. Each check says what it compared and with what; one that could
//! not be made says why, and never counts as passed.
//!
//! | file | its duty |
//! |---|---|
//! | [`contents`] | tables, rows, keys, large objects, sequences |
//! | [`surroundings`] | databases, roles, extensions, indexes, collations, structure |
//! | [`assertions`] | the user's own SQL |

pub mod assertions;
pub mod contents;
pub mod structure;
pub mod surroundings;

use std::{cell::RefCell, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{
    Fault, Kind, Result,
    repository::manifest::{Database, Manifest},
    session::Session,
};
use crate::{
    base::{
        clock::Clock,
        progress::{Observer, Progress},
        text::Text,
    },
    cluster::Binaries,
    resilience::conninfo::Settings,
};

/// At most so many findings of one check are written down; the rest is counted.
const SHOWN: usize = 20;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Orders<'a> {
    /// The superuser's settings for the restored cluster.
    pub settings: &'a Settings,
    /// The backup that it was restored from.
    pub manifest: &'a Manifest,
    /// Of a logical backup: the databases that were restored, by the names they have now.
    pub databases: Option<BTreeMap<String, String>>,
    /// Nothing was replayed behind the backup: counts and sequences must be those of the manifest.
    pub exact: bool,
    /// Run `pg_amcheck`, which reads every table and index.
    pub amcheck: bool,
    /// SQL of the user's own: each row that it returns is a finding.
    pub assertions: Option<&'a str>,
    /// PostgreSQL's programs.
    pub binaries: &'a Binaries,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How much was compared, in words.
    pub seen: String,
    /// What was found wrong, or is worth knowing, each naming the thing.
    pub findings: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Passed,
    /// It is sound, and something is worth knowing.
    Noted,
    /// It is not as it should be.
    Failed,
    /// It could not be looked at.
    NotDone,
}

/// Rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Its database, by its name in the backup.
    pub database: String,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many it has.
    pub rows: u64,
}

/// What a look at everything saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Each check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// Rows of each table that could be read.
    pub tables: Vec<Counted>,
}

/// Makes all checks. A check that fails is no error: it is a finding.
pub fn checkup(orders: &Orders<'_>, observer: &dyn Observer) -> Result<Outcome> {
    let session = Session::open(orders.settings)?;
    let tables = RefCell::new(Vec::new());
    let mut made = Vec::new();
    let mut check = |name: &str, look: &dyn Fn() -> Result<Seen>| -> Result<()> {
        if observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the checks were cancelled"));
        }
        observer.progress(&Progress::items(format!("checking: {name}"), made.len() as u64, None));
        let clock = Clock::system();
        let began = clock.now();
        let seen = match look() {
            // Who ends a check has not seen that it cannot be done.
            Err(fault) if fault.kind == Kind::Cancelled => return Err(fault),
            seen => seen.unwrap_or_else(|fault| Seen::not_done(&fault)),
        };
        made.push(seen.check(name, clock.now().since(began).as_secs_f64()));
        Ok(())
    };
    check("databases", &|| surroundings::databases(&session, orders))?;
    check("roles", &|| surroundings::roles(&session, orders))?;
    check("tables", &|| each(orders, contents::relations))?;
    check("rows", &|| each(orders, |s, d, o| contents::rows(s, d, o, &mut tables.borrow_mut())))?;
    check("rows against indexes", &|| {
        each(orders, |s, d, _| contents::against_indexes(s, d, &tables.borrow()))
    })?;
    if orders.exact {
        check("largest keys", &|| each(orders, contents::largest_keys))?;
        check("large objects", &|| each(orders, contents::large_objects))?;
    }
    check("sequences", &|| each(orders, contents::sequences))?;
    check("extensions", &|| each(orders, surroundings::extensions))?;
    check("invalid indexes", &|| each(orders, surroundings::invalid_indexes))?;
    check("collations", &|| surroundings::collations(&session, orders))?;
    if orders.amcheck {
        check("pg_amcheck", &|| surroundings::amcheck(orders, observer))?;
    }
    if let Some(sql) = orders.assertions {
        check("assertions", &|| asserted(&session, sql))?;
    }
    Ok(Outcome { checks: made, tables: tables.into_inner() })
}

/// The checks that failed, in words.
pub fn failures(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed);
    failed.flat_map(|check| check.findings.iter().map(|f| format!("{}: {f}", check.name))).collect()
}

/// What one look saw.
#[derive(Debug, Default)]
struct Seen {
    verdict: Option<Verdict>,
    compared: u64,
    what: String,
    findings: Vec<String>,
    notes: Vec<String>,
}

impl Seen {
    fn of(what: &str) -> Self {
        Self { what: what.to_owned(), ..Self::default() }
    }

    fn not_done(fault: &Fault) -> Self {
        let findings = vec![fault.to_string()];
        Self { verdict: Some(Verdict::NotDone), findings, ..Self::default() }
    }

    fn wrong(&mut self, finding: impl Into<Text>) {
        self.findings.push(finding.into().to_string());
    }

    fn note(&mut self, note: impl Into<Text>) {
        self.notes.push(note.into().to_string());
    }

    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.findings.extend(other.findings);
        self.notes.extend(other.notes);
        if self.what.is_empty() {
            self.what = other.what;
        }
    }

    fn check(self, name: &str, seconds: f64) -> Check {
        let verdict = self.verdict.unwrap_or(if !self.findings.is_empty() {
            Verdict::Failed
        } else if self.compared == 0 {
            // Nothing to compare is not the same as nothing wrong.
            Verdict::NotDone
        } else if self.notes.is_empty() {
            Verdict::Passed
        } else {
            Verdict::Noted
        });
        let mut findings = self.findings;
        findings.extend(self.notes);
        if findings.len() > SHOWN {
            let more = findings.len() - SHOWN;
            findings.truncate(SHOWN);
            findings.push(format!("and {more} more"));
        }
        let seen = format!("{} {}", self.compared, self.what).trim().to_owned();
        Check { name: name.to_owned(), verdict, seen, findings, seconds }
    }
}

/// The databases of the manifest that are to be looked into, with the names they have now.
fn restored<'a>(orders: &'a Orders<'_>) -> impl Iterator<Item = (&'a Database, String)> + use<'a> {
    orders.manifest.inventory.databases.iter().filter_map(|database| match &orders.databases {
        None => Some((database, database.name.clone())),
        Some(names) => Some((database, names.get(&database.name)?.clone())),
    })
}

fn each(
    orders: &Orders<'_>,
    look: impl Fn(&Session, &Database, &Orders<'_>) -> Result<Seen>,
) -> Result<Seen> {
    let mut all = Seen::default();
    for (database, name) in restored(orders) {
        let session = match Session::open_database(orders.settings, &name) {
            Ok(session) => session,
            // Behind the backup it may have been dropped; the check of databases tells.
            Err(_) if !orders.exact => {
                all.note(format!("the database '{name}' cannot be looked into"));
                continue;
            }
            Err(fault) => return Err(fault),
        };
        all.add(look(&session, database, orders)?);
    }
    Ok(all)
}

/// What the manifest names and the cluster lacks: wrong, unless WAL behind the backup may have removed it.
fn missing(seen: &mut Seen, orders: &Orders<'_>, what: String) {
    if orders.exact {
        seen.wrong(what);
    } else {
        seen.note(format!("{what}: it was in the backup, and may have been dropped after it"));
    }
}

/// The user's own SQL, each row of which is a finding, or one truth value.
fn asserted(session: &Session, script: &str) -> Result<Seen> {
    let mut seen = Seen::of("assertions");
    let (asked, findings) = assertions::ask(session, script)?;
    seen.compared = asked;
    for finding in findings {
        seen.wrong(finding);
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_compared_is_not_passed() {
        assert_eq!(Seen::of("x").check("x", 0.0).verdict, Verdict::NotDone);
        let mut seen = Seen::of("x");
        seen.compared = 1;
        seen.note("a".to_owned());
        assert_eq!(seen.check("x", 0.0).verdict, Verdict::Noted);
        let mut seen = Seen::of("x");
        seen.compared = 1;
        (0..30).for_each(|n| seen.wrong(format!("\x1b{n}")));
        let check = seen.check("x", 0.0);
        assert_eq!((check.verdict, check.findings.len()), (Verdict::Failed, SHOWN + 1));
        assert_eq!(check.findings[SHOWN], "and 10 more");
        assert_eq!(check.findings[0], "^[0");
        assert_eq!(failures(&[check]).len(), SHOWN + 1);
    }
}
