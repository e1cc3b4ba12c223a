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
//! | [`closure`] | the entries of a dump that belong to a table |
//! | [`tables`] | tables into a side schema, or back where they were |
//! | `leftover` | what a restore of tables that was killed has left |
//! | [`side`] | what a side schema knows of itself, and the columns on both sides |
//! | [`diff`] | side against live: rows missing, changed, extra; sequences; orphans |
//! | [`copy_back`] | from the side schema into the live tables, and back again |
//! | [`messages`] | what `pg_restore` says, and what to do about it |
//! | [`sql`] | words and statements of SQL, as far as we must tell them apart |
//! | [`record`] | a finished restore, kept for the next estimate |

pub mod check;
pub mod closure;
pub mod copy_back;
pub mod database;
pub mod diff;
mod leftover;
pub mod messages;
pub mod plan;
pub mod privileges;
pub mod record;
pub mod side;
pub mod source;
pub mod sql;
pub mod tables;
pub mod target;

pub use source::{Source, Which};
pub use target::Target;

use crate::base::clock::Timestamp;

/// A moment as a part of names, to the millisecond, so that two deeds in one second do not meet:
/// `20261125_020000_123`.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%d_%H%M%S_%3f").to_string()
}
