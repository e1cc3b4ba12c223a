//! Tables, with everything that belongs to them, into a side schema.
//!
//! Definitions in a dump name their schemas, and rewriting SQL by hand is not honest work. So the closure is
//! restored under its own names into a scratch database on the same server; there PostgreSQL itself moves
//! each object into the side schema (`ALTER … SET SCHEMA`), which changes what defaults, constraints,
//! triggers and policies refer to; and that schema is dumped and restored into the database wished for, in
//! one transaction. The scratch database is removed. Only the text of function bodies still says what it
//! said.
//!
//! A table that is gone can also come back in its old place ([`Place::Original`]): whatever of the closure is
//! missing there is restored from the dump itself, in one transaction; what exists is not touched.

use std::{collections::BTreeMap, fmt::Write as _, fs::File, io::BufReader, path::Path};

use serde::Serialize;
use serde_json::json;

use super::{
    Source, Target,
    closure::{Closure, Name, Outside, Tie, closure, object_columns},
    database, messages,
    plan::{roles_named_by, unknown_roles, unobstructed},
    privileges,
    record::{self, Phases, Record, What},
    side::{Side, quoted},
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
        Fault, Kind, Repository, Result,
        dump::{Entry, Input, Toc},
        repository::manifest::BackupId,
        session::{Session, identifier, literal},
    },
};

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
    /// What stands in the way, each with its remedy.
    pub obstacles: Vec<String>,
    /// Bytes of the whole dump, which is read to check it.
    pub bytes: u64,
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

/// Looks at the dump and at the server. Changes nothing.
pub fn plan(
    repository: &Repository,
    source: &Source,
    target: &Target,
    wish: &Wish,
) -> Result<Plan> {
    let toc = source.contents(repository)?;
    let closure = closure(&toc, &wish.tables)?;
    let session = target.database(&wish.into)?;
    session.run("SET search_path = ''")?;
    let mut plan = Plan {
        backup: source.manifest.id.clone(),
        as_of: source.manifest.began,
        from: source.database.clone(),
        server: target.describe(),
        into: wish.into.clone(),
        schema: None,
        contents: Vec::new(),
        outside: closure.outside.clone(),
        notes: notes(&toc, &closure),
        roles_made: Vec::new(),
        obstacles: Vec::new(),
        bytes: source.stored.content_size,
        ids: Vec::new(),
        tables: closure.tables.iter().filter_map(|id| toc.get(*id)).map(name_of).collect(),
    };
    let taken = match &wish.place {
        Place::Side(schema) => {
            plan.schema = Some(schema.clone());
            side_obstacles(&mut plan, &toc, &closure, &session, schema)?;
            closure.ids.iter().copied().collect()
        }
        Place::Original => missing_of(&mut plan, &toc, &closure, &session)?,
    };
    // In the order of the table of contents, which is the order of restoring.
    let taken: std::collections::BTreeSet<i32> = taken;
    for entry in toc.entries.iter().filter(|entry| taken.contains(&entry.id)) {
        plan.ids.push(entry.id);
        plan.contents.push((entry.desc.clone(), entry.name()));
    }
    let named = roles_named_by(toc.entries.iter().filter(|entry| taken.contains(&entry.id)));
    let unknown = unknown_roles(target, &named)?;
    if wish.with_roles {
        plan.roles_made = unknown;
    } else if !unknown.is_empty() {
        plan.obstacles.push(format!(
            "the server lacks the roles {}: add --with-roles to make them (NOLOGIN, without passwords), or make them yourself",
            unknown.join(", ")
        ));
    }
    Ok(plan)
}

fn name_of(entry: &Entry) -> Name {
    Name { schema: entry.namespace.clone(), name: entry.tag.clone() }
}

fn notes(toc: &Toc, closure: &Closure) -> Vec<String> {
    let mut notes = Vec::new();
    for entry in closure.structure.iter().filter_map(|id| toc.get(*id)) {
        notes.push(format!("'{}' comes without rows: others are made of it", entry.name()));
    }
    if toc.entries.iter().any(|entry| entry.desc == "BLOBS") {
        for entry in closure.tables.iter().filter_map(|id| toc.get(*id)) {
            for column in object_columns(entry) {
                notes.push(format!(
                    "'{}.{column}' may hold numbers of large objects: they come as numbers, without the objects",
                    entry.name()
                ));
            }
        }
    }
    let function = |entry: &Entry| matches!(entry.desc.as_str(), "FUNCTION" | "PROCEDURE");
    if closure.ids.iter().filter_map(|id| toc.get(*id)).any(function) {
        notes.push("what function bodies refer to is not recorded by PostgreSQL: it is not looked for, and its names stay as they are".into());
    }
    notes
}

fn side_obstacles(
    plan: &mut Plan,
    toc: &Toc,
    closure: &Closure,
    session: &Session,
    schema: &str,
) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    if schema.is_empty() || schema.len() > 63 || schema.starts_with("pg_") {
        plan.obstacles.push(format!("'{schema}' cannot be a schema's name"));
    } else if session.one(sql, &[&schema])?.get(0) {
        plan.obstacles
            .push(format!("the schema '{schema}' exists: choose another name for --into-schema"));
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in closure.ids.iter().filter_map(|id| toc.get(*id)) {
        match entry.desc.as_str() {
            "TABLE" | "SEQUENCE" | "TYPE" | "DOMAIN" => {
                if let Some(other) = seen.insert(&entry.tag, &entry.namespace)
                    && other != entry.namespace
                {
                    plan.obstacles.push(format!(
                        "'{}' is needed from the schemas {other} and {}: one side schema cannot hold both, restore the tables one by one",
                        entry.tag, entry.namespace
                    ));
                }
            }
            "EXTENSION" => {
                let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = $1)";
                let there: bool = session.one(sql, &[&entry.tag])?.get(0);
                if !there {
                    plan.obstacles.push(format!(
                        "the database '{}' lacks the extension '{}': CREATE EXTENSION there first",
                        plan.into, entry.tag
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of the closure, what the database does not have; tables that it has stand in the way.
fn missing_of(
    plan: &mut Plan,
    toc: &Toc,
    closure: &Closure,
    session: &Session,
) -> Result<std::collections::BTreeSet<i32>> {
    let mut taken = closure.ids.clone();
    let mut kept = Vec::new();
    for entry in closure.ids.iter().filter_map(|id| toc.get(*id)) {
        if !exists(session, entry)? {
            continue;
        }
        if closure.tables.contains(&entry.id) {
            plan.obstacles.push(format!(
                "the table '{}' exists: restore it into a side schema, compare, and copy back",
                entry.name()
            ));
        }
        taken.remove(&entry.id);
        kept.push(entry.id);
        if !matches!(entry.desc.as_str(), "SCHEMA" | "EXTENSION") {
            plan.notes.push(format!("{} '{}' exists and stays as it is", entry.desc, entry.name()));
        }
    }
    // What belongs to something that stays, stays too: its comment, its privileges, its position.
    let about = |entry: &Entry| {
        matches!(entry.desc.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL" | "SEQUENCE SET")
            && entry.needs.first().is_some_and(|id| kept.contains(id))
    };
    taken.retain(|id| toc.get(*id).is_some_and(|entry| !about(entry)));
    Ok(taken)
}

/// True for an object that is there already, as far as the kind can be there before its table.
fn exists(session: &Session, entry: &Entry) -> Result<bool> {
    let quoted_name = quoted(&name_of(entry));
    let (sql, name) = match entry.desc.as_str() {
        "SCHEMA" => {
            ("EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", entry.tag.clone())
        }
        "EXTENSION" => {
            ("EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = $1)", entry.tag.clone())
        }
        "TABLE" | "SEQUENCE" | "VIEW" => ("pg_catalog.to_regclass($1) IS NOT NULL", quoted_name),
        "TYPE" | "DOMAIN" => ("pg_catalog.to_regtype($1) IS NOT NULL", quoted_name),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
            let (name, arguments) = entry.tag.split_once('(').unwrap_or((&entry.tag, ")"));
            let call = format!("{}.{}({arguments}", identifier(&entry.namespace), identifier(name));
            ("pg_catalog.to_regprocedure($1) IS NOT NULL", call)
        }
        _ => return Ok(false),
    };
    Ok(session.one(&format!("SELECT {sql}"), &[&name])?.get(0))
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
    let mut phases = Phases::begin();
    let ids: std::collections::HashSet<i32> = plan.ids.iter().copied().collect();
    let wanted = |_: &Toc, entry: &Entry| ids.contains(&entry.id);
    let unpacked = source.unpack(repository, work, &wanted, observer)?;
    phases.end("unpack");
    database::make_roles(target, &plan.roles_made, observer)?;
    let list = unpacked.list(plan.ids.iter().copied())?;
    match &wish.place {
        Place::Side(schema) => {
            aside(target, wish, &plan, &unpacked, &list, schema, &mut phases, observer)?;
        }
        Place::Original => {
            in_place(target, wish, &plan, &unpacked, &list, &mut phases, observer)?;
        }
    }
    let findings = check(target, wish, &plan, &unpacked)?;
    phases.end("checks");
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
        phases: phases.finish(),
        findings,
        unchecked: Vec::new(),
    };
    repository.keep_restore(&record)?;
    Ok(record)
}

#[expect(clippy::too_many_arguments, reason = "the stages of one deed share what it is about")]
fn aside(
    target: &Target,
    wish: &Wish,
    plan: &Plan,
    unpacked: &Unpacked,
    list: &Path,
    schema: &str,
    phases: &mut Phases,
    observer: &dyn Observer,
) -> Result<()> {
    let scratch = format!("howdah_scratch_{}", stamp(Clock::system().wall()));
    let cleanup = Cleanup::words(format!("drop the scratch database '{scratch}'"));
    let step =
        observer.step(format!("restoring into the scratch database '{scratch}'"), &cleanup)?;
    database::create(target, unpacked, &scratch)?;
    let moved = (|| -> Result<()> {
        let tool = target
            .tool("pg_restore", &scratch)
            .args(["--exit-on-error", "--no-password", "--no-tablespaces"])
            .arg(format!("--jobs={}", wish.jobs.max(1)))
            .arg("--use-list")
            .arg(list)
            .arg(&unpacked.path);
        tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain)?;
        phases.end("restore");
        move_into(&target.database(&scratch)?, plan, schema)?;
        across(target, wish, unpacked, &scratch, schema, observer)?;
        phases.end("across");
        Ok(())
    })();
    let dropped = target.drop_own(&scratch);
    moved?;
    dropped?;
    step.done(json!({ "schema": schema }))?;
    Ok(())
}

/// In the scratch database: moves every object of a schema that belongs to nothing else into the side
/// schema. The server rewrites what refers to them.
fn move_into(scratch: &Session, plan: &Plan, schema: &str) -> Result<()> {
    let side = Side {
        howdah_backup: plan.backup.clone(),
        tables: plan.tables.clone(),
        schema: schema.to_owned(),
    };
    let comment = serde_json::to_string(&side)
        .map_err(|error| Fault::new(Kind::Failed, format!("no JSON: {error}")))?;
    let quoted = identifier(schema);
    scratch.run("SET search_path = ''")?;
    // Objects depend on their schema; what belongs to a table or to an extension moves with that, or stays.
    let sql = "SELECT i.type, i.identity FROM pg_depend d \
        JOIN pg_namespace n ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid \
        CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i \
        WHERE d.deptype = 'n' AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT EXISTS ( \
          SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid \
            AND (o.refclassid, o.refobjid) <> (o.classid, o.objid) AND ( \
            o.deptype IN ('e', 'i') AND o.refclassid <> 'pg_namespace'::regclass \
            OR o.deptype = 'a' AND o.refclassid = 'pg_class'::regclass AND o.classid = 'pg_class'::regclass \
               AND EXISTS (SELECT FROM pg_class s WHERE s.oid = o.objid AND s.relkind = 'S'))) \
        ORDER BY 1, 2";
    let objects = scratch.query(sql, &[])?;
    let mut script = format!("BEGIN; CREATE SCHEMA {quoted};\n");
    for row in &objects {
        let (kind, name): (&str, &str) = (row.get(0), row.get(1));
        let kind = match kind {
            "composite type" => "type",
            "statistics object" => "statistics",
            "default acl" => continue,
            other => other,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(script, "ALTER {} {name} SET SCHEMA {quoted};", kind.to_uppercase());
    }
    let _ = writeln!(script, "COMMENT ON SCHEMA {quoted} IS {}; COMMIT", literal(&comment));
    scratch.run(&script)?;
    // One that stayed would tie the side schema to the live table of that name.
    let sql = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
        WHERE relkind IN ('r', 'p', 'S', 'v', 'm') AND nspname <> $1 AND nspname !~ '^pg_' \
        AND nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend \
          WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') LIMIT 1";
    match scratch.query(sql, &[&schema])?.first() {
        None => Ok(()),
        Some(row) => {
            let name: String = row.get(0);
            Err(Fault::new(Kind::Failed, format!("{name} cannot be moved into a side schema")))
        }
    }
}

/// Dumps the side schema and restores it into the database wished for, in one transaction.
fn across(
    target: &Target,
    wish: &Wish,
    unpacked: &Unpacked,
    scratch: &str,
    schema: &str,
    observer: &dyn Observer,
) -> Result<()> {
    let file = unpacked.folder().join("side");
    let dump = target
        .tool("pg_dump", scratch)
        .args(["--format=custom", "--compress=0", "--no-password", "--no-publications"])
        .arg("--strict-names")
        .arg(format!("--schema={}", identifier(schema)))
        .arg("--file")
        .arg(&file);
    dump.run(observer.cancel(), &mut |_| {})?;
    let tool = target
        .tool("pg_restore", &wish.into)
        .args(["--exit-on-error", "--single-transaction", "--no-password"])
        .arg(&file);
    tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain)?;
    let side = File::open(&file).map_err(Fault::io("cannot read the side schema's dump"))?;
    let side = Toc::read(&mut Input::new(BufReader::new(side)))?;
    privileges::as_dumped(&target.database(&wish.into)?, side.entries.iter())
}

/// Restores what is missing where it was, in one transaction, then the foreign keys of others to it.
fn in_place(
    target: &Target,
    wish: &Wish,
    plan: &Plan,
    unpacked: &Unpacked,
    list: &Path,
    phases: &mut Phases,
    observer: &dyn Observer,
) -> Result<()> {
    let tool = target
        .tool("pg_restore", &wish.into)
        .args(["--exit-on-error", "--single-transaction", "--no-password", "--no-tablespaces"])
        .arg("--use-list")
        .arg(list)
        .arg(&unpacked.path);
    tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain)?;
    phases.end("restore");
    let session = target.database(&wish.into)?;
    let entries = unpacked.toc.entries.iter().filter(|entry| plan.ids.contains(&entry.id));
    privileges::as_dumped(&session, entries)?;
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
    phases.end("foreign keys");
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
        let sql = format!("SELECT count(*) FROM ONLY {}", quoted(&name));
        let now: i64 = session.one(&sql, &[])?.get(0);
        if now.unsigned_abs() != count.rows {
            findings.push(format!("'{name}' has {now} rows; the dump holds {}", count.rows));
        }
        session.run(&format!("ANALYZE {}", quoted(&name)))?;
    }
    Ok(findings)
}
