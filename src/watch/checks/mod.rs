//! Health checks as data: what is asked, how often, with which privilege, and which value is wrong.
//!
//! The checks that ask the server stand in `assets/checks/cluster.sql` (its head explains the
//! annotations); those that judge what the other sources said stand in [`derived`]. Adding a check
//! is adding data.

pub mod derived;
mod parse;
pub mod run;

use std::time::Duration;

pub use parse::ParseError;

use crate::watch::snapshot::{Role, Severity};

/// A health check: a query, and what makes its value wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its id; the variants for other versions share it.
    pub id: String,
    /// The kind of trouble that it looks for.
    pub class: String,
    /// The role of server on which it makes sense; `None` for both.
    pub scope: Option<Role>,
    /// The least privilege that gives a true answer.
    pub privilege: Privilege,
    /// The oldest `server_version_num` that it runs on.
    pub min: u32,
    /// The newest.
    pub max: u32,
    /// How often it runs.
    pub every: Duration,
    /// Beyond this it is a warning.
    pub warn: Option<Threshold>,
    /// Beyond this it is critical.
    pub crit: Option<Threshold>,
    /// The unit of its values.
    pub unit: String,
    /// What to do about it.
    pub remedy: String,
    /// The query; empty for a check that judges what other sources said.
    pub sql: String,
    /// How many of the last samples must be bad.
    pub rule: Rule,
}

/// The least privilege that gives a true answer. A weaker role is not refused by most views: it is
/// shown less, which reads as green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Any role that can log in.
    Public,
    /// A member of `pg_monitor`.
    Monitor,
    /// A superuser, or somebody who was granted the function.
    Superuser,
}

/// A comparison with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    op: Op,
    limit: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
}

impl Threshold {
    /// Reads `> 75` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        let (op, number) = text.trim().split_once(' ')?;
        let op = match op {
            ">" => Op::Above,
            ">=" => Op::AtLeast,
            "<" => Op::Below,
            "<=" => Op::AtMost,
            "=" => Op::Equal,
            _ => return None,
        };
        let limit = number.trim().parse().ok()?;
        Some(Self { op, limit, text: text.trim().to_owned() })
    }

    /// True when `value` is on the wrong side.
    pub fn passed_by(&self, value: f64) -> bool {
        match self.op {
            Op::Above => value > self.limit,
            Op::AtLeast => value >= self.limit,
            Op::Below => value < self.limit,
            Op::AtMost => value <= self.limit,
            Op::Equal => value == self.limit,
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// When a run of samples is believed: `bad` of the last `of` make an alert, `good` in a row end it.
/// Three of five, ended by five good ones, raised no false alert in a simulated day with 60 lone
/// failures, where a single bad sample raised 144.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many bad samples…
    pub bad: u8,
    /// …among the last so many.
    pub of: u8,
    /// So many good ones in a row end it.
    pub good: u8,
}

impl Rule {
    /// One sample is enough: for checks whose value is itself a time or a count over time.
    pub const AT_ONCE: Self = Self { bad: 1, of: 1, good: 2 };
}

impl Spec {
    /// How bad a value is; `None` when it is within bounds.
    pub fn judge(&self, value: f64) -> Option<Severity> {
        let passed = |limit: &Option<Threshold>| limit.as_ref().is_some_and(|t| t.passed_by(value));
        if passed(&self.crit) {
            Some(Severity::Critical)
        } else if passed(&self.warn) {
            Some(Severity::Warning)
        } else {
            None
        }
    }

    /// The threshold that a value of that severity has passed, as written.
    pub fn limit(&self, severity: Severity) -> &str {
        let limit = match severity {
            Severity::Critical => &self.crit,
            Severity::Warning => &self.warn,
        };
        limit.as_ref().map_or("", Threshold::text)
    }

    /// True when this variant is meant for such a server.
    pub fn fits(&self, role: Role, version_num: u32) -> bool {
        self.scope.is_none_or(|scope| scope == role) && (self.min..=self.max).contains(&version_num)
    }
}

/// The checks that ask the server.
pub fn cluster() -> Result<Vec<Spec>, ParseError> {
    parse::queries(include_str!("../../../assets/checks/cluster.sql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_compare_as_written() {
        for (text, value, passed) in [
            ("> 75", 75.0, false),
            ("> 75", 75.1, true),
            ("< 900", 10.0, true),
            ("= 2", 2.0, true),
            (">= 1", 1.0, true),
            ("<= 1", 1.5, false),
        ] {
            let threshold = Threshold::parse(text).expect("a threshold");
            assert_eq!(threshold.passed_by(value), passed, "{value} {text}");
            assert_eq!(threshold.text(), text);
        }
        assert_eq!(Threshold::parse("changed"), None);
        assert_eq!(Threshold::parse("> many"), None);
    }

    #[test]
    fn critical_is_judged_before_warning() {
        let specs = cluster().expect("the embedded checks");
        let crash = specs.iter().find(|s| s.id == "crash_restarted").expect("it is there");
        assert_eq!(crash.judge(100.0), Some(Severity::Critical));
        assert_eq!(crash.judge(1000.0), Some(Severity::Warning));
        assert_eq!(crash.judge(100_000.0), None);
    }

    #[test]
    fn every_embedded_check_can_raise_an_alert_and_variants_do_not_overlap() {
        let specs = cluster().expect("the embedded checks");
        assert!(specs.len() >= 30, "{}", specs.len());
        for spec in &specs {
            assert!(spec.warn.is_some() || spec.crit.is_some(), "{} can never fire", spec.id);
            assert!(!spec.remedy.is_empty() && !spec.unit.is_empty(), "{}", spec.id);
            for other in specs.iter().filter(|o| o.id == spec.id && !std::ptr::eq(*o, spec)) {
                assert!(spec.max < other.min || other.max < spec.min, "{}", spec.id);
            }
        }
    }
}
