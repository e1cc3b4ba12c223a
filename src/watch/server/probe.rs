//! Watches the server over one connection.
//!
//! Every tick is one statement. An answer that is late makes the link `Hung` while we go on waiting:
//! a server that comes back answers on the same connection at once. Only after [`GIVE_UP`] is the
//! connection thrown away.
//!
//! A network that swallowed our packets is another matter: once it heals, TCP repeats what was lost only
//! after a pause that has doubled each time. So while we wait, a second attempt looks whether the
//! machine can be reached at all. If it can, it is the server that hangs, and nothing more is tried; if
//! not, short attempts go on, and the first one that gets through takes over.

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
    session::{CONNECT, Session, read},
    statements::{self, Tick},
    trouble::{HUNG, HUNG_REMEDY, PAUSE_FREE, Trouble, problem, words_of},
};
use crate::{
    base::clock::{Clock, Stamp},
    resilience::{
        breaker::{self, CallError},
        conninfo::Settings,
    },
    watch::{
        beat::Beat,
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
/// How often identity, rights and queues are asked again.
const SLOW_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked again whether sessions are read-only.
const READ_ONLY_EVERY: Duration = Duration::from_secs(30);

/// How long a late answer is waited for before we look whether the machine can be reached.
const LOOK_AFTER: Duration = Duration::from_millis(600);
/// Limit of an attempt while nothing comes back from the machine: TCP would repeat its first packet
/// only after a second. An attempt that gets further is given [`CONNECT`] the next time.
const CONNECT_CUT_OFF: Duration = Duration::from_millis(500);

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
    /// A new connection is there, and who answers on it.
    Met {
        /// Who answers.
        standing: Box<Standing>,
        /// The connection.
        link: Link,
        /// Our own breaker.
        breaker: Breaker,
        /// The checks that will be asked. That they are to come is a fact, too: whoever waits for them
        /// knows what to wait for.
        checked: Checked,
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
        /// Checks that ran with it: one answer makes one sight.
        checked: Option<Checked>,
    },
    /// Checks ran, or are to run, by themselves.
    Checked(Checked),
}

/// What came of checks.
#[derive(Debug)]
pub struct Checked {
    /// Every check as it stands now.
    pub shown: Vec<Check>,
    /// Those that ran now.
    pub fresh: Vec<(Spec, Vec<Finding>)>,
    /// When.
    pub at: Stamp,
}

/// What a watcher is to watch, and whom it tells.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// How to connect to the server.
    pub settings: Settings,
    /// How often it is asked.
    pub period: Duration,
    /// The beat that it is asked in.
    pub beat: Beat,
    /// The checks that there are.
    pub specs: Vec<Spec>,
    /// What ages are read from.
    pub clock: Clock,
    /// Where events go.
    pub out: mpsc::Sender<Event>,
    /// Ends any pause at once.
    pub retry: Arc<Notify>,
    /// Ends the watching.
    pub cancel: CancellationToken,
}

/// Watches one server until cancelled.
pub struct Watcher {
    on: Assignment,
    link: Link,
    within: Duration,
    /// Since it answered last, the machine took a connection and the server was silent on it.
    hangs: bool,
    book: run::Book,
    cost: Spending,
    breaker: Arc<breaker::Breaker>,
}

/// Why a connection is left.
enum Left {
    Cancelled,
    Lost(Problem),
    /// For another that got through a network that had swallowed this one's packets.
    For(Box<Session>),
}

impl Watcher {
    /// A watcher that has not connected yet.
    pub fn new(mut on: Assignment) -> Self {
        on.settings = on.settings.calling_itself("howdah");
        Self {
            link: Link { since: on.clock.now(), ..Link::default() },
            within: CONNECT,
            hangs: false,
            book: run::Book::default(),
            cost: Spending::default(),
            breaker: Arc::new(own::breaker(on.clock.clone())),
            on,
        }
    }

    /// Runs until cancelled; says what it sees on the way.
    pub async fn run(mut self) {
        let cancel = self.on.cancel.clone();
        loop {
            let attempt = tokio::select! {
                () = cancel.cancelled() => return,
                attempt = self.attempt() => attempt,
            };
            let pause = match attempt {
                Ok(session) => match self.watch_all(session).await {
                    None => return,
                    Some(problem) => {
                        // A connection that was given up says nothing new about a hung server.
                        let hung = self.link.state == LinkState::Hung;
                        let state = if hung { LinkState::Hung } else { LinkState::Down };
                        self.lost(state, problem, AFTER_LOSS).await;
                        AFTER_LOSS
                    }
                },
                Err(CallError::Failed(trouble)) => {
                    self.within = limit_after(&trouble);
                    self.hangs =
                        trouble.state == LinkState::Hung || (self.hangs && trouble.cut_off);
                    let trouble = if self.hangs { trouble.or_full_queue() } else { trouble };
                    self.lost(trouble.state, trouble.problem, trouble.pause).await;
                    trouble.pause
                }
                Err(CallError::Refused(refused)) => refused.retry_in.unwrap_or(PAUSE_FREE),
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.on.retry.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn attempt(&mut self) -> Result<Session, CallError<Trouble>> {
        let breaker = Arc::clone(&self.breaker);
        let started = self.on.clock.now();
        let session = breaker.call(Session::open(&self.on.settings, self.within)).await;
        if !matches!(session, Err(CallError::Refused(_))) {
            self.link.attempt += 1;
            self.cost.spend(&self.on.clock, started, 2);
        }
        session
    }

    /// Watches over one connection, and over those that take its place; why there is none any more,
    /// unless we were cancelled.
    async fn watch_all(&mut self, mut session: Session) -> Option<Problem> {
        loop {
            match self.watch(session).await {
                Left::Cancelled => return None,
                Left::Lost(problem) => return Some(problem),
                Left::For(other) => session = *other,
            }
        }
    }

    async fn watch(&mut self, mut session: Session) -> Left {
        self.within = CONNECT;
        self.book.meet(&self.on.specs, session.standing.for_checks());
        self.book.ask_again();
        self.link.last_answer = Some(self.on.clock.now());
        self.set(LinkState::Live, None);
        self.link.attempt = 0;
        self.say(Event::Met {
            standing: Box::new(session.standing.clone()),
            link: self.link.clone(),
            breaker: self.own(),
            checked: self.checked(&[]),
        })
        .await;
        let mut next = Instant::now();
        let cancel = self.on.cancel.clone();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Left::Cancelled,
                _ = session.connection.fate.gone() => return Left::Lost(session.cause()),
                () = sleep_until(next) => {}
            }
            // A tick that came late is not made up for.
            let due = self.on.beat.nearest(next + self.on.period, self.on.period);
            next = due.max(Instant::now() + self.on.period / 2);
            if let Err(left) = self.tick(&mut session).await {
                return left;
            }
            if self.book.looks_anew() {
                // The first look is not complete: whoever waits for it waits for all of it.
                next = Instant::now();
            }
        }
    }

    async fn tick(&mut self, session: &mut Session) -> Result<(), Left> {
        let now = self.on.clock.now();
        let due = |last: Option<Stamp>, every| last.is_none_or(|at| now.since(at) + LATE >= every);
        let slow = due(session.slow_at, SLOW_EVERY);
        let tick = Tick {
            slow,
            read_only: slow && due(session.read_only_at, READ_ONLY_EVERY),
            // Never both: few different statements, so few plans, and the first sight is not kept
            // waiting by checks.
            checks: if slow {
                Vec::new()
            } else {
                self.book.due(now).into_iter().cloned().collect()
            },
        };
        match self.ask(session, &tick).await? {
            Ok(row) => self.took(session, &tick, &row).await,
            // Without the checks the rest must work; if it does not, the connection is of no use.
            Err(_) if !tick.checks.is_empty() => {
                let checks = tick.checks.clone();
                let plain = Tick { checks: Vec::new(), ..tick };
                match self.ask(session, &plain).await? {
                    Ok(row) => self.took(session, &plain, &row).await,
                    Err(error) => return Err(Left::Lost(Session::failure(&error))),
                }
                self.check_singly(session, checks).await?;
            }
            Err(error) => return Err(Left::Lost(Session::failure(&error))),
        }
        Ok(())
    }

    /// Finds the checks that cannot run, so that one of them does not silence the others.
    async fn check_singly(&mut self, session: &mut Session, specs: Vec<Spec>) -> Result<(), Left> {
        for spec in specs {
            let tick = Tick { checks: vec![spec], ..Tick::default() };
            let answer = self.ask(session, &tick).await?;
            let Some(spec) = tick.checks.first() else { continue };
            match answer {
                Ok(row) => self.took(session, &tick, &row).await,
                Err(error) => {
                    let blind = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
                    let words = words_of(&error);
                    tracing::warn!(check = spec.id, error = words, "the check cannot run");
                    self.book.failed(&spec.id, &words, blind, self.on.clock.now());
                    self.say_checks().await;
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
        let started = self.on.clock.now();
        let sql = statements::tick(&session.standing, tick);
        let again = session.slow_at.is_some();
        let cancel = self.on.cancel.clone();
        let retry = Arc::clone(&self.on.retry);
        let breaker = Arc::clone(&self.breaker);
        // Dropped on every way out without an answer, which counts as a failure.
        let permit = breaker.try_acquire().ok();
        let answer = {
            let query = session.query(&sql, again);
            tokio::pin!(query);
            let late = sleep(LATE);
            let given_up = sleep(GIVE_UP);
            let look = look(self.on.settings.clone(), LOOK_AFTER, CONNECT_CUT_OFF);
            tokio::pin!(late, given_up, look);
            let (mut hung, mut looking, mut cut_off) = (false, false, false);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut query => break answer,
                    () = cancel.cancelled() => return Err(Left::Cancelled),
                    () = &mut late, if !hung => {
                        (hung, looking) = (true, true);
                        self.set(LinkState::Hung, Some(problem(HUNG, HUNG_REMEDY)));
                        self.say_link().await;
                    }
                    seen = &mut look, if looking => match seen {
                        Ok(other) if cut_off => return Err(Left::For(Box::new(other))),
                        Err(trouble) if trouble.cut_off || cut_off => {
                            cut_off = true;
                            self.within = limit_after(&trouble);
                            look.set(self::look(self.on.settings.clone(), PAUSE_FREE, self.within));
                            self.set(LinkState::Hung, Some(trouble.problem));
                            self.say_link().await;
                        }
                        // The machine is there: it is the server that hangs, or our statement is slow.
                        Ok(_) => looking = false,
                        Err(trouble) => {
                            self.hangs = trouble.state == LinkState::Hung;
                            looking = false;
                        }
                    },
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
        self.cost.spend(&self.on.clock, started, 1);
        let now = self.on.clock.now();
        self.link.latency = Some(now.since(started));
        self.link.last_answer = Some(now);
        self.set(LinkState::Live, None);
        Ok(answer)
    }

    async fn took(&mut self, session: &mut Session, tick: &Tick, row: &Row) {
        let now = self.on.clock.now();
        if tick.slow {
            session.slow_at = Some(now);
            if let Some(mut standing) = read::<Standing>(row, 1) {
                standing.read_only = session.standing.read_only;
                if standing.for_checks() != session.standing.for_checks() {
                    self.book.meet(&self.on.specs, standing.for_checks());
                }
                session.standing = standing;
            }
            session.ready = read(row, 2);
            session.backups = read(row, 3).unwrap_or_default();
        }
        if let Ok(Some(read_only)) = row.try_get::<_, Option<bool>>(5) {
            session.standing.read_only = read_only;
            session.read_only_at = Some(now);
        }
        let activity = read::<Activity>(row, 0);
        if let Some(activity) = &activity
            && session.standing.changed(activity)
        {
            (session.slow_at, session.read_only_at) = (None, None);
        }
        let checked = self.took_checks(tick, row, now);
        let event = match (activity, checked) {
            (Some(activity), checked) => Event::Facts {
                facts: Box::new(Facts {
                    standing: session.standing.clone(),
                    activity,
                    ready: session.ready.clone(),
                    backups: session.backups.clone(),
                }),
                link: self.link.clone(),
                cost: self.cost.last_minute(now),
                breaker: self.own(),
                checked,
            },
            (None, Some(checked)) => Event::Checked(checked),
            (None, None) => return,
        };
        self.say(event).await;
    }

    /// What came of the checks of a tick; `None` when it had none.
    fn took_checks(&mut self, tick: &Tick, row: &Row, now: Stamp) -> Option<Checked> {
        if tick.checks.is_empty() {
            return None;
        }
        let ids: Vec<&str> = tick.checks.iter().map(|spec| spec.id.as_str()).collect();
        match read::<Vec<run::Row>>(row, 4) {
            Some(rows) => self.book.took(&ids, rows, now),
            None => ids.iter().for_each(|id| {
                self.book.failed(id, "the server's answer could not be read", false, now);
            }),
        }
        Some(self.checked(&ids))
    }

    /// Every check as it stands now, and what came of those that `ran`.
    fn checked(&self, ran: &[&str]) -> Checked {
        let fresh = self.book.results().filter(|(spec, ..)| ran.contains(&spec.id.as_str()));
        let fresh = fresh.map(|(spec, findings, _)| (spec.clone(), findings.to_vec())).collect();
        Checked { shown: self.book.shown(), fresh, at: self.on.clock.now() }
    }

    async fn say_checks(&self) {
        self.say(Event::Checked(self.checked(&[]))).await;
    }

    async fn lost(&mut self, state: LinkState, problem: Problem, pause: Duration) {
        tracing::warn!(what = %problem.what, "not connected");
        self.set(state, Some(problem));
        self.link.next_try = Some(self.on.clock.now().plus(pause));
        self.say_link().await;
    }

    fn set(&mut self, state: LinkState, problem: Option<Problem>) {
        if self.link.state != state {
            self.link.since = self.on.clock.now();
        }
        self.link.state = state;
        self.link.problem = problem;
        if state == LinkState::Live {
            self.link.next_try = None;
            self.hangs = false;
        }
    }

    async fn say_link(&self) {
        self.say(Event::Link { link: self.link.clone(), breaker: self.own() }).await;
    }

    fn own(&self) -> Breaker {
        own::shown(self.on.clock.now(), &self.breaker.stats())
    }

    async fn say(&self, event: Event) {
        // Nobody listens only when everything is being shut down.
        let _ = self.on.out.send(event).await;
    }
}

/// One more attempt, after a pause.
async fn look(settings: Settings, pause: Duration, within: Duration) -> Result<Session, Trouble> {
    sleep(pause).await;
    Session::open(&settings, within).await
}

/// How long the next attempt may take.
fn limit_after(trouble: &Trouble) -> Duration {
    if trouble.cut_off { CONNECT_CUT_OFF } else { CONNECT }
}
