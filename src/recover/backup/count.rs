//! How many rows there are, and the largest keys, all as of the dump's snapshot.
//!
//! Rows of tables are counted in the dump on its way into the repository: nothing is read twice, and the server
//! does nothing for it. Such a count says what came here, and was kept. That it is all that the server had is
//! the word of `pg_dump`, which ends with 0 only when the server called each COPY complete (`dumpTableData_copy`
//! of pg_dump.c), and of the line that it writes behind the last row, see
//! [`Count::ended`](crate::recover::dump::Count). What reads the dump later is held against it: `verify`, a
//! restore, a proof, and the proof after that.
//!
//! What a dump does not hold the server is asked for beside it: largest keys, by their index, and rows of
//! materialized views, which a restore makes anew.

use std::collections::BTreeMap;

use super::inventory::Found;
use crate::recover::{
    Kind, Result,
    checkup::contents::rows_of,
    dump::{Tally, Toc},
    repository::manifest::{Database, Relation},
    session::{Session, identifier},
};

/// Fills in the rows of each table as they were counted in its dump.
pub(super) fn rows(database: &mut Database, toc: &Toc, tally: &Tally) {
    // `TABLE DATA` has the number of its table (`makeTableDataInfo` of pg_dump.c).
    let counts =
        tally.tables.iter().filter_map(|(id, count)| Some((toc.get(*id)?.oid, count.rows)));
    let counts: BTreeMap<u32, u64> = counts.collect();
    for relation in database.relations.iter_mut().filter(|relation| relation.kind == 'r') {
        relation.rows = counts.get(&relation.oid).copied();
    }
}

/// Asks for what a dump does not hold, smallest relations first, inside the session's open transaction. What
/// cannot be told stays unknown, and its reason is among what is returned. Ends early when `stop` says so.
///
/// # Errors
/// Only when the session broke.
pub(super) fn ask(
    session: &Session,
    found: &mut Found,
    stop: &dyn Fn() -> bool,
    asked: &dyn Fn(),
) -> Result<Vec<String>> {
    let Found { database, keys } = found;
    let mut order: Vec<(&mut Relation, Option<&String>)> = database
        .relations
        .iter_mut()
        .map(|relation| {
            let key = keys.get(&relation.oid).filter(|_| relation.kind == 'r');
            (relation, key)
        })
        .filter(|(relation, key)| relation.kind == 'm' || key.is_some())
        .collect();
    order.sort_by_key(|(relation, _)| relation.size);
    let mut unknown = Vec::new();
    for (relation, key) in order {
        if stop() {
            break;
        }
        session.run("SAVEPOINT asking")?;
        match one(session, relation, key.map(String::as_str)) {
            Ok(()) => session.run("RELEASE SAVEPOINT asking")?,
            Err(fault) if fault.kind == Kind::Unavailable => return Err(fault),
            Err(fault) => {
                let what = if key.is_some() { "the largest key of" } else { "rows of" };
                let (schema, name) = (&relation.schema, &relation.name);
                unknown.push(format!("{what} {schema}.{name} is unknown: {fault}"));
                session.run("ROLLBACK TO SAVEPOINT asking")?;
            }
        }
        asked();
    }
    Ok(unknown)
}

fn one(session: &Session, relation: &mut Relation, key: Option<&str>) -> Result<()> {
    let table = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
    let Some(key) = key.map(identifier) else {
        relation.rows = Some(rows_of(session, &table)?);
        return Ok(());
    };
    // Any type that can be a key can be ordered; not every one has max().
    let sql = format!("SELECT t.{key}::text FROM ONLY {table} t ORDER BY t.{key} DESC LIMIT 1");
    relation.last = session.query(&sql, &[])?.first().and_then(|row| row.get(0));
    Ok(())
}
