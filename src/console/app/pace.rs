//! When the next frame may be drawn: at once after a quiet spell, and thirty a second in the long run.

use std::time::Duration;

use crate::base::clock::Stamp;

/// Between two frames in the long run; 30 a second.
pub const FRAME: Duration = Duration::from_millis(33);
/// Frames that a quiet spell has saved up at most. The first facts come a few milliseconds after the first
/// frame, and the answer to a key may come right after the frame of a new second: neither waits for its
/// turn.
const SAVED: u32 = 3;

/// A bucket that fills with the right to a frame every [`FRAME`], kept as the moment at which it is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    full: Stamp,
}

impl Pace {
    /// How long the next frame has to wait at `now`.
    pub fn wait(self, now: Stamp) -> Duration {
        self.full.since(now).saturating_sub(FRAME * (SAVED - 1))
    }

    /// A frame was drawn at `now`.
    pub fn drawn(&mut self, now: Stamp) {
        self.full = self.full.max(now).plus(FRAME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many frames somebody draws who wants to draw all the time, in that many milliseconds.
    fn greedy(pace: &mut Pace, from: Stamp, millis: u64) -> usize {
        let mut frames = 0;
        for now in (0..millis).map(|n| from.plus(Duration::from_millis(n))) {
            if pace.wait(now).is_zero() {
                pace.drawn(now);
                frames += 1;
            }
        }
        frames
    }

    #[test]
    fn a_few_frames_come_at_once_and_then_thirty_a_second() {
        let (mut pace, start) = (Pace::default(), Stamp::from_nanos(1));
        assert_eq!(greedy(&mut pace, start, 1), 1);
        assert_eq!(greedy(&mut pace, start, 1), 1);
        assert_eq!(greedy(&mut pace, start, 1), 1);
        assert_eq!(pace.wait(start), FRAME);
        assert_eq!(greedy(&mut pace, start, 10_000), 303);
    }

    #[test]
    fn a_quiet_spell_saves_no_more_than_a_few() {
        let (mut pace, later) = (Pace::default(), Stamp::from_nanos(1 << 40));
        assert_eq!(greedy(&mut pace, later, 33), 3);
        assert_eq!(greedy(&mut pace, later.plus(Duration::from_mins(1)), 33), 3);
    }
}
