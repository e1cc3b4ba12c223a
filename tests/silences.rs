//! Alerts that somebody has silenced: told, apart, for as long as that lasts; disks that fill are what is silenced
//! here, since every machine has one.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use crate::support;
use std::{fs, path::PathBuf, time::Duration};

use crate::support::{caller::Caller, eventually};
use howdah::cluster::{Cluster, Via};
use serde_json::Value;

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);

struct Seat {
    cluster: Cluster,
    caller: Caller,
}

impl Seat {
    fn take() -> Self {
        let (cluster, home) = (support::cluster(), tempfile::tempdir().expect("a folder"));
        let seat =
            Self { cluster, caller: Caller { config: home.path().join("howdah.toml"), home } };
        seat.limits(1, 100);
        seat
    }

    /// From how many used bytes of a hundred on a disk is a warning, and critical.
    fn limits(&self, warn: u8, crit: u8) {
        let url = self.cluster.conninfo(Via::Unix);
        let password = self.cluster.password().expose();
        let text = format!(
            "default_target = 'shop'\n[watch]\ndisk_used_warn = {warn}\ndisk_used_crit = {crit}\n\
             [target.shop]\nurl = \"{url} password={password}\"\n"
        );
        fs::write(&self.caller.config, text).expect("written");
    }

    /// What `status` prints, and how it ends.
    fn status(&self) -> (Option<i32>, String) {
        let output = self.caller.howdah(&["status"]);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    }

    fn snapshot(&self) -> Value {
        let output = self.caller.howdah(&["status", "--json"]);
        let mut document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        document["snapshot"].take()
    }

    /// The alerts of one check.
    fn alerts(&self, check: &str) -> Vec<Value> {
        let snapshot = self.snapshot();
        let alerts = snapshot["alerts"].as_array().expect("alerts").iter();
        alerts.filter(|alert| alert["check"] == check).cloned().collect()
    }

    fn silences(&self) -> Vec<Value> {
        self.caller.json(&["silence", "list", "--json"]).as_array().expect("silences").clone()
    }

    fn file(&self) -> PathBuf {
        let found = walk(self.caller.home.path());
        let ours = |path: &PathBuf| {
            path.parent().is_some_and(|folder| folder.ends_with("silences"))
                && path.extension().is_some_and(|extension| extension == "json")
        };
        found.into_iter().find(ours).expect("a file of silences")
    }
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_silence_is_told_lasts_as_long_as_said_and_lets_worse_through() {
    let seat = Seat::take();
    the_disks_of_the_server_are_measured(&seat);
    what_nobody_could_answer_for_is_refused(&seat);

    // Everything that is wrong with a bare server, as bad as it is now.
    let alerts = seat.snapshot()["alerts"].as_array().expect("alerts").clone();
    for alert in &alerts {
        let [check, subject] = ["check", "subject"].map(|key| alert[key].as_str().expect("words"));
        seat.caller.good(&["silence", "add", check, subject, "--for", "1h", "--reason", "a test"]);
    }
    let (code, told) = seat.status();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("SILENCED for another"), "{told}");
    assert!(told.contains("do not count for the exit code; again from"), "{told}");
    for alert in seat.alerts("disk_used_pct") {
        assert_eq!(
            (&alert["silenced"]["why"], &alert["silenced"]["up_to"]),
            (&"a test".into(), &"warning".into())
        );
        assert!(
            alert["silenced"]["by"].as_str().is_some_and(|by| by.starts_with("anna")),
            "{alert}"
        );
    }

    seat.limits(1, 2);
    let (code, told) = seat.status();
    assert_eq!(code, Some(2), "critical by now: {told}");
    let disk = told.lines().find(|line| line.contains("disk_used_pct")).expect("told");
    assert!(disk.starts_with("CRIT") && !disk.contains("SILENCED"), "{disk}");
    seat.limits(1, 100);

    // One that another process ends counts again at once.
    let disks = |silence: &&Value| silence["check"] == "disk_used_pct";
    let all = seat.silences();
    for silence in all.iter().filter(disks) {
        let id = silence["id"].as_str().expect("a name");
        seat.caller.good(&["silence", "end", id, "--reason", "the test goes on"]);
    }
    assert_eq!(seat.status().0, Some(1));

    // One that runs out does so by itself, for all of the check.
    let words = ["silence", "add", "disk_used_pct", "--up-to", "warning", "--for", "4s"];
    seat.caller.good(&[&words[..], &["--reason", "for a moment"]].concat());
    assert!(seat.alerts("disk_used_pct").iter().all(|alert| !alert["silenced"].is_null()));
    eventually("it counts again", SOON, || seat.status().0 == Some(1));
    assert!(!seat.silences().iter().any(|silence| silence["check"] == "disk_used_pct"));

    let ledger = seat.caller.good(&["ledger", "show"]);
    assert!(ledger.contains("silence.add") && ledger.contains("silence.end"), "{ledger}");
    assert!(ledger.contains("the test goes on"), "{ledger}");

    // A file that cannot be understood silences nothing, and is told.
    fs::write(seat.file(), "[{").expect("written");
    let (code, told) = seat.status();
    assert!(matches!(code, Some(1 | 2)), "everything that is wrong counts again: {told}");
    assert!(told.contains("cannot be understood") && !told.contains("SILENCED"), "{told}");
    assert!(seat.caller.refused(&["silence", "list"], 65).contains("cannot be understood"));
}

fn the_disks_of_the_server_are_measured(seat: &Seat) {
    let snapshot = seat.snapshot();
    let folders = snapshot["folders"].as_array().expect("folders");
    let data = folders.iter().find(|folder| folder["name"] == "data").expect("its data folder");
    let path = seat.cluster.folder().to_string_lossy().into_owned();
    assert!(data["path"].as_str().is_some_and(|data| data.starts_with(&path)), "{data}");
    let used = data["disk"]["value"]["used_percent"].as_f64().expect("measured");
    let alerts = seat.alerts("disk_used_pct");
    let alert = alerts.iter().find(|alert| alert["subject"] == "data").expect("over one percent");
    let told = alert["value"].as_f64().expect("a value");
    assert!((told - used).abs() < 5.0 && told > 1.0, "{told} is {used}");
    assert_eq!((&alert["severity"], &alert["threshold"]), (&"warning".into(), &"> 1".into()));
}

fn what_nobody_could_answer_for_is_refused(seat: &Seat) {
    let add = |words: &[&str], code| {
        let all = [&["silence", "add"], words, &["--reason", "a test"]].concat();
        seat.caller.refused(&all, code)
    };
    assert!(add(&["pool_wiat", "--up-to", "warning"], 64).contains("did you mean 'pool_wait'?"));
    assert!(add(&["pool_wait", "api"], 64).contains("--up-to warning or critical"));
    assert!(add(&["pool_wait", "--up-to", "warning", "--for", "25h"], 64).contains("at the most"));
    let nameless = ["silence", "add", "pool_wait", "--up-to", "warning", "--reason", " "];
    assert!(seat.caller.refused(&nameless, 64).contains("say why"));
    assert!(seat.caller.refused(&["silence", "end", "abcdef"], 64).contains("silence list"));
    assert_eq!(seat.silences(), Vec::<Value>::new());
}
