//! How a run stands, for whoever takes over: its state, what was tried, what runs, what is to be decided next, and its
//! clocks. Moments are told as such, so that the note stays true when it is read later.

use std::time::Duration;

use super::{
    page::{self, Ask, Line, Page},
    run::Card,
    spec::Grade,
    state::{How, Phase, State},
};
use crate::{
    base::{text::Text, units},
    jobs::Job,
};

/// The note.
pub fn note(run: &str, card: &Card, state: &State, job: Option<&Job>) -> Vec<Line> {
    let page = page::page(card, state, job);
    let over = matches!(state.phase, Phase::Over(_));
    let mut lines = vec![say(format!("{} on {}", page.title, page.site.in_words()))];
    lines.extend(clocks(card, state));
    if over {
        lines.push(say(page.line.to_string()));
    } else {
        let part = if page.chunk.is_empty() { String::new() } else { format!(", {}", page.chunk) };
        lines.push(say(format!("stands at step {}{part}: {}", page.number, page.line)));
        lines.extend(page.rests.clone().map(|rests| say(format!("it {rests}"))));
    }
    lines.extend(tried(card, state));
    if let Phase::Acting { job: id, since } = &state.phase {
        lines.push(say(format!("runs since {}, and goes on by itself:", page::time(*since))));
        lines.extend(page::acting(id, job));
    } else {
        lines.push(say("nothing of it runs".to_owned()));
    }
    lines.extend(page.body.iter().filter(|line| matches!(line, Line::Watch(_))).cloned());
    if !over {
        lines.push(say(format!("next: {}", next(&page))));
        lines.push(Line::Command(format!("howdah guide resume {run}").into()));
    }
    lines
}

fn say(words: String) -> Line {
    Line::Say(words.into())
}

fn clocks(card: &Card, state: &State) -> Vec<Line> {
    let began = card.began.strftime("%Y-%m-%d %H:%M:%SZ");
    let mut lines = vec![say(format!("begun {began} by {}", card.who.in_words()))];
    let budget = page::promised(card, state).map(Duration::from_secs);
    if let Some((budget, end)) = budget.and_then(|b| Some((b, card.began.checked_add(b).ok()?))) {
        let end = end.strftime("%Y-%m-%d %H:%M:%SZ");
        lines.push(say(format!("its promise for RTO, {}, ends {end}", units::clock(budget))));
    }
    lines
}

/// What was done, what was left out or failed, and what was remarked.
fn tried(card: &Card, state: &State) -> Vec<Line> {
    let mut lines = Vec::new();
    for answer in &state.answers {
        let (at, title) = (page::time(answer.at), card.title(answer.step, &state.values));
        match &answer.how {
            How::Done(job) => {
                lines.push(Line::Done(format!("{at} {title}: done by job {job}").into()));
            }
            How::Chosen(what) => lines.push(say(format!("{at} {title} {what}"))),
            How::Skipped(why) => {
                lines.push(Line::Bad(format!("{at} left out: {title}: {why}").into()));
            }
            How::Observed | How::Asserted | How::Entered => {}
        }
    }
    let failed = state.acts.iter().filter(|act| matches!(act.end, Some(Err(_))));
    lines.extend(failed.map(|act| page::left(card, state, act)));
    lines.extend(state.overruled.iter().map(|one| page::overruled(card, one)));
    lines.extend(state.remarks.iter().map(page::remark));
    lines
}

/// What is to be decided next.
fn next(page: &Page) -> Text {
    match &page.ask {
        Ask::Wait(what) => what.clone(),
        Ask::Accept(_) if !page.well => {
            Text::ours("what was observed is not well: look again, or leave it out")
        }
        Ask::Accept(_) => Text::ours("take what was observed, or say so"),
        Ask::Choose(options) => {
            let options: Vec<&str> = options.iter().map(Text::as_str).collect();
            format!("choose: {}", options.join(" / ")).into()
        }
        Ask::Enter(_) => Text::ours("type it"),
        Ask::Confirm { grade: Grade::Severe, .. } => Text::ours("confirm a severe act, or not"),
        Ask::Confirm { .. } => Text::ours("confirm it, or not"),
        Ask::Failed => Text::ours("it failed: once more, back, or leave it out"),
        Ask::Over => Text::ours("nothing"),
    }
}
