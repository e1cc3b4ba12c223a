//! The user's own assertions: SQL that looks, and says what is not as it should be.

use std::path::Path;

use crate::recover::{Fault, Result, restore::sql, session::Session};

/// Asks each statement of a script, in a read-only transaction of its own. It holds when it returns no row, or
/// one with one value, true; everything else is a finding. Returns how many there were, and the findings.
pub fn ask(session: &Session, script: &str) -> Result<(u64, Vec<String>)> {
    let (mut asked, mut findings) = (0, Vec::new());
    for statement in sql::statements(script) {
        asked += 1;
        let short: String = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        session.run("BEGIN READ ONLY")?;
        let said = session.query(statement, &[]);
        session.run("ROLLBACK")?;
        let truth = |rows: &[tokio_postgres::Row]| match rows {
            [row] if row.len() == 1 => row.try_get::<_, Option<bool>>(0).ok(),
            _ => None,
        };
        let wrong = match said {
            Err(fault) => format!("the assertion '{short}' cannot be asked: {fault}"),
            Ok(rows) if rows.is_empty() => continue,
            Ok(rows) => match truth(&rows) {
                Some(Some(true)) => continue,
                Some(Some(false)) => format!("the assertion '{short}' does not hold: it is false"),
                Some(None) => format!("the assertion '{short}' does not hold: it is null"),
                None => format!(
                    "{} rows from: {short}; none was expected, or one truth value",
                    rows.len()
                ),
            },
        };
        findings.push(wrong);
    }
    Ok((asked, findings))
}

/// Reads a file of assertions.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Fault::io(format!("cannot read '{}'", path.display())))
}
