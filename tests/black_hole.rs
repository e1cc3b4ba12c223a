//! The test support's black hole is one: no answer, no refusal, no end; and it heals.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::support::{black_hole, database};
use howdah::resilience::connect::connect;
use tokio::time::timeout;
use tokio_postgres::NoTls;

#[test]
fn a_black_hole_says_nothing_and_heals() {
    black_hole::with_black_hole(
        "black_hole::a_black_hole_says_nothing_and_heals",
        |server, hole| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let settings = hole.settings(server);
                let (client, connection) = settings.connect(NoTls).await.expect("connected");
                let connection = tokio::spawn(connection);
                client.query_one("select 1", &[]).await.expect("answered");

                hole.swallow();
                let (query, new) = tokio::join!(
                    timeout(Duration::from_secs(1), client.query_one("select 2", &[])),
                    timeout(Duration::from_secs(1), settings.connect(NoTls)),
                );
                assert!(query.is_err(), "no answer on the old connection");
                assert!(new.is_err(), "a new connection is neither made nor refused");
                assert!(!connection.is_finished(), "the old connection does not notice");
                assert_eq!(
                    server.psql("select 3").expect("answered"),
                    "3",
                    "the server itself is well"
                );

                hole.heal();
                let new = timeout(Duration::from_secs(5), settings.connect(NoTls)).await;
                let (again, connection) = new.expect("in time").expect("connected");
                tokio::spawn(connection);
                again.query_one("select 4", &[]).await.expect("answered");
                let old = timeout(Duration::from_secs(20), client.query_one("select 5", &[])).await;
                assert_eq!(
                    old.expect("sent again in the end").expect("answered").get::<_, i32>(0),
                    5
                );
            });
        },
    );
}

/// TCP repeats its first packet after one second, after three and after seven: who connects while the
/// network comes back must not wait for that, however long it was away.
#[test]
fn a_connection_stands_soon_after_the_network_is_well() {
    let name = "black_hole::a_connection_stands_soon_after_the_network_is_well";
    black_hole::with_black_hole(name, |server, hole| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            for lasts in [300, 1_300, 2_200, 3_600].map(Duration::from_millis) {
                let settings = database::target_at(server, hole.address());
                hole.swallow();
                let connecting =
                    tokio::spawn(async move { connect(&settings, Duration::from_secs(8)).await });
                tokio::time::sleep(lasts).await;
                assert!(!connecting.is_finished());
                hole.heal();
                let healed = tokio::time::Instant::now();
                let soon = timeout(Duration::from_secs(5), connecting).await;
                let connection = soon.expect("in time").expect("no panic").expect("connected");
                let took = healed.elapsed();
                println!("after {lasts:?} in a black hole: connected {took:?} after its end");
                assert!(took <= Duration::from_millis(500), "after {lasts:?}: {took:?}");
                connection.client.query_one("select 1", &[]).await.expect("answered");
            }
        });
    });
}
