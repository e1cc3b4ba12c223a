//! A whole database comes back into a new one as it was, or nothing is made at all.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use crate::support;
use std::{fs, path::Path, time::Duration};

use crate::support::{
    backups::{back_up, content, on, repository, shop},
    cluster,
    database::target as settings,
};
use howdah::{
    base::{cancel::Cancel, progress::Silent},
    cluster::{Server, Via},
    recover::{
        Fault, Kind, Repository,
        backup::{self, Kinds, Request},
        restore::{
            Source, Target, Which,
            database::{How, restore},
            plan::{Plan, Wish, plan},
            record::{Record, What},
        },
    },
};

struct Stage {
    server: howdah::cluster::Cluster,
    repository: Repository,
    home: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let server = cluster();
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home.path().join("repo"));
        Self { server, repository, home }
    }

    /// A backup of one database, as the program takes it.
    fn dump(&self, database: &str) -> Result<(), Fault> {
        let mut settings = settings(&self.server, Via::Unix);
        database.clone_into(&mut settings.dbname);
        let wish = backup::Wish::Database(None);
        let request = Request { kind: Kinds::Logical { wish, counts: true }, break_lock: false };
        backup::take(&request, &settings, &self.repository, &Silent::default()).map(drop)
    }

    fn source(&self, database: &str) -> Source {
        Source::find(&self.repository, &Which::Newest, database).expect("a backup")
    }

    fn target(&self) -> Target {
        Target::open(&settings(&self.server, Via::Unix)).expect("a server")
    }

    fn plan(&self, database: &str, wish: &Wish) -> Plan {
        plan(&self.repository, &self.source(database), &self.target(), wish).expect("a plan")
    }

    fn restore(&self, database: &str, wish: &Wish) -> Result<Record, Fault> {
        self.restore_with(database, wish, None, &Cancel::new(), self.home.path())
    }

    fn restore_with(
        &self,
        database: &str,
        wish: &Wish,
        assertions: Option<&str>,
        cancel: &Cancel,
        work: &Path,
    ) -> Result<Record, Fault> {
        let how = How { work, assertions };
        let observer = Silent::new(cancel.clone());
        restore(&self.repository, &self.source(database), &self.target(), wish, &how, &observer)
    }

    fn databases(&self) -> String {
        databases(&self.server)
    }
}

fn databases(server: &Server) -> String {
    server
        .psql("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
        .expect("asked")
}

fn wish(into: &str) -> Wish {
    Wish { into: into.to_owned(), replace: false, with_roles: false, jobs: 2 }
}

#[test]
fn a_database_comes_back_as_it_was() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    let before = content(&stage.server, "app");
    assert!(before.lines().count() >= 8, "{before}");
    let odd = "odd \"name\" of='x' \\ ü";

    let plan = stage.plan("app", &wish(odd));
    assert!(plan.obstacles.is_empty(), "{:?}", plan.obstacles);
    assert_eq!(plan.takes, None, "nothing was restored yet");
    assert!(!stage.databases().contains("odd"), "a plan changes nothing");

    let record = stage.restore("app", &wish(odd)).expect("restored");
    assert_eq!(record.findings, Vec::<String>::new());
    assert_eq!(record.unchecked, Vec::<String>::new());
    assert_eq!(content(&stage.server, odd), before);
    assert_eq!(on(&stage.server, odd, "SELECT count(*) FROM pg_largeobject_metadata"), "5");
    assert_eq!(on(&stage.server, odd, "SELECT last_value FROM shop.orders_id_seq"), "500");
    assert_eq!(
        on(&stage.server, odd, "SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'"),
        "0"
    );
    let names: Vec<&str> = record.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["unpack", "restore", "post-data", "checks"]);
    assert_eq!(stage.repository.restores().expect("read"), [record]);
    assert!(stage.plan("app", &wish("other")).takes.is_some_and(|takes| takes.seconds > 0.0));
    let left = fs::read_dir(stage.home.path()).expect("read").count();
    assert_eq!(left, 1, "only the repository: what was unpacked is removed");
}

#[test]
fn a_database_in_another_encoding_is_dumped_and_comes_back() {
    let stage = Stage::new();
    for (name, encoding, sql) in [
        (
            "latin",
            "LATIN1",
            "CREATE TABLE façade (id int PRIMARY KEY, prénom text); \
             INSERT INTO façade SELECT n, 'éà' || n FROM generate_series(1, 100) n; \
             COMMENT ON TABLE façade IS 'côté'; CREATE SEQUENCE numéro; \
             CREATE MATERIALIZED VIEW vue_d_été AS SELECT * FROM façade",
        ),
        // A byte that UTF-8 has no equivalent for, which no session of ours may ask for.
        (
            "western",
            "WIN1252",
            "CREATE TABLE t (x text); INSERT INTO t VALUES (chr(129)), ('plain'); COMMENT ON TABLE t IS 'é'",
        ),
        // Bytes of no encoding that we know, in what it holds.
        (
            "bytes",
            "SQL_ASCII",
            "CREATE TABLE t (x text); INSERT INTO t VALUES (E'\\xe9\\xe0'), ('plain')",
        ),
    ] {
        let made = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        stage.server.psql(&made).expect("made");
        on(&stage.server, name, &format!("SET client_encoding = 'UTF8'; {sql}"));
        stage.dump(name).expect("taken");
        let back = format!("{name}_back");
        let record = stage.restore(name, &wish(&back)).expect("restored");
        assert_eq!((record.findings, record.unchecked), (Vec::new(), Vec::new()));
        let hash = "SELECT md5(string_agg(encode(t::text::bytea, 'hex'), '' ORDER BY t::text COLLATE \"C\")) FROM ";
        let table = if encoding == "LATIN1" { "vue_d_été t" } else { "t" };
        let sql = format!("SET client_encoding = 'UTF8'; {hash}{table}");
        assert_eq!(on(&stage.server, &back, &sql), on(&stage.server, name, &sql), "{name}");
    }
    // The same byte, and a name that has to be told in UTF-8.
    on(&stage.server, "western", "SET client_encoding = 'UTF8'; CREATE TABLE été (x int)");
    let fault = stage.dump("western").expect_err("neither encoding takes both").to_string();
    for word in ["'western'", "table \"t\"", "0x81", "WIN1252", "correct that value", "physical"] {
        assert!(fault.contains(word), "{word}: {fault}");
    }
    // A name that no session in UTF-8 can hear.
    // CREATE TABLE "\xe9t" (x int)
    let named = "DO $$ BEGIN EXECUTE convert_from('\\x435245415445205441424c452022e97422202878'::bytea, \
                 'SQL_ASCII') || ' int)'; END $$";
    on(&stage.server, "bytes", named);
    let fault = stage.dump("bytes").expect_err("a name that is not UTF-8");
    assert!(fault.to_string().contains("rename it, or take a physical"), "{fault}");
}

#[test]
fn an_existing_database_stays_or_is_moved_aside_whole() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    on(&stage.server, "app", "DELETE FROM shop.order_line; CREATE TABLE mine ()");
    let fault = stage.restore("app", &wish("app")).expect_err("it exists");
    assert_eq!(fault.kind, Kind::Refused);
    assert!(fault.to_string().contains("--replace"), "{fault}");

    let record = stage.restore("app", &Wish { replace: true, ..wish("app") }).expect("restored");
    assert_eq!(record.findings, Vec::<String>::new());
    assert_eq!(on(&stage.server, "app", "SELECT count(*) FROM shop.order_line"), "1000");
    let all = stage.databases();
    let aside = all.lines().find(|name| name.starts_with("app_before_")).expect("kept");
    assert_eq!(on(&stage.server, aside, "SELECT count(*) FROM shop.order_line, mine"), "0");
    assert_eq!(all.lines().count(), 3, "{all}");
}

#[test]
fn what_a_check_finds_stands_in_the_record() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    let script = "SELECT count(*) = 500 FROM shop.orders; -- so it was\n\
                  SELECT count(*) > 500 FROM shop.orders; SELECT null::bool; SELECT 'a;b'; DROP TABLE shop.log";
    let (cancel, work) = (Cancel::new(), stage.home.path());
    let record =
        stage.restore_with("app", &wish("checked"), Some(script), &cancel, work).expect("restored");
    let told = record.findings.join("\n");
    assert_eq!(record.findings.len(), 4, "{told}");
    for part in ["> 500", "it is null", "one truth value", "read-only transaction"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(on(&stage.server, "checked", "SELECT count(*) FROM shop.log"), "40");
}

#[test]
fn missing_roles_are_named_and_made_on_demand() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    let before = content(&stage.server, "app");
    let fresh = cluster();
    let target = Target::open(&settings(&fresh, Via::Unix)).expect("a server");
    let source = stage.source("app");
    let observer = Silent::default();
    let how = How { work: stage.home.path(), assertions: None };
    let fault = restore(&stage.repository, &source, &target, &wish("app"), &how, &observer)
        .expect_err("roles are missing");
    assert_eq!(fault.kind, Kind::Refused);
    assert!(fault.to_string().contains("app_owner, app_ro"), "{fault}");
    assert_eq!(databases(&fresh), "postgres");

    let with = Wish { with_roles: true, ..wish("app") };
    let record = restore(&stage.repository, &source, &target, &with, &how, &observer).expect("ok");
    assert_eq!(record.findings, Vec::<String>::new());
    assert_eq!(content(&fresh, "app"), before);
    let sql = "SELECT string_agg(rolname, ',' ORDER BY 1) FROM pg_roles WHERE rolname ~ '^app' AND NOT rolcanlogin";
    assert_eq!(fresh.psql(sql).expect("asked"), "app_owner,app_ro");
}

#[test]
fn a_damaged_dump_is_refused_before_anything_is_made() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    let source = stage.source("app");
    let path = stage.repository.storage().path(&source.stored.key).expect("a path");
    let whole = fs::read(&path).expect("read");
    for damage in ["a flipped bit", "cut off", "swapped"] {
        let mut bytes = whole.clone();
        match damage {
            "a flipped bit" => bytes[whole.len() - 40] ^= 4,
            "cut off" => bytes.truncate(whole.len() - 1),
            _ => bytes = zstd_of(b"PGDMP"),
        }
        fs::write(&path, bytes).expect("damaged");
        let target = stage.target();
        let how = How { work: stage.home.path(), assertions: None };
        let fault =
            restore(&stage.repository, &source, &target, &wish("new"), &how, &Silent::default())
                .expect_err(damage);
        assert_eq!(fault.kind, Kind::Damaged, "{damage}: {fault}");
        assert_eq!(stage.databases(), "app\npostgres", "{damage}");
    }
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("packed")
}

#[test]
fn a_restore_that_is_cancelled_or_fails_leaves_nothing() {
    let stage = Stage::new();
    shop(&stage.server);
    on(
        &stage.server,
        "app",
        "CREATE TABLE big AS SELECT n, repeat('x', 500) t FROM generate_series(1, 60000) n; CREATE INDEX ON big (t, n)",
    );
    back_up(&stage.server, "app", &stage.repository);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let work = scope
            .spawn(|| stage.restore_with("app", &wish("half"), None, &cancel, stage.home.path()));
        support::eventually("the database is being filled", Duration::from_mins(1), || {
            stage.server.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'half' AND query LIKE 'COPY%'").expect("asked") != "0"
        });
        cancel.cancel();
        let fault = work.join().expect("no panic").expect_err("cancelled");
        assert_eq!(fault.kind, Kind::Cancelled, "{fault}");
    });
    assert_eq!(stage.databases(), "app\npostgres");
    let tools = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'half'";
    assert_eq!(stage.server.psql(tools).expect("asked"), "0");

    // A constraint that does not hold in what was dumped: the restore must fail, not skip it.
    on(
        &stage.server,
        "app",
        "CREATE FUNCTION stubborn(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS \
        $$ BEGIN RETURN current_database() = 'app'; END $$; CREATE TABLE picky (n int CHECK (stubborn(n))); INSERT INTO picky VALUES (1)",
    );
    std::thread::sleep(Duration::from_millis(1100));
    back_up(&stage.server, "app", &stage.repository);
    let fault = stage.restore("app", &wish("half")).expect_err("it cannot hold");
    assert_eq!(fault.kind, Kind::Failed, "{fault}");
    assert!(fault.to_string().contains("picky"), "{fault}");
    assert_eq!(stage.databases(), "app\npostgres");
    let failed = stage.repository.restores().expect("read");
    assert!(
        !failed.iter().any(|r| matches!(&r.what, What::Database { into, .. } if into == "half"))
    );
}

#[test]
fn no_room_for_unpacking_is_told_before_anything_is_made() {
    let stage = Stage::new();
    shop(&stage.server);
    back_up(&stage.server, "app", &stage.repository);
    // A file system of one page holds no dump.
    let full = stage.home.path().join("full");
    fs::create_dir(&full).expect("made");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&full)
        .status()
        .expect("mount runs");
    assert!(mounted.success(), "the tests run as root, which may mount");
    let cancel = Cancel::new();
    let fault = stage.restore_with("app", &wish("new"), None, &cancel, &full).expect_err("full");
    let unmounted = std::process::Command::new("umount").arg(&full).status().expect("umount runs");
    assert!(unmounted.success());
    assert_eq!(fault.kind, Kind::NoSpace, "{fault}");
    assert!(fault.to_string().contains("--work"), "{fault}");
    assert_eq!(stage.databases(), "app\npostgres");
}
