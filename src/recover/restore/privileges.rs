//! Privileges exactly as they were dumped.
//!
//! `pg_dump` writes privileges as the difference to PostgreSQL's built-in ones, because in a fresh database nothing
//! else is added. A living one can have default privileges of its own (`ALTER DEFAULT PRIVILEGES`), which the
//! server gives to every table that is made: one that comes back alone would be open to roles that could not
//! read it before. They are taken away again, and what was dumped is granted once more.

use std::fmt::Write as _;

use super::{closure::Name, side::quoted};
use crate::recover::{Result, dump::Entry, session::Session};

/// Gives the relations among these entries of a dump, which were just restored, the privileges that the dump
/// tells, in one transaction.
pub fn as_dumped<'a>(
    session: &Session,
    entries: impl Iterator<Item = &'a Entry> + Clone,
) -> Result<()> {
    let any = session.one("SELECT EXISTS (SELECT FROM pg_catalog.pg_default_acl)", &[])?;
    if !any.get::<_, bool>(0) {
        return Ok(());
    }
    let relation = |entry: &&Entry| {
        matches!(
            &*entry.desc,
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "FOREIGN TABLE"
        )
    };
    let name =
        |entry: &Entry| quoted(&Name { schema: entry.namespace.clone(), name: entry.tag.clone() });
    let names: Vec<String> = entries.clone().filter(relation).map(name).collect();
    let mut script = "BEGIN;\n".to_owned();
    // Writing to a string cannot fail.
    for row in session.query(ADDED, &[&names])? {
        let _ = writeln!(script, "{};", row.get::<_, &str>(0));
    }
    for entry in entries.filter(|entry| entry.desc == "ACL") {
        script += &entry.definition;
    }
    session.run(&(script + "COMMIT"))
}

/// The statements that put relations back to the built-in privileges: all for the owner, nothing for others.
const ADDED: &str = "\
    WITH relation AS (SELECT c.oid, relkind, relowner, relacl FROM unnest($1::text[]) n \
      JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(n) WHERE relacl IS NOT NULL) \
    SELECT format('REVOKE ALL ON %s %s FROM %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, \
        oid::regclass, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END) \
      FROM (SELECT DISTINCT oid, relkind, relowner, grantee FROM relation, aclexplode(relacl)) g \
      WHERE grantee <> relowner \
    UNION ALL \
    SELECT format('GRANT ALL ON %s %s TO %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, \
        oid::regclass, relowner::regrole) FROM relation";
