//! Keys as people write them, and which command each one means.

pub mod key;
pub mod keymap;
