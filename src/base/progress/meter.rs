//! Rate and time left, and how often anything is said at all.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::Progress;
use crate::base::clock::Stamp;

/// The rate is that of this long: long enough to be steady, short enough to follow a change.
const WINDOW: Duration = Duration::from_secs(20);
/// A rate over less than this is noise.
const LEAST: Duration = Duration::from_millis(500);

/// Progress with what the receiver has computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// As the work told it.
    #[serde(flatten)]
    pub progress: Progress,
    /// Units a second, lately; `None` until it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Seconds until this phase ends at that rate; `None` when nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// Measures the progress of one work and leaves out what comes too often. The last word of a phase is
/// never left out.
#[derive(Debug)]
pub struct Meter {
    first_pace: Duration,
    later_pace: Duration,
    begun: Option<Stamp>,
    samples: VecDeque<(Stamp, u64)>,
    told: Option<(Stamp, Progress)>,
    held_back: Option<Measured>,
}

/// After this long, the later pace holds.
const BEGINNING: Duration = Duration::from_mins(10);

impl Meter {
    /// One that lets something through every `first_pace` for ten minutes, then every `later_pace`.
    pub fn new(first_pace: Duration, later_pace: Duration) -> Self {
        Self {
            first_pace,
            later_pace,
            begun: None,
            samples: VecDeque::new(),
            told: None,
            held_back: None,
        }
    }

    /// Takes in what the work tells; what is to be passed on, oldest first.
    pub fn see(&mut self, progress: &Progress, now: Stamp) -> Vec<Measured> {
        let mut out = Vec::new();
        let begun = *self.begun.get_or_insert(now);
        let told = self.told.as_ref();
        let new_phase = told.is_none_or(|(_, told)| told.phase != progress.phase);
        if new_phase {
            out.extend(self.held_back.take());
            self.samples.clear();
        }
        let measured = self.measure(progress, now);
        let pace = if now.since(begun) < BEGINNING { self.first_pace } else { self.later_pace };
        let told = self.told.as_ref();
        let due =
            told.is_none_or(|(at, told)| now.since(*at) >= pace || told.note != progress.note);
        let complete = progress.total.is_some_and(|total| progress.done == total)
            && told.is_none_or(|(_, told)| told != progress);
        if new_phase || due || complete {
            self.told = Some((now, progress.clone()));
            self.held_back = None;
            out.push(measured);
        } else {
            self.held_back = Some(measured);
        }
        out
    }

    /// What was held back, when nothing more comes.
    pub fn rest(&mut self) -> Option<Measured> {
        self.held_back.take()
    }

    fn measure(&mut self, progress: &Progress, now: Stamp) -> Measured {
        if self.samples.back().is_some_and(|(_, done)| *done > progress.done) {
            // Begun anew.
            self.samples.clear();
        }
        self.samples.push_back((now, progress.done));
        // One sample from before the window stays, so that the window is full.
        while self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let rate = self.samples.front().and_then(|(at, done)| {
            let passed = now.since(*at);
            (passed >= LEAST).then(|| (progress.done - done) as f64 / passed.as_secs_f64())
        });
        let left = progress.total.and_then(|total| total.checked_sub(progress.done));
        let seconds_left = left.zip(rate.filter(|rate| *rate > 0.0));
        let seconds_left = seconds_left.map(|(left, rate)| (left as f64 / rate).ceil() as u64);
        Measured { progress: progress.clone(), rate, seconds_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Stamp {
        Stamp::from_nanos((seconds * 1e9) as u64)
    }

    fn meter() -> Meter {
        Meter::new(Duration::from_secs(1), Duration::from_secs(5))
    }

    #[test]
    fn the_rate_is_the_late_one_and_the_rest_is_computed_from_it() {
        let mut meter = meter();
        let mut last = None;
        // 100 a second for 60 s, then 10 a second for 40 s.
        for second in 0..=100_u64 {
            let done = second.min(60) * 100 + second.saturating_sub(60) * 10;
            last = meter.see(&Progress::bytes("copy", done, Some(7400)), at(second as f64)).pop();
        }
        let last = last.expect("told");
        assert_eq!((last.rate, last.seconds_left), (Some(10.0), Some(100)));
    }

    #[test]
    fn what_comes_too_often_is_left_out_but_never_the_last_word_of_a_phase() {
        let mut meter = meter();
        let mut told = Vec::new();
        for step in 0..=250_u64 {
            told.extend(meter.see(&Progress::items("one", step, None), at(step as f64 / 100.0)));
        }
        assert_eq!(told.len(), 3, "one a second: {told:?}");
        let next = meter.see(&Progress::items("two", 0, None), at(2.6));
        let phases: Vec<_> = next.iter().map(|m| (&*m.progress.phase, m.progress.done)).collect();
        assert_eq!(phases, [("one", 250), ("two", 0)]);
        assert!(meter.see(&Progress::items("two", 1, Some(2)), at(2.7)).is_empty());
        assert_eq!(meter.see(&Progress::items("two", 2, Some(2)), at(2.8)).len(), 1, "the end");
        assert_eq!(meter.rest(), None);
    }

    #[test]
    fn a_note_is_told_at_once_and_what_cannot_be_told_is_none() {
        let mut meter = meter();
        let still = Progress::bytes("copy", 0, None);
        let first = meter.see(&still, at(0.0)).pop().expect("told");
        assert_eq!((first.rate, first.seconds_left), (None, None));
        let noted = still.clone().with_note("waiting for the checkpoint: silence is normal");
        assert_eq!(meter.see(&noted, at(0.1)).len(), 1);
        let later = meter.see(&Progress { total: Some(5), ..still }, at(9.0)).pop().expect("told");
        assert_eq!((later.rate, later.seconds_left), (Some(0.0), None), "nothing moves");
        // More than the estimate, then less than before.
        let over = meter.see(&Progress::bytes("copy", 9, Some(5)), at(10.5)).pop().expect("told");
        assert_eq!(over.seconds_left, None);
        let anew = meter.see(&Progress::bytes("copy", 1, Some(5)), at(12.0)).pop().expect("told");
        assert_eq!(anew.rate, None);
    }

    #[test]
    fn after_ten_minutes_less_is_said() {
        let mut meter = meter();
        let told = (0..1200).map(|s| meter.see(&Progress::items("x", s, None), at(s as f64)).len());
        assert_eq!(told.sum::<usize>(), 600 + 120);
    }
}
