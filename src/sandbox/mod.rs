//! The demo: a throw-away cluster, applications with real load, and incidents for game days.
//!
//! | file | duty |
//! |---|---|
//! | [`app`] | the demo applications: a small bank on our own resilience library |
//! | [`demo`] | a cluster, its applications and its guard, together |
//! | [`keeping`] | its repository: WAL, backups and a proof, made for real in the background |
//! | [`incident`] | what can be done to a running demo |
//! | `damage` | incidents of the archive and of the repository |
//! | `small_disk` | a file system of the repository's own, so that it can run full |
//! | [`running`] | the notes by which a second terminal finds a demo |
//! | [`entry`] | the hidden subcommands for all these helpers |
//!
//! Everything here is synchronous: use `spawn_blocking` from asynchronous code.

pub mod app;
mod damage;
pub mod demo;
pub mod entry;
mod error;
pub mod incident;
pub mod keeping;
pub mod running;
mod settings;
mod small_disk;

pub use demo::{Demo, DemoOptions, DemoTarget, Kept};
pub use error::SandboxError;
pub use incident::Incident;
pub use running::{DemoHandle, Endpoint, Registry};
