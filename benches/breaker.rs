//! What a call through a closed breaker costs, with all three rules on: at one thread, and at two
//! threads that share the breaker. The goal: 80 ns and 150 ns; two clock reads alone take 47.
//!
//! `cargo bench --bench breaker`
#![allow(missing_docs, reason = "criterion's macros")]

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use howdah::{
    base::clock::Clock,
    resilience::breaker::{Breaker, Mode, Settings},
};

fn breaker() -> Breaker {
    Breaker::new("bench", Settings::default(), Clock::system())
}

#[inline]
fn call(breaker: &Breaker) {
    if let Ok(permit) = black_box(breaker).try_acquire() {
        permit.success();
    }
}

fn one_thread(c: &mut Criterion) {
    let clock = Clock::system();
    c.bench_function("two clock reads", |b| b.iter(|| black_box((clock.now(), clock.now()))));
    let closed = breaker();
    c.bench_function("closed, 1 thread", |b| b.iter(|| call(&closed)));
    let open = breaker();
    open.set_mode(Mode::ForcedOpen, "bench", "bench", None);
    c.bench_function("refusal, 1 thread", |b| b.iter(|| call(&open)));
}

fn two_threads(c: &mut Criterion) {
    let breaker = breaker();
    c.bench_function("closed, 2 threads, ns per call of each", |b| {
        b.iter_custom(|calls| at_once(calls, || call(&breaker)));
    });
    let clock = Clock::system();
    c.bench_function("two clock reads, 2 threads", |b| {
        b.iter_custom(|calls| {
            at_once(calls, || {
                black_box((clock.now(), clock.now()));
            })
        });
    });
}

/// Runs `calls` calls on each of two threads; the mean of their times.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clock")]
fn at_once(calls: u64, call: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(2);
    let run = || {
        start.wait();
        let began = Instant::now();
        for _ in 0..calls {
            call();
        }
        began.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(run);
        let own = run();
        (own + other.join().unwrap_or(own)) / 2
    })
}

criterion_group!(benches, one_thread, two_threads);
criterion_main!(benches);
