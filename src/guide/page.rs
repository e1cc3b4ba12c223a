//! A state as it is to be drawn: plain data, the same for the console and for plain lines.

use super::{
    facts::{Observed, Offer},
    hands::Glimpse,
    machine,
    run::Card,
    spec::{Grade, Kind, Step, YES},
    state::{Act, Answer, How, Over, Phase, State},
};
use crate::{
    base::{clock::Timestamp, exec::quoted, progress::in_words, text::Text},
    jobs::Job,
};

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The guide's title.
    pub title: Text,
    /// On what.
    pub on: Text,
    /// The part of the guide.
    pub chunk: Text,
    /// Which step it is, from 1.
    pub number: usize,
    /// The step's line.
    pub line: Text,
    /// What stands below it.
    pub body: Vec<Line>,
    /// How the act that waits to be confirmed is undone.
    pub undo: Option<Undo>,
    /// What is asked.
    pub ask: Ask,
    /// The choice that is offered, by its place.
    pub chosen: usize,
    /// When the run began.
    pub began: Timestamp,
    /// Seconds that it may take.
    pub budget: Option<u64>,
    /// It rests: since when, by whom, why.
    pub rests: Option<Text>,
    /// What was looked at is as it has to be. What is not, is not accepted: it is looked at again, or left out.
    pub well: bool,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Words.
    Say(Text),
    /// A fact.
    Fact {
        /// What it is called.
        label: Text,
        /// Its value; none when it is not known.
        value: Option<Text>,
        /// Whether it is well; none where nobody judges it.
        well: Option<bool>,
    },
    /// A line of a plan.
    Plan(Text),
    /// A command, as a person would type it.
    Command(Text),
    /// Something that went wrong.
    Bad(Text),
    /// Something that was done.
    Done(Text),
}

/// How an act is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// So.
    By(Text),
    /// Not at all.
    Never,
}

/// What is asked of the person.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Nothing: this is on its way.
    Wait(Text),
    /// To take what stands there; with words for it.
    Accept(Text),
    /// One of these.
    Choose(Vec<Text>),
    /// A value; what stands there already.
    Enter(Text),
    /// To confirm: how, and what to type for a severe act.
    Confirm {
        /// How.
        grade: Grade,
        /// What to type.
        challenge: Option<Text>,
        /// Since when it stands there.
        since: Timestamp,
    },
    /// It failed: once more, back, or leave it out.
    Failed,
    /// Nothing: the run is over.
    Over,
}

impl Ask {
    /// What has to be typed to confirm, where something has.
    pub fn expects(&self) -> Option<&str> {
        match self {
            Self::Confirm { grade: Grade::Moderate, .. } => Some(YES),
            Self::Confirm { grade: Grade::Severe, challenge, .. } => challenge.as_deref(),
            _ => None,
        }
    }
}

impl Page {
    /// The same with what a look that waits has seen so far.
    #[must_use]
    pub fn glimpsed(mut self, glimpse: &Glimpse) -> Self {
        let waited = crate::base::units::clock(glimpse.waited);
        self.body.extend(facts(&glimpse.facts));
        self.body.push(Line::Say(format!("not yet, after {waited}; it is looked at again").into()));
        self
    }
}

/// The page of a state.
pub fn page(card: &Card, state: &State, job: Option<&Job>) -> Page {
    let step = card.guide.steps.get(state.at);
    let (body, ask) = match step {
        Some(step) if !matches!(state.phase, Phase::Over(_)) => asked(card, state, step, job),
        _ => (account(card, state), Ask::Over),
    };
    let line = match (&state.phase, step) {
        (Phase::Over(Over::Finished), _) => "Finished".to_owned(),
        (Phase::Over(Over::Aborted(why)), _) => format!("Ended before its end: {why}"),
        (_, Some(step)) => state.values.fill(&step.title),
        (_, None) => String::new(),
    };
    let chunk = card.guide.steps[..(state.at + 1).min(card.guide.steps.len())]
        .iter()
        .rev()
        .find_map(|step| step.chunk.clone())
        .unwrap_or_default();
    Page {
        title: card.guide.title.as_str().into(),
        on: card.on.clone(),
        chunk: chunk.into(),
        number: state.answers.len() + 1,
        line: line.into(),
        body,
        undo: step.and_then(|step| undo(state, step)),
        ask,
        chosen: step.map_or(0, |step| offered(state, step)),
        began: card.began,
        budget: card.budget,
        well: state.seen.well(),
        rests: state.paused.as_ref().map(|rest| {
            let note =
                if rest.note.is_empty() { String::new() } else { format!(": {}", rest.note) };
            format!("rests since {} by {}{note}", time(rest.since), rest.by).into()
        }),
    }
}

fn asked(card: &Card, state: &State, step: &Step, job: Option<&Job>) -> (Vec<Line>, Ask) {
    let mut body = Vec::new();
    if let Some(Answer { how: How::Done(_), seen, step, .. }) = state.answers.last() {
        let done = card.guide.steps.get(*step).map_or("", |step| step.title.as_str());
        body.push(Line::Done(format!("done: {}", state.values.fill(done)).into()));
        body.extend(facts(seen));
    }
    let words = step.say.iter().map(|words| Line::Say(state.values.fill(words).into()));
    body.extend(words);
    body.extend(facts(&state.seen.facts));
    let ask = match &state.phase {
        Phase::Looking => {
            body.extend(command(card, state, step.look.as_ref().map(|look| &*look.command)));
            Ask::Wait(match step.look.as_ref().and_then(|look| look.wait) {
                None => Text::ours("looking"),
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

fn facts(seen: &[Observed]) -> impl Iterator<Item = Line> {
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
            Some(undo) => Undo::By(state.values.fill(undo).into()),
            None => Undo::Never,
        }),
        _ => None,
    }
}

/// The choice that was offered from the beginning; the first where none was.
fn offered(state: &State, step: &Step) -> usize {
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

fn acting(id: &str, job: Option<&Job>) -> Vec<Line> {
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

/// What was done and what was not, at the end.
fn account(card: &Card, state: &State) -> Vec<Line> {
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
    let open = state.acts.iter().filter(|act| !matches!(act.end, Some(Ok(()))));
    lines.extend(open.map(|act| left(card, state, act)));
    if matches!(state.phase, Phase::Over(Over::Aborted(_))) && state.acts.is_empty() {
        lines.push(Line::Say(Text::ours("nothing was begun: all is as it was")));
    }
    lines
}

fn left(card: &Card, state: &State, act: &Act) -> Line {
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

fn time(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
