//! What the tests share: clusters of their own, and waiting for conditions.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, reason = "a test that cannot get its cluster has failed")]

pub mod archived;
pub mod backups;
#[cfg(target_os = "linux")]
pub mod black_hole;
pub mod bouncer;
pub mod bucket;
pub mod caller;
pub mod data;
pub mod database;
pub mod dump;
pub mod guides;
pub mod machine;
pub mod mischief;
pub mod oracle;
pub mod physical;
pub mod pty;
pub mod readme;
pub mod scene;
pub mod sights;
pub mod small_disk;
pub mod tables;
pub mod taking;
pub mod tls;
pub mod watching;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use howdah::cluster::{Cluster, Durability, Options, Via};

/// Options for a quick cluster: nothing is flushed, `initdb` runs once for all tests, and nothing stays when
/// the test is killed.
pub fn options() -> Options {
    Options {
        durability: Durability::Fast,
        template: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("templates")),
        guard: Some(PathBuf::from(env!("CARGO_BIN_EXE_howdah"))),
        ..Options::default()
    }
}

/// A quick cluster of the test's own, gone when the test ends.
pub fn cluster() -> Cluster {
    Cluster::start(&options()).expect("a cluster")
}

/// The same with server settings.
pub fn cluster_with(settings: &[(&str, &str)]) -> Cluster {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Cluster::start(&Options { settings, ..options() }).expect("a cluster")
}

/// A plain connection as superuser, its connection task running in the background.
pub async fn connect(cluster: &Cluster, via: Via) -> tokio_postgres::Client {
    let (client, connection) =
        cluster.settings(via).connect(tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

/// How many times as long as on an idle machine something may take now: one, and one more for each process
/// that wants a core and has to share it.
pub fn busy() -> u32 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(1.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    1 + ((load / cores as f64) as u32).min(5)
}

/// What this machine may add now to a promised time.
pub fn slack() -> Duration {
    Duration::from_millis(500) * busy()
}

/// Waits until `done`, or fails the test after `limit`. Returns how long it took.
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// The same in asynchronous tests.
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
pub async fn eventually_async<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> F,
) -> Duration {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
