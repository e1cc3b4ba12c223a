//! What is left of a backup that does not come to its end: stopped, killed, without room, or told by a tool that all
//! is well when it is not.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{fs, io::Write as _, time::Duration};

use crate::support::{
    cluster, data,
    database::target,
    mischief::Mischief,
    small_disk::SmallDisk,
    taking::{
        howdah, logical, nobody_is_left, only_a_reason_is_left, physical, physical_by, programs,
        repository, requests, run, take, verify,
    },
};
use howdah::{
    base::{
        cancel::Cancel,
        process::{self, Signal},
    },
    cluster::Via,
    recover::{
        Kind, Repository,
        backup::{self, Compressor, Wish},
        repository::{
            catalogue::State,
            manifest::{BackupId, Level},
        },
    },
};

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
    let [logically, _] = requests();
    let streamed = ("streamed", physical_by(Compressor::Client));
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
            assert_eq!(
                repository.leftovers().expect("listed"),
                Some(Vec::new()),
                "{word}, step {at}"
            );
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
        assert_eq!(repository.leftovers().expect("listed"), Some(Vec::new()));
        assert!(!home.join("prod/spool").exists());
    }
    println!("killed midway {killed}, ended {ended}, whole before the signal {whole}");
    assert!(killed + ended > 5, "the signals came while it was at work");
}

/// A base backup that this side compresses.
const CLIENT: &str = "--physical --compress client";
/// All of it in another folder, and half an archive where it is wished, which is the last word of the call.
const HALF: &str = r#"at="${!#}"; "$REAL" "${@:1:$#-1}" "$at.whole" && mkdir "$at" &&
head -c 300000 "$at.whole/base.tar.zst" >"$at/base.tar.zst" && mv "$at.whole/backup_manifest" "$at";
rm -rf "$at.whole"; exit 0"#;

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
        ("pg_basebackup", CLIENT, "\"$REAL\" \"$@\" | head -c 3000000; exit 0", 65, "damaged"),
        ("pg_basebackup", CLIENT, "exit 0", 65, "backup_manifest"),
        ("pg_basebackup", "--physical", HALF, 65, "damaged"),
        ("pg_basebackup", "--physical", "exit 0", 65, "backup_manifest"),
        ("pg_basebackup", "--physical", "echo 'no connection' >&2; exit 1", 1, "no connection"),
        ("pg_dump", "--all", "", 69, "is older than the server"),
    ] {
        let script = if script.is_empty() { old.to_owned() } else { format!("{honest}{script}") };
        let bin = programs(&cluster, tool, &script);
        let top = tempfile::tempdir().expect("a folder");
        let home = top.path().join("repo");
        fs::create_dir(&home).expect("made");
        let words: Vec<&str> = ["backup"].into_iter().chain(kind.split(' ')).collect();
        let mut call = howdah(&cluster, &home, &words);
        let (found, _, why) = run(call.env("HOWDAH_PG_BIN", bin.path()));
        assert_eq!(found, code, "{tool} {script}: {why}");
        assert!(why.contains(word), "{tool} {script}: {why}");
        only_a_reason_is_left(&repository(&home), "");
        nobody_is_left(&cluster);
    }
}
