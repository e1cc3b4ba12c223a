//! PgBouncer's console for who acts on it: which databases there are, PAUSE and RESUME.
//!
//! A PAUSE outlives whoever sent it (measured with 1.18: the database is still paused when the session that
//! paused it was killed), so that nobody may send one without a lease: see `howdah pgbouncer pause`.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::{
    Bouncer, ConsoleError,
    console::Console,
    tables::{self, Table},
};
use crate::base::text::Text;

/// A database as PgBouncer serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Database {
    /// Its name, as clients call it.
    pub name: Text,
    /// The server behind it, as PgBouncer calls that; none where it finds it by itself.
    pub host: Option<Text>,
    /// Nobody is served: clients wait.
    pub paused: bool,
    /// New clients are refused.
    pub disabled: bool,
    /// Clients that are served now.
    pub active: u64,
    /// Clients that wait.
    pub waiting: u64,
    /// Server connections that are at work.
    pub working: u64,
    /// For how long the first of those that wait does, in seconds.
    pub longest_wait: u64,
}

/// What its console tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The databases, without that of the console.
    pub databases: Vec<Database>,
    /// How long a client may wait before it is cut off (`query_wait_timeout`); none: for ever, or not told.
    pub patience: Option<Duration>,
}

/// An open console.
pub struct Admin {
    console: Console,
    within: Duration,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    /// Connects, and makes sure that PgBouncer answers.
    ///
    /// # Errors
    /// Why there is none, with what to do.
    pub async fn open(bouncer: &Bouncer) -> Result<Self, ConsoleError> {
        Ok(Self { console: Console::open(bouncer).await?, within: bouncer.answer_within })
    }

    /// Asks for the databases and what their clients do.
    ///
    /// # Errors
    /// When it does not answer in time, or refuses.
    pub async fn look(&self) -> Result<Told, ConsoleError> {
        let work = async {
            let pools = self.console.show("SHOW POOLS").await?.unwrap_or_default();
            let databases = self.console.show("SHOW DATABASES").await?.unwrap_or_default();
            let config = self.console.show("SHOW CONFIG").await?.unwrap_or_default();
            Ok(told(&databases, &pools, &config))
        };
        let late = |_| ConsoleError::NoAnswer { to: "SHOW DATABASES", after: self.within };
        timeout(self.within, work).await.map_err(late)?
    }

    /// Lets nobody be served any more, once the transactions that run are over.
    ///
    /// # Errors
    /// [`ConsoleError::NoAnswer`] when they are not over in time: it is then half done, and has to be taken
    /// back with [`Admin::resume`] on another connection.
    pub async fn pause(&self, database: &str, within: Duration) -> Result<(), ConsoleError> {
        self.order("PAUSE", database, within).await
    }

    /// Lets clients be served again.
    ///
    /// # Errors
    /// [`ConsoleError::Refused`] when it was not paused, too.
    pub async fn resume(&self, database: &str) -> Result<(), ConsoleError> {
        self.order("RESUME", database, self.within).await
    }

    async fn order(
        &self,
        verb: &'static str,
        database: &str,
        within: Duration,
    ) -> Result<(), ConsoleError> {
        let words = format!("{verb} \"{}\"", database.replace('"', "\"\""));
        let late = |_| ConsoleError::NoAnswer { to: verb, after: within };
        timeout(within, self.console.order(verb, &words)).await.map_err(late)?
    }
}

fn told(databases: &Table, pools: &Table, config: &Table) -> Told {
    let count = |name: &str, columns: &[&str]| -> u64 {
        let of = pools.rows().filter(|row| row.text("database") == Some(name));
        of.filter_map(|row| row.sum(columns)).sum()
    };
    let real = databases.rows().filter_map(|row| Some((row, row.text("name")?)));
    let all = real.filter(|(_, name)| *name != tables::CONSOLE).map(|(row, name)| {
        let set = |column| row.number(column).is_some_and(|value| value > 0);
        let waits = pools.rows().filter(|pool| pool.text("database") == Some(name));
        Database {
            name: Text::foreign(name),
            host: row.text("host").map(Text::foreign),
            paused: set("paused"),
            disabled: set("disabled"),
            active: count(name, &["cl_active"]),
            waiting: count(name, &["cl_waiting"]),
            working: count(name, &["sv_active"]),
            longest_wait: waits.filter_map(|pool| pool.number("maxwait")).max().unwrap_or(0),
        }
    });
    let patience = config.rows().find(|row| row.text("key") == Some("query_wait_timeout"));
    let patience = patience.and_then(|row| row.text("value")?.parse::<f64>().ok());
    let patience = patience.filter(|seconds| *seconds > 0.0);
    Told {
        databases: all.collect(),
        patience: patience.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}
