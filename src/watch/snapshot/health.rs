//! Checks, what they found, and alerts.

use serde::{Deserialize, Serialize};

use crate::base::{
    clock::{Stamp, Timestamp},
    ledger::Who,
    text::Text,
};

/// How bad something is. Ordered: `Critical` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be looked at in working hours.
    Warning,
    /// Wakes somebody.
    Critical,
}

impl Severity {
    /// The word on screen, four cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "WARN",
            Self::Critical => "CRIT",
        }
    }
}

/// A health check and its last result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its id, such as `connections_used_pct`.
    pub id: Text,
    /// The kind of trouble that it looks for, such as `connections`.
    pub class: Text,
    /// What the worst finding amounts to.
    pub state: CheckState,
    /// What it found, worst first.
    pub findings: Vec<Finding>,
    /// The unit of the values.
    pub unit: Text,
    /// The threshold of a warning as written, such as `> 75`; empty if none.
    pub warn: Text,
    /// The threshold of a critical alert as written; empty if none.
    pub crit: Text,
    /// What to do about it.
    pub remedy: Text,
    /// When it last ran.
    pub ran: Option<Stamp>,
    /// Why it could not run.
    pub error: Option<Text>,
}

/// What a check amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// It has not run yet.
    #[default]
    Pending,
    /// It ran and found nothing beyond a threshold.
    Ok,
    /// Something is beyond the threshold of a warning.
    Warning,
    /// Something is beyond the critical threshold.
    Critical,
    /// What it asks for cannot be seen: our role may not, or the source of the figures is silent.
    Blind,
    /// It could not run.
    Failed,
}

/// One thing that a check looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: Text,
    /// The value; `None` means that we cannot see it.
    pub value: Option<f64>,
    /// The facts behind the value.
    pub detail: Text,
    /// Beyond which threshold it is.
    pub severity: Option<Severity>,
}

/// Something that is wrong, with its own life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// `cluster/check/subject`: the same for ever and from any instance.
    pub id: Text,
    /// The check that raised it.
    pub check: Text,
    /// What it is about.
    pub subject: Text,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands in its life.
    pub state: AlertState,
    /// The last value seen.
    pub value: Option<f64>,
    /// The unit of the value.
    pub unit: Text,
    /// The threshold that it passed, such as `> 75`.
    pub threshold: Text,
    /// Since when the condition holds.
    pub since: Stamp,
    /// The same, for people.
    pub since_wall: Timestamp,
    /// The facts behind the value.
    pub detail: Text,
    /// What to do about it.
    pub remedy: Text,
    /// Alerts that say nothing of their own while this one fires.
    pub muted: Vec<Text>,
    /// Somebody has silenced it for a while: it is told, apart, and wakes nobody.
    pub silenced: Option<Silence>,
}

/// Somebody's word that an alert is not to wake anybody for a while. It ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// What it is ended by: six digits.
    pub id: Text,
    /// The check whose alerts are silenced.
    pub check: Text,
    /// The one subject; none for all of the check.
    pub subject: Option<Text>,
    /// How bad it was when it was silenced: worse breaks through.
    pub up_to: Severity,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who silenced it.
    pub by: Text,
    /// Why.
    pub why: Text,
}

impl Silence {
    /// True while it lasts. One from the future is of a clock that was wrong: it silences nothing.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until
    }

    /// True when it is meant for an alert, as bad as that is now.
    pub fn covers(&self, alert: &Alert) -> bool {
        self.is_of(&alert.check, &alert.subject) && alert.severity <= self.up_to
    }

    /// True when it is meant for alerts of that check and subject, however bad.
    pub fn is_of(&self, check: &str, subject: &str) -> bool {
        *self.check == *check && self.subject.as_ref().is_none_or(|own| **own == *subject)
    }

    /// Who silenced it, by name alone: `ann` of `ann (postgres, ssh 203.0.113.7)`.
    pub fn person(&self) -> &str {
        Who::person(&self.by)
    }
}

/// Where an alert stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition holds, but not yet for long enough.
    Pending,
    /// It is wrong.
    Firing,
    /// It is wrong and somebody has taken it.
    Acked,
    /// The condition is gone, but not yet for long enough.
    Resolving,
}
