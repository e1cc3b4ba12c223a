//! The page of a state.

use std::time::Duration;

use super::{
    Ask, Guarded, Line, Pace, Page, Undo,
    account::{account, time},
};
use crate::{
    base::{clock::Timestamp, exec::quoted, progress::in_words, text::Text, units::span},
    guide::{
        facts::{Observed, Offer},
        journal::Site,
        machine::{self, Decision},
        run::Card,
        spec::{Kind, Step, WITHIN},
        state::{Answer, How, Over, Phase, State, Stop},
    },
    jobs::Job,
};

/// The page of a state.
pub fn page(card: &Card, state: &State, job: Option<&Job>) -> Page {
    let step = card.guide.steps.get(state.at);
    let (body, ask) = match step {
        Some(step) if !matches!(state.phase, Phase::Over(_)) => asked(card, state, step, job),
        _ => (account(card, state), Ask::Over),
    };
    let line = match &state.phase {
        Phase::Over(Over::Finished) => "Finished".to_owned(),
        Phase::Over(Over::Aborted(why)) => format!("Ended before its end: {why}"),
        _ => card.title(state.at, &state.values),
    };
    let chunk = card.guide.steps[..(state.at + 1).min(card.guide.steps.len())]
        .iter()
        .rev()
        .find_map(|step| step.chunk.clone())
        .unwrap_or_default();
    Page {
        title: card.guide.title.as_str().into(),
        on: card.on.clone(),
        site: Site::of(card, state),
        chunk: chunk.into(),
        number: state.answers.len() + 1,
        line: line.into(),
        body,
        undo: step.and_then(|step| undo(state, step)),
        ask,
        chosen: step.map_or(0, |step| offered(state, step)),
        began: card.began,
        budget: promised(card, state),
        pace: step.and_then(|step| pace(state, step)),
        well: step.is_none_or(|step| state.seen.may_be_taken(step.look.as_ref())),
        rests: state.paused.as_ref().map(|rest| {
            let note =
                if rest.note.is_empty() { String::new() } else { format!(": {}", rest.note) };
            format!("rests since {} by {}{note}", time(rest.since), rest.by).into()
        }),
    }
}

/// The promise for RTO, in seconds, while something is down by what was seen; elsewhere no clock runs against it.
pub fn promised(card: &Card, state: &State) -> Option<u64> {
    let down = card.guide.outage.as_ref().is_some_and(|outage| outage.holds(&state.values));
    card.budget.filter(|_| down)
}

fn asked(card: &Card, state: &State, step: &Step, job: Option<&Job>) -> (Vec<Line>, Ask) {
    let mut body = Vec::new();
    if let Some(Answer { how: How::Done(_), seen, step, .. }) = state.answers.last() {
        body.push(Line::Done(format!("done: {}", card.title(*step, &state.values)).into()));
        body.extend(facts(seen));
    }
    let words = step.say.iter().map(|words| Line::Say(state.values.fill(words).into()));
    body.extend(words);
    body.extend(facts(&state.seen.facts));
    body.extend(guarded(card, state));
    if let Some(stop) = &state.stopped {
        return stopped(card, state, stop, job, body);
    }
    let ask = match &state.phase {
        Phase::Looking => {
            body.extend(command(card, state, step.look.as_ref().map(|look| &*look.command)));
            let within = step.look.as_ref().map_or(WITHIN, |look| look.within);
            Ask::Wait(match step.look.as_ref().and_then(|look| look.wait) {
                None => {
                    let within = span(Duration::from_secs(within));
                    format!("looking; it is ended if it takes more than {within}").into()
                }
                Some(wait) => format!("looking until it is well, for {wait} s at the most").into(),
            })
        }
        Phase::Planning => Ask::Wait(Text::ours("planning; nothing is touched")),
        Phase::LookFailed(why) | Phase::PlanFailed(why) | Phase::ActFailed(why) => {
            body.push(Line::Bad(why.clone()));
            Ask::Failed
        }
        Phase::Confirming { plan, since } => {
            body.extend(plan.text.iter().cloned().map(Line::Plan));
            confirming(card, state, step, &mut body, *since)
        }
        Phase::Seconding { plan, first, .. } => {
            body.extend(plan.text.iter().cloned().map(Line::Plan));
            body.push(Line::Say(
                format!("{first} has confirmed it; another person has to:").into(),
            ));
            body.push(Line::Command(Text::ours("howdah guide second last --as NAME")));
            Ask::Wait(Text::ours("a second person has to confirm it, from a terminal of their own"))
        }
        Phase::Starting { .. } | Phase::Seeking => Ask::Wait(Text::ours("starting the job")),
        Phase::Acting { job: id, .. } => {
            body.extend(acting(id, job));
            Ask::Wait(Text::ours("it runs, and goes on without this terminal"))
        }
        Phase::Asking | Phase::Over(_) => turn(state, step),
    };
    (body, ask)
}

/// The criteria that are watched, or will be when what stands there is confirmed.
fn guarded(card: &Card, state: &State) -> Vec<Line> {
    let own = match (&state.phase, card.guide.steps.get(state.at).map(|step| &step.kind)) {
        (Phase::Confirming { .. }, Some(Kind::Act { abort, .. })) => abort.len(),
        _ => 0,
    };
    let own = (0..own).map(|nth| (state.at, nth));
    let watched = machine::watched(&card.guide, state).into_iter().chain(own);
    let line = |id| {
        let limit = machine::criterion(&card.guide, id)?.in_words().into();
        Some(Line::Watch(Guarded { id, limit, seen: None }))
    };
    watched.filter_map(line).collect()
}

/// A criterion was met: why it stands here, and what can be decided.
fn stopped(
    card: &Card,
    state: &State,
    stop: &Stop,
    job: Option<&Job>,
    body: Vec<Line>,
) -> (Vec<Line>, Ask) {
    let why = machine::why_stopped(&card.guide, stop);
    let mut lines = vec![Line::Bad(format!("{} {why}", time(stop.at)).into())];
    if let Some(Kind::Act { undo: Some(undo), .. }) =
        card.guide.steps.get(stop.criterion.0).map(|step| &step.kind)
    {
        lines.push(Line::Say(format!("undo: {}", state.values.fill_command(undo)).into()));
    }
    match &state.phase {
        Phase::Acting { job: id, .. } => lines.extend(acting(id, job)),
        Phase::ActFailed(why) => lines.push(Line::Bad(why.clone())),
        _ => {}
    }
    if stop.ending {
        return (
            lines,
            Ask::Wait(Text::ours("its job is being ended: that is declared to be safe")),
        );
    }
    lines.push(Line::Say(Text::ours("To go on all the same, leave it out with a reason.")));
    lines.extend(body);
    let label = |decision| match decision {
        Decision::Out(at) => format!("Take the way out: {}", card.title(at, &state.values)).into(),
        Decision::EndJob => Text::ours("End the job"),
        Decision::Look => Text::ours("Look once more, and go on if it is well"),
    };
    (lines, Ask::Choose(machine::decisions(&card.guide, state).into_iter().map(label).collect()))
}

/// The time of the act that runs.
fn pace(state: &State, step: &Step) -> Option<Pace> {
    let (Phase::Acting { since, .. }, Kind::Act { budget, silence, .. }) =
        (&state.phase, &step.kind)
    else {
        return None;
    };
    if *budget == 0 {
        return None;
    }
    let (budget, silence) = (Duration::from_secs(*budget), state.values.fill(silence).into());
    Some(Pace { since: *since, budget, silence })
}

pub(super) fn facts(seen: &[Observed]) -> impl Iterator<Item = Line> {
    seen.iter().filter_map(|fact| {
        let label = fact.label.as_deref()?.into();
        Some(Line::Fact { label, value: fact.value.clone(), well: fact.well })
    })
}

fn turn(state: &State, step: &Step) -> Ask {
    match &step.kind {
        Kind::Accept {} if state.seen.facts.is_empty() => {
            Ask::Accept(Text::ours("so it is, I say (asserted, not observed)"))
        }
        Kind::Accept {} => Ask::Accept(Text::ours("take these values")),
        Kind::Choose { options, from: None, .. } => {
            let labels = options.iter().map(|choice| state.values.fill(&choice.label).into());
            Ask::Choose(labels.collect())
        }
        Kind::Choose { .. } => {
            Ask::Choose(state.seen.options.iter().map(|offer| offer.label.clone()).collect())
        }
        Kind::Enter { into, default, .. } => {
            Ask::Enter(Text::one_line(&machine::offered(&state.values, into, default)))
        }
        Kind::Act { .. } => Ask::Wait(Text::ours("planning")),
    }
}

/// How the act of a step is undone, while it waits to be confirmed.
fn undo(state: &State, step: &Step) -> Option<Undo> {
    match (&state.phase, &step.kind) {
        (Phase::Confirming { .. }, Kind::Act { undo, .. }) => Some(match undo {
            Some(undo) => Undo::By(state.values.fill_command(undo).into()),
            None => Undo::Never,
        }),
        _ => None,
    }
}

/// The choice that was offered from the beginning; the first where none was.
fn offered(state: &State, step: &Step) -> usize {
    if state.stopped.is_some() {
        return 0;
    }
    let Kind::Choose { into, options, from } = &step.kind else { return 0 };
    let Some(offered) = state.values.get(into) else { return 0 };
    let is_it =
        |offer: &Offer| offer.values.iter().any(|(name, is)| name == "is" && *is == offered);
    let found = match from {
        Some(_) => state.seen.options.iter().position(is_it),
        None => options.iter().position(|choice| choice.is == offered),
    };
    found.unwrap_or(0)
}

fn confirming(
    card: &Card,
    state: &State,
    step: &Step,
    body: &mut Vec<Line>,
    since: Timestamp,
) -> Ask {
    let Kind::Act { command: words, grade, challenge, .. } = &step.kind else {
        return Ask::Failed;
    };
    body.extend(command(card, state, Some(words)));
    let challenge = challenge.as_ref().map(|text| state.values.fill(text).into());
    Ask::Confirm { grade: *grade, challenge, since }
}

/// A command as a person would type it.
fn command(card: &Card, state: &State, words: Option<&[String]>) -> Option<Line> {
    let words = state.values.words(words?).ok()?;
    let typed: Vec<String> = ["howdah".to_owned()]
        .iter()
        .chain(&words)
        .chain(&card.common)
        .map(|word| quoted(word.as_ref()))
        .collect();
    Some(Line::Command(Text::one_line(&typed.join(" "))))
}

pub fn acting(id: &str, job: Option<&Job>) -> Vec<Line> {
    let mut lines = vec![Line::Command(format!("howdah jobs attach {id}").into())];
    let Some(job) = job else { return lines };
    if let Some(step) = &job.story.last_step {
        lines.push(Line::Say(format!("step: {step}").into()));
    }
    if let Some(progress) = &job.story.progress {
        lines.push(Line::Say(in_words(progress).into()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::of_ours, *};
    use crate::{
        base::clock::Clock,
        guide::{library, values::Values},
    };

    /// The first page of one of ours whose look found something wrong.
    fn unwell(guide: &str) -> Page {
        let at = Clock::test().wall();
        let card = of_ours(guide, at);
        let mut state = machine::begin(&card.guide, Values::default(), at);
        state.phase = Phase::Asking;
        state.seen.facts = vec![Observed { well: Some(false), ..Observed::default() }];
        page(&card, &state, None)
    }

    #[test]
    fn what_is_wrong_may_be_taken_only_where_it_is_what_the_step_looks_for() {
        assert!(unwell("breaker").well, "the database may be ill: that is what is asked");
        assert!(!unwell("wal-check").well, "another role is another server");
    }

    #[test]
    fn the_promise_runs_only_while_something_is_down() {
        let at = Clock::test().wall();
        let promise = |guide: &str, values: &[(&str, &str)]| {
            let card = Card { budget: Some(3600), ..of_ours(guide, at) };
            let mut state = machine::begin(&card.guide, Values::default(), at);
            for (name, value) in values {
                state.values.set(name, *value);
            }
            page(&card, &state, None).budget
        };
        assert_eq!(promise("restore", &[]), None, "nothing was seen yet");
        assert_eq!(promise("restore", &[("link", "live")]), None, "it is beside the living one");
        assert_eq!(promise("restore", &[("link", "down")]), Some(3600));
        assert_eq!(promise("hung-server", &[("verdict_code", "stopped")]), Some(3600));
        assert_eq!(promise("hung-server", &[("verdict_code", "well")]), None, "it is back");
        assert_eq!(promise("wal-setup", &[]), None);
    }

    #[test]
    fn every_outage_is_told_by_something_that_is_seen() {
        for guide in library::guides(std::path::Path::new("/nowhere")).expect("all good") {
            let Some(outage) = &guide.outage else { continue };
            let facts = guide.steps.iter().filter_map(|step| step.look.as_ref());
            let mut facts = facts.flat_map(|look| &look.facts);
            assert!(facts.any(|fact| fact.name == outage.value), "{}: {outage:?}", guide.id);
        }
    }
}
