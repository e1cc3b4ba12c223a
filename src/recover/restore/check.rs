//! Whether what came back is what was backed up.

use std::collections::BTreeMap;

use super::{Source, Target, source::Unpacked, target::conninfo};
use crate::{
    base::progress::{Observer, Progress},
    recover::{
        Fault, Kind, Result,
        checkup::{assertions, contents, structure},
        repository::manifest::Relation,
        session::{Session, identifier},
    },
};

/// What the checks of a restore found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, each naming the thing.
    pub findings: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// Checks a database that was restored whole.
pub fn database(
    target: &Target,
    source: &Source,
    unpacked: &Unpacked,
    name: &str,
    assertions: Option<&str>,
    observer: &dyn Observer,
) -> Result<Checked> {
    let session = target.database(name)?;
    let mut checked = Checked::default();
    let counted = rows(&session, unpacked, &mut checked, observer)?;
    let objects = large_objects(&session, unpacked, &mut checked)?;
    inventory(&session, source, &counted, objects, &mut checked)?;
    unsound(&session, &mut checked)?;
    if let Some(script) = assertions {
        checked.findings.extend(assertions::ask(&session, script)?.1);
    }
    amcheck(target, &session, name, &mut checked, observer)?;
    session.run("ANALYZE")?;
    Ok(checked)
}

/// Rows that each table has now, by its quoted name.
type Counted = BTreeMap<String, u64>;

/// Rows of each table against the rows that stood in the dump.
fn rows(
    session: &Session,
    unpacked: &Unpacked,
    checked: &mut Checked,
    observer: &dyn Observer,
) -> Result<Counted> {
    let mut counted = Counted::new();
    let total = unpacked.tally.tables.len() as u64;
    for (done, (id, count)) in unpacked.tally.tables.iter().enumerate() {
        let Some(entry) = unpacked.toc.get(*id) else { continue };
        if observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the restore was cancelled"));
        }
        observer.progress(&Progress::items("counting rows", done as u64, Some(total)));
        if !entry.copy.starts_with("COPY ") {
            checked.unchecked.push(format!(
                "rows of '{}': the dump holds them as INSERT statements",
                entry.name()
            ));
            continue;
        }
        let table = format!("{}.{}", identifier(&entry.namespace), identifier(&entry.tag));
        let now = contents::rows_of(session, &table)?;
        if now != count.rows {
            checked.findings.push(format!(
                "'{}' has {now} rows; the dump holds {}",
                entry.name(),
                count.rows
            ));
        }
        counted.insert(table, now);
    }
    Ok(counted)
}

/// How many there are, and whether the dump holds as many.
fn large_objects(session: &Session, unpacked: &Unpacked, checked: &mut Checked) -> Result<u64> {
    let now = contents::large_objects_of(session)?;
    if now != unpacked.tally.large_objects {
        checked.findings.push(format!(
            "there are {now} large objects; the dump holds {}",
            unpacked.tally.large_objects
        ));
    }
    Ok(now)
}

/// Against what the backup wrote down when it was made: rows, largest keys, sequences, extensions.
fn inventory(
    session: &Session,
    source: &Source,
    counted: &Counted,
    objects: u64,
    checked: &mut Checked,
) -> Result<()> {
    let Some(inventory) = source.inventory() else {
        checked
            .unchecked
            .push("largest keys: the backup holds no inventory of this database".into());
        return Ok(());
    };
    for relation in &inventory.relations {
        against(session, relation, counted, checked)?;
    }
    if objects != inventory.large_objects {
        let before = inventory.large_objects;
        checked.findings.push(format!("there are {objects} large objects; there were {before}"));
    }
    let now = session.query("SELECT extname::text, extversion FROM pg_extension", &[])?;
    for (name, before) in &inventory.extensions {
        let now = now.iter().find(|row| row.get::<_, &str>(0) == name);
        match now.map(|row| row.get::<_, String>(1)) {
            None => checked.findings.push(format!("the extension '{name}' is missing")),
            Some(now) if now != *before => {
                checked.unchecked.push(format!("the extension '{name}' is {now}; it was {before}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn against(
    session: &Session,
    relation: &Relation,
    counted: &Counted,
    checked: &mut Checked,
) -> Result<()> {
    let name = format!("{}.{}", relation.schema, relation.name);
    let quoted = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
    let exists: bool = session.one("SELECT to_regclass($1) IS NOT NULL", &[&quoted])?.get(0);
    if !exists {
        checked.findings.push(format!("'{name}' is missing"));
        return Ok(());
    }
    if let (Some(before), 'r') = (relation.rows, relation.kind) {
        // What the dump holds rows of was counted for it already.
        let now = counted
            .get(&quoted)
            .map_or_else(|| contents::rows_of(session, &quoted), |now| Ok(*now))?;
        if now != before {
            checked.findings.push(format!("'{name}' has {now} rows; it had {before}"));
        }
    }
    match (relation.kind, &relation.last) {
        ('r', Some(_)) => checked.findings.extend(contents::largest_key(session, relation)?),
        ('S', Some(before)) => {
            let sql = format!("SELECT last_value::text FROM {quoted}");
            let now: String = session.one(&sql, &[])?.get(0);
            if now != *before {
                checked.findings.push(format!("'{name}' ends at {now}; it ended at {before}"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Indexes that are not usable, and collations of another version than the server's library has now.
fn unsound(session: &Session, checked: &mut Checked) -> Result<()> {
    let sql = "SELECT indexrelid::regclass::text FROM pg_index \
               WHERE NOT (indisvalid AND indisready) AND indrelid >= 16384 ORDER BY 1";
    for row in session.query(sql, &[])? {
        checked.findings.push(format!("the index {} is invalid", row.get::<_, String>(0)));
    }
    Ok(())
}

/// Structure of tables and B-tree indexes.
fn amcheck(
    target: &Target,
    session: &Session,
    name: &str,
    checked: &mut Checked,
    observer: &dyn Observer,
) -> Result<()> {
    observer.progress(&Progress::items("checking tables and indexes", 0, None));
    // It takes the database as its argument, and relations of any kind.
    let tool = target.plain_tool("pg_amcheck", name).arg(conninfo(name));
    match structure::damage(session, &tool, observer.cancel()) {
        Ok(damage) => checked.findings.extend(damage),
        Err(fault) if fault.kind == Kind::Cancelled => return Err(fault),
        Err(fault) => {
            checked.unchecked.push(format!("structure of tables and indexes: {}", fault.what()));
        }
    }
    Ok(())
}
