//! The console's loop.

pub use super::model;
