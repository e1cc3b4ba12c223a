//! Structure of tables and B-trees, by PostgreSQL's own `amcheck`.

use crate::{
    base::{
        cancel::Cancel,
        exec::{ExecError, Tool},
    },
    recover::{Fault, Kind, Result, session::Session},
};

/// The first server with a `pg_amcheck`, and with an `amcheck` that reads tables (release notes of 14).
const WITH_TABLES: u32 = 140_000;
/// How many findings are kept.
const KEPT: usize = 100;

/// What is read, in words.
pub fn extent(version: u32) -> &'static str {
    if version < WITH_TABLES {
        "databases, their B-trees read by amcheck"
    } else {
        "databases read by pg_amcheck"
    }
}

/// Reads one database: by `tool`, a `pg_amcheck` that knows the database, or where the server is older than that
/// by the extension alone, which then reads B-trees only. Returns what is damaged, each in the words of the check
/// and naming the relation. Where the extension is missing, it is there for the moment only.
///
/// # Errors
/// [`Kind::Cancelled`], or when it cannot be looked at.
pub fn damage(session: &Session, tool: &Tool, cancel: &Cancel) -> Result<Vec<String>> {
    let sql = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')";
    let there: bool = session.one(sql, &[])?.get(0);
    if there {
        return read(session, tool, cancel);
    }
    session.run("CREATE EXTENSION amcheck")?;
    let found = read(session, tool, cancel);
    session.run("DROP EXTENSION amcheck")?;
    found
}

fn read(session: &Session, tool: &Tool, cancel: &Cancel) -> Result<Vec<String>> {
    if session.version < WITH_TABLES {
        return b_trees(session, cancel);
    }
    let (printed, ended) = tool.run_out(cancel, &mut |_| {})?;
    let mut found = findings(&String::from_utf8_lossy(&printed));
    match ended {
        Ok(()) => {}
        // 2: damage was found (source of pg_amcheck: `all_checks_pass`).
        Err(ExecError::Failed { code: Some(2), messages, .. }) => {
            found.extend(messages.iter().map(ToString::to_string));
            if found.is_empty() {
                found.push("pg_amcheck says that there is damage, and not where".to_owned());
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(kept(found))
}

/// A relation stands on a line of its own, and what is wrong with it on indented lines below.
fn findings(printed: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        match found.last_mut() {
            Some(last) if line.starts_with(char::is_whitespace) => {
                *last = format!("{last} {}", line.trim());
            }
            _ => found.push(line.to_owned()),
        }
    }
    found
}

/// Every row of the table must be found in its index, too.
fn b_trees(session: &Session, cancel: &Cancel) -> Result<Vec<String>> {
    let sql = "SELECT i.indexrelid, i.indexrelid::regclass::text FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
               WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND i.indisready \
               AND c.relpersistence <> 't' ORDER BY 2";
    let mut found = Vec::new();
    for row in session.query(sql, &[])? {
        if cancel.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the checks were cancelled"));
        }
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        if let Err(fault) = session.query("SELECT bt_index_check($1::oid, true)", &[&oid]) {
            found.push(format!("btree index \"{name}\": {}", fault.what()));
        }
    }
    Ok(kept(found))
}

fn kept(mut found: Vec<String>) -> Vec<String> {
    if found.len() > KEPT {
        let more = found.len() - KEPT;
        found.truncate(KEPT);
        found.push(format!("and {more} more"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_prints_is_told_with_the_relation_in_front() {
        let printed = "heap table \"shop.public.orders\", block 0, offset 3:\n    xmin 4 precedes relation freeze threshold\n\
                       btree index \"shop.public.orders_pkey\":\n    ERROR:  item order invariant violated\n    DETAIL:  Lower index tid=(1,2).\n";
        assert_eq!(
            findings(printed),
            [
                "heap table \"shop.public.orders\", block 0, offset 3: xmin 4 precedes relation freeze threshold",
                "btree index \"shop.public.orders_pkey\": ERROR:  item order invariant violated DETAIL:  Lower index tid=(1,2).",
            ]
        );
        assert_eq!(findings("\n"), [""; 0]);
    }

    #[test]
    fn of_many_findings_some_are_kept_and_the_rest_is_counted() {
        let many: Vec<String> = (0..103).map(|n| n.to_string()).collect();
        let told = kept(many);
        assert_eq!((told.len(), told[KEPT].as_str()), (KEPT + 1, "and 3 more"));
    }
}
