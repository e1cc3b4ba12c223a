//! What watching costs the server.

use std::{collections::VecDeque, time::Duration};

use crate::{
    base::clock::{Clock, Stamp},
    watch::snapshot::Cost,
};

/// Statements and their round trips over the last minute.
#[derive(Debug, Default)]
pub struct Spending {
    spent: VecDeque<(Stamp, u32, Duration)>,
}

impl Spending {
    /// Notes statements that began at `started` and are answered now.
    pub fn spend(&mut self, clock: &Clock, started: Stamp, statements: u32) {
        let now = clock.now();
        self.spent.push_back((now, statements, now.since(started)));
    }

    /// The cost of the last minute.
    pub fn last_minute(&mut self, now: Stamp) -> Cost {
        while self.spent.front().is_some_and(|(at, ..)| now.since(*at) >= Duration::from_mins(1)) {
            self.spent.pop_front();
        }
        Cost {
            connections: 1,
            statements_per_minute: self.spent.iter().map(|(_, count, _)| count).sum(),
            busy_per_minute: self.spent.iter().map(|(.., busy)| *busy).sum(),
        }
    }
}
