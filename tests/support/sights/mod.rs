//! Snapshots of good and bad days, with values as they really occur. For the tests of the screens and the
//! benchmark of drawing.
#![allow(clippy::too_many_lines, reason = "a sight is one long value")]
#![allow(unused_imports, reason = "each test looks at some of them")]

mod bad;
mod ends;
mod engines;
mod good;
mod kept;
mod parts;
mod quiet;

use howdah::{
    base::clock::{Stamp, Timestamp},
    watch::snapshot::Snapshot,
};

pub use self::{
    bad::{crowded, degraded},
    ends::{blind, down, empty, hung, loading, met, refused, stale},
    engines::engines,
    good::healthy,
    kept::job,
    quiet::quiet,
};

/// Now, in every sight: eleven days after the start of the console.
pub const NOW: Stamp = Stamp::from_nanos(1_000_000_000_000_000);

/// Now, for people.
pub fn wall() -> Timestamp {
    "2026-11-23T09:14:07Z".parse().expect("a moment")
}

/// Every sight with its name.
pub fn all() -> Vec<(&'static str, Snapshot)> {
    vec![
        ("loading", loading()),
        ("met", met()),
        ("healthy", healthy()),
        ("degraded", degraded()),
        ("down", down()),
        ("hung", hung()),
        ("stale", stale()),
        ("refused", refused()),
        ("blind", blind()),
        ("empty", empty()),
        ("engines", engines()),
        ("quiet", quiet()),
    ]
}
