//! Where a thread counts.
//!
//! Two cores that count on one cache line wait for each other longer than all else in a call takes. So what
//! every call counts is kept in a few sets, on lines of their own: a thread counts in one, whoever reads
//! adds them up.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Sets of counters. More threads than these share them, and rarely meet.
pub(super) const SEATS: usize = 4;

/// The set of this thread. Threads take them in turns as they come, so that a runtime's workers have
/// different ones.
#[inline]
pub(super) fn seat() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SEAT: usize = NEXT.fetch_add(1, Relaxed) % SEATS;
    }
    SEAT.with(|seat| *seat)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    #[test]
    fn a_thread_keeps_its_seat_and_all_seats_are_taken() {
        assert_eq!(seat(), seat());
        let taken: BTreeSet<usize> = (0..64)
            .map(|_| thread::spawn(seat).join().expect("no panic"))
            .inspect(|seat| assert!(*seat < SEATS))
            .collect();
        assert_eq!(taken.len(), SEATS);
    }
}
