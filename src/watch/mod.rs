//! Seeing: what is true of a target now, from every source that can tell.

pub mod alerts;
pub mod assemble;
pub mod beat;
pub mod checks;
pub mod recoverability;
pub mod sampler;
pub mod server;
pub mod silences;
pub mod snapshot;
pub mod sources;
