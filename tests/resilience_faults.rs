//! Bad days: the server restarts under load, or hangs.
#![allow(clippy::expect_used, reason = "a test")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests measure with the real clock, and say what they measured"
)]

use crate::support;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::support::{
    cluster,
    database::{database, database_at},
    eventually_async, slack,
};
use howdah::{
    cluster::Stop,
    resilience::{Database, Options, breaker::State},
};
use tokio::task::{JoinHandle, block_in_place};

/// Callers that ask without a pause, and what they lived through.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    callers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    good: AtomicU64,
    errors: Mutex<Vec<String>>,
    longest: Mutex<(Duration, String)>,
}

impl Seen {
    fn note(&self, took: Duration, what: String) {
        let mut longest = self.longest.lock().expect("the longest");
        if took > longest.0 {
            *longest = (took, what);
        }
    }
}

impl Load {
    fn start(db: &Database, callers: usize, deadline: Duration) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()));
        let callers = (0..callers)
            .map(|_| {
                let (db, stop, seen) = (db.clone(), Arc::clone(&stop), Arc::clone(&seen));
                tokio::spawn(async move {
                    while !stop.load(SeqCst) {
                        let began = Instant::now();
                        let call = db.call().within(deadline).idempotent();
                        let outcome = call.query("SELECT 1", &[]).await;
                        let took = began.elapsed();
                        let what =
                            outcome.as_ref().err().map_or("good".into(), ToString::to_string);
                        if outcome.is_ok() {
                            seen.good.fetch_add(1, SeqCst);
                        } else {
                            seen.errors.lock().expect("a list").push(what.clone());
                        }
                        seen.note(took, what);
                        // A caller that is refused at once must not starve the others of the processor.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                })
            })
            .collect();
        Self { stop, seen, callers }
    }

    fn good(&self) -> u64 {
        self.seen.good.load(SeqCst)
    }

    /// Waits for good answers from now on; returns how long the first took.
    async fn answers(&self, limit: Duration) -> Duration {
        let before = self.good();
        eventually_async("an answer", limit, || async { self.good() > before }).await
    }

    async fn end(self) -> (Vec<String>, (Duration, String)) {
        self.stop.store(true, SeqCst);
        for caller in self.callers {
            caller.await.expect("no panic");
        }
        let errors = self.seen.errors.lock().expect("a list").clone();
        let longest = self.seen.longest.lock().expect("the longest").clone();
        (errors, longest)
    }
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_is_not_felt_as_an_error() {
    let cluster = cluster();
    for how in [Stop::Fast, Stop::Immediate] {
        let db = database(&cluster, Options::default());
        let load = Load::start(&db, 16, Duration::from_secs(15));
        load.answers(LIMIT).await;
        block_in_place(|| cluster.stop(how).and_then(|()| cluster.start())).expect("restarted");
        let first = load.answers(LIMIT).await;
        let (errors, longest) = load.end().await;
        println!("{how:?}: first answer {first:?} after the start, longest call {longest:?}");
        assert_eq!(errors, Vec::<String>::new(), "{how:?}");
        assert!(longest.0 < Duration::from_secs(15) + slack(), "{longest:?}");
        assert!(first < Duration::from_millis(500) + slack(), "{how:?}: {first:?}");
        assert!(db.pool().record().retries.get() > 0, "the restart was felt by nobody: no test");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_opens_the_breaker_and_healing_closes_it() {
    let cluster = cluster();
    let db = database(&cluster, Options::default());
    live_through_silence(&db, || cluster.hang().expect("hung"), || cluster.resume()).await;
}

#[cfg(target_os = "linux")]
#[test]
fn a_black_hole_opens_the_breaker_and_healing_closes_it() {
    let name = "resilience_faults::a_black_hole_opens_the_breaker_and_healing_closes_it";
    support::black_hole::with_black_hole(name, |server, hole| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let db = database_at(server, hole.address(), Options::default());
            live_through_silence(&db, || hole.swallow(), || hole.heal()).await;
        });
    });
}

/// How soon service is back after a silence.
const HEALS: Duration = Duration::from_millis(500);
/// How long the server stays silent after the breaker has opened: what is under way when it comes back
/// (a pause, an attempt, its first packet or its last) is another thing each time.
const SILENCES: [u64; 4] = [600, 1_100, 1_700, 3_000];

/// Under load the server falls silent and comes back: the breaker opens in time, nobody waits beyond a
/// deadline, callers are refused at once, and service is back soon after.
async fn live_through_silence(db: &Database, silence: impl Fn(), heal: impl Fn()) {
    let deadline = Duration::from_secs(2);
    let load = Load::start(db, 16, deadline);
    let mut healed = Vec::new();
    for lasts in SILENCES.map(Duration::from_millis) {
        load.answers(LIMIT).await;
        block_in_place(&silence);
        let is = |state| async move { db.breaker().stats().state == state };
        let opened = eventually_async("open", LIMIT, || is(State::Open)).await;
        assert!(opened <= Duration::from_millis(2500) + slack(), "{opened:?}");
        // From now on callers are refused at once instead of waiting.
        let began = Instant::now();
        let refused = db.call().within(Duration::from_millis(1)).query("SELECT 1", &[]).await;
        assert!(refused.is_err() && began.elapsed() < Duration::from_millis(50), "{refused:?}");
        tokio::time::sleep(lasts).await;

        block_in_place(&heal);
        let first = load.answers(LIMIT).await;
        let closed = eventually_async("closed", LIMIT, || is(State::Closed)).await;
        println!(
            "silence of {lasts:?}: opened after {opened:?}, first answer {first:?} and closed {:?} \
             after the healing",
            first + closed
        );
        healed.push(first);
    }
    let (errors, longest) = load.end().await;
    println!("longest call {longest:?}, {} errors", errors.len());
    assert!(longest.0 <= deadline + Duration::from_millis(50) + slack(), "{longest:?}");
    assert!(healed.iter().all(|first| *first <= HEALS + slack()), "{healed:?}");
}
