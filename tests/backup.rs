//! Backups of real clusters: what is in them, what is refused, and the program that takes them.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use crate::support::{
    cluster, data,
    database::target,
    mischief::Mischief,
    small_disk::SmallDisk,
    taking::{
        counted_as_by, flip, howdah, logical, physical, physical_by, repository, run, take, verify,
    },
};
use age::secrecy::ExposeSecret as _;
use howdah::{
    base::progress::Silent,
    cluster::Via,
    recover::{
        Kind,
        backup::{self, Compressor, Kinds, Request, Wish},
        repository::{
            self,
            catalogue::State,
            claim::CLAIM,
            encryption::{Keys, Recipients},
            manifest::{Database, Level, Role},
            sealed::Sight,
            storage::Overwrite,
        },
        retention::{self, Policy},
    },
    resilience::conninfo::Settings,
};

/// Rows by table, as the manifest has them.
fn rows(database: &Database) -> BTreeMap<&str, Option<u64>> {
    database.relations.iter().map(|r| (r.name.as_str(), r.rows)).collect()
}

fn last<'a>(database: &'a Database, name: &str) -> Option<&'a str> {
    database.relations.iter().find(|r| r.name == name).expect("listed").last.as_deref()
}

/// Values that COPY has to write otherwise than they are, lest they end a row or all of them; rows that stand in
/// a table that inherits, below two levels of partitions, and in one whose columns are all computed.
const LOOKS_LIKE_AN_END: &str = r#"
    CREATE TABLE public."looks like an end" (t text, u text);
    INSERT INTO public."looks like an end" (t) VALUES
        ('\.'), (''), (NULL), (E'\n'), (E'\\.\n'), (E'\n\\.\n\n\n'), (E'\r\n\\.'), ('\\.'), (repeat(E'\\.\n', 300000));
    CREATE TABLE public.heir (more int) INHERITS (public."looks like an end");
    INSERT INTO public.heir VALUES ('\.', '\.', 1), (NULL, NULL, NULL);
    CREATE TABLE public.computed (one int GENERATED ALWAYS AS (1) STORED);
    INSERT INTO public.computed SELECT FROM generate_series(1, 5);
    CREATE TABLE public.parts (k int, l int) PARTITION BY HASH (k);
    CREATE TABLE public.part_0 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE public.part_1 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)
        PARTITION BY LIST (l);
    CREATE TABLE public.part_1_rest PARTITION OF public.part_1 DEFAULT;
    INSERT INTO public.parts SELECT n, n FROM generate_series(1, 1000) n;
"#;

#[test]
fn a_logical_backup_holds_every_database_and_knows_what_is_in_it() {
    let cluster = cluster();
    data::fill(&cluster, true);
    data::sql(&cluster, data::HOSTILE, LOOKS_LIKE_AN_END);
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
    assert_eq!(rows(odd)["looks like an end"], Some(9));
    assert_eq!(rows(odd)["heir"], Some(2), "its own, and not those of whom it inherits from");
    assert!(find(data::EMPTY).relations.is_empty());
    counted_as_by(&cluster, &manifest);
    let inventory = &manifest.inventory;
    assert_eq!(inventory.roles, ["clerk", "odd \"role\"", "postgres"]);
    assert_eq!(inventory.tablespaces.keys().collect::<Vec<_>>(), ["slow disk"]);
    assert_eq!(backup::lock::holder(&repository).expect("looked"), None);
}

#[test]
fn a_physical_backup_says_which_wal_it_needs_whoever_compresses_it() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    for compressor in [Compressor::Server, Compressor::Client] {
        let watching = Mischief::none();
        let settings = target(&cluster, Via::Unix);
        let request = physical_by(compressor);
        let manifest = backup::take(&request, &settings, &repository, &watching).expect("taken");
        let roles: Vec<&Role> = manifest.files.iter().map(|file| &file.role).collect();
        assert_eq!(roles, [&Role::Base, &Role::BackupManifest]);
        let wal = manifest.wal.as_ref().expect("WAL");
        assert!(wal.start < wal.stop && wal.timeline == 1 && wal.segment_size == 16 << 20);
        let databases = &manifest.inventory.databases;
        let shop = databases.iter().find(|d| d.name == data::SHOP).expect("there");
        assert!(rows(shop).values().all(Option::is_none), "no snapshot, no counts");
        assert!(shop.relations.iter().any(|r| r.name == "cache" && r.unlogged));

        let base = &manifest.files[0].stored;
        let path = repository.storage().path(&base.key).expect("a path");
        let frame = fs::read(&path).expect("read");
        // The flag of a checksum behind the frame (RFC 8878, 3.1.1.1.1): a server writes none, we do.
        let ours = frame[4] & 0b100 != 0;
        assert_eq!(ours, compressor == Compressor::Client, "{compressor:?}");
        assert!(base.size * 2 < base.content_size, "{base:?}");
        assert_eq!(verify(&repository, &manifest.id, Level::L2).findings, [""; 0]);
        assert!(!home.path().join("prod/spool").exists(), "nothing is left on the way");
        assert_eq!(watching.notes.lock().expect("whole").as_slice(), [""; 0]);
        let phases = watching.phases.lock().expect("whole");
        let copied = &phases["copying the data folder"];
        // Both are bytes of the cluster, however small they come.
        let total = copied.total.expect("told by the server");
        let share = copied.done as f64 / total as f64;
        assert!((0.9..1.1).contains(&share), "{compressor:?}: {} of {total}", copied.done);
        assert!(base.content_size.abs_diff(total) < total / 10, "{base:?} {total}");
    }
}

#[test]
fn what_the_server_has_compressed_is_encrypted_and_has_its_sum_beside_it() {
    let cluster = cluster();
    let home = tempfile::tempdir().expect("a folder");
    let place = home.path().join("repo");
    fs::create_dir(&place).expect("made");
    let identity = age::x25519::Identity::generate();
    let secret = home.path().join("identity");
    fs::write(&secret, identity.to_string().expose_secret()).expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("private");
    let public = identity.to_public().to_string();
    let sealing = repository(&place)
        .sealing_for(Recipients::parse([public.as_str()]).expect("a key"))
        .with_md5(true);
    // The room for archives on their way may be elsewhere.
    let spool = home.path().join("on the way");
    let kind = Kinds::Physical {
        spread: false,
        spool: Some(spool.clone()),
        compressor: Compressor::Server,
    };
    let manifest = take(&Request { kind, break_lock: false }, &cluster, &sealing);
    let base = &manifest.files[0].stored;
    assert_eq!(base.recipients, [public]);
    let path = sealing.storage().path(&base.key).expect("a path");
    assert!(fs::read(&path).expect("read").starts_with(b"age-encryption.org/v1"));
    let folder = path.parent().expect("a folder");
    let sums = std::process::Command::new("md5sum")
        .args(["-c", "--quiet", "base.tar.zst.md5"])
        .current_dir(folder)
        .status();
    assert!(sums.expect("md5sum").success());
    let opening = sealing.opening_with(Keys::of_file(&secret));
    assert_eq!(opening.check_sealed(base).expect("sound"), Sight::Content);
    assert_eq!(verify(&opening, &manifest.id, Level::L2).findings, [""; 0]);
    assert_eq!(fs::read_dir(&spool).expect("it is the caller's").count(), 0);
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
    assert_eq!(manifest.files[0].role, Role::Base, "the data folder comes first");
    assert_eq!(verify(&repository, &manifest.id, Level::L2).findings, [""; 0]);
    assert!(!home.path().join("prod/spool").exists(), "nothing is left on the way");
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
    // Copies of one template share their identifier, and the first of them is no copy: the manifest is made to be
    // of a third, in a repository of the time before there were claims.
    let key = repository.backup_key(&whole.id).and_then(|key| key.join("manifest.json"));
    let key = key.expect("a name");
    let mut foreign = whole.clone();
    foreign.cluster.system_identifier ^= 1;
    repository.write_json(&key, &foreign, Overwrite::Replace).expect("written");
    let claim = repository.target().join(CLAIM).expect("a name");
    repository.storage().remove(&claim).expect("removed");
    let refusal = refused(&logical(Wish::Database(None)), &target(&other, Via::Unix));
    assert_eq!(refusal.kind, Kind::Refused, "{refusal}");
    let id = other.psql("SELECT system_identifier FROM pg_control_system()").expect("asked");
    assert!(refusal.to_string().contains(&id), "{id}: {refusal}");
    for entry in repository.backups().expect("listed") {
        assert!(matches!(entry.state, State::Failed(_) | State::Complete { .. }), "{entry:?}");
    }
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
    let mischief = Mischief::none();
    let request = logical(Wish::Database(Some(data::HOSTILE.into())));
    let manifest = backup::take(&request, &settings, &repository, &mischief).expect("a backup");
    let notes = mischief.notes.lock().expect("not poisoned").join("\n");
    assert!(notes.contains("passwords of roles"), "{notes}");
    let globals = &manifest.files[0].stored;
    let mut text = String::new();
    repository.unseal(globals).expect("there").read_to_string(&mut text).expect("read");
    assert!(text.contains("CREATE ROLE clerk") && !text.contains("SCRAM"), "{text}");
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
