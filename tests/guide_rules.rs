//! The rules of wizards, each with the test that holds it; and those of them that no other file of tests holds: the
//! criteria to stop by, evidence, notes, the handover note, the age of a list.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use crate::support;
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::eventually;
use crate::support::guides::{SOON, home::home_for, printed, stage::bank, walk::Walk};
use howdah::{
    base::{clock::Clock, digest::sha256},
    cluster::{Cluster, Via},
    guide::{
        facts::Observed,
        machine::{Decision, begin, decisions, step, watched},
        spec::{Guide, Step},
        state::{Effect, Event, How, Input, Over, Phase, State},
        values::Values,
        walked::{OLD, Walked, word},
    },
    sandbox::Incident,
};
use serde_json::Value;

/// Where a rule is held: the file, and the name of the test.
type Held = (&'static str, &'static str);

/// The rules, by their numbers, each with a test that fails when it is broken.
const RULES: [(u8, &str, Held); 24] = [
    (
        1,
        "the kind of a list is declared",
        ("src/guide/spec.rs", "the_kind_of_a_list_is_declared_and_known"),
    ),
    (
        2,
        "at most nine steps in one part, and 90 s to read",
        ("src/guide/spec.rs", "a_guide_is_held_to_its_rules"),
    ),
    (3, "killer items first", ("tests/guide_rules.rs", "each_list_begins_with_what_it_acts_on")),
    (
        4,
        "answers are values",
        ("tests/guides.rs", "a_dropped_table_comes_back_by_plain_lines_alone"),
    ),
    (
        5,
        "nothing is left out in silence",
        ("tests/guide_machine.rs", "what_is_not_well_is_not_accepted_but_left_out_with_a_reason"),
    ),
    (
        6,
        "what an act costs and its undo in the same place",
        ("tests/screens_guides.rs", "every_act_says_what_it_costs_and_its_undo_in_one_place"),
    ),
    (7, "confirmation is graded", ("tests/guide_machine.rs", "what_is_typed_ahead_never_confirms")),
    (
        8,
        "where it happens stands in each frame and line",
        ("tests/guide_rules.rs", "a_walk_leaves_a_record_that_tells_it_all"),
    ),
    (
        9,
        "the plan first, and no other",
        (
            "tests/breaker_cli.rs",
            "a_mode_is_planned_confirmed_met_by_calls_recorded_and_walked_through",
        ),
    ),
    (
        10,
        "nothing is destroyed, it is moved aside",
        ("tests/restore_cluster.rs", "in_place_the_old_folder_is_kept"),
    ),
    (
        11,
        "settings are tried before a start",
        ("tests/wal_setup.rs", "what_the_servers_account_cannot_do_is_refused_beforehand"),
    ),
    (
        12,
        "two people",
        ("tests/guide_machine.rs", "a_second_person_is_another_one_and_confirms_the_very_plan"),
    ),
    (
        13,
        "clocks are always on the screen",
        ("tests/screens_guides.rs", "the_clocks_stand_on_every_page"),
    ),
    (
        14,
        "an act has a time and says what silence is normal",
        ("src/guide/spec.rs", "an_act_has_a_time_and_says_what_silence_is_normal"),
    ),
    (
        15,
        "nothing is unbounded",
        ("src/guide/command.rs", "a_look_that_does_not_end_is_ended_and_said"),
    ),
    (
        16,
        "intent before the act, result behind it",
        ("tests/guides_killed.rs", "drivers_and_jobs_are_killed_at_each_step_of_each_guide"),
    ),
    (
        17,
        "long acts live outside the terminal",
        ("tests/guides_lost.rs", "a_lost_console_and_a_lost_session_go_on_where_they_stood"),
    ),
    (
        18,
        "what hurts while nobody watches is a lease",
        ("tests/pgbouncer_lease.rs", "a_pause_ends_by_itself_whoever_is_killed"),
    ),
    (
        19,
        "the handover note in one key",
        ("tests/guide_rules.rs", "a_walk_leaves_a_record_that_tells_it_all"),
    ),
    (
        20,
        "each step leaves evidence",
        ("tests/guide_rules.rs", "a_walk_leaves_a_record_that_tells_it_all"),
    ),
    (21, "the scribe", ("tests/guide_rules.rs", "a_walk_leaves_a_record_that_tells_it_all")),
    (
        22,
        "criteria to stop by are watched by the machine",
        ("tests/guide_rules.rs", "a_new_breaker_that_fails_is_stopped_and_taken_back"),
    ),
    (
        24,
        "a list has an age",
        ("tests/guide_rules.rs", "a_list_that_nobody_walked_for_ninety_days_is_old"),
    ),
    (
        26,
        "readable at 80x24, without colour, and line by line",
        ("tests/screens_guides.rs", "every_step_of_every_guide"),
    ),
];

#[test]
fn each_rule_has_a_test_that_holds_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (number, rule, (file, test)) in RULES {
        let text = fs::read_to_string(root.join(file)).expect("the file is there");
        let held = text.contains(&format!("fn {test}("));
        assert!(held, "rule {number}, {rule}: no test {test} in {file}");
    }
    let numbers: Vec<u8> = RULES.iter().map(|(number, ..)| *number).collect();
    let missing: Vec<u8> = (1..=26).filter(|number| !numbers.contains(number)).collect();
    assert_eq!(missing, [23, 25], "these want drills, and a first user who did not write the list");
}

#[test]
fn each_list_begins_with_what_it_acts_on() {
    for guide in howdah::guide::library::guides(Path::new("/nowhere")).expect("all good") {
        let first = &guide.steps[0];
        let look = first.look.as_ref().expect("it looks first");
        // A server that does not answer tells nothing of itself.
        let tells = guide.id == "hung-server" || look.facts.iter().any(|fact| fact.name == "tail");
        assert!(tells, "{}: its first step does not tell on which cluster it acts", guide.id);
        if guide.id == "restore" {
            // Which cluster and who is in it, and whether a proven backup and its WAL lead back.
            let part = |step: &&Step| step.chunk.is_none() || step.id == first.id;
            let looks = guide.steps.iter().take_while(part).filter_map(|step| step.look.as_ref());
            let seen: Vec<&str> =
                looks.flat_map(|look| &look.facts).map(|fact| &*fact.name).collect();
            for killer in ["address", "role", "tail", "connected", "newest", "level", "gaps"] {
                assert!(seen.contains(&killer), "{killer} is not among {seen:?}");
            }
        }
    }
}

#[test]
fn a_list_that_nobody_walked_for_ninety_days_is_old() {
    let now = Clock::system().wall();
    let ago = |age: Duration| Walked {
        at: now.checked_sub(age).expect("a moment"),
        by: "anna".into(),
        took: Duration::from_secs(252),
        left_out: 1,
        failed: 0,
    };
    assert_eq!(word(None, now), ("NEVER WALKED".to_owned(), true));
    assert_eq!(word(Some(&ago(OLD)), now), ("90d ago".to_owned(), false));
    assert_eq!(word(Some(&ago(OLD + Duration::from_secs(1))), now), ("OLD 90d".to_owned(), true));
    let words = ago(Duration::from_hours(72)).in_words(now);
    assert!(
        words.starts_with("walked 3d0h ago (") && words.ends_with("by anna in 4m12s; 1 left out"),
        "{words}"
    );
}

/// An act that runs until it is ended, and one that is watched behind its end.
const STOPS: &str = r#"
id = "stops"
title = "Watch, and stop"
about = "for tests"
kind = "read-do"

[[step]]
id = "cluster"
title = "Is this the cluster?"
do = "accept"
[step.look]
command = ["status", "{at}", "--json"]
good = [0, 1, 2, 3]
facts = [
    { name = "tail", label = "system identifier", at = "/snapshot/identity/value/system_identifier", last = 4 },
    { name = "idle", label = "idle in transaction", at = "/snapshot/server/value/idle_in_transaction/is" },
]

[[step]]
id = "watch"
title = "Watch until it is enough"
do = "act"
command = ["status", "{at}", "--watch", "--json"]
apply = []
planned = false
grade = "mild"
budget = 1
silence = "none: it tells each change"
[[step.abort]]
command = ["session", "list", "{at}", "--json"]
every = 1
fact = { name = "idle", label = "idle in transaction", at = "/count/idle_in_transaction", at_most = 0 }
cancel = true

[[step]]
id = "end"
title = "All well?"
do = "accept"
"#;

/// A session that is idle in a transaction until it is dropped.
struct Idle(Child);

impl Idle {
    fn open(cluster: &Cluster) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-d", &cluster.conninfo(Via::Unix)])
            .env("PGPASSWORD", cluster.password().expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql");
        writeln!(child.stdin.as_mut().expect("a pipe"), "begin; select 1;").expect("written");
        Self(child)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_walk_leaves_a_record_that_tells_it_all() {
    let cluster = support::cluster();
    let home = home_for(&cluster, STOPS);
    let home = home.path();
    let age = || {
        let listed = printed(home, &["guide", "list"]);
        let (_, own) = listed.split_once("stops ").expect("it is listed");
        own.lines().nth(1).expect("its age").trim().to_owned()
    };
    assert_eq!(age(), "on t: NEVER WALKED");

    let mut walk = Walk::start(home, &["guide", "run", "stops"]);
    let (mut idle, mut note) = (None, String::new());
    thread::scope(|scope| {
        let onlooker = scope.spawn(|| {
            eventually("a running job", SOON, || {
                printed(home, &["jobs", "--json"]).contains("\"state\": \"running\"")
            });
            // Somebody else writes into the record of a run that is driven.
            printed(home, &["--as", "berta", "guide", "note", "last", "seen", "at the storage"]);
            printed(home, &["--as", "berta", "guide", "todo", "last", "ask the storage people"]);
            let note = printed(home, &["guide", "handover", "last"]);
            (Idle::open(&cluster), note)
        });
        walk.answer(&mut |asked| {
            if asked.contains(":again, :back") {
                ":skip it was enough".to_owned()
            } else {
                String::new()
            }
        });
        let (session, told) = onlooker.join().expect("looked on");
        (idle, note) = (Some(session), told);
    });
    drop(idle);
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");

    // While it ran: its time, what silence is normal, that it is late, what is watched, and why it was stopped.
    for words in [
        "within 1.0s as a rule; normal silence: none: it tells each change",
        "! LATE: it usually takes 1.0s at the most",
        "watched: idle in transaction: at most 0",
        "stopped: idle in transaction: at most 0, and it is 1",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let jobs: Value = serde_json::from_str(&printed(home, &["jobs", "--json"])).expect("JSON");
    assert_eq!(jobs[0]["state"], "cancelled", "declared to be safe: {jobs}");

    // The handover note, while it ran.
    let job = jobs[0]["id"].as_str().expect("its name");
    for words in [
        "stands at step 2: ",
        "begun ",
        &format!("howdah jobs attach {job}"),
        "note by berta",
        "TODO by berta",
        "next: it runs",
        "howdah guide resume",
        "driven by",
    ] {
        assert!(note.contains(words), "{words}: {note}");
    }
    assert!(!note.contains("RTO"), "nothing is down: {note}");
    the_record_tells(home, job);
    let age = age();
    assert!(age.starts_with("on t: walked ") && age.ends_with("1 left out; 1 failed"), "{age}");
}

/// The record of that walk, as JSON and as Markdown.
fn the_record_tells(home: &Path, job: &str) {
    let record: Value =
        serde_json::from_str(&printed(home, &["guide", "export", "last", "--json"])).expect("JSON");
    let run = record["run"].as_str().expect("its name");
    let journal = home.join(".local/state/howdah/guides").join(run).join("journal.jsonl");
    let journal = fs::read(journal).expect("read");
    assert_eq!(record["journal"][0], sha256(&journal).as_str());
    assert_eq!(record["todos"][0]["words"], "ask the storage people");
    assert!(record["notes"][0]["by"].as_str().expect("a name").starts_with("berta"), "{record}");
    assert_eq!(record["deviations"].as_array().map(Vec::len), Some(2), "{record}");
    let tail = record["on"]["tail"].as_str().expect("known").to_owned();
    assert_eq!(tail.len(), 4);

    // Where it happened stands in every line, and the system identifier since it is known.
    let lines = record["timeline"].as_array().expect("a list");
    let mut known = false;
    for line in lines {
        let on = &line["on"];
        assert!(
            on["host"].as_str().is_some_and(|host| !host.is_empty()) && on["target"] == "t",
            "{line}"
        );
        known |= on["tail"] == tail.as_str();
        assert_eq!(on["tail"] == tail.as_str(), known, "{line}");
        assert!(line["at"].is_string() && line["by"].is_string(), "{line}");
    }
    assert!(known);
    let with =
        |what: &str| lines.iter().find(|line| line["input"].get(what).is_some()).expect(what);
    for (what, exit) in [("seen", None), ("met", Some(0)), ("ended", None)] {
        let kept = &with(what)["evidence"];
        assert!(kept["command"].as_str().expect("words").starts_with("howdah "), "{kept}");
        assert!(kept["exit"].is_number() && kept["took_ms"].is_number(), "{kept}");
        assert!(exit.is_none_or(|exit| kept["exit"] == exit), "{kept}");
        assert_eq!(kept["printed"]["sha256"].as_str().map(str::len), Some(64), "{kept}");
        assert!(kept["printed"]["first"][0].is_string(), "{kept}");
    }
    assert!(with("seen")["evidence"]["server"].is_string(), "the server's clock");
    assert!(with("met")["evidence"]["server"].is_string(), "the server's clock");
    // What a job said is kept as its log has it.
    let log = fs::read(home.join(".local/state/howdah/jobs").join(job).join("log")).expect("read");
    assert_eq!(with("ended")["evidence"]["printed"]["sha256"], sha256(&log).as_str());
    assert!(record["acts"][0]["before"].to_string().contains("idle in transaction"), "{record}");

    let text = printed(home, &["guide", "export", "last"]);
    for words in [
        "# Watch, and stop",
        "## Deviations",
        "- left out by ",
        "- [ ] ",
        "ask the storage people",
        &format!("t …{tail}"),
        "the server's clock",
        "exit code 0",
        "SHA-256",
        "STOPPED: idle in transaction = 1",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Behind the end of a run a note still finds its place.
    printed(home, &["guide", "note", "last", "the storage people called back"]);
    let text = printed(home, &["guide", "export", "last"]);
    assert!(text.contains("the storage people called back"), "{text}");
}

#[test]
fn a_new_breaker_that_fails_is_stopped_and_taken_back() {
    let shop = bank();
    let home = tempfile::tempdir().expect("a folder");
    let words = ["--config", shop.config(), "guide", "run", "breaker-rollout"];
    let mut walk = Walk::start(home.path(), &words);
    let mut reason = false;
    let mut taken = 0;
    walk.answer(&mut |asked| {
        if std::mem::take(&mut reason) {
            return "a drill".to_owned();
        }
        if asked.contains("Take the way out: Let") {
            taken += 1;
            shop.demo.inject(Incident::Clear).expect("it is over");
            return "1".to_owned();
        }
        if asked.contains("y does it > ") {
            reason = true;
            return "y".to_owned();
        }
        if asked.contains("stay closed?") && taken == 0 {
            shop.demo.inject(Incident::LongLock).expect("it fails");
            eventually("its calls fail", SOON, || {
                let list = shop.json(&["breaker", "list", "--json"]);
                list["breakers"][0]["failure_rate"].as_f64().is_some_and(|rate| rate > 0.05)
            });
            // The machine looks each two seconds.
            thread::sleep(Duration::from_secs(4));
            return String::new();
        }
        if asked.ends_with("2 > ") || asked.contains("Which breaker?") {
            "1".to_owned()
        } else if asked.contains("NOT AS IT HAS TO BE") || asked.contains(":again") {
            thread::sleep(Duration::from_millis(300));
            ":again".to_owned()
        } else {
            String::new()
        }
    });
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(taken, 1, "{said}");
    assert!(said.contains("stopped: failed, as a share: at most 0.05, and it is 0."), "{said}");
    let shown = printed(home.path(), &["guide", "show", "last"]);
    assert!(shown.contains("left out: stopped: failed, as a share"), "{shown}");
    assert!(shown.contains("only count again: done by job"), "{shown}");
}

/// The machine alone: an act that is watched through a later step, with a way out.
fn guarded() -> (Guide, State) {
    let text = STOPS
        .replace("cancel = true\n", "through = 'end'\nout = 'undo'\n")
        .replace("[[step]]\nid = \"cluster\"", "[[step]]\nid = \"first\"")
        + "[[step]]\nid = 'undo'\ntitle = 'Undo it'\nwhen = { value = 'never', is = ['so'] }\ndo = 'accept'\n";
    let guide = Guide::parse(&text).expect("a guide");
    let mut values = Values::default();
    values.set("at", "t");
    let state = begin(&guide, values, "2026-11-23T09:12:44Z".parse().expect("a moment"));
    (guide, state)
}

fn go(guide: &Guide, state: &State, input: Input) -> State {
    try_to(guide, state, input).expect("it is taken")
}

fn try_to(guide: &Guide, state: &State, input: Input) -> Result<State, String> {
    // A confirmation counts only when its plan has stood there for a while.
    let at = if matches!(input, Input::Confirm { .. }) { "09:14:44" } else { "09:13:44" };
    let at = format!("2026-11-23T{at}Z").parse().expect("a moment");
    let event = Event { at, by: "anna".into(), input };
    step(guide, state, &event).map_err(|refusal| refusal.0.to_string())
}

#[test]
fn where_it_was_stopped_somebody_decides() {
    let (guide, state) = guarded();
    let nothing = |state: &State| watched(&guide, state).is_empty();
    assert!(nothing(&state), "nothing was begun");
    let state = go(&guide, &state, Input::Seen(state.ticket, Err("no server".into())));
    let state = go(&guide, &state, Input::Skip("known".into()));
    let yes = Input::Confirm { typed: String::new(), reason: String::new() };
    let state = go(&guide, &state, yes);
    assert!(nothing(&state), "its job does not run yet");
    let acting = go(&guide, &state, Input::Started(state.ticket, Ok("job-1".into())));
    assert_eq!(watched(&guide, &acting), [(1, 0)]);

    let seen = Observed {
        name: "idle".into(),
        value: Some("3".into()),
        well: Some(false),
        ..Observed::default()
    };
    let met = Input::Met((1, 0), seen);
    // While the job runs: it is not ended by itself, a person may.
    let stopped = go(&guide, &acting, met.clone());
    assert_eq!(decisions(&guide, &stopped), [Decision::EndJob, Decision::Look]);
    assert!(matches!(howdah::guide::machine::wish(&guide, &stopped), Some(Effect::Watch(_))));
    assert!(nothing(&stopped) && try_to(&guide, &stopped, met.clone()).is_err(), "once is enough");
    assert!(
        try_to(&guide, &stopped, Input::Skip("  ".into())).expect_err("refused").contains("reason")
    );
    let overruled = go(&guide, &stopped, Input::Skip("it is a drill".into()));
    assert!(nothing(&overruled) && overruled.overruled[0].why.as_str() == "it is a drill");
    assert_eq!(
        watched(&guide, &go(&guide, &stopped, Input::Again)),
        [(1, 0)],
        "it looks once more"
    );
    let ending = go(&guide, &stopped, Input::Choose(0));
    assert!(matches!(howdah::guide::machine::wish(&guide, &ending), Some(Effect::End(_))));
    let ended = go(&guide, &ending, Input::Ended(ending.ticket, Err("it was cancelled".into())));
    let Phase::ActFailed(why) = &ended.phase else { panic!("{:?}", ended.phase) };
    assert!(
        why.contains("stopped: idle in transaction: at most 0, and it is 3; it was cancelled"),
        "{why}"
    );

    // Behind the act: the way out is the step that leads back, whatever its own condition says.
    let done = go(&guide, &acting, Input::Ended(acting.ticket, Ok(Vec::new())));
    assert_eq!((done.at, watched(&guide, &done)), (2, vec![(1, 0)]));
    let rests = go(&guide, &done, Input::Pause("for an hour".into()));
    let stopped = go(&guide, &rests, met);
    assert!(stopped.paused.is_none(), "a rest ends there");
    assert!(try_to(&guide, &stopped, Input::Accept).expect_err("refused").contains("decide"));
    assert_eq!(decisions(&guide, &stopped), [Decision::Out(3), Decision::Look]);
    let out = go(&guide, &stopped, Input::Choose(0));
    assert_eq!((out.at, &out.phase), (3, &Phase::Asking));
    assert!(
        matches!(&out.answers.last().expect("one").how, How::Skipped(why) if why.contains("stopped"))
    );
    let over = go(&guide, &out, Input::Accept);
    assert_eq!(over.phase, Phase::Over(Over::Finished));
}
