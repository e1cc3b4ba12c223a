//! From "the table is gone" to the transaction, and the position just before it.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support::archived::{Archived, NAME, told};
use howdah::{
    base::{clock::Timestamp, progress::Silent},
    recover::{
        repository::{
            manifest::{BackupId, Database, FORMAT, Inventory, Manifest, Method, Origin, Relation},
            storage::Overwrite,
        },
        wal::find::{Blast, Candidate, Found, Search, files_of, find},
    },
};

/// A cluster whose tables one backup knows.
struct Lost {
    cluster: Archived,
}

impl Lost {
    fn new() -> Self {
        let cluster = Archived::start(&[]);
        cluster
            .psql(
                "CREATE TABLE orders (id int PRIMARY KEY, note text); CREATE TABLE other (id int); \
                 INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 3000) n; \
                 INSERT INTO other SELECT n FROM generate_series(1, 500) n; CHECKPOINT",
            )
            .expect("made");
        // First, so that the archive belongs to the server's account: the manifest is written as ours.
        cluster.switch();
        let lost = Self { cluster };
        lost.back_up();
        lost
    }

    /// Writes the manifest of a backup that knows the tables as they are.
    fn back_up(&self) {
        let says = |sql: &str| self.cluster.psql(sql).expect("asked");
        let rows = says(
            "SELECT n.nspname, c.relname, c.oid, c.relfilenode FROM pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE relkind = 'r' AND nspname = 'public'",
        );
        let relations = rows.lines().map(|line| {
            let parts: Vec<&str> = line.split('|').collect();
            Relation {
                schema: parts[0].to_owned(),
                name: parts[1].to_owned(),
                kind: 'r',
                oid: parts[2].parse().expect("a number"),
                filenode: parts[3].parse().expect("a number"),
                ..Relation::default()
            }
        });
        let database = Database {
            name: "postgres".to_owned(),
            oid: says("SELECT oid FROM pg_database WHERE datname = 'postgres'")
                .parse()
                .expect("a number"),
            relations: relations.collect(),
            ..Database::default()
        };
        let began: Timestamp = "2026-11-25T02:00:00Z".parse().expect("a time");
        let manifest = Manifest {
            format: FORMAT,
            id: BackupId::new(began, Method::Logical),
            method: Method::Logical,
            began,
            ended: began,
            howdah: "test".to_owned(),
            tool: "test".to_owned(),
            cluster: Origin {
                system_identifier: 1,
                version: 150_000,
                timeline: 1,
                host: "test".to_owned(),
                data_directory: None,
                standby: false,
            },
            files: Vec::new(),
            wal: None,
            inventory: Inventory { databases: vec![database], ..Inventory::default() },
            phases: Vec::new(),
        };
        let repository = self.cluster.repository();
        let key = repository.backup_key(&manifest.id).and_then(|key| key.join("manifest.json"));
        repository
            .write_json(&key.expect("a key"), &manifest, Overwrite::Replace)
            .expect("written");
        // As the server's account would have written it, for the command that runs as that.
        let ours = self.cluster.repo().join(NAME);
        let given = std::process::Command::new("chown")
            .arg("-R")
            .arg("--reference")
            .args([ours.join("wal"), ours.join("backups")])
            .status();
        assert!(given.expect("chown runs").success());
    }

    /// Runs a statement; returns the transaction that it ran in.
    fn act(&self, sql: &str) -> u32 {
        let sql = format!("BEGIN; {sql}; SELECT pg_current_xact_id(); COMMIT");
        let says = self.cluster.psql(&sql).expect("done");
        says.lines().last().and_then(|line| line.parse().ok()).expect("a number")
    }

    fn find(&self, blast: Blast, table: &str) -> Found {
        let files = files_of(&self.cluster.repository(), table, None).expect("known");
        let search = Search { blast, files, since: None, until: None };
        find(&self.cluster.archive(), &search, &Silent::default()).expect("searched")
    }
}

fn tops(found: &Found) -> Vec<u32> {
    found.candidates.iter().map(|candidate| candidate.top).collect()
}

#[test]
fn a_table_is_followed_from_file_to_file_until_it_is_dropped() {
    let lost = Lost::new();
    let rewritten = lost.act("ALTER TABLE orders ALTER COLUMN note TYPE varchar(10)");
    let truncated = lost.act("TRUNCATE orders");
    lost.act("INSERT INTO orders VALUES (1, 'again')");
    lost.cluster.psql("BEGIN; DROP TABLE orders; ROLLBACK").expect("taken back");
    let dropped = lost.act("SAVEPOINT a; DROP TABLE orders; RELEASE a");
    lost.act("DROP TABLE other");
    lost.cluster.switch();

    let found = lost.find(Blast::Truncated, "orders");
    assert_eq!(tops(&found), [truncated], "{found:?}");
    let found = lost.find(Blast::Dropped, "public.orders");
    let sure: Vec<u32> = found.candidates.iter().filter(|c| c.certain).map(|c| c.top).collect();
    let unsure: Vec<u32> = found.candidates.iter().filter(|c| !c.certain).map(|c| c.top).collect();
    assert_eq!((sure, unsure), (vec![dropped], vec![rewritten]), "{found:?}");
    let Candidate { table, ended, .. } = &found.candidates[0];
    assert_eq!(&**table, "postgres.public.orders");
    let ended = ended.expect("committed");
    assert!(ended.before < ended.lsn);

    let repo = lost.cluster.repo().to_string_lossy().into_owned();
    let words = ["wal", "find", "--repository", &repo, "--name", NAME, "--dropped", "orders"];
    let (code, said) = told(&lost.cluster.howdah(&words));
    assert_eq!(code, 0, "{said}");
    let position = howdah::recover::repository::manifest::lsn(ended.before);
    assert!(
        said.contains(&format!(
            "howdah restore cluster --repository {repo} --name prod --to-lsn {position}"
        )),
        "{said}"
    );
    assert!(
        said.starts_with(&format!(
            "dropped postgres.public.orders: transaction {dropped}, committed "
        )),
        "{said}"
    );
    let words = ["wal", "find", "--repository", &repo, "--name", NAME, "--dropped", "ordres"];
    let (code, said) = told(&lost.cluster.howdah(&words));
    assert!(code == 69 && said.contains("did you mean"), "{code}: {said}");
}

#[test]
fn rows_are_counted_by_transaction_with_its_subtransactions() {
    let lost = Lost::new();
    lost.act("DELETE FROM orders WHERE id <= 20");
    let mass = lost.act(
        "DELETE FROM orders WHERE id BETWEEN 21 AND 80; SAVEPOINT a; \
         DELETE FROM orders WHERE id BETWEEN 81 AND 140; RELEASE a",
    );
    lost.cluster.psql("BEGIN; DELETE FROM orders; ROLLBACK").expect("taken back");
    lost.act("DELETE FROM other");
    lost.cluster.switch();
    let found = lost.find(Blast::Deleted { at_least: 100 }, "orders");
    let counted: Vec<_> = found.candidates.iter().map(|c| (c.top, c.rows)).collect();
    assert_eq!(counted, [(mass, Some(120))], "{found:?}");

    // Still running when the server dies: it has no end in the archive.
    let server = lost.cluster.folder().display().to_string();
    let mut session = lost.cluster.program("psql");
    session
        .args(["-X", "-q", "-h", &server, "-d", "postgres", "-c"])
        .arg("BEGIN; DELETE FROM orders WHERE id > 200; SELECT pg_sleep(60)");
    let mut session = session.spawn().expect("started");
    lost.cluster.wait("the rows to be deleted", || {
        lost.cluster
            .psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            .is_ok_and(|count| count == "1")
    });
    lost.cluster.switch();
    lost.cluster.kill().expect("killed");
    session.wait().expect("ended");
    let found = lost.find(Blast::Deleted { at_least: 1000 }, "orders");
    let ends: Vec<_> = found.candidates.iter().map(|c| (c.rows, c.ended)).collect();
    assert_eq!(ends, [(Some(2800), None)], "{found:?}");
}
