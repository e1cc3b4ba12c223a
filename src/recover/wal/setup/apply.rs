//! Writes the settings by `ALTER SYSTEM`, sees that the server took them, and takes them back.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Plan,
    archiver::Archiver,
    next_values,
    record::{Record, Records},
    survey::{self, Server},
    wanted::Change,
};
use crate::{
    base::{
        clock::Clock,
        ledger::{Act, Ledger, LedgerError, Target},
        process::wait_until,
        progress::{Cleanup, Observer},
    },
    recover::{
        Fault, Kind, Result,
        session::{Session, identifier, literal},
    },
};

/// How long a server may take to read its configuration again.
const RELOAD_LIMIT: Duration = Duration::from_secs(10);

/// In whose name settings are written, and where that is kept.
#[derive(Clone, Debug)]
pub struct Authority<'a> {
    /// Each setting that is written is an act of it.
    pub ledger: &'a Ledger,
    /// The server.
    pub target: Target,
    /// Why, if it was said.
    pub reason: Option<&'a str>,
    /// What the settings were before.
    pub records: &'a Records,
}

/// What is written for one setting: a value, or none to forget what was.
struct Write<'a> {
    name: &'a str,
    value: Option<&'a str>,
    before: Option<&'a str>,
}

/// Writes what the plan says. When it returns, the server has read it, and its next start would have it; what
/// needs a restart waits for that.
///
/// # Errors
/// [`Kind::Refused`] when the plan must not be carried out. After every other failure the settings are what
/// they were, or the fault says that they are not.
pub fn apply(
    session: &Session,
    plan: &Plan,
    archiver: &Archiver,
    by: &Authority<'_>,
    observer: &dyn Observer,
) -> Result<Record> {
    if let Some(fault) = plan.refusal() {
        return Err(fault);
    }
    let mut record =
        Record { at: Clock::system().wall(), changes: plan.changes.clone(), undone: false };
    let cleanup = Cleanup::words("settings that ALTER SYSTEM wrote: `howdah wal setup --undo`");
    let step = observer.step("write the settings", &cleanup)?;
    by.records.keep(&record)?;
    let writes = record.changes.iter().map(forwards);
    let done = write_all(session, by, "wal.setup", writes)
        .and_then(|()| taken(session, &plan.server, archiver, &record.changes));
    match done {
        Ok(()) => {
            step.done(json!({ "settings": record.changes.len() }))?;
            Ok(record)
        }
        Err(fault) => {
            let back = put_back(session, by, &record.changes);
            step.undone(fault.what().as_str())?;
            back.map_err(|again| {
                again.during(&format!("{fault}; and the settings could not be put back"))
            })?;
            record.undone = true;
            by.records.keep(&record)?;
            Err(fault)
        }
    }
}

/// What undoing would write: the record, if the settings still are what it wrote.
///
/// # Errors
/// [`Kind::Refused`] when there is none, or somebody has changed a setting since.
pub fn undoable(session: &Session, server: &Server, records: &Records) -> Result<Record> {
    let Some(record) = records.last()? else {
        let what = format!("no set-up of this cluster is known in '{}'", records.file().display());
        return Err(Fault::new(Kind::Refused, what).remedy(
            "undo it as the account, and on the machine, that set it up; `howdah ledger show` tells the \
             former values",
        ));
    };
    let settings = survey::settings(session, server)?;
    let mut changed = Vec::new();
    for change in &record.changes {
        let written =
            settings.iter().find(|s| s.name == change.name).and_then(|s| s.written.as_ref());
        if written != Some(&change.to) {
            let now =
                written.map_or("not set by ALTER SYSTEM".to_owned(), |now| format!("'{now}'"));
            changed.push(format!("{} is {now}, and '{}' was written", change.name, change.to));
        }
    }
    if changed.is_empty() {
        return Ok(record);
    }
    let what = format!("somebody has changed it since: {}", changed.join("; "));
    Err(Fault::new(Kind::Refused, what)
        .remedy("settle these by hand: ALTER SYSTEM SET or RESET, then SELECT pg_reload_conf()"))
}

/// Takes a set-up back, to exactly what `ALTER SYSTEM` had written before, or had not.
pub fn undo(
    session: &Session,
    server: &Server,
    mut record: Record,
    by: &Authority<'_>,
    observer: &dyn Observer,
) -> Result<Record> {
    let cleanup =
        Cleanup::words("settings that are half put back: `howdah wal setup --undo` again");
    let step = observer.step("put the settings back", &cleanup)?;
    put_back(session, by, &record.changes)?;
    let written = || {
        let settings = survey::settings(session, server)?;
        let of = |name: &str| settings.iter().find(|s| s.name == name)?.written.clone();
        Ok(record.changes.iter().all(|change| of(&change.name) == change.written))
    };
    if !within_limit(written)? {
        let what = "the server does not show what was put back";
        return Err(Fault::new(Kind::Failed, what).remedy("look at pg_file_settings"));
    }
    record.undone = true;
    by.records.keep(&record)?;
    step.done(Value::Null)?;
    Ok(record)
}

fn put_back(session: &Session, by: &Authority<'_>, changes: &[Change]) -> Result<()> {
    write_all(session, by, "wal.setup-undo", changes.iter().rev().map(backwards))
}

fn forwards(change: &Change) -> Write<'_> {
    let before = change.written.as_deref();
    Write { name: &change.name, value: Some(&change.to), before }
}

fn backwards(change: &Change) -> Write<'_> {
    let value = change.written.as_deref();
    Write { name: &change.name, value, before: Some(&change.to) }
}

/// Writes each, as an act of the ledger of its own, and lets the server read them.
fn write_all<'a>(
    session: &Session,
    by: &Authority<'_>,
    action: &'static str,
    writes: impl Iterator<Item = Write<'a>>,
) -> Result<()> {
    for write in writes {
        let details =
            json!({ "setting": write.name, "written": write.value, "before": write.before });
        let mut act = Act::new(action).on(by.target.clone()).with(details);
        if let Some(reason) = by.reason {
            act = act.because(reason);
        }
        let entry = by.ledger.begin(act).map_err(|error| unrecorded(&error))?;
        match session.run(&write.statement()) {
            Ok(()) => entry.done(Value::Null).map_err(|error| unrecorded(&error))?,
            Err(fault) => {
                entry
                    .failed(&fault.to_string(), Value::Null)
                    .map_err(|error| unrecorded(&error))?;
                return Err(fault);
            }
        }
    }
    session.run("SELECT pg_reload_conf()")
}

impl Write<'_> {
    fn statement(&self) -> String {
        let name = identifier(self.name);
        match self.value {
            Some(value) => format!("ALTER SYSTEM SET {name} = {}", literal(value)),
            None => format!("ALTER SYSTEM RESET {name}"),
        }
    }
}

fn unrecorded(error: &LedgerError) -> Fault {
    Fault::new(Kind::Failed, error.to_string())
}

/// Sees that the server took them: what a reload is enough for is in force, and the next start would have
/// all of it.
fn taken(
    session: &Session,
    server: &Server,
    archiver: &Archiver,
    changes: &[Change],
) -> Result<()> {
    let in_force = || {
        let settings = survey::settings(session, server)?;
        Ok(changes.iter().filter(|change| !change.restart).all(|change| {
            settings.iter().any(|s| s.name == change.name && s.now.as_str() == change.to)
        }))
    };
    if !within_limit(in_force)? {
        let what = "the server has not taken the settings within ten seconds of being told";
        return Err(Fault::new(Kind::Failed, what).remedy("its log says why"));
    }
    let trial = next_values(session, server, archiver)?;
    if let Some(why) = trial.next_fault {
        return Err(Fault::new(Kind::Failed, format!("the server would not start again: {why}")));
    }
    for change in changes {
        let next = trial.next.get(&change.name);
        if next != Some(&change.to) {
            let next = next.map_or("—", String::as_str);
            let what = format!(
                "{} would be '{next}' after the next start, though '{}' was written",
                change.name, change.to
            );
            return Err(Fault::new(Kind::Failed, what));
        }
    }
    Ok(())
}

fn within_limit(mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let mut fault = None;
    let so = wait_until(RELOAD_LIMIT, || match is_so() {
        Ok(so) => so,
        Err(why) => {
            fault = Some(why);
            true
        }
    });
    fault.map_or(Ok(so), Err)
}
