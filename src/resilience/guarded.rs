//! The database as an application sees it: every call has a deadline, goes through the breaker, is
//! repeated where that is right, and says what went wrong.
//!
//! A call runs like this, within one absolute deadline: ask the [`Breaker`], take a session
//! from the [`Pool`], run the statement, tell the breaker what its end [means](super::classify). When
//! the deadline passes, the statement is cancelled and its session closed, behind the caller's back.
//! A failed call is repeated when the server says that it did nothing, when nothing was sent, or when
//! the caller said that doing it twice is the same as doing it once ([`Call::idempotent`]).

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;

use super::{
    breaker::{self, Breaker, Permit, Verdict},
    conninfo,
    error::Error,
    failure::QueryError,
    pool::{self, AcquireError, Lease, Params, Pool, PoolSetupError},
    retry::{Budget, Runner, Schedule},
};
use crate::base::{
    clock::{Clock, Stamp},
    text::Text,
};

/// Everything that can be set about a [`Database`].
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What metrics, logs and errors call it; empty: the database's own name.
    pub name: Text,
    /// The rules of the pool.
    pub pool: pool::Settings,
    /// The rules of the breaker.
    pub breaker: breaker::Settings,
    /// The pauses between attempts.
    pub schedule: Schedule,
    /// Retries as a share of calls, 0 to 1.
    pub retry_share: f64,
    /// Retries a second that are allowed besides.
    pub retry_floor: u32,
    /// How long a call may take, all attempts included, unless [`Call::within`] says otherwise.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: Text::default(),
            pool: pool::Settings::default(),
            breaker: breaker::Settings::default(),
            schedule: Schedule::default(),
            retry_share: 0.1,
            retry_floor: 10,
            deadline: Duration::from_secs(2),
        }
    }
}

/// A database behind its breaker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    breaker: Breaker,
    budget: Budget,
    schedule: Schedule,
    clock: Clock,
    deadline: Duration,
}

/// What a statement is to give back.
trait Kind {
    type Answer;

    /// Runs it, and says when it ended.
    fn run(
        lease: &Lease,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<(Self::Answer, Stamp), QueryError>> + Send;
}

enum Rows {}

impl Kind for Rows {
    type Answer = Vec<Row>;

    fn run(
        lease: &Lease,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<(Self::Answer, Stamp), QueryError>> + Send {
        lease.query_from(lease.since(), sql, params)
    }
}

/// The number of rows that were touched.
enum Count {}

impl Kind for Count {
    type Answer = u64;

    fn run(
        lease: &Lease,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<(Self::Answer, Stamp), QueryError>> + Send {
        lease.execute_from(lease.since(), sql, params)
    }
}

impl Database {
    /// A handle. Connections are opened when they are needed, so this succeeds also while the server is
    /// away. Call it inside a tokio runtime: the pool's housekeeper runs there.
    pub fn new(target: conninfo::Settings, options: Options) -> Result<Self, PoolSetupError> {
        Self::with_clock(target, options, Clock::system())
    }

    /// The same, with a clock of one's own.
    pub fn with_clock(
        target: conninfo::Settings,
        options: Options,
        clock: Clock,
    ) -> Result<Self, PoolSetupError> {
        let name =
            if options.name.is_empty() { Text::foreign(&target.dbname) } else { options.name };
        let pool = Pool::new(name.clone(), target, options.pool, clock.clone())?;
        Ok(Self(Arc::new(Inner {
            pool,
            breaker: Breaker::new(name, options.breaker, clock.clone()),
            budget: Budget::new(options.retry_share, options.retry_floor, clock.clone()),
            schedule: options.schedule,
            clock,
            deadline: options.deadline,
        })))
    }

    /// Its name.
    pub fn name(&self) -> &Text {
        self.0.pool.name()
    }

    /// Its pool.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Its breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Its retry budget.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// A call with the default deadline, to be refined.
    pub fn call(&self) -> Call<'_> {
        Call { database: self, deadline: self.0.deadline, idempotent: false, borrower: pool::CALL }
    }

    /// Runs a statement and returns its rows.
    pub fn query(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        self.call().query(sql, params)
    }

    /// Runs a statement that returns exactly one row.
    pub async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row, Error> {
        self.call().query_one(sql, params).await
    }

    /// Runs a statement that returns one row or none.
    pub async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Error> {
        self.call().query_opt(sql, params).await
    }

    /// Runs a statement and returns the number of rows it touched.
    pub fn execute(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        self.call().execute(sql, params)
    }

    /// A session of one's own, for what needs several statements on one; breaker and deadline guard the
    /// way to it, not what is done with it. `borrower` names the caller in leak reports.
    pub async fn lease(&self, borrower: &'static str) -> Result<Lease, Error> {
        let now = self.now();
        self.enter(borrower, now, now.plus(self.0.deadline)).await
    }

    pub(super) fn default_deadline(&self) -> Duration {
        self.0.deadline
    }

    pub(super) fn now(&self) -> Stamp {
        self.0.clock.now()
    }

    /// A moment as the runtime's timers want it.
    pub(super) fn timer(&self, at: Stamp) -> Instant {
        self.0.clock.instant(at).into()
    }

    pub(super) fn runner(&self) -> Runner<'_> {
        Runner { schedule: &self.0.schedule, budget: &self.0.budget, clock: &self.0.clock }
    }

    /// A lease, by way of the breaker, until the deadline.
    async fn enter(
        &self,
        borrower: &'static str,
        now: Stamp,
        deadline: Stamp,
    ) -> Result<Lease, Error> {
        let permit = self.0.breaker.try_acquire_at(now)?;
        match self.lease_until(borrower, now, deadline).await {
            // That a session was free says nothing about the server.
            Ok(lease) => {
                permit.ignored();
                Ok(lease)
            }
            Err(error) => self.failed(permit, error),
        }
    }

    /// A lease until the deadline, for who holds the breaker's permit. When one is free, no timer is set.
    pub(super) async fn lease_until(
        &self,
        borrower: &'static str,
        now: Stamp,
        deadline: Stamp,
    ) -> Result<Lease, Error> {
        match self.0.pool.acquire_at_once(borrower, now) {
            Some(lease) => Ok(lease),
            // Boxed: every call would carry the room for it, and few wait or open a connection.
            None => Box::pin(self.lease_in_turn(borrower, now, deadline)).await,
        }
    }

    /// The same for who found none free.
    async fn lease_in_turn(
        &self,
        borrower: &'static str,
        now: Stamp,
        deadline: Stamp,
    ) -> Result<Lease, Error> {
        let acquiring = self.0.pool.acquire_in_turn(borrower, now);
        match timeout_at(self.timer(deadline), acquiring).await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(self.out_of_time(deadline.since(now))),
        }
    }

    /// The deadline passed without a session. That says nothing about the server, unless nobody can get
    /// a connection to it: a small pool would never see a hang otherwise, since most of its callers
    /// wait for those few who try to connect.
    fn out_of_time(&self, after: Duration) -> Error {
        if self.0.pool.opening_fails() {
            AcquireError::Stuck.into()
        } else {
            Error::Deadline { after, sent: false }
        }
    }

    /// When the attempt of that number begins, if the first one began at `first`.
    pub(super) fn begins(&self, number: u32, first: Stamp) -> Stamp {
        if number == 1 {
            return first;
        }
        self.0.pool.record().retries.inc();
        self.now()
    }

    pub(super) fn noted(&self, error: Error) -> Error {
        if let Some(class) = error.class() {
            self.0.pool.record().failures.with_label_values(&[class.label()]).inc();
            if class.is_critical() {
                tracing::error!(database = %self.name(), class = class.label(), %error, "needs a person");
            }
        }
        error
    }

    /// An attempt failed: the breaker is told.
    #[cold]
    pub(super) fn failed<T>(&self, permit: Permit<'_>, error: Error) -> Result<T, Error> {
        permit.settle(error.verdict());
        Err(self.noted(error))
    }

    /// One attempt. The time is passed from hand to hand: when all goes well, nobody here looks at the
    /// clock but the statement that has ended.
    async fn attempt<K: Kind>(
        &self,
        borrower: &'static str,
        now: Stamp,
        deadline: Stamp,
        sql: &str,
        params: Params<'_>,
    ) -> Result<K::Answer, Error> {
        let permit = self.0.breaker.try_acquire_at(now)?;
        let lease = match self.0.pool.acquire_for_one(borrower, now) {
            Some(lease) => lease,
            None => match Box::pin(self.lease_in_turn(borrower, now, deadline)).await {
                Ok(lease) => lease,
                Err(error) => return self.failed(permit, error),
            },
        };
        let outcome = {
            let work = pin!(K::run(&lease, sql, params));
            lease.until(deadline, work).await
        };
        match outcome {
            Some(Ok((answer, ended))) => {
                lease.give_back(ended);
                permit.settle_at(ended, Verdict::Success);
                Ok(answer)
            }
            Some(Err(error)) => self.failed(permit, error.into()),
            None => self.failed(permit, Error::Deadline { after: deadline.since(now), sent: true }),
        }
    }
}

/// One call, described before it is made.
#[derive(Clone, Copy, Debug)]
#[must_use = "a call does nothing until a statement is given to it"]
pub struct Call<'a> {
    database: &'a Database,
    deadline: Duration,
    idempotent: bool,
    borrower: &'static str,
}

impl Call<'_> {
    /// How long it may take, all attempts included.
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Says that doing it twice is the same as doing it once, so that it may be repeated also when the
    /// connection broke under it.
    pub fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }

    /// Names the caller in leak reports.
    pub fn named(self, borrower: &'static str) -> Self {
        Self { borrower, ..self }
    }

    /// Runs a statement and returns its rows.
    pub fn query(
        self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        self.run::<Rows>(sql, params)
    }

    /// Runs a statement that returns exactly one row.
    pub async fn query_one(self, sql: &str, params: Params<'_>) -> Result<Row, Error> {
        let mut rows = self.query(sql, params).await?;
        match (rows.len(), rows.pop()) {
            (1, Some(row)) => Ok(row),
            (found, _) => Err(Error::RowCount { wanted: "one", found }),
        }
    }

    /// Runs a statement that returns one row or none.
    pub async fn query_opt(self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params).await?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            found => Err(Error::RowCount { wanted: "one or none", found }),
        }
    }

    /// Runs a statement and returns the number of rows it touched.
    pub fn execute(
        self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        self.run::<Count>(sql, params)
    }

    async fn run<K: Kind>(self, sql: &str, params: Params<'_>) -> Result<K::Answer, Error> {
        let database = self.database;
        let began = database.now();
        let deadline = began.plus(self.deadline);
        let attempt = |n| {
            let now = database.begins(n, began);
            database.attempt::<K>(self.borrower, now, deadline, sql, params)
        };
        database.runner().run(deadline, attempt, |error| error.again(self.idempotent)).await
    }
}
