//! How fast a disk fills.

use std::{collections::VecDeque, time::Duration};

use crate::base::{clock::Stamp, disk::Room};

/// What is looked back at, at the most.
const LONG: Duration = Duration::from_mins(10);
/// A trend is believed when it held for this long, and holds in the last so much.
const SHORT: Duration = Duration::from_mins(2);
/// What is further off than this is not foretold from some minutes.
const FAR: Duration = Duration::from_hours(24 * 7);

/// What was free, and when.
#[derive(Debug, Default)]
pub struct Trend {
    device: u64,
    samples: VecDeque<(Stamp, u64)>,
}

impl Trend {
    /// Takes a measurement. Another file system at the same place begins anew.
    pub fn note(&mut self, now: Stamp, room: Room) {
        if self.device != room.device {
            self.samples.clear();
            self.device = room.device;
        }
        self.samples.push_back((now, room.free));
        while self.samples.front().is_some_and(|(at, _)| now.since(*at) > LONG) {
            self.samples.pop_front();
        }
    }

    /// When it will be full, by the slower of two rates: that of all that is known, and that of the last two
    /// minutes. So neither a burst that is over nor one that has just begun foretells anything. (Burn rates of
    /// the SRE workbook: both windows must agree.)
    pub fn full_in(&self) -> Option<Duration> {
        let (now, free) = *self.samples.back()?;
        let (oldest, _) = *self.samples.front()?;
        if now.since(oldest) < SHORT {
            return None;
        }
        let recent = self.samples.iter().rev().find(|(at, _)| now.since(*at) >= SHORT)?;
        let rate = |then: &(Stamp, u64)| {
            let fell = then.1.saturating_sub(free) as f64;
            fell / now.since(then.0).as_secs_f64()
        };
        let slowest = rate(self.samples.front()?).min(rate(recent));
        let left = Duration::try_from_secs_f64(free as f64 / slowest).ok()?;
        (left <= FAR).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// What is foretold after measurements every five seconds.
    fn foretold(free: impl Fn(u64) -> u64, seconds: u64) -> Option<u64> {
        let mut trend = Trend::default();
        for second in (0..=seconds).step_by(5) {
            let room = Room { device: 1, size: 1000 * MB, free: free(second), used: 0 };
            trend.note(Stamp::default().plus(Duration::from_secs(second)), room);
        }
        trend.full_in().map(|left| left.as_secs())
    }

    #[test]
    fn a_steady_fall_tells_the_end() {
        let steady = |second: u64| (1000 - second) * MB;
        assert_eq!(foretold(steady, 115), None, "too little is known");
        assert_eq!(foretold(steady, 300), Some(700));
        assert_eq!(foretold(steady, 900), Some(100), "though its beginning is forgotten");
    }

    #[test]
    fn what_does_not_fall_now_or_has_just_begun_foretells_nothing() {
        assert_eq!(foretold(|_| 500 * MB, 600), None);
        assert_eq!(foretold(|second| (100 + second) * MB, 600), None, "it empties");
        let over = |second: u64| if second < 60 { 900 * MB } else { 100 * MB };
        assert_eq!(foretold(over, 600), None, "a burst that is over");
        let begun = |second: u64| if second < 595 { 900 * MB } else { 800 * MB };
        let slow = foretold(begun, 600).expect("it fell");
        assert!(slow >= 800 * 6 - 1, "{slow}: by the rate of ten minutes, not of five seconds");
        assert_eq!(foretold(|second| 1000 * MB - second, 600), None, "a byte a second is no end");
    }

    #[test]
    fn another_disk_at_the_same_place_begins_anew() {
        let mut trend = Trend::default();
        for second in 0..200 {
            let room = Room { device: second / 150, size: 0, free: (1000 - second) * MB, used: 0 };
            trend.note(Stamp::default().plus(Duration::from_secs(second)), room);
        }
        assert_eq!(trend.full_in(), None);
    }
}
