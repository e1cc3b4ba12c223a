//! The end of a call: what it counts for, and whether a rule is broken by it.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    Breaker,
    answer::Verdict,
    state::{Cause, Mode, State, Word},
};
use crate::{base::clock::Stamp, resilience::classify::Effect};

impl Breaker {
    /// A call that was let in under `word` ended.
    #[inline]
    pub(super) fn settle(&self, word: Word, began: Stamp, now: Stamp, verdict: Verdict) {
        let ignored = verdict == Verdict::Bad(Effect::Ignored);
        if ignored {
            self.totals.ignored.fetch_add(1, Relaxed);
        }
        let failed = !ignored && verdict != Verdict::Success;
        let slow = !ignored
            && (now.since(began) >= self.settings.slow_call
                || verdict == Verdict::Bad(Effect::SlowFailure));
        if failed {
            self.totals.failed.fetch_add(1, Relaxed);
        }
        if slow {
            self.totals.slow.fetch_add(1, Relaxed);
        }
        if self.word() != word {
            return;
        }
        if word.state() == State::HalfOpen {
            self.settle_probe(word, verdict, slow);
        } else if !ignored {
            self.window.record(now, failed, slow);
            if failed || slow {
                self.settle_bad(word, now, verdict);
            } else {
                self.streak_ends();
            }
        }
    }

    #[inline]
    fn streak_ends(&self) {
        // Reading is shared among processors, writing is not.
        if self.hot.consecutive.load(Relaxed) != 0 {
            self.hot.consecutive.store(0, Relaxed);
        }
    }

    /// A failed or slow call in the closed state: holds the rules against what happened.
    #[cold]
    fn settle_bad(&self, word: Word, now: Stamp, verdict: Verdict) {
        let streak = match verdict {
            Verdict::Success => {
                self.streak_ends();
                0
            }
            Verdict::Bad(Effect::FailureByRateOnly) => self.hot.consecutive.load(Relaxed),
            Verdict::Bad(_) => self.hot.consecutive.fetch_add(1, Relaxed) + 1,
        };
        if word.mode() != Mode::Auto {
            return;
        }
        let limit = self.settings.consecutive;
        let in_a_row = limit > 0 && streak >= limit && verdict != Verdict::Success;
        let cause =
            if in_a_row { Some(Cause::ConsecutiveFailures) } else { self.rate_too_high(now) };
        if let Some(cause) = cause {
            let mut core = self.lock();
            if self.word() == word {
                self.open(&mut core, cause);
            }
        }
    }

    fn rate_too_high(&self, now: Stamp) -> Option<Cause> {
        let sums = self.window.sums(now);
        let reaches = |part: u64, limit: Option<f64>| {
            limit.is_some_and(|limit| part > 0 && part as f64 / sums.calls as f64 >= limit)
        };
        if sums.calls < self.settings.min_calls {
            None
        } else if reaches(sums.failures, self.settings.failure_rate) {
            Some(Cause::FailureRate)
        } else if reaches(sums.slow, self.settings.slow_rate) {
            Some(Cause::SlowRate)
        } else {
            None
        }
    }

    #[cold]
    fn settle_probe(&self, word: Word, verdict: Verdict, slow: bool) {
        let mut core = self.lock();
        if self.word() != word {
            return;
        }
        core.probes.out = core.probes.out.saturating_sub(1);
        match verdict {
            // Back, but slow: say neither yes nor no, and let the next call try.
            Verdict::Success if slow && self.settings.slow_rate.is_some() => {}
            Verdict::Success => {
                core.probes.good += 1;
                if core.probes.good >= self.settings.probes {
                    self.change(&mut core, State::Closed, Mode::Auto, Cause::Recovered, None);
                }
            }
            Verdict::Bad(Effect::Ignored) => {}
            Verdict::Bad(_) => self.open(&mut core, Cause::ProbeFailed),
        }
    }

    /// A permit was dropped unsettled.
    #[cold]
    pub(super) fn settle_dropped(&self, word: Word, began: Stamp) {
        self.totals.dropped.fetch_add(1, Relaxed);
        let now = self.clock.now();
        let counts = now.since(began) >= self.settings.dropped_counts_after;
        let effect = if counts { Effect::Failure } else { Effect::Ignored };
        self.settle(word, began, now, Verdict::Bad(effect));
    }
}
