//! The machine of the guides against what it promises: nothing is begun that was not confirmed where it stood,
//! nothing is begun twice, a journal replayed gives the same state, and any state can rest, go on and end.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support::machine;
use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use crate::support::machine::{Walk, at, base, ours};
use howdah::guide::{
    facts::{Observed, Seen},
    machine::{DEAD, SHORT, begin, criterion, step, watched, wish},
    spec::{Grade, Guide, Kind},
    state::{Effect, Event, How, Input, Over, Phase, Plan, State},
    values::Values,
};
use proptest::prelude::*;

const GUIDE: &str = r#"
id = "try"
title = "Try"
about = "all kinds of steps"
kind = "read-do"

[[step]]
id = "look"
title = "Look"
do = "accept"
[step.look]
command = ["status"]
facts = [{ name = "target_name", label = "name", at = "/name" }, { name = "lag", at = "/lag", at_most = 5 }]

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
budget = 60
silence = "none"

[[step]]
id = "severe"
title = "Do the large thing"
when = { value = "what", is = ["large"] }
do = "act"
command = ["break", "{which}"]
apply = ["--apply", "--plan", "{plan}", "--reason", "{reason}"]
grade = "severe"
budget = 60
silence = "none"
challenge = "{name}/1234"

[[step]]
id = "end"
title = "Look at it"
do = "accept"
"#;

fn guide() -> Guide {
    Guide::parse(GUIDE).expect("a guide")
}

/// A run of that guide.
fn walk() -> Walk {
    Walk::new(guide(), base())
}

/// Another one that stands where this one does.
fn walk_from(walk: &Walk) -> Walk {
    Walk { state: walk.state.clone(), now: walk.now, ..self::walk() }
}

fn confirm(typed: &str, reason: &str) -> Input {
    Input::Confirm { typed: typed.into(), reason: reason.into() }
}

/// To the severe act, which waits to be confirmed.
fn at_severe() -> Walk {
    let mut walk = walk();
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
    walk.after(5_000).must(confirm("prod-eu/1234", "told to"));
    let wished = wish(&walk.guide, &walk.state);
    let Some(Effect::Start { words, tag }) = wished else { panic!("{wished:?}") };
    assert_eq!(
        words,
        ["break", "21907", "--apply", "--plan", &*machine::hash("severe"), "--reason", "told to"]
    );
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
        Some("/tmp/prod-eu"),
        "the default, filled in"
    );
}

#[test]
fn what_is_typed_ahead_never_confirms() {
    let mut walk = at_severe();
    assert!(!walk.take(confirm("prod-eu/1234", "told to")), "at once");
    assert!(!walk.after(1_900).take(confirm("prod-eu/1234", "told to")), "within two seconds");
    assert!(!walk.after(5_000).take(confirm("prod-eu/123", "told to")), "another word");
    assert!(!walk.take(confirm("y", "told to")));
    assert!(!walk.take(confirm("prod-eu/1234", " ")), "no reason");
    assert!(!walk.take(Input::Accept), "Enter alone");
    walk.must(confirm("prod-eu/1234", "told to"));
}

#[test]
fn what_is_not_well_is_not_accepted_but_left_out_with_a_reason() {
    let mut walk = walk();
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
    let mut walk = self::walk();
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
    walk.after(5_000).must(confirm("prod-eu/1234", "told to"));
    walk.must(Input::Reopened);
    assert_eq!(wish(&walk.guide, &walk.state), Some(Effect::Seek("severe-1".into())));
    let mut other = walk_from(&walk);
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
    assert!(!walk.after(5_000).take(confirm("prod-eu/1234", "told to")));
    walk.must(Input::Resume);
    assert_eq!(walk.state.phase, Phase::Planning, "what stood there is old");
}

#[test]
fn an_answer_that_was_offered_from_the_beginning_is_taken_when_nothing_is_typed() {
    let mut base = base();
    base.set("where", "/there");
    let mut walk = Walk::new(guide(), base);
    walk.bring(true);
    walk.must(Input::Accept);
    walk.must(Input::Choose(0));
    walk.must(Input::Enter(String::new()));
    assert_eq!(walk.state.answers.last().expect("one").values, [("where".into(), "/there".into())]);
}

#[test]
fn a_job_whose_name_comes_after_the_end_is_kept_in_mind() {
    let mut walk = at_severe();
    walk.after(5_000).must(confirm("prod-eu/1234", "told to"));
    let ticket = walk.state.ticket;
    walk.must(Input::Abort("enough".into()));
    walk.must(Input::Started(ticket, Ok("job-9".into())));
    assert_eq!(walk.state.acts.last().and_then(|act| act.job.as_deref()), Some("job-9"));
    assert_eq!(walk.state.phase, Phase::Over(Over::Aborted("enough".into())));
}

/// What happens next: what is right where the run stands, with that choice, or anything else.
#[derive(Clone, Debug)]
enum Next {
    Right(usize),
    Hands {
        well: bool,
    },
    Person(Input),
    Confirmed,
    /// A criterion to stop by is met, where one is watched.
    Met,
}

fn next() -> impl Strategy<Value = Next> {
    let typed = prop_oneof![Just(""), Just("y"), Just("prod-eu/4821"), Just("x")];
    let reason = prop_oneof![Just(""), Just("told to")];
    let person = prop_oneof![
        2 => Just(Input::Accept),
        2 => (0..3_usize).prop_map(Input::Choose),
        2 => Just(Input::Enter("here".into())),
        4 => (typed, reason).prop_map(|(typed, reason)| confirm(typed, reason)),
        1 => Just(Input::Again),
        1 => Just(Input::Back),
        1 => Just(Input::Skip("not needed".into())),
        1 => Just(Input::Pause(String::new())),
        2 => Just(Input::Resume),
        1 => Just(Input::Reopened),
        1 => Just(Input::Note("hm".into())),
        1 => Just(Input::Todo("ask".into())),
    ];
    prop_oneof![
        12 => (0..6_usize).prop_map(Next::Right),
        8 => prop::bool::weighted(0.8).prop_map(|well| Next::Hands { well }),
        3 => Just(Next::Confirmed),
        1 => Just(Next::Met),
        8 => person.prop_map(Next::Person),
    ]
}

/// What a step of the walk is held to.
struct Rules {
    /// Tags that a job was wished for with.
    started: BTreeSet<String>,
}

impl Rules {
    /// Goes on, and holds what came of it against what the machine promises.
    fn go(&mut self, walk: &mut Walk, next: Next) -> Result<(), TestCaseError> {
        let before = (walk.state.clone(), walk.wish());
        let input = match next {
            Next::Hands { well } => {
                walk.bring(well);
                None
            }
            Next::Right(choice) => {
                if !walk.bring(true) {
                    walk.answer(choice);
                }
                walk.events.last().map(|event| event.input.clone())
            }
            Next::Person(input) => walk.take(input.clone()).then_some(input),
            Next::Confirmed if matches!(walk.state.phase, Phase::Confirming { .. }) => {
                let input = walk.confirmation();
                walk.take(input.clone()).then_some(input)
            }
            Next::Confirmed => None,
            Next::Met => {
                Self::met(walk)?;
                None
            }
        };
        let confirmed =
            input.filter(|input| matches!(input, Input::Confirm { .. }) && before.0 != walk.state);
        let (before, wished) = before;
        if let Some(Input::Confirm { typed, reason }) = &confirmed {
            let (Phase::Confirming { since, .. }, Some(Kind::Act { grade, challenge, .. })) =
                (&before.phase, walk.guide.steps.get(before.at).map(|step| &step.kind))
            else {
                return Err(TestCaseError::fail("confirmed where nothing waited for it"));
            };
            prop_assert!(before.paused.is_none(), "confirmed while it rested");
            let stood = Duration::from_millis((walk.now - at_zero(*since)).unsigned_abs());
            let dead = if *grade == Grade::Mild { SHORT } else { DEAD };
            prop_assert!(stood >= dead, "typed ahead: it had stood there for {stood:?}");
            let wanted = challenge.as_ref().map(|text| before.values.fill(text));
            match grade {
                Grade::Mild => {}
                Grade::Moderate => prop_assert!(typed == "y" && !reason.is_empty()),
                Grade::Severe => prop_assert!(Some(typed) == wanted.as_ref() && !reason.is_empty()),
            }
        }
        if let Some(Effect::Start { tag, .. }) = walk.wish()
            && walk.wish() != wished
        {
            prop_assert!(confirmed.is_some(), "{tag} begins without a confirmation");
            prop_assert!(self.started.insert(tag.clone()), "{tag} begins twice");
        }
        // The hands said that nothing was ever started by it: only then it may be started once more.
        if let (Some(Effect::Seek(tag)), Some(Event { input: Input::Sought(_, None), .. })) =
            (&wished, walk.events.last())
        {
            self.started.remove(tag);
        }
        // Nobody goes on where it was stopped before somebody has decided.
        if let (Some(_), Some(_)) = (&before.stopped, &walk.state.stopped) {
            prop_assert!(confirmed.is_none(), "confirmed where it was stopped");
        }
        // Done is done: never once more.
        for step in 0..walk.guide.steps.len() {
            let done = walk.state.acts.iter().filter(|a| a.step == step && a.end == Some(Ok(())));
            prop_assert!(done.count() <= 1);
        }
        Ok(())
    }

    /// The run stops, and a job is ended only where that was declared to be safe.
    fn met(walk: &mut Walk) -> Result<(), TestCaseError> {
        let Some(id) = watched(&walk.guide, &walk.state).first().copied() else { return Ok(()) };
        let safe = criterion(&walk.guide, id).expect("one").cancel && walk.state.at == id.0;
        let seen = Observed { value: Some("9".into()), well: Some(false), ..Observed::default() };
        walk.must(Input::Met(id, seen));
        prop_assert!(walk.state.stopped.is_some() && watched(&walk.guide, &walk.state).is_empty());
        prop_assert_eq!(matches!(walk.wish(), Some(Effect::End(_))), safe);
        Ok(())
    }
}

/// Milliseconds since the beginning of a walk.
fn at_zero(moment: howdah::base::clock::Timestamp) -> i64 {
    moment.as_millisecond() - at(0).as_millisecond()
}

/// Any state can rest, go on and end; while it rests nothing is confirmed, and what stood there is old when it
/// goes on.
fn can_rest_go_on_and_end(walk: &Walk) -> Result<(), TestCaseError> {
    if let Phase::Over(_) = walk.state.phase {
        prop_assert_eq!(walk.wish(), None);
        return Ok(());
    }
    let mut other =
        Walk { state: walk.state.clone(), now: walk.now, ..Walk::new(walk.guide.clone(), base()) };
    if other.state.paused.is_none() {
        prop_assert!(other.take(Input::Pause("a rest".into())));
    }
    if let Phase::Confirming { .. } = other.state.phase {
        other.after(60_000);
        let confirmation = other.confirmation();
        prop_assert!(!other.take(confirmation), "confirmed while it rests");
    }
    prop_assert!(other.take(Input::Resume));
    if let Phase::Confirming { since, .. } = other.state.phase {
        prop_assert_eq!(at_zero(since), other.now, "its dead time begins anew");
    }
    prop_assert_eq!(
        other.state.stopped.is_some(),
        walk.state.stopped.is_some(),
        "a rest decides nothing"
    );
    prop_assert!(other.take(Input::Abort("enough".into())));
    prop_assert_eq!(other.wish(), None);
    Ok(())
}

/// The journal, written and read, gives the same state.
fn replays(walk: &Walk) -> Result<(), TestCaseError> {
    let lines = walk.events.iter().map(|event| serde_json::to_string(event).expect("JSON"));
    let first = begin(&walk.guide, walk.base.clone(), at(0));
    let replayed = lines.fold(first, |state, line| {
        let event: Event = serde_json::from_str(&line).expect("an event");
        step(&walk.guide, &state, &event).expect("it was taken")
    });
    prop_assert_eq!(&replayed, &walk.state);
    Ok(())
}

/// Ours, and the one with all kinds of steps.
static GUIDES: LazyLock<Vec<Guide>> =
    LazyLock::new(|| ours().into_iter().chain([guide()]).collect());

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is pressed, in whatever order and at whatever pace, in whichever guide.
    #[test]
    fn nothing_is_begun_that_was_not_confirmed(
        which in any::<prop::sample::Index>(),
        nexts in prop::collection::vec((next(), 0..3_000_i64), 0..90)
    ) {
        let mut walk = Walk::new(GUIDES[which.index(GUIDES.len())].clone(), base());
        let mut rules = Rules { started: BTreeSet::new() };
        for (next, pause) in nexts {
            walk.after(pause);
            rules.go(&mut walk, next)?;
            can_rest_go_on_and_end(&walk)?;
        }
        replays(&walk)?;
    }
}

/// Commands that only look, by their first words. `wal setup` without `--apply` tries and shows.
const LOOKS: [&str; 16] = [
    "status",
    "recoverable",
    "breaker list",
    "session list",
    "session blocked",
    "backup list",
    "repo check",
    "wal status",
    "wal find",
    "wal verify",
    "restore diff",
    "restore room",
    "server look",
    "slot list",
    "space",
    "pgbouncer list",
];

#[test]
fn each_of_ours_leads_to_its_end_and_looks_without_touching() {
    for guide in ours() {
        let mut walk = Walk::new(guide.clone(), base());
        let mut begun = 0;
        for _ in 0..200 {
            match walk.wish() {
                Some(Effect::Look(words) | Effect::Plan(words)) => {
                    let apply = words.iter().any(|word| word == "--apply");
                    assert!(!apply, "{}: {words:?} does more than look", guide.id);
                }
                Some(Effect::Start { .. }) => begun += 1,
                _ => {}
            }
            if !walk.bring(true) && !walk.answer(1) {
                break;
            }
            walk.after(1_000);
        }
        assert_eq!(walk.state.phase, Phase::Over(Over::Finished), "{}", guide.id);
        assert_eq!(begun, walk.state.acts.len(), "{}", guide.id);
        let looks = guide.steps.iter().filter_map(|step| Some(&step.look.as_ref()?.command));
        let stops = guide.steps.iter().flat_map(|step| match &step.kind {
            Kind::Act { abort, .. } => abort.iter().map(|one| &one.command).collect(),
            _ => Vec::new(),
        });
        for command in looks.chain(stops) {
            let words = command.join(" ");
            let looks = LOOKS.iter().any(|known| words.starts_with(known))
                || words.starts_with("wal setup ");
            assert!(looks, "{}: is '{words}' only a look? Then it belongs into the list", guide.id);
        }
    }
}

#[test]
fn a_second_person_is_another_one_and_confirms_the_very_plan() {
    let text = GUIDE.replacen("grade = \"mild\"", "grade = \"mild\"\nsecond = true", 1);
    let guide = Guide::parse(&text).expect("a guide");
    let event = |now: i64, by: &str, input| Event { at: at(now), by: by.into(), input };
    let to_the_act = |two: &str| {
        let mut values = Values::default();
        values.set("two_people", two);
        values.set("name", "db");
        let mut state = begin(&guide, values, at(0));
        let plan = Plan { text: vec!["as it would be".into()], hash: "12ab".into() };
        let inputs = |state: &State| match state.phase {
            Phase::Looking => Input::Seen(state.ticket, Ok(Seen::default())),
            Phase::Planning => Input::Planned(state.ticket, Ok(plan.clone())),
            _ => match state.at {
                0 => Input::Skip("known".into()),
                1 => Input::Choose(0),
                _ => Input::Enter("/tmp/x".into()),
            },
        };
        while !matches!(state.phase, Phase::Confirming { .. }) {
            let input = inputs(&state);
            state = step(&guide, &state, &event(10, "anna (root)", input)).expect("taken");
        }
        let yes = Input::Confirm { typed: String::new(), reason: String::new() };
        step(&guide, &state, &event(5_000, "anna (root)", yes)).expect("confirmed")
    };
    assert!(matches!(to_the_act("no").phase, Phase::Starting { .. }), "one person is enough");
    let waits = to_the_act("yes");
    assert!(matches!(waits.phase, Phase::Seconding { .. }));
    assert_eq!((wish(&guide, &waits), waits.acts.len()), (None, 0), "nothing is begun");
    let by = |now: i64, by: &str, mark: &str| {
        step(&guide, &waits, &event(now, by, Input::Second(mark.into())))
    };
    assert!(by(6_000, "anna (root, ssh 203.0.113.7)", "12ab").is_err(), "another terminal only");
    assert!(by(6_000, "berta (root)", "34cd").is_err(), "another plan");
    assert!(by(5_000 + 16 * 60_000, "berta (root)", "12ab").is_err(), "too late");
    let begun = by(6_000, "berta (root)", "12ab").expect("taken");
    assert_eq!(begun.acts[0].second.as_deref(), Some("berta (root)"));
    let paused = step(&guide, &waits, &event(6_000, "anna", Input::Reopened)).expect("taken");
    assert_eq!(paused.phase, Phase::Planning, "what was confirmed before is planned anew");
    assert!(step(&guide, &waits, &event(6_000, "anna", Input::Abort("no".into()))).is_ok());
}

/// A run of one of ours, at the first turn of the person behind these answers.
fn ours_behind(guide: &str, answers: &[Input]) -> Walk {
    let guide = ours().into_iter().find(|known| known.id == guide).expect("ours");
    let mut walk = Walk::new(guide, base());
    walk.bring(true);
    for answer in answers {
        walk.must(answer.clone());
        walk.bring(true);
    }
    walk
}

#[test]
fn a_moment_out_of_reach_is_refused_where_it_is_typed() {
    let whole = [Input::Accept, Input::Accept, Input::Choose(4)];
    let mut walk = ours_behind("restore", &whole);
    assert_eq!(walk.step().expect("a step").id, "moment");
    for (typed, told) in [
        ("yesterday noon", "no moment"),
        ("2026-11-09 02:00", "nearest moment is 2026-11-09 02:00:31Z"),
        ("2026-11-24", "nearest moment is 2026-11-23 09:13:25Z"),
    ] {
        let event =
            Event { at: at(walk.now), by: "anna".into(), input: Input::Enter(typed.into()) };
        let why = step(&walk.guide, &walk.state, &event).expect_err(typed).0;
        let window = "from 2026-11-09 02:00:31Z to 2026-11-23 09:13:25Z";
        assert!(why.contains(told) && why.ends_with(window), "{why}");
    }
    walk.must(Input::Enter("1h".into()));
    assert_eq!(walk.state.values.get("moment").as_deref(), Some("2026-11-23T08:12:44Z"));
}

#[test]
fn where_nothing_is_to_change_nothing_is_confirmed() {
    let mut walk = ours_behind("wal-setup", &[Input::Accept, Input::Accept]);
    let mut same = walk_of(&walk);
    walk.must(Input::Accept);
    assert_eq!(walk.step().expect("a step").id, "apply");
    for fact in &mut same.state.seen.facts {
        if fact.name == "to_change" {
            fact.value = Some("0".into());
        }
    }
    same.must(Input::Accept);
    assert_eq!(same.step().expect("a step").id, "restart");
    assert!(same.state.acts.is_empty());
}

/// Another walk through the same guide, at the same place.
fn walk_of(walk: &Walk) -> Walk {
    let mut other = Walk::new(walk.guide.clone(), walk.base.clone());
    (other.state, other.now) = (walk.state.clone(), walk.now);
    other
}
