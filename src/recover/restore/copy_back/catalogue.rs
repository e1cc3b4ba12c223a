//! What the catalogue knows around a table. The session's search path must be empty, so that every name comes
//! with its schema.

use crate::recover::{Result, restore::side::Table, session::Session};

/// A trigger of the user's.
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// `pg_trigger.tgenabled`: `O` fires, `A` fires always, `R` on replicas only, `D` never.
    pub enabled: char,
    /// Its statement.
    pub definition: String,
}

/// The triggers of a table that the user made.
pub fn triggers(session: &Session, table: &Table) -> Result<Vec<Trigger>> {
    let sql = "SELECT tgname::text, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger \
               WHERE tgrelid = $1 AND NOT tgisinternal ORDER BY 1";
    let rows = session.query(sql, &[&table.oid])?;
    let triggers = rows.iter().map(|row| Trigger {
        name: row.get(0),
        enabled: row.get::<_, String>(1).chars().next().unwrap_or('O'),
        definition: row.get(2),
    });
    Ok(triggers.collect())
}

/// One column of texts.
pub fn texts(session: &Session, sql: &str, table: &Table) -> Result<Vec<String>> {
    Ok(session.query(sql, &[&table.oid])?.iter().map(|row| row.get(0)).collect())
}

/// Rules that would turn what is written into something else.
pub fn rules(session: &Session, table: &Table) -> Result<Vec<String>> {
    texts(
        session,
        "SELECT rulename::text FROM pg_rewrite WHERE ev_class = $1 AND ev_type <> '1'",
        table,
    )
}
