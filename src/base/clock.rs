//! The only place that reads a clock.
//!
//! Ages and deadlines are measured on the monotonic clock ([`Stamp`]): a wall clock that is set back
//! must never make old data look fresh. Wall time ([`Timestamp`]) is for people and for records.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// A moment on the monotonic clock, in nanoseconds. Of the system's clock, [`PAST`] is when this process
/// first read it, so that what others tell of the time before has a stamp too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Stamp(u64);

/// How far stamps reach back behind the start of the process: ten years.
pub const PAST: Duration = Duration::from_hours(10 * 365 * 24);

impl Stamp {
    /// The moment `nanos` on that scale.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds on that scale.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero when `earlier` lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `later` after this one.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_nanos() as u64))
    }

    /// The moment `earlier` before this one, at the earliest that a stamp can say.
    #[must_use]
    pub const fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_nanos() as u64))
    }
}

/// The wall time from one moment to another; zero when the clock was set back meanwhile.
pub fn passed(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or(Duration::ZERO)
}

/// A clock that can be read: the system's, or one that a test moves by hand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<TestTime>>);

#[derive(Debug)]
struct TestTime {
    nanos: AtomicU64,
    start: Timestamp,
}

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at stamp zero and at 2026-01-01T00:00:00Z until [`Clock::advance`] moves it.
    pub fn test() -> Self {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        Self(Some(Arc::new(TestTime { nanos: AtomicU64::new(0), start })))
    }

    /// Moves a test clock forward. The system's clock cannot be moved: for it this does nothing.
    pub fn advance(&self, by: Duration) {
        if let Some(test) = &self.0 {
            test.nanos.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    /// Now, on the monotonic clock.
    #[inline]
    pub fn now(&self) -> Stamp {
        match &self.0 {
            None => system_now(),
            Some(test) => Stamp(test.nanos.load(Ordering::SeqCst)),
        }
    }

    /// The moment `stamp` for the runtime's timers, which know the system's clock only: on a test clock,
    /// as far ahead of the real now as `stamp` is of the test's.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test clock's distance is laid on the real one"
    )]
    pub fn instant(&self, stamp: Stamp) -> Instant {
        let (from, ahead) = match &self.0 {
            None => (start(), stamp.since(Stamp::default().plus(PAST))),
            Some(_) => (Instant::now(), stamp.since(self.now())),
        };
        // Too far ahead for the platform is as good as never.
        from.checked_add(ahead).unwrap_or_else(|| from + Duration::from_hours(24 * 365))
    }

    /// Now, for people and records.
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            None => system_wall(),
            Some(test) => {
                let passed = Duration::from_nanos(test.nanos.load(Ordering::SeqCst));
                test.start.saturating_add(passed).unwrap_or(test.start)
            }
        }
    }
}

/// Reads a moment as people write it: RFC 3339 (`2026-11-09T02:00:00Z`), a date or a date and a time of UTC
/// (`2026-11-09`, `2026-11-09 02:00`), or how long before `now` (`2d`, `1h30m`).
pub fn parse_moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
        return jiff::tz::TimeZone::UTC.to_timestamp(civil).ok();
    }
    now.checked_sub(super::units::parse_span(text)?).ok()
}

#[inline]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

#[inline]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn system_now() -> Stamp {
    let start = start();
    Stamp(PAST.as_nanos() as u64 + Instant::now().duration_since(start).as_nanos() as u64)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_wall() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_moves_only_by_hand() {
        let clock = Clock::test();
        let before = (clock.now(), clock.wall());
        assert_eq!(before, (clock.now(), clock.wall()));
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().since(before.0), Duration::from_millis(1500));
        assert_eq!(clock.wall().duration_since(before.1).as_millis(), 1500);
    }

    #[test]
    fn a_moment_is_read_in_each_way_that_people_write_it() {
        let now = Clock::test().wall();
        for (text, moment) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z"),
            ("2025-12-31", "2025-12-31T00:00:00Z"),
            (" 2025-12-31 06:30 ", "2025-12-31T06:30:00Z"),
            ("2d", "2025-12-30T00:00:00Z"),
            ("1h30m", "2025-12-31T22:30:00Z"),
        ] {
            let read = parse_moment(text, now).expect(text);
            assert_eq!(read.to_string(), moment, "{text}");
        }
        for text in ["", "yesterday", "2026", "2026-13-01", "99999999999d"] {
            assert_eq!(parse_moment(text, now), None, "{text}");
        }
    }

    #[test]
    fn timers_stand_where_the_stamp_does() {
        let clock = Clock::system();
        let now = clock.now();
        let passed = clock.instant(now.plus(Duration::from_secs(5))) - clock.instant(now);
        assert_eq!(passed, Duration::from_secs(5));
        assert!(clock.instant(now).elapsed() < Duration::from_secs(5));
        let test = Clock::test();
        test.advance(Duration::from_secs(100));
        let before = clock.instant(clock.now());
        let timer = test.instant(test.now().plus(Duration::from_secs(7)));
        assert!((timer - before) >= Duration::from_secs(7));
        assert!((timer - before) < Duration::from_secs(12));
    }

    #[test]
    fn a_stamp_from_the_future_has_no_age() {
        let early = Stamp::from_nanos(5);
        let late = early.plus(Duration::from_nanos(7));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_nanos(7));
        assert_eq!(early.minus(Duration::from_secs(1)), Stamp::default());
    }

    #[test]
    fn stamps_of_the_system_reach_behind_the_start_of_the_process() {
        let now = Clock::system().now();
        let long_ago = Duration::from_hours(24 * 365);
        assert_eq!(now.since(now.minus(long_ago)), long_ago);
    }

    #[test]
    fn the_system_clock_never_goes_back() {
        let clock = Clock::system();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
