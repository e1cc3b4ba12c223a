//! From samples to pools and breakers, by the profiles. Pure: the scrape before comes in as data.

mod facts;
mod state;
mod wait;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use self::facts::{Facts, Key, Sight};
use super::{
    exposition_text::Exposition,
    profile::{BreakerProfile, PoolProfile},
    profiles::{Profiles, What},
    selector::Expression,
};
use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::{Text, fit},
    },
    watch::snapshot::{Breaker, BreakerState, Pool},
};

/// Longest gap between two scrapes after which a change of state counts as seen to happen.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// What an exporter tells of the same change may differ by that much from scrape to scrape.
const SAME_CHANGE: f64 = 2.0;
/// Most cells of a name.
const NAME_CELLS: usize = 120;

/// What the scrapes before have taught.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    facts: Option<Facts>,
    breakers: HashMap<Key, Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    state: BreakerState,
    since: Stamp,
    exact: bool,
    /// When the exporter said that it changed, in seconds on a clock of its own.
    told: Option<f64>,
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// For ages.
    pub stamp: Stamp,
    /// For what exporters tell in Unix time.
    pub wall: Timestamp,
}

/// What one scrape tells.
#[derive(Clone, Debug, Default)]
pub struct Interpretation {
    /// Its pools, in the order of profile and name.
    pub pools: Vec<Pool>,
    /// Its breakers, in the order of profile and name.
    pub breakers: Vec<Breaker>,
    /// Samples of pools and breakers beyond the first 500.
    pub left_out: u32,
    /// To be given to the next call.
    pub memory: Memory,
}

/// Reads pools and breakers out of an exposition that was scraped at `now` from `source`. Pools and
/// breakers without a name of their own bear that of the source. `memory` must come from a call with
/// the same profiles.
pub fn interpret(
    source: &Text,
    memory: &Memory,
    exposition: &Exposition<'_>,
    profiles: &Profiles,
    now: Now,
) -> Interpretation {
    let facts = Facts::gather(exposition, profiles, now.stamp);
    let mut found = Found::default();
    let mut breakers = HashMap::new();
    for key in facts.groups.keys() {
        let Some(sight) = facts.sight(key) else { continue };
        let before = memory.facts.as_ref().and_then(|before| before.sight(key));
        let kind = &profiles.kinds()[key.kind];
        match &kind.what {
            What::Pool(profile) => {
                if let Some(pool) = pool(profile, source, &sight, before.as_ref()) {
                    found.pools.push((key, kind.profile, pool));
                }
            }
            What::Breaker(profile) => {
                let remembered = memory.breakers.get(key).copied();
                let last = memory.facts.as_ref().map(|facts| facts.at);
                let scrape = Scrape { now, last, sight: &sight, before: before.as_ref() };
                let (breaker, remember) = breaker(profile, source, &scrape, remembered);
                breakers.insert(key.clone(), remember);
                found.breakers.push((key, kind.profile, breaker));
            }
        }
    }
    found.yield_to_better(profiles);
    let pools = with_names(found.pools, profiles, source, |pool| &mut pool.name);
    let breakers_found = with_names(found.breakers, profiles, source, |breaker| &mut breaker.name);
    Interpretation {
        pools,
        breakers: breakers_found,
        left_out: facts.left_out,
        memory: Memory { facts: Some(facts), breakers },
    }
}

/// What was found: its key, its profile, and the thing itself.
#[derive(Default)]
struct Found<'a> {
    pools: Vec<(&'a Key, usize, Pool)>,
    breakers: Vec<(&'a Key, usize, Breaker)>,
}

impl Found<'_> {
    /// Drops what another profile tells better.
    fn yield_to_better(&mut self, profiles: &Profiles) {
        let yields = |profile: usize, present: &HashSet<usize>| {
            let better = &profiles.list[profile].yields_to;
            present.iter().any(|other| better.contains(&profiles.list[*other].name))
        };
        let present: HashSet<usize> = self.pools.iter().map(|(_, profile, _)| *profile).collect();
        self.pools.retain(|(_, profile, _)| !yields(*profile, &present));
        let present: HashSet<usize> =
            self.breakers.iter().map(|(_, profile, _)| *profile).collect();
        self.breakers.retain(|(_, profile, _)| !yields(*profile, &present));
    }
}

/// Gives each its name, unique within the source: the name that its labels give, and only where that
/// is not enough the process, the profile, and at last a number.
fn with_names<T>(
    found: Vec<(&Key, usize, T)>,
    profiles: &Profiles,
    source: &Text,
    name_of: fn(&mut T) -> &mut Text,
) -> Vec<T> {
    let short = |key: &Key| key.name.clone().unwrap_or_else(|| source.to_string());
    let long = |key: &Key| match &*key.apart {
        "" => short(key),
        apart => format!("{} @ {apart}", short(key)),
    };
    let mut uses: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (key, _, _) in &found {
        uses.entry(short(key)).or_default().0 += 1;
        uses.entry(long(key)).or_default().1 += 1;
    }
    let count = |name: &str| uses.get(name).copied().unwrap_or_default();
    let mut taken = HashSet::new();
    let mut all = Vec::with_capacity(found.len());
    for (key, profile, mut thing) in found {
        let mut name = short(key);
        if count(&name).0 > 1 {
            name = long(key);
            if count(&name).1 > 1 {
                name = format!("{name} ({})", profiles.list[profile].name);
            }
        }
        let clean = Text::foreign(&name);
        let clean = fit(&clean, NAME_CELLS, "…").into_owned();
        let numbered = (2..).map(|number| format!("{clean} #{number}"));
        let unique = [clean.clone()].into_iter().chain(numbered).find(|name| !taken.contains(name));
        let unique = unique.unwrap_or_default();
        taken.insert(unique.clone());
        *name_of(&mut thing) = Text::from(unique);
        all.push(thing);
    }
    all
}

fn pool(
    profile: &PoolProfile,
    source: &Text,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
) -> Option<Pool> {
    let told = profile.notes.iter().filter(|(_, gauge)| now.sum(gauge).is_some_and(|v| v > 0.0));
    let notes: Vec<&str> = told.map(|(word, _)| &**word).collect();
    let mut pool = Pool {
        name: Text::default(),
        source: source.clone(),
        kind: profile.kind,
        in_use: now.count(&profile.in_use),
        idle: now.count(&profile.idle),
        max: now.count(&profile.max).filter(|max| *max > 0),
        waiting: now.count(&profile.waiting),
        wait: None,
        timeouts: now.count(&profile.timeouts),
        trend: Vec::new(),
        note: (!notes.is_empty()).then(|| Text::from(notes.join(", "))),
    };
    if [pool.in_use, pool.idle, pool.max, pool.waiting].iter().all(Option::is_none) {
        return None;
    }
    pool.wait = wait::wait(&profile.wait, &pool, now, before);
    Some(pool)
}

/// One scrape, as a breaker sees it.
struct Scrape<'a> {
    now: Now,
    /// When the scrape before was.
    last: Option<Stamp>,
    sight: &'a Sight<'a>,
    before: Option<&'a Sight<'a>>,
}

fn breaker(
    profile: &BreakerProfile,
    source: &Text,
    scrape: &Scrape<'_>,
    remembered: Option<Remembered>,
) -> (Breaker, Remembered) {
    let Scrape { now, sight, before, .. } = *scrape;
    let state = state::state(profile, sight, before, remembered.map(|last| last.state));
    let remember = since(state, told_change(profile, scrape), scrape, remembered);
    let (failure_rate, counted) = state::rate(&profile.failure_rate, sight, before).unzip();
    let retry = profile.next_try_in.as_ref().filter(|_| state == BreakerState::Open);
    let retry = retry.and_then(|span| wait::span(&span.gauge, span.unit, sight));
    let breaker = Breaker {
        name: Text::default(),
        source: source.clone(),
        state,
        since: Some(remember.since),
        since_exact: remember.exact,
        failure_rate,
        slow_rate: state::rate(&profile.slow_rate, sight, before).map(|(share, _)| share),
        calls: sight.count(&profile.calls).or(counted.flatten()),
        next_try: retry.filter(|retry| !retry.is_zero()).map(|retry| now.stamp.plus(retry)),
        probes: profile.probes.as_ref().filter(|_| state == BreakerState::HalfOpen).and_then(
            |probes| {
                let count = |gauge: &Expression| Some(sight.most(gauge)?.max(0.0) as u32);
                Some((count(&probes.good)?, count(&probes.wanted)?))
            },
        ),
        rejected: sight.count(&profile.rejected),
    };
    (breaker, remember)
}

/// A change of state that the exporter tells: the moment on a clock of its own, which stands still
/// until the next change, and how long ago that was.
fn told_change(profile: &BreakerProfile, scrape: &Scrape<'_>) -> Option<(f64, Duration)> {
    let Scrape { now, sight, .. } = *scrape;
    if let Some(age) = &profile.state_age {
        let age = wait::span(&age.gauge, age.unit, sight)?;
        return Some((now.stamp.since(Stamp::default()).as_secs_f64() - age.as_secs_f64(), age));
    }
    let unix = sight.most(profile.state_since.as_ref()?)?;
    let age = now.wall.as_millisecond() as f64 / 1e3 - unix;
    // Its clock may run ahead of ours.
    Some((unix, Duration::try_from_secs_f64(age.max(0.0)).ok()?))
}

/// Since when a breaker is in its state: as the exporter tells, else as we saw it. A change that we saw
/// happen lies between two scrapes, whatever the exporter's clock says.
fn since(
    state: BreakerState,
    told: Option<(f64, Duration)>,
    scrape: &Scrape<'_>,
    remembered: Option<Remembered>,
) -> Remembered {
    let now = scrape.now.stamp;
    let moment = told.map(|(moment, _)| moment);
    if let Some(last) = remembered.filter(|last| last.state == state) {
        let moved = moment.zip(last.told).is_some_and(|(a, b)| (a - b).abs() >= SAME_CHANGE);
        if !moved {
            return last;
        }
    }
    let was_known = remembered.is_some_and(|last| last.state != BreakerState::Unknown);
    let seen = scrape.last.filter(|last| was_known && now.since(*last) <= SEEN_WITHIN);
    let (since, exact) = match (told, seen) {
        (Some((_, age)), Some(last)) => (now.minus(age).max(last), true),
        (None, Some(_)) => (now, true),
        // Older than stamps reach, it is known to be at least that old.
        (Some((_, age)), None) => (now.minus(age), age < now.since(Stamp::default())),
        (None, None) => (now, false),
    };
    Remembered { state, since, exact, told: moment }
}
