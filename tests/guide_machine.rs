//! The machine of the guides against what it promises: nothing is begun that was not confirmed where it stood,
//! nothing is begun twice, a journal replayed gives the same state, and any state can rest, go on and end.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use howdah::{
    base::clock::Timestamp,
    guide::{
        facts::{Observed, Offer, Seen},
        machine::{begin, step, wish},
        spec::Guide,
        state::{Effect, Event, How, Input, Over, Phase, Plan, State},
        values::Values,
    },
};
use proptest::prelude::*;

const GUIDE: &str = r#"
id = "try"
title = "Try"
about = "all kinds of steps"

[[step]]
id = "look"
title = "Look"
do = "accept"
[step.look]
command = ["status"]
facts = [{ name = "name", label = "name", at = "/name" }, { name = "lag", at = "/lag", at_most = 5 }]

[[step]]
id = "what"
title = "What?"
do = "choose"
into = "what"
options = [{ is = "small", label = "small" }, { is = "large", label = "large" }]

[[step]]
id = "which"
title = "Which?"
when = { value = "what", is = ["large"] }
do = "choose"
into = "which"
[step.look]
command = ["list", "{what}"]
[step.from]
each = "/all"
label = "{is}"
values = [{ name = "is", at = "/is" }]

[[step]]
id = "where"
title = "Where?"
do = "enter"
into = "where"
default = "/tmp/{name}"

[[step]]
id = "mild"
title = "Do the small thing"
do = "act"
command = ["make", "{where}"]
apply = ["--apply", "--plan", "{plan}"]
grade = "mild"

[[step]]
id = "severe"
title = "Do the large thing"
when = { value = "what", is = ["large"] }
do = "act"
command = ["break", "{which}"]
apply = ["--apply", "--plan", "{plan}", "--reason", "{reason}"]
grade = "severe"
challenge = "{name}/1234"

[[step]]
id = "end"
title = "Look at it"
do = "accept"
"#;

fn guide() -> Guide {
    Guide::parse(GUIDE).expect("a guide")
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_000 + milliseconds).expect("a moment")
}

/// A run with its events and what was wished for.
struct Walk {
    guide: Guide,
    state: State,
    events: Vec<Event>,
    now: i64,
}

impl Walk {
    fn new() -> Self {
        let guide = guide();
        let state = begin(&guide, Values::default(), at(0));
        Self { guide, state, events: Vec::new(), now: 0 }
    }

    fn after(&mut self, milliseconds: i64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    /// True when it was taken.
    fn take(&mut self, input: Input) -> bool {
        let event = Event { at: at(self.now), by: "anna".into(), input };
        match step(&self.guide, &self.state, &event) {
            Ok(next) => {
                self.state = next;
                self.events.push(event);
                true
            }
            Err(_) => false,
        }
    }

    fn must(&mut self, input: Input) {
        let told = format!("{input:?}");
        assert!(self.take(input), "{told} in {:?}", self.state.phase);
    }

    /// What the hands would bring.
    fn bring(&mut self, well: bool) -> bool {
        let ticket = self.state.ticket;
        let input = match wish(&self.guide, &self.state) {
            None => return false,
            Some(Effect::Look(_)) => Input::Seen(ticket, Ok(seen(well))),
            Some(Effect::Plan(_)) => {
                Input::Planned(ticket, Ok(Plan { text: vec!["so".into()], hash: "abc".into() }))
            }
            Some(Effect::Start { .. }) => Input::Started(ticket, Ok(format!("job-{}", self.now))),
            Some(Effect::Seek(_)) => Input::Sought(ticket, None),
            Some(Effect::Watch(_)) if well => Input::Ended(ticket, Ok(Vec::new())),
            Some(Effect::Watch(_)) => Input::Ended(ticket, Err("it broke".into())),
        };
        self.must(input);
        true
    }
}

fn seen(well: bool) -> Seen {
    let fact = |name: &str, value: &str, well| Observed {
        name: name.into(),
        label: None,
        value: Some(value.into()),
        well,
    };
    let offer = |is: &str| Offer { label: is.into(), values: vec![("is".into(), is.into())] };
    Seen {
        facts: vec![fact("name", "db", None), fact("lag", "3", Some(well))],
        options: vec![offer("a"), offer("b")],
    }
}

fn confirm(typed: &str, reason: &str) -> Input {
    Input::Confirm { typed: typed.into(), reason: reason.into() }
}

/// To the severe act, which waits to be confirmed.
fn at_severe() -> Walk {
    let mut walk = Walk::new();
    walk.bring(true);
    walk.must(Input::Accept);
    walk.must(Input::Choose(1));
    walk.bring(true);
    walk.must(Input::Choose(0));
    walk.must(Input::Enter(String::new()));
    walk.bring(true);
    walk.after(5_000).must(confirm("", ""));
    walk.bring(true);
    walk.bring(true);
    walk.bring(true);
    assert!(matches!(walk.state.phase, Phase::Confirming { .. }), "{:?}", walk.state.phase);
    walk
}

#[test]
fn the_long_way_to_the_end() {
    let mut walk = at_severe();
    walk.after(5_000).must(confirm("db/1234", "told to"));
    let wished = wish(&walk.guide, &walk.state);
    let Some(Effect::Start { words, tag }) = wished else { panic!("{wished:?}") };
    assert_eq!(words, ["break", "a", "--apply", "--plan", "abc", "--reason", "told to"]);
    assert_eq!(tag, "severe-1");
    walk.bring(true);
    walk.bring(true);
    walk.must(Input::Accept);
    assert_eq!(walk.state.phase, Phase::Over(Over::Finished));
    let hows: Vec<&How> = walk.state.answers.iter().map(|answer| &answer.how).collect();
    assert_eq!(*hows[0], How::Observed);
    assert_eq!(*hows[6], How::Asserted, "nobody observed the last one");
    assert_eq!(
        walk.state.values.get("where").as_deref(),
        Some("/tmp/db"),
        "the default, filled in"
    );
}

#[test]
fn what_is_typed_ahead_never_confirms() {
    let mut walk = at_severe();
    assert!(!walk.take(confirm("db/1234", "told to")), "at once");
    assert!(!walk.after(1_900).take(confirm("db/1234", "told to")), "within two seconds");
    assert!(!walk.after(5_000).take(confirm("db/123", "told to")), "another word");
    assert!(!walk.take(confirm("y", "told to")));
    assert!(!walk.take(confirm("db/1234", " ")), "no reason");
    assert!(!walk.take(Input::Accept), "Enter alone");
    walk.must(confirm("db/1234", "told to"));
}

#[test]
fn what_is_not_well_is_not_accepted_but_left_out_with_a_reason() {
    let mut walk = Walk::new();
    walk.bring(false);
    assert!(!walk.take(Input::Accept));
    assert!(!walk.take(Input::Skip("  ".into())));
    walk.must(Input::Again);
    walk.bring(false);
    walk.must(Input::Skip("the standby is down for good".into()));
    assert_eq!(walk.state.at, 1);
}

#[test]
fn one_goes_back_over_answers_but_not_over_deeds() {
    let mut walk = at_severe();
    assert!(!walk.take(Input::Back), "the small thing was done");
    let mut walk = Walk::new();
    walk.bring(true);
    walk.must(Input::Accept);
    walk.must(Input::Choose(1));
    assert_eq!(walk.state.at, 2);
    walk.must(Input::Back);
    assert_eq!((walk.state.at, walk.state.values.get("what")), (1, None));
    walk.must(Input::Choose(0));
    assert_eq!(walk.state.at, 3, "the step for large ones is not there");
}

#[test]
fn a_driver_that_died_while_it_started_a_job_starts_no_second_one() {
    let mut walk = at_severe();
    walk.after(5_000).must(confirm("db/1234", "told to"));
    walk.must(Input::Reopened);
    assert_eq!(wish(&walk.guide, &walk.state), Some(Effect::Seek("severe-1".into())));
    let mut other =
        Walk { guide: guide(), state: walk.state.clone(), events: Vec::new(), now: walk.now };
    let ticket = walk.state.ticket;
    walk.must(Input::Sought(ticket, Some("job-9".into())));
    assert!(matches!(&walk.state.phase, Phase::Acting { job, .. } if job == "job-9"));
    // It was never started: it has to be confirmed anew, from a new plan.
    other.must(Input::Sought(ticket, None));
    assert_eq!(other.state.phase, Phase::Planning);
    other.bring(true);
    assert!(wish(&other.guide, &other.state).is_none());
}

#[test]
fn a_run_that_rests_confirms_nothing_and_shows_a_new_plan_when_it_goes_on() {
    let mut walk = at_severe();
    walk.must(Input::Pause("lunch".into()));
    assert!(!walk.after(5_000).take(confirm("db/1234", "told to")));
    walk.must(Input::Resume);
    assert_eq!(walk.state.phase, Phase::Planning, "what stood there is old");
}

#[test]
fn an_answer_that_was_offered_from_the_beginning_is_taken_when_nothing_is_typed() {
    let mut base = Values::default();
    base.set("where", "/there");
    let guide = guide();
    let mut walk = Walk { state: begin(&guide, base, at(0)), guide, events: Vec::new(), now: 0 };
    walk.bring(true);
    walk.must(Input::Accept);
    walk.must(Input::Choose(0));
    walk.must(Input::Enter(String::new()));
    assert_eq!(walk.state.answers.last().expect("one").values, [("where".into(), "/there".into())]);
}

#[test]
fn a_job_whose_name_comes_after_the_end_is_kept_in_mind() {
    let mut walk = at_severe();
    walk.after(5_000).must(confirm("db/1234", "told to"));
    let ticket = walk.state.ticket;
    walk.must(Input::Abort("enough".into()));
    walk.must(Input::Started(ticket, Ok("job-9".into())));
    assert_eq!(walk.state.acts.last().and_then(|act| act.job.as_deref()), Some("job-9"));
    assert_eq!(walk.state.phase, Phase::Over(Over::Aborted("enough".into())));
}

fn input() -> impl Strategy<Value = Option<Input>> {
    let typed = prop_oneof![Just(""), Just("y"), Just("db/1234"), Just("x")];
    let reason = prop_oneof![Just(""), Just("told to")];
    prop_oneof![
        6 => Just(None),
        3 => Just(Some(Input::Accept)),
        3 => (0..3_usize).prop_map(|n| Some(Input::Choose(n))),
        3 => Just(Some(Input::Enter("here".into()))),
        4 => (typed, reason).prop_map(|(typed, reason)| Some(confirm(typed, reason))),
        1 => Just(Some(Input::Again)),
        1 => Just(Some(Input::Back)),
        1 => Just(Some(Input::Skip("not needed".into()))),
        1 => Just(Some(Input::Pause(String::new()))),
        1 => Just(Some(Input::Resume)),
        1 => Just(Some(Input::Reopened)),
        1 => Just(Some(Input::Note("hm".into()))),
    ]
}

proptest! {
    /// Whatever is pressed, in whatever order and at whatever pace.
    #[test]
    fn nothing_is_begun_that_was_not_confirmed(
        inputs in prop::collection::vec((input(), 0..4_000_i64, any::<bool>()), 0..120)
    ) {
        let mut walk = Walk::new();
        let mut started: Vec<String> = Vec::new();
        for (input, pause, well) in inputs {
            walk.after(pause);
            let confirmable = matches!(walk.state.phase, Phase::Confirming { .. });
            let rested = walk.state.paused.is_some();
            let confirms = matches!(input, Some(Input::Confirm { .. }));
            let taken = match input {
                None => walk.bring(well),
                Some(input) => walk.take(input),
            };
            if confirms && taken {
                prop_assert!(confirmable && !rested);
            }
            if let Some(Effect::Start { tag, .. }) = wish(&walk.guide, &walk.state)
                && started.last() != Some(&tag)
            {
                prop_assert!(confirms && taken, "{tag} begins without a confirmation");
                // A tag comes twice only when the hands have said that nothing was started by it.
                started.push(tag);
            }
            // Done is done: never once more.
            for step in 0..walk.guide.steps.len() {
                let done = walk.state.acts.iter().filter(|a| a.step == step && a.end == Some(Ok(())));
                prop_assert!(done.count() <= 1);
            }
        }
        // The journal, written and read, gives the same state.
        let lines: Vec<String> =
            walk.events.iter().map(|event| serde_json::to_string(event).expect("JSON")).collect();
        let replayed = lines.iter().fold(begin(&walk.guide, Values::default(), at(0)), |state, line| {
            let event: Event = serde_json::from_str(line).expect("an event");
            step(&walk.guide, &state, &event).expect("it was taken")
        });
        prop_assert_eq!(&replayed, &walk.state);
        // Any state can end; one that has not ended can rest and go on.
        if !matches!(walk.state.phase, Phase::Over(_)) {
            if walk.state.paused.is_none() {
                prop_assert!(walk.take(Input::Pause("a rest".into())));
            }
            prop_assert!(walk.take(Input::Resume));
            prop_assert!(walk.take(Input::Abort("enough".into())));
        }
        prop_assert!(wish(&walk.guide, &walk.state).is_none());
    }
}
