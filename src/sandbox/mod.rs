//! The demo: a throw-away cluster, applications with real load, and incidents for game days.
//!
//! | file | duty |
//! |---|---|
//! | [`app`] | the demo applications: a small bank on our own resilience library |
//! | [`demo`] | a cluster, its applications and its guard, together |
//! | [`incident`] | what can be done to a running demo |
//! | [`running`] | the notes by which a second terminal finds a demo |
//! | [`entry`] | the hidden subcommands for all these helpers |
//!
//! Everything here is synchronous: use `spawn_blocking` from asynchronous code.

pub mod app;
pub mod demo;
pub mod entry;
mod error;
pub mod incident;
pub mod running;

pub use demo::{Demo, DemoOptions, DemoTarget, Kept};
pub use error::SandboxError;
pub use incident::Incident;
pub use running::{DemoHandle, Endpoint, Registry};
