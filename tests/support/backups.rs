//! Logical backups for tests of restoring: dumped, sealed and described as a backup is.

use std::{io::Write as _, path::Path, process::Command, sync::Arc};

use howdah::{
    base::clock::Clock,
    cluster::{Server, Via},
    recover::{
        Repository,
        repository::{
            folder::Folder,
            key::escaped,
            manifest::{
                BackupId, Database, FORMAT, File, Inventory, Manifest, Method, Origin, Relation,
                Role,
            },
        },
    },
};

/// A repository in a folder, for the target `app`.
pub fn repository(folder: &Path) -> Repository {
    Repository::new(Arc::new(Folder::make(folder).expect("a folder")), "app").expect("a name")
}

/// Dumps a database of a cluster and keeps it as a backup.
pub fn back_up(server: &Server, database: &str, repository: &Repository) -> BackupId {
    let output = Command::new(server.binaries().program("pg_dump"))
        .args(["-Fc", "-Z0", "-d"])
        .arg(conninfo(server, database))
        .env("PGPASSWORD", server.password().expose())
        .output()
        .expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    keep(server, database, repository, &output.stdout)
}

/// Keeps these bytes as a backup's dump.
pub fn keep(server: &Server, database: &str, repository: &Repository, dump: &[u8]) -> BackupId {
    let began = Clock::system().wall();
    let id = BackupId::new(began, Method::Logical);
    let key = repository.backup_key(&id).expect("a key");
    let file = key.join(&format!("{}.dump.zst", escaped(database))).expect("a key");
    let mut sealing = repository.seal(&file).expect("begun");
    sealing.write_all(dump).expect("written");
    let stored = sealing.finish().expect("published");
    let role = Role::Dump { database: database.to_owned() };
    let manifest = Manifest {
        format: FORMAT,
        id: id.clone(),
        method: Method::Logical,
        began,
        ended: Clock::system().wall(),
        howdah: env!("CARGO_PKG_VERSION").to_owned(),
        tool: "pg_dump (PostgreSQL) 15".to_owned(),
        cluster: Origin {
            system_identifier: 1,
            version: 150_000,
            timeline: 1,
            host: "localhost:5432".to_owned(),
            data_directory: None,
            standby: false,
        },
        files: vec![File { role, stored }],
        wal: None,
        inventory: inventory(server, database),
        phases: Vec::new(),
    };
    let key = key.join("manifest.json").expect("a key");
    let never = howdah::recover::repository::storage::Overwrite::Never;
    repository.write_json(&key, &manifest, never).expect("written");
    id
}

/// Tables with rows and largest keys, sequences with positions, and extensions.
fn inventory(server: &Server, database: &str) -> Inventory {
    let sql = "SELECT n.nspname, c.relname, c.relkind, c.oid::int, \
        CASE WHEN relkind = 'r' THEN (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', nspname, relname), false, true, '')))[1]::text END, \
        CASE WHEN relkind = 'S' THEN (xpath('/row/n/text()', query_to_xml(format('SELECT last_value AS n FROM %I.%I', nspname, relname), false, true, '')))[1]::text END \
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
        WHERE relkind IN ('r', 'S') AND nspname !~ '^(pg_|information_schema)' ORDER BY 1, 2";
    let rows = on(server, database, sql);
    let relations = rows.lines().map(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        Relation {
            schema: fields[0].to_owned(),
            name: fields[1].to_owned(),
            kind: fields[2].chars().next().expect("a kind"),
            oid: fields[3].parse().expect("a number"),
            rows: fields[4].parse().ok(),
            last: (!fields[5].is_empty()).then(|| fields[5].to_owned()),
            ..Relation::default()
        }
    });
    let relations = relations.collect();
    let objects = on(server, database, "SELECT count(*) FROM pg_largeobject_metadata");
    let database = Database {
        name: database.to_owned(),
        relations,
        large_objects: objects.parse().expect("a number"),
        ..Database::default()
    };
    Inventory { databases: vec![database], ..Inventory::default() }
}

/// A connection string for libpq to one of a cluster's databases.
pub fn conninfo(server: &Server, database: &str) -> String {
    let quoted = database.replace('\\', r"\\").replace('\'', r"\'");
    server.conninfo(Via::Unix).replace("dbname=postgres", &format!("dbname='{quoted}'"))
}

/// Runs statements in one of a cluster's databases; fails the test when one fails.
#[track_caller]
pub fn on(server: &Server, database: &str, sql: &str) -> String {
    try_on(server, database, sql).expect("the statements run")
}

/// The same, with the server's words when one fails.
pub fn try_on(server: &Server, database: &str, sql: &str) -> Result<String, String> {
    let mut psql = Command::new(server.binaries().program("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
        .arg(conninfo(server, database))
        .args(["-f", "-"])
        .env("PGPASSWORD", server.password().expose())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("psql runs");
    psql.stdin.take().expect("a pipe").write_all(sql.as_bytes()).expect("written");
    let output = psql.wait_with_output().expect("psql ends");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A database `app` with the shop in it.
pub fn shop(server: &Server) {
    server.psql("CREATE DATABASE app").expect("made");
    on(server, "app", include_str!("shop.sql"));
}

/// Each table with its number of rows and a hash of all of them.
pub fn content(server: &Server, database: &str) -> String {
    let sql = "SELECT nspname, relname, (xpath('/row/n/text()', query_to_xml(format( \
        'SELECT count(*) || '' '' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text)), ''-'') AS n FROM ONLY %I.%I t', \
        nspname, relname), false, true, '')))[1]::text \
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
        WHERE relkind IN ('r', 'm') AND nspname !~ '^(pg_|information_schema)' ORDER BY 1, 2";
    on(server, database, sql)
}
