//! How long a restore takes, phase by phase.

use super::repository::manifest::Phase;
use crate::base::clock::{Clock, Stamp};

/// Measures phases, one behind the other.
#[derive(Debug)]
pub struct Stopwatch {
    clock: Clock,
    began: Stamp,
    last: Stamp,
    /// What was measured.
    pub phases: Vec<Phase>,
}

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        let clock = Clock::system();
        let now = clock.now();
        Self { clock, began: now, last: now, phases: Vec::new() }
    }

    /// Ends a phase; returns the seconds since the beginning.
    pub fn lap(&mut self, name: &str) -> f64 {
        self.lap_at(name, self.clock.now())
    }

    /// The same for a phase that ended at that moment.
    pub fn lap_at(&mut self, name: &str, now: Stamp) -> f64 {
        let seconds = now.since(self.last).as_secs_f64();
        self.phases.push(Phase { name: name.to_owned(), seconds });
        self.last = now;
        now.since(self.began).as_secs_f64()
    }
}
