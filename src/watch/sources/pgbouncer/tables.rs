//! What the tables of PgBouncer's console say. Their columns change from version to version, so that
//! they are found by name, and what is not there is not known.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::{
    base::text::Text,
    watch::snapshot::{Pool, PoolKind, Wait, WaitMeaning},
};

/// The database of the console itself.
pub const CONSOLE: &str = "pgbouncer";

/// The answer to one SHOW command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Takes over what the simple protocol brought.
    pub fn of(messages: &[SimpleQueryMessage]) -> Self {
        let mut table = Self::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    table.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|cell| row.get(cell).map(str::to_owned));
                    table.rows.push(cells.collect());
                }
                _ => {}
            }
        }
        table
    }

    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }

    /// The first cell of the first row.
    pub fn first(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    columns: &'a [String],
    cells: &'a [Option<String>],
}

impl<'a> Row<'a> {
    pub(super) fn text(self, column: &str) -> Option<&'a str> {
        let place = self.columns.iter().position(|name| name == column)?;
        self.cells.get(place)?.as_deref()
    }

    pub(super) fn number(self, column: &str) -> Option<u64> {
        self.text(column)?.parse().ok()
    }

    /// The sum of the columns that are there, if any of them is.
    pub(super) fn sum(self, columns: &[&str]) -> Option<u64> {
        columns.iter().filter_map(|column| self.number(column)).reduce(u64::saturating_add)
    }
}

/// The most clients that may connect, from SHOW CONFIG.
pub fn max_clients(config: &Table) -> Option<u64> {
    config.rows().find(|row| row.text("key") == Some("max_client_conn"))?.number("value")
}

/// The pools: one for all clients, and one for each pair of database and user. A database that is
/// paused or disabled shows even when it has no pool yet.
pub fn pools(
    source: &Text,
    pools: &Table,
    databases: Option<&Table>,
    max_clients: Option<u64>,
) -> Vec<Pool> {
    let mut all = vec![clients(source, pools, max_clients)];
    let real = |row: &Row<'_>, column| row.text(column).is_some_and(|name| name != CONSOLE);
    for row in pools.rows().filter(|row| real(row, "database")) {
        let name = row.text("database").unwrap_or_default();
        let database = databases
            .and_then(|databases| databases.rows().find(|row| row.text("name") == Some(name)));
        all.push(pool(source, row, database));
    }
    let held = databases.into_iter().flat_map(Table::rows).filter(|row| real(row, "name"));
    for row in held.filter(|row| note(*row).is_some()) {
        let name = row.text("name");
        if !pools.rows().any(|pool| pool.text("database") == name) {
            let name = format!("{}/*", name.unwrap_or_default());
            all.push(Pool { max: size(row), note: note(row), ..nothing(source, &name) });
        }
    }
    all
}

/// Every client, those of the console too: they all count against `max_client_conn`.
fn clients(source: &Text, pools: &Table, max: Option<u64>) -> Pool {
    const COLUMNS: [&str; 4] =
        ["cl_active", "cl_waiting", "cl_active_cancel_req", "cl_waiting_cancel_req"];
    let in_use = pools.rows().filter_map(|row| row.sum(&COLUMNS)).reduce(u64::saturating_add);
    Pool { in_use, max, ..nothing(source, "clients") }
}

fn pool(source: &Text, row: Row<'_>, database: Option<Row<'_>>) -> Pool {
    let text = |column| row.text(column).unwrap_or_default();
    let name = format!("{}/{}", text("database"), text("user"));
    let wait = row.number("maxwait").map(|seconds| Wait {
        value: Duration::from_secs(seconds)
            + Duration::from_micros(row.number("maxwait_us").unwrap_or(0)),
        meaning: WaitMeaning::LongestNow,
    });
    Pool {
        // A server connection that is being cancelled is not free yet.
        in_use: row.number("sv_active").and(row.sum(&["sv_active", "sv_being_canceled"])),
        // "used" is PgBouncer's word for idle since longer, to be checked before the next use.
        idle: row.number("sv_idle").and(row.sum(&["sv_idle", "sv_used"])),
        max: database.and_then(size),
        waiting: row.number("cl_waiting"),
        wait,
        note: database.and_then(note),
        ..nothing(source, &name)
    }
}

fn nothing(source: &Text, name: &str) -> Pool {
    Pool {
        name: Text::foreign(name),
        source: source.clone(),
        kind: PoolKind::PgBouncer,
        in_use: None,
        idle: None,
        max: None,
        waiting: None,
        wait: None,
        timeouts: None,
        trend: Vec::new(),
        note: None,
    }
}

/// The size of a database's pools: `pool_size`, or `max_connections` where that is less; zero there
/// means no limit. The reserve is left out: what it must help is full.
fn size(database: Row<'_>) -> Option<u64> {
    let limit = |column| database.number(column).filter(|limit| *limit > 0);
    limit("pool_size").into_iter().chain(limit("max_connections")).min()
}

fn note(database: Row<'_>) -> Option<Text> {
    let set = |column| database.number(column).is_some_and(|value| value > 0);
    match (set("paused"), set("disabled")) {
        (true, true) => Some(Text::ours("paused, disabled")),
        (true, false) => Some(Text::ours("paused")),
        (false, true) => Some(Text::ours("disabled")),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what psql prints in expanded form.
    fn expanded(text: &str) -> Table {
        let mut table = Table::default();
        for line in text.lines() {
            if line.starts_with("-[ RECORD") {
                table.rows.push(Vec::new());
            } else if let Some((column, value)) = line.split_once('|') {
                if table.rows.len() == 1 {
                    table.columns.push(column.trim().to_owned());
                }
                let row = table.rows.last_mut().expect("a record");
                row.push(Some(value.trim().to_owned()));
            }
        }
        table
    }

    fn sample(name: &str) -> Table {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pgbouncer");
        expanded(&std::fs::read_to_string(format!("{folder}/{name}-1.18.txt")).expect("a sample"))
    }

    fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
        let owned = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect();
        Table {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows.iter().map(|row| owned(row)).collect(),
        }
    }

    #[test]
    fn a_saturated_bouncer_is_read() {
        let (shown, databases) = (sample("POOLS"), sample("DATABASES"));
        let max = max_clients(&sample("CONFIG"));
        let told = pools(&Text::ours("bouncer"), &shown, Some(&databases), max);
        let names: Vec<&str> = told.iter().map(|pool| &*pool.name).collect();
        assert_eq!(names, ["clients", "app/postgres"], "the console's own row is hidden");
        assert_eq!((told[0].in_use, told[0].max, told[0].waiting), (Some(9), Some(50), None));
        let app = &told[1];
        assert_eq!(
            (app.in_use, app.idle, app.max, app.waiting),
            (Some(3), Some(0), Some(3), Some(5))
        );
        let wait = app.wait.expect("a wait");
        assert_eq!(wait.value, Duration::from_micros(2_332_203));
        assert_eq!(wait.meaning, WaitMeaning::LongestNow);
        assert_eq!(app.note, None);
        assert!(
            told.iter().all(|pool| pool.kind == PoolKind::PgBouncer && &*pool.source == "bouncer")
        );
    }

    #[test]
    fn what_an_old_version_does_not_tell_is_not_known() {
        let shown = table(&["user", "database", "sv_active"], &[&["ann", "app", "2"]]);
        let told = pools(&Text::ours("b"), &shown, None, None);
        assert_eq!((told[0].in_use, told[0].max), (None, None));
        let app = &told[1];
        assert_eq!(&*app.name, "app/ann", "columns are found by name, wherever they stand");
        assert_eq!((app.in_use, app.idle, app.max), (Some(2), None, None));
        assert_eq!((app.waiting, app.wait), (None, None));
    }

    #[test]
    fn paused_and_disabled_databases_show() {
        let columns = ["name", "pool_size", "max_connections", "paused", "disabled"];
        let databases = table(
            &columns,
            &[
                &["app", "20", "0", "1", "0"],
                &["old", "20", "5", "1", "1"],
                &["idle", "9", "0", "0", "0"],
            ],
        );
        let shown = table(&["database", "user", "sv_active"], &[&["app", "a\x1b", "0"]]);
        let told = pools(&Text::ours("b"), &shown, Some(&databases), Some(100));
        let seen: Vec<_> = told.iter().map(|p| (&*p.name, p.max, p.note.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("clients", Some(100), None),
                ("app/a^[", Some(20), Some("paused")),
                ("old/*", Some(5), Some("paused, disabled")),
            ]
        );
    }
}
