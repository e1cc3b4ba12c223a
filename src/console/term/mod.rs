//! The terminal: taking it, drawing on it, reading from it, giving it back.
//!
//! The only place that names crossterm. Everything goes through a descriptor of our own that never
//! blocks ([`tty`]), because a terminal that nobody reads would otherwise stop whoever writes to it.

pub mod backend;
pub mod frame;
pub mod input;
pub mod session;
pub mod signals;
pub mod tty;
pub mod watchdog;
