//! A real PgBouncer in front of a real server, watched through its console.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use crate::support;
use std::time::Duration;

use crate::support::bouncer::Bouncer;
use howdah::{
    base::clock::Clock,
    cluster::Via,
    resilience::conninfo::{Environment, Settings},
    watch::{
        snapshot::{Pool, PoolKind, SourceKind, WaitMeaning},
        sources::{Reading, pace::Line, pgbouncer},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Runs the watch on that console; dropping the guard ends it.
fn watch(conninfo: &str) -> (mpsc::Receiver<Reading>, DropGuard) {
    let settings = Settings::parse(conninfo, &Environment::bare()).expect("settings");
    let mut bouncer = pgbouncer::Bouncer::new("bouncer", settings);
    bouncer.period = Duration::from_millis(100);
    let (out, readings) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    tokio::spawn(pgbouncer::run(bouncer, Clock::system(), Line::new(out, cancel.clone())));
    (readings, cancel.drop_guard())
}

/// The next reading that is as wanted, within ten seconds.
async fn until(
    readings: &mut mpsc::Receiver<Reading>,
    what: &str,
    wanted: impl Fn(&Reading) -> bool,
) -> Reading {
    let mut last = None;
    let search = async {
        loop {
            let reading = readings.recv().await.expect("the watch goes on");
            if wanted(&reading) {
                return reading;
            }
            last = Some(reading);
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), search).await;
    found.unwrap_or_else(|_| unreachable!("not within 10 s: {what}; last: {last:?}"))
}

fn pool<'a>(reading: &'a Reading, name: &str) -> Option<&'a Pool> {
    reading.pools.iter().find(|pool| &*pool.name == name)
}

fn problem(reading: &Reading) -> &str {
    reading.source.problem.as_ref().map_or("", |problem| &*problem.what)
}

async fn session(conninfo: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(conninfo, tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saturated_pool_shows_who_waits_and_how_long() {
    let cluster = support::cluster();
    let bouncer = Bouncer::start(&cluster);
    let (mut readings, _guard) = watch(&bouncer.conninfo("pgbouncer", "watcher"));

    let first = until(&mut readings, "a first answer", |reading| reading.answered).await;
    assert_eq!((first.source.kind, problem(&first)), (SourceKind::PgBouncer, ""));
    assert!(first.source.last_good.is_some() && first.source.latency.is_some());
    let clients = pool(&first, "clients").expect("the clients");
    assert_eq!((clients.in_use, clients.max), (Some(1), Some(40)), "only we are here");
    assert!(first.pools.iter().all(|pool| !pool.name.contains("pgbouncer")), "{:?}", first.pools);

    // Three callers for one connection; the one that has it waits for a lock that we hold.
    let lock = support::connect(&cluster, Via::Unix).await;
    lock.batch_execute("select pg_advisory_lock(7)").await.expect("locked");
    let mut busy = Vec::new();
    for _ in 0..3 {
        let client = session(&bouncer.conninfo("app", "app")).await;
        let call = async move { client.simple_query("select pg_advisory_xact_lock(7)").await };
        busy.push(tokio::spawn(call));
    }
    let full = until(&mut readings, "two wait for the only connection", |reading| {
        let Some(app) = pool(reading, "app/postgres") else { return false };
        let waits = app.wait.is_some_and(|wait| wait.value > Duration::from_millis(200));
        app.waiting == Some(2) && waits
    })
    .await;
    let app = pool(&full, "app/postgres").expect("the pool");
    assert_eq!((app.kind, app.in_use, app.idle), (PoolKind::PgBouncer, Some(1), Some(0)));
    assert_eq!((app.max, app.share()), (Some(1), Some(1.0)));
    assert_eq!(app.wait.map(|wait| wait.meaning), Some(WaitMeaning::LongestNow));
    assert_eq!(pool(&full, "clients").and_then(|clients| clients.in_use), Some(4));

    drop(lock);
    for call in busy {
        call.await.expect("no panic").expect("its turn came");
    }
    until(&mut readings, "nobody waits", |reading| {
        pool(reading, "app/postgres")
            .is_some_and(|app| app.waiting == Some(0) && app.in_use == Some(0))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_and_disable_show_on_the_pool() {
    let cluster = support::cluster();
    let bouncer = Bouncer::start(&cluster);
    let (mut readings, _guard) = watch(&bouncer.conninfo("pgbouncer", "watcher"));
    let admin = session(&bouncer.conninfo("pgbouncer", "admin")).await;
    let note = |reading: &Reading| {
        let app = reading.pools.iter().find(|pool| pool.name.starts_with("app/"));
        app.and_then(|app| app.note.as_deref().map(str::to_owned))
    };
    until(&mut readings, "an answer", |reading| reading.answered && note(reading).is_none()).await;
    admin.simple_query("PAUSE app").await.expect("paused");
    until(&mut readings, "paused", |reading| note(reading).as_deref() == Some("paused")).await;
    admin.simple_query("DISABLE app").await.expect("disabled");
    let both = |reading: &Reading| note(reading).as_deref() == Some("paused, disabled");
    until(&mut readings, "paused and disabled", both).await;
    admin.simple_query("RESUME app").await.expect("resumed");
    admin.simple_query("ENABLE app").await.expect("enabled");
    until(&mut readings, "as before", |reading| reading.answered && note(reading).is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_bouncer_is_told_in_time_and_seen_again() {
    let cluster = support::cluster();
    let bouncer = Bouncer::start(&cluster);
    let (mut readings, _guard) = watch(&bouncer.conninfo("pgbouncer", "watcher"));
    let good = until(&mut readings, "an answer", |reading| reading.answered).await;

    bouncer.hang();
    let clock = Clock::system();
    let frozen = clock.now();
    // On the connection that stands: no answer. On a new one: no connection.
    let silent = until(&mut readings, "silence", |reading| !reading.answered).await;
    let took = clock.now().since(frozen);
    assert!(took < Duration::from_millis(1500), "told after {took:?}");
    assert!(problem(&silent).contains("no answer to SHOW"), "{}", problem(&silent));
    assert!(silent.pools.is_empty() && silent.source.last_good >= good.source.last_good);
    let asked = clock.now();
    let again = until(&mut readings, "no connection", |reading| !reading.answered).await;
    let took = clock.now().since(asked);
    assert!(took < Duration::from_millis(2500), "told after {took:?}");
    assert!(problem(&again).contains("within 1"), "{}", problem(&again));

    bouncer.resume();
    let back = until(&mut readings, "an answer again", |reading| reading.answered).await;
    assert!(back.source.last_good > silent.source.last_good && problem(&back).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bouncer_that_dies_is_told_and_its_successor_is_found() {
    let cluster = support::cluster();
    let mut bouncer = Bouncer::start(&cluster);
    let (mut readings, _guard) = watch(&bouncer.conninfo("pgbouncer", "watcher"));
    until(&mut readings, "an answer", |reading| reading.answered).await;
    bouncer.kill();
    let gone =
        until(&mut readings, "refused", |reading| problem(reading).contains("refused")).await;
    let remedy = gone.source.problem.expect("a problem").remedy;
    assert!(remedy.contains("is PgBouncer running?"), "{remedy}");
    let _successor = Bouncer::start_on(&cluster, bouncer.port);
    until(&mut readings, "the successor", |reading| reading.answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_console_or_does_not_let_us_in_is_told() {
    let cluster = support::cluster();
    let bouncer = Bouncer::start(&cluster);
    // `app` is neither in admin_users nor in stats_users.
    let (mut readings, _guard) = watch(&bouncer.conninfo("pgbouncer", "app"));
    let denied = until(&mut readings, "denied", |reading| !reading.answered).await;
    let told = denied.source.problem.expect("a problem");
    assert!(told.remedy.contains("stats_users"), "{told:?}");

    let direct = format!(
        "host=127.0.0.1 port={} user=postgres sslmode=disable password='{}'",
        cluster.port(),
        cluster.password().expose()
    );
    let (mut readings, _guard) = watch(&direct);
    let server = until(&mut readings, "no console", |reading| !reading.answered).await;
    let told = server.source.problem.expect("a problem");
    assert!(told.remedy.contains("PgBouncer's own"), "{told:?}");
    cluster.psql("create database pgbouncer").expect("made");
    let (mut readings, _guard) = watch(&direct);
    let server = until(&mut readings, "no console", |reading| !reading.answered).await;
    assert!(problem(&server).contains("not PgBouncer's admin console"), "{}", problem(&server));
    assert!(!format!("{server:?}").contains(cluster.password().expose()));
}
