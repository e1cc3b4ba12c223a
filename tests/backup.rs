//! Backups of real clusters: what is in them, and what is left when they fail.

#![expect(clippy::expect_used, clippy::panic, reason = "clippy sees tests only in test functions")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use howdah::{
    base::{
        cancel::Cancel,
        process::{self, Signal},
        progress::Silent,
    },
    cluster::{Server, Via},
    recover::{
        Kind, Repository,
        backup::{self, Kinds, Request, Wish},
        repository::{
            self,
            catalogue::State,
            claim::CLAIM,
            manifest::{BackupId, Database, Level, Manifest, Role, Verification},
            sealed::Sight,
            storage::Overwrite,
        },
        retention::{self, Policy},
        verify::Verifier,
    },
    resilience::conninfo::Settings,
};
use support::{cluster, data, database::target, mischief::Mischief, small_disk::SmallDisk};

fn repository(home: &Path) -> Repository {
    repository::open(home.to_str().expect("a path"), "prod").expect("opened")
}

fn logical(wish: Wish) -> Request {
    Request { kind: Kinds::Logical { wish, counts: true }, break_lock: false }
}

fn physical() -> Request {
    Request { kind: Kinds::Physical { spread: false, spool: None }, break_lock: false }
}

fn take(request: &Request, server: &Server, repository: &Repository) -> Manifest {
    let settings = target(server, Via::Unix);
    backup::take(request, &settings, repository, &Silent::default()).expect("a backup")
}

/// Rows by table, as the manifest has them.
fn rows(database: &Database) -> BTreeMap<&str, Option<u64>> {
    database.relations.iter().map(|r| (r.name.as_str(), r.rows)).collect()
}

fn last<'a>(database: &'a Database, name: &str) -> Option<&'a str> {
    database.relations.iter().find(|r| r.name == name).expect("listed").last.as_deref()
}

#[test]
fn a_logical_backup_holds_every_database_and_knows_what_is_in_it() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let manifest = take(&logical(Wish::All), &cluster, &repository);

    let dumped: Vec<&str> = manifest
        .files
        .iter()
        .filter_map(|file| match &file.role {
            Role::Dump { database } => Some(database.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(dumped, [data::EMPTY, "postgres", data::SHOP, data::HOSTILE]);
    for file in &manifest.files {
        let sight = repository.check_sealed(&file.stored).expect("as it was written");
        assert_eq!(sight, Sight::Content);
    }
    let find = |name: &str| {
        manifest.inventory.databases.iter().find(|d| d.name == name).expect("in the inventory")
    };
    let shop = find(data::SHOP);
    let counted = rows(shop);
    for (table, count) in [
        ("customer", 1000),
        ("orders", 5000),
        ("order_line", 15_000),
        ("cache", 200),
        ("no_rows", 0),
        ("no_columns", 7),
        ("turnover", 1000),
        ("archive", 500),
    ] {
        assert_eq!(counted[table], Some(count), "{table}");
    }
    assert_eq!(counted["event"], None, "a partitioned table has no rows of its own");
    assert_eq!(counted["event_2025"].zip(counted["event_2026"]).map(|(a, b)| a + b), Some(2000));
    assert_eq!(last(shop, "orders"), Some("5000"));
    assert_eq!(last(shop, "order_line"), None, "its key has two columns");
    assert_eq!(last(shop, "no_rows"), None);
    assert_eq!(last(shop, "ticket"), Some("114"));
    assert_eq!(last(shop, "never_used"), None);
    assert_eq!(shop.large_objects, 50);
    assert_eq!(shop.extensions.keys().collect::<Vec<_>>(), ["hstore", "pg_trgm", "plpgsql"]);
    let orders = shop.relations.iter().find(|r| r.name == "orders").expect("listed");
    assert!(orders.seconds.is_some(), "its time teaches the next run");
    assert!(orders.filenode > 0 && orders.size > 0);
    let odd = find(data::HOSTILE);
    assert_eq!(rows(odd)[data::HOSTILE_TABLE.1], Some(321));
    assert!(last(odd, data::HOSTILE_TABLE.1).is_some(), "a uuid has no max() but an order");
    assert!(find(data::EMPTY).relations.is_empty());
    let inventory = &manifest.inventory;
    assert_eq!(inventory.roles, ["clerk", "odd \"role\"", "postgres"]);
    assert_eq!(inventory.tablespaces.keys().collect::<Vec<_>>(), ["slow disk"]);
    assert_eq!(backup::lock::holder(&repository).expect("looked"), None);
}

#[test]
fn a_physical_backup_streams_and_says_which_wal_it_needs() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let manifest = take(&physical(), &cluster, &repository);
    let roles: Vec<&Role> = manifest.files.iter().map(|file| &file.role).collect();
    assert_eq!(roles, [&Role::Base, &Role::BackupManifest]);
    let wal = manifest.wal.expect("WAL");
    assert!(wal.start < wal.stop && wal.timeline == 1 && wal.segment_size == 16 << 20);
    let shop = manifest.inventory.databases.iter().find(|d| d.name == data::SHOP).expect("there");
    assert!(rows(shop).values().all(Option::is_none), "no snapshot, no counts");
    assert!(shop.relations.iter().any(|r| r.name == "cache" && r.unlogged));
}

#[test]
fn a_physical_backup_keeps_each_tablespace_as_an_archive_of_its_own() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let manifest = take(&physical(), &cluster, &repository);
    let location = cluster.folder().join("table space").to_string_lossy().into_owned();
    assert!(manifest.files.iter().any(
        |file| matches!(&file.role, Role::Tablespace { location: at, .. } if *at == location)
    ));
    assert!(!home.path().join("prod/spool").exists(), "nothing is left on the way");
}

/// Nothing of a run is left on the server.
fn nobody_is_left(server: &Server) {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'howdah 2%'";
    support::eventually("the sessions are gone", Duration::from_secs(10), || {
        server.psql(count).expect("asked") == "0"
    });
    let slots = server.psql("SELECT count(*) FROM pg_replication_slots").expect("asked");
    assert_eq!(slots, "0", "no slot holds WAL");
}

/// The one entry of the catalogue is a failure with this word, and nothing else is left in the repository.
fn only_a_reason_is_left(repository: &Repository, word: &str) {
    let entries = repository.backups().expect("listed");
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let State::Failed(failed) = &entry.state else { panic!("{entry:?}") };
    assert!(failed.why.contains(word), "{failed:?}");
    let key = repository.backup_key(&entry.id).expect("a name");
    let objects = repository.storage().list(&key).expect("listed");
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(repository.storage().leftovers().expect("listed"), []);
    assert_eq!(backup::lock::holder(repository).expect("looked"), None);
}

/// All requests, by a word each.
fn requests() -> [(&'static str, Request); 2] {
    [("logical", logical(Wish::Database(Some(data::SHOP.into())))), ("physical", physical())]
}

#[test]
fn a_wish_to_stop_at_any_step_leaves_nothing_but_the_reason() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let settings = target(&cluster, Via::Unix);
    for (word, request) in requests() {
        for at in 0.. {
            let home = tempfile::tempdir().expect("a folder");
            let repository = repository(home.path());
            let cancel = Cancel::new();
            let wish = cancel.clone();
            let mischief = Mischief::new(cancel, at, move || wish.cancel());
            let taken = backup::take(&request, &settings, &repository, &mischief);
            if mischief.steps() <= at {
                taken.expect("nobody stopped it");
                assert!(at > 3, "{word}: there are steps");
                break;
            }
            // The last step is the manifest: a wish that comes so late comes too late.
            if let Err(fault) = taken {
                assert_eq!(fault.kind, Kind::Cancelled, "{word}, step {at}: {fault}");
                only_a_reason_is_left(&repository, "cancelled");
            } else {
                assert!(mischief.steps() == at + 1, "{word}, step {at}");
            }
            nobody_is_left(&cluster);
        }
    }
}

#[test]
fn a_disk_that_fills_up_at_any_step_is_told_and_leaves_nothing() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let settings = target(&cluster, Via::Unix);
    let [logically, streamed] = requests();
    let mut cases = 0;
    for (word, request) in [logically, streamed, ("spooled", physical())] {
        if word == "spooled" {
            data::tablespace(&cluster);
        }
        let disk = SmallDisk::mount(400);
        let repository = repository(disk.path());
        let older = take(&logical(Wish::Database(Some(data::EMPTY.into()))), &cluster, &repository);
        for at in 1.. {
            let before = whole(&repository);
            let filler = disk.path().join("filler");
            // A little is left: for names, not for content.
            let act = move || {
                let mut file = fs::File::create(&filler).expect("made");
                while file.write_all(&[1; 4096]).is_ok() {}
            };
            let mischief = Mischief::new(Cancel::new(), at, act);
            let taken = backup::take(&request, &settings, &repository, &mischief);
            if mischief.steps() <= at {
                taken.expect("there was room");
                assert!(at > 3, "{word}: there are steps");
                break;
            }
            let fault = taken.expect_err("the disk is full");
            assert_eq!(fault.kind, Kind::NoSpace, "{word}, step {at}: {fault}");
            fs::remove_file(disk.path().join("filler")).expect("removed");
            assert_eq!(
                whole(&repository),
                before,
                "{word}, step {at}: no more looks whole, no less"
            );
            assert_eq!(verify(&repository, &older.id, Level::L2).findings, [""; 0], "the older is");
            assert_eq!(repository.storage().leftovers().expect("listed"), [], "{word}, step {at}");
            nobody_is_left(&cluster);
            // With room again the next run is whole, whatever the failed one could still write down.
            take(&request, &cluster, &repository);
            cases += 1;
        }
    }
    println!(
        "{cases} steps with a full disk: each told, nothing half looks whole, nothing older lost"
    );
}

/// The backups that look whole.
fn whole(repository: &Repository) -> Vec<BackupId> {
    let entries = repository.backups().expect("listed");
    entries.iter().filter_map(|entry| entry.manifest()).map(|m| m.id.clone()).collect()
}

#[test]
fn what_cannot_work_is_refused_before_it_is_begun() {
    let cluster = support::cluster_with(&[("max_wal_senders", "1")]);
    cluster.psql("CREATE ROLE plain LOGIN PASSWORD 'pw'; CREATE ROLE blind LOGIN").expect("made");
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let settings = target(&cluster, Via::Unix);
    let refused = |request: &Request, settings: &Settings| {
        backup::take(request, settings, &repository, &Silent::default()).expect_err("refused")
    };
    let missing = refused(&logical(Wish::Database(Some("no'where".into()))), &settings);
    assert!(missing.to_string().contains("no'where"), "{missing}");
    assert_eq!(missing.kind, Kind::Usage);

    let mut plain = settings.clone();
    plain.user = "plain".into();
    plain.password = Some(howdah::base::secret::Secret::new("pw"));
    let refusal = refused(&physical(), &plain);
    assert_eq!(refusal.kind, Kind::Refused, "{refusal}");
    assert!(refusal.to_string().contains("may not replicate"), "{refusal}");

    let mut nowhere = settings.clone();
    nowhere.hosts[0].port = 1;
    assert_eq!(refused(&physical(), &nowhere).kind, Kind::Unavailable);

    let disk = SmallDisk::mount(1);
    let small = repository::open(disk.path().to_str().expect("a path"), "prod").expect("opened");
    let full = backup::take(&physical(), &settings, &small, &Silent::default()).expect_err("small");
    assert_eq!(full.kind, Kind::NoSpace, "{full}");

    let whole = take(&logical(Wish::Database(None)), &cluster, &repository);
    let other = support::cluster_with(&[]);
    // Copies of one template share their identifier: the manifest is made to be of another, in a repository
    // of the time before there were claims.
    let key = repository.backup_key(&whole.id).and_then(|key| key.join("manifest.json"));
    let key = key.expect("a name");
    let mut foreign = whole.clone();
    foreign.cluster.system_identifier ^= 1;
    repository.write_json(&key, &foreign, Overwrite::Replace).expect("written");
    let claim = repository.target().join(CLAIM).expect("a name");
    repository.storage().remove(&claim).expect("removed");
    let refusal = refused(&logical(Wish::Database(None)), &target(&other, Via::Unix));
    assert_eq!(refusal.kind, Kind::Refused, "{refusal}");
    assert!(refusal.to_string().contains(&whole.cluster.system_identifier.to_string()));
    for entry in repository.backups().expect("listed") {
        assert!(matches!(entry.state, State::Failed(_) | State::Complete { .. }), "{entry:?}");
    }
}

/// A call of the program, as cron makes it.
fn howdah(server: &Server, home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(words)
        .args(["--target", &server.conninfo(Via::Unix), "--name", "prod", "--repository"])
        .arg(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.join(".."))
        .env("HOWDAH_PG_BIN", std::env::var_os("HOWDAH_PG_BIN").unwrap_or_default())
        .env("PGPASSWORD", server.password().expose())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_run_that_is_killed_or_asked_to_end_at_any_moment_leaves_nothing_that_looks_whole() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let sql = "CREATE TABLE bulk AS SELECT n, md5(n::text) AS t FROM generate_series(1, 400000) n";
    data::sql(&cluster, data::SHOP, sql);
    let top = tempfile::tempdir().expect("a folder");
    let (mut killed, mut ended, mut whole) = (0, 0, 0);
    for (at, signal) in
        [Signal::KILL, Signal::INT, Signal::TERM].into_iter().cycle().take(18).enumerate()
    {
        let kind = if at % 2 == 0 { "--all" } else { "--physical" };
        let home = top.path().join(format!("repo {at}"));
        fs::create_dir(&home).expect("made");
        let repository = repository(&home);
        let mut child = howdah(&cluster, &home, &["backup", kind]).spawn().expect("started");
        // From before the first file to behind the last one.
        std::thread::sleep(Duration::from_millis(40 + 130 * (at as u64 / 2)));
        let pid = child.id() as i32;
        let below = process::descendants(pid);
        process::signal(pid, signal);
        let status = child.wait().expect("ended");
        assert!(process::wait_gone(&below, Duration::from_secs(15)), "no orphans");
        nobody_is_left(&cluster);
        assert!(!backup::lock::busy(&repository).expect("looked"), "the lock is free or stale");
        let before = repository.backups().expect("listed");
        for entry in &before {
            match &entry.state {
                State::Complete { .. } => {
                    let found = verify(&repository, &entry.id, Level::L2);
                    assert_eq!(found.findings, [""; 0]);
                    whole += 1;
                }
                State::Failed(failed) => {
                    assert!(failed.cancelled, "{failed:?}");
                    assert_eq!(status.code(), Some(75));
                    ended += 1;
                }
                State::Unfinished => {
                    assert_eq!(signal, Signal::KILL);
                    killed += 1;
                }
                State::Damaged(fault) => panic!("{fault}"),
            }
        }
        take(&logical(Wish::Database(Some(data::EMPTY.into()))), &cluster, &repository);
        let after = repository.backups().expect("listed");
        for entry in after {
            match &entry.state {
                State::Unfinished => panic!("{entry:?} is to be put away"),
                State::Failed(failed) => assert_ne!(failed.step, "unknown", "{failed:?}"),
                State::Complete { .. } | State::Damaged(_) => {}
            }
        }
        assert_eq!(repository.storage().leftovers().expect("listed"), []);
        assert!(!home.join("prod/spool").exists());
    }
    println!("killed midway {killed}, ended {ended}, whole before the signal {whole}");
    assert!(killed + ended > 5, "the signals came while it was at work");
}

fn verify(repository: &Repository, id: &BackupId, level: Level) -> Verification {
    Verifier::default().verify(repository, id, level, &Silent::default()).expect("looked")
}

/// A way to damage a file.
type Damage = fn(&Path);

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("written");
}

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("read");
    fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
}

fn empty(path: &Path) {
    fs::write(path, b"").expect("written");
}

fn delete(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn double(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    bytes.extend_from_within(..);
    fs::write(path, bytes).expect("written");
}

fn stray(path: &Path) {
    fs::write(path.with_extension("old"), b"x").expect("written");
}

const DAMAGES: [(&str, Damage); 6] = [
    ("flip", flip),
    ("cut", cut),
    ("empty", empty),
    ("delete", delete),
    ("double", double),
    ("stray", stray),
];

#[test]
fn damage_of_each_kind_of_file_is_found_and_named() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let mut cases = 0;
    for (word, request) in [("logical", logical(Wish::All)), ("physical", physical())] {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(home.path());
        let manifest = take(&request, &cluster, &repository);
        let sound = verify(&repository, &manifest.id, Level::L2);
        assert_eq!((sound.findings, sound.reached), (Vec::new(), Some(Level::L2)), "{word}");
        assert_eq!(repository.backup(&manifest.id).expect("there").level(), Some(Level::L2));
        for file in &manifest.files {
            let path = repository.storage().path(&file.stored.key).expect("a folder has paths");
            let kept = fs::read(&path).expect("read");
            for (damage, act) in DAMAGES {
                act(&path);
                let found = verify(&repository, &manifest.id, Level::L1);
                assert_eq!(found.reached, None, "{damage} of {}", file.stored.key);
                let named = path.file_stem().expect("a name").to_string_lossy().into_owned();
                assert!(found.findings.iter().any(|f| f.contains(&named)), "{found:?}");
                let _ = fs::remove_file(path.with_extension("old"));
                fs::write(&path, &kept).expect("mended");
                cases += 1;
            }
        }
        // Two files change places.
        let paths: Vec<_> = manifest
            .files
            .iter()
            .take(2)
            .map(|file| repository.storage().path(&file.stored.key).expect("a path"))
            .collect();
        let aside = home.path().join("aside");
        for (from, to) in [(&paths[0], &aside), (&paths[1], &paths[0]), (&aside, &paths[1])] {
            fs::rename(from, to).expect("moved");
        }
        assert!(!verify(&repository, &manifest.id, Level::L1).findings.is_empty());
        for (from, to) in [(&paths[0], &aside), (&paths[1], &paths[0]), (&aside, &paths[1])] {
            fs::rename(from, to).expect("moved");
        }
        // The manifest itself.
        let key = repository.backup_key(&manifest.id).and_then(|key| key.join("manifest.json"));
        let path = repository.storage().path(&key.expect("a name")).expect("a path");
        let kept = fs::read(&path).expect("read");
        for act in [cut as Damage, empty] {
            act(&path);
            let fault = Verifier::default()
                .verify(&repository, &manifest.id, Level::L1, &Silent::default())
                .map_err(|fault| fault.kind);
            // A missing line break at the end is no damage.
            if fault.is_ok() {
                let text = fs::read(&path).expect("read");
                assert!(kept.starts_with(&text) && kept.len() - text.len() == 1);
            } else {
                assert_eq!(fault, Err(Kind::Damaged));
            }
            fs::write(&path, &kept).expect("mended");
            cases += 1;
        }
    }
    println!("{cases} damages found");
}

/// A backup whose files are as they were written, but not what the cluster had: what hashes cannot see.
#[test]
fn what_was_written_wrong_is_found_by_structure_alone() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    for (request, changes) in [
        (
            logical(Wish::Database(Some(data::SHOP.into()))),
            &[
                (rows_changed as fn(&mut Manifest), "instead of"),
                (table_added, "lacks shop.unheard"),
                (objects_changed, "large objects"),
                (database_added, "no dump of the database"),
            ][..],
        ),
        (physical(), &[(wal_changed as fn(&mut Manifest), "different WAL")][..]),
    ] {
        let manifest = take(&request, &cluster, &repository);
        let key = repository.backup_key(&manifest.id).and_then(|key| key.join("manifest.json"));
        let key = key.expect("a name");
        for (change, word) in changes {
            let mut changed = manifest.clone();
            change(&mut changed);
            repository.write_json(&key, &changed, Overwrite::Replace).expect("written");
            let found = verify(&repository, &manifest.id, Level::L2);
            assert_eq!(found.reached, Some(Level::L1), "{word}");
            assert!(found.findings.iter().any(|f| f.contains(word)), "{word}: {found:?}");
        }
    }
}

fn rows_changed(manifest: &mut Manifest) {
    for relation in &mut manifest.inventory.databases[0].relations {
        if relation.name == "orders" {
            relation.rows = Some(4999);
        }
    }
}

fn table_added(manifest: &mut Manifest) {
    let relations = &mut manifest.inventory.databases[0].relations;
    let mut more = relations.iter().find(|r| r.name == "orders").expect("there").clone();
    more.name = "unheard".into();
    relations.push(more);
}

fn objects_changed(manifest: &mut Manifest) {
    manifest.inventory.databases[0].large_objects += 1;
}

fn database_added(manifest: &mut Manifest) {
    manifest.inventory.databases.push(Database { name: "more".into(), ..Database::default() });
}

fn wal_changed(manifest: &mut Manifest) {
    manifest.wal.as_mut().expect("WAL").stop += 1;
}

#[test]
fn the_command_line_takes_lists_verifies_and_lets_go() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let top = tempfile::tempdir().expect("a folder");
    let home = top.path().join("a repository's \"home\"");
    fs::create_dir(&home).expect("made");
    let call = |words: &[&str]| run(&mut howdah(&cluster, &home, words));
    let quiet = (0, String::new(), String::new());
    assert_eq!(call(&["backup", "--database", data::HOSTILE]), quiet, "cron hears nothing");
    assert_eq!(call(&["backup", "run", "--physical", "--quiet"]), quiet);
    let (code, _, why) = call(&["backup", "--database", "nowhere"]);
    assert_eq!((code, why.lines().count()), (64, 1), "{why}");
    assert!(why.contains("'nowhere'"), "{why}");
    let (code, _, _) = call(&["backup", "--physical", "--all"]);
    assert_eq!(code, 64);

    let (code, list, _) = call(&["backup", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let states: Vec<_> =
        list.as_array().expect("a list").iter().map(|e| e["state"].clone()).collect();
    assert_eq!(code, 0);
    assert_eq!(states.iter().filter(|state| *state == "complete").count(), 2, "{list}");
    assert_eq!(states.iter().filter(|state| *state == "failed").count(), 1, "{list}");
    let (_, text, _) = call(&["backup", "list"]);
    assert!(text.contains("FAILED at preflight") && text.contains(data::HOSTILE), "{text}");

    let (code, said, _) = call(&["verify", "--level", "L2"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with(": L2\n"), "{said}");
    let newest = said.split(':').next().expect("a name").to_owned();
    let base = home.join("prod/backups").join(&newest).join("base.tar.zst");
    flip(&base);
    let (code, said, _) = call(&["verify", &newest]);
    assert_eq!(code, 65);
    assert!(said.contains("base.tar.zst") && said.contains("SHA-256"), "{said}");
    let (_, text, _) = call(&["backup", "list"]);
    assert!(text.contains("DAMAGED: 1 findings"), "{text}");
    let (code, said, _) = call(&["verify", "--level", "L5"]);
    assert_eq!((code, said.contains(": — of L5")), (65, true), "nothing is restored of it: {said}");

    let (code, plan, _) = call(&["backup", "expire", "--keep-days", "0", "--keep-at-least", "1"]);
    assert_eq!(code, 0);
    assert!(plan.contains("Nothing was touched"), "{plan}");
    assert_eq!(plan.matches("stays").count(), 2, "{plan}");
    let (code, done, _) =
        call(&["backup", "expire", "--keep-days", "0", "--keep-at-least", "1", "--apply"]);
    assert_eq!((code, done.contains("freed")), (0, true), "{done}");
    let (_, list, _) = call(&["backup", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");

    let (code, units, _) = call(&["backup", "schedule", "--at", "03:30", "--physical"]);
    assert_eq!(code, 0);
    assert!(units.contains("OnCalendar=*-*-* 03:30:00") && units.contains("--physical"), "{units}");
    let (code, line, _) = call(&["backup", "schedule", "--cron", "--all"]);
    assert!(code == 0 && line.starts_with("0 2 * * * '/"), "{line}");
}

#[test]
fn old_backups_and_their_wal_go_and_what_is_needed_stays() {
    let cluster = cluster();
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let first = take(&physical(), &cluster, &repository);
    cluster.psql("SELECT pg_switch_wal(); CREATE TABLE x AS SELECT 1").expect("moved on");
    let second = take(&physical(), &cluster, &repository);
    let wal = second.wal.clone().expect("WAL");
    let needed = wal.start / wal.segment_size;
    for number in [needed - 1, needed, needed + 1] {
        let name = format!("00000001/0000000100000000{number:08X}.zst");
        let key = repository.wal_key().and_then(|key| key.join(&name)).expect("a name");
        let mut upload = repository.storage().create(&key, Overwrite::Never).expect("begun");
        upload.write_all(b"x").expect("written");
        upload.finish().expect("published");
    }
    let policy = Policy { days: 0, at_least: 1 };
    // Of backups that ended before this moment the newest reaches into the days to keep.
    let plan = retention::apply(&repository, policy, false, &Silent::default()).expect("applied");
    assert_eq!(plan.going().map(|item| &item.id).collect::<Vec<_>>(), [&first.id]);
    assert_eq!(plan.wal.len(), 1);
    let left = repository.storage().list(&repository.wal_key().expect("a name")).expect("listed");
    assert_eq!(left.len(), 2);
    let entries = repository.backups().expect("listed");
    assert_eq!(entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(), [&second.id]);
    assert_eq!(verify(&repository, &second.id, Level::L2).reached, Some(Level::L2));
}

#[test]
fn a_role_that_may_not_read_passwords_takes_a_backup_and_it_is_said() {
    let cluster = cluster();
    data::fill(&cluster, false);
    cluster.psql("CREATE ROLE reader LOGIN PASSWORD 'pw'").expect("made");
    // pg_read_all_data would let it read pg_authid, too.
    let (schema, _) = data::HOSTILE_TABLE;
    let schema = howdah::recover::session::identifier(schema);
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
    );
    data::sql(&cluster, data::HOSTILE, &grant);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let mut settings = target(&cluster, Via::Unix);
    settings.user = "reader".into();
    settings.password = Some(howdah::base::secret::Secret::new("pw"));
    let mischief = Mischief::new(Cancel::new(), usize::MAX, || {});
    let request = logical(Wish::Database(Some(data::HOSTILE.into())));
    let manifest = backup::take(&request, &settings, &repository, &mischief).expect("a backup");
    let notes = mischief.notes.lock().expect("not poisoned").join("\n");
    assert!(notes.contains("passwords of roles"), "{notes}");
    let globals = &manifest.files[0].stored;
    let mut text = String::new();
    repository.unseal(globals).expect("there").read_to_string(&mut text).expect("read");
    assert!(text.contains("CREATE ROLE clerk") && !text.contains("SCRAM"), "{text}");
}

/// A folder of programs in which one does what the script says; `REAL` is the true one.
fn programs(server: &Server, name: &str, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let real = server.binaries().folder();
    for entry in fs::read_dir(real).expect("listed").flatten() {
        if entry.file_name() != *name {
            let link = folder.path().join(entry.file_name());
            std::os::unix::fs::symlink(entry.path(), link).expect("linked");
        }
    }
    let path = folder.path().join(name);
    // Client programs may stand elsewhere: then it is found in PATH, where this one is not.
    let real = server.binaries().program(name);
    let text = format!("#!/bin/bash\nREAL='{}'\n{script}\n", real.display());
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
    folder
}

#[test]
fn a_tool_that_says_all_is_well_over_half_a_file_is_not_believed() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let honest = "if [ \"$1\" = --version ]; then exec \"$REAL\" --version; fi\n";
    let old = "echo 'pg_dump (PostgreSQL) 13.4'";
    for (tool, kind, script, code, word) in [
        ("pg_dump", "--all", "\"$REAL\" \"$@\" | head -c 30000; exit 0", 65, "damaged"),
        ("pg_dump", "--all", "exit 0", 65, "dump"),
        ("pg_dump", "--all", "\"$REAL\" -s \"$@\"; exit 0", 65, "no rows of"),
        ("pg_dumpall", "--all", "\"$REAL\" \"$@\" | head -c 300; exit 0", 65, "no end"),
        (
            "pg_basebackup",
            "--physical",
            "\"$REAL\" \"$@\" | head -c 3000000; exit 0",
            65,
            "damaged",
        ),
        ("pg_basebackup", "--physical", "exit 0", 65, "backup_manifest"),
        ("pg_basebackup", "--physical", "echo 'no connection' >&2; exit 1", 1, "no connection"),
        ("pg_dump", "--all", "", 69, "is older than the server"),
    ] {
        let script = if script.is_empty() { old.to_owned() } else { format!("{honest}{script}") };
        let bin = programs(&cluster, tool, &script);
        let top = tempfile::tempdir().expect("a folder");
        let home = top.path().join("repo");
        fs::create_dir(&home).expect("made");
        let mut call = howdah(&cluster, &home, &["backup", kind]);
        let (found, _, why) = run(call.env("HOWDAH_PG_BIN", bin.path()));
        assert_eq!(found, code, "{tool} {script}: {why}");
        assert!(why.contains(word), "{tool} {script}: {why}");
        only_a_reason_is_left(&repository(&home), "");
        nobody_is_left(&cluster);
    }
}

#[test]
fn every_change_stands_in_the_ledger() {
    let cluster = cluster();
    let top = tempfile::tempdir().expect("a folder");
    let home = top.path().join("repo");
    fs::create_dir(&home).expect("made");
    let call = |words: &[&str]| run(&mut howdah(&cluster, &home, words));
    assert_eq!(call(&["backup"]).0, 0);
    assert_eq!(call(&["verify"]).0, 0);
    assert_eq!(call(&["backup", "--database", "nowhere"]).0, 64);
    assert_eq!(call(&["backup", "expire", "--apply"]).0, 0);
    let ledger = top.path().join(".local/state/howdah/ledger/ledger.jsonl");
    let text = fs::read_to_string(&ledger).expect("a ledger");
    let told: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!(
                "{} {}",
                line["action"].as_str().unwrap_or("?"),
                line["outcome"].as_str().unwrap_or("?")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "backup.run begun",
            "backup.run done",
            "backup.verify begun",
            "backup.verify done",
            "backup.run begun",
            "backup.run refused",
            "backup.expire begun",
            "backup.expire done"
        ]
    );
}
