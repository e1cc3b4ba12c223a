//! howdah: the operator's seat on a PostgreSQL cluster.
//!
//! | room | what it is for | may enter |
//! |---|---|---|
//! | [`base`] | clean text, clock, units, secrets, configuration, folders, logs, progress, the ledger; knows no PostgreSQL | – |
//! | [`resilience`] | what an application embeds: connection settings, TLS, connect with retry, breaker, pool, guarded call, metrics | `base` |
//! | [`watch`] | seeing: sources, checks, detector, alerts, the snapshot of everything shown | `base`, `resilience` |
//! | [`cluster`] | PostgreSQL's programs on this machine, and throw-away clusters made with them | `base` |
//! | [`recover`] | coming back: repository, backup, WAL archive, restore, proof | `base`, `resilience`, `cluster` |
//! | [`jobs`] | long work that outlives the terminal: a process of its own with a journal | `base`, `resilience`, `watch`, `recover` |
//! | [`guide`] | walking a person through: guides as data, a pure machine, a journal, plain lines | `base`, `jobs` |
//! | [`sandbox`] | the demo: a cluster, applications with real load, incidents for game days | the above |
//! | `console` | the full-screen console (feature `console`) | the above |
//! | [`cli`] | one file per subcommand; text and JSON output; opens the console | the above |
//!
//! Imports point one way, as the table reads; a test holds every `use crate::` against it.

pub mod base;
pub mod cli;
pub mod cluster;
pub mod guide;
pub mod jobs;
pub mod recover;
pub mod resilience;

pub mod sandbox;
pub mod watch;

#[cfg(feature = "console")]
pub mod console;
