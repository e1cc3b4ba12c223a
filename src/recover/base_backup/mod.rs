//! What stands inside a base backup of PostgreSQL's: its own manifest, its label, and the members of its
//! tar archives.
//!
//! | file | its duty |
//! |---|---|
//! | [`label`] | `backup_label` and `tablespace_map` |
//! | [`manifest`] | `backup_manifest`: every file with its hash, and the WAL that is needed |
//! | [`members`] | reads tar archives and compares them with that |

pub mod label;
pub mod manifest;
pub mod members;

pub use label::Label;
pub use manifest::BaseManifest;
pub use members::{Destination, Members, compare, tablespace_prefix};
