//! What goes through the door, as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    base::{clock::Timestamp, text::Text, units},
    resilience::breaker::{Hold, Mode, State, Stats},
};

/// The longest that a mode may be set for with an end; longer, and nobody remembers why.
pub const LONGEST: Duration = Duration::from_hours(30 * 24);
/// Characters that the name of who wishes may have.
const ACTOR: usize = 100;
/// Characters that a reason may have.
const REASON: usize = 500;

/// All breakers of an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Each of them.
    pub breakers: Vec<Told>,
}

/// One breaker as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Its name, usually the database's.
    pub name: Text,
    /// What it does with calls.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why it is in this state.
    pub cause: Text,
    /// Who decides: the rules, or a person.
    pub mode: Mode,
    /// Who set the mode, why, and until when; null while the rules decide.
    pub hold: Option<Hold>,
    /// Calls in the window.
    pub calls: u64,
    /// Share of failed calls in the window, 0 to 1; null below the minimum volume.
    pub failure_rate: Option<f64>,
    /// Share of slow calls in the window, 0 to 1; null below the minimum volume.
    pub slow_rate: Option<f64>,
    /// Failures in a row until now.
    pub consecutive: u32,
    /// Seconds until open lets a probe through; null unless it is open and the rules decide.
    pub retry_in_seconds: Option<f64>,
    /// The probes of half-open; null in other states.
    pub probes: Option<Probes>,
    /// Calls refused since the application started.
    pub rejected: u64,
    /// Calls failed since the application started.
    pub failed: u64,
    /// Times that a mode was set or ran out since the application started.
    pub mode_changes: u64,
}

/// The probes of half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// How many succeeded.
    pub good: u32,
    /// How many must.
    pub wanted: u32,
}

impl From<Stats> for Told {
    fn from(stats: Stats) -> Self {
        Self {
            name: stats.name,
            state: stats.state,
            since: stats.since_wall,
            cause: stats.cause.to_string().into(),
            mode: stats.mode,
            hold: stats.hold,
            calls: stats.window.calls,
            failure_rate: stats.failure_rate,
            slow_rate: stats.slow_rate,
            consecutive: stats.consecutive,
            retry_in_seconds: stats.retry_in.map(|wait| wait.as_secs_f64()),
            probes: stats.probes.map(|(good, wanted)| Probes { good, wanted }),
            rejected: stats.rejected,
            failed: stats.failed,
            mode_changes: stats.mode_changes,
        }
    }
}

/// A wish for a mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The breaker's name.
    pub breaker: String,
    /// The mode: `auto`, `disabled` or `forced_open`.
    pub mode: Mode,
    /// Who wishes it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// After how long the rules take over again, such as `10m`; without it, when somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

impl Wish {
    /// How long the mode is to last, once everything in the wish is found good.
    ///
    /// # Errors
    /// Names the member that is wrong, and what would be right.
    pub fn check(&self) -> Result<Option<Duration>, String> {
        words("actor", &self.actor, ACTOR)?;
        words("reason", &self.reason, REASON)?;
        let Some(text) = &self.expires_in else { return Ok(None) };
        if self.mode == Mode::Auto {
            return Err("expires_in: the mode auto has no end".to_owned());
        }
        match units::parse_span(text) {
            Some(span) if !span.is_zero() && span <= LONGEST => Ok(Some(span)),
            Some(_) => Err(format!("expires_in: more than 0 and at most {}", units::span(LONGEST))),
            None => {
                Err("expires_in: a duration with its unit, such as '10m' or '1h30m'".to_owned())
            }
        }
    }
}

fn words(member: &str, text: &str, most: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{member}: it is empty"));
    }
    if text.chars().count() > most {
        return Err(format!("{member}: longer than {most} characters"));
    }
    Ok(())
}
