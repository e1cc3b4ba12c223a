//! Exact row counts and largest keys, in the snapshot of a dump and beside it.

use super::inventory::Found;
use crate::recover::{
    Kind, Result,
    checkup::contents::rows_of,
    repository::manifest::Relation,
    session::{Session, identifier},
};

/// Counts the tables, smallest first, inside the session's open transaction. What cannot be counted stays
/// unknown, and its reason is among what is returned. Ends early when `stop` says so.
///
/// # Errors
/// Only when the session broke.
pub(super) fn count(
    session: &Session,
    found: &mut Found,
    stop: &dyn Fn() -> bool,
    counted: &dyn Fn(),
) -> Result<Vec<String>> {
    let mut order: Vec<usize> = (0..found.database.relations.len()).collect();
    order.sort_by_key(|&at| found.database.relations.get(at).map(|relation| relation.size));
    let mut unknown = Vec::new();
    for at in order {
        let Some(relation) = found.database.relations.get_mut(at) else { continue };
        // A partitioned table has no rows of its own, and a sequence's value is known already.
        if !matches!(relation.kind, 'r' | 'm') {
            continue;
        }
        if stop() {
            break;
        }
        let key = found.keys.get(&relation.oid);
        session.run("SAVEPOINT counting")?;
        match one(session, relation, key.map(String::as_str)) {
            Ok((rows, last)) => {
                relation.rows = Some(rows);
                relation.last = last;
                session.run("RELEASE SAVEPOINT counting")?;
            }
            Err(fault) if fault.kind == Kind::Unavailable => return Err(fault),
            Err(fault) => {
                let (schema, name) = (&relation.schema, &relation.name);
                unknown.push(format!("rows of {schema}.{name} are unknown: {fault}"));
                session.run("ROLLBACK TO SAVEPOINT counting")?;
            }
        }
        counted();
    }
    Ok(unknown)
}

fn one(session: &Session, relation: &Relation, key: Option<&str>) -> Result<(u64, Option<String>)> {
    let table = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
    let rows = rows_of(session, &table)?;
    let last = match key.map(identifier) {
        None => None,
        // Any type that can be a key can be ordered; not every one has max().
        Some(key) => session
            .query(
                &format!("SELECT t.{key}::text FROM ONLY {table} t ORDER BY t.{key} DESC LIMIT 1"),
                &[],
            )?
            .first()
            .and_then(|row| row.get(0)),
    };
    Ok((rows, last))
}
