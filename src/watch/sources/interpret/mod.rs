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
};
use crate::{
    base::{
        clock::Stamp,
        text::{Text, fit},
    },
    watch::snapshot::{Breaker, BreakerState, Pool},
};

/// Longest gap between two scrapes after which a change of state counts as seen to happen.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// An age that an exporter tells may differ by that much from scrape to scrape for the same moment.
const SAME_MOMENT: Duration = Duration::from_secs(2);
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
    now: Stamp,
) -> Interpretation {
    let facts = Facts::gather(exposition, profiles, now);
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
                let gap = memory.facts.as_ref().map_or(Duration::MAX, |facts| now.since(facts.at));
                let scrape = Scrape { now, gap, sight: &sight, before: before.as_ref() };
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
    now: Stamp,
    gap: Duration,
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
    let age = profile.state_age.as_ref().and_then(|age| wait::span(&age.gauge, age.unit, sight));
    let remember = since(state, age, scrape, remembered);
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
        next_try: retry.filter(|retry| !retry.is_zero()).map(|retry| now.plus(retry)),
        probes: None,
        rejected: sight.count(&profile.rejected),
    };
    (breaker, remember)
}

/// Since when a breaker is in its state: as the exporter tells, else as we saw it.
fn since(
    state: BreakerState,
    age: Option<Duration>,
    scrape: &Scrape<'_>,
    remembered: Option<Remembered>,
) -> Remembered {
    let same = remembered.filter(|last| last.state == state);
    if let Some(age) = age {
        let told = scrape.now.minus(age);
        let known = same.filter(|last| {
            last.exact && told.since(last.since).max(last.since.since(told)) < SAME_MOMENT
        });
        // A stamp reaches back to the start of this process and no further.
        let exact = age < scrape.now.since(Stamp::default());
        return known.unwrap_or(Remembered { state, since: told, exact });
    }
    same.unwrap_or_else(|| {
        let was_known = remembered.is_some_and(|last| last.state != BreakerState::Unknown);
        Remembered { state, since: scrape.now, exact: was_known && scrape.gap <= SEEN_WITHIN }
    })
}
