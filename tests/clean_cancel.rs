//! Whichever tool is at work and whichever signal comes: nothing of it runs on, holds a lock or a walsender, or
//! looks whole.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    fs,
    io::Read as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{
    cluster, data,
    database::target,
    eventually,
    physical::Estate,
    taking::{
        howdah, logical, nobody_is_left, only_a_reason_is_left, programs, repository, run, waiting,
    },
};
use howdah::{
    base::{
        process::{self, Signal},
        progress::Silent,
    },
    cluster::{Cluster, Via, free_port},
    recover::{
        backup::{self, Wish},
        repository::catalogue::State,
        session::Session,
    },
};

const SIGNALS: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL];
/// `EX_TEMPFAIL`: cancelled, and put away.
const CANCELLED: i32 = 75;

/// Sends the signal and waits for its end, with the code that says so.
fn ended_by(signal: Signal, mut child: Child, case: &str) {
    assert!(process::signal(child.id() as i32, signal), "{case}: it runs");
    let status = child.wait().expect("ended");
    if signal == Signal::KILL {
        assert_eq!(status.signal(), Some(9), "{case}");
    } else {
        assert_eq!(status.code(), Some(CANCELLED), "{case}");
    }
}

fn no_orphans(below: &[i32], case: &str) {
    assert!(process::wait_gone(below, Duration::from_secs(15)), "{case}: no orphans");
}

/// What keeps a tool waiting on the server.
enum Held {
    /// A table of PostgreSQL's own that it reads, in the shop.
    Table(&'static str),
    /// The process that makes checkpoints.
    Checkpointer,
}

/// Lets go when dropped.
struct Hold {
    _table: Option<Session>,
    checkpointer: Option<i32>,
}

impl Hold {
    fn on(cluster: &Cluster, held: &Held) -> Self {
        let Held::Table(table) = held else {
            let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
            let pid = cluster.psql(sql).expect("asked").parse().expect("a number");
            assert!(process::signal(pid, Signal::STOP));
            return Self { _table: None, checkpointer: Some(pid) };
        };
        Self { _table: Some(data::locked(cluster, data::SHOP, table)), checkpointer: None }
    }

    /// Waits until a tool waits for it.
    fn wait(&self, cluster: &Cluster) {
        if self.checkpointer.is_none() {
            return waiting(cluster);
        }
        let sql = "SELECT count(*) FROM pg_stat_progress_basebackup \
                   WHERE phase = 'waiting for checkpoint to finish'";
        eventually("it waits for the checkpoint", Duration::from_secs(20), || {
            cluster.psql(sql).expect("asked") == "1"
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(pid) = self.checkpointer {
            process::signal(pid, Signal::CONT);
        }
    }
}

#[test]
fn a_backup_whose_tool_waits_for_the_server_leaves_nothing_on_either_side() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let mut cases = 0;
    for (tool, words, held) in [
        // What each of them alone reads: comments of roles, comments of anything else.
        ("pg_dumpall", ["--database", data::SHOP], Held::Table("pg_shdescription")),
        ("pg_dump", ["--database", data::SHOP], Held::Table("pg_description")),
        ("pg_basebackup", ["--physical", "--quiet"], Held::Checkpointer),
    ] {
        for signal in SIGNALS {
            let case = format!("{tool}, {signal:?}");
            let top = tempfile::tempdir().expect("a folder");
            let home = top.path().join("repo");
            fs::create_dir(&home).expect("made");
            let repository = repository(&home);
            let hold = Hold::on(&cluster, &held);
            let call = [&["backup", "run"][..], &words].concat();
            let child = howdah(&cluster, &home, &call).spawn().expect("started");
            hold.wait(&cluster);
            let below = process::descendants(child.id() as i32);
            let mut tools = below.iter().filter_map(|&pid| process::find(pid));
            assert!(tools.any(|it| it.command.contains(tool)), "{case}: it is the tool that waits");
            ended_by(signal, child, &case);
            if signal == Signal::KILL {
                // Nobody ends the tool and its session any more: they end when they are answered.
                drop(hold);
                no_orphans(&below, &case);
                nobody_is_left(&cluster);
            } else {
                no_orphans(&below, &case);
                nobody_is_left(&cluster);
                only_a_reason_is_left(&repository, "cancelled");
                drop(hold);
            }
            let entries = repository.backups().expect("listed");
            assert!(entries.iter().all(|entry| entry.manifest().is_none()), "{case}: {entries:?}");
            assert!(!backup::lock::busy(&repository).expect("looked"), "{case}");
            let (code, _, said) =
                run(&mut howdah(&cluster, &home, &["backup", "run", "--database", data::EMPTY]));
            assert_eq!(code, 0, "{case}: the next run: {said}");
            let entries = repository.backups().expect("listed");
            assert!(
                entries.iter().all(|entry| entry.state != State::Unfinished),
                "{case}: {entries:?}"
            );
            assert_eq!(repository.leftovers().expect("listed"), Some(Vec::new()), "{case}");
            cases += 1;
        }
    }
    println!(
        "{cases} backups ended while their tool waited: no process, session, lock or partial is left"
    );
}

/// What is called, and the tool that never comes to its end in it.
const ASLEEP: [(&str, &[&str]); 7] = [
    ("pg_waldump", &["wal", "verify", "--all"]),
    ("pg_waldump", &["restore", "cluster", "--latest", "--apply", "--into"]),
    ("pg_controldata", &["restore", "cluster", "--latest", "--apply", "--into"]),
    ("pg_restore", &["restore", "database", "--database", "postgres", "--apply", "--into"]),
    ("pg_amcheck", &["prove"]),
    ("pg_restore", &["prove", "--logical"]),
    ("psql", &["prove", "--logical"]),
];

/// An estate with a backup of each kind and WAL behind them.
fn kept() -> Estate {
    let estate = Estate::new();
    estate.backup();
    estate.mark();
    estate.switch();
    let settings = target(&estate.cluster, Via::Unix);
    let request = logical(Wish::Database(None));
    backup::take(&request, &settings, &estate.repository, &Silent::default()).expect("a backup");
    estate
}

/// Calls it with these programs.
fn call(estate: &Estate, bin: &Path, words: &[&str], into: &str) -> Command {
    let port = free_port().expect("a port").to_string();
    let target = estate.cluster.conninfo(Via::Unix);
    let repository = estate.path("repository").to_string_lossy().into_owned();
    let archive = estate.archive.to_string_lossy().into_owned();
    let place = ["--repository", &repository, "--name", "test"];
    let mut call = Command::new(env!("CARGO_BIN_EXE_howdah"));
    call.args(words);
    match words {
        ["wal", ..] => call.args(["--from-folder", &archive]),
        ["restore", "cluster", ..] => {
            call.args([into, "--port", &port, "--wal-folder", &archive]).args(place)
        }
        ["restore", ..] => call.args([into, "--confirm", into, "--target", &target]).args(place),
        _ => call.args(["--wal-folder", &archive]).args(place),
    };
    call.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", estate.path(""))
        .env("HOWDAH_PG_BIN", bin)
        .env("PGPASSWORD", estate.cluster.password().expose())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    call
}

#[test]
fn what_reads_or_restores_is_ended_with_the_tool_that_it_waits_for() {
    let estate = kept();
    let proofs = || estate.repository.proofs().expect("listed").len();
    let databases = || estate.sql("SELECT count(*) FROM pg_database");
    let before = (proofs(), databases());
    let one = |number: usize, (tool, words): (&str, &[&str])| {
        for signal in SIGNALS.into_iter().filter(|signal| *signal != Signal::KILL) {
            let case = format!("{tool} of {words:?}, {signal:?}");
            let name = format!("back{number}{}", signal.as_raw());
            let (began, folder) = (estate.path(&format!("{name}.began")), estate.path(&name));
            let script = format!(
                "if [ \"$1\" = --version ]; then exec \"$REAL\" --version; fi\n\
                 echo >'{}'; sleep 300",
                began.display()
            );
            let bin = programs(&estate.cluster, tool, &script);
            let into = folder.to_string_lossy();
            let into = if words.contains(&"database") { name.as_str() } else { &*into };
            let mut child = call(&estate, bin.path(), words, into).spawn().expect("started");
            eventually(&case, Duration::from_mins(1), || {
                if child.try_wait().expect("looked").is_some() {
                    let mut said = String::new();
                    let read = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
                    panic!("{case}: it ended before: {said} {read:?}");
                }
                began.exists()
            });
            let below = process::descendants(child.id() as i32);
            ended_by(signal, child, &case);
            no_orphans(&below, &case);
            let left = estate
                .sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"));
            assert_eq!(left, "0", "{case}: no session");
            assert!(!folder.exists(), "{case}: what was begun is put away");
        }
    };
    thread::scope(|scope| {
        let begun: Vec<_> = ASLEEP
            .into_iter()
            .enumerate()
            .map(|(number, case)| scope.spawn(move || one(number, case)))
            .collect();
        for thread in begun {
            thread.join().expect("no panic");
        }
    });
    assert_eq!((proofs(), databases()), before, "nothing was proven, no database is left");
    println!(
        "{} calls ended in their tool: nothing of them runs on or looks whole",
        ASLEEP.len() * (SIGNALS.len() - 1)
    );
}
