//! What must not become true once an act is begun: part of the list, and watched by the machine, not by people.

use serde::{Deserialize, Serialize};

use super::{
    facts::Observed,
    spec::{Fact, just_zero},
};

/// Seconds between two looks when the guide says nothing else.
const EVERY: u64 = 5;
/// The most seconds between two looks.
const RARELY: u64 = 600;
/// Seconds that one such look may take.
pub const WITHIN: u64 = 30;

/// A criterion to stop by: a look that is repeated, and what it judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// The words behind `howdah` of a command that only looks, and prints JSON.
    pub command: Vec<String>,
    /// Exit codes that are an answer.
    #[serde(default = "just_zero")]
    pub good: Vec<i32>,
    /// Seconds between two looks.
    #[serde(default = "every")]
    pub every: u64,
    /// What is judged. What cannot be seen stops nothing, and is said.
    pub fact: Fact,
    /// The last step at which it is watched; without it only while the job of the act runs.
    #[serde(default)]
    pub through: Option<String>,
    /// The step that leads out: the way back.
    #[serde(default)]
    pub out: Option<String>,
    /// The job is ended at once: only for acts that leave nothing half done in what lives.
    #[serde(default)]
    pub cancel: bool,
}

const fn every() -> u64 {
    EVERY
}

impl Criterion {
    /// Holds it to its rules; `behind` are the names of the steps behind its act.
    pub(super) fn check(&self, behind: &[&str]) -> Result<(), String> {
        if !self.fact.is_judged() || self.fact.label.is_none() {
            return Err("a criterion to stop by needs a label, and what it is judged by".to_owned());
        }
        if !(1..=RARELY).contains(&self.every) {
            return Err(format!(
                "it looks every {} s for a reason to stop: 1 to {RARELY} are allowed",
                self.every
            ));
        }
        let unknown = [&self.through, &self.out]
            .into_iter()
            .flatten()
            .find(|step| !behind.contains(&step.as_str()));
        match unknown {
            Some(step) => Err(format!("'{step}' is no step behind it")),
            None => Ok(()),
        }
    }

    /// What it is about, in words: `failed, as a share: at most 0.05`.
    pub fn in_words(&self) -> String {
        let label = self.fact.label.as_deref().unwrap_or(&self.fact.name);
        format!("{label}: {}", self.fact.limit())
    }

    /// True when what was seen is a reason to stop.
    pub fn is_met(seen: &Observed) -> bool {
        seen.value.is_some() && seen.well == Some(false)
    }
}

impl Fact {
    /// What it is judged by, in words.
    pub fn limit(&self) -> String {
        let mut limits = Vec::new();
        if let Some(good) = &self.good {
            limits.push(good.join(" or "));
        }
        limits.extend(self.at_least.map(|least| format!("at least {least}")));
        limits.extend(self.at_most.map(|most| format!("at most {most}")));
        limits.join(", ")
    }
}
