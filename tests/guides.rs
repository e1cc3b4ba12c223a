//! Guides walked by plain lines on real servers: a dropped table comes back; a killed job is told; a run has one driver.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use crate::support;
use crate::support::guides;
use std::thread;

use crate::support::eventually;
use crate::support::guides::{
    SOON, home::home_for, howdah, person::Person, person::Say, printed, shop::Shop, walk::Walk,
};
use howdah::{base::process, sandbox::Incident};
use rustix::process::Signal;
use serde_json::Value;

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
