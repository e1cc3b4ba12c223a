//! The samples that matter, gathered by the pool or breaker that they tell of.

use std::collections::{BTreeMap, HashMap};

use super::super::{
    exposition_text::{Exposition, Sample},
    profiles::{Kind, Profiles},
    selector::{Expression, Selector, canonical},
};
use crate::base::clock::Stamp;

/// Most pools and breakers of one endpoint.
pub const MAX_GROUPS: usize = 500;
/// Most samples of one pool or breaker.
const MAX_FACTS: usize = 4_000;
/// Most samples that are joined in, for each kind of pool.
const MAX_SHARED: usize = 4_000;
/// Labels that a collector adds to tell processes apart. They are no part of a name, but pools of the
/// same name that differ in them are different pools.
const APART: [&str; 6] =
    ["job", "instance", "exported_job", "exported_instance", "namespace", "pod"];

/// Everything of one scrape that some profile reads.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When it was scraped.
    pub at: Stamp,
    /// Samples by what they tell of.
    pub groups: BTreeMap<Key, Vec<Fact>>,
    /// Samples that belong to several pools of a kind.
    shared: HashMap<usize, Vec<Fact>>,
    /// Samples left out, because there were too many pools or breakers.
    pub left_out: u32,
}

/// Which pool or breaker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind, as place in [`Profiles::kinds`].
    pub kind: usize,
    /// Its name, if its labels give one.
    pub name: Option<String>,
    /// Values of the labels that tell processes apart.
    pub apart: String,
}

/// A sample, with its names in canonical form.
#[derive(Clone, Debug)]
pub struct Fact {
    name: String,
    labels: Vec<(String, String)>,
    /// Its value; never NaN.
    pub value: f64,
}

impl Fact {
    fn new(name: &str, sample: &Sample<'_>) -> Self {
        let labels = sample.labels.iter();
        let labels =
            labels.map(|(label, value)| (canonical(label).into_owned(), value.to_string()));
        Self { name: name.to_owned(), labels: labels.collect(), value: sample.value }
    }

    /// The value of that label.
    pub fn label(&self, wanted: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == wanted).map(|(_, value)| &**value)
    }

    fn is(&self, selector: &Selector) -> bool {
        selector.name.matches(&self.name) && selector.admits(|label| self.label(label))
    }

    fn apart(&self) -> String {
        APART.iter().filter_map(|label| self.label(label)).collect::<Vec<_>>().join(" ")
    }

    /// What it tells of, by the naming rules of that kind.
    fn key(&self, place: usize, kind: &Kind) -> Key {
        let label = |wanted: &str| match wanted {
            "__name__" => Some(&*self.name),
            _ => self.label(wanted),
        };
        let rest = || {
            let names = self.labels.iter().filter(|(label, _)| {
                !APART.contains(&&**label)
                    && !kind.inner.contains(label)
                    && kind.selectors.iter().all(|selector| selector.labels().all(|l| l != label))
            });
            names.map(|(_, value)| &**value).collect::<Vec<_>>().join("/")
        };
        let name = kind.name().iter().find_map(|template| template.fill(label, rest));
        Key { kind: place, name, apart: self.apart() }
    }
}

impl Facts {
    /// Gathers what the profiles read.
    pub fn gather(exposition: &Exposition<'_>, profiles: &Profiles, at: Stamp) -> Self {
        let mut facts = Self { at, ..Self::default() };
        let wanted = exposition.samples.iter().filter(|sample| !sample.value.is_nan());
        for sample in wanted {
            let name = canonical(&sample.name);
            for place in profiles.of(&name) {
                let fact = Fact::new(&name, sample);
                facts.add(fact, place, &profiles.kinds()[place]);
            }
        }
        facts
    }

    fn add(&mut self, fact: Fact, place: usize, kind: &Kind) {
        let Some(selector) = kind.selectors.iter().find(|selector| fact.is(selector)) else {
            return;
        };
        if selector.on.is_some() {
            let shared = self.shared.entry(place).or_default();
            if shared.len() < MAX_SHARED {
                shared.push(fact);
            }
            return;
        }
        let key = fact.key(place, kind);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let group = self.groups.entry(key).or_default();
        if group.len() < MAX_FACTS {
            group.push(fact);
        }
    }

    /// What there is to see of one pool or breaker.
    pub fn sight(&self, key: &Key) -> Option<Sight<'_>> {
        let own = self.groups.get(key)?;
        let shared = self.shared.get(&key.kind).map_or(&[][..], Vec::as_slice);
        Some(Sight { own, shared, apart: key.apart.clone() })
    }
}

/// What there is to see of one pool or breaker in one scrape.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    own: &'a [Fact],
    shared: &'a [Fact],
    apart: String,
}

impl<'a> Sight<'a> {
    /// The samples that a selector means.
    pub fn facts<'s>(&'s self, selector: &'s Selector) -> impl Iterator<Item = &'a Fact> + 's {
        let own = self.own.iter().filter(|_| selector.on.is_none());
        let joined = selector.on.iter().flat_map(|(theirs, ours)| {
            let value = self.own.iter().find_map(|fact| fact.label(ours));
            let same = move |fact: &&Fact| value.is_some() && fact.label(theirs) == value;
            self.shared.iter().filter(same).filter(|fact| fact.apart() == self.apart)
        });
        own.chain(joined).filter(|fact| fact.is(selector))
    }

    /// The sum of the samples of each selector: right for counts and counters.
    pub fn sum(&self, expression: &Expression) -> Option<f64> {
        expression.sum(|selector| self.facts(selector).map(|fact| fact.value).reduce(|a, b| a + b))
    }

    /// The greatest of the samples of each selector: right for waits and rates.
    pub fn most(&self, expression: &Expression) -> Option<f64> {
        expression.sum(|selector| self.facts(selector).map(|fact| fact.value).reduce(f64::max))
    }

    /// The first of several spellings that is there, as a count.
    pub fn count(&self, spellings: &[Expression]) -> Option<u64> {
        let value = spellings.iter().find_map(|expression| self.sum(expression))?;
        (value >= 0.0 && value.is_finite()).then(|| value.round() as u64)
    }
}
