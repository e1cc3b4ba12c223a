//! Where facts come from: applications' metrics endpoints and PgBouncer's admin console.

pub mod address;
pub mod endpoint;
pub mod exposition_text;
pub mod interpret;
pub mod pace;
pub mod pgbouncer;
pub mod profile;
pub mod profiles;
pub mod scrape;
pub mod selector;

use super::snapshot::{Breaker, Pool, Source};

/// What one attempt to ask a source brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The source, with its problem if there is one.
    pub source: Source,
    /// True when pools and breakers are what this attempt told. False when it failed: then there are
    /// none here, and the last ones stay known and grow old.
    pub answered: bool,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// Its breakers.
    pub breakers: Vec<Breaker>,
}

impl Reading {
    /// What a failed attempt brings.
    pub const fn failed(source: Source) -> Self {
        Self { source, answered: false, pools: Vec::new(), breakers: Vec::new() }
    }
}
