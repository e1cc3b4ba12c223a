//! Insert missing, upsert, and their undo: row by row, by the primary key.

use super::{Mode, Script, catalogue, raise_sequences};
use crate::recover::{
    Result,
    restore::{
        closure::Name,
        side::{Column, Table, common, converted, quoted},
    },
    session::{Session, identifier},
};

/// The column in the kept table that says what was done to a row.
pub(super) const DID: &str = "howdah_did";

/// The statements that bring rows of `source` into `live`.
pub fn script(
    session: &Session,
    source: &Table,
    live: &Table,
    mode: Mode,
    kept: Name,
) -> Result<Script> {
    let mut script = Script::new(&live.name, &source.name, mode, kept);
    obstacles(session, &mut script, source, live)?;
    let pairs = common(source, live);
    let (to, from, keep) = (quoted(&live.name), quoted(&source.name), quoted(&script.kept));
    let columns = list(pairs.iter().map(|(_, column)| identifier(&column.name)));
    let values = list(pairs.iter().map(|(from, to)| converted("s", from, to)));
    let on = matching("l", "s", source, live);
    let quiet = triggers_off(session, &mut script, live)?;

    script.add(format!("LOCK TABLE {to} IN SHARE ROW EXCLUSIVE MODE"));
    script.statements.extend(quiet.off);
    script.add(format!(
        "CREATE TABLE {keep} AS SELECT l.*, ''::text AS {DID} FROM {to} l WHERE false"
    ));
    let all = list(live.columns.iter().map(|column| identifier(&column.name)));
    if mode == Mode::Upsert {
        let (settable, differs) = settable(&pairs, live);
        if !settable.is_empty() {
            script.add(format!(
                "INSERT INTO {keep} SELECT l.*, 'updated' FROM {to} l JOIN {from} s ON {on} WHERE {differs}"
            ));
            let set = list(settable.iter().map(|(from, to)| {
                format!("{} = {}", identifier(&to.name), converted("s", from, to))
            }));
            script.add(format!("UPDATE {to} l SET {set} FROM {from} s WHERE {on} AND ({differs})"));
        }
    }
    // A row that another unique value keeps out stays out when only missing ones are asked for; an upsert
    // fails then, and changes nothing.
    let conflict = match mode {
        Mode::Upsert => {
            format!("ON CONFLICT ({}) DO NOTHING", list(live.key.iter().map(|k| identifier(k))))
        }
        _ => "ON CONFLICT DO NOTHING".to_owned(),
    };
    script.add(format!(
        "WITH came AS (INSERT INTO {to} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {from} s \
         {conflict} RETURNING *) INSERT INTO {keep} SELECT {all}, 'inserted' FROM came"
    ));
    script.statements.extend(quiet.on);
    for raise in raise_sequences(session, live, &to)? {
        script.add(raise);
    }
    script.note("writers of the table wait from the lock to the end; readers go on");
    script.note("foreign keys are checked; generated columns are computed anew; sequences are raised, never set back");
    for column in live.columns.iter().filter(|c| !c.generated && source.column(&c.name).is_none()) {
        script
            .note(format!("the backup has no column '{}': new rows get its default", column.name));
    }
    if mode == Mode::InsertMissing {
        script
            .note("a row that another unique value keeps out stays out: compare again afterwards");
    }
    Ok(script)
}

/// The statements that take back what the kept table says was done.
pub fn undo(session: &Session, live: &Table, kept: &Table) -> Result<Script> {
    let mut script = Script::new(&live.name, &kept.name, Mode::Undo, kept.name.clone());
    obstacles(session, &mut script, kept, live)?;
    let (to, from) = (quoted(&live.name), quoted(&kept.name));
    let pairs = common(kept, live);
    let on = matching("l", "s", kept, live);
    let quiet = triggers_off(session, &mut script, live)?;
    script.add(format!("LOCK TABLE {to} IN SHARE ROW EXCLUSIVE MODE"));
    script.statements.extend(quiet.off);
    script.add(format!("DELETE FROM {to} l USING {from} s WHERE {on} AND s.{DID} = 'inserted'"));
    let (settable, _) = settable(&pairs, live);
    if !settable.is_empty() {
        let set =
            list(settable.iter().map(|(from, to)| {
                format!("{} = {}", identifier(&to.name), converted("s", from, to))
            }));
        script.add(format!(
            "UPDATE {to} l SET {set} FROM {from} s WHERE {on} AND s.{DID} = 'updated'"
        ));
    }
    script.statements.extend(quiet.on);
    script.note("what was written to these rows since then is overwritten; other rows stay");
    script.note("a foreign key with ON DELETE CASCADE takes rows of its own table along");
    Ok(script)
}

fn obstacles(session: &Session, script: &mut Script, source: &Table, live: &Table) -> Result<()> {
    if live.key.is_empty() {
        script.obstacles.push(format!(
            "'{}' has no primary key: rows cannot be told apart; use --swap",
            live.name
        ));
    }
    for key in live.key.iter().filter(|key| source.column(key).is_none()) {
        script
            .obstacles
            .push(format!("'{}' has no column '{key}', which is part of the key", source.name));
    }
    let rules = catalogue::rules(session, live)?;
    if !rules.is_empty() {
        script.obstacles.push(format!(
            "'{}' has the rules {}, which rewrite what is written: use --swap",
            live.name,
            rules.join(", ")
        ));
    }
    Ok(())
}

/// Statements that keep the user's triggers still, and that wake them as they were.
struct Quiet {
    off: Vec<String>,
    on: Vec<String>,
}

fn triggers_off(session: &Session, script: &mut Script, live: &Table) -> Result<Quiet> {
    let table = quoted(&live.name);
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for trigger in catalogue::triggers(session, live)? {
        let wake = match trigger.enabled {
            'O' => "ENABLE",
            'A' => "ENABLE ALWAYS",
            _ => continue,
        };
        let name = identifier(&trigger.name);
        off.push(format!("ALTER TABLE {table} DISABLE TRIGGER {name}"));
        on.push(format!("ALTER TABLE {table} {wake} TRIGGER {name}"));
        script.note(format!("the trigger '{}' does not fire for these rows", trigger.name));
    }
    Ok(Quiet { off, on })
}

/// The columns that an update may set, and the condition under which a row differs.
fn settable<'a>(
    pairs: &[(&'a Column, &'a Column)],
    live: &Table,
) -> (Vec<(&'a Column, &'a Column)>, String) {
    let settable: Vec<_> = pairs
        .iter()
        .filter(|(_, to)| !live.key.contains(&to.name) && !to.always_identity)
        .copied()
        .collect();
    let differs = settable.iter().map(|(from, to)| {
        format!(
            "l.{}::text IS DISTINCT FROM s.{}::text",
            identifier(&to.name),
            identifier(&from.name)
        )
    });
    let differs = differs.collect::<Vec<_>>().join(" OR ");
    (settable, differs)
}

/// The condition that two rows have the same key.
fn matching(live_alias: &str, source_alias: &str, source: &Table, live: &Table) -> String {
    let equal = live.key.iter().filter_map(|key| {
        let (from, to) = (source.column(key)?, live.column(key)?);
        Some(format!("{live_alias}.{} = {}", identifier(key), converted(source_alias, from, to)))
    });
    equal.collect::<Vec<_>>().join(" AND ")
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
