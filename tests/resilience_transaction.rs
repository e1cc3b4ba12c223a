//! Transactions: repeated as a whole, committed once, rolled back in doubt.
#![allow(clippy::expect_used, reason = "a test")]

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use crate::support::{cluster, database::database, eventually_async};
use howdah::resilience::{
    Database, Error, Options,
    breaker::{self, State},
    classify::Class,
    transaction::{Isolation, Mode},
};

async fn accounts(db: &Database) {
    db.execute("CREATE TABLE account (id int PRIMARY KEY, cents bigint NOT NULL)", &[])
        .await
        .expect("a table");
    db.execute("INSERT INTO account SELECT i, 0 FROM generate_series(1, 4) i", &[])
        .await
        .expect("accounts");
}

async fn total(db: &Database) -> i64 {
    let row = db.query_one("SELECT sum(cents)::bigint FROM account", &[]).await.expect("a sum");
    row.get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serialization_failures_are_repeated_as_a_whole() {
    let cluster = cluster();
    let db = database(&cluster, Options { retry_floor: 1_000, ..Options::default() });
    accounts(&db).await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let mode =
                        Mode { within: Some(Duration::from_secs(20)), ..Mode::serializable() };
                    db.transaction(mode, |tx| async move {
                        let row =
                            tx.query_one("SELECT cents FROM account WHERE id = 1", &[]).await?;
                        let cents: i64 = row.get(0);
                        tx.execute("UPDATE account SET cents = $1 WHERE id = 1", &[&(cents + 1)])
                            .await
                    })
                    .await
                    .expect("committed");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    assert_eq!(total(&db).await, 80, "each exactly once");
    assert!(db.pool().record().retries.get() > 0, "no conflict arose: no test");
    assert_eq!(db.breaker().stats().failed, 0, "contention is not the server's failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_resolved_by_running_its_victim_again() {
    let cluster = cluster();
    cluster.set("deadlock_timeout", "50ms").expect("set");
    let db = database(&cluster, Options::default());
    accounts(&db).await;
    let met = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let callers = [(1, 2), (2, 1)].map(|(first, second)| {
        let (db, met) = (db.clone(), std::sync::Arc::clone(&met));
        tokio::spawn(async move {
            let mode = Mode { within: Some(Duration::from_secs(20)), ..Mode::default() };
            let met = &met;
            let attempts = &AtomicU32::new(0);
            db.transaction(mode, |tx| async move {
                let add = "UPDATE account SET cents = cents + 1 WHERE id = $1";
                tx.execute(add, &[&first]).await?;
                if attempts.fetch_add(1, SeqCst) == 0 {
                    met.wait().await;
                }
                tx.execute(add, &[&second]).await
            })
            .await
            .expect("committed");
            attempts.load(SeqCst)
        })
    });
    let mut attempts = 0;
    for caller in callers {
        attempts += caller.await.expect("no panic");
    }
    assert_eq!((attempts, total(&db).await), (3, 4), "one victim, run twice");
}

#[tokio::test]
async fn an_error_rolls_back_and_leaves_a_clean_session() {
    let cluster = cluster();
    let db = database(&cluster, Options::default());
    accounts(&db).await;
    let add = "UPDATE account SET cents = cents + 1";
    let own = db
        .transaction(Mode::default(), |tx| async move {
            tx.execute(add, &[]).await?;
            Err::<(), _>(Error::own("the customer went away"))
        })
        .await;
    assert!(matches!(own, Err(Error::Own(_))), "{own:?}");
    let swallowed = db
        .transaction(Mode::default(), |tx| async move {
            tx.execute(add, &[]).await?;
            let _ = tx.query("SELECT 1/0", &[]).await;
            Ok(())
        })
        .await;
    assert!(matches!(swallowed, Err(Error::FailedBefore)), "{swallowed:?}");
    let late = Mode { within: Some(Duration::from_secs(1)), ..Mode::default() };
    let slept = db
        .transaction(late, |tx| async move {
            tx.execute(add, &[]).await?;
            tx.query("SELECT pg_sleep(60)", &[]).await
        })
        .await
        .expect_err("too slow");
    assert_eq!(slept.class(), Some(Class::Timeout), "{slept}");
    assert_eq!(total(&db).await, 0);
    // The sleeper is cancelled and its session closed behind the caller's back.
    eventually_async("no transaction is left open", Duration::from_secs(10), || async {
        let open = "SELECT count(*) FROM pg_stat_activity
                    WHERE state LIKE 'idle in transaction%' OR query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
        db.query_one(open, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 0)
    })
    .await;
}

#[tokio::test]
async fn a_connection_lost_before_commit_is_repeated_and_at_commit_it_is_said() {
    let cluster = cluster();
    let db = database(&cluster, Options::default());
    accounts(&db).await;
    let add = "UPDATE account SET cents = cents + 1 WHERE id = 1";
    let mode = Mode { isolation: Isolation::RepeatableRead, ..Mode::default() };
    db.transaction(mode, |tx| async move {
        tx.execute(add, &[]).await?;
        if tx.attempt() == 1 {
            tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await?;
        }
        Ok(())
    })
    .await
    .expect("repeated");
    assert_eq!(total(&db).await, 1, "exactly once");

    // A deferred trigger kills the session inside COMMIT.
    cluster
        .psql(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON account DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION die()",
        )
        .expect("a trigger");
    let tried = &AtomicU32::new(0);
    let unknown = db
        .transaction(Mode::default(), |tx| async move {
            tried.fetch_add(1, SeqCst);
            tx.execute(add, &[]).await
        })
        .await
        .expect_err("killed");
    assert!(matches!(unknown, Error::CommitUnknown(_)), "{unknown}");
    assert_eq!((tried.load(SeqCst), unknown.code()), (1, Some("57P01")), "never blindly again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_succeed_are_counted_and_close_the_breaker() {
    let cluster = cluster();
    let db = database(&cluster, Options::default());
    let work =
        || db.transaction(Mode::default(), |tx| async move { tx.query("SELECT 1", &[]).await });
    for _ in 0..3 {
        work().await.expect("committed");
    }
    assert_eq!(db.breaker().stats().window.calls, 3);

    for mode in [breaker::Mode::ForcedOpen, breaker::Mode::Auto] {
        db.breaker().set_mode(mode, "test", "a drill", None);
    }
    assert_eq!(db.breaker().stats().state, State::HalfOpen);
    for _ in 0..db.breaker().settings().probes {
        work().await.expect("committed");
    }
    assert_eq!(db.breaker().stats().state, State::Closed);
}
