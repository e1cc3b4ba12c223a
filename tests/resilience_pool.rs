//! Leases: nobody inherits anything, nobody waits behind a dropped statement, and errors name their cause.
#![allow(clippy::expect_used, reason = "a test")]

use std::time::Duration;

use crate::support::{cluster, database::database, eventually_async};
use howdah::{
    cluster::Server,
    resilience::{
        Database, Error, Options,
        classify::Class,
        pool::{self, AcquireError, Lease},
        transaction::Mode,
    },
};

/// A pool of one connection, so that the next user always gets the same session.
fn alone(server: &Server) -> Database {
    let pool = pool::Settings { max: 1, ..pool::Settings::default() };
    database(server, Options { pool, ..Options::default() })
}

/// What the next user of a session finds; empty when it is as good as new.
async fn found(lease: &Lease) -> Vec<&'static str> {
    let mut found = Vec::new();
    // Inside one transaction time stands still.
    let now = async || lease.query("SELECT now()::text", &[]).await.expect("now")[0].get(0);
    let (first, second): (String, String) = (now().await, now().await);
    if first == second {
        found.push("open transaction");
    }
    for (what, sql) in [
        ("uncommitted rows", "SELECT count(*) > 0 FROM kept"),
        ("temporary table", "SELECT to_regclass('pg_temp.scratch') IS NOT NULL"),
        ("SET", "SELECT current_setting('work_mem') <> '4MB'"),
        ("role", "SELECT current_user <> session_user"),
        (
            "advisory lock",
            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        ),
        ("LISTEN", "SELECT count(*) > 0 FROM pg_listening_channels()"),
        ("prepared statement", "SELECT count(*) > 0 FROM pg_prepared_statements WHERE from_sql"),
        ("cursor", "SELECT count(*) > 0 FROM pg_cursors WHERE name = 'c'"),
    ] {
        let rows = lease.query(sql, &[]).await.expect(what);
        if rows.first().is_some_and(|row| row.get(0)) {
            found.push(what);
        }
    }
    found
}

const LEAVINGS: [&str; 9] = [
    "SET work_mem = '77MB'",
    "SELECT pg_advisory_lock(42)",
    "LISTEN jobs",
    "PREPARE p AS SELECT 1",
    "CREATE TEMP TABLE scratch (i int)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SET ROLE pg_monitor",
    "BEGIN",
    "INSERT INTO kept VALUES (1)",
];

#[tokio::test]
async fn the_next_user_finds_nothing() {
    let cluster = cluster();
    let db = alone(&cluster);
    let first = db.lease("setup").await.expect("a lease");
    first.batch("CREATE TABLE kept (i int); GRANT ALL ON kept TO public").await.expect("a table");
    let pid = first.backend_pid().await.expect("a pid");
    drop(first);

    for way in ["statements", "batch", "client"] {
        let lease = db.lease(way).await.expect("a lease");
        match way {
            "statements" => {
                for sql in LEAVINGS {
                    lease.execute(sql, &[]).await.expect(sql);
                }
            }
            // In two parts, because LISTEN begins only when its transaction is committed.
            "batch" => {
                lease.batch(&LEAVINGS[..7].join(";")).await.expect("left");
                lease.batch(&LEAVINGS[7..].join(";")).await.expect("left");
            }
            _ => {
                lease.client().batch_execute(&LEAVINGS[..7].join(";")).await.expect("left");
                lease.client().batch_execute(&LEAVINGS[7..].join(";")).await.expect("left");
            }
        }
        assert_eq!(found(&lease).await.len(), 9, "{way}: the test itself must see what is left");
        drop(lease);
        let next = db.lease("next").await.expect("a lease");
        assert_eq!(found(&next).await, Vec::<&str>::new(), "{way}");
        assert_eq!(next.backend_pid().await.expect("a pid"), pid, "{way}: cleaned, not replaced");
    }
}

#[tokio::test]
async fn what_one_statement_leaves_is_enough() {
    let cluster = cluster();
    let db = alone(&cluster);
    db.execute("CREATE TABLE kept (i int)", &[]).await.expect("a table");
    db.execute("GRANT ALL ON kept TO public", &[]).await.expect("granted");
    for sql in &LEAVINGS[..8] {
        if !sql.contains("CURSOR") {
            db.execute(sql, &[]).await.expect(sql);
        }
        let next = db.lease("next").await.expect("a lease");
        assert_eq!(found(&next).await, Vec::<&str>::new(), "{sql}");
    }
    let lease = db.lease("hidden").await.expect("a lease");
    lease.query("SELECT set_config('work_mem', '88MB', false)", &[]).await.expect("set");
    drop(lease);
    assert!(found(&db.lease("next").await.expect("a lease")).await.is_empty());
}

#[tokio::test]
async fn clean_leases_cost_no_round_trip() {
    let cluster = cluster();
    let db = alone(&cluster);
    db.execute("CREATE TABLE kept (i int)", &[]).await.expect("a table");
    eventually_async("the table's maker is cleaned", Duration::from_secs(5), || async {
        db.pool().record().resets.get() == 1
    })
    .await;
    for n in 0..50_i32 {
        db.execute("INSERT INTO kept VALUES ($1)", &[&n]).await.expect("inserted");
        db.query("SELECT * FROM kept WHERE i = $1", &[&n]).await.expect("found");
    }
    assert_eq!(db.pool().record().resets.get(), 1);
    assert_eq!(db.pool().record().opened.get(), 1);
}

#[tokio::test]
async fn a_statement_dropped_in_flight_delays_nobody() {
    let cluster = cluster();
    let db = alone(&cluster);
    let lease = db.lease("impatient").await.expect("a lease");
    let pid = lease.backend_pid().await.expect("a pid");
    let sleep = lease.query("SELECT pg_sleep(60)", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(100), sleep).await.is_err());
    drop(lease);
    let next = db.call().within(Duration::from_secs(5)).query_one("SELECT pg_backend_pid()", &[]);
    assert_ne!(next.await.expect("an answer").get::<_, i32>(0), pid);
    eventually_async("the sleeper is cancelled", Duration::from_secs(5), || async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
        db.query_one(sql, &[&pid]).await.is_ok_and(|row| row.get::<_, i64>(0) == 0)
    })
    .await;
}

#[tokio::test]
async fn a_session_killed_while_idle_names_57p01() {
    let cluster = cluster();
    let db = alone(&cluster);
    let lease = db.lease("victim").await.expect("a lease");
    let pid = lease.backend_pid().await.expect("a pid");
    cluster.psql(&format!("SELECT pg_terminate_backend({pid})")).expect("killed");
    eventually_async("the end of the session", Duration::from_secs(5), || async {
        lease.client().is_closed()
    })
    .await;
    let error = lease.query("SELECT 1", &[]).await.expect_err("killed");
    assert_eq!((error.code(), error.class()), (Some("57P01"), Class::Shutdown), "{error}");
    assert!(error.to_string().contains("57P01"), "{error}");
    drop(lease);
    db.query("SELECT 1", &[]).await.expect("the next one gets a new session");
}

/// The harder case: the statement is written before anybody has read that the session ended.
#[tokio::test(flavor = "current_thread")]
async fn a_session_killed_just_now_names_57p01_too() {
    let cluster = cluster();
    let db = alone(&cluster);
    for _ in 0..5 {
        let lease = db.lease("victim").await.expect("a lease");
        let pid = lease.backend_pid().await.expect("a pid");
        // Blocks the only thread, so that the connection's task cannot read meanwhile.
        cluster.psql(&format!("SELECT pg_terminate_backend({pid}, 5000)")).expect("killed");
        let error = lease.query("SELECT 1", &[]).await.expect_err("killed");
        assert_eq!(error.code(), Some("57P01"), "{error}");
    }
}

/// 25006: after a failover it means the wrong server, in a transaction meant for reading a mistake.
#[tokio::test]
async fn a_server_that_takes_no_writes_costs_the_pool_its_sessions() {
    let cluster = cluster();
    let db = alone(&cluster);
    db.execute("CREATE TABLE kept (i int)", &[]).await.expect("a table");
    let insert = "INSERT INTO kept VALUES (1)";
    let mode = Mode { read_only: true, ..Mode::default() };
    let mistake = db.transaction(mode, |tx| async move { tx.execute(insert, &[]).await }).await;
    assert_eq!(mistake.expect_err("read only").class(), Some(Class::Application));
    assert_eq!((db.pool().record().opened.get(), db.breaker().stats().failed), (1, 0));

    cluster.set("default_transaction_read_only", "on").expect("set");
    eventually_async("the word of the wrong role", Duration::from_secs(5), || async {
        let call = db.call().within(Duration::from_millis(500)).execute(insert, &[]);
        call.await.is_err_and(|error| error.class() == Some(Class::ReadOnly))
    })
    .await;
    cluster.set("default_transaction_read_only", "off").expect("set");
    let back = db.call().within(Duration::from_secs(5)).execute(insert, &[]).await;
    back.expect("the right server again, within the deadline");
    assert!(db.pool().record().opened.get() > 1);
}

#[tokio::test]
async fn a_session_killed_in_the_pool_is_never_seen() {
    let cluster = cluster();
    let db = alone(&cluster);
    for _ in 0..5 {
        let row = db.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid");
        let pid: i32 = row.get(0);
        cluster.psql(&format!("SELECT pg_terminate_backend({pid})")).expect("killed");
        db.call().idempotent().query("SELECT 1", &[]).await.expect("repeated or fresh");
    }
}

#[tokio::test]
async fn a_lease_held_too_long_is_reported_with_its_borrower() {
    let cluster = cluster();
    let pool =
        pool::Settings { leak_after: Duration::from_millis(200), ..pool::Settings::default() };
    let db = database(&cluster, Options { pool, ..Options::default() });
    let _kept = db.lease("forgetful").await.expect("a lease");
    eventually_async("the report", Duration::from_secs(5), || async {
        db.pool().record().leaks.get() == 1
    })
    .await;
    let status = db.pool().status();
    assert!(status.longest_lease >= Duration::from_millis(200), "{status:?}");
    assert_eq!((status.open, status.idle, status.in_use), (1, 0, 1));
}

#[tokio::test]
async fn a_session_past_its_lifetime_is_replaced() {
    let cluster = cluster();
    let pool =
        pool::Settings { max: 1, lifetime: Duration::from_millis(1), ..pool::Settings::default() };
    let db = database(&cluster, Options { pool, ..Options::default() });
    for _ in 0..3 {
        db.query("SELECT pg_sleep(0.002)", &[]).await.expect("an answer");
    }
    let record = db.pool().record();
    assert_eq!((record.opened.get(), record.closed.with_label_values(&["expired"]).get()), (3, 3));
    assert_eq!(db.pool().status().open, 0);
}

#[tokio::test]
async fn waiting_ends_with_a_reason_and_is_counted() {
    let cluster = cluster();
    let pool =
        pool::Settings { max: 1, wait: Duration::from_millis(100), ..pool::Settings::default() };
    let db = database(&cluster, Options { pool, ..Options::default() });
    let _kept = db.lease("holder").await.expect("a lease");
    let error = db.query("SELECT 1", &[]).await.expect_err("nothing is free");
    assert!(error.to_string().contains("all 1 in use"), "{error}");
    assert_eq!(db.pool().record().timeouts.get(), 1);
    assert_eq!(db.breaker().stats().failed, 0, "our own shortage is not the server's");
}

#[tokio::test]
async fn a_changed_table_and_a_cached_plan() {
    let cluster = cluster();
    let db = alone(&cluster);
    db.execute("CREATE TABLE shape (a int)", &[]).await.expect("a table");
    db.query("SELECT * FROM shape", &[]).await.expect("cached");
    db.execute("ALTER TABLE shape ADD b text", &[]).await.expect("changed");
    // The first may fail ("cached plan must not change result type"); it must not go on for ever.
    let _ = db.query("SELECT * FROM shape", &[]).await;
    db.query("SELECT * FROM shape", &[]).await.expect("prepared anew");
}

/// Idle sessions lie in their pool and know it: neither keeps the other alive.
#[tokio::test]
async fn a_pool_that_nobody_has_or_that_is_closed_leaves_no_session() {
    let cluster = cluster();
    for closed in [false, true] {
        let db = database(&cluster, Options::default());
        let (kept, idle) = (db.lease("kept").await, db.lease("idle").await);
        let (kept, idle) = (kept.expect("a lease"), idle.expect("a lease"));
        drop(idle);
        let status = db.pool().status();
        assert_eq!((status.open, status.idle, status.in_use), (2, 1, 1));
        if closed {
            db.pool().close();
            let late = db.lease("late").await.expect_err("closed");
            let Error::NoSession(cause) = &late else { panic!("{late}") };
            assert_eq!(**cause, AcquireError::Closed);
            assert_eq!(db.pool().status().open, 1);
        } else {
            drop(db);
        }
        kept.query("SELECT 1", &[]).await.expect("who has one keeps it");
        drop(kept);
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        eventually_async("the end of both sessions", Duration::from_secs(10), || async {
            cluster.psql(sql).is_ok_and(|count| count.trim() == "0")
        })
        .await;
    }
}
