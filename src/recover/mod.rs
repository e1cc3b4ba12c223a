//! Coming back: repository, backup, WAL archive, restore, proof.
//!
//! | file | its duty |
//! |---|---|
//! | [`fault`] | what can go wrong, in words with a remedy, and of which kind |
//! | [`session`] | a blocking session with the server, for work that runs in its own process |
//! | [`libpq`] | our connection settings as the environment of PostgreSQL's own tools |
//! | [`backup`] | taking backups |
//! | [`base_backup`] | what stands inside a base backup of PostgreSQL's |
//! | [`retention`] | which backups and which WAL may go |
//! | [`verify`] | raising a backup's level of proof |
//! | [`inspection`] | everything that is kept, looked at |
//! | [`dump`] | dumps in `pg_dump`'s custom format, read by ourselves |
//! | [`restore`] | databases and tables from logical backups: plan, run, check, compare, copy back, undo |
//! | [`checkup`] | what is looked at after a restore, of whichever kind |
//! | [`physical`] | from a base backup and archived WAL to a cluster as it was at one moment |
//! | [`engines`] | pgBackRest, Barman and WAL-G: their history beside our own, their checks and restores |
//! | [`drill`] | a backup restored into a scratch cluster, looked at, measured, thrown away |
//! | [`proof`] | what such a restore proved |
//! | [`stopwatch`] | how long a restore takes, phase by phase |
//! | [`measured`] | restores that really ran, as measures of the RTO |
//! | [`reach`] | which moments the WAL behind the base backups reaches, and what is missing |
//! | [`window`] | what can be brought back now: RPO, RTO, the moments that can be restored |
//! | [`repository`] | where backups, WAL and proofs are kept: layout, storage, manifests, catalogue |
//! | [`wal`] | the WAL archive: archive, fetch, verify, find |
//!
//! Everything here is synchronous: long work runs in a process of its own and reads top-down. Use
//! `spawn_blocking` from asynchronous code.

pub mod backup;
pub mod base_backup;
pub mod checkup;
pub mod drill;
pub mod dump;
pub mod engines;
pub mod fault;
pub mod inspection;
pub mod libpq;
pub mod measured;
pub mod physical;
pub mod proof;
pub mod reach;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod session;
pub mod stopwatch;
pub mod verify;
pub mod wal;
pub mod window;

pub use fault::{Fault, Kind, Result};
pub use repository::Repository;
