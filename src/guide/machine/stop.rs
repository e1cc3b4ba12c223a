//! Criteria to stop by: which are watched, what comes of one that is met, and what a person decides then.

use super::{
    Refusal, refuse,
    way::{answered, enter_at, observed, to},
};
use crate::{
    base::{clock::Timestamp, text::Text},
    guide::{
        criterion::Criterion,
        facts::Observed,
        spec::{Guide, Kind},
        state::{CriterionId, Event, How, Input, Overruled, Phase, State, Stop},
    },
};

/// What a person can decide when a criterion was met. To go on all the same wants a reason: it is left out, as a
/// step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take the way out, which begins at this step.
    Out(usize),
    /// End the job.
    EndJob,
    /// Look once more: go on if it is well now.
    Look,
}

/// A criterion of a guide.
pub fn criterion(guide: &Guide, (step, nth): CriterionId) -> Option<&Criterion> {
    match &guide.steps.get(step)?.kind {
        Kind::Act { abort, .. } => abort.get(nth),
        _ => None,
    }
}

/// The criteria that are watched where a run stands: those of the act whose job runs, and those of acts that were
/// done which are watched through a later step.
pub fn watched(guide: &Guide, state: &State) -> Vec<CriterionId> {
    if matches!(state.phase, Phase::Over(_)) || state.stopped.is_some() {
        return Vec::new();
    }
    let all = guide.steps.iter().enumerate().flat_map(|(at, step)| match &step.kind {
        Kind::Act { abort, .. } => (0..abort.len()).map(|nth| (at, nth)).collect(),
        _ => Vec::new(),
    });
    all.filter(|id| is_watched(guide, state, *id)).collect()
}

fn is_watched(guide: &Guide, state: &State, id: CriterionId) -> bool {
    let Some(criterion) = criterion(guide, id) else { return false };
    if state.overruled.iter().any(|overruled| overruled.criterion == id) {
        return false;
    }
    if state.at == id.0 {
        return matches!(state.phase, Phase::Acting { .. });
    }
    let done = state.acts.iter().any(|act| act.step == id.0 && act.end == Some(Ok(())));
    let last = criterion.through.as_ref().and_then(|last| place(guide, last));
    done && last.is_some_and(|last| (id.0..=last).contains(&state.at))
}

fn place(guide: &Guide, step: &str) -> Option<usize> {
    guide.steps.iter().position(|one| one.id == step)
}

/// A criterion is met: the run stops at a decision. It does not rest any more, and a job is ended where that was
/// declared to be safe.
pub(super) fn met(
    guide: &Guide,
    mut next: State,
    id: CriterionId,
    seen: &Observed,
    at: Timestamp,
) -> Result<State, Refusal> {
    let Some(criterion) = criterion(guide, id) else { return refuse("there is no such criterion") };
    if !watched(guide, &next).contains(&id) {
        return refuse("that is not watched now");
    }
    let ending = criterion.cancel && next.at == id.0;
    next.paused = None;
    next.stopped = Some(Stop { criterion: id, seen: seen.clone(), at, ending });
    if !ending {
        return Ok(next);
    }
    let phase = next.phase.clone();
    Ok(to(next, phase))
}

/// What can be decided where a run has stopped, the safest first.
pub fn decisions(guide: &Guide, state: &State) -> Vec<Decision> {
    let Some(stop) = &state.stopped else { return Vec::new() };
    let out = criterion(guide, stop.criterion).and_then(|criterion| criterion.out.as_ref());
    // Only forward: what was done is never done once more.
    let out = out.and_then(|out| place(guide, out)).filter(|out| *out > state.at);
    let out = out.map(Decision::Out);
    let first = match &state.phase {
        Phase::Acting { .. } if stop.ending => None,
        Phase::Acting { .. } => Some(Decision::EndJob),
        Phase::Starting { .. } | Phase::Seeking => None,
        _ => out,
    };
    first.into_iter().chain((!stop.ending).then_some(Decision::Look)).collect()
}

/// What a person does where a run has stopped.
pub(super) fn decided(
    guide: &Guide,
    mut next: State,
    stop: &Stop,
    input: &Input,
    event: &Event,
) -> Result<State, Refusal> {
    if stop.ending {
        return refuse("its job is being ended");
    }
    let decision = match input {
        Input::Choose(place) => decisions(guide, &next).get(*place).copied(),
        Input::Again => Some(Decision::Look),
        Input::Skip(why) if why.trim().is_empty() => return refuse("a reason is needed"),
        Input::Skip(why) => {
            next.stopped = None;
            next.overruled.push(Overruled {
                criterion: stop.criterion,
                seen: stop.seen.clone(),
                why: Text::one_line(why),
                by: event.by.clone(),
                at: event.at,
            });
            return Ok(next);
        }
        _ => None,
    };
    match decision {
        Some(Decision::Look) => {
            next.stopped = None;
            Ok(next)
        }
        Some(Decision::EndJob) => {
            if let Some(stop) = &mut next.stopped {
                stop.ending = true;
            }
            let phase = next.phase.clone();
            Ok(to(next, phase))
        }
        Some(Decision::Out(at)) => out(guide, next, stop, at, event),
        None => refuse("it was stopped: decide that first"),
    }
}

/// To the step that leads out; the one where the run stood is left out for that reason.
fn out(
    guide: &Guide,
    mut next: State,
    stop: &Stop,
    at: usize,
    event: &Event,
) -> Result<State, Refusal> {
    let Some(step) = guide.steps.get(at) else { return refuse("there is no way out") };
    next.stopped = None;
    let values = observed(&next.seen.facts);
    let next = answered(guide, next, How::Skipped(why_stopped(guide, stop)), values, event);
    Ok(enter_at(step, next, at, event.at))
}

/// The act did not come to its end. Where a criterion to stop by has ended it, that is why; and where that leads
/// out, the run still waits for the decision.
pub(super) fn failed(guide: &Guide, mut next: State, why: &Text) -> State {
    let stopped = next.stopped.as_mut().filter(|stop| stop.ending);
    let why = &stopped.map_or_else(
        || why.clone(),
        |stop| {
            stop.ending = false;
            format!("{}; {why}", why_stopped(guide, stop)).into()
        },
    );
    let leads_out = |stop: &Stop| criterion(guide, stop.criterion).is_some_and(|c| c.out.is_some());
    next.stopped.take_if(|stop| !leads_out(stop));
    if let Some(act) = next.acts.last_mut() {
        act.end = Some(Err(why.clone()));
    }
    to(next, Phase::ActFailed(why.clone()))
}

/// Why a run has stopped, in words.
pub fn why_stopped(guide: &Guide, stop: &Stop) -> Text {
    let limit = criterion(guide, stop.criterion).map(Criterion::in_words).unwrap_or_default();
    let value = stop.seen.value.as_ref().map_or("—", |value| value.as_str());
    format!("stopped: {limit}, and it is {value}").into()
}
