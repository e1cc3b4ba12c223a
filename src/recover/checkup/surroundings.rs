//! What the databases stand in and on: roles, extensions, indexes, collations, structure.

use super::{Orders, Seen, missing, restored, structure};
use crate::{
    base::{exec::Tool, progress::Observer},
    recover::{
        Result, libpq, repository::manifest::Database, restore::target::conninfo, session::Session,
    },
};

pub(super) fn databases(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
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

pub(super) fn roles(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
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

pub(super) fn extensions(
    session: &Session,
    database: &Database,
    orders: &Orders<'_>,
) -> Result<Seen> {
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

pub(super) fn invalid_indexes(
    session: &Session,
    database: &Database,
    _: &Orders<'_>,
) -> Result<Seen> {
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
pub(super) fn collations(session: &Session, orders: &Orders<'_>) -> Result<Seen> {
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

/// Reads every table and B-tree.
pub(super) fn amcheck(orders: &Orders<'_>, observer: &dyn Observer) -> Result<Seen> {
    let mut seen = Seen::default();
    for (database, name) in restored(orders) {
        let session = Session::open_database(orders.settings, &name)?;
        structure::extent(session.version).clone_into(&mut seen.what);
        let tool = Tool::new(orders.binaries.program("pg_amcheck")).args(["--no-dependent-toast"]);
        let tool = libpq::connecting(tool, orders.settings, session.host(), Some(&name));
        // It takes the database as its argument: a name in the environment it reads as a connection string.
        let tool = tool.arg(conninfo(&name));
        for damage in structure::damage(&session, &tool, observer.cancel())? {
            seen.wrong(format!("{}: {damage}", database.name));
        }
        seen.compared += 1;
    }
    Ok(seen)
}
