//! Coming back: repository, backup, WAL archive, restore, proof.
//!
//! | file | its duty |
//! |---|---|
//! | [`fault`] | what can go wrong, in words with a remedy, and of which kind |
//! | [`session`] | a blocking session with the server, for work that runs in its own process |
//! | [`libpq`] | our connection settings as the environment of PostgreSQL's own tools |
//! | [`dump`] | dumps in `pg_dump`'s custom format, read by ourselves |
//! | [`restore`] | databases and tables from logical backups: plan, run, check, compare, copy back, undo |
//! | [`checkup`] | what is looked at after a restore, of whichever kind |
//! | [`physical`] | from a base backup and archived WAL to a cluster as it was at one moment |
//! | [`engines`] | pgBackRest, Barman and WAL-G: their history beside our own, their checks and restores |
//! | [`repository`] | where backups, WAL and proofs are kept: layout, storage, manifests, catalogue |
//!
//! Everything here is synchronous: long work runs in a process of its own and reads top-down. Use
//! `spawn_blocking` from asynchronous code.

pub mod checkup;
pub mod dump;
pub mod engines;
pub mod fault;
pub mod libpq;
pub mod physical;
pub mod repository;
pub mod restore;
pub mod session;

pub use fault::{Fault, Kind, Result};
pub use repository::Repository;
