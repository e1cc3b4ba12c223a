//! A circuit breaker: when a database fails, its callers hear so at once instead of queueing up.
//!
//! ```text
//!            failures in a row, failure rate or slow rate
//!   CLOSED ------------------------------------------------> OPEN
//!      ^                                                     |  ^
//!      | all probes succeed             the wait is over     |  | a probe fails:
//!      +------------------- HALF-OPEN <----------------------+  | a longer wait
//!                               +-------------------------------+
//! ```
//!
//! - **Rates** look at a sliding [`window`](Settings::window) of ten buckets, and are judged when a
//!   call ends badly: a success never opens.
//! - **Half-open** lets exactly [`probes`](Settings::probes) calls through and needs that many to
//!   succeed. A probe that is slow or ignored leaves its place to the next call; one that fails re-opens.
//! - **A call that is dropped** in flight, such as by a timeout around it, counts as failed (see
//!   [`Settings::dropped_counts_after`]); the place of a dropped probe is always given back. A black
//!   hole is seen only this way: nothing in it ever returns an error.
//! - **Calls that began in an earlier state** are not held against the present one.
//! - **Modes**: a person may disable the breaker or force it open, with a name, a reason and an end. Out of
//!   forced-open leads half-open; disabled counts on and leads back to closed.
//!
//! A call in the closed state costs two clock reads and a few uncontended atomics; there is no lock.

mod answer;
mod permit;
mod settings;
mod settle;
mod state;
mod window;

use std::{
    future::Future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::sync::broadcast;

pub use self::{
    answer::{CallError, Refused, Stats, Verdict},
    permit::Permit,
    settings::Settings,
    state::{Cause, Event, Hold, Mode, State},
    window::{BUCKETS, Sums},
};
use self::{state::Word, window::Window};
use super::classify::Effect;
use crate::base::{
    clock::{Clock, Stamp, Timestamp},
    text::Text,
};

/// Events that a subscriber may fall behind before it loses the oldest.
const EVENTS_KEPT: usize = 64;

/// A circuit breaker. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct Breaker {
    name: Text,
    settings: Settings,
    clock: Clock,
    hot: Hot,
    window: Window,
    totals: Totals,
    core: Mutex<Core>,
    events: broadcast::Sender<Event>,
}

/// What every call reads and few write.
#[derive(Debug)]
#[repr(align(128))]
struct Hot {
    word: AtomicU64,
    consecutive: AtomicU32,
    /// When an open breaker lets the first probe through, in nanoseconds; `u64::MAX` for never.
    retry_at: AtomicU64,
    /// When a person's mode runs out; `u64::MAX` for never.
    hold_ends: AtomicU64,
}

/// Counted since the breaker was made.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Totals {
    rejected: AtomicU64,
    failed: AtomicU64,
    slow: AtomicU64,
    ignored: AtomicU64,
    dropped: AtomicU64,
}

/// What changes only with the state.
#[derive(Debug)]
struct Core {
    since: Stamp,
    since_wall: Timestamp,
    /// Attempts to close that failed since it was closed last.
    reopened: u32,
    probes: Probes,
    hold: Option<Hold>,
    mode_changes: u64,
    transitions: [[u64; 3]; 3],
}

/// The probes of one half-open.
#[derive(Debug, Default)]
struct Probes {
    out: u32,
    good: u32,
    newest: Stamp,
}

impl Breaker {
    /// A closed breaker. `name` is what metrics and errors call it, usually the database's.
    pub fn new(name: impl Into<Text>, settings: Settings, clock: Clock) -> Self {
        let settings = settings.within_bounds();
        let core = Core {
            since: clock.now(),
            since_wall: clock.wall(),
            reopened: 0,
            probes: Probes::default(),
            hold: None,
            mode_changes: 0,
            transitions: [[0; 3]; 3],
        };
        Self {
            name: name.into(),
            hot: Hot {
                word: AtomicU64::new(Word::START.0),
                consecutive: AtomicU32::new(0),
                retry_at: AtomicU64::new(u64::MAX),
                hold_ends: AtomicU64::new(u64::MAX),
            },
            window: Window::new(settings.window),
            settings,
            clock,
            totals: Totals::default(),
            core: Mutex::new(core),
            events: broadcast::channel(EVENTS_KEPT).0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// Its rules.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks to make a call. Settle the permit when the call has ended; dropping it says that the
    /// call was abandoned.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Refused> {
        self.try_acquire_at(self.clock.now())
    }

    /// The same for who knows what time it is: a whole call then reads the clock as often as its parts.
    #[inline]
    pub(super) fn try_acquire_at(&self, now: Stamp) -> Result<Permit<'_>, Refused> {
        let word = self.word();
        if word.passes() {
            return Ok(self.permit(word, now));
        }
        self.acquire_slow(now)
    }

    /// Makes a call, if the breaker lets it; any `Err` counts as a failure. Drop the returned future
    /// and the call counts as dropped.
    pub async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        self.call_judged(call, |_| Verdict::Bad(Effect::Failure)).await
    }

    /// Makes a call, if the breaker lets it; `judge` says what an error means.
    pub async fn call_judged<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        judge: impl FnOnce(&E) -> Verdict,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire()?;
        match call.await {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => {
                permit.settle(judge(&error));
                Err(CallError::Failed(error))
            }
        }
    }

    /// Takes the breaker out of the rules' hands, or gives it back to them (`Mode::Auto`). `lasts`
    /// ends the mode by itself; the breaker looks at it whenever a call or a reader comes.
    pub fn set_mode(
        &self,
        mode: Mode,
        actor: impl Into<Text>,
        reason: impl Into<Text>,
        lasts: Option<Duration>,
    ) {
        let (actor, reason, now, wall) =
            (actor.into(), reason.into(), self.clock.now(), self.clock.wall());
        let mut core = self.lock();
        if mode == Mode::Auto && self.word().mode() == Mode::Auto {
            return;
        }
        let hold = Hold {
            mode,
            actor,
            reason,
            since: wall,
            until: lasts.and_then(|lasts| wall.saturating_add(lasts).ok()),
        };
        let ends = lasts.map_or(u64::MAX, |lasts| now.plus(lasts).nanos());
        let to = match mode {
            Mode::Auto => self.state_after_hold(),
            Mode::Disabled => State::Closed,
            Mode::ForcedOpen => State::Open,
        };
        self.hot.hold_ends.store(if mode == Mode::Auto { u64::MAX } else { ends }, Relaxed);
        self.change(&mut core, to, mode, Cause::Person, Some(hold));
    }

    /// What happens from now on: one event for each change of state or mode.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The breaker as it is now.
    pub fn stats(&self) -> Stats {
        let now = self.clock.now();
        let mut core = self.lock();
        self.end_hold(&mut core, now);
        let (word, window) = (self.word(), self.window.sums(now));
        let rate = |part: u64| {
            (window.calls >= self.settings.min_calls).then(|| part as f64 / window.calls as f64)
        };
        let retry_at = Stamp::from_nanos(self.hot.retry_at.load(Relaxed));
        Stats {
            name: self.name.clone(),
            state: word.state(),
            mode: word.mode(),
            cause: word.cause(),
            since: core.since,
            since_wall: core.since_wall,
            hold: core.hold.clone(),
            failure_rate: rate(window.failures),
            slow_rate: rate(window.slow),
            window,
            retry_in: (word.state() == State::Open && word.mode() == Mode::Auto)
                .then(|| retry_at.since(now)),
            probes: (word.state() == State::HalfOpen)
                .then_some((core.probes.good, self.settings.probes)),
            consecutive: self.hot.consecutive.load(Relaxed),
            rejected: self.totals.rejected.load(Relaxed),
            failed: self.totals.failed.load(Relaxed),
            slow: self.totals.slow.load(Relaxed),
            ignored: self.totals.ignored.load(Relaxed),
            dropped: self.totals.dropped.load(Relaxed),
            mode_changes: core.mode_changes,
            transitions: core.transitions,
        }
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.hot.word.load(Acquire))
    }

    /// A panic elsewhere does not make the numbers behind this lock wrong.
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Open, half-open, or held by a person.
    #[cold]
    fn acquire_slow(&self, now: Stamp) -> Result<Permit<'_>, Refused> {
        let word = self.word();
        // Refusals come by the thousands, so the common answers take no lock.
        let held = now.nanos() < self.hot.hold_ends.load(Relaxed);
        match (word.mode(), word.state()) {
            (Mode::Disabled, _) if held => Ok(self.permit(word, now)),
            (Mode::ForcedOpen, _) if held => Err(self.refuse(word, now)),
            (Mode::Auto, State::Open) if now.nanos() < self.hot.retry_at.load(Relaxed) => {
                Err(self.refuse(word, now))
            }
            _ => self.acquire_locked(now),
        }
    }

    /// Something may be due: the end of a mode, the first probe, the loss of probes.
    fn acquire_locked(&self, now: Stamp) -> Result<Permit<'_>, Refused> {
        let mut core = self.lock();
        self.end_hold(&mut core, now);
        let due = now.nanos() >= self.hot.retry_at.load(Relaxed);
        if self.word().is(Mode::Auto, State::Open) && due {
            self.change(&mut core, State::HalfOpen, Mode::Auto, Cause::WaitOver, None);
        }
        if self.word().is(Mode::Auto, State::HalfOpen) {
            let taken = core.probes.out + core.probes.good;
            if taken < self.settings.probes {
                core.probes.out += 1;
                core.probes.newest = now;
                return Ok(self.permit(self.word(), now));
            }
            if now.since(core.probes.newest) >= self.settings.probe_limit {
                self.open(&mut core, Cause::ProbesLost);
            }
        }
        let word = self.word();
        if word.state() == State::Closed || word.mode() == Mode::Disabled {
            return Ok(self.permit(word, now));
        }
        Err(self.refuse(word, now))
    }

    const fn permit(&self, word: Word, began: Stamp) -> Permit<'_> {
        Permit { breaker: self, word, began }
    }

    fn refuse(&self, word: Word, now: Stamp) -> Refused {
        self.totals.rejected.fetch_add(1, Relaxed);
        let at = match (word.mode(), word.state()) {
            (Mode::Auto, State::Open) => self.hot.retry_at.load(Relaxed),
            (Mode::ForcedOpen, _) => self.hot.hold_ends.load(Relaxed),
            _ => u64::MAX,
        };
        Refused {
            state: word.state(),
            mode: word.mode(),
            cause: word.cause(),
            retry_in: (at != u64::MAX).then(|| Stamp::from_nanos(at).since(now)),
        }
    }

    /// Opens, from closed for the first time or from half-open once more.
    fn open(&self, core: &mut Core, cause: Cause) {
        if self.word().state() == State::HalfOpen {
            core.reopened = core.reopened.saturating_add(1);
        }
        let wait = self.settings.wait(core.reopened, rand::random());
        self.hot.retry_at.store(self.clock.now().plus(wait).nanos(), Relaxed);
        self.change(core, State::Open, Mode::Auto, cause, None);
    }

    /// Hands the breaker back to the rules when what a person decided has run out.
    fn end_hold(&self, core: &mut Core, now: Stamp) {
        if self.word().mode() != Mode::Auto && now.nanos() >= self.hot.hold_ends.load(Relaxed) {
            let to = self.state_after_hold();
            self.hot.hold_ends.store(u64::MAX, Relaxed);
            self.change(core, to, Mode::Auto, Cause::Expired, None);
        }
    }

    /// Forced open says nothing about the server, so probes find out; disabled counted on.
    fn state_after_hold(&self) -> State {
        let word = self.word();
        if word.mode() == Mode::ForcedOpen { State::HalfOpen } else { word.state() }
    }

    /// The one place that changes state or mode.
    fn change(&self, core: &mut Core, to: State, mode: Mode, cause: Cause, hold: Option<Hold>) {
        let before = self.word();
        let (from, at) = (before.state(), self.clock.wall());
        if matches!(cause, Cause::Person | Cause::Expired) {
            core.mode_changes += 1;
        }
        core.hold = if mode == Mode::Auto { None } else { hold.clone() };
        core.probes = Probes::default();
        if to == State::Closed && mode == Mode::Auto && before.mode() == Mode::Auto {
            self.window.clear();
        }
        if to == State::Closed {
            core.reopened = 0;
            self.hot.consecutive.store(0, Relaxed);
        }
        if from != to {
            core.since = self.clock.now();
            core.since_wall = at;
            core.transitions[from as usize][to as usize] += 1;
        }
        self.hot.word.store(before.next(to, mode, cause).0, Release);
        tracing::warn!(
            breaker = %self.name, from = from.label(), to = to.label(), mode = mode.label(), %cause,
            actor = hold.as_ref().map(|hold| hold.actor.as_str()),
            reason = hold.as_ref().map(|hold| hold.reason.as_str()),
            "circuit breaker changed"
        );
        // Nobody may be listening.
        let _ =
            self.events.send(Event { breaker: self.name.clone(), from, to, mode, cause, hold, at });
    }
}

#[cfg(test)]
mod tests;
