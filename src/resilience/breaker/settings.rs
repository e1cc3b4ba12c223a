//! When a breaker opens, and how it finds its way back.

use std::time::Duration;

/// The rules of a breaker. `Default` is meant for calls that usually take milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Opens after this many failures in a row; 0 switches the rule off. It is the rule that sees a
    /// hang: a rate over a busy window takes far too long (measured: never within 8 s).
    pub consecutive: u32,
    /// Opens when this share of the calls in the window failed, 0 to 1; `None` switches it off.
    pub failure_rate: Option<f64>,
    /// Opens when this share of the calls in the window was slow, 0 to 1; `None` switches it off.
    pub slow_rate: Option<f64>,
    /// A call that takes this long or longer is slow.
    pub slow_call: Duration,
    /// How far back the rates look; at least 10 ms.
    pub window: Duration,
    /// Rates say nothing below this many calls in the window; at least 1.
    pub min_calls: u64,
    /// Calls that half-open lets through, and that must succeed for closing; at least 1.
    pub probes: u32,
    /// How long open refuses before the first probes.
    pub open_wait: Duration,
    /// The longest wait; each probe that fails doubles the wait up to here. Short by default, so
    /// that service is back within half a second: a few probes a second hurt nobody. Large fleets raise it.
    pub open_wait_max: Duration,
    /// The share of a wait that is drawn at random, 0 to 1: a wait of `w` lasts `w * (1 - jitter)` to `w`.
    pub jitter: f64,
    /// A call that is dropped without an answer counts as failed once it was in flight this long.
    /// Sooner, its caller changed its mind before the server could have answered, which says nothing
    /// about the server.
    pub dropped_counts_after: Duration,
    /// When all probes are out and the newest was let through this long ago, they are given up as
    /// failed: a permit that is never settled must not hold the breaker half-open for ever.
    pub probe_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_rate: Some(0.5),
            slow_rate: Some(0.8),
            slow_call: Duration::from_secs(1),
            window: Duration::from_secs(10),
            min_calls: 20,
            probes: 3,
            open_wait: Duration::from_millis(150),
            open_wait_max: Duration::from_millis(200),
            jitter: 0.5,
            dropped_counts_after: Duration::from_millis(10),
            probe_limit: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// The same, with every value within its bounds.
    pub(super) fn within_bounds(mut self) -> Self {
        self.window = self.window.max(Duration::from_millis(10));
        self.min_calls = self.min_calls.max(1);
        self.probes = self.probes.max(1);
        self.open_wait_max = self.open_wait_max.max(self.open_wait);
        self.jitter = if self.jitter.is_nan() { 0.0 } else { self.jitter.clamp(0.0, 1.0) };
        self
    }

    /// How long to stay open after `reopened` failed attempts to close; `draw` is random in 0 to 1.
    pub(super) fn wait(&self, reopened: u32, draw: f64) -> Duration {
        let doubled = self.open_wait.saturating_mul(1 << reopened.min(30));
        doubled.min(self.open_wait_max).mul_f64(1.0 - self.jitter * draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_only_shortens() {
        let settings = Settings {
            open_wait: Duration::from_millis(100),
            open_wait_max: Duration::from_millis(350),
            jitter: 0.5,
            ..Settings::default()
        };
        let waits: Vec<u128> = (0..5).map(|n| settings.wait(n, 0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 350, 350, 350]);
        assert_eq!(settings.wait(1, 1.0), Duration::from_millis(100));
        assert_eq!(settings.wait(u32::MAX, 0.0), Duration::from_millis(350));
    }

    #[test]
    fn senseless_values_are_brought_within_bounds() {
        let settings = Settings {
            window: Duration::ZERO,
            probes: 0,
            min_calls: 0,
            jitter: f64::NAN,
            open_wait: Duration::from_secs(9),
            ..Settings::default()
        }
        .within_bounds();
        assert_eq!((settings.probes, settings.min_calls, settings.jitter), (1, 1, 0.0));
        assert_eq!(settings.open_wait_max, Duration::from_secs(9));
    }
}
