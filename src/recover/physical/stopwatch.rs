//! How long a restore takes, phase by phase.

use serde::{Deserialize, Serialize};

use crate::{
    base::clock::{Clock, Stamp},
    recover::repository::manifest::Phase,
};

/// How long a restore took, in seconds since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Each phase, in order.
    pub phases: Vec<Phase>,
    /// Until the first answer of the server.
    pub first_read: f64,
    /// Until it stood at its target.
    pub caught_up: f64,
    /// Until the first committed write; none while it is only read.
    pub first_write: Option<f64>,
}

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
        let now = self.clock.now();
        let seconds = now.since(self.last).as_secs_f64();
        self.phases.push(Phase { name: name.to_owned(), seconds });
        self.last = now;
        now.since(self.began).as_secs_f64()
    }
}
