//! What is in the databases: tables, rows, keys, large objects, sequences.

use std::collections::BTreeMap;

use super::{Counted, Orders, Seen, missing};
use crate::recover::{
    Result,
    repository::manifest::{Database, Method, Relation},
    session::{Session, identifier},
};

pub(super) fn relations(
    session: &Session,
    database: &Database,
    orders: &Orders<'_>,
) -> Result<Seen> {
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
pub(super) fn rows(
    session: &Session,
    database: &Database,
    orders: &Orders<'_>,
    tables: &mut Vec<Counted>,
) -> Result<Seen> {
    let mut seen = Seen::of("tables read to their last row");
    // By an index alone rows are counted without a look at them.
    session.run("SET enable_indexonlyscan = off")?;
    for relation in database.relations.iter().filter(|relation| relation.kind == 'r') {
        let name = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
        let unlogged = relation.unlogged && orders.manifest.method == Method::Physical;
        let present = "SELECT to_regclass($1) IS NOT NULL";
        if !session.one(present, &[&name])?.get::<_, bool>(0) {
            continue;
        }
        seen.compared += 1;
        let counted = match rows_of(session, &name) {
            Ok(counted) => counted,
            Err(fault) => {
                seen.wrong(format!("{}: {name}: {}", database.name, fault.what()));
                continue;
            }
        };
        tables.push(Counted {
            database: database.name.clone(),
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            rows: counted,
        });
        match relation.rows {
            Some(rows) if orders.exact && !unlogged && rows != counted => {
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

/// The statement that counts the rows of one table, without those of others that inherit from it. `name` is quoted.
fn counting(name: &str) -> String {
    format!("SELECT count(*) FROM ONLY {name}")
}

/// The rows of one table. `name` is quoted.
pub fn rows_of(session: &Session, name: &str) -> Result<u64> {
    Ok(session.one(&counting(name), &[])?.get::<_, i64>(0).unsigned_abs())
}

/// The rows of each table once more, by an index alone. Where all rows of a page are visible to everybody, the
/// server does not look at the page (PostgreSQL documentation, "Index-Only Scans"): so an index still counts
/// rows of a page that was lost. Nothing else sees that: a page of zeros is a valid one.
pub(super) fn against_indexes(
    session: &Session,
    database: &Database,
    tables: &[Counted],
) -> Result<Seen> {
    let mut seen = Seen::of("tables counted by an index alone");
    session.run(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; \
         SET max_parallel_workers_per_gather = 0",
    )?;
    for table in tables.iter().filter(|table| table.database == database.name) {
        let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
        let plan = session.query(&format!("EXPLAIN {}", counting(&name)), &[])?;
        if !plan.iter().any(|row| row.get::<_, &str>(0).contains("Index Only Scan")) {
            continue;
        }
        seen.compared += 1;
        match rows_of(session, &name) {
            Ok(indexed) if indexed != table.rows => seen.wrong(format!(
                "{}: {name} has {} rows, and {indexed} in its index: pages of it are lost",
                database.name, table.rows
            )),
            Ok(_) => {}
            Err(fault) => seen.wrong(format!("{}: {name}: {}", database.name, fault.what())),
        }
    }
    Ok(seen)
}

/// The largest value of each single-column primary key.
pub(super) fn largest_keys(session: &Session, database: &Database, _: &Orders<'_>) -> Result<Seen> {
    let mut seen = Seen::of("largest keys");
    for relation in database.relations.iter().filter(|r| r.kind == 'r' && r.last.is_some()) {
        seen.compared += 1;
        if let Some(wrong) = largest_key(session, relation)? {
            seen.wrong(format!("{}: {wrong}", database.name));
        }
    }
    Ok(seen)
}

/// What is wrong with the largest key of a table, where the backup knows one.
pub fn largest_key(session: &Session, relation: &Relation) -> Result<Option<String>> {
    let Some(before) = &relation.last else { return Ok(None) };
    let shown = format!("{}.{}", relation.schema, relation.name);
    let name = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
    // The column is named by the primary key itself, which must be of one column to have a largest value.
    let sql = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a \
               ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
               WHERE i.indrelid = to_regclass($1) AND i.indisprimary AND i.indnkeyatts = 1";
    let key = session.query(sql, &[&name])?;
    let Some(key) = key.first().map(|row| identifier(row.get(0))) else {
        return Ok(Some(format!("'{shown}' has lost its primary key")));
    };
    // With its table's name: a bare one would be that of the text, and `999` comes behind `1000` then.
    let sql = format!("SELECT t.{key}::text FROM ONLY {name} t ORDER BY t.{key} DESC LIMIT 1");
    let now: Option<String> = session.query(&sql, &[])?.first().and_then(|row| row.get(0));
    Ok((now.as_deref() != Some(before)).then(|| {
        let now = now.unwrap_or_else(|| "nothing".to_owned());
        format!("'{shown}' ends at {now}; it ended at {before}")
    }))
}

/// The large objects of the session's database.
pub fn large_objects_of(session: &Session) -> Result<u64> {
    let sql = "SELECT count(*) FROM pg_largeobject_metadata";
    Ok(session.one(sql, &[])?.get::<_, i64>(0).unsigned_abs())
}

pub(super) fn large_objects(
    session: &Session,
    database: &Database,
    _: &Orders<'_>,
) -> Result<Seen> {
    let mut seen = Seen::of("databases with their large objects");
    let now = large_objects_of(session)?;
    seen.compared += 1;
    if now != database.large_objects {
        seen.wrong(format!(
            "{}: there are {now} large objects instead of {}",
            database.name, database.large_objects
        ));
    }
    Ok(seen)
}

pub(super) fn sequences(
    session: &Session,
    database: &Database,
    orders: &Orders<'_>,
) -> Result<Seen> {
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
