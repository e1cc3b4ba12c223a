//! The beat in which all sources are asked.
//!
//! Sources with rhythms of their own would each bring a sight of their own, and each sight a frame. In one
//! beat their answers come together, make one sight, and show the same moment.

use std::time::Duration;

use tokio::time::Instant;

/// A beat that began at some moment. Periods are counted from there, so that those that divide each
/// other meet.
#[derive(Clone, Copy, Debug)]
pub struct Beat(Instant);

impl Beat {
    /// A beat that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The moment of that period's beat that is nearest to `moment`.
    pub fn nearest(self, moment: Instant, period: Duration) -> Instant {
        if period.is_zero() {
            return moment;
        }
        let passed = moment.saturating_duration_since(self.0);
        self.0 + period.mul_f64((passed.as_secs_f64() / period.as_secs_f64()).round())
    }
}

impl Default for Beat {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn moments_fall_on_the_nearest_beat_and_periods_meet() {
        let beat = Beat::new();
        let nearest = |after: u32, period: u32| {
            beat.nearest(beat.0 + MILLI * after, MILLI * period).duration_since(beat.0).as_millis()
        };
        assert_eq!(
            [0, 499, 501, 1_003, 1_499].map(|at| nearest(at, 1_000)),
            [0, 0, 1_000, 1_000, 1_000]
        );
        assert_eq!([900, 1_100, 2_004].map(|at| nearest(at, 2_000)), [0, 2_000, 2_000]);
        assert_eq!(beat.nearest(beat.0 + MILLI * 700, Duration::ZERO), beat.0 + MILLI * 700);
    }
}
