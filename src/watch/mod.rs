//! Seeing: what is true of a target now, from every source that can tell.

pub mod snapshot;
pub mod sources;
