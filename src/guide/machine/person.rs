//! What a person does while it is their turn.

use super::{
    DEAD, Refusal, SECOND, SHORT, TWO_PEOPLE, refuse,
    stop::decided,
    way::{act_words, answered, enter_again, observed, to},
};
use crate::{
    base::{ledger::Who, text::Text},
    guide::{
        reach::reachable,
        spec::{Grade, Guide, Kind, Step, YES},
        state::{Act, Answer, Event, How, Input, Phase, Plan, State},
        values::Values,
    },
};

/// What a person does while it is their turn.
pub(super) fn persons(
    guide: &Guide,
    next: State,
    input: &Input,
    event: &Event,
) -> Result<State, Refusal> {
    if next.paused.is_some() {
        return refuse("it rests: let it go on first");
    }
    if let Some(stop) = next.stopped.clone() {
        return decided(guide, next, &stop, input, event);
    }
    let Some(step) = guide.steps.get(next.at) else { return refuse("there is no step") };
    match input {
        Input::Again => again(guide, next, event),
        Input::Back => back(guide, next, event),
        Input::Skip(reason) => skip(guide, next, step, reason, event),
        Input::Confirm { typed, reason } => confirm(next, step, typed, reason, event),
        Input::Second(mark) => second(next, step, mark, event),
        _ if next.phase != Phase::Asking => refuse(match next.phase {
            Phase::Looking | Phase::Planning => "not yet: it is being looked at",
            Phase::Starting { .. } | Phase::Seeking | Phase::Acting { .. } => "it is being done",
            Phase::Confirming { .. } => "this has to be confirmed",
            Phase::Seconding { .. } => "a second person has to confirm it",
            _ => "it failed: once more, back, or leave it out",
        }),
        Input::Accept => {
            if step.kind != (Kind::Accept {}) {
                return refuse("an answer is asked for");
            }
            if !next.seen.may_be_taken(step.look.as_ref()) {
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
            let Kind::Enter { into, default, optional, among } = &step.kind else {
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
            let typed = match among.as_ref().filter(|_| !typed.is_empty()) {
                Some(windows) => reachable(&typed, next.values.get(windows).as_deref(), event.at)
                    .map_err(|why| Refusal(why.into()))?,
                None => typed,
            };
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
    let (Phase::Confirming { plan, since }, Kind::Act { grade, challenge, second, .. }) =
        (next.phase.clone(), &step.kind)
    else {
        return refuse("there is nothing to confirm");
    };
    let stood = event.at.duration_since(since).unsigned_abs();
    if stood < if *grade == Grade::Mild { SHORT } else { DEAD } {
        return refuse("it has stood there for a moment only: what is typed ahead does not count");
    }
    match grade {
        Grade::Moderate if typed.trim() != YES => {
            return refuse(format!("'{YES}' was not typed"));
        }
        Grade::Moderate | Grade::Severe if reason.trim().is_empty() => {
            return refuse("a reason is needed");
        }
        Grade::Mild | Grade::Moderate => {}
        Grade::Severe => {
            let wanted = challenge.as_ref().map(|text| next.values.fill(text)).unwrap_or_default();
            if typed.trim() != wanted {
                return refuse("that is not the target's name and its last four digits");
            }
        }
    }
    next.values.set("reason", reason.trim());
    if *second && next.values.get(TWO_PEOPLE).as_deref() == Some("yes") {
        let (first, since) = (event.by.clone(), event.at);
        return Ok(to(next, Phase::Seconding { plan, first, since }));
    }
    next.values.set_words("second", Vec::new());
    start(next, step, plan, None)
}

/// A second person confirms: another one, the very plan, and not much later.
fn second(mut next: State, step: &Step, mark: &str, event: &Event) -> Result<State, Refusal> {
    let Phase::Seconding { plan, first, since } = next.phase.clone() else {
        return refuse("there is nothing that waits for a second person");
    };
    if Who::person(&event.by) == Who::person(&first) {
        return refuse(format!("{first} has confirmed it: the second has to be another person"));
    }
    if plan.hash != mark {
        return refuse("that is another plan than the one that was confirmed");
    }
    if event.at.duration_since(since).unsigned_abs() > SECOND {
        return refuse("it was confirmed too long ago: it has to be planned anew");
    }
    let words = vec!["--second".to_owned(), event.by.to_string()];
    next.values.set_words("second", words);
    start(next, step, plan, Some(event.by.clone()))
}

fn start(mut next: State, step: &Step, plan: Plan, second: Option<Text>) -> Result<State, Refusal> {
    next.acts.push(Act { step: next.at, job: None, end: None, second });
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
        | Phase::Seconding { .. }
        | Phase::ActFailed(_) => {
            let at = next.at;
            Ok(enter_again(guide, next, at, event.at))
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
            Ok(enter_again(guide, next, at, event.at))
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
