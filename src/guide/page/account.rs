//! What was done in a run, and what was not.

use super::{Line, made::facts};
use crate::{
    base::{clock::Timestamp, text::Text},
    guide::{
        criterion::Criterion,
        machine,
        run::Card,
        state::{Act, How, Over, Overruled, Phase, Remark, State},
    },
};

/// What was done and what was not, at the end.
pub(super) fn account(card: &Card, state: &State) -> Vec<Line> {
    let mut lines = Vec::new();
    for answer in &state.answers {
        let Some(step) = card.guide.steps.get(answer.step) else { continue };
        let how = match &answer.how {
            How::Observed | How::Asserted => answer.how.word().to_owned(),
            How::Chosen(label) => label.to_string(),
            How::Entered => answer.values.first().map(|(_, v)| v.clone()).unwrap_or_default(),
            How::Done(job) => format!("done by job {job}"),
            How::Skipped(why) => format!("left out: {why}"),
        };
        let title = state.values.fill(&step.title);
        let act = state.acts.iter().rfind(|act| act.step == answer.step);
        let second = act.and_then(|act| act.second.as_ref());
        let second = second.map(|by| format!(", confirmed by {by}, too")).unwrap_or_default();
        lines.push(Line::Done(format!("{} {title}: {how}{second}", time(answer.at)).into()));
        lines.extend(facts(&answer.seen));
    }
    lines.extend(state.overruled.iter().map(|one| overruled(card, one)));
    lines.extend(state.remarks.iter().map(remark));
    let open = state.acts.iter().filter(|act| !matches!(act.end, Some(Ok(()))));
    lines.extend(open.map(|act| left(card, state, act)));
    if matches!(state.phase, Phase::Over(Over::Aborted(_))) && state.acts.is_empty() {
        lines.push(Line::Say(Text::ours("nothing was begun: all is as it was")));
    }
    lines
}

/// A criterion that somebody went on in spite of.
pub fn overruled(card: &Card, one: &Overruled) -> Line {
    let limit = machine::criterion(&card.guide, one.criterion).map(Criterion::in_words);
    let limit = limit.unwrap_or_default();
    let value = one.seen.value.as_ref().map_or("—", |value| value.as_str());
    let (at, by, why) = (time(one.at), &one.by, &one.why);
    Line::Bad(format!("{at} {by} went on in spite of {limit}, and it was {value}: {why}").into())
}

/// A word for the record.
pub fn remark(remark: &Remark) -> Line {
    let word = if remark.todo { "TODO" } else { "note" };
    Line::Say(format!("{} {word} by {}: {}", time(remark.at), remark.by, remark.words).into())
}

pub fn left(card: &Card, state: &State, act: &Act) -> Line {
    let title = card.guide.steps.get(act.step).map_or("", |step| step.title.as_str());
    let title = state.values.fill(title);
    Line::Bad(match (&act.end, &act.job) {
        (Some(Err(why)), _) => format!("not done: {title}: {why}").into(),
        (_, Some(job)) => format!(
            "begun, and not seen to its end: {title}: job {job}; `howdah jobs attach {job}` looks on, `howdah jobs cancel {job}` ends it"
        )
        .into(),
        (_, None) => format!("confirmed, and perhaps begun: {title}; `howdah jobs` tells").into(),
    })
}

pub fn time(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
