//! Trying again, without making it worse.
//!
//! - **Full jitter**: the pause before retry *n* is drawn from 0 to `min(cap, base * 2^n)`. Simulated
//!   with 500 clients and a server that was away for 20 s: recovery at the median after 1.55 s, the
//!   best of five schedules (no jitter 61 s).
//! - **One absolute deadline** for the whole operation, attempts counted in: each attempt is given what
//!   is left, and no pause is begun that would end after it.
//! - **A budget** shared by all callers of a database: retries are at most a tenth of calls plus a
//!   floor per second, so that an outage is met by 110 % of the usual load and not by 400 %.
//! - **Only what may be repeated**: see [`Retry`].

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rand::{Rng, RngExt as _};

use super::classify::{Class, Retry};
use crate::base::clock::{Clock, Stamp};

/// How to try again.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The longest first pause.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// Attempts at most, the first included; at least 1.
    pub attempts: u32,
}

impl Default for Schedule {
    /// Pauses of up to 50 ms, 100 ms, 200 ms and so on, up to 1 s; only the deadline ends it.
    fn default() -> Self {
        Self { base: Duration::from_millis(50), cap: Duration::from_secs(1), attempts: u32::MAX }
    }
}

impl Schedule {
    /// The pause after `failed` attempts (1 or more): full jitter under an exponential ceiling.
    pub fn pause(&self, failed: u32, rng: &mut impl Rng) -> Duration {
        let ceiling = self.base.saturating_mul(1 << failed.saturating_sub(1).min(30)).min(self.cap);
        ceiling.mul_f64(rng.random::<f64>())
    }

    /// When the next attempt begins, or `None` when there is none: attempts used up, or the pause
    /// would end at or after the deadline.
    pub fn next(
        &self,
        failed: u32,
        now: Stamp,
        deadline: Stamp,
        rng: &mut impl Rng,
    ) -> Option<Stamp> {
        let at = now.plus(self.pause(failed, rng));
        (failed < self.attempts && at < deadline).then_some(at)
    }
}

/// How far the pause of callers grows that are refused while others probe: to eight times the first.
const MOST_STEPS_REFUSED: u32 = 4;

/// Thousandths of a retry, so that a call can pay in a part of one.
const WHOLE: u64 = 1_000;

/// What may be spent on retries, shared by all callers of one database. Lock-free.
#[derive(Debug)]
pub struct Budget {
    clock: Clock,
    /// Saved up, in thousandths.
    saved: AtomicU64,
    /// When the floor was paid in last, in nanoseconds.
    paid_at: AtomicU64,
    per_call: u64,
    per_second: u64,
    most: u64,
    refused: AtomicU64,
}

impl Budget {
    /// Lets `share` of calls (0 to 1) be repeated, and `floor` retries a second besides, so that a
    /// quiet application may retry at all. At most ten seconds of floor, and never less than ten
    /// retries, are saved up for a bad moment.
    pub fn new(share: f64, floor: u32, clock: Clock) -> Self {
        let most = (u64::from(floor) * 10).max(10) * WHOLE;
        Self {
            saved: AtomicU64::new(most),
            paid_at: AtomicU64::new(clock.now().nanos()),
            clock,
            per_call: (share.clamp(0.0, 1.0) * WHOLE as f64) as u64,
            per_second: u64::from(floor) * WHOLE,
            most,
            refused: AtomicU64::new(0),
        }
    }

    /// A call begins (not a retry): pays its share in.
    pub fn call(&self) {
        self.pay(self.per_call);
    }

    /// Takes one retry out; false when there is none left.
    pub fn take(&self) -> bool {
        self.pay_floor();
        let taken = self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(WHOLE));
        if taken.is_err() {
            self.refused.fetch_add(1, Relaxed);
        }
        taken.is_ok()
    }

    /// Retries that can be had now.
    pub fn left(&self) -> u64 {
        self.pay_floor();
        self.saved.load(Relaxed) / WHOLE
    }

    /// Retries that were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn pay(&self, amount: u64) {
        // A full budget is the rule, and reading it costs nothing.
        if self.saved.load(Relaxed) < self.most {
            let _ = self
                .saved
                .fetch_update(Relaxed, Relaxed, |saved| Some((saved + amount).min(self.most)));
        }
    }

    /// Pays in what the floor has earned since the last time.
    fn pay_floor(&self) {
        let now = self.clock.now().nanos();
        let then = self.paid_at.load(Relaxed);
        let earned = (u128::from(now.saturating_sub(then)) * u128::from(self.per_second)
            / 1_000_000_000) as u64;
        if earned > 0 && self.paid_at.compare_exchange(then, now, Relaxed, Relaxed).is_ok() {
            self.pay(earned);
        }
    }
}

/// How an attempt failed, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Not again.
    No,
    /// Again, after a pause.
    Yes,
    /// Again, but not sooner than this, and at no cost to the budget: the breaker refused it, so
    /// that nobody was bothered.
    Unspent(Duration),
}

impl Again {
    /// The rule for a single statement: `idempotent` says that doing it twice is the same as doing it
    /// once, `sent` that it may have reached the server.
    pub fn statement(class: Class, idempotent: bool, sent: bool) -> Self {
        match class.retry() {
            // A statement of its own is its own transaction.
            Retry::Always | Retry::WholeTransaction => Self::Yes,
            Retry::IfIdempotent if idempotent || !sent => Self::Yes,
            Retry::IfIdempotent | Retry::Never => Self::No,
        }
    }
}

/// Runs an operation again and again until it succeeds, may not be repeated, or its time is over.
#[derive(Clone, Copy, Debug)]
pub struct Runner<'a> {
    /// The pauses.
    pub schedule: &'a Schedule,
    /// What may be spent.
    pub budget: &'a Budget,
    /// What time it is.
    pub clock: &'a Clock,
}

impl Runner<'_> {
    /// Runs `attempt` until `deadline`. It is told the number of the attempt (from 1) and keeps to
    /// the deadline itself, as the driver must be told of it. `again` judges an error; the last
    /// error is returned.
    pub async fn run<T, E, F>(
        &self,
        deadline: Stamp,
        mut attempt: impl FnMut(u32) -> F,
        again: impl Fn(&E) -> Again,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.budget.call();
        let mut error = match attempt(1).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        // Boxed: every call would carry the room for it.
        Box::pin(async move {
            for tried in 1.. {
                match self.pause(tried, deadline, again(&error)) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => break,
                }
                match attempt(tried + 1).await {
                    Ok(value) => return Ok(value),
                    Err(failed) => error = failed,
                }
            }
            Err(error)
        })
        .await
    }

    /// How long to pause after `tried` attempts, or `None` to give up. Spends from the budget.
    pub fn pause(&self, tried: u32, deadline: Stamp, again: Again) -> Option<Duration> {
        let now = self.clock.now();
        let rng = &mut rand::rng();
        match again {
            Again::No => None,
            Again::Yes => {
                let at = self.schedule.next(tried, now, deadline, rng)?;
                self.budget.take().then(|| at.since(now))
            }
            Again::Unspent(wait) => {
                // An open breaker says when to come: a little jitter is enough. While others probe, nobody
                // knows: whoever asks in vain comes less and less often, but never so seldom that it would
                // miss the end of an outage by much.
                let step = if wait.is_zero() { tried.min(MOST_STEPS_REFUSED) } else { 1 };
                let at = now.plus(wait).plus(self.schedule.pause(step, rng));
                (at < deadline).then(|| at.since(now))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_fill_the_whole_range_under_the_ceiling() {
        let schedule = Schedule { base: 100 * MILLI, cap: 400 * MILLI, attempts: 9 };
        let mut rng = StdRng::seed_from_u64(7);
        for (failed, ceiling) in [(1, 100), (2, 200), (3, 400), (4, 400), (40, 400)] {
            let draws: Vec<_> =
                (0..2_000).map(|_| schedule.pause(failed, &mut rng).as_millis()).collect();
            let (least, most) = (draws.iter().min(), draws.iter().max());
            assert!(*most.expect("draws") <= ceiling, "{failed}: {most:?}");
            assert!(*most.expect("draws") >= ceiling * 98 / 100, "{failed}: {most:?}");
            assert!(*least.expect("draws") <= ceiling / 50, "{failed}: {least:?}");
        }
    }

    #[test]
    fn no_pause_ends_after_the_deadline() {
        let schedule = Schedule { base: 100 * MILLI, cap: 100 * MILLI, attempts: 3 };
        let mut rng = StdRng::seed_from_u64(1);
        let now = Stamp::from_nanos(0);
        for _ in 0..1_000 {
            let deadline = now.plus(50 * MILLI);
            if let Some(at) = schedule.next(1, now, deadline, &mut rng) {
                assert!(at < deadline);
            }
        }
        let far = now.plus(Duration::from_secs(9));
        assert!(schedule.next(2, now, far, &mut rng).is_some());
        assert!(schedule.next(3, now, far, &mut rng).is_none(), "attempts are used up");
    }

    #[test]
    fn the_budget_lets_a_tenth_through_and_a_floor() {
        let clock = Clock::test();
        let budget = Budget::new(0.1, 2, clock.clone());
        let drained = (0..1_000).filter(|_| budget.take()).count();
        assert_eq!((drained, budget.refused()), (20, 980), "ten seconds of floor were saved");
        (0..100).for_each(|_| budget.call());
        assert_eq!((0..1_000).filter(|_| budget.take()).count(), 10);
        clock.advance(3_500 * MILLI);
        assert_eq!((0..1_000).filter(|_| budget.take()).count(), 7);
        clock.advance(Duration::from_secs(1_000_000));
        assert_eq!(budget.left(), 20, "no more is saved up than that");
    }

    #[test]
    fn an_outage_costs_a_tenth_more_calls() {
        let clock = Clock::test();
        let budget = Budget::new(0.1, 1, clock.clone());
        let (calls, mut attempts) = (10_000, 0);
        for _ in 0..calls {
            budget.call();
            clock.advance(MILLI);
            attempts += 1;
            while budget.take() {
                attempts += 1;
            }
        }
        let allowed = calls * 11 / 10 + 10 + 10;
        assert!(attempts <= allowed, "{attempts} > {allowed}");
    }

    #[test]
    fn who_is_refused_while_others_probe_comes_less_and_less_often() {
        let clock = Clock::test();
        let budget = Budget::new(0.1, 1, clock.clone());
        let schedule = Schedule { base: 50 * MILLI, ..Schedule::default() };
        let runner = Runner { schedule: &schedule, budget: &budget, clock: &clock };
        let deadline = clock.now().plus(Duration::from_mins(1));
        let longest = |tried, wait| {
            let pauses =
                (0..500).filter_map(|_| runner.pause(tried, deadline, Again::Unspent(wait)));
            pauses.max().expect("pauses")
        };
        // A hundred that wait then ask 500 times a second: each every 200 ms on average.
        for (tried, ceiling) in [(1, 50), (2, 100), (3, 200), (4, 400), (40, 400)] {
            let most = longest(tried, Duration::ZERO);
            assert!(
                most <= ceiling * MILLI && most >= ceiling * MILLI * 9 / 10,
                "{tried}: {most:?}"
            );
        }
        let known = longest(40, 100 * MILLI);
        assert!(known <= 150 * MILLI, "an open breaker says when: {known:?}");
        assert_eq!(budget.left(), 10, "refusals cost nothing");
    }

    #[test]
    fn statements_are_repeated_by_the_table() {
        for (class, idempotent, sent, again) in [
            (Class::Network, false, true, Again::No),
            (Class::Network, true, true, Again::Yes),
            (Class::Network, false, false, Again::Yes),
            (Class::Starting, false, true, Again::Yes),
            (Class::OutcomeUnknown, true, true, Again::No),
            (Class::Contention, false, true, Again::Yes),
            (Class::Configuration, true, false, Again::No),
            (Class::Corruption, true, true, Again::No),
        ] {
            assert_eq!(Again::statement(class, idempotent, sent), again, "{class:?}");
        }
    }

    #[tokio::test]
    async fn it_runs_until_it_succeeds_or_may_not_go_on() {
        let clock = Clock::test();
        let budget = Budget::new(0.1, 1, clock.clone());
        let schedule = Schedule { base: MILLI, cap: MILLI, attempts: 5 };
        let runner = Runner { schedule: &schedule, budget: &budget, clock: &clock };
        let deadline = clock.now().plus(Duration::from_secs(9));
        let tries = Cell::new(0);
        let attempt = |good_at: u32| {
            let tries = &tries;
            move |n: u32| {
                tries.set(n);
                async move { if n >= good_at { Ok(n) } else { Err("not yet") } }
            }
        };
        assert_eq!(runner.run(deadline, attempt(3), |_| Again::Yes).await, Ok(3));
        assert_eq!(runner.run(deadline, attempt(9), |_| Again::Yes).await, Err("not yet"));
        assert_eq!(tries.get(), 5, "attempts are used up");
        assert_eq!(runner.run(deadline, attempt(3), |_| Again::No).await, Err("not yet"));
        assert_eq!(tries.get(), 1);
        let late = Again::Unspent(Duration::from_secs(10));
        assert_eq!(runner.run(deadline, attempt(3), |_| late).await, Err("not yet"));
        assert_eq!(tries.get(), 1, "the breaker opens only after the deadline");
        while budget.take() {}
        assert_eq!(runner.run(deadline, attempt(3), |_| Again::Yes).await, Err("not yet"));
        assert_eq!(tries.get(), 1, "the budget is spent");
        let free = Again::Unspent(Duration::ZERO);
        assert_eq!(runner.run(deadline, attempt(9), |_| free).await, Ok(9));
    }
}
