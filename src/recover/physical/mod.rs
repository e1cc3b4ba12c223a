//! Physical restore: from a base backup and archived WAL to a cluster as it was at one moment.
//!
//! | file | its duty |
//! |---|---|
//! | [`timeline`] | names of WAL files, and the way from one timeline to another |
//! | [`archive`] | where WAL is kept, as this room needs it |
//! | [`chain`] | which WAL follows a backup without a gap, by its names |
//! | [`survey`] | what stands in that WAL: damage, transactions, restore points |
//! | [`target`] | the moment that is wanted, and what reaching it must look like |
//! | [`guards`] | what a restore must never touch |
//! | [`fetchable`] | whether the server's account can bring WAL back |
//! | [`plan`] | what would be done, before anything is |
//! | [`unpack`] | a backup's files, checked, below a new folder |
//! | `below` | files and folders below one place, and nowhere else |
//! | `compare` | what was unpacked, held against PostgreSQL's own list |
//! | [`configure`] | the settings of a restored cluster |
//! | [`recovering`] | the server, from its start to its first write, asked and not believed |
//! | `control` | what `pg_control` says: whose it is, and what its server needs |
//! | [`restore`] | the whole of it, with its record |
//! | [`restored`] | what waits at its target: it is let go, or thrown away |
//! | [`salvage`] | tables out of a cluster that waits at its target |
//! | [`record`] | what a restored folder says of itself |
//!
//! The server is started towards an explicit target and stops there, paused: what it reached is compared
//! with what the WAL promised before it is let go. PostgreSQL itself ends recovery at a gap with exit code 0
//! when no target is set, and `pg_ctl -w` returns 0 over a recovery that dies afterwards.

pub mod archive;
mod below;
pub mod chain;
mod compare;
pub mod configure;
mod control;
pub mod fetchable;
pub mod guards;
pub mod plan;
pub mod record;
pub mod recovering;
pub mod restore;
pub mod restored;
pub mod salvage;
pub mod survey;
pub mod target;
pub mod timeline;
pub mod unpack;

pub use archive::{Archive, PlainFolder};
pub use plan::{Order, Plan};
pub use target::Target;
