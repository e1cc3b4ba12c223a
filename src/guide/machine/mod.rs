//! From state and event to state. Pure: no clock, no file, no server.

mod person;
mod stop;
mod way;

use std::time::Duration;

pub use self::{
    person::offered,
    stop::{Decision, criterion, decisions, watched, why_stopped},
};
use self::{
    person::persons,
    stop::{failed, met},
    way::{
        act_words, acting, answered, enter, enter_again, late, look_words, looked, observed,
        plan_words, reopened, to,
    },
};
use super::{
    facts::Seen,
    spec::{Guide, Step},
    state::{Effect, Event, How, Input, Over, Phase, Remark, Rest, State},
    values::Values,
};
use crate::base::{clock::Timestamp, text::Text};

/// How long a plan must have stood there before it can be confirmed: what was typed ahead never confirms.
pub const DEAD: Duration = Duration::from_secs(2);
/// The same, for what can be undone by a command.
pub const SHORT: Duration = Duration::from_millis(700);
/// How long a plan that was confirmed waits for a second person; then it is too old.
pub const SECOND: Duration = Duration::from_mins(15);
/// The value that says whether the target asks for two people: `yes`.
pub const TWO_PEOPLE: &str = "two_people";

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
        seen: Seen::default(),
        values: base.clone(),
        answers: Vec::new(),
        acts: Vec::new(),
        paused: None,
        stopped: None,
        overruled: Vec::new(),
        remarks: Vec::new(),
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
        Phase::Acting { job, .. } if state.stopped.as_ref().is_some_and(|stop| stop.ending) => {
            Some(Effect::End(job.clone()))
        }
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
        Input::Note(words) | Input::Todo(words) => {
            let todo = matches!(event.input, Input::Todo(_));
            return remarked(next, todo, words, event);
        }
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
            (next.paused, next.stopped) = (None, None);
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
            (Phase::Starting { .. }, Err(why)) => Ok(failed(guide, next, why)),
            _ => refuse("nothing was to be started"),
        },
        Input::Sought(_, job) => match (&state.phase, job) {
            (Phase::Seeking, Some(job)) => Ok(acting(next, job, event.at)),
            (Phase::Seeking, None) => {
                // It was never started: whoever goes on confirms it anew.
                next.acts.pop();
                let at = next.at;
                Ok(enter_again(guide, next, at, event.at))
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
                    if let Some(stop) = &mut next.stopped {
                        stop.ending = false;
                    }
                    next.seen.facts.clone_from(facts);
                    Ok(answered(guide, next, How::Done(job.clone()), observed(facts), event))
                }
                Err(why) => Ok(failed(guide, next, why)),
            }
        }
        Input::Met(id, seen) => met(guide, next, *id, seen, event.at),
        input => persons(guide, next, input, event),
    }
}

/// A word for the record: it changes nothing else.
fn remarked(mut next: State, todo: bool, words: &str, event: &Event) -> Result<State, Refusal> {
    let words = Text::one_line(words);
    if words.is_empty() {
        return refuse("there are no words in it");
    }
    let remark = Remark { todo, words, by: event.by.clone(), at: event.at };
    if next.remarks.contains(&remark) {
        return refuse("it stands in the record already");
    }
    next.remarks.push(remark);
    Ok(next)
}
