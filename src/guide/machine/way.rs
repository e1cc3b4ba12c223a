//! From step to step, and from phase to phase.

use super::{Refusal, refuse};
use crate::{
    base::{clock::Timestamp, text::Text},
    guide::{
        facts::{Observed, Seen},
        spec::{Guide, Kind, Step},
        state::{Answer, Event, How, Input, Over, Phase, Plan, State},
        values::Values,
    },
};

/// After an answer: to the next step.
pub(super) fn answered(
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
pub(super) fn enter(guide: &Guide, mut next: State, from: usize, now: Timestamp) -> State {
    let there = |step: &Step| step.when.as_ref().is_none_or(|when| when.holds(&next.values));
    let behind = guide.steps.iter().enumerate().skip(from);
    let found = behind.into_iter().find(|(_, step)| there(step));
    let Some((at, step)) = found else {
        next.at = guide.steps.len();
        next.stopped = None;
        return to(next, Phase::Over(Over::Finished));
    };
    enter_at(step, next, at, now)
}

/// Enters a step once more that was entered before: it is there, also when only a way out has led to it.
pub(super) fn enter_again(guide: &Guide, next: State, at: usize, now: Timestamp) -> State {
    match guide.steps.get(at) {
        Some(step) => enter_at(step, next, at, now),
        None => next,
    }
}

/// Enters a step that is there.
pub(super) fn enter_at(step: &Step, mut next: State, at: usize, now: Timestamp) -> State {
    next.seen = Seen::default();
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
pub(super) fn looked(step: &Step, next: State, now: Timestamp) -> State {
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
pub(super) fn reopened(guide: &Guide, next: State, event: &Event) -> State {
    match next.phase {
        Phase::Looking
        | Phase::Asking
        | Phase::Planning
        | Phase::Confirming { .. }
        | Phase::Seconding { .. }
        | Phase::LookFailed(_)
        | Phase::PlanFailed(_) => {
            let at = next.at;
            enter_again(guide, next, at, event.at)
        }
        Phase::Starting { .. } | Phase::Seeking => to(next, Phase::Seeking),
        Phase::Acting { .. } => {
            let phase = next.phase.clone();
            to(next, phase)
        }
        Phase::ActFailed(_) | Phase::Over(_) => next,
    }
}

pub(super) fn acting(mut next: State, job: &str, at: Timestamp) -> State {
    if let Some(act) = next.acts.last_mut() {
        act.job = Some(job.to_owned());
    }
    to(next, Phase::Acting { job: job.to_owned(), since: at })
}

/// What comes back late: a job that was started all the same is kept in mind.
pub(super) fn late(mut next: State, input: &Input) -> Result<State, Refusal> {
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
        Input::Met(..) => refuse("nothing is watched any more"),
        _ => refuse("it is over"),
    }
}

/// To another phase; what is on its way for the present one will come too late.
pub(super) fn to(mut next: State, phase: Phase) -> State {
    next.ticket += 1;
    next.phase = phase;
    next
}

pub(super) fn observed(facts: &[Observed]) -> Vec<(String, String)> {
    let known = facts.iter().filter_map(|f| Some((f.name.clone(), f.value.as_ref()?.to_string())));
    known.collect()
}

pub(super) fn look_words(step: &Step, values: &Values) -> Result<Vec<String>, String> {
    step.look.as_ref().map_or(Ok(Vec::new()), |look| values.words(&look.command))
}

/// The words of a step's act without those that let it happen.
pub(super) fn plan_words(step: &Step, values: &Values) -> Result<Vec<String>, String> {
    match &step.kind {
        Kind::Act { command, .. } => values.words(command),
        _ => Ok(Vec::new()),
    }
}

/// The words of a step's act.
pub(super) fn act_words(step: &Step, values: &Values, plan: &Plan) -> Result<Vec<String>, String> {
    let Kind::Act { command, apply, .. } = &step.kind else { return Ok(Vec::new()) };
    let mut values = values.clone();
    values.set("plan", plan.hash.clone());
    let mut words = values.words(command)?;
    words.extend(values.words(apply)?);
    Ok(words)
}
