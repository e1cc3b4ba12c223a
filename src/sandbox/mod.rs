//! Throw-away clusters, demo applications with real load, and incidents for game days.
//!
//! | file | duty |
//! |---|---|
//! | [`binaries`] | find PostgreSQL's server programs, or say how to install them |
//! | [`folder`] | a private temporary folder, owned by the account that the server runs as |
//! | [`server`] | a server in such a folder: start, stop, kill, hang, resume, ask |
//! | [`cluster`] | make one, and remove it whatever happens to the owner's code |
//! | [`guard`] | a process that puts everything away when its owner is gone |
//! | [`app`] | the demo applications: a small bank on our own resilience library |
//! | [`demo`] | a cluster, its applications and its guard, together |
//! | [`incident`] | what can be done to a running demo |
//! | [`running`] | the notes by which a second terminal finds a demo |
//! | [`entry`] | the hidden subcommands for all these helpers |
//! | [`process`] | what runs on this machine, as far as a sandbox must know |
//!
//! Everything here is synchronous: use `spawn_blocking` from asynchronous code.

pub mod app;
pub mod binaries;
pub mod cluster;
pub mod demo;
pub mod entry;
mod error;
pub mod folder;
pub mod guard;
pub mod incident;
pub mod process;
pub mod running;
pub mod server;

pub use cluster::{Cluster, Durability, Options};
pub use demo::{Demo, DemoOptions, DemoTarget, Kept};
pub use error::SandboxError;
pub use incident::Incident;
pub use running::{DemoHandle, Endpoint, Registry};
pub use server::{Server, Stop, Via};
