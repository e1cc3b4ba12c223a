//! A state as it is to be drawn: plain data, the same for the console and for plain lines.

mod account;
mod made;

use std::time::Duration;

pub use self::made::page;
pub(super) use self::{
    account::{left, overruled, remark, time},
    made::{acting, promised},
};
use super::{
    guard::Sight,
    hands::Glimpse,
    journal::Site,
    spec::{Grade, YES},
    state::CriterionId,
};
use crate::base::{
    clock::{self, Timestamp},
    text::Text,
};

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The guide's title.
    pub title: Text,
    /// On what.
    pub on: Text,
    /// On which machine, on what, and the end of its system identifier.
    pub site: Site,
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
    /// Seconds that it may take, while something is down: the promise for RTO.
    pub budget: Option<u64>,
    /// The time of the act that runs.
    pub pace: Option<Pace>,
    /// It rests: since when, by whom, why.
    pub rests: Option<Text>,
    /// What was looked at may be taken. What is not as it has to be is looked at again, or left out, unless the step
    /// is there to find just that.
    pub well: bool,
}

/// The time of an act that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Since when it runs.
    pub since: Timestamp,
    /// How long it usually takes at the most.
    pub budget: Duration,
    /// What silence is normal.
    pub silence: Text,
}

impl Pace {
    /// How long it has run at that moment.
    pub fn taken(&self, now: Timestamp) -> Duration {
        clock::passed(self.since, now)
    }

    /// True when it takes longer than it should.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.taken(now) > self.budget
    }
}

/// A criterion to stop by that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Which one.
    pub id: CriterionId,
    /// What it says: `failed, as a share: at most 0.05`.
    pub limit: Text,
    /// What was seen last, or why nothing was; none before the first look.
    pub seen: Option<Result<Text, Text>>,
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
    /// A criterion that is watched.
    Watch(Guarded),
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
        self.body.extend(made::facts(&glimpse.facts));
        self.body.push(Line::Say(format!("not yet, after {waited}; it is looked at again").into()));
        self
    }
}

impl Page {
    /// The same with what was seen last of the criteria that are watched.
    #[must_use]
    pub fn sighted(mut self, sights: &[Sight]) -> Self {
        for line in &mut self.body {
            let Line::Watch(guarded) = line else { continue };
            let Some(sight) = sights.iter().find(|sight| sight.id == guarded.id) else { continue };
            guarded.seen = Some(match &sight.seen {
                Ok(seen) => Ok(seen.value.clone().unwrap_or_default()),
                Err(why) => Err(why.clone()),
            });
        }
        self
    }
}

/// A run of one of ours, for tests.
#[cfg(test)]
fn of_ours(guide: &str, began: Timestamp) -> super::run::Card {
    super::run::Card {
        guide: super::library::guide(std::path::Path::new("/nowhere"), guide).expect("ours"),
        values: super::values::Values::default(),
        began,
        who: crate::base::ledger::Who::current(None),
        host: "ops1".into(),
        on: "prod".into(),
        budget: None,
        common: Vec::new(),
    }
}
