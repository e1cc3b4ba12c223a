//! The server itself as a source: one connection, one statement a second.

mod cost;
mod facts;
mod own;
mod probe;
mod session;
pub mod sessions;
pub mod space;
mod statements;
mod trouble;

pub use facts::{Facts, Standing};
pub use probe::{Assignment, Checked, Event, Watcher};

// Where the checks name it too, which know nothing of this room.
pub use super::checks::derived::SERVER;
