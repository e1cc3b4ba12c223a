//! A session on loan.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_postgres::{
    Client, Error, Row, Statement,
    types::{ToSql, Type},
};

use super::{Shared, session::Session};
use crate::{
    base::clock::Stamp,
    resilience::{
        classify::{Class, Connection as Then},
        failure::{Circumstances, QueryError},
    },
};

/// How long a cancel may take after its statement was given up.
const CANCEL: Duration = Duration::from_secs(1);
/// How long a closed session's own task gets to say why it ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A session of one's own. Dropping it gives it back: clean, cleaned, or closed.
pub struct Lease {
    session: Arc<Session>,
    since: Stamp,
    /// When it was given back, if that is known before it is dropped.
    until: Option<Stamp>,
    /// It was there at once, for one statement: how long that takes is how long the lease is held.
    swift: bool,
    /// A call on it was dropped before its end: its statement may still run.
    abandoned: AtomicBool,
    dirty: AtomicBool,
    in_transaction: AtomicBool,
    read_only: AtomicBool,
    ruined: AtomicBool,
}

/// Parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Lease {
    pub(super) fn new(session: Arc<Session>, borrower: &'static str, now: Stamp) -> Self {
        session.tenancy.begin(borrower, now);
        Self {
            session,
            since: now,
            until: None,
            swift: false,
            abandoned: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            in_transaction: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            ruined: AtomicBool::new(false),
        }
    }

    /// For one statement, on a session that lay ready; ends by [`Lease::give_back`] at the moment that the
    /// statement ended, if it was good.
    pub(super) fn for_one(session: Arc<Session>, borrower: &'static str, now: Stamp) -> Self {
        let mut lease = Self::new(session, borrower, now);
        lease.swift = true;
        lease
    }

    fn shared(&self) -> &Shared {
        &self.session.shared
    }

    fn now(&self) -> Stamp {
        self.shared().clock.now()
    }

    /// When it was taken.
    pub(in crate::resilience) fn since(&self) -> Stamp {
        self.since
    }

    /// Gives it back, for who knows what time it is.
    pub(in crate::resilience) fn give_back(mut self, now: Stamp) {
        self.until = Some(now);
    }

    /// Runs `work`, which uses this lease, until `deadline`; `None` when it was not done by then.
    pub(in crate::resilience) fn until<T>(
        &self,
        deadline: Stamp,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Option<T>> {
        self.session.alarm.until(deadline, work)
    }

    /// Runs a statement and returns its rows.
    pub async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, QueryError> {
        Ok(self.query_from(self.now(), sql, params).await?.0)
    }

    /// Runs a statement and returns the number of rows it touched.
    pub async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, QueryError> {
        Ok(self.execute_from(self.now(), sql, params).await?.0)
    }

    /// A query for who knows when it began; says when it ended.
    pub(in crate::resilience) async fn query_from(
        &self,
        began: Stamp,
        sql: &str,
        params: Params<'_>,
    ) -> Result<(Vec<Row>, Stamp), QueryError> {
        let call = self.call(began, sql);
        let outcome = match call.prepare().await {
            Ok(statement) => call.client().query(&statement, params).await,
            Err(error) => Err(error),
        };
        call.end(outcome).await
    }

    /// A statement without rows for who knows when it began; says when it ended.
    pub(in crate::resilience) async fn execute_from(
        &self,
        began: Stamp,
        sql: &str,
        params: Params<'_>,
    ) -> Result<(u64, Stamp), QueryError> {
        let call = self.call(began, sql);
        let outcome = match call.prepare().await {
            Ok(statement) => call.client().execute(&statement, params).await,
            Err(error) => Err(error),
        };
        call.end(outcome).await
    }

    /// Runs statements separated by `;`, without parameters. The lease is dirty afterwards.
    pub async fn batch(&self, sql: &str) -> Result<(), QueryError> {
        self.mark_dirty();
        self.simple(sql).await
    }

    /// Opens a transaction. Until it is finished, the session is not as it was.
    pub(in crate::resilience) async fn begin(
        &self,
        sql: &str,
        read_only: bool,
    ) -> Result<(), QueryError> {
        self.in_transaction.store(true, Relaxed);
        self.read_only.store(read_only, Relaxed);
        self.simple(sql).await
    }

    /// Ends a transaction.
    pub(in crate::resilience) async fn finish(&self, sql: &str) -> Result<(), QueryError> {
        self.simple(sql).await?;
        self.in_transaction.store(false, Relaxed);
        self.read_only.store(false, Relaxed);
        Ok(())
    }

    async fn simple(&self, sql: &str) -> Result<(), QueryError> {
        let call = self.call(self.now(), sql);
        let outcome = call.client().batch_execute(sql).await;
        call.end(outcome).await.map(|((), _)| ())
    }

    /// The driver's own client, for what is not offered here (`COPY`, pipelines, notifications). The
    /// lease is dirty afterwards, and a call on it that is dropped in flight is not seen: see
    /// [`Lease::discard`].
    pub fn client(&self) -> &Client {
        self.mark_dirty();
        &self.session.connection.client
    }

    /// Prepares a statement with given parameter types, outside of the cache.
    pub async fn prepare_typed(&self, sql: &str, types: &[Type]) -> Result<Statement, QueryError> {
        let call = self.call(self.now(), sql);
        let outcome = call.client().prepare_typed(sql, types).await;
        Ok(call.end(outcome).await?.0)
    }

    /// Says that something was left behind: the session is cleaned before its next user gets it.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Relaxed);
    }

    /// True when the session will be cleaned before its next user gets it.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Relaxed) || self.in_transaction.load(Relaxed)
    }

    /// Has the session closed instead of given back.
    pub fn discard(&self) {
        self.ruined.store(true, Relaxed);
    }

    /// The server's process of this session.
    pub async fn backend_pid(&self) -> Result<i32, QueryError> {
        let rows = self.query("SELECT pg_backend_pid()", &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }

    fn call<'a>(&'a self, began: Stamp, sql: &'a str) -> Call<'a> {
        Call {
            lease: self,
            sql,
            began,
            was_closed: self.session.connection.client.is_closed(),
            ended: false,
        }
    }

    /// What an error means, and what it means for this session.
    async fn explain(&self, error: Error, sql: &str, took: Duration, sent: bool) -> QueryError {
        let session = &self.session;
        // The reason that the session ended with is known only to the task that reads its socket.
        let ended = if error.code().is_none() && Class::of(&error) == Class::Network {
            tokio::time::timeout(LAST_WORDS, session.connection.fate.gone()).await.ok()
        } else {
            None
        };
        let settings = &session.shared.settings;
        let about = Circumstances {
            timed_out: settings.statement_timeout.is_some_and(|limit| took >= limit),
            writable: settings.writable && !self.read_only.load(Relaxed),
        };
        let failure = QueryError::new(error, ended, sent, about);
        match failure.class().connection() {
            Then::Keep | Then::Rollback => {}
            Then::Discard => self.discard(),
            Then::DiscardPool => {
                self.discard();
                session.shared.generation.fetch_add(1, Relaxed);
            }
        }
        // Plans that a change of the schema made stale, and statements that a pooler in between lost.
        if matches!(failure.code(), Some("0A000" | "26000")) {
            session.forget(sql);
        }
        failure
    }
}

/// One call on a lease. Dropped before its end, it ruins the session: the statement may still run.
struct Call<'a> {
    lease: &'a Lease,
    sql: &'a str,
    began: Stamp,
    was_closed: bool,
    ended: bool,
}

impl Call<'_> {
    fn client(&self) -> &Client {
        &self.lease.session.connection.client
    }

    async fn prepare(&self) -> Result<Statement, Error> {
        let session = &self.lease.session;
        let prepared = match session.known(self.sql) {
            Some(prepared) => prepared,
            // Boxed: every call would carry the room for it, and each statement is prepared once.
            None => Box::pin(session.prepare(self.sql)).await?,
        };
        if prepared.dirty {
            self.lease.mark_dirty();
        }
        Ok(prepared.statement)
    }

    /// What came of it, and when.
    async fn end<T>(mut self, outcome: Result<T, Error>) -> Result<(T, Stamp), QueryError> {
        self.ended = true;
        let now = self.lease.now();
        let took = now.since(self.began);
        if !self.lease.swift || outcome.is_err() {
            self.lease.shared().record.query.observe(took);
        }
        match outcome {
            Ok(value) => Ok((value, now)),
            Err(error) => {
                let explained = self.lease.explain(error, self.sql, took, !self.was_closed);
                Err(Box::pin(explained).await)
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.lease.abandoned.store(true, Relaxed);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("pool", &self.shared().name)
            .field("dirty", &self.is_dirty())
            .finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session = &self.session;
        let now = self.until.unwrap_or_else(|| self.now());
        session.tenancy.end(now);
        let (record, held) = (&self.shared().record, now.since(self.since));
        if self.swift && self.until.is_some() {
            record.swift.observe(held);
        } else {
            if self.swift {
                record.wait.observe(Duration::ZERO);
            }
            record.hold.observe(held);
        }
        let abandoned = self.abandoned.load(Relaxed);
        let broken = session.connection.client.is_closed();
        if abandoned || broken || self.ruined.load(Relaxed) {
            session.retire(if abandoned { "abandoned" } else { "broken" });
            if let (true, false, Ok(runtime)) = (abandoned, broken, Handle::try_current()) {
                let session = Arc::clone(session);
                runtime.spawn(async move { session.connection.cancel.request(CANCEL).await });
            }
        } else if session.has_expired(now) {
            session.retire("expired");
        } else if self.is_dirty() {
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(Cleaning::of(session).run())),
                Err(_) => session.retire("no_runtime"),
            }
        } else {
            self.shared().places.put(Arc::clone(session));
        }
    }
}

/// A session that is being cleaned. It goes back when it is clean, and is closed otherwise, also when the
/// runtime ends meanwhile.
struct Cleaning {
    session: Arc<Session>,
    clean: bool,
}

impl Cleaning {
    fn of(session: &Arc<Session>) -> Self {
        Self { session: Arc::clone(session), clean: false }
    }

    async fn run(mut self) {
        let shared = &self.session.shared;
        match tokio::time::timeout(shared.settings.reset, self.session.reset()).await {
            Ok(Ok(())) => {
                shared.record.resets.inc();
                self.clean = true;
            }
            Ok(Err(error)) => {
                tracing::warn!(pool = %shared.name, %error, "a session could not be cleaned");
            }
            Err(_) => {}
        }
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        if self.clean {
            self.session.shared.places.put(Arc::clone(&self.session));
        } else {
            self.session.retire("not_cleaned");
        }
    }
}
