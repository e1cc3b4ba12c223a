//! The observer that says nothing: for cron, which mails every word.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cleanup, Ending, Observer, Progress, StepId, Unrecorded};
use crate::base::{cancel::Cancel, text::Text};

/// Says nothing and keeps nothing; only the wish to stop is passed on.
#[derive(Debug, Default)]
pub struct Silent {
    cancel: Cancel,
    steps: AtomicU64,
}

impl Silent {
    /// One that passes on this wish to stop.
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel, steps: AtomicU64::new(0) }
    }
}

impl Observer for Silent {
    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn begin(&self, _: &Text, _: &Cleanup) -> Result<StepId, Unrecorded> {
        Ok(self.steps.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn end(&self, _: StepId, _: &Text, _: &Ending) -> Result<(), Unrecorded> {
        Ok(())
    }

    fn progress(&self, _: &Progress) {}

    fn note(&self, _: &Text) {}
}
