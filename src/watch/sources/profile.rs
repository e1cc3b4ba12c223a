//! What a profile says: how the metrics of one library are read.
//!
//! The schema is that of the files in `assets/profiles` and of a user's own profiles. A profile tells which samples mean what, and under which name. State numbers
//! differ between libraries (gobreaker's 1 is half-open, ours is open), so each profile maps its own.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};

use super::selector::{Expression, Selector, Template, canonical};
use crate::watch::snapshot::{BreakerState, PoolKind};

/// How the metrics of one library are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, unique. A user's profile of the same name takes the place of a built-in one.
    pub name: String,
    /// Which library, and where its metrics are described.
    #[serde(default)]
    pub about: String,
    /// Profiles that know the same pools and breakers better: where one of those found something, this
    /// one keeps silent.
    #[serde(default)]
    pub yields_to: Vec<String>,
    /// Kinds of pools.
    #[serde(default, rename = "pool")]
    pub pools: Vec<PoolProfile>,
    /// Kinds of breakers.
    #[serde(default, rename = "breaker")]
    pub breakers: Vec<BreakerProfile>,
}

/// How a pool is read. Of several spellings the first that is there counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolProfile {
    /// What it is called; without any of these labels it bears the name of its source.
    #[serde(default, deserialize_with = "one_or_many")]
    pub name: Vec<Template>,
    /// Whose pool it is.
    #[serde(default = "application")]
    pub kind: PoolKind,
    /// Connections that work for somebody.
    #[serde(default, deserialize_with = "one_or_many")]
    pub in_use: Vec<Expression>,
    /// Connections that wait for work.
    #[serde(default, deserialize_with = "one_or_many")]
    pub idle: Vec<Expression>,
    /// The most it may open; zero and less mean unlimited.
    #[serde(default, deserialize_with = "one_or_many")]
    pub max: Vec<Expression>,
    /// Callers that wait.
    #[serde(default, deserialize_with = "one_or_many")]
    pub waiting: Vec<Expression>,
    /// Counter of callers that gave up.
    #[serde(default, deserialize_with = "one_or_many")]
    pub timeouts: Vec<Expression>,
    /// How long callers wait.
    #[serde(default)]
    pub wait: Vec<WaitProfile>,
    /// Words to show while a value is above zero, such as `paused`.
    #[serde(default)]
    pub notes: BTreeMap<String, Expression>,
}

const fn application() -> PoolKind {
    PoolKind::Application
}

/// How a waiting time is read. What stands first here is preferred.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitProfile {
    /// The unit of all of these.
    pub unit: Unit,
    /// Gauge: the longest that somebody waits now.
    #[serde(default)]
    pub longest: Option<Expression>,
    /// A histogram or summary without its suffixes: its 99th percentile, else its mean.
    #[serde(default)]
    pub timer: Option<Selector>,
    /// Counter: time waited, in all.
    #[serde(default)]
    pub sum: Option<Expression>,
    /// Counter: waits, in all.
    #[serde(default)]
    pub count: Option<Expression>,
    /// True when `count` grows as a wait begins and `sum` as it ends, and only callers that had to
    /// wait are counted (Go's `database/sql`).
    #[serde(default)]
    pub counted_at_start: bool,
    /// Gauge: the longest over the exporter's own window.
    #[serde(default)]
    pub max: Option<Expression>,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanos,
}

impl Unit {
    /// One of it, in seconds.
    pub const fn seconds(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Millis => 1e-3,
            Self::Micros => 1e-6,
            Self::Nanos => 1e-9,
        }
    }
}

/// How a breaker is read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerProfile {
    /// What it is called; without any of these labels it bears the name of its source.
    #[serde(default, deserialize_with = "one_or_many")]
    pub name: Vec<Template>,
    /// Its state; the first that is there counts.
    pub state: Vec<StateProfile>,
    /// Gauge: how long the state lasts already.
    #[serde(default)]
    pub state_age: Option<SpanProfile>,
    /// Gauge: Unix time, in seconds, of the last change of state.
    #[serde(default)]
    pub state_since: Option<Expression>,
    /// A person's order, which goes before the state.
    #[serde(default)]
    pub mode: Option<ModeProfile>,
    /// Share of failed calls.
    #[serde(default)]
    pub failure_rate: Vec<RateProfile>,
    /// Share of slow calls.
    #[serde(default)]
    pub slow_rate: Vec<RateProfile>,
    /// Gauge: calls in its window.
    #[serde(default, deserialize_with = "one_or_many")]
    pub calls: Vec<Expression>,
    /// Probes of a half-open breaker.
    #[serde(default)]
    pub probes: Option<ProbesProfile>,
    /// Counter of refused calls.
    #[serde(default, deserialize_with = "one_or_many")]
    pub rejected: Vec<Expression>,
    /// Gauge: how soon an open breaker lets a probe through.
    #[serde(default)]
    pub next_try_in: Option<SpanProfile>,
}

/// How the state of a breaker is read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProfile {
    /// The samples.
    pub metric: Selector,
    /// How they tell the state.
    pub read: ReadState,
    /// The label that holds the state; not for `number`.
    #[serde(default)]
    pub label: Option<String>,
    /// For `last`: the label that holds the state left, if there is one.
    #[serde(default)]
    pub from: Option<String>,
    /// For `last`: the state before any transition, if every breaker of the library begins in it.
    #[serde(default)]
    pub initial: Option<BreakerState>,
    /// What each number or word means.
    pub values: BTreeMap<String, BreakerState>,
}

/// How samples tell a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadState {
    /// A gauge whose value is the state.
    Number,
    /// A gauge for each state; the one at 1 is the present state.
    Flag,
    /// A counter of the time spent in each state; the one that grows is the present state.
    Growing,
    /// A counter of the entries into each state; the last that grew is the present state.
    Last,
}

/// A person's order to a breaker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeProfile {
    /// The gauge.
    pub metric: Selector,
    /// What each number means; a number that is not here leaves the state as it is.
    pub values: BTreeMap<String, BreakerState>,
}

/// How a rate is read: from a gauge, or from two counters over the last interval.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateProfile {
    /// The rate itself; below zero it is not known yet.
    #[serde(default)]
    pub gauge: Option<Expression>,
    /// What the gauge is at its fullest: 1, or 100 for percent.
    #[serde(default = "one")]
    pub full: f64,
    /// Counter of the calls that went badly.
    #[serde(default)]
    pub bad: Option<Expression>,
    /// Counter of the others.
    #[serde(default)]
    pub good: Option<Expression>,
}

const fn one() -> f64 {
    1.0
}

/// How the probes of a half-open breaker are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbesProfile {
    /// Gauge: those that succeeded.
    pub good: Expression,
    /// Gauge: those that must succeed before it closes.
    pub wanted: Expression,
}

/// A gauge that holds a span of time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanProfile {
    /// The gauge.
    pub gauge: Expression,
    /// Its unit.
    pub unit: Unit,
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metrics profile `{profile}`: {fault}")]
pub struct ProfileError {
    /// Its name, or `?` when that is what is missing.
    pub profile: String,
    /// What is wrong with it.
    pub fault: String,
}

impl Profile {
    /// Reads one profile from TOML.
    ///
    /// # Errors
    /// Says what is wrong, with line and column where TOML can tell.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let name = || {
            let table = text.parse::<toml::Table>().ok()?;
            Some(table.get("name")?.as_str()?.to_owned())
        };
        let profile: Self = toml::from_str(text).map_err(|error| ProfileError {
            profile: name().unwrap_or_else(|| "?".to_owned()),
            fault: error.to_string().trim_end().to_owned(),
        })?;
        profile.check()?;
        Ok(profile)
    }

    /// Finds what the types cannot forbid.
    ///
    /// # Errors
    /// Says the first thing that is wrong.
    pub fn check(&self) -> Result<(), ProfileError> {
        let fault = self.fault();
        fault.map_or(Ok(()), |fault| Err(ProfileError { profile: self.name.clone(), fault }))
    }

    fn fault(&self) -> Option<String> {
        if self.name.is_empty() {
            return Some("its name is empty".to_owned());
        }
        if self.pools.is_empty() && self.breakers.is_empty() {
            return Some("describes neither a pool nor a breaker".to_owned());
        }
        self.pools
            .iter()
            .find_map(PoolProfile::fault)
            .or_else(|| self.breakers.iter().find_map(BreakerProfile::fault))
    }
}

impl PoolProfile {
    fn fault(&self) -> Option<String> {
        if [&self.in_use, &self.idle, &self.max, &self.waiting].iter().all(|role| role.is_empty()) {
            return Some("a pool wants one of in_use, idle, max, waiting".to_owned());
        }
        let half = |wait: &&WaitProfile| wait.sum.is_some() != wait.count.is_some();
        if self.wait.iter().any(|wait| half(&wait)) {
            return Some("a wait wants `sum` and `count` together".to_owned());
        }
        let empty = |wait: &WaitProfile| {
            wait.longest.is_none()
                && wait.timer.is_none()
                && wait.sum.is_none()
                && wait.max.is_none()
        };
        self.wait
            .iter()
            .any(empty)
            .then(|| "a wait wants one of `longest`, `timer`, `sum` and `count`, `max`".to_owned())
    }

    /// Every selector, so that the samples can be found.
    pub fn selectors(&self) -> Vec<Selector> {
        let roles = [&self.in_use, &self.idle, &self.max, &self.waiting, &self.timeouts];
        let mut all: Vec<Selector> =
            roles.into_iter().flatten().flat_map(Expression::selectors).cloned().collect();
        all.extend(self.notes.values().flat_map(Expression::selectors).cloned());
        for wait in &self.wait {
            let parts = [&wait.longest, &wait.sum, &wait.count, &wait.max];
            all.extend(parts.into_iter().flatten().flat_map(Expression::selectors).cloned());
            if let Some(timer) = &wait.timer {
                all.extend(
                    ["", "_bucket", "_sum", "_count"].map(|suffix| timer.with_suffix(suffix)),
                );
            }
        }
        all
    }

    /// Labels that tell samples of one pool apart, and so are no part of its name.
    pub fn inner_labels(&self) -> Vec<String> {
        vec!["le".to_owned(), "quantile".to_owned()]
    }
}

impl BreakerProfile {
    fn fault(&self) -> Option<String> {
        if self.state.is_empty() {
            return Some("a breaker wants a state".to_owned());
        }
        for state in &self.state {
            if state.values.is_empty() {
                return Some("a state wants `values`".to_owned());
            }
            let number = state.read == ReadState::Number;
            if number == state.label.is_some() {
                return Some("a state wants a `label`, but not with read = \"number\"".to_owned());
            }
            if number
                && let Some(word) = state.values.keys().find(|key| key.parse::<f64>().is_err())
            {
                return Some(format!("the state value `{word}` is not a number"));
            }
            if (state.from.is_some() || state.initial.is_some()) && state.read != ReadState::Last {
                return Some("`from` and `initial` go with read = \"last\" only".to_owned());
            }
        }
        let bad = |rate: &RateProfile| {
            rate.bad.is_some() != rate.good.is_some()
                || rate.bad.is_some() == rate.gauge.is_some()
                || !(rate.full > 0.0 && rate.full.is_finite())
        };
        if self.state_age.is_some() && self.state_since.is_some() {
            return Some("a breaker wants `state_age` or `state_since`, not both".to_owned());
        }
        self.failure_rate.iter().chain(&self.slow_rate).any(bad).then(|| {
            "a rate wants either `gauge` or both `bad` and `good`, and `full` above zero".to_owned()
        })
    }

    /// Every selector, so that the samples can be found.
    pub fn selectors(&self) -> Vec<Selector> {
        let mut all: Vec<Selector> = self.state.iter().map(|state| state.metric.clone()).collect();
        all.extend(self.mode.iter().map(|mode| mode.metric.clone()));
        let probes = self.probes.iter().flat_map(|probes| [&probes.good, &probes.wanted]);
        let roles = self.calls.iter().chain(&self.rejected).chain(&self.state_since).chain(probes);
        let spans = self.state_age.iter().chain(&self.next_try_in).map(|span| &span.gauge);
        let rates = self.failure_rate.iter().chain(&self.slow_rate);
        let rates = rates.flat_map(|rate| [&rate.gauge, &rate.bad, &rate.good]).flatten();
        all.extend(roles.chain(spans).chain(rates).flat_map(Expression::selectors).cloned());
        all
    }

    /// Labels that tell samples of one breaker apart, and so are no part of its name.
    pub fn inner_labels(&self) -> Vec<String> {
        let states = self.state.iter().flat_map(|state| state.label.iter().chain(&state.from));
        states.map(|label| canonical(label).into_owned()).collect()
    }
}

/// One value, or a list of them.
fn one_or_many<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = String>,
{
    struct OneOrMany<T>(std::marker::PhantomData<T>);

    impl<'de, T: TryFrom<String, Error = String>> de::Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }

        fn visit_str<E: de::Error>(self, one: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::try_from(one.to_owned()).map_err(E::custom)?])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut many: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = many.next_element::<String>()? {
                all.push(T::try_from(one).map_err(de::Error::custom)?);
            }
            Ok(all)
        }
    }

    from.deserialize_any(OneOrMany(std::marker::PhantomData))
}
