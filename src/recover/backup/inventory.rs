//! What is in a cluster besides rows: read inside the transaction that the dump shares.

use std::collections::BTreeMap;

use crate::recover::{
    Result,
    repository::manifest::{Database, Inventory, Relation},
    session::Session,
};

/// A database as it was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub database: Database,
    /// The column of a primary key that has only one, by the relation's number.
    pub keys: BTreeMap<u32, String>,
}

/// Whether tables that belong to an extension count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// They do: they have files like all others.
    Included,
    /// They do not: `pg_dump` leaves them to `CREATE EXTENSION`.
    LeftOut,
}

/// Roles and tablespaces.
pub(super) fn cluster(session: &Session) -> Result<Inventory> {
    let roles =
        session.query("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1", &[])?;
    let tablespaces = session.query(
        "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace \
         WHERE spcname NOT IN ('pg_default', 'pg_global')",
        &[],
    )?;
    Ok(Inventory {
        roles: roles.iter().map(|row| row.get(0)).collect(),
        tablespaces: tablespaces.iter().map(|row| (row.get(0), row.get(1))).collect(),
        databases: Vec::new(),
    })
}

/// The database that the session is in.
pub(super) fn database(session: &Session, members: Members) -> Result<Found> {
    // By way of JSON: `datcollversion` came with 15, and its absence is none.
    let about = session.one(
        "SELECT datname, oid, pg_database_size(oid), pg_encoding_to_char(encoding), datcollate, \
         datctype, to_jsonb(d)->>'datcollversion', \
         (SELECT count(*) FROM pg_largeobject_metadata) \
         FROM pg_database d WHERE datname = current_database()",
        &[],
    )?;
    let extensions = session.query("SELECT extname, extversion FROM pg_extension", &[])?;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let (relations, keys) = relations(session, members)?;
    let database = Database {
        name: about.get(0),
        oid: about.get(1),
        size: number(about.get(2)),
        encoding: about.get(3),
        collate: about.get(4),
        ctype: about.get(5),
        collation_version: about.get(6),
        extensions: extensions.iter().map(|row| (row.get(0), row.get(1))).collect(),
        large_objects: number(about.get(7)),
        relations,
    };
    Ok(Found { database, keys })
}

fn relations(
    session: &Session,
    members: Members,
) -> Result<(Vec<Relation>, BTreeMap<u32, String>)> {
    let rows = session.query(
        "SELECT n.nspname, c.relname, c.relkind::text, c.oid, c.relfilenode, c.reltablespace, \
                c.relpersistence = 'u', coalesce(pg_table_size(c.oid), 0), s.last_value::text, \
                (SELECT a.attname FROM pg_index i \
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
                 WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1) \
         FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_sequences s ON c.relkind = 'S' \
              AND s.schemaname = n.nspname AND s.sequencename = c.relname \
         WHERE c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't' \
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           AND ($1 OR NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass \
                                  AND e.objid = c.oid AND e.deptype = 'e')) \
         ORDER BY 1, 2",
        &[&(members == Members::Included)],
    )?;
    let mut relations = Vec::with_capacity(rows.len());
    let mut keys = BTreeMap::new();
    for row in &rows {
        let kind: String = row.get(2);
        let oid: u32 = row.get(3);
        if let Some(key) = row.get::<_, Option<String>>(9) {
            keys.insert(oid, key);
        }
        relations.push(Relation {
            schema: row.get(0),
            name: row.get(1),
            kind: kind.chars().next().unwrap_or('?'),
            oid,
            filenode: row.get(4),
            tablespace: row.get(5),
            unlogged: row.get(6),
            size: u64::try_from(row.get::<_, i64>(7)).unwrap_or(0),
            rows: None,
            last: row.get(8),
            seconds: None,
        });
    }
    Ok((relations, keys))
}
