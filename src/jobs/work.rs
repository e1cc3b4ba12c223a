//! What the job's own process does.

use std::sync::Arc;

use super::{
    Card, End, JobError, JobId, Jobs, Journal, Outcome,
    room::{CARD, JOURNAL, RESULT},
};
use crate::base::{
    cancel::Cancel, clock::Clock, process::Identity, progress::Observer, text::Text,
};

/// The job that this process is. Dropping it in a panic writes a result that says so; dropping it
/// otherwise leaves the job without a result, which readers call lost.
#[derive(Debug)]
pub struct Work {
    jobs: Jobs,
    id: JobId,
    journal: Arc<Journal>,
}

impl Jobs {
    /// Makes this process the job of that name: leaves the session of whoever started it, says that it
    /// runs, and begins the journal. `cancel` is what its end is wished with
    /// ([`Cancel::detached`](crate::base::cancel::Cancel::detached)).
    pub fn enter(&self, id: &JobId, cancel: Cancel) -> Result<Work, JobError> {
        let mut card: Card =
            self.read(id, CARD)?.ok_or_else(|| JobError::Unknown(id.as_str().into()))?;
        leave_session();
        let mut journal = Journal::create(&self.path(id, JOURNAL), cancel, &self.clock)?;
        card.process = Identity::own();
        self.write(id, CARD, &card)?;
        journal.die_where_asked(card.tag.as_deref().unwrap_or_default());
        Ok(Work { jobs: self.clone(), id: id.clone(), journal: Arc::new(journal) })
    }
}

/// Leaves the session of whoever started us. Who leads a group, as a new job does, cannot begin a session: for
/// that moment it joins its parent's group. Where that is gone already, a group of its own must do.
fn leave_session() {
    let parent = rustix::process::getppid();
    let group = parent.and_then(|parent| rustix::process::getpgid(Some(parent)).ok());
    let _ = rustix::process::setpgid(None, group);
    let _ = rustix::process::setsid();
}

impl Work {
    /// Its name.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The journal, to be handed to the engine.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.journal) as Arc<dyn Observer>
    }

    /// The job is over: its last words.
    pub fn finish(self, end: End, reason: Option<Text>, exit: u8) -> Result<(), JobError> {
        self.result(end, reason, exit)
    }

    fn result(&self, end: End, reason: Option<Text>, exit: u8) -> Result<(), JobError> {
        self.journal.finish();
        self.journal.die_untold();
        let outcome = Outcome { end, reason, exit, ended: self.jobs.clock.wall() };
        self.jobs.write(&self.id, RESULT, &outcome)
    }

    /// The clock of the room.
    pub fn clock(&self) -> &Clock {
        &self.jobs.clock
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = Text::ours("it panicked: a defect of howdah; its log says where");
            // 101 is what a panic ends with. If this cannot be written, the job is lost.
            let _ = self.result(End::Failed, Some(why), 101);
        }
    }
}
