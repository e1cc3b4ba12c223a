//! Transactions that are repeated as a whole when they must be.
//!
//! A serialization failure or a deadlock names a victim, not a mistake: PostgreSQL asks that the
//! whole transaction be run again, and repeating its last statement is never right. Until `COMMIT` is
//! sent nothing has happened, so a broken connection before it is repeated too. After it, a broken
//! connection leaves the outcome unknown: that is said ([`Error::CommitUnknown`]) and never repeated.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_postgres::Row;

use super::{
    classify::{Class, Retry},
    error::Error,
    failure::QueryError,
    guarded::Database,
    pool::{Lease, Params},
    retry::Again,
};
use crate::base::clock::Stamp;

/// How much of other transactions one may see (PostgreSQL's documentation, chapter 13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// What the session is set to (`default_transaction_isolation`): read committed, unless somebody
    /// chose another for the role, the database or the connection. The cheapest: for a level or an access
    /// mode that `BEGIN` names, the server sets a variable.
    #[default]
    AsSet,
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// The transaction sees what was committed before its first statement.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

/// How a transaction is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The isolation level.
    pub isolation: Isolation,
    /// Refuses writes; else what the session is set to holds (`default_transaction_read_only`), as it does
    /// for a statement of its own.
    pub read_only: bool,
    /// How long it may take, all attempts included; `None`: the database's default.
    pub within: Option<Duration>,
    /// Names the caller in leak reports.
    pub borrower: &'static str,
}

impl Default for Mode {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            read_only: false,
            within: None,
            borrower: "transaction",
        }
    }
}

impl Mode {
    /// A serializable transaction.
    pub const fn serializable() -> Self {
        Self {
            isolation: Isolation::Serializable,
            read_only: false,
            within: None,
            borrower: "transaction",
        }
    }

    const fn begin(self) -> &'static str {
        match (self.isolation, self.read_only) {
            (Isolation::AsSet, false) => "BEGIN",
            (Isolation::AsSet, true) => "BEGIN READ ONLY",
            (Isolation::ReadCommitted, false) => "BEGIN ISOLATION LEVEL READ COMMITTED",
            (Isolation::ReadCommitted, true) => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
            (Isolation::RepeatableRead, false) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            (Isolation::RepeatableRead, true) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Isolation::Serializable, false) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            (Isolation::Serializable, true) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        }
    }
}

/// An open transaction. It ends with the work it was handed to; kept beyond that, it answers
/// [`Error::Finished`].
#[derive(Debug)]
pub struct Transaction(Arc<Open>);

#[derive(Debug)]
struct Open {
    lease: Lease,
    attempt: u32,
    failed: AtomicBool,
    finished: AtomicBool,
}

impl Transaction {
    /// Runs a statement and returns its rows.
    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        self.0.noted(self.0.lease()?.query(sql, params).await)
    }

    /// Runs a statement that returns exactly one row.
    pub async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row, Error> {
        let mut rows = self.query(sql, params).await?;
        match (rows.len(), rows.pop()) {
            (1, Some(row)) => Ok(row),
            (found, _) => Err(Error::RowCount { wanted: "one", found }),
        }
    }

    /// Runs a statement and returns the number of rows it touched.
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Error> {
        self.0.noted(self.0.lease()?.execute(sql, params).await)
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }
}

impl Open {
    fn lease(&self) -> Result<&Lease, Error> {
        if self.finished.load(Relaxed) { Err(Error::Finished) } else { Ok(&self.lease) }
    }

    /// A failed statement fails the transaction, whatever the code around it makes of the error: the
    /// server answers a later `COMMIT` with a silent rollback.
    fn noted<T>(&self, outcome: Result<T, QueryError>) -> Result<T, Error> {
        if outcome.is_err() {
            self.failed.store(true, Relaxed);
        }
        Ok(outcome?)
    }

    /// Runs the work between `BEGIN` and `COMMIT` or `ROLLBACK`.
    async fn run<T>(
        &self,
        mode: Mode,
        work: Pin<&mut impl Future<Output = Result<T, Error>>>,
        committing: &AtomicBool,
    ) -> Result<T, Error> {
        self.lease.begin(mode.begin(), mode.read_only).await?;
        let outcome = match work.await {
            Ok(_) if self.failed.load(Relaxed) => Err(Error::FailedBefore),
            outcome => outcome,
        };
        self.finished.store(true, Relaxed);
        if outcome.is_ok() {
            committing.store(true, Relaxed);
            self.lease.finish("COMMIT").await?;
        } else {
            // Should this fail, the session is cleaned or closed when the lease ends.
            let _ = self.lease.finish("ROLLBACK").await;
        }
        outcome
    }
}

impl Database {
    /// Runs `work` in a transaction and commits it; rolls back when `work` returns an error. Runs it
    /// again, from the start, after serialization failures and deadlocks, and when the connection broke
    /// before `COMMIT` was sent: what `work` does outside the database may then happen twice.
    ///
    /// ```no_run
    /// # async fn example(db: howdah::resilience::Database) -> Result<(), howdah::resilience::Error> {
    /// use howdah::resilience::transaction::Mode;
    /// db.transaction(Mode::serializable(), |tx| async move {
    ///     tx.execute("UPDATE account SET cents = cents - 100 WHERE id = 1", &[]).await?;
    ///     tx.execute("UPDATE account SET cents = cents + 100 WHERE id = 2", &[]).await
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction<T, F>(
        &self,
        mode: Mode,
        work: impl Fn(Transaction) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let began = self.now();
        let deadline = began.plus(mode.within.unwrap_or(self.default_deadline()));
        let attempt = |n| {
            let now = self.begins(n, began);
            self.attempt_transaction(mode, now, deadline, n, &work)
        };
        self.runner().run(deadline, attempt, again).await
    }

    async fn attempt_transaction<T, F>(
        &self,
        mode: Mode,
        now: Stamp,
        deadline: Stamp,
        attempt: u32,
        work: &impl Fn(Transaction) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // Kept to the end: a transaction that succeeds speaks for the server, like any call.
        let permit = self.breaker().try_acquire_at(now)?;
        let lease = match self.lease_until(mode.borrower, now, deadline).await {
            Ok(lease) => lease,
            Err(error) => return self.failed(permit, error),
        };
        let limit = deadline.since(lease.since());
        let open = Arc::new(Open {
            lease,
            attempt,
            failed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        });
        let committing = AtomicBool::new(false);
        let work = pin!(work(Transaction(Arc::clone(&open))));
        let run = pin!(open.run(mode, work, &committing));
        let outcome = open
            .lease
            .until(deadline, run)
            .await
            .unwrap_or(Err(Error::Deadline { after: limit, sent: true }));
        open.finished.store(true, Relaxed);
        match outcome {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => {
                let unknown = committing.load(Relaxed) && may_have_happened(&error);
                let error = if unknown { Error::CommitUnknown(Box::new(error)) } else { error };
                self.failed(permit, error)
            }
        }
    }
}

/// True when `COMMIT` was sent and no orderly answer came back.
fn may_have_happened(error: &Error) -> bool {
    error.sent()
        && error.class().is_none_or(|class| {
            matches!(
                class,
                Class::Network
                    | Class::Timeout
                    | Class::Shutdown
                    | Class::OutcomeUnknown
                    | Class::Internal
                    | Class::System
            )
        })
}

/// Before `COMMIT` nothing has happened, so that everything but a mistake may be run again.
fn again(error: &Error) -> Again {
    match (error, error.class()) {
        (Error::Refused(_), _) => error.again(true),
        (_, Some(class)) if class.retry() != Retry::Never => Again::Yes,
        _ => Again::No,
    }
}
