use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Rates over 10 s, 50 %, at least 20 calls; 5 in a row; 3 probes; exact waits.
fn settings() -> Settings {
    Settings { jitter: 0.0, ..Settings::default() }
}

fn breaker(settings: Settings) -> (Breaker, Clock) {
    let clock = Clock::test();
    (Breaker::new("test", settings, clock.clone()), clock)
}

fn fail(breaker: &Breaker) {
    breaker.try_acquire().expect("a permit").failure();
}

fn succeed(breaker: &Breaker) {
    breaker.try_acquire().expect("a permit").success();
}

fn state(breaker: &Breaker) -> State {
    breaker.stats().state
}

/// Opens by failures in a row, and waits until probes are due.
fn until_half_open(breaker: &Breaker, clock: &Clock) {
    while state(breaker) == State::Closed {
        fail(breaker);
    }
    clock.advance(breaker.stats().retry_in.expect("an end"));
}

/// Case A: however many good calls came before, five failures in a row open; and with that rule
/// switched off, a share of the window does, which old calls leave.
#[test]
fn a_million_good_calls_do_not_delay_opening() {
    for good in [0, 100, 1_000, 1_000_000] {
        let (breaker, _) = breaker(settings());
        for _ in 0..good {
            succeed(&breaker);
        }
        for _ in 0..4 {
            fail(&breaker);
            assert_eq!(state(&breaker), State::Closed);
        }
        fail(&breaker);
        assert_eq!(state(&breaker), State::Open);
        assert_eq!(breaker.stats().cause, Cause::ConsecutiveFailures);
    }
    let (breaker, clock) = breaker(Settings { consecutive: 0, ..settings() });
    for _ in 0..1_000_000 {
        succeed(&breaker);
    }
    clock.advance(11 * SECOND);
    for n in 0..20 {
        assert_eq!(state(&breaker), State::Closed, "{n}");
        fail(&breaker);
    }
    assert_eq!(breaker.stats().cause, Cause::FailureRate);
}

/// Case B: of fifty calls at once, half-open lets exactly three through.
#[test]
fn half_open_lets_exactly_its_probes_through() {
    let (breaker, clock) = breaker(settings());
    until_half_open(&breaker, &clock);
    let permits: Vec<_> = (0..50).filter_map(|_| breaker.try_acquire().ok()).collect();
    assert_eq!(permits.len(), 3);
    assert!(permits.iter().all(Permit::is_probe));
    let refused = breaker.try_acquire().expect_err("no place");
    assert_eq!((refused.state, refused.retry_in), (State::HalfOpen, None));
    let mut permits = permits.into_iter();
    permits.next().expect("first").success();
    assert!(breaker.try_acquire().is_err(), "a good probe keeps its place");
    assert_eq!(breaker.stats().probes, Some((1, 3)));
    permits.for_each(Permit::success);
    assert_eq!(state(&breaker), State::Closed);
    assert_eq!(breaker.stats().window, Sums::default(), "the past is forgotten");
}

/// Case C: calls that never answer, cut by a timeout around the breaker's call, open it.
#[tokio::test(flavor = "current_thread")]
async fn two_hundred_hanging_calls_cut_from_outside_open_it() {
    let breaker = Arc::new(Breaker::new("test", settings(), Clock::system()));
    let mut refused = 0;
    for _ in 0..4 {
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let breaker = Arc::clone(&breaker);
                tokio::spawn(async move {
                    let hang = std::future::pending::<Result<(), ()>>();
                    tokio::time::timeout(Duration::from_millis(30), breaker.call(hang)).await
                })
            })
            .collect();
        for call in calls {
            if let Ok(Err(CallError::Refused(_))) = call.await.expect("no panic") {
                refused += 1;
            }
        }
    }
    assert!(breaker.stats().transitions[0][1] >= 1, "{:?}", breaker.stats());
    assert!(refused >= 100, "{refused}");
    assert!(breaker.stats().dropped >= 50);
}

/// Case D: probes that are cancelled give their place back, at once or by way of open.
#[test]
fn cancelled_probes_never_leave_it_stuck() {
    for in_flight in [Duration::ZERO, SECOND] {
        let (breaker, clock) = breaker(settings());
        until_half_open(&breaker, &clock);
        for _ in 0..10 {
            let permits: Vec<_> = (0..3).filter_map(|_| breaker.try_acquire().ok()).collect();
            clock.advance(in_flight);
            drop(permits);
        }
        clock.advance(SECOND);
        for _ in 0..10 {
            succeed(&breaker);
        }
        assert_eq!(state(&breaker), State::Closed);
    }
}

#[test]
fn a_call_dropped_at_once_says_nothing_and_later_it_is_a_failure() {
    let (breaker, clock) = breaker(settings());
    for _ in 0..100 {
        drop(breaker.try_acquire().expect("a permit"));
    }
    assert_eq!(breaker.stats().window, Sums::default());
    for _ in 0..5 {
        let permit = breaker.try_acquire().expect("a permit");
        clock.advance(Duration::from_millis(10));
        drop(permit);
    }
    assert_eq!(state(&breaker), State::Open);
    assert_eq!((breaker.stats().dropped, breaker.stats().failed), (105, 5));
}

#[test]
fn slow_calls_open_even_when_they_succeed() {
    let (breaker, clock) = breaker(Settings { window: 100 * SECOND, ..settings() });
    for n in 0..20 {
        assert_eq!(state(&breaker), State::Closed, "{n}");
        let permit = breaker.try_acquire().expect("a permit");
        clock.advance(if n < 4 { Duration::ZERO } else { SECOND });
        permit.success();
    }
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.cause), (State::Open, Cause::SlowRate));
    assert_eq!((stats.slow_rate, stats.failure_rate), (Some(0.8), Some(0.0)));
}

#[test]
fn a_failure_by_rate_only_never_opens_in_a_row() {
    let (breaker, _) = breaker(settings());
    for n in 0..20 {
        assert_eq!(state(&breaker), State::Closed, "{n}");
        let permit = breaker.try_acquire().expect("a permit");
        permit.settle(Verdict::Bad(Effect::FailureByRateOnly));
    }
    assert_eq!(breaker.stats().cause, Cause::FailureRate);
}

#[test]
fn ignored_calls_count_nowhere() {
    let (breaker, clock) = breaker(settings());
    for _ in 0..100 {
        breaker.try_acquire().expect("a permit").ignored();
    }
    assert_eq!((breaker.stats().window, breaker.stats().ignored), (Sums::default(), 100));
    until_half_open(&breaker, &clock);
    for _ in 0..10 {
        breaker.try_acquire().expect("its place is given back").ignored();
    }
    assert_eq!(state(&breaker), State::HalfOpen);
}

#[test]
fn a_slow_probe_neither_closes_nor_re_opens() {
    let (breaker, clock) = breaker(settings());
    until_half_open(&breaker, &clock);
    let slow: Vec<_> = (0..3).map(|_| breaker.try_acquire().expect("a probe")).collect();
    clock.advance(2 * SECOND);
    slow.into_iter().for_each(Permit::success);
    assert_eq!(state(&breaker), State::HalfOpen);
    (0..3).for_each(|_| succeed(&breaker));
    assert_eq!(state(&breaker), State::Closed);
}

#[test]
fn each_failed_probe_lengthens_the_wait_up_to_the_cap() {
    let (breaker, clock) =
        breaker(Settings { open_wait: SECOND, open_wait_max: 5 * SECOND, ..settings() });
    until_half_open(&breaker, &clock);
    let mut waits = Vec::new();
    for _ in 0..4 {
        fail(&breaker);
        let refused = breaker.try_acquire().expect_err("open again");
        assert_eq!(refused.cause, Cause::ProbeFailed);
        let wait = refused.retry_in.expect("an end");
        waits.push(wait.as_secs());
        clock.advance(wait.checked_sub(Duration::from_nanos(1)).expect("a wait"));
        assert!(breaker.try_acquire().is_err());
        clock.advance(Duration::from_nanos(1));
    }
    assert_eq!(waits, [2, 4, 5, 5]);
    (0..3).for_each(|_| succeed(&breaker));
    (0..5).for_each(|_| fail(&breaker));
    assert_eq!(breaker.stats().retry_in, Some(SECOND), "closing forgives");
}

#[test]
fn probes_that_never_come_back_are_given_up() {
    let (breaker, clock) = breaker(settings());
    until_half_open(&breaker, &clock);
    let lost: Vec<_> = (0..3).map(|_| breaker.try_acquire().expect("a probe")).collect();
    clock.advance(29 * SECOND);
    assert!(breaker.try_acquire().is_err());
    clock.advance(SECOND);
    assert!(breaker.try_acquire().is_err());
    assert_eq!(breaker.stats().cause, Cause::ProbesLost);
    clock.advance(SECOND);
    succeed(&breaker);
    lost.into_iter().for_each(Permit::failure);
    assert_eq!(state(&breaker), State::HalfOpen, "their late word counts no more");
}

#[test]
fn a_call_from_before_does_not_count_now() {
    let (breaker, clock) = breaker(settings());
    let early: Vec<_> = (0..10).map(|_| breaker.try_acquire().expect("a permit")).collect();
    until_half_open(&breaker, &clock);
    let probe = breaker.try_acquire().expect("a probe");
    early.into_iter().for_each(Permit::failure);
    assert_eq!(state(&breaker), State::HalfOpen);
    probe.success();
    assert_eq!(breaker.stats().probes, Some((1, 3)));
}

#[test]
fn disabled_passes_and_counts_and_never_refuses() {
    let (breaker, clock) = breaker(settings());
    (0..5).for_each(|_| fail(&breaker));
    breaker.set_mode(Mode::Disabled, "mia", "migration", Some(60 * SECOND));
    (0..100).for_each(|_| fail(&breaker));
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.mode), (State::Closed, Mode::Disabled));
    assert_eq!(stats.window.failures, 105);
    let hold = stats.hold.expect("who and why");
    assert_eq!((hold.actor.as_str(), hold.reason.as_str()), ("mia", "migration"));
    assert_eq!(hold.until.expect("an end").duration_since(hold.since).as_secs(), 60);
    clock.advance(60 * SECOND);
    assert_eq!((breaker.stats().mode, breaker.stats().hold), (Mode::Auto, None));
    (0..5).for_each(|_| fail(&breaker));
    assert_eq!(state(&breaker), State::Open);
}

#[test]
fn forced_open_refuses_all_and_leads_through_probes() {
    let (breaker, clock) = breaker(settings());
    breaker.set_mode(Mode::ForcedOpen, "mia", "failover", Some(SECOND));
    let refused = breaker.try_acquire().expect_err("forced open");
    assert_eq!((refused.mode, refused.retry_in), (Mode::ForcedOpen, Some(SECOND)));
    clock.advance(SECOND);
    let permits: Vec<_> = (0..9).filter_map(|_| breaker.try_acquire().ok()).collect();
    assert_eq!(permits.len(), 3);
    permits.into_iter().for_each(Permit::success);
    assert_eq!(state(&breaker), State::Closed);
    breaker.set_mode(Mode::ForcedOpen, "mia", "failover", None);
    clock.advance(1_000_000 * SECOND);
    assert!(breaker.try_acquire().is_err());
    breaker.set_mode(Mode::Auto, "tom", "done", None);
    assert_eq!(state(&breaker), State::HalfOpen);
}

#[test]
fn whoever_listens_hears_every_change() {
    let (breaker, clock) = breaker(settings());
    let mut events = breaker.subscribe();
    until_half_open(&breaker, &clock);
    (0..3).for_each(|_| succeed(&breaker));
    breaker.set_mode(Mode::Disabled, "mia", "drill", None);
    let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| (event.from, event.to, event.mode, event.cause))
        .collect();
    assert_eq!(
        heard,
        [
            (State::Closed, State::Open, Mode::Auto, Cause::ConsecutiveFailures),
            (State::Open, State::HalfOpen, Mode::Auto, Cause::WaitOver),
            (State::HalfOpen, State::Closed, Mode::Auto, Cause::Recovered),
            (State::Closed, State::Closed, Mode::Disabled, Cause::Person),
        ]
    );
    assert_eq!(breaker.stats().transitions, [[0, 1, 0], [0, 0, 1], [1, 0, 0]]);
}

/// Two threads hammer half-open: never more than three calls are in it at once.
#[test]
fn two_threads_never_get_more_probes_than_there_are() {
    let (breaker, clock) = breaker(settings());
    until_half_open(&breaker, &clock);
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50_000 {
                    let permits: Vec<_> =
                        (0..4).filter_map(|_| breaker.try_acquire().ok()).collect();
                    let count = permits.len() as u32;
                    most.fetch_max(inside.fetch_add(count, SeqCst) + count, SeqCst);
                    inside.fetch_sub(count, SeqCst);
                    permits.into_iter().for_each(Permit::ignored);
                }
            });
        }
    });
    assert_eq!(most.load(SeqCst), 3);
    (0..3).for_each(|_| succeed(&breaker));
    assert_eq!(state(&breaker), State::Closed);
}
