//! What a breaker is told and what it answers.

use std::{fmt, time::Duration};

use super::{
    state::{Cause, Hold, Mode, State},
    window::Sums,
};
use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    resilience::classify::Effect,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server did what was asked.
    Success,
    /// It ended otherwise; see [`Effect`].
    Bad(Effect),
}

/// A call was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// The state that refused it: open, or half-open with all probes out.
    pub state: State,
    /// Forced open by a person, or by the rules.
    pub mode: Mode,
    /// Why the breaker is in that state.
    pub cause: Cause,
    /// When to ask again; `None` when that hangs on probes in flight or on a person.
    pub retry_in: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::HalfOpen => {
                f.write_str("circuit breaker is half-open and its probes are out")?;
            }
            _ => write!(f, "circuit breaker is open: {}", self.cause)?,
        }
        match self.retry_in {
            Some(wait) => write!(f, "; next try in {}", units::span(wait)),
            None => Ok(()),
        }
    }
}

/// Why [`Breaker::call`](super::Breaker::call) gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The breaker did not let the call through; nothing was sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The call itself failed.
    #[error("{0}")]
    Failed(E),
}

/// A breaker as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The breaker's name.
    pub name: Text,
    /// What it does.
    pub state: State,
    /// Who decides.
    pub mode: Mode,
    /// Why it is in this state.
    pub cause: Cause,
    /// Since when, on the monotonic clock.
    pub since: Stamp,
    /// Since when, for people.
    pub since_wall: Timestamp,
    /// Who holds it and why, when a person does.
    pub hold: Option<Hold>,
    /// Calls in the window.
    pub window: Sums,
    /// Share of failed calls in the window, 0 to 1; `None` below the minimum volume.
    pub failure_rate: Option<f64>,
    /// Share of slow calls in the window, 0 to 1; `None` below the minimum volume.
    pub slow_rate: Option<f64>,
    /// Until open lets a probe through; zero when one is due.
    pub retry_in: Option<Duration>,
    /// Half-open's probes: succeeded, wanted.
    pub probes: Option<(u32, u32)>,
    /// Failures in a row until now.
    pub consecutive: u32,
    /// Refused calls since the start.
    pub rejected: u64,
    /// Failed calls since the start, dropped ones included.
    pub failed: u64,
    /// Slow calls since the start.
    pub slow: u64,
    /// Calls since the start that said nothing about the server.
    pub ignored: u64,
    /// Calls dropped in flight since the start, counted as failed or not.
    pub dropped: u64,
    /// Times since the start that a person set a mode, or that a mode ran out.
    pub mode_changes: u64,
    /// Transitions since the start, `[from][to]` in the order of the gauge.
    pub transitions: [[u64; 3]; 3],
}
