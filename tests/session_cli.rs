//! `howdah session` on a real pile of locks: the root is named, the very session is signalled, a reused number or
//! another statement is not, and the guide clears the pile.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use crate::support;
use std::{ops::Deref, time::Duration};

use crate::support::{
    caller::{Caller, mark},
    eventually,
};
use howdah::cluster::{Cluster, Via};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

struct Seat {
    cluster: Cluster,
    caller: Caller,
    runtime: tokio::runtime::Runtime,
}

impl Deref for Seat {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Seat {
    fn take() -> Self {
        let cluster = support::cluster();
        let home = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let caller = Caller { config: home.path().join("good.toml"), home };
        let seat = Self { cluster, caller, runtime };
        let url = format!(
            "{} password={}",
            seat.cluster.conninfo(Via::Unix),
            seat.cluster.password().expose()
        );
        for (file, more) in [("good.toml", ""), ("read-only.toml", "read_only = true\n")] {
            let text = format!(
                "default_target = 'shop'\n[target.shop]\nurl = \"{url}\"\nrepository = '/nowhere'\n{more}"
            );
            std::fs::write(seat.home.path().join(file), text).expect("written");
        }
        seat.cluster.psql("create table stock (id int primary key, n int)").expect("made");
        seat.cluster.psql("insert into stock values (1, 0)").expect("filled");
        seat
    }

    /// Begins a session that runs `first`, then `then` without waiting for its end.
    fn sits(&self, first: &str, then: &str) -> (i32, tokio::task::JoinHandle<Option<String>>) {
        self.runtime.block_on(async {
            let client = support::connect(&self.cluster, Via::Unix).await;
            let pid = client.query_one("select pg_backend_pid()", &[]).await.expect("asked").get(0);
            client.batch_execute(first).await.expect("done");
            let then = then.to_owned();
            let task = tokio::spawn(async move {
                let code = match client.batch_execute(&then).await {
                    Ok(()) => None,
                    Err(error) => {
                        Some(error.code().map_or("closed", |code| code.code()).to_owned())
                    }
                };
                // The session stays until somebody ends it.
                if code.is_none() {
                    std::future::pending::<()>().await;
                }
                code
            });
            (pid, task)
        })
    }

    /// A root that is idle in its transaction, a victim of it, and a victim of that one.
    fn pile(&self) -> [(i32, tokio::task::JoinHandle<Option<String>>); 3] {
        let update = "update stock set n = n + 1 where id = 1";
        let root = self.sits(&format!("begin; {update}"), "select 1");
        let first = self.sits("begin; set application_name = 'victim'", update);
        eventually("the first waits", SOON, || self.waiting() == 1);
        let second = self.sits("begin; set application_name = 'victim'", update);
        eventually("both wait", SOON, || self.waiting() == 2);
        [root, first, second]
    }

    fn waiting(&self) -> u64 {
        let blocked = self.json(&["session", "blocked", "--json"]);
        blocked["count"]["waiting_for_locks"].as_u64().expect("a number")
    }

    fn code(&self, task: tokio::task::JoinHandle<Option<String>>) -> Option<String> {
        let ended = async { tokio::time::timeout(SOON, task).await };
        self.runtime.block_on(ended).expect("in time").expect("no panic")
    }
}

#[test]
fn a_pile_is_seen_and_cleared_by_signals_to_the_very_session() {
    let seat = Seat::take();
    assert!(seat.good(&["session", "blocked"]).contains("nobody waits"));
    let [(root, root_task), (victim, victim_task), (last, last_task)] = seat.pile();

    let blocked = seat.json(&["session", "blocked", "--json"]);
    assert_eq!(blocked["roots"].as_array().expect("a list").len(), 1, "{blocked}");
    assert_eq!(blocked["roots"][0]["pid"], root);
    assert_eq!(blocked["roots"][0]["blocks"], 2, "through the first victim, too: {blocked}");
    assert_eq!(blocked["sessions"].as_array().expect("a list").len(), 3);

    // Nothing runs there that could be cancelled.
    let root_word = root.to_string();
    let idle = seat.refused(&["session", "cancel", &root_word], 77);
    assert!(idle.contains("idle in transaction"), "{idle}");

    let words = ["session", "end", &root_word];
    let plan = seat.good(&words);
    assert!(plan.contains("2 sessions that wait for it") && plan.contains("NO UNDO"), "{plan}");
    let with = |more: &[&str]| -> Vec<String> {
        words
            .iter()
            .copied()
            .chain(["--apply"])
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let try_it = |more: &[&str], code| {
        let words = with(more);
        seat.refused(&words.iter().map(String::as_str).collect::<Vec<_>>(), code)
    };
    try_it(&[], 64);
    try_it(&["--confirm", &victim.to_string()], 77);
    try_it(&["--confirm", &root_word, "--plan", "000000000000"], 77);
    seat.refused(&["session", "end", "1"], 77);
    let read_only = seat.home.path().join("read-only.toml");
    let output = seat.command(&read_only, &words).output().expect("it runs");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert_eq!(seat.waiting(), 2, "nothing was touched");

    // The victim's statement is cancelled; its own victim then waits for the root.
    let victim_word = victim.to_string();
    let plan = seat.good(&["session", "cancel", &victim_word]);
    seat.good(&[
        "session",
        "cancel",
        &victim_word,
        "--apply",
        "--confirm",
        &victim_word,
        "--plan",
        mark(&plan),
    ]);
    assert_eq!(seat.code(victim_task).as_deref(), Some("57014"));
    eventually("one waits", SOON, || seat.waiting() == 1);

    let sign = ["--apply", "--confirm", &root_word, "--reason", "forgotten", "--json"];
    let done = seat.json(&[&words[..], &sign].concat());
    assert_eq!(done["obeyed"], true, "{done}");
    eventually("nobody waits", SOON, || seat.waiting() == 0);
    let sessions = seat.json(&["session", "list", "--json"]);
    let pids: Vec<_> =
        sessions["sessions"].as_array().expect("a list").iter().map(|s| &s["pid"]).collect();
    assert!(!pids.contains(&&Value::from(root)) && pids.contains(&&Value::from(last)), "{pids:?}");

    let ledger = seat.good(&["ledger", "show", "--json"]);
    for word in
        ["session.end", "session.cancel", "forgotten", "anna", "\"blocks\":1", "update stock"]
    {
        assert!(ledger.contains(word), "{word} in {ledger}");
    }
    root_task.abort();
    last_task.abort();
}

#[test]
fn another_statement_or_transaction_than_the_planned_one_is_left_alone() {
    let seat = Seat::take();
    let (pid, task) = seat.sits("begin", "select pg_sleep(60)");
    let pid_word = pid.to_string();
    let running = || seat.json(&["session", "list", "--json"])["count"]["active"] == 1;
    eventually("it runs", SOON, running);
    let planned = seat.good(&["session", "cancel", &pid_word]);
    seat.cluster.psql(&format!("select pg_cancel_backend({pid})")).expect("cancelled");
    assert_eq!(seat.code(task).as_deref(), Some("57014"));

    // What the statements themselves hold against a plan that has grown old.
    use howdah::watch::server::sessions::{CANCEL, END, SESSIONS, Sitting};
    let (pid, task) = seat.sits("begin", "select pg_sleep(60)");
    eventually("it runs", SOON, running);
    seat.runtime.block_on(async {
        let client = support::connect(&seat.cluster, Via::Unix).await;
        let rows = client.query(SESSIONS, &[]).await.expect("listed");
        let all: Vec<Sitting> = rows.iter().map(|row| Sitting::of(row).expect("read")).collect();
        let now = all.iter().find(|sitting| sitting.pid == pid).expect("there");
        let (began, statement, transaction) = (
            now.began.expect("told"),
            now.statement.expect("told"),
            now.transaction.expect("told"),
        );
        for (sql, moment) in [(CANCEL, statement), (END, transaction)] {
            for (began, moment) in [(began + 1, moment), (began, moment + 1)] {
                let rows = client.query(sql, &[&pid, &began, &Some(moment)]).await.expect("asked");
                assert!(rows.is_empty(), "nobody was signalled");
            }
        }
    });
    assert!(running(), "it still runs");
    let stale = [
        "session",
        "cancel",
        &pid.to_string(),
        "--apply",
        "--confirm",
        &pid.to_string(),
        "--plan",
        mark(&planned),
    ];
    seat.refused(&stale, 77);
    assert!(running(), "it still runs");
    task.abort();
}

#[test]
fn the_guide_ends_the_root_and_the_pile_is_gone() {
    let seat = Seat::take();
    let [(_, root), (_, first), (_, second)] = seat.pile();
    let identifier =
        seat.cluster.psql("select system_identifier from pg_control_system()").expect("told");
    let tail = &identifier[identifier.len() - 4..];
    // This cluster; that root; end it; yes, because; gone.
    let said = seat.walk("lock-pile-up", &format!("\n1\n3\nshop/{tail}\nforgotten\n\n"));
    assert!(said.contains("it is gone: true  ok"), "{said}");
    assert!(seat.waiting() <= 1, "{said}");
    for task in [root, first, second] {
        task.abort();
    }
}
