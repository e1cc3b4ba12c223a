//! A wish to stop: a flag that a signal, a person or a caller sets and that long work looks at.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// The flag. Its clones are one flag; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicUsize>);

/// Set without a signal: a number that no signal has.
const BY_HAND: usize = usize::MAX;

impl Cancel {
    /// A flag that only [`Cancel::cancel`] sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that SIGINT, SIGTERM and SIGHUP set, too. A signal that this process was started with as
    /// ignored (SIGHUP under `nohup`, SIGINT behind a shell's `&`) stays ignored. The handlers remain
    /// for the life of the process: make one such flag, early, and clone it.
    pub fn on_signals() -> io::Result<Self> {
        let cancel = Self::new();
        let ignored = ignored_signals();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored & (1 << (signal - 1)) == 0 {
                flag::register_usize(signal, Arc::clone(&cancel.0), signal as usize)?;
            }
        }
        Ok(cancel)
    }

    /// As [`Cancel::on_signals`] for work that has no terminal of its own: SIGHUP does not end it.
    pub fn detached() -> io::Result<Self> {
        let cancel = Self::new();
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&cancel.0), signal as usize)?;
        }
        flag::register_usize(SIGHUP, Arc::default(), SIGHUP as usize)?;
        Ok(cancel)
    }

    /// Asks for the end.
    pub fn cancel(&self) {
        // What a signal has said stands.
        let _ = self.0.compare_exchange(0, BY_HAND, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// True once the end is wished.
    pub fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// The number of the signal that asked for it (the last one, when several did), for the exit code
    /// 128 + number.
    pub fn signal(&self) -> Option<u8> {
        match self.0.load(Ordering::SeqCst) {
            0 | BY_HAND => None,
            number => u8::try_from(number).ok(),
        }
    }
}

/// The signals that this process ignores, one bit each, as proc(5) has them in `status`. None are known
/// where there is no `/proc`.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_one_flag_that_stays_set() {
        let cancel = Cancel::new();
        let clone = cancel.clone();
        assert!(!clone.cancelled());
        cancel.cancel();
        assert!(clone.cancelled());
        assert_eq!(clone.signal(), None, "nobody sent a signal");
    }

    #[test]
    fn a_signal_sets_it_and_is_named() {
        let cancel = Cancel::new();
        // A signal of no other use in the tests of this library.
        let signal = signal_hook::consts::SIGUSR2;
        flag::register_usize(signal, Arc::clone(&cancel.0), signal as usize).expect("registered");
        signal_hook::low_level::raise(signal).expect("raised");
        assert_eq!(cancel.signal(), u8::try_from(signal).ok());
        cancel.cancel();
        assert_eq!(cancel.signal(), u8::try_from(signal).ok(), "the signal was first");
    }
}
