//! Bad days of what stands beside the server: applications' metrics endpoints and PgBouncer, seen
//! through the whole engine and by `howdah status`.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test, which says what it measured")]

use crate::support;
use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::support::watching::{LIMIT, Watched, alert, fresh, live, plan, watcher};
use crate::support::{bouncer::Bouncer, slack};
use howdah::{
    base::clock::Clock,
    resilience::conninfo::{Environment, Settings},
    watch::{
        snapshot::{AlertState, BreakerState, PoolKind, Snapshot, SourceKind},
        sources::{address::Endpoint, pgbouncer},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::block_in_place,
};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    db_connection_pool_size{database=\"app\",state=\"inuse\"} 3\n\
    db_connection_pool_max{database=\"app\"} 10\n\
    db_circuit_breaker_state{database=\"app\"} 0\n";

/// How an application's endpoint behaves on its bad day.
#[derive(Clone, Copy, PartialEq)]
enum Bad {
    Never,
    Gone,
    Slow,
    Garbage,
    Huge,
}

impl Bad {
    async fn serve(self, mut stream: TcpStream) {
        match self {
            Self::Never => {
                let _ = stream.write_all(GOOD.as_bytes()).await;
            }
            // A reset, as from a port that nobody listens on any more.
            Self::Gone => stream.set_zero_linger().expect("set"),
            Self::Slow => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(b"x 1\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Self::Garbage => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let noise: Vec<u8> =
                    (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                let _ = stream.write_all(&noise).await;
            }
            Self::Huge => {
                let line = b"x{a=\"b\"} 1234567\n".repeat(1 << 16);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                for _ in 0..100 {
                    if stream.write_all(&line).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// An endpoint that is good until the flag says that its bad day has come.
async fn endpoint(name: &str, bad: Bad, day: &Arc<AtomicBool>) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let day = Arc::clone(day);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let behave = if day.load(SeqCst) { bad } else { Bad::Never };
            tokio::spawn(async move {
                let mut head = [0; 2048];
                let _ = stream.read(&mut head).await;
                behave.serve(stream).await;
            });
        }
    });
    Endpoint::new(name, &format!("http://127.0.0.1:{port}/metrics")).expect("an endpoint")
}

fn silent(sight: &Snapshot) -> BTreeSet<String> {
    let alerts = sight.alerts.iter().filter(|a| &*a.check == "source_silent");
    let firing = alerts.filter(|a| a.state == AlertState::Firing);
    firing.map(|alert| alert.subject.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_endpoint_makes_only_its_own_rows_old() {
    const BAD: [(&str, Bad); 4] =
        [("gone", Bad::Gone), ("slow", Bad::Slow), ("garbage", Bad::Garbage), ("huge", Bad::Huge)];
    let cluster = support::cluster();
    let day = Arc::new(AtomicBool::new(false));
    let mut plan = plan(watcher(&cluster));
    for (name, bad) in BAD.into_iter().chain([("good", Bad::Never)]) {
        plan.endpoints.push(endpoint(name, bad, &day).await);
    }
    let mut watched = Watched::live(plan).await;
    let all = |sight: &Snapshot| {
        sight.sources.len() == 6 && sight.sources.iter().all(|s| fresh(sight, &s.name))
    };
    let (sight, _) = watched.until("all sources", LIMIT, all).await;
    for (name, _) in BAD {
        let pool = sight.pools.iter().find(|pool| &*pool.name == name).expect("its pool");
        assert_eq!((pool.in_use, pool.max, pool.kind), (Some(3), Some(10), PoolKind::Application));
        let breaker = sight.breakers.iter().find(|b| &*b.name == name).expect("its breaker");
        assert_eq!(breaker.state, BreakerState::Closed);
    }

    day.store(true, SeqCst);
    let told = watched.now();
    let (sight, took) = watched
        .until("the four are old", LIMIT, |sight| {
            BAD.iter().all(|(name, _)| {
                let named = sight.source(name).is_some_and(|s| s.problem.is_some());
                named && !fresh(sight, name)
            })
        })
        .await;
    println!("four bad endpoints told after {took:?}");
    assert_eq!(sight.pools.len(), 7, "what was known stays: {:?}", sight.pools);
    for (name, _) in BAD {
        let problem = sight.source(name).and_then(|s| s.problem.clone()).expect("told");
        println!("{name}: {} ({})", problem.what, problem.remedy);
        assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{name}: {problem:?}");
    }
    // For twenty seconds: nothing else is touched, and in the end the alerts name the four.
    let mut touched = Vec::new();
    let mut worst = Duration::ZERO;
    watched
        .throughout(Duration::from_secs(20), |sight| {
            worst = worst.max(sight.link.latency.unwrap_or_default());
            if !live(sight) || !fresh(sight, "server") || !fresh(sight, "good") {
                touched.push(format!("{:?} {:?}", sight.link, sight.source("good")));
            }
        })
        .await;
    assert!(touched.is_empty(), "{} sights, first {:?}", touched.len(), touched.first());
    println!("longest round trip to the server meanwhile {worst:?}");
    let sight = watched.sight();
    let names: BTreeSet<String> = BAD.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(silent(&sight), names, "{:?} after {:?}", sight.alerts, watched.now().since(told));

    day.store(false, SeqCst);
    watched.until("all are new again", LIMIT, all).await;
    watched.until("no alert", LIMIT, |sight| alert(sight, "source_silent").is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_is_open_for_longer_than_we_watch_shows_its_true_age() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let since = Clock::system().wall().as_second() - 7200;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let text = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
                 db_circuit_breaker_state{{database=\"app\"}} 1\n\
                 db_circuit_breaker_state_since_seconds{{database=\"app\"}} {since}\n"
            );
            let _ = stream.read(&mut [0; 2048]).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    // No server at all: the sources do not depend on each other.
    let conninfo = "host=/no/such/folder user=nobody dbname=none";
    let mut plan = plan(Settings::parse(conninfo, &Environment::bare()).expect("settings"));
    let url = format!("http://127.0.0.1:{port}/metrics");
    plan.endpoints.push(Endpoint::new("api", &url).expect("an endpoint"));
    let mut watched = Watched::start(plan);
    let old = |sight: &Snapshot| alert(sight, "server_unreachable").is_some();
    let (sight, took) = watched.until("no server", LIMIT, old).await;
    assert!(took < Duration::from_secs(4) + slack(), "not since the epoch of a clock: {took:?}");
    let silent =
        alert(&sight, "server_unreachable").and_then(|alert| alert.value).expect("a value");
    assert!((2.0..30.0).contains(&silent), "silent for {silent} s");
    let open = |sight: &Snapshot| sight.breakers.iter().any(|b| b.state == BreakerState::Open);
    let (sight, _) = watched.until("the breaker", LIMIT, open).await;
    let breaker = sight.breakers.iter().find(|b| &*b.name == "api").expect("there");
    let age = sight.at.since(breaker.since.expect("told"));
    assert!(breaker.since_exact && age.as_secs().abs_diff(7200) < 10, "{age:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bouncer_is_watched_beside_its_server() {
    let cluster = support::cluster();
    let mut bouncer = Bouncer::start(&cluster);
    let conninfo = bouncer.conninfo("pgbouncer", "watcher");
    let settings = Settings::parse(&conninfo, &Environment::bare()).expect("settings");
    let mut plan = plan(watcher(&cluster));
    plan.bouncers.push(pgbouncer::Bouncer::new("bouncer", settings));
    let mut watched = Watched::live(plan).await;
    let pools = |sight: &Snapshot| {
        sight.pools.iter().any(|p| p.kind == PoolKind::PgBouncer && &*p.source == "bouncer")
    };
    let (sight, _) = watched.until("its pools", LIMIT, pools).await;
    assert_eq!(sight.source("bouncer").expect("there").kind, SourceKind::PgBouncer);

    // One caller has the only connection and two wait: after a moment that is an alert.
    let lock = support::connect(&cluster, howdah::cluster::Via::Unix).await;
    lock.batch_execute("select pg_advisory_lock(7)").await.expect("locked");
    let mut busy = Vec::new();
    for _ in 0..3 {
        let (client, connection) =
            tokio_postgres::connect(&bouncer.conninfo("app", "app"), tokio_postgres::NoTls)
                .await
                .expect("connected");
        tokio::spawn(connection);
        let call = async move { client.simple_query("select pg_advisory_xact_lock(7)").await };
        busy.push(tokio::spawn(call));
    }
    let exhausted = |sight: &Snapshot| {
        alert(sight, "pool_exhausted")
            .is_some_and(|a| a.state == AlertState::Firing && &*a.subject == "app/postgres")
    };
    let (sight, took) = watched.until("exhausted", LIMIT, exhausted).await;
    println!("exhausted pool of PgBouncer told after {took:?}");
    assert_eq!(alert(&sight, "pool_exhausted").and_then(|a| a.value), Some(2.0));
    drop(lock);
    for call in busy {
        call.await.expect("no panic").expect("its turn came");
    }
    watched.until("nobody waits", LIMIT, |s| alert(s, "pool_exhausted").is_none()).await;

    block_in_place(|| status_shows(&cluster, &bouncer));

    block_in_place(|| bouncer.kill());
    let killed = watched.now();
    let (sight, _) = watched.until("old", LIMIT, |sight| !fresh(sight, "bouncer")).await;
    let took = sight.at.since(killed);
    assert!(took < Duration::from_secs(4) + slack(), "{took:?}");
    assert!(live(&sight) && pools(&sight), "the server is well, and what was known stays");
}

/// `howdah status` on a target with a PgBouncer tells of both.
fn status_shows(cluster: &howdah::cluster::Cluster, bouncer: &Bouncer) {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("config.toml");
    let text = format!(
        "[target.shop]\nurl = 'host=127.0.0.1 port={} user=watcher password=w dbname=postgres sslmode=disable'\n\
         pgbouncer = '{}'\n",
        cluster.port(),
        bouncer.conninfo("pgbouncer", "watcher")
    );
    std::fs::write(&config, text).expect("written");
    let mut status = Command::new(env!("CARGO_BIN_EXE_howdah"));
    status.args(["status", "shop", "--config"]).arg(&config).stdin(Stdio::null());
    status.env("HOME", home.path()).env("XDG_STATE_HOME", home.path());
    let output = status.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(!text.contains("NEVER SEEN"), "{text}{error}");
    for line in ["link      Live", "pool      app/postgres", "source    pgbouncer            ok"] {
        assert!(text.contains(line), "no {line:?} in:\n{text}{error}");
    }
    assert!(!text.contains("password"), "{text}");
    // Made without fsync, which is critical for any server.
    assert!(text.contains("CRIT      unsafe_durability fsync"), "{text}");
}
