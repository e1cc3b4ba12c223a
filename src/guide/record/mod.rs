//! A run's record for others: what was done, by whom, where, with which commands, what was seen before and after, and
//! what was left out. It is made from the journal, and says the journal's fingerprint.

use serde::Serialize;

use super::{
    facts::Observed,
    journal::{Entry, Site},
    machine,
    run::{Card, Seen},
    spec::Kind,
    state::{How, Input, Over, Phase, State},
};
use crate::base::{clock::Timestamp, secret::mask, text::Text};

mod markdown;

/// The form of records that this program writes.
const VERSION: u32 = 1;

/// A record.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The form of the record.
    pub howdah_guide_record: u32,
    /// The run.
    pub run: Text,
    /// Its guide's name.
    pub guide: Text,
    /// What that is called.
    pub title: Text,
    /// Where.
    pub on: Site,
    /// When it began.
    pub began: Timestamp,
    /// Who began it.
    pub who: Text,
    /// How it ended, or that it has not.
    pub end: Text,
    /// When the last thing happened.
    pub last: Timestamp,
    /// The SHA-256 of the journal that this was made from, and its length in bytes.
    pub journal: (String, usize),
    /// Each answer.
    pub answers: Vec<Told>,
    /// Each act.
    pub acts: Vec<Deed>,
    /// What was not done as the list has it.
    pub deviations: Vec<Text>,
    /// Notes.
    pub notes: Vec<Word>,
    /// What is still to be done.
    pub todos: Vec<Word>,
    /// All that happened, in that order.
    pub timeline: Vec<Moment>,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// The step's name.
    pub step: Text,
    /// Its line.
    pub title: Text,
    /// How it was answered.
    pub how: Text,
    /// By whom.
    pub by: Text,
    /// When.
    pub at: Timestamp,
    /// What was observed.
    pub seen: Vec<Observed>,
}

/// An act.
#[derive(Clone, Debug, Serialize)]
pub struct Deed {
    /// The step's name.
    pub step: Text,
    /// Its line.
    pub title: Text,
    /// Its job.
    pub job: Option<Text>,
    /// The second person who confirmed it.
    pub second: Option<Text>,
    /// How it ended.
    pub end: Text,
    /// What a look had seen last when it was confirmed.
    pub before: Vec<Observed>,
    /// What it said at its end, each with the value that was known before.
    pub values: Vec<Change>,
}

/// A value before and after an act.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// What it is called.
    pub label: Text,
    /// Before; none when nobody had looked.
    pub before: Option<Text>,
    /// After.
    pub after: Option<Text>,
    /// Whether it is well; none where nobody judges it.
    pub well: Option<bool>,
}

/// A word for the record.
#[derive(Clone, Debug, Serialize)]
pub struct Word {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Text,
    /// The words.
    pub words: Text,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// The step where the run stood.
    pub step: Text,
    /// What happened, in words.
    pub what: Text,
    /// The journal's line.
    #[serde(flatten)]
    pub entry: Entry,
}

impl Record {
    /// The record of a run, whose journal has this fingerprint.
    pub fn of(run: &Seen, journal: (String, usize)) -> Self {
        let (card, state) = (&run.card, &run.state);
        let walk = Walk::through(run);
        let words = |todo: bool| {
            let those = state.remarks.iter().filter(move |remark| remark.todo == todo);
            those.map(|remark| Word {
                at: remark.at,
                by: remark.by.clone(),
                words: remark.words.clone(),
            })
        };
        Self {
            howdah_guide_record: VERSION,
            run: run.id.as_str().into(),
            guide: card.guide.id.as_str().into(),
            title: card.guide.title.as_str().into(),
            on: Site::of(card, state),
            began: card.began,
            who: card.who.in_words().into(),
            end: match &state.phase {
                Phase::Over(Over::Finished) => Text::ours("finished"),
                Phase::Over(Over::Aborted(why)) => format!("ended before its end: {why}").into(),
                _ => Text::ours("not over"),
            },
            last: run.last,
            journal,
            answers: answers(card, state),
            acts: walk.deeds,
            deviations: deviations(card, state),
            notes: words(false).collect(),
            todos: words(true).collect(),
            timeline: walk.timeline,
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// When it cannot be written so.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn answers(card: &Card, state: &State) -> Vec<Told> {
    let told = state.answers.iter().filter_map(|answer| {
        let step = card.guide.steps.get(answer.step)?;
        let how = match &answer.how {
            How::Chosen(label) => format!("chosen: {label}"),
            How::Entered => {
                let typed = answer.values.first().map_or("", |(_, value)| value.as_str());
                format!("entered: {}", mask(typed))
            }
            How::Done(job) => format!("done by job {job}"),
            How::Skipped(why) => format!("left out: {why}"),
            How::Observed | How::Asserted => answer.how.word().to_owned(),
        };
        Some(Told {
            step: step.id.as_str().into(),
            title: state.values.fill(&step.title).into(),
            how: how.into(),
            by: answer.by.clone(),
            at: answer.at,
            seen: answer.seen.clone(),
        })
    });
    told.collect()
}

/// What was not done as the list has it: left out, failed, gone on with in spite of a criterion.
fn deviations(card: &Card, state: &State) -> Vec<Text> {
    let title = |step: usize| card.title(step, &state.values);
    let skipped = state.answers.iter().filter_map(|answer| match &answer.how {
        How::Skipped(why) => {
            Some(format!("left out by {}: {}: {why}", answer.by, title(answer.step)))
        }
        _ => None,
    });
    let failed = state.acts.iter().filter_map(|act| match &act.end {
        Some(Err(why)) => Some(format!("failed: {}: {why}", title(act.step))),
        _ => None,
    });
    let overruled = state.overruled.iter().filter_map(|one| {
        let limit = machine::criterion(&card.guide, one.criterion)?.in_words();
        Some(format!("gone on by {} in spite of {limit}: {}", one.by, one.why))
    });
    skipped.chain(failed).chain(overruled).map(Text::from).collect()
}

/// A journal that is walked through once more.
struct Walk<'a> {
    card: &'a Card,
    state: State,
    /// What a look has seen last.
    looked: Vec<Observed>,
    deeds: Vec<Deed>,
    timeline: Vec<Moment>,
}

impl<'a> Walk<'a> {
    fn through(run: &'a Seen) -> Self {
        let card = &run.card;
        let state = machine::begin(&card.guide, card.values.clone(), card.began);
        let (looked, deeds, timeline) = (Vec::new(), Vec::new(), Vec::new());
        let mut walk = Self { card, state, looked, deeds, timeline };
        run.entries.iter().for_each(|entry| walk.over(entry));
        for (deed, act) in walk.deeds.iter_mut().zip(&run.state.acts) {
            deed.job = act.job.as_deref().map(Text::from);
            deed.second.clone_from(&act.second);
            deed.end = match &act.end {
                Some(Ok(())) => Text::ours("done"),
                Some(Err(why)) => format!("failed: {why}").into(),
                None => Text::ours("not seen to its end"),
            };
        }
        walk
    }

    fn over(&mut self, entry: &Entry) {
        let event = &entry.event;
        let Ok(next) = machine::step(&self.card.guide, &self.state, event) else { return };
        let step = self.card.guide.steps.get(self.state.at);
        self.timeline.push(Moment {
            step: step.map_or_else(Text::default, |step| step.id.as_str().into()),
            what: in_words(&event.input),
            entry: entry.clone(),
        });
        // A job that was never started takes its act back.
        self.deeds.truncate(next.acts.len());
        if let (Some(step), true) = (step, next.acts.len() > self.deeds.len()) {
            self.deeds.push(Deed {
                step: step.id.as_str().into(),
                title: self.state.values.fill(&step.title).into(),
                job: None,
                second: None,
                end: Text::default(),
                before: self.looked.clone(),
                values: Vec::new(),
            });
        }
        match (&event.input, step.map(|step| &step.kind), self.deeds.last_mut()) {
            (Input::Seen(_, Ok(seen)), ..) => self.looked.clone_from(&seen.facts),
            (Input::Ended(_, Ok(seen)), Some(Kind::Act { .. }), Some(deed)) => {
                let changes = seen.iter().filter_map(|after| {
                    let before = self.state.values.get(&after.name);
                    Some(Change {
                        label: after.label.as_deref()?.into(),
                        before: before.map(|before| Text::one_line(&before)),
                        after: after.value.clone(),
                        well: after.well,
                    })
                });
                deed.values = changes.collect();
            }
            _ => {}
        }
        self.state = next;
    }
}

/// What happened, in few words.
fn in_words(input: &Input) -> Text {
    let value = |seen: &Observed| {
        let label = seen.label.as_deref().unwrap_or(&seen.name);
        format!("{label} = {}", seen.value.as_ref().map_or("—", |value| value.as_str()))
    };
    let values = |seen: &[Observed]| {
        let shown = seen.iter().filter(|seen| seen.label.is_some());
        shown.map(value).collect::<Vec<_>>().join("; ")
    };
    let words = match input {
        Input::Seen(_, Ok(seen)) => format!("looked: {}", values(&seen.facts)),
        Input::Seen(_, Err(why)) => format!("could not look: {why}"),
        Input::Planned(_, Ok(plan)) => format!("planned: {}", plan.hash),
        Input::Planned(_, Err(why)) => format!("no plan: {why}"),
        Input::Started(_, Ok(job)) => format!("job {job} started"),
        Input::Started(_, Err(why)) => format!("the job was not started: {why}"),
        Input::Sought(_, Some(job)) => format!("job {job} found"),
        Input::Sought(_, None) => "no job had been started".to_owned(),
        Input::Ended(_, Ok(seen)) => format!("done: {}", values(seen)),
        Input::Ended(_, Err(why)) => format!("failed: {why}"),
        Input::Met(_, seen) => format!("STOPPED: {}", value(seen)),
        Input::Accept => "accepted".to_owned(),
        Input::Choose(place) => format!("chose number {}", place + 1),
        Input::Enter(typed) => format!("typed: {}", mask(typed)),
        Input::Confirm { typed, reason } if typed.is_empty() => format!("confirmed {reason}"),
        Input::Confirm { typed, reason } => format!("confirmed with '{typed}': {reason}"),
        Input::Second(mark) => format!("confirmed, too, for the plan {mark}"),
        Input::Again => "once more".to_owned(),
        Input::Back => "one step back".to_owned(),
        Input::Skip(why) => format!("left out: {why}"),
        Input::Pause(why) => format!("rests: {why}"),
        Input::Resume => "goes on".to_owned(),
        Input::Abort(why) => format!("ended: {why}"),
        Input::Note(words) => format!("note: {words}"),
        Input::Todo(words) => format!("TODO: {words}"),
        Input::Reopened => "is driven".to_owned(),
    };
    Text::one_line(&mask(&words))
}
