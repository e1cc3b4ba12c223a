//! Dumps in `pg_dump`'s custom format, read by ourselves: the table of contents with its dependencies, which
//! `pg_restore -l` does not print, and the blocks of data behind it.
//!
//! | file | its duty |
//! |---|---|
//! | [`input`] | the format's bytes, integers, texts and offsets |
//! | [`toc`] | the header and the table of contents |
//! | [`blocks`] | the data behind it, read once from front to end |
//! | [`seekable`] | a dump that came through a pipe, written so that `pg_restore` can jump in it |
//!
//! Format versions 1.12 to 1.16, that is `pg_dump` 9.0 to 18. Source of every rule here: PostgreSQL's
//! `pg_backup_archiver.c` (`ReadHead`, `ReadToc`) and `pg_backup_custom.c`.

pub mod blocks;
pub mod input;
pub mod seekable;
pub mod toc;

pub use blocks::{Count, Sink, Tally, walk};
pub use input::Input;
pub use toc::{Entry, Header, Packed, Section, Toc};

#[cfg(test)]
mod tests;
