//! Who keeps the room, and what to do about it: the safest act first, the costliest last.

use serde::Serialize;

use super::look::Space;
use crate::base::units::bytes;

/// WAL beyond so many hundredths of `max_wal_size` is kept by somebody (`wal_directory_size` warns there).
const TOO_MUCH_WAL: u64 = 200;
/// What a slot may keep before it is named (`slot_wal_retained` warns at 5 GB; a small disk is full sooner).
const SLOT: u64 = 256 << 20;
/// Temporary files that are named.
const TEMPORARY: u64 = 256 << 20;
/// Old logs that are named.
const LOGS: u64 = 100 << 20;
/// Dead rows of a hundred at which a table is named.
const DEAD: u64 = 20;
/// A table that is worth it.
const TABLE: u64 = 100 << 20;

/// Something that keeps room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The kind: `archiver`, `slot`, `temporary`, `logs`, `dead_rows`.
    pub kind: &'static str,
    /// What, in words.
    pub what: String,
    /// Its own name, where it has one.
    pub name: String,
    /// Bytes that it keeps.
    pub bytes: u64,
    /// The same in words.
    pub size: String,
    /// The first act.
    pub act: String,
}

/// All that keep more than they should.
pub fn holders(space: &Space, target: &str) -> Vec<Holder> {
    let mut found = Vec::new();
    let wal = space.wal.value();
    let much_wal = wal.is_some_and(|wal| wal.percent_of_max > TOO_MUCH_WAL);
    if let Some(archiver) = space.archiver.value()
        && (archiver.failing || archiver.waiting > 10)
    {
        let what = if archiver.failing { "the archiver fails" } else { "the archiver is behind" };
        let act = format!(
            "mend it, and its queue goes by itself: howdah guide run archiver-failing --target {target}"
        );
        found.push(holder("archiver", what.to_owned(), "archiver", archiver.bytes, act));
    }
    if let Some(files) = space.temporary.value().filter(|files| files.bytes >= TEMPORARY) {
        let what = format!("{} temporary files of queries", files.files);
        let act = format!(
            "cancel the statement that writes them, and they go: howdah session list {target}"
        );
        found.push(holder("temporary", what, "temporary", files.bytes, act));
    }
    for slot in &space.slots {
        let keeps = slot.keeps.unwrap_or(0).unsigned_abs();
        let may_be_why = much_wal && !slot.active;
        if keeps < SLOT && !may_be_why {
            continue;
        }
        let (use_, act) = if slot.active {
            ("in use, and behind", "its reader is slow: look there first".to_owned())
        } else {
            let drop =
                format!("is its owner gone for good? howdah slot drop {} {target}", slot.name);
            ("which nobody uses", drop)
        };
        found.push(holder(
            "slot",
            format!("the slot {} {use_}", slot.name),
            &slot.name,
            keeps,
            act,
        ));
    }
    if let Some(logs) = space.logs.value().filter(|logs| logs.old >= LOGS) {
        let act = "move logs older than a week to another disk".to_owned();
        found.push(holder("logs", "logs older than a week".to_owned(), "logs", logs.old, act));
    }
    for table in space.tables.iter().filter(|table| table.bytes >= TABLE) {
        let Some(dead) = table.dead.filter(|dead| *dead >= DEAD) else { continue };
        let what = format!("{} of which {dead} % of the rows are dead", table.name);
        let act = "VACUUM lets it be used again; only VACUUM FULL gives it back, and needs as much room first".to_owned();
        found.push(holder("dead_rows", what, &table.name, table.bytes * dead / 100, act));
    }
    if let Some(wal) = wal.filter(|_| much_wal && found.is_empty()) {
        let act =
            "wal_keep_size, or a checkpoint that is overdue: howdah status names it".to_owned();
        found.push(holder(
            "wal",
            "more WAL than max_wal_size, and no reader".to_owned(),
            "wal",
            wal.bytes,
            act,
        ));
    }
    found
}

fn holder(kind: &'static str, what: String, name: &str, held: u64, act: String) -> Holder {
    Holder { kind, what, name: name.to_owned(), bytes: held, size: bytes(held), act }
}

#[cfg(test)]
mod tests {
    use super::{
        super::look::{Archiver, Files, Logs, Seen, Wal},
        *,
    };
    use crate::watch::server::space::Slot;

    fn quiet() -> Space {
        let wal = Wal { bytes: 64 << 20, files: 4, max: 64 << 20, keep: 0, percent_of_max: 100 };
        Space {
            wal: Seen::Is(wal),
            archiver: Seen::Is(Archiver { waiting: 0, bytes: 0, failing: false, failed: None }),
            temporary: Seen::Is(Files { bytes: 0, files: 0 }),
            logs: Seen::Blind("not for us".into()),
            slots: Vec::new(),
            databases: Vec::new(),
            tables: Vec::new(),
            folders: Seen::Blind("not for us".into()),
        }
    }

    fn slot(active: bool, keeps: i64) -> Slot {
        Slot {
            name: "old".into(),
            kind: "physical".into(),
            database: None,
            active,
            active_pid: None,
            wal_status: Some("extended".into()),
            safe_wal_size: None,
            keeps: Some(keeps),
            temporary: false,
            restart_lsn: None,
        }
    }

    fn kinds(space: &Space) -> Vec<&'static str> {
        holders(space, "t").iter().map(|holder| holder.kind).collect()
    }

    #[test]
    fn what_keeps_room_is_named_and_nothing_else() {
        assert_eq!(kinds(&quiet()), [""; 0]);
        let logs = Logs { bytes: 1 << 30, files: 9, old: 1 << 30 };
        let full = Space {
            archiver: Seen::Is(Archiver {
                waiting: 3,
                bytes: 3 << 24,
                failing: true,
                failed: None,
            }),
            slots: vec![slot(false, 1 << 30), slot(true, 1 << 20)],
            logs: Seen::Is(logs),
            ..quiet()
        };
        assert_eq!(kinds(&full), ["archiver", "slot", "logs"], "what mends itself comes first");
        let much =
            Wal { bytes: 1 << 30, files: 64, max: 64 << 20, keep: 1 << 30, percent_of_max: 1600 };
        assert_eq!(kinds(&Space { wal: Seen::Is(much.clone()), ..quiet() }), ["wal"]);
        let idle = Space { wal: Seen::Is(much), slots: vec![slot(false, 1 << 20)], ..quiet() };
        assert_eq!(kinds(&idle), ["slot"], "a small one, too, when the folder is large");
    }
}
