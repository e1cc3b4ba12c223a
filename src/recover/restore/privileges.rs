//! Privileges exactly as they were dumped, from the first moment.
//!
//! `pg_dump` writes privileges as the difference to PostgreSQL's built-in ones, because in a fresh database nothing
//! else is added. A living one can have default privileges of its own (`ALTER DEFAULT PRIVILEGES`), which the
//! server gives to everything that is made: a table that comes back alone would be open to roles that could not
//! read it before. So its definition is told to take them away again: the server runs both together, in the
//! transaction of `pg_restore`, and nobody ever sees the table otherwise. What was dumped is granted behind that.

use super::{closure::Name, side::quoted};
use crate::recover::{
    Result,
    dump::Entry,
    session::{Session, identifier},
};

/// Who gets privileges on what is made in a database, without being named by it.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// As `REVOKE` names them; empty when nobody does.
    grantees: Vec<String>,
}

impl Defaults {
    /// Those of the session's database.
    pub fn read(session: &Session) -> Result<Self> {
        let sql = "SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(rolname) END \
             FROM pg_catalog.pg_default_acl, pg_catalog.aclexplode(defaclacl) \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = grantee \
             WHERE defaclobjtype IN ('r', 'S', 'n') AND (grantee = 0 OR rolname IS NOT NULL) ORDER BY 1";
        let rows = session.query(sql, &[])?;
        Ok(Self { grantees: rows.iter().map(|row| row.get(0)).collect() })
    }

    /// The statements behind the definition of an entry that put it back to the built-in privileges: all for its
    /// owner, who still is the one who makes it, and nothing for others.
    pub fn taken_back(&self, entry: &Entry) -> Option<String> {
        if self.grantees.is_empty() {
            return None;
        }
        let name = quoted(&Name { schema: entry.namespace.clone(), name: entry.tag.clone() });
        let what = match entry.desc.as_str() {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => format!("TABLE {name}"),
            "SEQUENCE" => format!("SEQUENCE {name}"),
            "SCHEMA" => format!("SCHEMA {}", identifier(&entry.tag)),
            _ => return None,
        };
        let from = self.grantees.join(", ");
        // A default may also take from the owner what is built in.
        Some(format!(
            "\n;REVOKE ALL ON {what} FROM {from};\nGRANT ALL ON {what} TO CURRENT_USER;\n"
        ))
    }
}
