//! Throw-away clusters, demo applications with real load, and incidents for game days.
//!
//! | file | duty |
//! |---|---|
//! | [`binaries`] | find PostgreSQL's server programs, or say how to install them |
//! | [`folder`] | a private temporary folder, owned by the account that the server runs as |
//! | [`server`] | a server in such a folder: start, stop, kill, hang, resume, ask |
//! | [`cluster`] | make one, and remove it whatever happens to the owner's code |
//! | [`process`] | what runs on this machine, as far as a sandbox must know |
//!
//! Everything here is synchronous: use `spawn_blocking` from asynchronous code.

pub mod binaries;
pub mod cluster;
mod error;
pub mod folder;
pub mod guard;
pub mod process;
pub mod running;
pub mod server;

pub use cluster::{Cluster, Durability, Options};
pub use error::SandboxError;
pub use server::{Server, Stop, Via};
