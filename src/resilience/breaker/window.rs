//! What happened lately: calls, failures and slow calls over a sliding stretch of time.
//!
//! Ten buckets, each of a tenth of the stretch. A bucket's counters carry the number of the tick
//! that they belong to, so that a bucket is emptied by the first call that finds it stale: nobody
//! sweeps, nobody locks, and a call costs one addition whatever the traffic was.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    base::clock::Stamp,
    resilience::seat::{SEATS, seat},
};

/// Buckets of a window. Ten, as Hystrix and Polly have it: the window's length is true to a tenth.
pub const BUCKETS: usize = 10;

/// Calls over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All that were counted: good, failed and slow.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, failed or not.
    pub slow: u64,
}

/// A sliding window. Any number of threads may record and read.
#[derive(Debug)]
pub struct Window {
    sets: [Set; SEATS],
    tick: u64,
}

/// What some of the threads counted. Pairs of cache lines of its own, because processors fetch lines in
/// pairs: threads of one set must not slow those of another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug, Default)]
struct Bucket {
    calls: Tagged,
    failures: Tagged,
    slow: Tagged,
}

/// A count with the tick that it belongs to: tick in the upper half, count in the lower. A tick comes
/// around after 2^32 of them (13 years of 100 ms), a count overflows after 4 billion in one tick.
#[derive(Debug, Default)]
struct Tagged(AtomicU64);

impl Tagged {
    fn add(&self, tag: u64) {
        let mut word = self.0.load(Relaxed);
        loop {
            if word >> 32 == tag {
                // Should the tick turn here, this call counts in the next one: off by one tick at most.
                self.0.fetch_add(1, Relaxed);
                return;
            }
            match self.0.compare_exchange_weak(word, tag << 32 | 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    fn get(&self, tag: u64) -> u64 {
        let word = self.0.load(Relaxed);
        if word >> 32 == tag { word & u64::from(u32::MAX) } else { 0 }
    }
}

impl Window {
    /// An empty window that looks back over `length` (at least ten nanoseconds).
    pub fn new(length: Duration) -> Self {
        let tick = (length.as_nanos() as u64 / BUCKETS as u64).max(1);
        Self { sets: Default::default(), tick }
    }

    /// Counts a call that ended at `now`.
    #[inline]
    pub fn record(&self, now: Stamp, failed: bool, slow: bool) {
        let tick = now.nanos() / self.tick;
        let (bucket, tag) = (&self.sets[seat()].buckets[tick as usize % BUCKETS], tag(tick));
        bucket.calls.add(tag);
        if failed {
            bucket.failures.add(tag);
        }
        if slow {
            bucket.slow.add(tag);
        }
    }

    /// What the last ten ticks hold, the present one included.
    pub fn sums(&self, now: Stamp) -> Sums {
        let last = now.nanos() / self.tick;
        let mut sums = Sums::default();
        for tick in last.saturating_sub(BUCKETS as u64 - 1)..=last {
            for set in &self.sets {
                let (bucket, tag) = (&set.buckets[tick as usize % BUCKETS], tag(tick));
                sums.calls += bucket.calls.get(tag);
                sums.failures += bucket.failures.get(tag);
                sums.slow += bucket.slow.get(tag);
            }
        }
        sums
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for bucket in self.sets.iter().flat_map(|set| &set.buckets) {
            for count in [&bucket.calls, &bucket.failures, &bucket.slow] {
                count.0.store(0, Relaxed);
            }
        }
    }
}

/// The tag of a tick; never 0, which marks an empty bucket.
const fn tag(tick: u64) -> u64 {
    (tick + 1) & u32::MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Stamp {
        Stamp::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn old_calls_fall_out_bucket_by_bucket() {
        let window = Window::new(Duration::from_secs(10));
        for second in 0..10 {
            window.record(at(second), second % 2 == 0, second == 9);
        }
        assert_eq!(window.sums(at(9)), Sums { calls: 10, failures: 5, slow: 1 });
        assert_eq!(window.sums(at(12)), Sums { calls: 7, failures: 3, slow: 1 });
        assert_eq!(window.sums(at(19)), Sums::default());
        window.record(at(20), false, false);
        assert_eq!(window.sums(at(20)).calls, 1);
        window.clear();
        assert_eq!(window.sums(at(20)), Sums::default());
    }

    #[test]
    fn threads_lose_no_call() {
        let window = Window::new(Duration::from_secs(1000));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..50_000_u64 {
                        window.record(at(n / 1_000), n % 2 == 0, n % 5 == 0);
                    }
                });
            }
        });
        let sums = window.sums(at(49));
        assert_eq!(sums, Sums { calls: 100_000, failures: 50_000, slow: 20_000 });
    }
}
