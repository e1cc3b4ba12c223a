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

/// What was not done and what was, at the end. What is not as the list has it comes first: a long account is not read
/// to its end at night.
pub(super) fn account(card: &Card, state: &State) -> Vec<Line> {
    let open = state.acts.iter().filter(|act| !matches!(act.end, Some(Ok(()))));
    let mut lines: Vec<Line> = open.map(|act| left(card, state, act)).collect();
    lines.extend(state.overruled.iter().map(|one| overruled(card, one)));
    if matches!(state.phase, Phase::Over(Over::Aborted(_))) && state.acts.is_empty() {
        lines.push(Line::Say(Text::ours("nothing was begun: all is as it was")));
    }
    for answer in &state.answers {
        let how = match &answer.how {
            How::Observed => answer.how.word().to_owned(),
            How::Asserted => "asserted, not observed".to_owned(),
            How::Chosen(label) => label.to_string(),
            How::Entered => answer.values.first().map(|(_, v)| v.clone()).unwrap_or_default(),
            How::Done(job) => format!("done by job {job}"),
            How::Skipped(why) => format!("left out: {why}"),
        };
        let title = card.title(answer.step, &state.values);
        let act = state.acts.iter().rfind(|act| act.step == answer.step);
        let second = act.and_then(|act| act.second.as_ref());
        let second = second.map(|by| format!(", confirmed by {by}, too")).unwrap_or_default();
        let words = format!("{} {title}: {how}{second}", time(answer.at)).into();
        lines.push(match &answer.how {
            How::Skipped(_) => Line::Bad(words),
            // Nobody observed it: no tick.
            How::Asserted => Line::Say(words),
            _ => Line::Done(words),
        });
        lines.extend(facts(&answer.seen));
    }
    lines.extend(state.remarks.iter().map(remark));
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
    let title = card.title(act.step, &state.values);
    let other = |other: &Act| other.step == act.step && other.end == Some(Ok(()));
    let word = if state.acts.iter().any(other) { "not done at once" } else { "not done" };
    Line::Bad(match (&act.end, &act.job) {
        (Some(Err(why)), _) => format!("{word}: {title}: {why}").into(),
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

#[cfg(test)]
mod tests {
    use super::{super::of_ours, *};
    use crate::{
        base::clock::Clock,
        guide::{state::Answer, values::Values},
    };

    #[test]
    fn what_was_not_done_comes_first_and_only_what_was_observed_or_done_is_ticked() {
        let at = Clock::test().wall();
        let card = of_ours("restore", at);
        let mut state = machine::begin(&card.guide, Values::default(), at);
        let hows = [How::Observed, How::Asserted, How::Skipped("it is down".into())];
        state.answers = hows
            .into_iter()
            .enumerate()
            .map(|(step, how)| Answer {
                step,
                how,
                values: Vec::new(),
                seen: Vec::new(),
                by: "anna".into(),
                at,
            })
            .collect();
        state.phase = Phase::Over(Over::Aborted("enough".into()));
        let lines = account(&card, &state);
        assert_eq!(lines[0], Line::Say("nothing was begun: all is as it was".into()));
        let [Line::Done(_), Line::Say(asserted), Line::Bad(left_out)] = &lines[1..] else {
            panic!("{lines:?}")
        };
        assert!(asserted.ends_with("asserted, not observed"), "{asserted}");
        assert!(left_out.ends_with("left out: it is down"), "{left_out}");

        state.acts =
            vec![Act { step: 3, job: None, end: Some(Err("no room".into())), second: None }];
        let lines = account(&card, &state);
        assert!(matches!(&lines[0], Line::Bad(why) if why.starts_with("not done: ")), "{lines:?}");
        state.acts.push(Act { end: Some(Ok(())), ..state.acts[0].clone() });
        let lines = account(&card, &state);
        let told =
            |line: &Line| matches!(line, Line::Bad(why) if why.starts_with("not done at once: "));
        assert!(told(&lines[0]), "it was done the second time: {lines:?}");
    }
}
