//! Guides walked by plain lines on real servers: a dropped table comes back; whoever drives a run may be killed at any
//! line of its journal; a killed job is told; a run has one driver.
//!
//! `cargo test --test guides -- --nocapture` prints the deaths.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

#[path = "support/guides/mod.rs"]
mod guides;
mod support;

use std::{fs, path::Path, sync::Mutex, thread};

use guides::{
    SOON, home::home_for, howdah, person::Person, person::Say, printed, shop::Shop, walk::Walk,
};
use howdah::{base::process, sandbox::Incident};
use rustix::process::Signal;
use serde_json::Value;
use support::eventually;

#[test]
fn a_dropped_table_comes_back_by_plain_lines_alone() {
    let shop = Shop::open(false);
    shop.demo.inject(Incident::DropTable).expect("dropped");
    assert_eq!(shop.rows("customers"), None);
    let home = tempfile::tempdir().expect("a folder");
    let mut walk =
        Walk::start(home.path(), &["--config", shop.config(), "guide", "run", "restore"]);
    let mut person = Person::new(vec![("Which table?", Say::Type("public.customers".to_owned()))]);
    walk.answer(&mut |asked| person.line(asked));
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Finished"), "{said}");
    assert_eq!(shop.rows("customers"), Some(5000));
    let shown = printed(home.path(), &["guide", "show", "last"]);
    assert!(shown.contains("Bring public.customers back to where it was: done by job"), "{shown}");
    let ledger = printed(home.path(), &["ledger", "show", "--json"]);
    for words in ["\"guide.run\"", "\"asserted\"", "\"restore.table\"", guides::person::REASON] {
        assert!(ledger.contains(words), "{words}: {ledger}");
    }
    printed(home.path(), &["ledger", "verify"]);
}

/// A guide with two acts that leave something to be counted: each takes a backup.
const TWO_BACKUPS: &str = r#"
id = "two"
title = "Take two backups"
about = "for tests"
kind = "read-do"

[[step]]
id = "look"
title = "Look"
do = "accept"
[step.look]
command = ["backup", "list", "{place}", "--json"]
facts = [{ name = "count", label = "backups", at = "/#" }]

[[step]]
id = "kind"
title = "Which?"
do = "choose"
into = "kind"
options = [{ is = "--logical", label = "logical" }]

[[step]]
id = "first"
title = "Take the first"
do = "act"
command = ["backup", "run", "{place}", "{kind}", "--quiet"]
apply = []
planned = false
grade = "mild"
budget = 60
silence = "none"

[[step]]
id = "second"
title = "Take the second"
do = "act"
command = ["backup", "run", "{place}", "{kind}", "--quiet"]
apply = []
planned = false
grade = "mild"
budget = 60
silence = "none"

[[step]]
id = "end"
title = "All well?"
do = "accept"
"#;

fn any_answer(asked: &str) -> String {
    match asked {
        asked if asked.ends_with("1-1 > ") => "1".to_owned(),
        asked if asked.contains(":again") => ":again".to_owned(),
        _ => String::new(),
    }
}

fn journal_lines(home: &Path) -> usize {
    let runs = fs::read_dir(home.join(".local/state/howdah/guides")).expect("runs");
    let run = runs.flatten().next().expect("a run").path();
    fs::read_to_string(run.join("journal.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn whoever_drives_may_die_at_any_line_and_nothing_is_lost_or_done_twice() {
    let cluster = support::cluster();
    let walk = |variable: Option<(&str, usize)>| {
        let home = home_for(&cluster, TWO_BACKUPS);
        let mut first = howdah(home.path(), &["guide", "run", "two"]);
        if let Some((variable, line)) = variable {
            first.env(variable, line.to_string());
        }
        let mut first = Walk::start_with(first);
        first.answer(&mut |asked| any_answer(asked));
        let (code, said) = first.end();
        let stood = journal_lines(home.path());
        if variable.is_some() {
            assert_eq!(code, None, "it was to be killed: {said}");
            let mut second = Walk::start(home.path(), &["guide", "resume", "last"]);
            second.answer(&mut |asked| any_answer(asked));
            let (code, said) = second.end();
            assert_eq!(code, Some(0), "{variable:?}: {said}");
        }
        let backups: Value =
            serde_json::from_str(&printed(home.path(), &["backup", "list", "--json"]))
                .expect("JSON");
        let jobs: Value =
            serde_json::from_str(&printed(home.path(), &["jobs", "--json"])).expect("JSON");
        let tags: Vec<String> = jobs
            .as_array()
            .expect("a list")
            .iter()
            .map(|job| {
                job["tag"]
                    .as_str()
                    .expect("a tag")
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(backups.as_array().map(Vec::len), Some(2), "{variable:?}: {tags:?}");
        assert_eq!(tags.len(), 2, "{variable:?}: {tags:?}");
        (journal_lines(home.path()), stood)
    };
    let (lines, _) = walk(None);
    let deaths: Vec<(&str, usize)> = ["HOWDAH_TEST_DIE_BEFORE_LINE", "HOWDAH_TEST_DIE_BEHIND_LINE"]
        .into_iter()
        .flat_map(|variable| (1..=lines).map(move |line| (variable, line)))
        .collect();
    let left = Mutex::new(deaths.clone());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(death) = { left.lock().expect("whole").pop() } {
                    // Behind its last line the run is over: nothing is left to go on with.
                    if death == ("HOWDAH_TEST_DIE_BEHIND_LINE", lines) {
                        continue;
                    }
                    let (_, stood) = walk(Some(death));
                    println!("killed {:<28} line {:>2}: stood at line {stood:>2}, finished, 2 backups, 2 jobs", death.0, death.1);
                }
            });
        }
    });
    println!("{} deaths, each resumed; no step ran twice", deaths.len() - 1);
}

#[test]
fn a_job_that_is_killed_is_told_and_the_run_ends_with_what_was_not_done() {
    let cluster = support::cluster();
    let guide = r#"
id = "long"
title = "Something long"
about = "for tests"
kind = "read-do"
[[step]]
id = "watch"
title = "Watch for ever"
do = "act"
command = ["status", "{at}", "--watch"]
apply = []
planned = false
grade = "mild"
budget = 60
silence = "none"
"#;
    let home = home_for(&cluster, guide);
    let mut walk = Walk::start(home.path(), &["guide", "run", "long"]);
    let killer = thread::spawn({
        let home = home.path().to_owned();
        move || {
            let mut job = None;
            eventually("a running job", SOON, || {
                let jobs: Value =
                    serde_json::from_str(&printed(&home, &["jobs", "--json"])).expect("JSON");
                job = jobs[0]["process"]["pid"].as_i64();
                job.is_some() && jobs[0]["state"] == "running"
            });
            process::signal(job.expect("one") as i32, Signal::KILL);
        }
    });
    walk.answer(&mut |asked| match asked {
        asked if asked.contains(":again") => ":abort it does not matter".to_owned(),
        _ => String::new(),
    });
    killer.join().expect("killed it");
    let (code, said) = walk.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its process was killed"), "{said}");
    assert!(said.contains("not done: Watch for ever"), "{said}");
}

#[test]
fn a_run_has_one_driver_and_others_look_on() {
    let cluster = support::cluster();
    let home = home_for(&cluster, TWO_BACKUPS);
    let mut walk = Walk::start(home.path(), &["guide", "run", "two"]);
    let mut looked = false;
    walk.answer(&mut |_| {
        if !looked {
            looked = true;
            let second = howdah(home.path(), &["guide", "resume", "last"]).output().expect("ran");
            let why = String::from_utf8_lossy(&second.stderr).into_owned();
            assert_eq!(second.status.code(), Some(77), "{why}");
            assert!(why.contains("is driven by"), "{why}");
            let shown = printed(home.path(), &["guide", "show", "last"]);
            assert!(shown.contains("driven by") && shown.contains("Look"), "{shown}");
        }
        ":leave".to_owned()
    });
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it waits where it stands: howdah guide resume"), "{said}");
    assert!(printed(home.path(), &["guide", "list"]).contains("nobody drives it"));
}
