//! Where a run stands, what can happen, and what is wished for.

use serde::{Deserialize, Serialize};

use super::{
    facts::{Observed, Seen},
    values::Values,
};
use crate::base::{clock::Timestamp, text::Text};

/// Where a run stands. It comes from the guide, what was known at the beginning and the events since, and
/// from nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The step, by its place in the guide; at the end, their number.
    pub at: usize,
    /// How far that step is.
    pub phase: Phase,
    /// What its look has seen.
    pub seen: Seen,
    /// What is known: from the beginning, and by the answers.
    pub values: Values,
    /// What was answered.
    pub answers: Vec<Answer>,
    /// What was begun.
    pub acts: Vec<Act>,
    /// It rests: nothing can be confirmed.
    pub paused: Option<Rest>,
    /// A criterion to stop by was met, and nobody has decided yet: nothing else is answered.
    pub stopped: Option<Stop>,
    /// Criteria that somebody has overruled.
    pub overruled: Vec<Overruled>,
    /// Notes, and what is still to be done.
    pub remarks: Vec<Remark>,
    /// Goes up with each wish: what comes back for an older one is late.
    pub ticket: u64,
    pub(super) base: Values,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Its look is on its way.
    Looking,
    /// The person has the word.
    Asking,
    /// It could not be looked.
    LookFailed(Text),
    /// The plan of an act is on its way.
    Planning,
    /// The plan stands there, and waits to be confirmed.
    Confirming {
        /// The plan.
        plan: Plan,
        /// Since when it stands there.
        since: Timestamp,
    },
    /// It was confirmed, and waits for the word of a second person.
    Seconding {
        /// The plan that was confirmed.
        plan: Plan,
        /// Who did.
        first: Text,
        /// Since when it waits.
        since: Timestamp,
    },
    /// There is no plan.
    PlanFailed(Text),
    /// It was confirmed; the job is being started.
    Starting {
        /// The plan that was confirmed.
        plan: Plan,
    },
    /// Whoever drove the run died when the job was being started: it is looked for.
    Seeking,
    /// The job runs.
    Acting {
        /// Its name.
        job: String,
        /// Since when.
        since: Timestamp,
    },
    /// The act failed, or never began.
    ActFailed(Text),
    /// The run is over.
    Over(Over),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// At its end.
    Finished,
    /// Before that, for this reason.
    Aborted(Text),
}

/// What an act would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In words.
    pub text: Vec<Text>,
    /// What it comes to: the act is refused when its own plan has another one.
    pub hash: String,
}

/// An answer to a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The step, by its place.
    pub step: usize,
    /// How it was answered.
    pub how: How,
    /// The values that it set.
    pub values: Vec<(String, String)>,
    /// What was observed.
    pub seen: Vec<Observed>,
    /// By whom.
    pub by: Text,
    /// When.
    pub at: Timestamp,
}

/// How a step was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// A command observed it, and the person took it.
    Observed,
    /// The person says so; nobody observed it.
    Asserted,
    /// Chosen: this.
    Chosen(Text),
    /// Typed.
    Entered,
    /// Done by this job.
    Done(String),
    /// Left out, for this reason.
    Skipped(Text),
}

impl How {
    /// The word for it in a record.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Asserted => "asserted",
            Self::Chosen(_) => "chosen",
            Self::Entered => "entered",
            Self::Done(_) => "done",
            Self::Skipped(_) => "left out",
        }
    }
}

/// Something that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// The step, by its place.
    pub step: usize,
    /// Its job; none when it was not started, or nobody knows yet.
    pub job: Option<String>,
    /// How it ended; none while it runs.
    pub end: Option<Result<(), Text>>,
    /// The second person who confirmed it, where two were asked for.
    pub second: Option<Text>,
}

/// A rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub by: Text,
    /// What there is to say about it.
    pub note: Text,
}

/// A criterion of an act: the step, by its place, and which of its criteria.
pub type CriterionId = (usize, usize);

/// A criterion that was met.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Which one.
    pub criterion: CriterionId,
    /// What was seen.
    pub seen: Observed,
    /// When.
    pub at: Timestamp,
    /// The job is being ended.
    pub ending: bool,
}

/// A criterion that was met, and that somebody went on in spite of.
#[derive(Clone, Debug, PartialEq)]
pub struct Overruled {
    /// Which one.
    pub criterion: CriterionId,
    /// What was seen.
    pub seen: Observed,
    /// Why.
    pub why: Text,
    /// By whom.
    pub by: Text,
    /// When.
    pub at: Timestamp,
}

/// A word for the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// It is still to be done.
    pub todo: bool,
    /// The words.
    pub words: Text,
    /// By whom.
    pub by: Text,
    /// When.
    pub at: Timestamp,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// By whom.
    pub by: Text,
    /// What.
    pub input: Input,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// What was looked for, or why it could not be.
    Seen(u64, Result<Seen, Text>),
    /// The plan, or why there is none.
    Planned(u64, Result<Plan, Text>),
    /// The job was started, or why not.
    Started(u64, Result<String, Text>),
    /// The job that was looked for, if it was ever started.
    Sought(u64, Option<String>),
    /// The job is over; what it said at its end.
    Ended(u64, Result<Vec<Observed>, Text>),
    /// A criterion to stop by is met: this was seen.
    Met(CriterionId, Observed),
    /// The person takes what stands there.
    Accept,
    /// The person chooses: the choice's place.
    Choose(usize),
    /// The person typed.
    Enter(String),
    /// The person confirms.
    Confirm {
        /// What was typed.
        typed: String,
        /// Why.
        reason: String,
    },
    /// A second person confirms the plan of this mark.
    Second(String),
    /// Look, plan or act once more.
    Again,
    /// To the step before.
    Back,
    /// Leave the step out.
    Skip(String),
    /// Rest here.
    Pause(String),
    /// Go on.
    Resume,
    /// End it here.
    Abort(String),
    /// A word for the record.
    Note(String),
    /// What is still to be done, for the record.
    Todo(String),
    /// Somebody drives the run again, after it had been left or its driver had died.
    Reopened,
}

impl Input {
    /// False for what comes back from the hands.
    pub const fn is_a_persons(&self) -> bool {
        !matches!(
            self,
            Self::Seen(..)
                | Self::Planned(..)
                | Self::Started(..)
                | Self::Sought(..)
                | Self::Ended(..)
                | Self::Met(..)
        )
    }
}

/// What a state wishes for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Run this command and read what it prints.
    Look(Vec<String>),
    /// Run this command, which only shows its plan.
    Plan(Vec<String>),
    /// Start this command as a job with this tag.
    Start {
        /// The words behind `howdah`.
        words: Vec<String>,
        /// What the job is known by.
        tag: String,
    },
    /// Find the job with this tag.
    Seek(String),
    /// Tell when this job is over.
    Watch(String),
    /// End this job, and tell when it is over.
    End(String),
}
