//! The WAL archive: files on their way in and out, and what can be proven of the whole.
//!
//! | file | its duty |
//! |---|---|
//! | [`segment`], [`history`], [`page`] | names and positions, timelines, page headers: pure |
//! | [`archive`] | where archived files stand: in the repository, or in a plain folder |
//! | [`put`], [`fetch`] | `archive_command` and `restore_command` |
//! | [`spool`] | segments that are fetched before they are asked for |
//! | [`mod@chain`] | what is there and what is missing, by names: for proofs and windows |
//! | [`verify`], [`verified`] | what reading it proves, and what was proven before |
//! | [`dump`] | PostgreSQL's `pg_waldump` |
//! | [`find`] | from 'the table is gone' to the position just before |
//! | [`setup`] | lets a server archive: plan, trial, apply, undo |
//! | [`canary`] | a segment sent through the archive and back: is it there, is it whole, how long did it take |
//! | [`status`] | the archive beside the server: what would be lost now |

pub mod archive;
pub mod canary;
pub mod chain;
pub mod dump;
pub mod fetch;
pub mod find;
pub mod history;
mod incoming;
pub mod page;
mod parallel;
pub mod put;
pub mod segment;
pub mod setup;
pub mod spool;
pub mod status;
pub mod verified;
pub mod verify;

pub use archive::Archive;
pub use chain::{Chain, chain, covers};
pub use segment::{Segment, WalFile};
