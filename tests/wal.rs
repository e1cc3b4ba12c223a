//! The server archives with `howdah wal archive` and recovers with `howdah wal fetch`.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::fs;

use crate::support::archived::{Archived, NAME, told};
use howdah::{
    cluster::ClusterError,
    recover::wal::{Segment, WalFile},
};

fn mark(cluster: &Archived, number: u32) -> String {
    cluster.psql(&format!("INSERT INTO marks VALUES ({number})")).expect("inserted");
    cluster.switch()
}

fn marks(cluster: &Archived) -> String {
    cluster.psql("SELECT string_agg(n::text, ',' ORDER BY n) FROM marks").expect("asked")
}

/// A cluster with a base backup `base` and marks 1 to 4 behind it, one to a segment.
fn marked() -> (Archived, Vec<String>) {
    let cluster = Archived::start(&[]);
    cluster.psql("CREATE TABLE marks (n int)").expect("made");
    cluster.base_backup("base");
    let names = (1..=4).map(|number| mark(&cluster, number)).collect();
    (cluster, names)
}

#[test]
fn a_cluster_archives_restarts_recovers_and_archives_its_new_timeline() {
    let (cluster, mut names) = marked();
    cluster.restart().expect("restarted");
    names.push(mark(&cluster, 5));

    cluster.put_back("base", "recovery.signal");
    cluster.start().expect("started");
    cluster.wait_recovered();
    assert_eq!(marks(&cluster), "1,2,3,4,5");
    assert!(!cluster.data_dir().join("pg_wal/howdah-spool").exists(), "the spool is gone");

    cluster.wait_archived("00000002.history");
    let first = mark(&cluster, 6);
    assert!(first.starts_with("00000002"), "{first}");
    let files = cluster.archive().list().expect("listed");
    assert_eq!(files.strangers, []);
    let has = |name: &str| files.files.iter().any(|listed| listed.kept.file.to_string() == name);
    assert!(names.iter().all(|name| has(name)), "{files:?}");
    for listed in &files.files {
        cluster.archive().read(&listed.kept).expect("sound");
    }
    assert_eq!(cluster.psql("SELECT failed_count FROM pg_stat_archiver").expect("asked"), "0");
}

#[test]
fn damage_stops_recovery_where_a_gap_would_end_it_in_silence() {
    let (cluster, names) = marked();
    let archive = cluster.archive();
    let file: WalFile = names[2].parse().expect("a name");
    let kept = archive.find_one(file).expect("looked").expect("there");
    let path = cluster.repo().join(kept.place().as_str());
    let mut stored = fs::read(&path).expect("read");
    let middle = stored.len() / 2;
    stored[middle] ^= 0x10;
    fs::write(&path, &stored).expect("damaged");

    cluster.put_back("base", "recovery.signal");
    let started = cluster.start();
    // It may have let somebody in before it came to the damage.
    if started.is_ok() {
        support::eventually("the server to stop", std::time::Duration::from_secs(30), || {
            !cluster.running()
        });
    } else {
        assert!(matches!(started, Err(ClusterError::Failed { .. })), "{started:?}");
    }
    let log = cluster.log_tail(30);
    assert!(log.contains("FATAL:  could not restore file"), "{log}");
    assert!(log.contains("howdah: ") && log.contains(&names[2]), "{log}");
    assert!(!log.contains("selected new timeline"), "{log}");
}

#[test]
fn each_refusal_has_a_code_that_the_server_understands() {
    let (cluster, names) = marked();
    let repo = cluster.repo().to_string_lossy().into_owned();
    let place = ["--repository", &repo, "--name", NAME];
    let run = |command: &str, more: &[&str]| {
        told(&cluster.howdah(&[&["wal", command], &place[..], more].concat()))
    };
    let to = cluster.folder().join("fetched").to_string_lossy().into_owned();

    assert_eq!(run("fetch", &["0000000100000000000000F0", &to]), (1, String::new()));
    assert_eq!(run("fetch", &["00000001.history", &to]), (1, String::new()));
    assert_eq!(run("fetch", &[&names[0], &to, "--ahead", "0"]), (0, String::new()));
    // The same again is success; other content is refused, and the server keeps its file.
    let again = cluster.folder().join(&names[0]);
    fs::rename(&to, &again).expect("moved");
    let again = again.to_string_lossy().into_owned();
    assert_eq!(run("archive", &[&again]), (0, String::new()));
    let mut other = fs::read(&again).expect("read");
    other[100] ^= 1;
    fs::write(&again, &other).expect("written");
    let (code, said) = run("archive", &[&again]);
    assert!(code == 77 && said.contains("other content") && said.lines().count() == 1, "{said}");

    // What is not "not there" must never look so.
    for words in [
        &["wal", "fetch", "--wrong"][..],
        &["wal", "fetch", "--repository", "/nowhere", "--name", "x", &names[0], &to],
        &["wal", "fetch", "--config", "/nowhere", &names[0], &to],
        &["wal", "fetch", "--repository", &repo, "--name", "x", "nonsense", &to],
    ] {
        let (code, said) = told(&cluster.howdah(words));
        assert!((192..=255).contains(&code), "{words:?}: {code}: {said}");
    }
    let (code, said) = run("archive", &["/nowhere/000000010000000000000009"]);
    assert!((1..=125).contains(&code) && said.contains("/nowhere"), "{code}: {said}");
}

#[test]
fn a_standby_asks_again_while_the_repository_is_away() {
    let cluster = Archived::start(&[]);
    fs::write(cluster.folder().join("standby.signal"), "").expect("written");
    let words = ["wal", "fetch", "--repository", "/nowhere", "--name", "x"];
    let file = ["000000010000000000000001", "x"];
    let (code, said) = told(&cluster.howdah(&[&words[..], &file].concat()));
    assert!(code == 1 && said.contains("/nowhere"), "{code}: {said}");
}

#[test]
fn segments_are_fetched_ahead_and_taken_from_the_spool() {
    let (cluster, names) = marked();
    let repo = cluster.repo().to_string_lossy().into_owned();
    let place = ["wal", "fetch", "--repository", &repo, "--name", NAME];
    let to = cluster.folder().join("fetched").to_string_lossy().into_owned();
    let spool = cluster.folder().join("howdah-spool");
    let fetch = |name: &str| told(&cluster.howdah(&[&place[..], &[name, &to]].concat()));
    assert_eq!(fetch(&names[0]), (0, String::new()));
    let second: Segment = names[1].parse().expect("a name");
    let spooled = || {
        let names = fs::read_dir(&spool).into_iter().flatten().flatten().map(|e| e.file_name());
        let whole =
            |name: &str| name.starts_with(&second.to_string()) && !name.ends_with("partial");
        names.filter(|name| whole(&name.to_string_lossy())).count()
    };
    support::eventually("the next one in the spool", std::time::Duration::from_secs(20), || {
        spooled() == 1
    });
    assert_eq!(fetch(&names[1]), (0, String::new()));
    assert_eq!(spooled(), 0, "it was moved");
    let kept = cluster.archive().find_one(WalFile::Segment(second)).expect("looked");
    let content = cluster.archive().read(&kept.expect("there")).expect("read");
    assert!(content == fs::read(&to).expect("read"), "it is the one that was asked for");
}
