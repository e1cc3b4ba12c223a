//! The form with which an alert is silenced: what, for how long; why is typed.

use std::time::Duration;

use crate::{
    base::text::Text,
    watch::{
        silences::Wish,
        snapshot::{Alert, Severity, Snapshot},
    },
};

/// How long a silence may be chosen to last.
const SPANS: [Duration; 7] = [
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(24),
];
/// The one that stands there first.
const USUAL: usize = 2;

/// What is about to be silenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceForm {
    /// The check.
    pub check: Text,
    /// What its alert is about.
    pub subject: Text,
    /// All of the check, not only this subject.
    pub whole: bool,
    /// How bad this alert is, and the worst one of the check.
    severities: [Severity; 2],
    /// The place of the chosen span.
    span: usize,
}

impl SilenceForm {
    /// The form for an alert, as it comes up.
    pub fn of(alert: &Alert, snapshot: &Snapshot) -> Self {
        let alike = snapshot.alerts.iter().filter(|other| other.check == alert.check);
        let worst = alike.map(|other| other.severity).max().unwrap_or(alert.severity);
        Self {
            check: alert.check.clone(),
            subject: alert.subject.clone(),
            whole: false,
            severities: [alert.severity, worst],
            span: USUAL,
        }
    }

    /// How bad it may be.
    pub fn up_to(&self) -> Severity {
        self.severities[usize::from(self.whole)]
    }

    /// For how long.
    pub fn lasts(&self) -> Duration {
        SPANS.get(self.span).copied().unwrap_or_default()
    }

    /// The next longer span, or the next shorter one.
    pub fn step(&mut self, longer: bool) {
        let next = if longer { self.span + 1 } else { self.span.saturating_sub(1) };
        self.span = next.min(SPANS.len() - 1);
    }

    /// What is wished for, with that reason.
    pub fn wish(&self, why: &str) -> Wish {
        Wish {
            check: self.check.clone(),
            subject: (!self.whole).then(|| self.subject.clone()),
            up_to: self.up_to(),
            lasts: self.lasts(),
            why: Text::one_line(why),
        }
    }
}
