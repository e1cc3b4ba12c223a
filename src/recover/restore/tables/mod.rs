//! Tables, with everything that belongs to them, into a side schema.
//!
//! Definitions in a dump name their schemas, and rewriting SQL by hand is not honest work. So the closure is
//! restored under its own names into a scratch database on the same server; there PostgreSQL itself moves
//! each object into the side schema (`ALTER … SET SCHEMA`), which changes what defaults, constraints,
//! triggers and policies refer to; and that schema is dumped and restored into the database wished for, in
//! one transaction. The scratch database is removed. Only the text of function bodies still says what it
//! said.
//!
//! | file | its duty |
//! |---|---|
//! | `plan` | what will be done, and what stands in the way |
//! | `aside` | into a side schema, by way of a scratch database |
//!
//! A table that is gone can also come back in its old place ([`Place::Original`]): whatever of the closure is
//! missing there is restored from the dump itself, in one transaction; what exists is not touched.

mod aside;
mod plan;

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use self::aside::Aside;
use super::{
    Source, Target,
    closure::{Name, Outside, Tie, closure},
    database,
    leftover::Leftover,
    messages,
    plan::unobstructed,
    privileges::Defaults,
    record::{self, Record, What},
    side::{Made, quoted},
    source::Unpacked,
    sql, stamp,
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        digest::mark,
        progress::{Cleanup, Observer},
    },
    recover::{
        Repository, Result,
        backup::lock::Owner,
        checkup::contents,
        dump::{Entry, Toc},
        repository::manifest::BackupId,
        session::Session,
        stopwatch::Stopwatch,
    },
};

pub use plan::plan;

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The tables, by their names in the backup.
    pub tables: Vec<Name>,
    /// The database that they come to.
    pub into: String,
    /// Where in it.
    pub place: Place,
    /// Roles that are missing are made: NOLOGIN, without passwords.
    pub with_roles: bool,
    /// What restores that were killed have left is removed first.
    pub without_leftovers: bool,
    /// Workers of `pg_restore`.
    pub jobs: u32,
}

/// Where in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this schema, which is made.
    Side(String),
    /// Where they were: only for tables that are gone.
    Original,
}

/// The name of a side schema that is made now.
pub fn side_name() -> String {
    format!("howdah_restore_{}", stamp(Clock::system().wall()))
}

/// What will be done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// From this backup…
    pub backup: BackupId,
    /// …which holds what had been committed at this moment…
    pub as_of: Timestamp,
    /// …of this database…
    pub from: String,
    /// …to this server…
    pub server: String,
    /// …into this database…
    pub into: String,
    /// …and this schema; none: where they were.
    pub schema: Option<String>,
    /// The entries that come: kind and name, in order.
    pub contents: Vec<(String, String)>,
    /// What is tied to the tables and does not come.
    pub outside: Vec<Outside>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// Roles that are made.
    pub roles_made: Vec<String>,
    /// What killed restores have left, and is removed first.
    pub removes: Vec<String>,
    /// What stands in the way, each with its remedy.
    pub obstacles: Vec<String>,
    /// Bytes of the whole dump, which is read to check it.
    pub bytes: u64,
    #[serde(skip)]
    leftovers: Vec<Leftover>,
    #[serde(skip)]
    ids: Vec<i32>,
    #[serde(skip)]
    tables: Vec<Name>,
}

impl Plan {
    /// What the plan comes to: another one has another mark.
    pub fn mark(&self) -> String {
        mark(&json!(self))
    }

    /// Refuses when something stands in the way.
    pub fn check(&self) -> Result<()> {
        unobstructed(&self.obstacles)
    }
}

/// Plans again, refuses if anything stands in the way, restores, checks and records. The live tables are not
/// touched. When it fails or is cancelled, what this run has made is removed.
pub fn restore(
    repository: &Repository,
    source: &Source,
    target: &Target,
    wish: &Wish,
    work: &Path,
    observer: &dyn Observer,
) -> Result<Record> {
    let plan = plan(repository, source, target, wish)?;
    plan.check()?;
    source.check_room(work)?;
    let (id, began) = record::begin();
    let session = target.database(&wish.into)?;
    remove_leftovers(&plan, target, &session, observer)?;
    let defaults = Defaults::read(&session)?;
    drop(session);
    let mut watch = Stopwatch::start();
    let ids: std::collections::HashSet<i32> = plan.ids.iter().copied().collect();
    let wanted = |_: &Toc, entry: &Entry| ids.contains(&entry.id);
    let told = |entry: &Entry| match wish.place {
        // Into a scratch database, which has no defaults.
        Place::Side(_) => None,
        Place::Original => defaults.taken_back(entry),
    };
    let unpacked = source.unpack_with(repository, work, &wanted, &told, observer)?;
    watch.lap("unpack");
    database::make_roles(target, &plan.roles_made, observer)?;
    let list = unpacked.list(plan.ids.iter().copied())?;
    match &wish.place {
        Place::Side(schema) => {
            let made =
                Made { restore: id.clone(), by: Owner::own("restore table", &Clock::system())? };
            let deed =
                Aside { target, wish, plan: &plan, unpacked: &unpacked, schema, made, defaults };
            deed.carry_out(&list, &mut watch, observer)?;
        }
        Place::Original => {
            in_place(target, wish, &unpacked, &list, &mut watch, observer)?;
        }
    }
    let findings = check(target, wish, &plan, &unpacked)?;
    watch.lap("checks");
    let record = Record {
        id,
        began,
        what: What::Tables {
            database: plan.into,
            tables: plan.tables.iter().map(ToString::to_string).collect(),
            schema: plan.schema,
        },
        backup: Some(plan.backup),
        server: plan.server,
        bytes: unpacked.bytes,
        phases: watch.phases,
        findings,
        unchecked: Vec::new(),
    };
    repository.keep_restore(&record)?;
    Ok(record)
}

fn remove_leftovers(
    plan: &Plan,
    target: &Target,
    session: &Session,
    observer: &dyn Observer,
) -> Result<()> {
    for left in &plan.leftovers {
        let step = observer.step(format!("removing {left}"), &Cleanup::none())?;
        match left.remove(target, session) {
            Ok(()) => step.done(json!({}))?,
            Err(fault) => {
                step.undone(fault.what().as_str())?;
                return Err(fault);
            }
        }
    }
    Ok(())
}

/// Restores what is missing where it was, in one transaction, then the foreign keys of others to it.
fn in_place(
    target: &Target,
    wish: &Wish,
    unpacked: &Unpacked,
    list: &Path,
    watch: &mut Stopwatch,
    observer: &dyn Observer,
) -> Result<()> {
    let tool = target
        .tool("pg_restore", &wish.into)
        .args(["--exit-on-error", "--single-transaction", "--no-password", "--no-tablespaces"])
        .arg("--use-list")
        .arg(list)
        .arg(&unpacked.path);
    tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain)?;
    watch.lap("restore");
    let session = target.database(&wish.into)?;
    let closure = closure(&unpacked.toc, &wish.tables)?;
    for outside in closure
        .outside
        .iter()
        .filter(|outside| matches!(outside.is, Tie::ForeignKeyIn | Tie::ForeignKeyOut))
    {
        let Some(entry) = unpacked.toc.get(outside.id) else { continue };
        // `ALTER TABLE … ADD CONSTRAINT …;`, by pg_dump: one that fails leaves the tables as they are.
        for statement in sql::statements(&entry.definition) {
            if let Err(fault) = session.run(statement) {
                observer.note(&format!("{} is not there again: {fault}", outside.what).into());
            }
        }
    }
    watch.lap("foreign keys");
    Ok(())
}

/// Rows of each table against those that stood in the dump.
fn check(target: &Target, wish: &Wish, plan: &Plan, unpacked: &Unpacked) -> Result<Vec<String>> {
    let session = target.database(&wish.into)?;
    let mut findings = Vec::new();
    for (id, count) in &unpacked.tally.tables {
        let Some(entry) = unpacked.toc.get(*id).filter(|entry| plan.ids.contains(&entry.id)) else {
            continue;
        };
        let schema = plan.schema.as_ref().unwrap_or(&entry.namespace);
        let name = Name { schema: schema.clone(), name: entry.tag.clone() };
        let now = contents::rows_of(&session, &quoted(&name))?;
        if now != count.rows {
            findings.push(format!("'{name}' has {now} rows; the dump holds {}", count.rows));
        }
        session.run(&format!("ANALYZE {}", quoted(&name)))?;
    }
    Ok(findings)
}
