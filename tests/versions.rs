//! Every version of PostgreSQL that stands on this machine goes the whole way: watched, archived, backed up,
//! verified, and brought back, each with its own programs.
//!
//! `HOWDAH_TEST_POSTGRES` names folders of server programs beside the usual ones, separated as in `PATH`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test, which says what it found"
)]

use crate::support;
use crate::support::tls;
use std::{
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use crate::support::{
    archived::{Archived, NAME},
    data::{self, SHOP},
    database::target_at,
    taking::counted_as_by,
};
use howdah::{
    cluster::{Binaries, Options, Via, free_port, server::end_all},
    recover::repository::{catalogue::Entry, manifest::Method},
    resilience::{
        connect::connect,
        conninfo::{Environment, Settings},
    },
};
use serde_json::Value;

/// The versions that the product is made for.
const MADE_FOR: std::ops::RangeInclusive<u32> = 13..=18;
/// The databases that come back.
const DATABASES: [&str; 3] = [SHOP, data::HOSTILE, data::EMPTY];
/// The table that is lost.
const LOST: &str = "shop.order_line";

/// The programs of each version that is here.
fn found() -> BTreeMap<u32, Binaries> {
    let usual = MADE_FOR.filter_map(|major| Some((major, Binaries::of_major(major).ok()?)));
    let mut found: BTreeMap<u32, Binaries> = usual.collect();
    let named = env::var_os("HOWDAH_TEST_POSTGRES").unwrap_or_default();
    for folder in env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()) {
        let binaries = Binaries::at(&folder);
        let major = binaries.as_ref().and_then(Binaries::major);
        let (Some(binaries), Some(major)) = (binaries, major) else {
            panic!(
                "HOWDAH_TEST_POSTGRES names '{}': no server's programs run there",
                folder.display()
            );
        };
        found.insert(major, binaries);
    }
    found
}

#[test]
fn at_least_one_version_is_here() {
    let found = found();
    for (major, binaries) in &found {
        let version = binaries.version().expect("a version");
        println!("PostgreSQL {major}: {version} in {}", binaries.folder().display());
    }
    for major in MADE_FOR.filter(|major| !found.contains_key(major)) {
        println!("PostgreSQL {major}: NOT HERE, so not tested; HOWDAH_TEST_POSTGRES may name it");
    }
    assert!(!found.is_empty(), "no version of PostgreSQL is here");
}

#[test]
fn version_13_goes_the_whole_way() {
    round_trip(13);
}

#[test]
fn version_14_goes_the_whole_way() {
    round_trip(14);
}

#[test]
fn version_15_goes_the_whole_way() {
    round_trip(15);
}

#[test]
fn version_16_goes_the_whole_way() {
    round_trip(16);
}

#[test]
fn version_17_goes_the_whole_way() {
    round_trip(17);
}

#[test]
fn version_18_goes_the_whole_way() {
    round_trip(18);
}

fn round_trip(major: u32) {
    let Some(binaries) = found().remove(&major) else {
        println!("PostgreSQL {major} is NOT HERE");
        return;
    };
    // Not every distribution's package of an old version has all of its programs.
    let whole = binaries.program("pg_waldump").is_file();
    let estate = Estate::new(binaries);
    estate.is_watched();
    estate.backs_up();
    let before = DATABASES.map(|database| data::fingerprint(&estate.cluster, database));
    let [shop, hostile, nothing] = before.each_ref().map(BTreeMap::len);
    assert!(shop > nothing + 200 && hostile > nothing, "{shop} {hostile} {nothing}");
    estate.loses_a_table();
    estate.verifies(whole);
    estate.restores_the_databases(&before);
    estate.restores_the_table(&before[0]);
    if whole {
        let lsn = estate.finds_the_moment();
        estate.restores_the_cluster(&lsn, &before);
        estate.proves(major);
    }
    estate.speaks_tls_at_once(major);
    println!(
        "PostgreSQL {major}: {}",
        if whole { "the whole way" } else { "all but its WAL: it has no pg_waldump" }
    );
}

/// A cluster of one version that archives, with databases full of what backups stumble over.
struct Estate {
    cluster: Archived,
    words: String,
}

impl Estate {
    fn new(binaries: Binaries) -> Self {
        let options = Options { binaries: Some(binaries), ..support::options() };
        let cluster = Archived::start_with(&options, &[("archive_timeout", "5min")]);
        data::fill(&cluster, true);
        let words = cluster.conninfo(Via::Unix);
        Self { cluster, words }
    }

    /// A call with the password; fails the test unless it ends with one of these codes. What it printed.
    #[track_caller]
    fn call(&self, words: &[&str], good: &[i32]) -> String {
        let mut command = self.cluster.howdah_call(words);
        let output =
            command.env("PGPASSWORD", self.cluster.password().expose()).output().expect("ran");
        let code = output.status.code().unwrap_or(-1);
        let out = String::from_utf8(output.stdout).expect("text");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(good.contains(&code), "howdah {words:?} ended with {code}\n{out}{said}");
        out
    }

    /// The same with the target and the repository.
    #[track_caller]
    fn kept(&self, words: &[&str]) -> String {
        let repo = self.cluster.repo().to_string_lossy().into_owned();
        let place = ["--target", &self.words, "--repository", &repo, "--name", NAME];
        self.call(&[words, &place].concat(), &[0])
    }

    fn is_watched(&self) {
        let told = self.call(&["status", "--json", "--within", "30s", &self.words], &[0, 1, 2]);
        let document: Value = serde_json::from_str(&told).expect("JSON");
        let snapshot = document.get("snapshot").unwrap_or(&document);
        let checks = snapshot["checks"].as_array().expect("checks");
        assert!(checks.len() > 35, "{} checks", checks.len());
        for check in checks {
            assert_eq!(check["error"], Value::Null, "{check}");
            assert_ne!(check["state"], "failed", "{check}");
        }
        for source in snapshot["sources"].as_array().expect("sources") {
            assert_eq!(source["problem"], Value::Null, "{source}");
        }
        assert_eq!(
            snapshot["link"]["state"].as_str().unwrap_or("live"),
            "live",
            "{}",
            snapshot["link"]
        );
        self.call(&["session", "list", &self.words], &[0]);
        let plan = self.kept(&["wal", "setup"]);
        assert!(plan.contains("ok       next start"), "{plan}");
        let flown = self.kept(&["wal", "canary", "--within", "60s"]);
        assert!(flown.contains("compared"), "{flown}");
    }

    fn backs_up(&self) {
        self.kept(&["backup", "--all"]);
        self.kept(&["backup", "--physical"]);
        let listed = self.kept(&["backup", "list"]);
        assert!(listed.contains("logical") && listed.contains("physical"), "{listed}");
        let taken = self.cluster.repository().backups().expect("listed");
        let logical =
            taken.iter().filter_map(Entry::manifest).find(|m| m.method == Method::Logical);
        counted_as_by(&self.cluster, logical.expect("a backup"));
    }

    fn loses_a_table(&self) {
        data::sql(&self.cluster, SHOP, &format!("DROP TABLE {LOST}"));
        self.cluster.switch();
    }

    /// What is kept is sound, to the last record where there is a program that reads records.
    fn verifies(&self, whole: bool) {
        self.kept(&["verify", "--all", "--level", if whole { "L3" } else { "L2" }]);
        self.kept(if whole { &["wal", "verify", "--all"] } else { &["wal", "verify"] });
        self.kept(&["wal", "status"]);
    }

    fn restores_the_databases(&self, before: &[BTreeMap<String, String>; 3]) {
        for (database, before) in DATABASES.iter().zip(before) {
            let again = format!("{database} again");
            let words = ["restore", "database", "--database", database, "--into", &again];
            self.kept(&[&words[..], &["--apply", "--confirm", &again]].concat());
            same(&data::fingerprint(&self.cluster, &again), before);
        }
    }

    fn restores_the_table(&self, before: &BTreeMap<String, String>) {
        let words = ["restore", "table", "--database", SHOP, "--table", LOST, "--in-place"];
        self.kept(&[&words[..], &["--apply", "--confirm", SHOP]].concat());
        same(&data::fingerprint(&self.cluster, SHOP), before);
    }

    /// From "the table is gone" to the position just before.
    fn finds_the_moment(&self) -> String {
        let repo = self.cluster.repo().to_string_lossy().into_owned();
        let words =
            ["wal", "find", "--repository", &repo, "--name", NAME, "--json", "--dropped", LOST];
        let told = String::from_utf8(self.cluster.howdah(&words).stdout).expect("text");
        let document: Value = serde_json::from_str(&told).expect("JSON");
        let candidate = &document["candidates"][0];
        assert_eq!(candidate["certain"], true, "{document}");
        candidate["to_lsn"].as_str().expect("a position").to_owned()
    }

    fn restores_the_cluster(&self, lsn: &str, before: &[BTreeMap<String, String>; 3]) {
        let back = self.cluster.folder().join("it's \"back\"");
        let port = free_port().expect("a port");
        let (into, number) = (back.to_string_lossy().into_owned(), port.to_string());
        let words = ["restore", "cluster", "--to-lsn", lsn, "--into", &into, "--port", &number];
        self.kept(&[&words[..], &["--apply"]].concat());
        let settings = target_at(&self.cluster, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let again = DATABASES.map(|database| data::fingerprint_at(&settings, database));
        end_all(&back);
        // What is unlogged does not survive; that is so with every physical backup.
        let unlogged = |key: &str| key.ends_with("\"cache\"");
        let kept = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            all.iter()
                .filter(|(key, _)| !unlogged(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        for (again, before) in again.iter().zip(before) {
            same(&kept(again), &kept(before));
        }
    }

    /// Restored once more, read to the last row, and its structure checked.
    fn proves(&self, major: u32) {
        let proof: Value = serde_json::from_str(&self.kept(&["prove", "--json"])).expect("JSON");
        assert_eq!(
            (&proof["verdict"], &proof["level"]),
            (&"proven".into(), &"L5".into()),
            "{proof:#}"
        );
        let checks = proof["checks"].as_array().expect("checks");
        let amcheck = checks.iter().find(|check| check["name"] == "pg_amcheck").expect("made");
        let seen = amcheck["seen"].as_str().expect("words");
        assert_eq!(amcheck["verdict"], "passed", "{amcheck}");
        // `pg_amcheck` came with 14.
        assert_eq!(seen.contains("their B-trees"), major < 14, "{seen}");
        let ledger =
            String::from_utf8(self.cluster.howdah(&["ledger", "show"]).stdout).expect("text");
        assert!(ledger.contains("backup.prove"), "{ledger}");
    }
}

impl Estate {
    /// TLS from the first byte on, without asking for it first: 17 introduced it. Another server is not taken
    /// for one that speaks it.
    fn speaks_tls_at_once(&self, major: u32) {
        let home = tempfile::tempdir().expect("a folder");
        tls::openssl(
            home.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=shop \
             -addext subjectAltName=DNS:localhost -keyout shop.key -out shop.crt",
        );
        tls::serve(&self.cluster, home.path(), "shop");
        let words = format!(
            "host=localhost port={} user=postgres dbname=postgres sslmode=verify-full sslrootcert={} \
             sslnegotiation=direct",
            self.cluster.port(),
            home.path().join("shop.crt").display()
        );
        let mut settings = Settings::parse(&words, &Environment::bare()).expect("settings");
        settings.password = Some(self.cluster.password().clone());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let outcome = runtime.block_on(connect(&settings, Duration::from_secs(10)));
        match outcome {
            Ok(connection) => assert!(major >= 17 && connection.encrypted, "{major}"),
            Err(error) => assert!(major < 17, "{major}: {error}"),
        }
    }
}

#[track_caller]
fn same(now: &BTreeMap<String, String>, before: &BTreeMap<String, String>) {
    let keys = now.keys().chain(before.keys()).filter(|key| now.get(*key) != before.get(*key));
    let different: Vec<_> = keys.map(|key| (key, before.get(key), now.get(key))).collect();
    assert!(different.is_empty(), "not as it was: {different:#?}");
}
