//! Getting databases and tables back from logical backups.
//!
//! A restore is *plan, confirmation, run, check, record*. Nothing that exists is written to: a database comes
//! back under a new name, tables into a schema of their own beside the live ones, where they are compared
//! and copied back by a statement list that can be read beforehand and undone afterwards.
//!
//! | file | its duty |
//! |---|---|
//! | [`source`] | which backup, and its dump: unpacked with both hashes checked |
//! | [`target`] | the server that is restored to, and PostgreSQL's tools against it |
//! | [`plan`] | what restoring a database will do, and what stands in the way |
//! | [`database`] | a whole database into a new one |
//! | [`check`] | whether what came back is what was backed up |
//! | [`messages`] | what `pg_restore` says, and what to do about it |
//! | [`sql`] | words and statements of SQL, as far as we must tell them apart |
//! | [`record`] | a finished restore, kept for the next estimate |

pub mod check;
pub mod database;
pub mod messages;
pub mod plan;
pub mod record;
pub mod source;
pub mod sql;
pub mod target;

pub use source::{Source, Which};
pub use target::Target;

use crate::base::clock::Timestamp;

/// A moment as a part of names: `20261125_020000`.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%d_%H%M%S").to_string()
}
