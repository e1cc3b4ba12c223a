//! Coming back: repository, backup, WAL archive, restore, proof.
//!
//! | file | its duty |
//! |---|---|
//! | [`fault`] | what can go wrong, in words with a remedy, and of which kind |
//! | [`session`] | a blocking session with the server, for work that runs in its own process |
//! | [`libpq`] | our connection settings as the environment of PostgreSQL's own tools |
//! | [`engines`] | pgBackRest, Barman and WAL-G: their history beside our own, their checks and restores |
//! | [`repository`] | where backups, WAL and proofs are kept: layout, storage, manifests, catalogue |
//!
//! Everything here is synchronous: long work runs in a process of its own and reads top-down. Use
//! `spawn_blocking` from asynchronous code.

pub mod engines;
pub mod fault;
pub mod libpq;
pub mod repository;
pub mod session;

pub use fault::{Fault, Kind, Result};
pub use repository::Repository;
