//! Leave to make one call.

use std::mem;

use super::{
    Breaker,
    answer::Verdict,
    state::{State, Word},
};
use crate::{base::clock::Stamp, resilience::classify::Effect};

/// Leave to make one call.
#[derive(Debug)]
#[must_use = "dropping a permit says that the call was abandoned"]
pub struct Permit<'a> {
    pub(super) breaker: &'a Breaker,
    pub(super) word: Word,
    pub(super) began: Stamp,
}

impl Permit<'_> {
    /// The server did what was asked.
    #[inline]
    pub fn success(self) {
        self.settle(Verdict::Success);
    }

    /// The call failed in a way that speaks against the server.
    pub fn failure(self) {
        self.settle(Verdict::Bad(Effect::Failure));
    }

    /// The call says nothing about the server.
    pub fn ignored(self) {
        self.settle(Verdict::Bad(Effect::Ignored));
    }

    /// The call ended as `verdict` says.
    #[inline]
    pub fn settle(self, verdict: Verdict) {
        let now = self.breaker.clock.now();
        self.settle_at(now, verdict);
    }

    /// The same for who knows when it ended.
    #[inline]
    pub(in crate::resilience) fn settle_at(self, now: Stamp, verdict: Verdict) {
        self.breaker.settle(self.word, self.began, now, verdict);
        mem::forget(self);
    }

    /// True when this call is one of half-open's probes.
    pub fn is_probe(&self) -> bool {
        self.word.state() == State::HalfOpen
    }

    /// When the call began.
    pub fn began(&self) -> Stamp {
        self.began
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.breaker.settle_dropped(self.word, self.began);
    }
}
