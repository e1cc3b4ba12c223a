//! The server itself as a source: one connection, one statement a second.

mod cost;
mod facts;
mod own;
mod probe;
mod session;
mod statements;
mod trouble;

pub use facts::Facts;
pub use probe::{Event, Watcher};

/// The name of the server among the sources.
pub const SERVER: &str = "server";
