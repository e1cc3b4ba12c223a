//! All profiles: the built-in ones, which are the TOML files in `assets/profiles`, and a user's own.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    profile::{BreakerProfile, PoolProfile, Profile, ProfileError},
    selector::{Selector, Template, canonical},
};

/// One kind of pool or breaker of one profile.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The place of its profile in [`Profiles::list`].
    pub profile: usize,
    /// What it describes.
    pub what: What,
    /// Its selectors.
    pub selectors: Vec<Selector>,
    /// Labels that are no part of a name.
    pub inner: Vec<String>,
}

/// A pool or a breaker.
#[derive(Clone, Debug)]
pub enum What {
    /// A pool.
    Pool(PoolProfile),
    /// A breaker.
    Breaker(Box<BreakerProfile>),
}

impl Kind {
    /// How it is named.
    pub fn name(&self) -> &[Template] {
        match &self.what {
            What::Pool(pool) => &pool.name,
            What::Breaker(breaker) => &breaker.name,
        }
    }
}

/// All profiles, ready to be looked up by the name of a sample.
pub struct Profiles {
    /// The profiles: the user's own, then the built-in ones.
    pub list: Vec<Profile>,
    kinds: Vec<Kind>,
    by_name: HashMap<String, Vec<usize>>,
    by_pattern: Vec<(Selector, usize)>,
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|profile| &profile.name)).finish()
    }
}

impl Profiles {
    /// The built-in profiles.
    pub fn built_in() -> Arc<Self> {
        static BUILT_IN: OnceLock<Arc<Profiles>> = OnceLock::new();
        Arc::clone(BUILT_IN.get_or_init(|| Arc::new(Self::index(built_in_list().to_vec()))))
    }

    /// The built-in profiles and a user's own, which come first and replace those of the same name.
    ///
    /// # Errors
    /// Says which profile is wrong, and why.
    pub fn with(own: Vec<Profile>) -> Result<Arc<Self>, ProfileError> {
        for (place, profile) in own.iter().enumerate() {
            profile.check()?;
            if own[..place].iter().any(|other| other.name == profile.name) {
                let fault = "there are two of that name".to_owned();
                return Err(ProfileError { profile: profile.name.clone(), fault });
            }
        }
        let mut list = own;
        let kept = list.len();
        for profile in built_in_list() {
            if list[..kept].iter().all(|own| own.name != profile.name) {
                list.push(profile.clone());
            }
        }
        for profile in &list[..kept] {
            if let Some(unknown) =
                profile.yields_to.iter().find(|name| list.iter().all(|other| other.name != **name))
            {
                let fault = format!("yields_to names `{unknown}`, which does not exist");
                return Err(ProfileError { profile: profile.name.clone(), fault });
            }
        }
        Ok(Arc::new(Self::index(list)))
    }

    fn index(list: Vec<Profile>) -> Self {
        let mut kinds = Vec::new();
        for (profile, one) in list.iter().enumerate() {
            for pool in &one.pools {
                let (selectors, inner) = (pool.selectors(), pool.inner_labels());
                kinds.push(Kind { profile, what: What::Pool(pool.clone()), selectors, inner });
            }
            for breaker in &one.breakers {
                let (selectors, inner) = (breaker.selectors(), breaker.inner_labels());
                kinds.push(Kind {
                    profile,
                    what: What::Breaker(Box::new(breaker.clone())),
                    selectors,
                    inner,
                });
            }
        }
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_pattern = Vec::new();
        for (place, kind) in kinds.iter().enumerate() {
            for selector in &kind.selectors {
                let Some(names) = selector.name.exact() else {
                    by_pattern.push((selector.clone(), place));
                    continue;
                };
                for name in names {
                    let kinds = by_name.entry(name).or_default();
                    if kinds.last() != Some(&place) {
                        kinds.push(place);
                    }
                }
            }
        }
        Self { list, kinds, by_name, by_pattern }
    }

    /// Every kind of pool and breaker, in the order of the profiles.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kinds that a sample of that canonical name may belong to, as places in [`Profiles::kinds`].
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let exact = self.by_name.get(name).into_iter().flatten().copied();
        let mut last = None;
        let alike = self.by_pattern.iter().filter(|(selector, _)| selector.name.matches(name));
        exact.chain(alike.map(|(_, place)| *place).filter(move |place| {
            let again = last == Some(*place);
            last = Some(*place);
            !again
        }))
    }

    /// True when some profile reads samples of that name.
    pub fn want(&self, name: &str) -> bool {
        self.of(&canonical(name)).next().is_some()
    }
}

macro_rules! files {
    ($($file:literal),* $(,)?) => {
        [$(include_str!(concat!("../../../assets/profiles/", $file, ".toml"))),*]
    };
}

/// The built-in profiles' files.
const FILES: [&str; 17] = files![
    "agroal",
    "go-database-sql",
    "gobreaker",
    "hikaricp-micrometer",
    "hikaricp-native",
    "howdah",
    "microprofile",
    "opentelemetry",
    "opentelemetry-old",
    "pgbouncer-exporter",
    "pgxpool",
    "polly",
    "rails",
    "resilience4j",
    "spring-jdbc",
    "sqlalchemy",
    "tower-resilience",
];

#[expect(
    clippy::expect_used,
    reason = "the files are part of the binary and a test reads them all"
)]
fn built_in_list() -> &'static [Profile] {
    static LIST: OnceLock<Vec<Profile>> = OnceLock::new();
    LIST.get_or_init(|| {
        FILES
            .iter()
            .map(|text| Profile::from_toml(text).expect("a sound built-in profile"))
            .collect()
    })
}
