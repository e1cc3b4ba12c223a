//! Watches the server over one connection.
//!
//! Every tick is one statement. An answer that is late makes the link `Hung` while we go on waiting:
//! a server that comes back answers on the same connection at once. Only after [`GIVE_UP`] is the
//! connection thrown away.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_postgres::{Row, error::SqlState};
use tokio_util::sync::CancellationToken;

use super::{
    cost::Spending,
    facts::{Activity, Facts, Standing},
    own,
    session::{Session, read},
    statements,
    trouble::{HUNG, HUNG_REMEDY, PAUSE_SHORT, Trouble, problem, words_of},
};
use crate::{
    base::clock::{Clock, Stamp},
    resilience::{
        breaker::{self, CallError},
        conninfo::Settings,
    },
    watch::{
        checks::{Spec, run},
        snapshot::{Breaker, Check, Cost, Finding, Link, LinkState, Problem},
    },
};

/// An answer later than this makes the link `Hung`; with a tick a second the word is on screen
/// within two seconds of the hang.
const LATE: Duration = Duration::from_millis(900);
/// A connection that has not answered for so long is thrown away. Longer than our statement_timeout:
/// a server that lives ends our statement before.
const GIVE_UP: Duration = Duration::from_secs(6);
/// How often identity, settings and queues are asked again.
const SLOW_EVERY: Duration = Duration::from_secs(5);

/// The first attempt after a loss comes almost at once: a restart may be over already.
const AFTER_LOSS: Duration = Duration::from_millis(50);

/// What the watcher says.
#[derive(Debug)]
pub enum Event {
    /// The state of the connection changed.
    Link {
        /// The connection.
        link: Link,
        /// Our own breaker.
        breaker: Breaker,
    },
    /// The server answered.
    Facts {
        /// What it said.
        facts: Box<Facts>,
        /// The connection.
        link: Link,
        /// What we cost it.
        cost: Cost,
        /// Our own breaker.
        breaker: Breaker,
    },
    /// Some checks ran.
    Checked {
        /// Every check as it stands now.
        shown: Vec<Check>,
        /// Those that ran now.
        fresh: Vec<(Spec, Vec<Finding>)>,
        /// When.
        at: Stamp,
    },
}

/// Watches one server until cancelled.
pub struct Watcher {
    settings: Settings,
    period: Duration,
    specs: Vec<Spec>,
    clock: Clock,
    out: mpsc::Sender<Event>,
    retry: Arc<Notify>,
    cancel: CancellationToken,
    link: Link,
    book: run::Book,
    cost: Spending,
    breaker: Arc<breaker::Breaker>,
}

/// Why a connection is left.
enum Left {
    Cancelled,
    Lost(Problem),
}

/// What one tick asks besides activity.
struct Tick {
    slow: bool,
    checks: Vec<Spec>,
}

impl Watcher {
    /// A watcher that has not connected yet. `retry` ends any pause at once.
    pub fn new(
        settings: Settings,
        period: Duration,
        specs: Vec<Spec>,
        clock: Clock,
        out: mpsc::Sender<Event>,
        retry: Arc<Notify>,
        cancel: CancellationToken,
    ) -> Self {
        let link = Link { since: clock.now(), ..Link::default() };
        Self {
            settings: settings.calling_itself("howdah"),
            period,
            specs,
            breaker: Arc::new(own::breaker(clock.clone())),
            clock,
            out,
            retry,
            cancel,
            link,
            book: run::Book::default(),
            cost: Spending::default(),
        }
    }

    /// Runs until cancelled; says what it sees on the way.
    pub async fn run(mut self) {
        let cancel = self.cancel.clone();
        loop {
            let attempt = tokio::select! {
                () = cancel.cancelled() => return,
                attempt = self.attempt() => attempt,
            };
            let pause = match attempt {
                Ok(session) => match self.watch(session).await {
                    Left::Cancelled => return,
                    Left::Lost(problem) => {
                        self.lost(LinkState::Down, problem, AFTER_LOSS).await;
                        AFTER_LOSS
                    }
                },
                Err(CallError::Failed(trouble)) => {
                    self.lost(trouble.state, trouble.problem, trouble.pause).await;
                    trouble.pause
                }
                Err(CallError::Refused(refused)) => refused.retry_in.unwrap_or(PAUSE_SHORT),
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.retry.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<Session, CallError<Trouble>> {
        let breaker = Arc::clone(&self.breaker);
        let started = self.clock.now();
        let session = breaker.call(Session::open(&self.settings)).await;
        if !matches!(session, Err(CallError::Refused(_))) {
            self.link.attempt += 1;
            self.cost.spend(&self.clock, started, 2);
        }
        session
    }

    async fn watch(&mut self, mut session: Session) -> Left {
        self.book.meet(&self.specs, session.standing.for_checks());
        self.set(LinkState::Live, None);
        self.link.attempt = 0;
        let mut next = Instant::now();
        let cancel = self.cancel.clone();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Left::Cancelled,
                _ = session.connection.fate.gone() => return Left::Lost(session.cause()),
                () = sleep_until(next) => {}
            }
            // A tick that came late is not made up for.
            next = (next + self.period).max(Instant::now() + self.period / 2);
            if let Err(left) = self.tick(&mut session).await {
                return left;
            }
        }
    }

    async fn tick(&mut self, session: &mut Session) -> Result<(), Left> {
        let now = self.clock.now();
        let tick = Tick {
            slow: session.slow_at.is_none_or(|at| now.since(at) + LATE >= SLOW_EVERY),
            checks: self.book.due(now).into_iter().cloned().collect(),
        };
        match self.ask(session, &tick).await? {
            Ok(row) => self.took(session, &tick, &row).await,
            // Without the checks the rest must work; if it does not, the connection is of no use.
            Err(_) if !tick.checks.is_empty() => {
                let plain = Tick { slow: tick.slow, checks: Vec::new() };
                match self.ask(session, &plain).await? {
                    Ok(row) => self.took(session, &plain, &row).await,
                    Err(error) => return Err(Left::Lost(Session::failure(&error))),
                }
                self.check_singly(session, tick.checks).await?;
            }
            Err(error) => return Err(Left::Lost(Session::failure(&error))),
        }
        Ok(())
    }

    /// Finds the checks that cannot run, so that one of them does not silence the others.
    async fn check_singly(&mut self, session: &mut Session, specs: Vec<Spec>) -> Result<(), Left> {
        for spec in specs {
            let tick = Tick { slow: false, checks: vec![spec] };
            let answer = self.ask(session, &tick).await?;
            let Some(spec) = tick.checks.first() else { continue };
            match answer {
                Ok(row) => self.took(session, &tick, &row).await,
                Err(error) => {
                    let blind = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
                    let words = words_of(&error);
                    tracing::warn!(check = spec.id, error = words, "the check cannot run");
                    self.book.failed(&spec.id, &words, blind, self.clock.now());
                    self.say_checks(Vec::new()).await;
                }
            }
        }
        Ok(())
    }

    /// One statement, one answer. The outer error ends the connection; the inner one is the
    /// server's word about the statement.
    async fn ask(
        &mut self,
        session: &mut Session,
        tick: &Tick,
    ) -> Result<Result<Row, tokio_postgres::Error>, Left> {
        let started = self.clock.now();
        let sql = statements::tick(&session.standing, tick.slow, &tick.checks);
        let cancel = self.cancel.clone();
        let retry = Arc::clone(&self.retry);
        let breaker = Arc::clone(&self.breaker);
        // Dropped on every way out without an answer, which counts as a failure.
        let permit = breaker.try_acquire().ok();
        let answer = {
            let query = session.query(&sql);
            tokio::pin!(query);
            let late = sleep(LATE);
            let given_up = sleep(GIVE_UP);
            tokio::pin!(late, given_up);
            let mut hung = false;
            loop {
                tokio::select! {
                    biased;
                    answer = &mut query => break answer,
                    () = cancel.cancelled() => return Err(Left::Cancelled),
                    () = &mut late, if !hung => {
                        hung = true;
                        self.set(LinkState::Hung, Some(problem(HUNG, HUNG_REMEDY)));
                        self.say_link().await;
                    }
                    () = &mut given_up => return Err(Left::Lost(problem(
                        "the server did not answer for six seconds; the connection was given up",
                        HUNG_REMEDY,
                    ))),
                    () = retry.notified(), if hung => return Err(Left::Lost(problem(
                        "the connection was given up by hand", "",
                    ))),
                }
            }
        };
        if answer.is_err() && session.connection.client.is_closed() {
            return Err(Left::Lost(session.cause()));
        }
        if let Some(permit) = permit {
            permit.success();
        }
        self.cost.spend(&self.clock, started, 1);
        let now = self.clock.now();
        self.link.latency = Some(now.since(started));
        self.link.last_answer = Some(now);
        self.set(LinkState::Live, None);
        Ok(answer)
    }

    async fn took(&mut self, session: &mut Session, tick: &Tick, row: &Row) {
        let now = self.clock.now();
        if tick.slow {
            session.slow_at = Some(now);
            if let Some(standing) = read::<Standing>(row, 1) {
                if standing.for_checks() != session.standing.for_checks() {
                    self.book.meet(&self.specs, standing.for_checks());
                }
                session.standing = standing;
            }
            session.ready = read(row, 2);
            session.backups = read(row, 3).unwrap_or_default();
        }
        if let Some(activity) = read::<Activity>(row, 0) {
            let facts = Box::new(Facts {
                standing: session.standing.clone(),
                activity,
                ready: session.ready,
                backups: session.backups.clone(),
            });
            let cost = self.cost.last_minute(now);
            let event = Event::Facts { facts, link: self.link.clone(), cost, breaker: self.own() };
            self.say(event).await;
        }
        if let Some(rows) = read::<Vec<run::Row>>(row, 4) {
            let ids: Vec<String> = tick.checks.iter().map(|spec| spec.id.clone()).collect();
            self.book.took(&ids, rows, now);
            self.say_checks(ids).await;
        }
    }

    async fn say_checks(&self, ran: Vec<String>) {
        let fresh = self.book.results().filter(|(spec, ..)| ran.contains(&spec.id));
        let fresh = fresh.map(|(spec, findings, _)| (spec.clone(), findings.to_vec())).collect();
        let event = Event::Checked { shown: self.book.shown(), fresh, at: self.clock.now() };
        self.say(event).await;
    }

    async fn lost(&mut self, state: LinkState, problem: Problem, pause: Duration) {
        tracing::warn!(what = %problem.what, "not connected");
        self.set(state, Some(problem));
        self.link.next_try = Some(self.clock.now().plus(pause));
        self.say_link().await;
    }

    fn set(&mut self, state: LinkState, problem: Option<Problem>) {
        if self.link.state != state {
            self.link.since = self.clock.now();
        }
        self.link.state = state;
        self.link.problem = problem;
        if state == LinkState::Live {
            self.link.next_try = None;
        }
    }

    async fn say_link(&self) {
        self.say(Event::Link { link: self.link.clone(), breaker: self.own() }).await;
    }

    fn own(&self) -> Breaker {
        own::shown(self.clock.now(), &self.breaker.stats())
    }

    async fn say(&self, event: Event) {
        // Nobody listens only when everything is being shut down.
        let _ = self.out.send(event).await;
    }
}
