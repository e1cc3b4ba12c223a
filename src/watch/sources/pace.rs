//! When to ask a source again.

use std::time::Duration;

use tokio::time::Instant;

/// Longest pause between two attempts while a source fails; a longer period stays as it is.
const LONGEST: Duration = Duration::from_secs(5);

/// The rhythm of a source.
#[derive(Clone, Debug)]
pub struct Pace {
    period: Duration,
    failures: u32,
}

impl Pace {
    /// One attempt every period.
    pub const fn new(period: Duration) -> Self {
        Self { period, failures: 0 }
    }

    /// When the attempt after one that started then is due. After the second failure in a row the pause
    /// grows by half each time: a source that is back must be seen soon, and one that is down must not
    /// be flooded.
    pub fn next(&mut self, started: Instant, failed: bool) -> Instant {
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let growth = 1.5_f64.powi(self.failures.saturating_sub(1).min(16) as i32);
        let pause = self.period.mul_f64(growth).min(LONGEST.max(self.period));
        started + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_slow_down_and_success_resets() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(2));
        let mut pauses = |fails: &[bool]| {
            fails.iter().map(|f| (pace.next(start, *f) - start).as_secs_f64()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[false, true, true, true, true]), [2.0, 2.0, 3.0, 4.5, 5.0]);
        assert_eq!(pauses(&[true; 40])[39], 5.0);
        assert_eq!(pauses(&[false]), [2.0]);
        let mut slow = Pace::new(Duration::from_mins(1));
        slow.next(start, true);
        assert_eq!(slow.next(start, true) - start, Duration::from_mins(1));
    }
}
