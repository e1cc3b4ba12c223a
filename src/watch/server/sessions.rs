//! The sessions of clients: what each does, who waits for whom; and the signals that may be sent to one.
//!
//! A process number alone names nobody: it is used again. A session is its process *and* the moment at which
//! that began, and every signal looks at both in the statement that sends it.

use serde::Serialize;
use tokio_postgres::Row;

use crate::base::text::Text;

/// All sessions of clients but our own, those that others wait for first, then the oldest transactions.
/// Needs PostgreSQL 9.6 or later for `pg_blocking_pids`; what our role may not see is null.
pub const SESSIONS: &str = "
WITH RECURSIVE edge AS (
    SELECT a.pid AS victim, b.pid AS blocker
    FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) b(pid)
    WHERE a.wait_event_type = 'Lock'),
tree AS (
    SELECT blocker AS root, victim FROM edge
    UNION SELECT t.root, e.victim FROM tree t JOIN edge e ON e.blocker = t.victim)
SELECT a.pid,
       (extract(epoch FROM a.backend_start) * 1000000)::bigint,
       (extract(epoch FROM a.xact_start) * 1000000)::bigint,
       (extract(epoch FROM a.query_start) * 1000000)::bigint,
       coalesce(a.usename, '')::text, coalesce(a.datname, '')::text, coalesce(a.application_name, ''),
       coalesce(host(a.client_addr), 'local'), a.state,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
       a.wait_event_type || ':' || a.wait_event,
       coalesce((SELECT array_agg(DISTINCT blocker ORDER BY blocker) FROM edge WHERE victim = a.pid), '{}'),
       (SELECT count(DISTINCT victim) FROM tree WHERE root = a.pid AND victim <> a.pid),
       coalesce(left(a.query, 2000), '')
FROM pg_stat_activity a
WHERE coalesce(a.backend_type, 'client backend') = 'client backend' AND a.pid <> pg_backend_pid()
ORDER BY 14 DESC, a.xact_start NULLS LAST, a.pid";

/// Cancels the statement of the session `$1` that began at `$2`, if it is still the one that began at `$3`.
/// No row: that statement is over, or the session gone, and nobody was signalled.
pub const CANCEL: &str = "
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2
  AND (extract(epoch FROM query_start) * 1000000)::bigint IS NOT DISTINCT FROM $3 AND state = 'active'";

/// Ends the session `$1` that began at `$2`, if its transaction is still the one that began at `$3`. No row:
/// it is not, or the session is gone, and nobody was signalled.
pub const END: &str = "
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2
  AND (extract(epoch FROM xact_start) * 1000000)::bigint IS NOT DISTINCT FROM $3";

/// A session of a client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sitting {
    /// Its process.
    pub pid: i32,
    /// When that began, in microseconds since 1970.
    pub began: Option<i64>,
    /// When its transaction began, in microseconds since 1970; null outside of one.
    pub transaction: Option<i64>,
    /// When its statement began, or the last one did, in microseconds since 1970.
    pub statement: Option<i64>,
    /// The role.
    pub user: Text,
    /// The database.
    pub database: Text,
    /// What it calls itself.
    pub application: Text,
    /// The client's address; `local` for a socket.
    pub client: Text,
    /// `active`, `idle`, `idle in transaction`…; null when our role may not see it.
    pub state: Option<Text>,
    /// For how long, in seconds.
    pub state_seconds: Option<f64>,
    /// The age of its transaction, in seconds.
    pub transaction_seconds: Option<f64>,
    /// What it waits for, such as `Lock:tuple`; null when it does not.
    pub waits_for: Option<Text>,
    /// The processes that it waits for; 0 is a prepared transaction.
    pub blocked_by: Vec<i32>,
    /// Sessions that wait for it, also through others.
    pub blocks: i64,
    /// Its statement, or its last one; at most 2000 characters.
    pub query: Text,
}

impl Sitting {
    /// What a row of [`SESSIONS`] tells.
    ///
    /// # Errors
    /// When the row is of another statement.
    pub fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let words = |at: usize| Ok(Text::one_line(row.try_get::<_, &str>(at)?));
        let perhaps = |at: usize| Ok(row.try_get::<_, Option<&str>>(at)?.map(Text::one_line));
        Ok(Self {
            pid: row.try_get(0)?,
            began: row.try_get(1)?,
            transaction: row.try_get(2)?,
            statement: row.try_get(3)?,
            user: words(4)?,
            database: words(5)?,
            application: words(6)?,
            client: words(7)?,
            state: perhaps(8)?,
            state_seconds: row.try_get(9)?,
            transaction_seconds: row.try_get(10)?,
            waits_for: perhaps(11)?,
            blocked_by: row.try_get(12)?,
            blocks: row.try_get(13)?,
            query: words(14)?,
        })
    }

    /// Others wait for it, and it waits for nobody: the one to look at.
    pub fn is_root(&self) -> bool {
        self.blocks > 0 && self.blocked_by.is_empty()
    }
}
