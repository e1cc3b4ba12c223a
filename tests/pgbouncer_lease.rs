//! A PAUSE of PgBouncer ends by itself: whoever sent it may be killed, its holder too, and clients are served
//! again in time. A pause that cannot be had is taken back.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use crate::support;
use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use crate::support::bouncer::Bouncer;
use crate::support::eventually;
use howdah::{
    base::{clock::Clock, process},
    cluster::{Cluster, Via},
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// What a pause may last beyond its lease.
const LATE: Duration = Duration::from_secs(5);

struct Seat {
    cluster: Cluster,
    bouncer: Bouncer,
    home: TempDir,
}

impl Seat {
    fn take() -> Self {
        let cluster = support::cluster();
        let bouncer = Bouncer::start(&cluster);
        let home = tempfile::tempdir().expect("a folder");
        let url =
            format!("{} password={}", cluster.conninfo(Via::Unix), cluster.password().expose());
        let console = bouncer.conninfo("pgbouncer", "admin");
        let text = format!(
            "default_target = 'shop'\n[target.shop]\nurl = \"{url}\"\npgbouncer = \"{console}\"\n"
        );
        fs::write(home.path().join("howdah.toml"), text).expect("written");
        Self { cluster, bouncer, home }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command
            .args(words)
            .args(["--as", "anna", "--config"])
            .arg(self.home.path().join("howdah.toml"))
            .env("HOME", self.home.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null());
        command
    }

    fn ran(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("ran")
    }

    fn good(&self, words: &[&str]) -> String {
        let output = self.ran(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn listed(&self) -> Value {
        let listed = self.good(&["pgbouncer", "list", "--only", "app", "--json"]);
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        listed["databases"][0].clone()
    }

    fn paused(&self) -> bool {
        self.listed()["paused"] == true
    }

    fn pause(&self, lasts: &str, more: &[&str]) -> Command {
        let words = ["pgbouncer", "pause", "app", "--for", lasts, "--apply", "--confirm", "app"];
        let mut command = self.command(&words);
        command.args(["--reason", "a switch"]).args(more);
        command
    }

    /// A client that holds a transaction open, through PgBouncer.
    fn transaction(&self) -> Child {
        use std::io::Write as _;
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-d", &self.bouncer.conninfo("app", "app")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        writeln!(child.stdin.as_mut().expect("a pipe"), "begin; select 1;").expect("written");
        child
    }

    fn ledger(&self) -> String {
        self.good(&["ledger", "show", "--json"])
    }
}

#[test]
fn a_pause_ends_by_itself_whoever_is_killed() {
    let seat = Seat::take();
    let clock = Clock::system();

    // The plan touches nothing and says what would be.
    let plan = seat.good(&["pgbouncer", "pause", "app", "--for", "4s"]);
    assert!(plan.contains("ends       by itself after 4.0s"), "{plan}");
    assert!(!seat.paused());
    let other = seat.pause("4s", &["--plan", "0000"]).output().expect("ran");
    assert!(!other.status.success() && !seat.paused(), "another plan than the shown one");

    // The caller is killed as soon as nobody is served.
    let began = clock.now();
    let mut caller = seat.pause("4s", &[]).stdout(Stdio::null()).spawn().expect("started");
    eventually("paused", SOON, || seat.paused());
    let lease = seat.listed()["lease"].clone();
    assert!(lease["by"].as_str().is_some_and(|by| by.starts_with("anna")), "{lease}");
    assert_eq!(lease["why"], "a switch");
    caller.kill().expect("killed");
    caller.wait().expect("ended");
    eventually("served again", SOON, || !seat.paused());
    let lasted = clock.now().since(began);
    println!("a lease of 4 s, its caller killed: served again {lasted:.1?} after the call");
    assert!(lasted < Duration::from_secs(4) + LATE, "{lasted:?}");
    eventually("recorded", SOON, || seat.ledger().contains("its time had come"));

    // The holder is killed: its second resumes at once.
    let told = seat.pause("1m", &["--json"]).output().expect("ran");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["paused"], true);
    let job = told["job"].as_str().expect("a job");
    let holder = process::all().into_iter().find(|p| p.command.contains(job)).expect("it runs");
    let killed = clock.now();
    assert!(process::signal(holder.pid, Signal::KILL));
    eventually("served again", SOON, || !seat.paused());
    let took = clock.now().since(killed);
    println!("its holder killed: served again after {took:.1?}");
    assert!(took < LATE, "{took:?}");
    eventually("recorded", SOON, || seat.ledger().contains("the holder of the pause died"));

    // A person resumes; the lease is over with it.
    assert!(seat.pause("1m", &[]).output().expect("ran").status.success());
    let again = seat.pause("1m", &[]).output().expect("ran");
    assert!(String::from_utf8_lossy(&again.stderr).contains("paused already"));
    let resume = ["pgbouncer", "resume", "app", "--apply", "--confirm", "app", "--json"];
    let resumed: Value = serde_json::from_str(&seat.good(&resume)).expect("JSON");
    assert_eq!(resumed["paused"], false);
    assert_eq!(seat.listed()["lease"], Value::Null);

    // A transaction that does not end: nothing is paused, and what waited is taken back.
    let mut client = seat.transaction();
    eventually("it is served", SOON, || seat.listed()["active"] == 1);
    let refused = seat.pause("1m", &["--within", "1s"]).output().expect("ran");
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("no answer to PAUSE within"), "{why}");
    assert!(!seat.paused(), "half a pause is none");
    client.kill().expect("killed");
    client.wait().expect("ended");
    assert_eq!(seat.cluster.psql("select 1").expect("answered"), "1");
    seat.good(&["ledger", "verify"]);
}
