//! Notices that the terminal is gone, when nobody else does.
//!
//! crossterm 0.29 spins on a terminal that has gone away and reports nothing
//! (<https://github.com/crossterm-rs/crossterm/issues/793>), and SIGHUP may be ignored, as under `nohup`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::tty::Tty;

/// How often it looks whether it is still needed. It learns at once that the terminal is gone.
const ROUND: Duration = Duration::from_secs(30);

/// Waits until the terminal is gone, then returns true; false when `stop` was set before.
pub fn watch(tty: &Tty, stop: &Arc<AtomicBool>) -> bool {
    while !stop.load(Ordering::Relaxed) {
        if tty.wait_gone(ROUND) {
            return true;
        }
    }
    false
}
