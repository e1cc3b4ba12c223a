//! Why there is no session, in words, and how soon to try again.

use std::time::Duration;

use crate::{
    base::text::Text,
    resilience::connect::{ConnectError, Connection, Stage},
    watch::snapshot::{LinkState, Problem},
};

/// Pause after an attempt that cost the server nothing, because it did not even reach it.
pub const PAUSE_FREE: Duration = Duration::from_millis(150);
/// Pause after an attempt that found the server on its way, or hung.
const PAUSE_SHORT: Duration = Duration::from_millis(400);
/// Pause after an attempt that the server had to refuse.
const PAUSE_LONG: Duration = Duration::from_secs(1);
/// Pause after a refusal that only a person can lift. Whoever lifts it watches the screen.
const PAUSE_REFUSED: Duration = Duration::from_secs(2);

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What that makes of the link.
    pub state: LinkState,
    /// In words.
    pub problem: Problem,
    /// How long to wait before the next attempt.
    pub pause: Duration,
    /// Nothing came back from the machine at all: the network swallows our packets.
    pub cut_off: bool,
}

impl Trouble {
    /// The session was lost before its first answer.
    pub fn at_first_question(connection: &Connection, error: &tokio_postgres::Error) -> Self {
        let what = connection.fate.cause().map_or_else(|| words_of(error), |c| c.to_string());
        let problem = problem(&what, "the server's log tells more");
        Self { state: LinkState::Down, problem, pause: PAUSE_LONG, cut_off: false }
    }

    /// We are logged in and get no answer.
    pub fn silent() -> Self {
        let problem = problem(HUNG, HUNG_REMEDY);
        Self { state: LinkState::Hung, problem, pause: PAUSE_SHORT, cut_off: false }
    }

    /// What a server that hangs comes to in time: new connections fill the queue in which it would take them,
    /// and from then on its machine drops their first packets. That looks like a network that swallows
    /// everything, so it is said only of a server that was seen to hang.
    pub fn or_full_queue(self) -> Self {
        if !self.cut_off {
            return self;
        }
        let problem = problem(QUEUE_FULL, QUEUE_FULL_REMEDY);
        Self { state: LinkState::Hung, problem, ..self }
    }

    /// What answers is not a PostgreSQL server that we know.
    pub fn unreadable() -> Self {
        let problem = problem(
            "the server's answer about itself could not be read",
            "is it PostgreSQL 13 or newer? A pooler in between must pass pg_control_system()",
        );
        Self { state: LinkState::Refused, problem, pause: PAUSE_REFUSED, cut_off: false }
    }
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        let (state, pause) = judge(&error);
        let cut_off = unheard(&error);
        Self { state, problem: problem(&error.to_string(), error.remedy()), pause, cut_off }
    }
}

fn judge(error: &ConnectError) -> (LinkState, Duration) {
    if error.permanent() {
        return (LinkState::Refused, PAUSE_REFUSED);
    }
    match error {
        ConnectError::TimedOut { stage, .. } if *stage > Stage::Connect => {
            (LinkState::Hung, PAUSE_SHORT)
        }
        ConnectError::TimedOut { .. }
        | ConnectError::Refused { .. }
        | ConnectError::NoSocket { .. }
        | ConnectError::Unreachable { .. } => (LinkState::Down, PAUSE_FREE),
        ConnectError::Unready { .. } => (LinkState::Down, PAUSE_SHORT),
        // With several hosts, one that hangs is as good as down: another may answer. The one that is
        // burdened most sets the pace.
        ConnectError::NoHost(errors) => {
            let pauses = errors.iter().filter(|error| !error.permanent()).map(|e| judge(e).1);
            (LinkState::Down, pauses.max().unwrap_or(PAUSE_LONG))
        }
        _ => (LinkState::Down, PAUSE_LONG),
    }
}

fn unheard(error: &ConnectError) -> bool {
    match error {
        ConnectError::TimedOut { stage, .. } => *stage == Stage::Connect,
        ConnectError::Unreachable { .. } => true,
        ConnectError::NoHost(errors) => errors.iter().all(unheard),
        _ => false,
    }
}

/// What a hung server looks like from here.
pub const HUNG: &str = "the server holds our connection and does not answer";
/// What to do about it.
pub const HUNG_REMEDY: &str = "is it stopped, swapping, out of I/O, or behind a dead network?";

const QUEUE_FULL: &str =
    "the server hangs, and by now nothing answers new connections: its queue is full";
const QUEUE_FULL_REMEDY: &str = "is it stopped, swapping, or out of I/O? Or is the machine gone as well: does it answer a ping?";

/// A problem in words.
pub fn problem(what: &str, remedy: &str) -> Problem {
    Problem { what: Text::one_line(what), remedy: Text::one_line(remedy) }
}

/// The server's own words about a statement, without the query's text.
pub fn words_of(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}
