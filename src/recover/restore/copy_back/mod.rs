//! From the side schema into the live tables, and back again: one transaction of statements that can be read
//! beforehand.
//!
//! | mode | what it does | who waits | undone by |
//! |---|---|---|---|
//! | insert missing | rows that the live table lacks come back; nothing else changes | writers | the rows it brought, kept in the side schema |
//! | upsert | the same, and rows that differ become as they were | writers | the rows as they were before, kept in the side schema |
//! | swap | the live table gives its name to a new one with exactly the backup's rows | everybody | the live table itself, kept under another name |

mod catalogue;
mod fate;
mod rows;
mod swap;

pub use fate::settled;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Target,
    closure::Name,
    diff::feeding,
    record::{self, Record, What},
    side::{Side, Table, quoted},
    sql::tailed,
    stamp,
};
use crate::{
    base::{
        clock::Clock,
        progress::{Cleanup, Observer},
    },
    recover::{
        Fault, Kind, Repository, Result,
        session::{Session, identifier, literal},
        stopwatch::Stopwatch,
    },
};

/// How rows are copied back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rows whose key the live table lacks.
    InsertMissing,
    /// These, and rows of the same key with other values.
    Upsert,
    /// All rows, in a new table under the live one's name.
    Swap,
    /// What an earlier copy did is taken back.
    Undo,
}

/// What will be done, statement by statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// The live table.
    pub table: Name,
    /// Where the rows come from.
    pub source: Name,
    /// How.
    pub mode: Mode,
    /// The table that keeps what undoes it.
    pub kept: Name,
    /// The statements of the one transaction, `BEGIN` and `COMMIT` left out.
    pub statements: Vec<String>,
    /// Statements behind it.
    pub after: Vec<String>,
    /// What else there is to know: what waits, what is not touched, what needs attention afterwards.
    pub notes: Vec<String>,
    /// What stands in the way.
    pub obstacles: Vec<String>,
}

/// How long the transaction waits for a lock before it gives up and changes nothing.
const LOCK_LIMIT: &str = "10s";

impl Script {
    fn new(table: &Name, source: &Name, mode: Mode, kept: Name) -> Self {
        let statements = vec![
            format!("SET LOCAL lock_timeout = '{LOCK_LIMIT}'"),
            "SET LOCAL search_path = ''".to_owned(),
            // Rows that a policy hides from us are an error, never left out.
            "SET LOCAL row_security = off".to_owned(),
        ];
        Self {
            table: table.clone(),
            source: source.clone(),
            mode,
            kept,
            statements,
            after: vec![format!("ANALYZE {}", quoted(table))],
            notes: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    fn add(&mut self, statement: impl Into<String>) {
        self.statements.push(statement.into());
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// What the statements come to: others have another mark. The moment in the name of what is kept is not part
    /// of it.
    pub fn mark(&self) -> String {
        let kept = &self.kept.name;
        let unnamed =
            |lines: &[String]| lines.iter().map(|s| s.replace(kept, "KEPT")).collect::<Vec<_>>();
        crate::base::digest::mark(&serde_json::json!({
            "table": self.table.to_string(),
            "source": self.source.to_string(),
            "mode": self.mode,
            "statements": unnamed(&self.statements),
            "after": unnamed(&self.after),
            "obstacles": self.obstacles,
        }))
    }

    /// Refuses when something stands in the way.
    pub fn check(&self) -> Result<()> {
        match self.obstacles.first() {
            None => Ok(()),
            Some(first) => Err(Fault::new(Kind::Refused, first.clone())),
        }
    }
}

/// Prepares a session for [`plan`] and [`undo`]: names are then written with their schemas.
pub fn prepare(session: &Session) -> Result<()> {
    session.run("SET search_path = ''; SET row_security = off")
}

/// The statements that copy a table of a side schema back. Changes nothing.
pub fn plan(session: &Session, side: &Side, live: &Name, mode: Mode) -> Result<Script> {
    prepare(session)?;
    let source = read(session, &side.of(live)?)?;
    let Some(there) = Table::read(session, live)? else {
        return Err(Fault::new(Kind::Refused, format!("the table '{live}' is gone"))
            .remedy("bring it back where it was: howdah restore table --in-place"));
    };
    let at = stamp(Clock::system().wall());
    match mode {
        Mode::Swap => swap::script(session, &source, &there, Mode::Swap, &at),
        Mode::InsertMissing | Mode::Upsert => {
            let kept = Name {
                schema: side.schema.clone(),
                name: tailed(&live.name, &format!("_undo_{at}")),
            };
            rows::script(session, &source, &there, mode, kept)
        }
        Mode::Undo => Err(Fault::new(Kind::Usage, "what is undone is named by its record")),
    }
}

/// The statements that take back what a record says was done. Changes nothing.
pub fn undo(session: &Session, record: &Record) -> Result<Script> {
    prepare(session)?;
    let What::CopyBack { table, mode, kept, .. } = &record.what else {
        let what =
            format!("the restore {} copied nothing back: there is nothing to undo", record.id);
        return Err(Fault::new(Kind::Usage, what));
    };
    let (live, kept) = (read(session, table)?, read(session, kept)?);
    // What undid rows kept nothing but those rows: it is no whole table to swap in.
    if *mode == Mode::Undo && kept.column(rows::DID).is_some() {
        let what =
            format!("{} took back rows that were copied: that itself cannot be undone", record.id);
        return Err(Fault::new(Kind::Refused, what).remedy("copy them back again with copy-back"));
    }
    match mode {
        Mode::InsertMissing | Mode::Upsert => rows::undo(session, &live, &kept),
        Mode::Swap | Mode::Undo => {
            swap::script(session, &kept, &live, Mode::Undo, &stamp(Clock::system().wall()))
        }
    }
}

fn read(session: &Session, name: &Name) -> Result<Table> {
    Table::read(session, name)?
        .ok_or_else(|| Fault::new(Kind::Unavailable, format!("the table '{name}' is gone")))
}

/// Runs a script: all of it or nothing. The record names what undoes it.
///
/// # Errors
/// [`Kind::Refused`] for what stands in the way, and when a lock cannot be had in time.
pub fn run(
    repository: &Repository,
    target: &Target,
    database: &str,
    script: &Script,
    observer: &dyn Observer,
) -> Result<Record> {
    script.check()?;
    let session = target.database(database)?;
    let (id, began) = record::begin();
    let mut watch = Stopwatch::start();
    let cleanup = Cleanup::words("nothing: the transaction is undone by the server");
    let step = observer.step(format!("copying back into '{}'", script.table), &cleanup)?;
    if let Err(fault) = carry_out(&session, script, observer) {
        step.undone(fault.what().as_str())?;
        return Err(fault);
    }
    step.done(json!({ "table": script.table.to_string() }))?;
    let mut record = Record {
        id,
        began,
        what: What::CopyBack {
            database: database.to_owned(),
            table: script.table.clone(),
            mode: script.mode,
            source: script.source.clone(),
            kept: script.kept.clone(),
            pending: None,
        },
        backup: None,
        server: target.describe(),
        bytes: 0,
        phases: Vec::new(),
        findings: Vec::new(),
        unchecked: Vec::new(),
    };
    fate::commit(repository, target, &session, &mut record, observer)
        .map_err(|fault| explain(&fault))?;
    watch.lap("copy back");
    for statement in &script.after {
        // What is committed stays so: a failed ANALYZE is told, and nothing more.
        if let Err(fault) = session.run(statement) {
            record.unchecked.push(format!("{statement}: {}", fault.what()));
        }
    }
    watch.lap("analyze");
    record.phases = watch.phases;
    repository.settle_restore(&record)?;
    Ok(record)
}

/// Runs the statements in a transaction, which stays open; on an error nothing of it is left.
fn carry_out(session: &Session, script: &Script, observer: &dyn Observer) -> Result<()> {
    session.run("BEGIN")?;
    for statement in &script.statements {
        if observer.cancelled() {
            session.run("ROLLBACK")?;
            return Err(Fault::new(Kind::Cancelled, "the copy was cancelled: nothing has changed"));
        }
        if let Err(fault) = session.run(statement) {
            session.run("ROLLBACK")?;
            return Err(explain(&fault));
        }
    }
    Ok(())
}

fn explain(fault: &Fault) -> Fault {
    let what = format!("{}; nothing has changed", fault.what());
    // lock_not_available, PostgreSQL documentation, appendix A.
    if fault.what().contains("(55P03)") {
        return Fault::new(Kind::Refused, what)
            .remedy("try again when no long transaction holds the table");
    }
    Fault::new(fault.kind, what)
}

/// Statements that raise the sequences of a table above its largest values; none is ever set back. They are
/// not undone by a rollback: numbers are skipped then, never used twice.
fn raise_sequences(session: &Session, live: &Table, table: &str) -> Result<Vec<String>> {
    let feeding = feeding(session, live)?;
    let raise = feeding.iter().map(|(sequence, column)| {
        format!(
            "SELECT pg_catalog.setval({}, m) FROM (SELECT max({})::bigint AS m FROM {table}) x \
             WHERE m > (SELECT last_value FROM {sequence})",
            literal(sequence),
            identifier(column)
        )
    });
    Ok(raise.collect())
}
