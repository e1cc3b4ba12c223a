//! What a breaker does now, from what the metrics of two scrapes tell.

use std::collections::BTreeMap;

use super::{
    super::profile::{BreakerProfile, RateProfile, ReadState, StateProfile},
    facts::Sight,
    wait::grown,
};
use crate::watch::snapshot::BreakerState;

/// The state; unknown when the samples tell of a breaker but not of its state. `last` is what it was at
/// the scrape before.
pub fn state(
    profile: &BreakerProfile,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
    last: Option<BreakerState>,
) -> BreakerState {
    let state = profile.state.iter().find_map(|how| match how.read {
        ReadState::Number => number(how, now),
        ReadState::Flag => flag(how, now),
        ReadState::Growing => growing(how, now, before, last),
        ReadState::Last => last_entered(how, now, before, last),
    });
    let ordered = profile.mode.as_ref().and_then(|mode| {
        let meant = |value: f64| named(&mode.values, value);
        now.facts(&mode.metric)
            .filter_map(|fact| meant(fact.value))
            .max_by_key(|state| rank(*state))
    });
    ordered.or(state).unwrap_or(BreakerState::Unknown)
}

/// What shows when several breakers bear one name: the one that hurts most.
const fn rank(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::Disabled => 1,
        BreakerState::MetricsOnly => 2,
        BreakerState::Unknown => 3,
        BreakerState::HalfOpen => 4,
        BreakerState::Open => 5,
        BreakerState::ForcedOpen => 6,
    }
}

fn named(values: &BTreeMap<String, BreakerState>, value: f64) -> Option<BreakerState> {
    let same = |word: &str| word.parse::<f64>().is_ok_and(|number| number == value);
    values.iter().find(|(word, _)| same(word)).map(|(_, state)| *state)
}

fn number(how: &StateProfile, now: &Sight<'_>) -> Option<BreakerState> {
    let states = now.facts(&how.metric);
    states
        .map(|fact| named(&how.values, fact.value).unwrap_or(BreakerState::Unknown))
        .max_by_key(|state| rank(*state))
}

fn flag(how: &StateProfile, now: &Sight<'_>) -> Option<BreakerState> {
    let mut any = false;
    let set = now.facts(&how.metric).inspect(|_| any = true).filter(|fact| fact.value == 1.0);
    let state = set
        .map(|fact| {
            let word = how.label.as_deref().and_then(|label| fact.label(label));
            word.and_then(|word| how.values.get(word)).copied().unwrap_or(BreakerState::Unknown)
        })
        .max_by_key(|state| rank(*state));
    state.or(any.then_some(BreakerState::Unknown))
}

/// A counter for each state, those of several series added up. Words that mean nothing to the profile
/// count as an unknown state.
fn counters(
    how: &StateProfile,
    label: Option<&String>,
    sight: &Sight<'_>,
) -> Vec<(BreakerState, f64)> {
    let mut all: Vec<(BreakerState, f64)> = Vec::new();
    for fact in sight.facts(&how.metric) {
        let word = label.and_then(|label| fact.label(label));
        let state =
            word.and_then(|word| how.values.get(word)).copied().unwrap_or(BreakerState::Unknown);
        match all.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum += fact.value,
            None => all.push((state, fact.value)),
        }
    }
    all
}

fn of(counters: &[(BreakerState, f64)], state: BreakerState) -> f64 {
    counters.iter().find(|(known, _)| *known == state).map_or(0.0, |(_, value)| *value)
}

/// The states whose counter grew since the scrape before; without one, those above zero.
fn grew(now: &[(BreakerState, f64)], before: Option<&[(BreakerState, f64)]>) -> Vec<BreakerState> {
    let before = before.unwrap_or(&[]);
    let grew = now.iter().filter(|(state, value)| grown(*value, of(before, *state)) > 0.0);
    grew.map(|(state, _)| *state).collect()
}

fn growing(
    how: &StateProfile,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
    last: Option<BreakerState>,
) -> Option<BreakerState> {
    let now = counters(how, how.label.as_ref(), now);
    if now.is_empty() {
        return None;
    }
    let before = before.map(|before| counters(how, how.label.as_ref(), before));
    let last = last.unwrap_or(BreakerState::Unknown);
    Some(match *grew(&now, before.as_deref()) {
        // Nothing moves: the exporter tells the same figures as before.
        [] => last,
        [only] => only,
        // It left the state that it was in for the other.
        [one, other] if other == last => one,
        [one, other] if one == last => other,
        _ => BreakerState::Unknown,
    })
}

fn last_entered(
    how: &StateProfile,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
    last: Option<BreakerState>,
) -> Option<BreakerState> {
    let entered = counters(how, how.label.as_ref(), now);
    if entered.is_empty() {
        return how.initial;
    }
    // With both ends of each transition the present state is the one entered once more than left.
    if let (Some(from), Some(initial)) = (&how.from, how.initial) {
        let left = counters(how, Some(from), now);
        let inside = |state: BreakerState| {
            of(&entered, state) - of(&left, state) + f64::from(u8::from(state == initial))
        };
        let known = entered.iter().map(|(state, _)| *state);
        let never_entered = entered.iter().all(|(state, _)| *state != initial).then_some(initial);
        let mut present = known.chain(never_entered).filter(|state| inside(*state) >= 1.0);
        if let (Some(state), None) = (present.next(), present.next()) {
            return Some(state);
        }
    }
    let before = before.map(|before| counters(how, how.label.as_ref(), before));
    Some(match *grew(&entered, before.as_deref()) {
        [] => last.unwrap_or(BreakerState::Unknown),
        [only] => only,
        _ => BreakerState::Unknown,
    })
}

/// A share of calls from 0 to 1, and how many calls it is a share of if counters told it.
pub fn rate(
    profiles: &[RateProfile],
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
) -> Option<(f64, Option<u64>)> {
    profiles.iter().find_map(|profile| {
        if let Some(gauge) = &profile.gauge {
            let share = now.most(gauge)? / profile.full;
            return (0.0..=1.0).contains(&share).then_some((share, None));
        }
        let (bad, good) = (profile.bad.as_ref()?, profile.good.as_ref()?);
        let before = before?;
        // A counter that is not there yet has counted nothing yet; but one of the two must be there.
        let read = |sight: &Sight<'_>| (sight.sum(bad), sight.sum(good));
        let (bad, good) = match (read(now), read(before)) {
            ((None, None), _) => return None,
            ((bad, good), (bad_before, good_before)) => (
                grown(bad.unwrap_or(0.0), bad_before.unwrap_or(0.0)),
                grown(good.unwrap_or(0.0), good_before.unwrap_or(0.0)),
            ),
        };
        let calls = bad + good;
        (calls > 0.0).then(|| (bad / calls, Some(calls.round() as u64)))
    })
}
