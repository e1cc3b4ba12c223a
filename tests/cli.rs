//! The command line from outside: what it prints and how it ends.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::cluster;
use howdah::cluster::Via;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A call with a home of its own.
struct Call {
    home: tempfile::TempDir,
    command: Command,
}

fn howdah(words: &[&str]) -> Call {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command.args(words).env_clear().env("HOME", home.path()).env("USER", "somebody");
    Call { home, command }
}

impl Call {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn config(self, text: &str) -> Self {
        let folder = self.home.path().join(".config/howdah");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("config.toml"), text).expect("written");
        self
    }

    /// Exit code, standard output, standard error.
    fn run(mut self) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command.output().expect("it runs");
        let code = status.code().expect("it was not killed");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (code, text(stdout), text(stderr))
    }
}

const NOWHERE: &str = "host=127.0.0.1 port=1 user=x dbname=x sslmode=disable";

#[test]
fn what_is_wrong_with_a_call_is_said_on_one_line_with_its_code() {
    for (words, code, hint) in [
        (&["status", "prod"][..], 78, "config example"),
        (&["postgresql://me:hunter2@db/app"], 64, "~/.pgpass"),
        (&["status", "sslmood=require"], 78, "sslmode"),
        (&["--config", "/nonexistent.toml", "config", "check"], 78, "/nonexistent.toml"),
        (&["config", "check", "--theme", "drak"], 78, "dark"),
        (&["demo", "incident", "earthquake"], 64, "long-lock"),
        (&["demo", "incident", "hang"], 69, "no demo"),
        (&[NOWHERE], 64, "howdah status"),
    ] {
        let (got, out, err) = howdah(words).env("TERM", "xterm").run();
        assert_eq!((got, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.starts_with("howdah: ") && err.contains(hint), "{words:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    let (code, _, err) = howdah(&["--colour", "never"]).run();
    assert_eq!(code, 64);
    assert!(err.contains("--color"), "{err}");
}

#[test]
fn a_configuration_is_checked_value_by_value() {
    let good = "[target.prod]\nurl = 'host=db.example user=me'\n[console]\ntheme = 'mono'\n[keys]\nquit = ['x']\n";
    let (code, out, err) =
        howdah(&["config", "check"]).config(good).env("HOWDAH_LOG_LEVEL", "debug").run();
    assert_eq!(code, 0, "{err}");
    let line = |key: &str| out.lines().find(|line| line.trim_start().starts_with(key)).expect(key);
    assert!(
        line("console.theme").contains("mono") && line("console.theme").ends_with("config.toml")
    );
    assert!(line("log.level").ends_with("HOWDAH_LOG_LEVEL"));
    assert!(line("watch.interval").ends_with("default"));
    assert!(line("host").contains("db.example"), "{out}");
    for (text, hint) in [
        ("[keys]\nqiut = ['x']\n", "'quit'"),
        ("[keys]\nquit = ['x']\nhelp = ['x']\n", "help"),
        ("[console]\ntheme = 'mnoo'\n", "mono"),
        ("[target.prod]\nurl = 'hosst=db'\n", "host"),
        ("[target.prod.metrics]\napi = 'ftp://x'\n", "http"),
    ] {
        let (code, _, err) = howdah(&["config", "check"]).config(text).run();
        assert_eq!(code, 78, "{text}: {err}");
        assert!(err.contains(hint), "{text}: {err}");
    }
}

#[test]
fn a_server_that_is_not_there_is_unknown_and_said_so() {
    let (code, out, _) = howdah(&["status", NOWHERE, "--within", "2s"]).run();
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("refused the connection"), "{out}");
    assert!(out.contains("RPO       —") && out.contains("alerts    —"), "{out}");
}

#[test]
fn the_status_of_a_live_server_is_the_snapshot_without_secrets() {
    let cluster = cluster();
    let target = cluster.conninfo(Via::Tcp);
    let password = cluster.password();
    let call = |words: &[&str]| {
        let words = [&["status", &target], words].concat();
        howdah(&words).env("PGPASSWORD", password.expose()).run()
    };
    let (code, out, err) = call(&["--json"]);
    assert!([0, 1, 2].contains(&code), "{code} {err}");
    assert!(!out.contains(password.expose()));
    let json: Value = serde_json::from_str(&out).expect("JSON");
    let snapshot = &json["snapshot"];
    assert_eq!(snapshot["link"]["state"], "live", "{out}");
    let told = cluster.psql("select system_identifier from pg_control_system()").expect("asked");
    let identifier = &snapshot["identity"]["value"]["system_identifier"];
    assert_eq!(identifier.to_string(), told.trim());
    let (code, out, _) = call(&[]);
    assert!([0, 1, 2].contains(&code), "{out}");
    assert!(out.contains("primary") && out.contains("archiver"), "{out}");

    // The same again and again, a line each, until it is asked to end.
    let Call { home: _home, mut command } = howdah(&["status", &target, "--json", "--watch"]);
    command.env("PGPASSWORD", password.expose()).stdout(Stdio::piped());
    let mut watching = command.spawn().expect("it runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let mut stamps: Vec<u64> = Vec::new();
    while stamps.len() < 3 {
        let line = lines.next().expect("it goes on").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["snapshot"]["link"]["state"], "live", "{line}");
        stamps.push(line["snapshot"]["link"]["last_answer"].as_u64().expect("it has answered"));
        assert!(stamps.is_sorted(), "{stamps:?}");
        // A line may come from another source than the server's answer.
        stamps.dedup();
    }
    let pid = Pid::from_raw(watching.id() as i32).expect("a process id");
    kill_process(pid, Signal::INT).expect("asked");
    assert_eq!(watching.wait().expect("it ended").code(), Some(130));
}

#[test]
fn what_is_kept_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut call = howdah(&["status", NOWHERE, "--within", "1s"]);
    call.command.output().expect("it runs");
    let state = call.home.path().join(".local/state/howdah");
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode(&state), mode(&state.join("howdah.log"))), (0o700, 0o600));
}

#[test]
fn completions_and_manual_come_from_the_same_words() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = howdah(&["completions", shell]).run();
        assert!(code == 0 && out.contains("incident"), "{shell}");
    }
    let (code, out, _) = howdah(&["man"]).run();
    assert!(code == 0 && out.starts_with(".ie") && out.contains("status"), "{out}");
}
