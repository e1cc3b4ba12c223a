//! What our own library exports, our own reader reads: from an application's breaker and pool, over a
//! real connection, to what the console shows.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use crate::support;
use std::time::Duration;

use howdah::{
    base::{clock::Clock, text::Text},
    cluster::Via,
    resilience::{
        breaker::Mode,
        conninfo::{Environment, Settings},
        export,
        guarded::{Database, Options},
    },
    watch::{
        snapshot::{Breaker, BreakerState, PoolKind},
        sources::{Reading, address::Endpoint, endpoint, pace::Line},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

fn database(name: &str, conninfo: &str) -> Database {
    let settings = Settings::parse(conninfo, &Environment::bare()).expect("settings");
    Database::new(settings, Options { name: Text::from(name.to_owned()), ..Options::default() })
        .expect("a database")
}

/// Serves what those databases export; gives the URL.
async fn serve(databases: Vec<Database>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let text = export::text(&databases).expect("text");
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_and_breakers_of_our_own_library_are_read() {
    let cluster = support::cluster();
    let conninfo =
        format!("{} password='{}'", cluster.conninfo(Via::Unix), cluster.password().expose());
    let app = database("app", &conninfo);
    let jobs = database("jobs", "host=/nowhere user=me dbname=jobs");
    jobs.breaker().set_mode(Mode::ForcedOpen, "mia", "drill", None);

    let mut endpoint = Endpoint::new("api", &serve(vec![app.clone(), jobs]).await).expect("a URL");
    endpoint.period = Duration::from_millis(50);
    let (out, mut readings) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    tokio::spawn(endpoint::run(endpoint, Clock::system(), Line::new(out, cancel)));
    let mut until = async |what: &str, wanted: &dyn Fn(&Reading) -> bool| loop {
        let reading = tokio::time::timeout(Duration::from_secs(10), readings.recv()).await;
        let reading = reading.expect(what).expect("the watch goes on");
        assert_eq!((reading.source.problem.as_ref(), reading.source.unreadable), (None, 0));
        if wanted(&reading) {
            return reading;
        }
    };
    let breaker = |reading: &Reading, name: &str| -> Breaker {
        let found = reading.breakers.iter().find(|breaker| &*breaker.name == name);
        found.expect("listed").clone()
    };

    let first = until("an answer", &|_| true).await;
    assert_eq!(breaker(&first, "app").state, BreakerState::Closed);
    assert_eq!(breaker(&first, "jobs").state, BreakerState::ForcedOpen);
    assert_eq!(breaker(&first, "app").failure_rate, None, "below the minimum of calls");

    // A connection in use.
    let lease = app.lease("the test").await.expect("a connection");
    let used = until("in use", &|reading| {
        let pool = reading.pools.iter().find(|pool| &*pool.name == "app");
        pool.is_some_and(|pool| pool.in_use == Some(1))
    })
    .await;
    let pool = used.pools.iter().find(|pool| &*pool.name == "app").expect("the pool");
    assert_eq!((pool.kind, pool.idle, pool.waiting), (PoolKind::Application, Some(0), Some(0)));
    assert_eq!((pool.max, pool.timeouts), (Some(10), Some(0)));
    drop(lease);

    for _ in 0..5 {
        app.breaker().try_acquire().expect("a permit").failure();
    }
    let open = until("open", &|reading| breaker(reading, "app").state == BreakerState::Open).await;
    let open = breaker(&open, "app");
    assert!(open.since_exact && open.calls == Some(5), "{open:?}");
}
