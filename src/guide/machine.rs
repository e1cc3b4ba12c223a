//! From state and event to state. Pure: no clock, no file, no server.

use std::time::Duration;

use super::{
    spec::{Grade, Guide, Kind, Step},
    state::{Act, Answer, Effect, Event, How, Input, Over, Phase, Plan, Rest, State},
    values::Values,
};
use crate::base::{clock::Timestamp, text::Text};

/// How long a plan must have stood there before it can be confirmed: what was typed ahead never confirms.
pub const DEAD: Duration = Duration::from_secs(2);
/// The same, for what can be undone by a command.
pub const SHORT: Duration = Duration::from_millis(700);

/// Why an input was not taken. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Text);

fn refuse<T>(why: impl Into<Text>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

/// A run at its beginning, with what is known then.
pub fn begin(guide: &Guide, base: Values, now: Timestamp) -> State {
    let state = State {
        at: 0,
        phase: Phase::Asking,
        seen: Default::default(),
        values: base.clone(),
        answers: Vec::new(),
        acts: Vec::new(),
        paused: None,
        ticket: 0,
        base,
    };
    enter(guide, state, 0, now)
}

/// What the state wishes for; nothing while it is the person's turn.
pub fn wish(guide: &Guide, state: &State) -> Option<Effect> {
    let step = guide.steps.get(state.at)?;
    match &state.phase {
        Phase::Looking => look_words(step, &state.values).ok().map(Effect::Look),
        Phase::Planning => plan_words(step, &state.values).ok().map(Effect::Plan),
        Phase::Starting { plan } => {
            let words = act_words(step, &state.values, plan).ok()?;
            Some(Effect::Start { words, tag: tag(step, state) })
        }
        Phase::Seeking => Some(Effect::Seek(tag(step, state))),
        Phase::Acting { job, .. } => Some(Effect::Watch(job.clone())),
        _ => None,
    }
}

/// What a job is known by within its run: the step, and the how manieth time it was begun.
fn tag(step: &Step, state: &State) -> String {
    let attempt = state.acts.iter().filter(|act| act.step == state.at).count();
    format!("{}-{attempt}", step.id)
}

/// Takes an event.
///
/// # Errors
/// Why it is not taken now, for the person; nothing has changed then.
pub fn step(guide: &Guide, state: &State, event: &Event) -> Result<State, Refusal> {
    let mut next = state.clone();
    match &event.input {
        Input::Note(_) => return Ok(next),
        Input::Seen(ticket, _)
        | Input::Planned(ticket, _)
        | Input::Started(ticket, _)
        | Input::Sought(ticket, _)
        | Input::Ended(ticket, _)
            if *ticket != state.ticket =>
        {
            return late(next, &event.input);
        }
        Input::Abort(reason) => {
            if matches!(state.phase, Phase::Over(_)) {
                return refuse("it is over already");
            }
            next.paused = None;
            next.phase = Phase::Over(Over::Aborted(Text::one_line(reason)));
            return Ok(next);
        }
        Input::Reopened => return Ok(reopened(guide, next, event)),
        _ => {}
    }
    if let Phase::Over(_) = state.phase {
        return late(next, &event.input);
    }
    match &event.input {
        Input::Pause(note) => {
            if state.paused.is_some() {
                return refuse("it rests already");
            }
            let note = Text::one_line(note);
            next.paused = Some(Rest { since: event.at, by: event.by.clone(), note });
            Ok(next)
        }
        Input::Resume => {
            if next.paused.take().is_none() {
                return refuse("it does not rest");
            }
            Ok(reopened(guide, next, event))
        }
        Input::Seen(_, seen) => match (&state.phase, seen) {
            (Phase::Looking, Ok(seen)) => {
                next.values.extend(observed(&seen.facts));
                next.seen = seen.clone();
                Ok(match guide.steps.get(next.at) {
                    Some(step) => looked(step, next, event.at),
                    None => next,
                })
            }
            (Phase::Looking, Err(why)) => Ok(to(next, Phase::LookFailed(why.clone()))),
            _ => refuse("nobody looked"),
        },
        Input::Planned(_, plan) => match (&state.phase, plan) {
            (Phase::Planning, Ok(plan)) => {
                let plan = plan.clone();
                Ok(to(next, Phase::Confirming { plan, since: event.at }))
            }
            (Phase::Planning, Err(why)) => Ok(to(next, Phase::PlanFailed(why.clone()))),
            _ => refuse("nobody planned"),
        },
        Input::Started(_, job) => match (&state.phase, job) {
            (Phase::Starting { .. }, Ok(job)) => Ok(acting(next, job, event.at)),
            (Phase::Starting { .. }, Err(why)) => Ok(failed(next, why)),
            _ => refuse("nothing was to be started"),
        },
        Input::Sought(_, job) => match (&state.phase, job) {
            (Phase::Seeking, Some(job)) => Ok(acting(next, job, event.at)),
            (Phase::Seeking, None) => {
                // It was never started: whoever goes on confirms it anew.
                next.acts.pop();
                let at = next.at;
                Ok(enter(guide, next, at, event.at))
            }
            _ => refuse("nothing was looked for"),
        },
        Input::Ended(_, end) => {
            let Phase::Acting { job, .. } = &state.phase else { return refuse("no job runs") };
            match end {
                Ok(facts) => {
                    if let Some(act) = next.acts.last_mut() {
                        act.end = Some(Ok(()));
                    }
                    next.seen.facts.clone_from(facts);
                    Ok(answered(guide, next, How::Done(job.clone()), observed(facts), event))
                }
                Err(why) => Ok(failed(next, why)),
            }
        }
        input => persons(guide, next, input, event),
    }
}

/// What a person does while it is their turn.
fn persons(guide: &Guide, next: State, input: &Input, event: &Event) -> Result<State, Refusal> {
    if next.paused.is_some() {
        return refuse("it rests: let it go on first");
    }
    let Some(step) = guide.steps.get(next.at) else { return refuse("there is no step") };
    match input {
        Input::Again => again(guide, next, event),
        Input::Back => back(guide, next, event),
        Input::Skip(reason) => skip(guide, next, step, reason, event),
        Input::Confirm { typed, reason } => confirm(next, step, typed, reason, event),
        _ if next.phase != Phase::Asking => refuse(match next.phase {
            Phase::Looking | Phase::Planning => "not yet: it is being looked at",
            Phase::Starting { .. } | Phase::Seeking | Phase::Acting { .. } => "it is being done",
            Phase::Confirming { .. } => "this has to be confirmed",
            _ => "it failed: once more, back, or leave it out",
        }),
        Input::Accept => {
            if step.kind != (Kind::Accept {}) {
                return refuse("an answer is asked for");
            }
            if !next.seen.well() {
                return refuse(
                    "what was observed is not as it has to be: look again, or leave it out with a reason",
                );
            }
            let how = if next.seen.facts.is_empty() { How::Asserted } else { How::Observed };
            let values = observed(&next.seen.facts);
            Ok(answered(guide, next, how, values, event))
        }
        Input::Choose(place) => {
            let Kind::Choose { into, options, from } = &step.kind else {
                return refuse("there is nothing to choose");
            };
            let (label, mut values) = if from.is_some() {
                let Some(offer) = next.seen.options.get(*place) else {
                    return refuse("there is no such choice");
                };
                (offer.label.clone(), offer.values.clone())
            } else {
                let Some(choice) = options.get(*place) else {
                    return refuse("there is no such choice");
                };
                let label = Text::one_line(&next.values.fill(&choice.label));
                (label, vec![("is".to_owned(), choice.is.clone())])
            };
            for (name, _) in &mut values {
                if name == "is" {
                    name.clone_from(into);
                }
            }
            values.extend(observed(&next.seen.facts));
            Ok(answered(guide, next, How::Chosen(label), values, event))
        }
        Input::Enter(typed) => {
            let Kind::Enter { into, default, optional } = &step.kind else {
                return refuse("nothing is to be typed");
            };
            let typed = if typed.trim().is_empty() {
                offered(&next.values, into, default)
            } else {
                typed.trim().to_owned()
            };
            if typed.is_empty() && !optional {
                return refuse("this cannot be empty");
            }
            if typed.chars().any(crate::base::text::is_unsafe) {
                return refuse("there is a control character in it");
            }
            Ok(answered(guide, next, How::Entered, vec![(into.clone(), typed)], event))
        }
        _ => refuse("that is nothing for a person"),
    }
}

/// What is taken when nothing is typed: the answer that was offered from the beginning, else the default.
pub fn offered(values: &Values, into: &str, default: &str) -> String {
    values.get(into).unwrap_or_else(|| values.fill(default))
}

fn confirm(
    mut next: State,
    step: &Step,
    typed: &str,
    reason: &str,
    event: &Event,
) -> Result<State, Refusal> {
    let (Phase::Confirming { plan, since }, Kind::Act { grade, challenge, .. }) =
        (next.phase.clone(), &step.kind)
    else {
        return refuse("there is nothing to confirm");
    };
    let stood = event.at.duration_since(since).unsigned_abs();
    if stood < if *grade == Grade::Mild { SHORT } else { DEAD } {
        return refuse("it has stood there for a moment only: what is typed ahead does not count");
    }
    match grade {
        Grade::Mild => {}
        Grade::Moderate if typed.trim() != "y" => return refuse("'y' was not typed"),
        Grade::Moderate | Grade::Severe if reason.trim().is_empty() => {
            return refuse("a reason is needed");
        }
        Grade::Moderate => {}
        Grade::Severe => {
            let wanted = challenge.as_ref().map(|text| next.values.fill(text)).unwrap_or_default();
            if typed.trim() != wanted {
                return refuse("that is not the target's name and its last four digits");
            }
        }
    }
    next.values.set("reason", reason.trim());
    next.acts.push(Act { step: next.at, job: None, end: None });
    if let Err(unknown) = act_words(step, &next.values, &plan) {
        return refuse(format!("'{unknown}' is not known"));
    }
    Ok(to(next, Phase::Starting { plan }))
}

fn again(guide: &Guide, next: State, event: &Event) -> Result<State, Refusal> {
    let looks = guide.steps.get(next.at).is_some_and(|step| step.look.is_some());
    match next.phase {
        Phase::Asking if !looks => refuse("there is nothing to look at"),
        Phase::Asking
        | Phase::LookFailed(_)
        | Phase::PlanFailed(_)
        | Phase::Confirming { .. }
        | Phase::ActFailed(_) => {
            let at = next.at;
            Ok(enter(guide, next, at, event.at))
        }
        _ => refuse("it is on its way"),
    }
}

fn back(guide: &Guide, mut next: State, event: &Event) -> Result<State, Refusal> {
    if matches!(next.phase, Phase::Starting { .. } | Phase::Seeking | Phase::Acting { .. }) {
        return refuse("it is being done: there is no way back from that");
    }
    match next.answers.last() {
        None => refuse("this is the first step"),
        Some(Answer { how: How::Done(_), .. }) => {
            refuse("what was done there stays done: go on, or end it here")
        }
        Some(answer) => {
            let at = answer.step;
            next.answers.pop();
            next.values = next.base.clone();
            for answer in &next.answers {
                next.values.extend(answer.values.clone());
            }
            Ok(enter(guide, next, at, event.at))
        }
    }
}

fn skip(
    guide: &Guide,
    next: State,
    step: &Step,
    reason: &str,
    event: &Event,
) -> Result<State, Refusal> {
    if !matches!(step.kind, Kind::Accept {} | Kind::Act { .. }) {
        return refuse("later steps need this answer");
    }
    if matches!(next.phase, Phase::Starting { .. } | Phase::Seeking | Phase::Acting { .. }) {
        return refuse("it is being done");
    }
    if reason.trim().is_empty() {
        return refuse("a reason is needed");
    }
    let values = observed(&next.seen.facts);
    Ok(answered(guide, next, How::Skipped(Text::one_line(reason)), values, event))
}

/// After an answer: to the next step.
fn answered(
    guide: &Guide,
    mut next: State,
    how: How,
    values: Vec<(String, String)>,
    event: &Event,
) -> State {
    next.values.extend(values.clone());
    let seen = std::mem::take(&mut next.seen).facts;
    let (step, by, at) = (next.at, event.by.clone(), event.at);
    next.answers.push(Answer { step, how, values, seen, by, at });
    enter(guide, next, step + 1, event.at)
}

/// Enters the first step at or behind a place that is there.
fn enter(guide: &Guide, mut next: State, from: usize, now: Timestamp) -> State {
    let there = |step: &Step| {
        step.when.as_ref().is_none_or(|when| {
            next.values.get(&when.value).is_some_and(|value| when.is.contains(&value))
        })
    };
    let behind = guide.steps.iter().enumerate().skip(from);
    let found = behind.into_iter().find(|(_, step)| there(step));
    next.seen = Default::default();
    let Some((at, step)) = found else {
        next.at = guide.steps.len();
        return to(next, Phase::Over(Over::Finished));
    };
    next.at = at;
    if step.look.is_some() {
        return match look_words(step, &next.values) {
            Ok(_) => to(next, Phase::Looking),
            Err(unknown) => to(next, Phase::LookFailed(not_known(&unknown))),
        };
    }
    looked(step, next, now)
}

/// Behind the look: the person's turn, or the plan.
fn looked(step: &Step, next: State, now: Timestamp) -> State {
    let Kind::Act { planned, .. } = &step.kind else { return to(next, Phase::Asking) };
    match plan_words(step, &next.values) {
        Ok(_) if !planned => to(next, Phase::Confirming { plan: Plan::default(), since: now }),
        Ok(_) => to(next, Phase::Planning),
        Err(unknown) => to(next, Phase::PlanFailed(not_known(&unknown))),
    }
}

fn not_known(name: &str) -> Text {
    format!("'{name}' is not known: a step before was left out").into()
}

/// Somebody is there again: what stood on the screen is old.
fn reopened(guide: &Guide, next: State, event: &Event) -> State {
    match next.phase {
        Phase::Looking
        | Phase::Asking
        | Phase::Planning
        | Phase::Confirming { .. }
        | Phase::LookFailed(_)
        | Phase::PlanFailed(_) => {
            let at = next.at;
            enter(guide, next, at, event.at)
        }
        Phase::Starting { .. } | Phase::Seeking => to(next, Phase::Seeking),
        Phase::Acting { .. } => {
            let phase = next.phase.clone();
            to(next, phase)
        }
        Phase::ActFailed(_) | Phase::Over(_) => next,
    }
}

fn acting(mut next: State, job: &str, at: Timestamp) -> State {
    if let Some(act) = next.acts.last_mut() {
        act.job = Some(job.to_owned());
    }
    to(next, Phase::Acting { job: job.to_owned(), since: at })
}

fn failed(mut next: State, why: &Text) -> State {
    if let Some(act) = next.acts.last_mut() {
        act.end = Some(Err(why.clone()));
    }
    to(next, Phase::ActFailed(why.clone()))
}

/// What comes back late: a job that was started all the same is kept in mind.
fn late(mut next: State, input: &Input) -> Result<State, Refusal> {
    match input {
        Input::Started(_, Ok(job)) => {
            if let Some(act) = next.acts.last_mut().filter(|act| act.job.is_none()) {
                act.job = Some(job.clone());
            }
            Ok(next)
        }
        Input::Seen(..)
        | Input::Planned(..)
        | Input::Started(..)
        | Input::Sought(..)
        | Input::Ended(..) => Ok(next),
        _ => refuse("it is over"),
    }
}

/// To another phase; what is on its way for the present one will come too late.
fn to(mut next: State, phase: Phase) -> State {
    next.ticket += 1;
    next.phase = phase;
    next
}

fn observed(facts: &[super::facts::Observed]) -> Vec<(String, String)> {
    let known = facts.iter().filter_map(|f| Some((f.name.clone(), f.value.as_ref()?.to_string())));
    known.collect()
}

fn look_words(step: &Step, values: &Values) -> Result<Vec<String>, String> {
    step.look.as_ref().map_or(Ok(Vec::new()), |look| values.words(&look.command))
}

/// The words of a step's act without those that let it happen.
pub fn plan_words(step: &Step, values: &Values) -> Result<Vec<String>, String> {
    match &step.kind {
        Kind::Act { command, .. } => values.words(command),
        _ => Ok(Vec::new()),
    }
}

/// The words of a step's act.
pub fn act_words(step: &Step, values: &Values, plan: &Plan) -> Result<Vec<String>, String> {
    let Kind::Act { command, apply, .. } = &step.kind else { return Ok(Vec::new()) };
    let mut values = values.clone();
    values.set("plan", plan.hash.clone());
    let mut words = values.words(command)?;
    words.extend(values.words(apply)?);
    Ok(words)
}
