//! `howdah breaker` and its guides against the demo's applications: planned, confirmed, seen by calls, recorded.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{ops::Deref, path::PathBuf, time::Duration};

use crate::support::{
    caller::{Caller, mark},
    eventually,
};
use howdah::sandbox::{Demo, DemoOptions, Registry};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// A demo, and who operates it.
struct Seat {
    /// It runs as long as we sit here.
    _demo: Demo,
    caller: Caller,
}

impl Deref for Seat {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Seat {
    fn take() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let options = DemoOptions {
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_howdah"))),
            registry: Some(Registry::at(home.path().join("demo"))),
            ..DemoOptions::default()
        };
        let demo = Demo::start(&options).expect("a demo");
        let caller = Caller { home, config: demo.target().config };
        Self { _demo: demo, caller }
    }

    fn breaker(&self, name: &str) -> Value {
        let mut list = self.json(&["breaker", "list", "--only", name, "--json"]);
        list["breakers"][0].take()
    }

    fn ledger(&self) -> Vec<Value> {
        let lines = self.good(&["ledger", "show", "--json"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[test]
fn a_mode_is_planned_confirmed_met_by_calls_recorded_and_walked_through() {
    let seat = Seat::take();
    a_plan_touches_nothing_and_what_is_off_is_refused(&seat);
    a_mode_is_met_by_calls_and_ends_by_itself(&seat);
    the_guide_gives_a_held_breaker_back(&seat);
    the_rollout_and_its_way_back_are_walked(&seat);
    an_application_that_is_gone_is_told(&seat);
}

fn a_plan_touches_nothing_and_what_is_off_is_refused(seat: &Seat) {
    let list = seat.good(&["breaker", "list"]);
    assert!(list.contains("api-1") && list.contains("api-2") && list.contains("CLOSED"), "{list}");

    let words = ["breaker", "set", "api-1", "forced-open", "--for", "3s"];
    let plan = seat.good(&words);
    assert!(plan.contains("every call of api-1 is refused"), "{plan}");
    assert!(plan.contains("undo       howdah breaker set api-1 auto"), "{plan}");
    let with = |more: &[&'static str]| [&words[..], &["--apply"], more].concat();
    let why = ["--reason", "a drill"];
    let no_name = seat.refused(&with(&why), 64);
    assert!(no_name.contains("--confirm 'api-1'"), "{no_name}");
    let no_reason = seat.refused(&with(&["--confirm", "api-1"]), 64);
    assert!(no_reason.contains("--reason"), "{no_reason}");
    seat.refused(&with(&["--confirm", "api-2", "--reason", "a drill"]), 77);
    let stale = seat.refused(
        &with(&["--confirm", "api-1", "--reason", "a drill", "--plan", "000000000000"]),
        77,
    );
    assert!(stale.contains("the plan is no longer"), "{stale}");
    let unknown = seat.refused(&["breaker", "set", "api-3", "auto"], 64);
    assert!(unknown.contains("did you mean"), "{unknown}");
    seat.refused(&["breaker", "set", "api-1", "auto", "--for", "1m"], 64);
    seat.refused(&["breaker", "set", "api-1", "disabled", "--for", "31d"], 64);

    // The same target, for looking only.
    let text = std::fs::read_to_string(&seat.config).expect("readable");
    let read_only = seat.home.path().join("read-only.toml");
    let text = text.replacen("environment =", "read_only = true\nenvironment =", 1);
    std::fs::write(&read_only, text).expect("written");
    let output = seat.command(&read_only, &words).output().expect("it runs");
    assert_eq!(output.status.code(), Some(77), "{output:?}");

    assert_eq!(seat.breaker("api-1")["mode_changes"], 0, "nothing was touched");
    assert!(seat.ledger().is_empty(), "and nothing recorded");
}

fn a_mode_is_met_by_calls_and_ends_by_itself(seat: &Seat) {
    let words = ["breaker", "set", "api-1", "forced-open", "--for", "3s"];
    let plan = seat.good(&words);
    let sign = ["--apply", "--confirm", "api-1", "--reason", "a drill", "--json", "--plan"];
    let done = seat.json(&[&words[..], &sign, &[mark(&plan)]].concat());
    assert_eq!((&done["mode"], &done["state"]), (&"forced_open".into(), &"open".into()), "{done}");
    let actor = done["hold"]["actor"].as_str().expect("an actor");
    assert!(actor.starts_with("anna"), "{actor}");
    let before = done["rejected"].as_u64().expect("a number");
    eventually("calls are refused", SOON, || {
        seat.breaker("api-1")["rejected"].as_u64().is_some_and(|now| now > before)
    });
    eventually("its rules decide again, and it closes", SOON, || {
        let breaker = seat.breaker("api-1");
        breaker["mode"] == "auto" && breaker["state"] == "closed" && breaker["hold"].is_null()
    });

    let acts = seat.ledger();
    let acts: Vec<_> = acts.iter().filter(|act| act["begin"]["action"] == "breaker.set").collect();
    assert!(!acts.is_empty(), "the ledger knows");
    let told = serde_json::to_string(&acts).expect("JSON");
    for word in ["anna", "a drill", "api-1", "forced_open", "done"] {
        assert!(told.contains(word), "{word} in {told}");
    }
}

fn the_guide_gives_a_held_breaker_back(seat: &Seat) {
    let sign = ["--apply", "--confirm", "api-2", "--reason", "forgotten"];
    seat.good(&[&["breaker", "set", "api-2", "forced-open"][..], &sign].concat());
    // It answers; the second one; seen; to its rules; yes, because; well, after a look or two.
    let said = seat.walk("breaker", "\n2\n\n2\ny\nthe drill is over\n\n");
    assert!(said.contains("held by: anna"), "{said}");
    assert!(said.contains("$ howdah breaker set api-2 auto"), "{said}");
    assert!(said.contains("who decides now: auto  ok"), "{said}");
    eventually("it closes", SOON, || seat.breaker("api-2")["state"] == "closed");
}

fn the_rollout_and_its_way_back_are_walked(seat: &Seat) {
    // The cluster; the first; only counts; seen; enabled; stays closed; back; only counts.
    let said =
        seat.walk("breaker-rollout", "\n1\ny\ndeployed\n\ny\none good hour\n\n2\ny\ntoo strict\n");
    assert!(said.contains("who decides now: disabled  ok"), "{said}");
    assert!(said.contains("who decides now: auto  ok"), "{said}");
    assert_eq!(seat.breaker("api-1")["mode"], "disabled", "rolled back");
}

fn an_application_that_is_gone_is_told(seat: &Seat) {
    let text = std::fs::read_to_string(&seat.config).expect("readable");
    let gone = seat.home.path().join("gone.toml");
    std::fs::write(&gone, text.replace("api-2.control", "nobody.control")).expect("written");
    let output = seat.command(&gone, &["breaker", "list", "--json"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list["breakers"][0]["id"], "api-1");
    assert_eq!(list["silent"][0]["application"], "api-2");
    let output =
        seat.command(&gone, &["breaker", "set", "api-2", "auto"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}
