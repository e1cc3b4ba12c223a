//! A pooled session: how it is made, and whether it can be used again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_postgres::{Error, Statement};

use super::{Shared, alarm::Alarm, residue::leaves_something};
use crate::{
    base::clock::Stamp,
    resilience::connect::{self, ConnectError, Connection, connect},
};

/// Prepared statements kept for each session. An application has fewer; one that writes values into
/// its statements has no end of them, and starts afresh here.
const STATEMENTS_KEPT: usize = 256;

/// Undoes whatever a user may have left, but keeps prepared statements: `DISCARD ALL` would deallocate
/// those that the driver holds for its own lookups. Statements that were prepared by SQL go one by one.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; DISCARD PLANS; \
     DO $$DECLARE name text; BEGIN \
       FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements AS p WHERE p.from_sql LOOP \
         EXECUTE pg_catalog.format('DEALLOCATE %I', name); \
       END LOOP; \
     END$$";

/// One session with the server.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    statements: Mutex<Statements>,
    pub(super) tenancy: Tenancy,
    pub(super) alarm: Alarm,
    expires: Stamp,
    generation: u64,
}

/// Prepared statements by their text.
type Statements = HashMap<Box<str>, Prepared, foldhash::fast::RandomState>;

/// A prepared statement, and whether it leaves something behind in its session.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) dirty: bool,
}

/// The borrower of a session for one call that says nothing of itself.
pub(in crate::resilience) const CALL: &str = "call";

/// Who holds a session, and since when.
#[derive(Debug, Default)]
pub(super) struct Tenancy {
    /// In nanoseconds; 0: nobody does.
    since: AtomicU64,
    /// When the last one ended, in nanoseconds.
    ended: AtomicU64,
    /// Who; for most it is [`CALL`], which needs no lock.
    borrower: Mutex<&'static str>,
    named: AtomicBool,
    reported: AtomicBool,
}

impl Tenancy {
    pub(super) fn begin(&self, borrower: &'static str, now: Stamp) {
        let named = borrower != CALL;
        if named {
            *self.borrower.lock().unwrap_or_else(PoisonError::into_inner) = borrower;
        }
        self.named.store(named, Relaxed);
        self.reported.store(false, Relaxed);
        self.since.store(now.nanos().max(1), Relaxed);
    }

    pub(super) fn end(&self, now: Stamp) {
        self.ended.store(now.nanos(), Relaxed);
        self.since.store(0, Relaxed);
    }

    /// How long nobody has held it.
    pub(super) fn idle(&self, now: Stamp) -> Duration {
        now.since(Stamp::from_nanos(self.ended.load(Relaxed)))
    }

    /// Who holds it, and for how long; `None` when nobody does.
    pub(super) fn held(&self, now: Stamp) -> Option<(&'static str, Duration)> {
        let since = self.since.load(Relaxed);
        let name = || *self.borrower.lock().unwrap_or_else(PoisonError::into_inner);
        let borrower = if self.named.load(Relaxed) { name() } else { CALL };
        (since != 0).then(|| (borrower, now.since(Stamp::from_nanos(since))))
    }

    /// True the first time that it is asked in one tenancy.
    pub(super) fn report_once(&self) -> bool {
        !self.reported.swap(true, Relaxed)
    }
}

impl Session {
    /// Opens one.
    pub(super) async fn open(shared: &Arc<Shared>) -> Result<Arc<Self>, ConnectError> {
        let generation = shared.generation.load(Relaxed);
        // Stays until one succeeds, also when this attempt is dropped because its caller's time is over.
        shared.opening_fails.store(true, Relaxed);
        let connection = connect(&shared.target, shared.settings.connect).await?;
        shared.opening_fails.store(false, Relaxed);
        shared.record.opened.inc();
        let session = Arc::new(Self {
            connection,
            shared: Arc::clone(shared),
            statements: Mutex::default(),
            tenancy: Tenancy::default(),
            alarm: Alarm::new(shared.clock.clone()),
            expires: shared.clock.now().plus(shared.settings.lifetime()),
            generation,
        });
        shared.sessions().push(Arc::downgrade(&session));
        Ok(session)
    }

    fn statements(&self) -> MutexGuard<'_, Statements> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The prepared form of a statement that was prepared before.
    pub(super) fn known(&self, sql: &str) -> Option<Prepared> {
        self.statements().get(sql).cloned()
    }

    /// Prepares a statement and keeps it.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Prepared, Error> {
        let statement = self.connection.client.prepare(sql).await?;
        let prepared = Prepared { statement, dirty: leaves_something(sql) };
        let mut statements = self.statements();
        if statements.len() >= STATEMENTS_KEPT {
            statements.clear();
        }
        statements.insert(sql.into(), prepared.clone());
        Ok(prepared)
    }

    /// Forgets a statement that the server does not take any more.
    pub(super) fn forget(&self, sql: &str) {
        self.statements().remove(sql);
    }

    /// Makes the session as good as new, in one round trip.
    pub(super) async fn reset(&self) -> Result<(), Error> {
        let client = &self.connection.client;
        // Sent together, but as two messages: what follows must not be in the old transaction.
        tokio::try_join!(client.batch_execute("ROLLBACK"), client.batch_execute(RESET))?;
        Ok(())
    }

    /// It leaves the pool: its place is free, and it is closed when it is dropped.
    pub(super) fn retire(&self, reason: &'static str) {
        self.closed(reason);
        self.shared.places.lost();
    }

    /// Counts and logs that it leaves the pool.
    pub(super) fn closed(&self, reason: &'static str) {
        let shared = &self.shared;
        shared.record.closed.with_label_values(&[reason]).inc();
        match self.connection.fate.cause() {
            Some(cause) if cause != connect::Cause::Closed => {
                tracing::warn!(pool = %shared.name, reason, %cause, "connection closed");
            }
            _ => tracing::debug!(pool = %shared.name, reason, "connection closed"),
        }
    }

    /// Why the session cannot be used again.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        if self.connection.client.is_closed() {
            Some("broken")
        } else {
            (self.generation != self.shared.generation.load(Relaxed)).then_some("outdated")
        }
    }

    /// True when its lifetime is over. Looked at when it comes back, where the time is known anyway.
    pub(super) fn has_expired(&self, now: Stamp) -> bool {
        now >= self.expires
    }
}
