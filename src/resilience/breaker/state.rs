//! The words of a breaker: state, mode, cause; and the one machine word that holds all three.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{clock::Timestamp, text::Text};

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Lets calls through. Gauge 0.
    Closed,
    /// Refuses calls. Gauge 1.
    Open,
    /// Lets a few probes through. Gauge 2.
    HalfOpen,
}

impl State {
    /// Every state, in the order of the gauge.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The value of the exported gauge: 0 closed, 1 open, 2 half-open.
    pub const fn gauge(self) -> u8 {
        self as u8
    }

    /// The word for labels and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Who decides: the rules, or a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rules. Gauge 0.
    Auto,
    /// Calls pass and are counted; none is refused. Gauge 1.
    Disabled,
    /// Every call is refused. Gauge 2.
    ForcedOpen,
}

impl Mode {
    /// Every mode, in the order of the gauge.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Disabled, Self::ForcedOpen];

    /// The value of the exported gauge: 0 auto, 1 disabled, 2 forced open.
    pub const fn gauge(self) -> u8 {
        self as u8
    }

    /// The word for labels and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Disabled => "disabled",
            Self::ForcedOpen => "forced_open",
        }
    }
}

/// Why a breaker is in the state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was just made.
    Start,
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too great a share of failures.
    FailureRate,
    /// Too great a share of slow calls.
    SlowRate,
    /// A probe failed.
    ProbeFailed,
    /// Probes were let through and never came back.
    ProbesLost,
    /// The wait is over.
    WaitOver,
    /// All probes succeeded.
    Recovered,
    /// A person decided.
    Person,
    /// What a person decided has run out.
    Expired,
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::Start,
        Self::ConsecutiveFailures,
        Self::FailureRate,
        Self::SlowRate,
        Self::ProbeFailed,
        Self::ProbesLost,
        Self::WaitOver,
        Self::Recovered,
        Self::Person,
        Self::Expired,
    ];
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "just started",
            Self::ConsecutiveFailures => "too many failures in a row",
            Self::FailureRate => "failure rate too high",
            Self::SlowRate => "too many slow calls",
            Self::ProbeFailed => "a probe failed",
            Self::ProbesLost => "probes never came back",
            Self::WaitOver => "the wait is over",
            Self::Recovered => "all probes succeeded",
            Self::Person => "a person decided",
            Self::Expired => "what a person decided has run out",
        })
    }
}

/// Why a person took the breaker out of the rules' hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The mode that was set; `Auto` in the event that gives the breaker back to the rules.
    pub mode: Mode,
    /// Who.
    pub actor: Text,
    /// Why.
    pub reason: Text,
    /// When it was set.
    pub since: Timestamp,
    /// When the rules take over again; `None`: when somebody says so.
    pub until: Option<Timestamp>,
}

/// Something happened to a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The breaker.
    pub breaker: Text,
    /// The state before.
    pub from: State,
    /// The state after; the same as before when only the mode changed.
    pub to: State,
    /// The mode after.
    pub mode: Mode,
    /// Why.
    pub cause: Cause,
    /// Who and why, when a person holds the breaker.
    pub hold: Option<Hold>,
    /// When.
    pub at: Timestamp,
}

/// State, mode, cause and a generation that grows with each change, in one atomic word: a call reads
/// it once to be let in, and once more to see that nothing changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// Closed, auto, just made: all zeros.
    pub(super) const START: Self = Self(0);

    pub(super) const fn next(self, state: State, mode: Mode, cause: Cause) -> Self {
        let generation = (self.0 >> 16) + 1;
        Self(generation << 16 | (cause as u64) << 8 | (mode as u64) << 4 | state as u64)
    }

    /// True for the plain case: closed, and the rules decide.
    #[inline]
    pub(super) const fn passes(self) -> bool {
        self.0 as u8 == 0
    }

    /// True for this mode and state.
    pub(super) fn is(self, mode: Mode, state: State) -> bool {
        self.mode() == mode && self.state() == state
    }

    pub(super) const fn state(self) -> State {
        State::ALL[(self.0 & 0xf) as usize % State::ALL.len()]
    }

    pub(super) const fn mode(self) -> Mode {
        Mode::ALL[(self.0 >> 4 & 0xf) as usize % Mode::ALL.len()]
    }

    pub(super) const fn cause(self) -> Cause {
        Cause::ALL[(self.0 >> 8 & 0xff) as usize % Cause::ALL.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_what_was_put_in() {
        assert!(Word::START.passes());
        for state in State::ALL {
            for mode in Mode::ALL {
                for cause in Cause::ALL {
                    let word = Word::START.next(state, mode, cause);
                    assert_eq!((word.state(), word.mode(), word.cause()), (state, mode, cause));
                    assert_eq!(word.passes(), state == State::Closed && mode == Mode::Auto);
                    assert_ne!(word, word.next(state, mode, cause), "generations differ");
                }
            }
        }
    }
}
