//! A fair pool of sessions: whoever asks first is served first, nobody waits for ever, and nobody
//! inherits what another left behind.
//!
//! It has histograms of waiting, holding and querying, a leak report with the borrower's name, lifetimes
//! with jitter, and it cleans sessions when they need it.
//!
//! **Clean leases cost nothing.** A [`Lease`] knows what was done with it. When every statement is known
//! to leave nothing behind, the session goes back as it is. After anything else (a raw batch, `SET`,
//! `LISTEN`, temporary tables, advisory locks, an unfinished transaction) it is cleaned in one round
//! trip while nobody waits for it. A statement that was dropped in flight cannot be cleaned up: it is
//! cancelled, and its session closed, because a late cancel would hit the next user's statement.

mod alarm;
mod histogram;
mod lease;
mod places;
mod record;
mod residue;
mod session;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::timeout;

pub(super) use self::session::CALL;
pub use self::{
    histogram::Histogram,
    lease::{Lease, Params},
    record::Record,
    residue::leaves_something,
};
use self::{
    places::{Closed, Places, Turn},
    session::Session,
};
use super::{classify::Class, connect::ConnectError, conninfo};
use crate::base::{
    clock::{Clock, Stamp},
    text::Text,
    units,
};

/// The rules of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Connections at most; at least 1.
    pub max: usize,
    /// How long a caller waits for a connection.
    pub wait: Duration,
    /// How long opening one may take: names, TCP, TLS, login.
    pub connect: Duration,
    /// How long cleaning a dirty session may take before it is closed instead.
    pub reset: Duration,
    /// A session is closed at this age, or up to a fifth sooner, drawn at random: those that were opened
    /// together must not be closed together.
    pub lifetime: Duration,
    /// A session that idles this long is closed.
    pub idle: Duration,
    /// A lease held longer than this is reported with its borrower's name.
    pub leak_after: Duration,
    /// `statement_timeout` of the sessions: the server's own end to a statement whose caller is gone.
    /// Set as a startup option, so that it survives a reset; `None` leaves it alone (PgBouncer
    /// refuses startup options that it is not told to ignore).
    pub statement_timeout: Option<Duration>,
    /// The pool is there for writing: a server that refuses writes (25006) is then the wrong one after a
    /// failover, and all sessions are closed. Set it to false for a pool on a standby.
    pub writable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max: 10,
            wait: Duration::from_secs(5),
            connect: Duration::from_secs(1),
            reset: Duration::from_secs(1),
            lifetime: Duration::from_mins(30),
            idle: Duration::from_mins(10),
            leak_after: Duration::from_secs(30),
            statement_timeout: Some(Duration::from_mins(1)),
            writable: true,
        }
    }
}

impl Settings {
    fn lifetime(&self) -> Duration {
        self.lifetime.mul_f64(1.0 - 0.2 * rand::random::<f64>())
    }
}

/// No lease, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// Every connection was busy for too long.
    #[error("no connection was free within {} (all {max} in use)", units::span(*.after))]
    Waited {
        /// How long the caller waited.
        after: Duration,
        /// Connections of the pool.
        max: usize,
    },
    /// A connection could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Opening a connection took too long, beyond its own limit.
    #[error("opening a connection took too long")]
    Stuck,
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
}

impl AcquireError {
    /// What it means; `None` for what says nothing about the server.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Connect(error) => Some(class_of(error)),
            Self::Stuck => Some(Class::Timeout),
            Self::Waited { .. } | Self::Closed => None,
        }
    }
}

/// Why waiting for a session came to nothing.
enum Missed {
    Waited,
    Connect(ConnectError),
    Stuck,
    Closed,
}

impl From<Closed> for Missed {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// The class of a failed attempt to connect.
pub fn class_of(error: &ConnectError) -> Class {
    match error {
        ConnectError::Server { code, .. } => Class::of_code(code),
        ConnectError::TooManyConnections { .. } => Class::ConnectionLimit,
        ConnectError::Unready { .. } if !error.permanent() => Class::Starting,
        ConnectError::WrongSession { .. } => Class::ReadOnly,
        ConnectError::NoHost(errors) if !error.permanent() => {
            errors.iter().rfind(|error| !error.permanent()).map_or(Class::Network, class_of)
        }
        ConnectError::TimedOut { .. } => Class::Timeout,
        _ if error.permanent() => Class::Configuration,
        _ => Class::Network,
    }
}

/// A pool as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Connections at most.
    pub max: usize,
    /// Connections that are open.
    pub open: usize,
    /// Open connections that wait for work.
    pub idle: usize,
    /// Open connections that work for somebody, or are being cleaned.
    pub in_use: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    /// The longest that somebody holds one right now.
    pub longest_lease: Duration,
}

/// Beyond its own limit, an attempt to connect gets this long to say how far it came.
const GRACE: Duration = Duration::from_millis(100);

/// A pool of sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Owner>);

/// Sessions know their pool, also those that idle in it: it lets go of them when nobody has it any more.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.places.close();
    }
}

/// What the pool, its sessions and its housekeeper share.
#[derive(Debug)]
struct Shared {
    name: Text,
    target: conninfo::Settings,
    settings: Settings,
    clock: Clock,
    record: Record,
    /// Sessions of an older generation lead to the wrong server.
    generation: AtomicU64,
    /// A connection was asked for, and none has been opened since.
    opening_fails: AtomicBool,
    places: Places<Arc<Session>>,
    /// All there are, lent or not.
    sessions: Mutex<Vec<Weak<Session>>>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Vec<Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that live, and nothing else.
    fn living(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.iter().filter_map(Weak::upgrade).collect()
    }

    /// Who holds a session for longer than `limit`, not yet reported.
    fn report_leaks(&self, now: Stamp) {
        for session in self.living() {
            if let Some((borrower, held)) = session.tenancy.held(now)
                && held >= self.settings.leak_after
                && session.tenancy.report_once()
            {
                self.record.leaks.inc();
                let held = units::span(held);
                tracing::warn!(pool = %self.name, borrower, %held, "connection held too long: a leak?");
            }
        }
    }

    /// A session that lies ready, if nobody else has been waiting for it.
    fn ready(&self) -> Option<Arc<Session>> {
        loop {
            let session = self.places.take()?;
            match session.unfit() {
                None => return Some(session),
                Some(reason) => session.retire(reason),
            }
        }
    }

    /// Waits for a session, or for a place to open one.
    async fn wait(self: &Arc<Self>) -> Result<Arc<Session>, Missed> {
        let turn = timeout(self.settings.wait, self.places.turn()).await;
        let opening = match turn.map_err(|_| Missed::Waited)?? {
            Turn::Open(opening) => opening,
            Turn::Ready(session) => match session.unfit() {
                None => return Ok(session),
                Some(reason) => {
                    session.closed(reason);
                    self.places.replace()
                }
            },
        };
        // Our own connect ends first and says how far it came; this is the net below it.
        let limit = self.settings.connect + GRACE;
        let session = timeout(limit, Session::open(self)).await.map_err(|_| Missed::Stuck)?;
        let session = session.map_err(Missed::Connect)?;
        opening.done();
        Ok(session)
    }
}

impl Pool {
    /// A pool that opens its first connection when one is asked for. Inside a tokio runtime it also
    /// starts its housekeeper, which ends with the pool.
    pub fn new(
        name: impl Into<Text>,
        mut target: conninfo::Settings,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, PoolSetupError> {
        let name = name.into();
        if let Some(limit) = settings.statement_timeout {
            limit_statements(&mut target, limit);
        }
        let record = Record::new(&name).map_err(|error| PoolSetupError(error.to_string()))?;
        let shared = Arc::new(Shared {
            record,
            name,
            target,
            clock,
            generation: AtomicU64::new(0),
            opening_fails: AtomicBool::new(false),
            places: Places::new(settings.max),
            sessions: Mutex::default(),
            settings,
        });
        let pool = Self(Arc::new(Owner(shared)));
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(housekeep(Arc::downgrade(&pool.0), pool.settings().leak_after / 4));
        }
        Ok(pool)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// A session of one's own until the lease is dropped. `borrower` names the caller in leak reports.
    pub async fn acquire(&self, borrower: &'static str) -> Result<Lease, AcquireError> {
        let now = self.shared().clock.now();
        match self.acquire_at_once(borrower, now) {
            Some(lease) => Ok(lease),
            None => self.acquire_in_turn(borrower, now).await,
        }
    }

    /// A session that lies ready, for who knows what time it is. Nobody waits, so that no time passes that
    /// would be worth a look at the clock.
    pub(super) fn acquire_at_once(&self, borrower: &'static str, now: Stamp) -> Option<Lease> {
        let session = self.shared().ready()?;
        self.record().wait.observe(Duration::ZERO);
        Some(Lease::new(session, borrower, now))
    }

    /// The same for one statement: its times are counted in one, when it has ended.
    pub(super) fn acquire_for_one(&self, borrower: &'static str, now: Stamp) -> Option<Lease> {
        Some(Lease::for_one(self.shared().ready()?, borrower, now))
    }

    /// A session for who has waited since `began`, when none lay ready.
    pub(super) async fn acquire_in_turn(
        &self,
        borrower: &'static str,
        began: Stamp,
    ) -> Result<Lease, AcquireError> {
        let shared = self.shared();
        let got = shared.wait().await;
        let now = shared.clock.now();
        let waited = now.since(began);
        shared.record.wait.observe(waited);
        match got {
            Ok(session) => Ok(Lease::new(session, borrower, now)),
            Err(Missed::Waited) => {
                shared.record.timeouts.inc();
                Err(AcquireError::Waited { after: waited, max: shared.settings.max })
            }
            Err(Missed::Connect(error)) => Err(AcquireError::Connect(error)),
            Err(Missed::Stuck) => Err(AcquireError::Stuck),
            Err(Missed::Closed) => Err(AcquireError::Closed),
        }
    }

    /// The pool as it is now.
    pub fn status(&self) -> Status {
        let shared = self.shared();
        let (counts, now) = (shared.places.counts(), shared.clock.now());
        let held = |session: Arc<Session>| Some(session.tenancy.held(now)?.1);
        Status {
            max: shared.settings.max.max(1),
            open: counts.open,
            idle: counts.idle,
            in_use: counts.open - counts.idle,
            waiting: counts.waiting + counts.opening,
            longest_lease: shared.living().into_iter().filter_map(held).max().unwrap_or_default(),
        }
    }

    /// True while connections are asked for and none can be opened: then whoever waits for a session in
    /// vain waits for the server, not for other callers.
    pub(super) fn opening_fails(&self) -> bool {
        self.shared().opening_fails.load(Relaxed)
    }

    /// What was counted.
    pub fn record(&self) -> &Record {
        &self.shared().record
    }

    /// Its name, usually the database's.
    pub fn name(&self) -> &Text {
        &self.shared().name
    }

    /// Its rules.
    pub fn settings(&self) -> &Settings {
        &self.shared().settings
    }

    /// Closes every session as soon as nobody holds it: all lead to the wrong server.
    pub fn outdate(&self) {
        self.shared().generation.fetch_add(1, Relaxed);
    }

    /// Refuses new leases and closes idle sessions.
    pub fn close(&self) {
        self.shared().places.close();
    }
}

/// A pool could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot set up the pool: {0}")]
pub struct PoolSetupError(String);

/// Adds `statement_timeout` to the startup options, unless they name one already.
fn limit_statements(target: &mut conninfo::Settings, limit: Duration) {
    let options = target.options.get_or_insert_default();
    if !options.contains("statement_timeout") {
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str("-c statement_timeout=");
        options.push_str(&limit.as_millis().to_string());
    }
}

/// Closes what idles or has expired, and reports leaks; ends with the pool.
async fn housekeep(pool: Weak<Owner>, every: Duration) {
    let every = every.clamp(Duration::from_millis(50), Duration::from_secs(5));
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let shared = &pool.0;
        let now = shared.clock.now();
        shared.report_leaks(now);
        shared.places.weed(|session| {
            let idle = session.tenancy.idle(now) >= shared.settings.idle;
            let reason = session
                .unfit()
                .or(idle.then_some("idle"))
                .or(session.has_expired(now).then_some("expired"));
            if let Some(reason) = reason {
                session.closed(reason);
            }
            reason.is_none()
        });
    }
}
