//! PostgreSQL's programs on this machine, and throw-away clusters made with them.
//!
//! | file | duty |
//! |---|---|
//! | [`binaries`] | find PostgreSQL's server programs, or say how to install them |
//! | [`folder`] | a private temporary folder, owned by the account that the server runs as |
//! | [`server`] | a server in such a folder: start, stop, kill, hang, resume, ask |
//! | [`throwaway`] | make one, and remove it whatever happens to the owner's code |
//! | [`guard`] | a process that puts everything away when its owner is gone |
//! | [`lock_file`] | what `postmaster.pid` says |
//! | [`postmaster`] | any server of this machine, hung or not, as the system tells of it |
//!
//! Everything here is synchronous: use `spawn_blocking` from asynchronous code.

pub mod binaries;
mod error;
pub mod folder;
pub mod guard;
pub mod lock_file;
pub mod postmaster;
pub mod server;
pub mod throwaway;

pub use binaries::Binaries;
pub use error::ClusterError;
pub use lock_file::LockFile;
pub use server::{Server, Stop, Via};
pub use throwaway::{Cluster, Durability, Options, free_port};
