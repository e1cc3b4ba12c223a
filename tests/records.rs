//! The ledger and the jobs from outside: what the subcommands print and how they end.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::support::eventually;
use howdah::base::{
    clock::Clock,
    ledger::{Act, Ledger, Target, Who},
};
use serde_json::{Value, json};

const NOWHERE: &str = "host=127.0.0.1 port=1 user=x dbname=x sslmode=disable";

/// A home folder, and calls in it.
struct Home(tempfile::TempDir);

fn home() -> Home {
    Home(tempfile::tempdir().expect("a folder"))
}

impl Home {
    fn state(&self, name: &str) -> PathBuf {
        self.0.path().join(".local/state/howdah").join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.args(words).env_clear().env("HOME", self.0.path()).env("PATH", env!("PATH"));
        command
    }

    /// Exit code, standard output, standard error.
    fn call(&self, words: &[&str]) -> (i32, String, String) {
        said(self.command(words).output().expect("it runs"))
    }

    fn ledger(&self) -> Ledger {
        let who = Who { user: "anna".into(), name: Some("Anna K.".into()), ..Who::default() };
        Ledger::new(&self.state("ledger"), who, &Clock::system())
    }
}

fn said(output: Output) -> (i32, String, String) {
    let code = output.status.code().expect("it was not killed");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn what_was_done_is_shown_and_verified() {
    let home = home();
    let (code, out, _) = home.call(&["ledger", "verify"]);
    assert!(code == 0 && out.contains("0 lines"), "nothing yet: {out}");
    let act =
        Act::new("backup.run").on(Target::new("prod\u{1b}[31m", Some(7_391_245_123_456_784_821)));
    let entry = home.ledger().begin(act.because("nightly")).expect("begun");
    entry.failed("disk full", json!({ "bytes": 42 })).expect("recorded");
    drop(home.ledger().begin(Act::new("wal.setup").on(Target::new("other", None))).expect("begun"));

    let (code, out, err) = home.call(&["ledger", "show"]);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<_> = out.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("1  2") && lines[0].contains("  failed in "), "{out}");
    assert!(lines[0].contains("backup.run prod^[[31m …4821  Anna K. (anna) on "), "{out}");
    assert_eq!(&lines[1..4], ["why: nightly", "because: disk full", "bytes: 42"]);
    assert!(lines[4].contains("no end recorded  wal.setup other"), "{out}");

    let (_, out, _) =
        home.call(&["ledger", "show", "--json", "--target", "other", "--since", "1h"]);
    let document: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(document["outcome"], "no end recorded");
    assert_eq!(document["begin"]["seq"], 3);
    assert_eq!(home.call(&["ledger", "show", "--since", "2999-01-01"]).1, "");
    let (code, _, err) = home.call(&["ledger", "show", "--since", "yesterday"]);
    assert!(code == 64 && err.contains("2026-11-09"), "{err}");

    let (code, out, _) = home.call(&["ledger", "verify"]);
    assert!(
        code == 0 && out.contains("3 lines") && out.contains("no end recorded of line 3"),
        "{out}"
    );
    let (code, bundle, _) = home.call(&["ledger", "export"]);
    assert_eq!((code, bundle.lines().count()), (0, 4));
    let file = home.0.path().join("bundle");
    fs::write(&file, &bundle).expect("written");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(home.call(&["ledger", "verify", file]).0, 0);
    let (code, _, err) = home.call(&["ledger", "verify", "/nonexistent"]);
    assert!(code == 3 && err.contains("/nonexistent"), "{err}");

    let lines = home.state("ledger/ledger.jsonl");
    let text = fs::read_to_string(&lines).expect("readable");
    fs::write(&lines, text.replacen("nightly", "monthly", 1)).expect("written");
    let (code, out, _) = home.call(&["ledger", "verify"]);
    assert!(code == 65 && out.contains("line 1 was altered"), "{out}");
    let (_, out, _) = home.call(&["ledger", "verify", "--json"]);
    let verdict: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(verdict["fault"], json!({ "kind": "altered", "line": 1 }));
    let (code, _, err) = home.call(&["ledger", "show"]);
    assert!(code == 65 && err.contains("line 1 is not as it was written"), "{err}");
    let (code, altered, err) = home.call(&["ledger", "export"]);
    assert!(code == 65 && err.contains("line 1 was altered"), "{err}");
    assert_eq!(altered.lines().count(), 3, "as it is, from the first line that can be read");
}

#[test]
fn the_ledger_has_its_place_in_the_configuration() {
    let home = home();
    let mut call = home.command(&["ledger", "verify"]);
    let folder = home.0.path().join("elsewhere");
    let (code, out, _) = said(call.env("HOWDAH_LEDGER_FOLDER", &folder).output().expect("it runs"));
    assert!(code == 0 && out.contains("elsewhere"), "{out}");
    let (code, _, err) = said(call.env("HOWDAH_LEDGER_FOLDER", "here").output().expect("it runs"));
    assert!(code == 78 && err.contains("from the root"), "{err}");
}

#[test]
fn a_call_runs_on_as_a_job_and_is_cancelled_by_name() {
    let home = home();
    let (code, out, err) = home.call(&["--detach", "status", NOWHERE, "--watch", "--within", "1s"]);
    assert_eq!(code, 0, "{err}");
    let id = out.trim();
    let (code, out, _) = home.call(&["jobs"]);
    assert!(code == 0 && out.contains(id) && out.contains("running    watch.status"), "{out}");
    let (code, _, err) = home.call(&["jobs", "remove", id]);
    assert!(code == 77 && err.contains("is running"), "{err}");

    // Two look on; both end when the job does, as it did.
    let attach = || {
        let mut command = home.command(&["jobs", "attach", "last"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
    };
    let watchers = [attach(), attach()];
    eventually("its first words", Duration::from_secs(20), || {
        home.call(&["jobs", "log", "last"]).1.contains("refused the connection")
    });
    let (code, out, err) =
        home.call(&["--as", "Anna", "jobs", "cancel", id, "--why", "no more of it"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.trim(), format!("{id} cancelled: it ended by itself"));
    for watcher in watchers {
        let (code, out, _) = said(watcher.wait_with_output().expect("it ends"));
        assert!(code == 130 && out.contains(&format!("{id} cancelled")), "{code} {out}");
    }
    assert_eq!(home.call(&["jobs", "attach", id]).0, 130, "after the end, too");
    let (_, out, _) = home.call(&["jobs", "list", "--json"]);
    let jobs: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&jobs[0]["id"], &jobs[0]["state"]), (&json!(id), &json!("cancelled")));
    assert!(home.call(&["jobs", "cancel", id]).1.contains("was over already"));
    assert_eq!(home.call(&["jobs", "remove"]).1, "0 removed\n", "it is not old");
    let mut remove = home.command(&["jobs", "remove", "last"]);
    remove.env("HOWDAH_ACTOR", "Bert");
    assert_eq!(said(remove.output().expect("it runs")).1, "1 removed\n");
    assert_eq!(home.call(&["jobs"]).1, "");
    assert!(!home.state("jobs").join(id).exists());

    let (_, out, _) = home.call(&["ledger", "show", "--json"]);
    let acts: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = acts
        .iter()
        .map(|act| (&act["begin"]["action"], &act["begin"]["who"]["name"], &act["outcome"]))
        .collect();
    let [cancel, remove, refused] = ["jobs.cancel", "jobs.remove", "refused"].map(Value::from);
    let [anna, bert, done] = ["Anna", "Bert", "done"].map(Value::from);
    let expected =
        [(&remove, &Value::Null, &refused), (&cancel, &anna, &done), (&remove, &bert, &done)];
    assert_eq!(told, expected);
    assert_eq!(acts[1]["begin"]["why"], "no more of it");
}

#[test]
fn what_is_wrong_with_a_call_about_jobs_is_said() {
    let home = home();
    for (words, code, hint) in [
        (&["jobs", "attach", "last"][..], 64, "no job 'last'"),
        (&["jobs", "log", "../x"], 64, "is no job"),
        (&["jobs", "cancel", "20260101-000000-aa"], 64, "jobs list"),
        (&["--detach", "keys"], 64, "--detach"),
        (&["--detach"], 64, "--detach"),
        (&["--job", "nothing", "keys"], 1, "no job 'nothing'"),
    ] {
        let (got, out, err) = home.call(words);
        assert_eq!((got, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.starts_with("howdah: ") && err.contains(hint), "{words:?}: {err}");
    }
    let broken = home.state("jobs/20260101-000000-aa");
    fs::create_dir_all(&broken).expect("made");
    fs::write(broken.join("job.json"), "garbage").expect("written");
    let (code, _, err) = home.call(&["jobs"]);
    assert!(code == 1 && err.contains("is no description of a job"), "{err}");
}
