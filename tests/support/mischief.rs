//! An observer that does something when a certain step begins.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use howdah::base::{
    cancel::Cancel,
    progress::{Cleanup, Ending, Observer, Progress, Silent, StepId, Unrecorded},
    text::Text,
};

/// Does something when a certain step begins, and passes on the wish to stop.
pub struct Mischief {
    silent: Silent,
    at: usize,
    begun: AtomicUsize,
    act: Box<dyn Fn() + Send + Sync>,
    pub notes: Mutex<Vec<String>>,
    /// The last word of each phase.
    pub phases: Mutex<BTreeMap<String, Progress>>,
}

impl Mischief {
    /// One that only looks on.
    pub fn none() -> Self {
        Self::new(Cancel::new(), usize::MAX, || {})
    }

    pub fn new(cancel: Cancel, at: usize, act: impl Fn() + Send + Sync + 'static) -> Self {
        let (silent, begun, act) = (Silent::new(cancel), AtomicUsize::new(0), Box::new(act));
        let (notes, phases) = Default::default();
        Self { silent, at, begun, act, notes, phases }
    }

    pub fn steps(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl Observer for Mischief {
    fn cancel(&self) -> &Cancel {
        self.silent.cancel()
    }

    fn begin(&self, name: &Text, cleanup: &Cleanup) -> Result<StepId, Unrecorded> {
        if self.begun.fetch_add(1, Ordering::SeqCst) == self.at {
            (self.act)();
        }
        self.silent.begin(name, cleanup)
    }

    fn end(&self, step: StepId, name: &Text, ending: &Ending) -> Result<(), Unrecorded> {
        self.silent.end(step, name, ending)
    }

    fn progress(&self, progress: &Progress) {
        let mut phases = self.phases.lock().expect("not poisoned");
        phases.insert(progress.phase.to_string(), progress.clone());
    }

    fn note(&self, words: &Text) {
        self.notes.lock().expect("not poisoned").push(words.to_string());
    }
}
