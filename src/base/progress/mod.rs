//! What long work says about itself while it runs, and to whom.
//!
//! The work knows an [`Observer`] and nothing else: whether a person reads lines on a terminal, a journal
//! is kept for later readers, or nobody looks, is the caller's affair. Before each act that leaves
//! something behind the work opens a [`Step`] that tells how to clean up; a step that was never closed is
//! what a reader finds of work that was killed.

mod counted;
mod lines;
mod meter;
mod silent;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use counted::{Cancelled, Counted, Counter};
pub use lines::{Lines, in_words};
pub use meter::{Measured, Meter};
pub use silent::Silent;

use crate::base::{cancel::Cancel, text::Text};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    #[default]
    Bytes,
    /// Whole things: tables, segments, files; the phase says which.
    Items,
}

/// How far a phase of the work is. Rate and time left are the receiver's to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is going on, such as `copying the data folder`.
    pub phase: Text,
    /// What is done of this phase.
    pub done: u64,
    /// The whole of it, when it is known. An estimate may be exceeded.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Unit,
    /// Why nothing moves, when that is normal: `waiting for the checkpoint: silence is normal`.
    pub note: Option<Text>,
}

impl Progress {
    /// A phase counted in bytes.
    pub fn bytes(phase: impl Into<Text>, done: u64, total: Option<u64>) -> Self {
        Self { phase: phase.into(), done, total, unit: Unit::Bytes, note: None }
    }

    /// A phase counted in things.
    pub fn items(phase: impl Into<Text>, done: u64, total: Option<u64>) -> Self {
        Self { phase: phase.into(), done, total, unit: Unit::Items, note: None }
    }

    /// The same with a word on what silence is normal.
    #[must_use]
    pub fn with_note(self, note: impl Into<Text>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// What a step leaves behind when nobody ends it, and how to put it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// In words; empty when the step leaves nothing.
    pub what: Text,
    /// The command that does it, program first; empty when words must do. Never holds a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Text>,
}

impl Cleanup {
    /// The step leaves nothing behind.
    pub fn none() -> Self {
        Self::default()
    }

    /// What has to be done, in words.
    pub fn words(what: impl Into<Text>) -> Self {
        Self { what: what.into(), command: Vec::new() }
    }

    /// The same with the command that does it, program first.
    #[must_use]
    pub fn by<W: Into<Text>>(self, command: impl IntoIterator<Item = W>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), ..self }
    }

    /// True when there is nothing to put away.
    pub fn is_none(&self) -> bool {
        self.what.is_empty() && self.command.is_empty()
    }
}

/// A step's number within its work, from 1.
pub type StepId = u64;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It did what it was to do; figures about it.
    Done(Value),
    /// It failed, for this reason, and left nothing behind.
    Undone(Text),
}

/// A step that could not be recorded. Before an act this means: do not act.
#[derive(Debug, thiserror::Error)]
#[error("the step '{step}' cannot be recorded: {source}")]
pub struct Unrecorded {
    /// The step.
    pub step: Text,
    /// Why.
    pub source: std::io::Error,
}

/// Who is told how long work goes on. Every method may be called from several threads at once.
pub trait Observer: Send + Sync {
    /// The wish to stop, for what waits by itself, such as a running tool.
    fn cancel(&self) -> &Cancel;

    /// Records that a step is about to begin; called through `observer.step(…)`.
    fn begin(&self, name: &Text, cleanup: &Cleanup) -> Result<StepId, Unrecorded>;

    /// Records how a step ended.
    fn end(&self, step: StepId, name: &Text, ending: &Ending) -> Result<(), Unrecorded>;

    /// Tells how far the present phase is. Call it as often as you like: what is too much is left out by
    /// the receiver, the last word of a phase never is.
    fn progress(&self, progress: &Progress);

    /// Says something worth reading later, on a line of its own.
    fn note(&self, words: &Text);

    /// True once the end is wished: stop at the next safe place and clean up.
    fn cancelled(&self) -> bool {
        self.cancel().cancelled()
    }
}

impl dyn Observer + '_ {
    /// Opens a step: returns once its intent is safe, so that it may be acted upon. On an error the act
    /// must not be begun. Steps may stand inside steps; a reader of work that was killed finds the
    /// clean-ups of all that are open, and offers them newest first.
    pub fn step(&self, name: impl Into<Text>, cleanup: &Cleanup) -> Result<Step<'_>, Unrecorded> {
        let name = name.into();
        let id = self.begin(&name, cleanup)?;
        Ok(Step { observer: self, id, name })
    }
}

/// An open step. Dropping it records nothing: it stays open, with its clean-up, as it would if the process
/// had been killed.
#[must_use = "a step that is dropped stays open"]
pub struct Step<'a> {
    observer: &'a dyn Observer,
    id: StepId,
    name: Text,
}

impl Step<'_> {
    /// It did what it was to do; `details` are figures about it, an object.
    pub fn done(self, details: Value) -> Result<(), Unrecorded> {
        self.observer.end(self.id, &self.name, &Ending::Done(details))
    }

    /// It failed, and what it had made is put away.
    pub fn undone(self, why: impl Into<Text>) -> Result<(), Unrecorded> {
        self.observer.end(self.id, &self.name, &Ending::Undone(why.into()))
    }
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("id", &self.id).field("name", &self.name).finish()
    }
}
