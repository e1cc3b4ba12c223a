//! The breaker against a model of a few lines: whatever a caller does, and whatever time passes, the
//! two are in the same state and let the same calls through.

use std::{collections::VecDeque, time::Duration};

use howdah::{
    base::clock::{Clock, Stamp},
    resilience::breaker::{Breaker, Permit, Settings, State},
};
use proptest::prelude::*;

/// A breaker for one thread, without a thought for speed: remembers every call.
struct Model {
    state: State,
    calls: VecDeque<(u64, bool, bool)>,
    streak: u32,
    retry_at: Duration,
    reopened: u32,
    round: u32,
    out: u32,
    good: u32,
}

impl Model {
    fn open(&mut self, now: Duration, reopened: u32) {
        self.reopened = reopened;
        self.retry_at = now + WAIT * (1 << reopened.min(2));
        (self.state, self.round) = (State::Open, self.round + 1);
    }

    fn acquire(&mut self, now: Duration) -> Option<u32> {
        if self.state == State::Open && now >= self.retry_at {
            (self.state, self.round, self.out, self.good) = (State::HalfOpen, self.round + 1, 0, 0);
        }
        match self.state {
            State::Closed => Some(self.round),
            State::HalfOpen if self.out + self.good < 2 => {
                self.out += 1;
                Some(self.round)
            }
            _ => None,
        }
    }

    fn settle(&mut self, now: Duration, round: u32, good: bool, slow: bool) {
        match self.state {
            _ if round != self.round => {}
            State::HalfOpen if !good => self.open(now, self.reopened + 1),
            State::HalfOpen => {
                self.out -= 1;
                self.good += u32::from(!slow);
                if self.good == 2 {
                    (self.state, self.round, self.streak) = (State::Closed, self.round + 1, 0);
                    self.calls.clear();
                }
            }
            _ => {
                let tick = (now.as_millis() / 100) as u64;
                self.calls.push_back((tick, good, slow));
                self.calls.retain(|call| call.0 + 10 > tick);
                self.streak = if good { 0 } else { self.streak + 1 };
                let share = |n: usize| n as f64 / self.calls.len() as f64;
                let failed = share(self.calls.iter().filter(|call| !call.1).count());
                let slowly = share(self.calls.iter().filter(|call| call.2).count());
                let rates = self.calls.len() >= 8 && (failed >= 0.5 || slowly >= 0.75);
                if (!good || slow) && (self.streak >= 4 || rates) {
                    self.open(now, 0);
                }
            }
        }
    }
}

const WAIT: Duration = Duration::from_millis(300);
const SLOW: Duration = Duration::from_millis(200);

fn settings() -> Settings {
    Settings {
        consecutive: 4,
        failure_rate: Some(0.5),
        slow_rate: Some(0.75),
        slow_call: SLOW,
        window: Duration::from_secs(1),
        min_calls: 8,
        probes: 2,
        open_wait: WAIT,
        open_wait_max: WAIT * 4,
        jitter: 0.0,
        dropped_counts_after: Duration::ZERO,
        probe_limit: Duration::MAX,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Settle(usize, bool),
    Drop(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Acquire),
        5 => (0_usize..8).prop_map(|nth| Step::Settle(nth, true)),
        3 => (0_usize..8).prop_map(|nth| Step::Settle(nth, false)),
        1 => (0_usize..8).prop_map(Step::Drop),
        3 => prop_oneof![0_u64..60, 200_u64..1500].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn it_does_what_the_model_does(steps in steps()) {
        let clock = Clock::test();
        let breaker = Breaker::new("model", settings(), clock.clone());
        let mut model = Model {
            state: State::Closed, calls: VecDeque::new(), streak: 0, retry_at: Duration::ZERO,
            reopened: 0, round: 0, out: 0, good: 0,
        };
        let mut permits: Vec<(Permit<'_>, u32, Duration)> = Vec::new();
        for step in steps {
            let now = clock.now().since(Stamp::default());
            match step {
                Step::Acquire => match (breaker.try_acquire(), model.acquire(now)) {
                    (Ok(permit), Some(round)) => permits.push((permit, round, now)),
                    (Err(_), None) => {}
                    (real, model) => prop_assert!(false, "{real:?} but the model says {model:?}"),
                },
                Step::Settle(nth, good) if nth < permits.len() => {
                    let (permit, round, began) = permits.swap_remove(nth);
                    if good { permit.success() } else { permit.failure() }
                    model.settle(now, round, good, now.saturating_sub(began) >= SLOW);
                }
                Step::Drop(nth) if nth < permits.len() => {
                    let (permit, round, began) = permits.swap_remove(nth);
                    drop(permit);
                    model.settle(now, round, false, now.saturating_sub(began) >= SLOW);
                }
                Step::Wait(millis) => clock.advance(Duration::from_millis(millis)),
                Step::Settle(..) | Step::Drop(_) => {}
            }
            prop_assert_eq!(breaker.stats().state, model.state);
        }
    }
}
