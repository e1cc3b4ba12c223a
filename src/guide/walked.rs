//! How old a list is: who walked it last to its end, and how that went. It comes from the journals of its runs.

use std::time::Duration;

use super::{
    run::Seen,
    state::{How, Over, Phase},
};
use crate::base::{
    clock::{self, Timestamp},
    text::Text,
    units,
};

/// A list that nobody has walked for so long is not trusted any more.
pub const OLD: Duration = Duration::from_hours(90 * 24);

/// The last time that a list was walked to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// When it came to its end.
    pub at: Timestamp,
    /// By whom.
    pub by: Text,
    /// How long it took, with its rests.
    pub took: Duration,
    /// Steps that were left out, and criteria to stop by.
    pub left_out: usize,
    /// Acts that failed before they were done.
    pub failed: usize,
}

/// The last of these runs, the latest first, that walked a guide on a target to its end.
pub fn last(runs: &[Seen], guide: &str, on: &str) -> Option<Walked> {
    let own = |run: &&Seen| run.card.guide.id == guide && *run.card.on == *on;
    runs.iter().filter(own).filter_map(walked).max_by_key(|walked| walked.at)
}

fn walked(run: &Seen) -> Option<Walked> {
    let state = &run.state;
    if state.phase != Phase::Over(Over::Finished) {
        return None;
    }
    let end = state.answers.last()?;
    let skipped = state.answers.iter().filter(|answer| matches!(answer.how, How::Skipped(_)));
    Some(Walked {
        at: end.at,
        by: end.by.clone(),
        took: end.at.duration_since(run.card.began).unsigned_abs(),
        left_out: skipped.count() + state.overruled.len(),
        failed: state.acts.iter().filter(|act| matches!(act.end, Some(Err(_)))).count(),
    })
}

impl Walked {
    /// How long ago.
    pub fn age(&self, now: Timestamp) -> Duration {
        clock::passed(self.at, now)
    }

    /// True when that is too long ago.
    pub fn is_old(&self, now: Timestamp) -> bool {
        self.age(now) > OLD
    }

    /// All of it in words.
    pub fn in_words(&self, now: Timestamp) -> String {
        let mut words = format!(
            "walked {} ago ({}) by {} in {}",
            units::age(self.age(now)),
            self.at.strftime("%Y-%m-%d %H:%MZ"),
            self.by,
            units::age(self.took)
        );
        for (many, what) in [(self.left_out, "left out"), (self.failed, "failed")] {
            if many > 0 {
                words += &format!("; {many} {what}");
            }
        }
        words
    }
}

/// The word for the age of a list, and whether it is a warning.
pub fn word(walked: Option<&Walked>, now: Timestamp) -> (String, bool) {
    match walked {
        None => ("NEVER WALKED".to_owned(), true),
        Some(walked) if walked.is_old(now) => {
            (format!("OLD {}", units::age(walked.age(now))), true)
        }
        Some(walked) => (format!("{} ago", units::age(walked.age(now))), false),
    }
}
