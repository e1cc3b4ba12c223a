//! What is looked at after a restore, of whichever kind: is the cluster what the backup says it was?
//!
//! Everything is asked of the server itself. Each check says what it compared and with what; one that could
//! not be made says why, and never counts as passed.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Fault, Result, libpq,
    repository::manifest::{Database, Manifest, Method},
    session::{Session, identifier},
};
use crate::{
    base::{
        clock::Clock,
        exec::{ExecError, Tool},
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

/// Makes all checks. A check that fails is no error: it is a finding.
pub fn checkup(orders: &Orders<'_>, observer: &dyn Observer) -> Result<Vec<Check>> {
    let session = Session::open(orders.settings)?;
    let mut made = Vec::new();
    let mut check = |name: &str, look: &dyn Fn() -> Result<Seen>| -> Result<()> {
        if observer.cancelled() {
            return Err(Fault::new(super::Kind::Cancelled, "the checks were cancelled"));
        }
        observer.progress(&Progress::items(format!("checking: {name}"), made.len() as u64, None));
        let clock = Clock::system();
        let began = clock.now();
        let seen = look().unwrap_or_else(|fault| Seen::not_done(&fault));
        made.push(seen.check(name, clock.now().since(began).as_secs_f64()));
        Ok(())
    };
    check("databases", &|| databases(&session, orders))?;
    check("roles", &|| roles(&session, orders))?;
    check("tables", &|| each(orders, relations))?;
    check("rows", &|| each(orders, rows))?;
    check("sequences", &|| each(orders, sequences))?;
    check("extensions", &|| each(orders, extensions))?;
    check("invalid indexes", &|| each(orders, invalid_indexes))?;
    check("collations", &|| collations(&session, orders))?;
    if orders.amcheck {
        check("pg_amcheck", &|| amcheck(orders, observer))?;
    }
    if let Some(sql) = orders.assertions {
        check("assertions", &|| assertions(orders, sql))?;
    }
    Ok(made)
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
    look: fn(&Session, &Database, &Orders<'_>) -> Result<Seen>,
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

fn databases(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("databases");
    let rows = session.query("SELECT datname FROM pg_database WHERE datallowconn", &[])?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for (_, name) in restored(orders) {
        seen.compared += 1;
        if !there.contains(&name) {
            missing(&mut seen, orders, format!("'{name}' is not there"));
        }
    }
    Ok(seen)
}

/// What the manifest names and the cluster lacks: wrong, unless WAL behind the backup may have removed it.
fn missing(seen: &mut Seen, orders: &Orders<'_>, what: String) {
    if orders.exact {
        seen.wrong(what);
    } else {
        seen.note(format!("{what}: it was in the backup, and may have been dropped after it"));
    }
}

fn roles(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("roles");
    let rows = session.query("SELECT rolname FROM pg_roles", &[])?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for role in &orders.manifest.inventory.roles {
        seen.compared += 1;
        if !there.contains(role) {
            missing(&mut seen, orders, format!("'{role}' is not there"));
        }
    }
    Ok(seen)
}

fn relations(session: &Session, database: &Database, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("tables, views and sequences with data");
    let sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'm', 'S')";
    let rows = session.query(sql, &[])?;
    let there: std::collections::BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for relation in &database.relations {
        seen.compared += 1;
        let name = format!("{}: {}.{}", database.name, relation.schema, relation.name);
        if !there.contains(&(relation.schema.clone(), relation.name.clone())) {
            missing(&mut seen, orders, format!("{name} is not there"));
        } else if relation.unlogged
            && orders.manifest.method == Method::Physical
            && relation.kind != 'S'
        {
            seen.note(format!("{name} is unlogged: it came back empty"));
        }
    }
    Ok(seen)
}

/// Every row is read: a table that cannot be is found, whatever its count should be.
fn rows(session: &Session, database: &Database, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("tables read to their last row");
    for relation in database.relations.iter().filter(|relation| relation.kind == 'r') {
        let name = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
        let unlogged = relation.unlogged && orders.manifest.method == Method::Physical;
        let present = "SELECT to_regclass($1) IS NOT NULL";
        if !session.one(present, &[&name])?.get::<_, bool>(0) {
            continue;
        }
        seen.compared += 1;
        let counted: i64 = match session.one(&format!("SELECT count(*) FROM ONLY {name}"), &[]) {
            Ok(row) => row.get(0),
            Err(fault) => {
                seen.wrong(format!("{}: {name}: {}", database.name, fault.what()));
                continue;
            }
        };
        match relation.rows {
            Some(rows) if orders.exact && !unlogged && rows != counted.unsigned_abs() => {
                seen.wrong(format!(
                    "{}: {name} has {counted} rows instead of {rows}",
                    database.name
                ));
            }
            _ => {}
        }
    }
    Ok(seen)
}

fn sequences(session: &Session, database: &Database, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("sequences");
    let sql = "SELECT schemaname, sequencename, last_value FROM pg_sequences";
    let found: BTreeMap<(String, String), Option<i64>> =
        session.query(sql, &[])?.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    for relation in database.relations.iter().filter(|relation| relation.kind == 'S') {
        let key = (relation.schema.clone(), relation.name.clone());
        let Some(now) = found.get(&key) else { continue };
        let Some(before) = relation.last.as_ref().and_then(|last| last.parse::<i64>().ok()) else {
            continue;
        };
        seen.compared += 1;
        let name = format!("{}: {}.{}", database.name, relation.schema, relation.name);
        // A logical restore sets the value exactly; WAL may run ahead of it by the cache of 32.
        match now {
            Some(now) if orders.exact && *now < before => {
                seen.wrong(format!("{name} stands at {now}, before {before}"));
            }
            None if orders.exact => {
                seen.wrong(format!("{name} was never used, and stood at {before}"));
            }
            _ => {}
        }
    }
    Ok(seen)
}

fn extensions(session: &Session, database: &Database, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("extensions");
    let sql = "SELECT e.extname, e.extversion, a.default_version FROM pg_extension e \
               LEFT JOIN pg_available_extensions a ON a.name = e.extname";
    let found = session.query(sql, &[])?;
    for row in &found {
        let (name, version, available): (String, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        seen.compared += 1;
        if available.is_none() {
            seen.wrong(format!(
                "{}: the files of extension {name} {version} are not installed here",
                database.name
            ));
        }
        if let Some(before) = database.extensions.get(&name).filter(|before| **before != version) {
            seen.note(format!(
                "{}: extension {name} is {version}, and was {before}",
                database.name
            ));
        }
    }
    for name in database.extensions.keys() {
        if !found.iter().any(|row| row.get::<_, &str>(0) == name) {
            missing(&mut seen, orders, format!("{}: extension {name} is not there", database.name));
        }
    }
    Ok(seen)
}

fn invalid_indexes(session: &Session, database: &Database, _: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("indexes");
    let sql = "SELECT n.nspname, c.relname, i.indisvalid AND i.indisready FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace";
    for row in session.query(sql, &[])? {
        seen.compared += 1;
        let (schema, name, valid): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        if !valid {
            // It was so before: the backup holds what the cluster held.
            seen.note(format!(
                "{}: {schema}.{name} is invalid: it is not used, REINDEX it",
                database.name
            ));
        }
    }
    Ok(seen)
}

/// Indexes over text are in the order of the library that sorted them: with another version of it they are
/// silently wrong (PostgreSQL documentation, "ALTER COLLATION").
fn collations(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("collation versions");
    if session.version >= 150_000 {
        let sql = "SELECT datname, datcollversion, pg_database_collation_actual_version(oid) \
                   FROM pg_database WHERE datallowconn";
        for row in session.query(sql, &[])? {
            seen.compared += 1;
            let (name, then, now): (String, Option<String>, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            if then != now && then.is_some() {
                seen.wrong(drift(
                    &format!("the database '{name}'"),
                    then.as_deref(),
                    now.as_deref(),
                ));
            }
        }
    }
    for (database, name) in restored(orders) {
        let Ok(inside) = Session::open_database(orders.settings, &name) else { continue };
        let sql = "SELECT collname, collversion, pg_collation_actual_version(oid) FROM pg_collation \
                   WHERE collversion IS NOT NULL";
        for row in inside.query(sql, &[])? {
            seen.compared += 1;
            let (collation, then, now): (String, Option<String>, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            if then != now {
                let what = format!("{}: the collation '{collation}'", database.name);
                seen.wrong(drift(&what, then.as_deref(), now.as_deref()));
            }
        }
    }
    Ok(seen)
}

fn drift(what: &str, then: Option<&str>, now: Option<&str>) -> String {
    let word = |version: Option<&str>| version.unwrap_or("unknown").to_owned();
    format!(
        "{what} was sorted by version {}, here is {}: REINDEX its text indexes",
        word(then),
        word(now)
    )
}

/// Reads every table and B-tree (`pg_amcheck`); its extension is made where it is missing, in the restored
/// cluster alone.
fn amcheck(orders: &Orders<'_>, observer: &dyn Observer) -> Result<Seen> {
    let mut seen = Seen::of("databases read by pg_amcheck");
    for (database, name) in restored(orders) {
        let session = Session::open_database(orders.settings, &name)?;
        session.run("CREATE EXTENSION IF NOT EXISTS amcheck")?;
        let tool = Tool::new(orders.binaries.program("pg_amcheck")).args(["--no-dependent-toast"]);
        let tool = libpq::connecting(tool, orders.settings, session.host(), Some(&name));
        let mut lines = Vec::new();
        match tool.run(observer.cancel(), &mut |line| lines.push(line.to_string())) {
            Ok(_) => {}
            Err(ExecError::Failed { code: Some(2), .. }) => {
                seen.wrong(format!("{}: {}", database.name, lines.join("; ")));
            }
            Err(error) => return Err(error.into()),
        }
        seen.compared += 1;
    }
    Ok(seen)
}

/// The user's own SQL, read only: one statement after another, each row of which is a finding.
fn assertions(orders: &Orders<'_>, sql: &str) -> Result<Seen> {
    let mut seen = Seen::of("assertions");
    let session = Session::open(orders.settings)?;
    session.run("SET default_transaction_read_only = on")?;
    for statement in statements(sql) {
        let first = statement.lines().next().unwrap_or_default().to_owned();
        seen.compared += 1;
        if let Some(database) = first.strip_prefix("\\connect ") {
            let what = format!("'{database}': one file asserts in one database");
            return Err(Fault::new(super::Kind::Usage, what));
        }
        match session.query(&statement, &[]) {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => seen.wrong(format!("{} rows from: {first}", rows.len())),
            Err(fault) => seen.wrong(fault.to_string()),
        }
    }
    Ok(seen)
}

/// Reads a file of assertions.
pub fn read_assertions(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Fault::io(format!("cannot read '{}'", path.display())))
}

/// Statements end with a semicolon at the end of a line.
fn statements(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut statement = String::new();
    for line in sql.lines().filter(|line| !line.trim_start().starts_with("--")) {
        statement += line;
        statement.push('\n');
        if line.trim_end().ends_with(';') {
            found.push(std::mem::take(&mut statement).trim().trim_end_matches(';').to_owned());
        }
    }
    if !statement.trim().is_empty() {
        found.push(statement.trim().to_owned());
    }
    found
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

    #[test]
    fn assertions_are_cut_at_the_ends_of_statements() {
        let sql = "-- no orphans\nSELECT 1\nWHERE false;\n\nSELECT ';' WHERE false;\nSELECT 3";
        assert_eq!(
            statements(sql),
            ["SELECT 1\nWHERE false", "SELECT ';' WHERE false", "SELECT 3"]
        );
    }
}
