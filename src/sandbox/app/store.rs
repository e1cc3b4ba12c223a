//! The bank's way to its database: the resilience library at work, and nothing else.

use std::time::Duration;

use super::{AppOptions, load::Transfer};
use crate::{
    base::secret::Secret,
    resilience::{
        Database, Error, Options,
        connect::{ConnectError, connect},
        conninfo::{Environment, Settings},
        export,
        pool::{self, Lease},
        transaction::Mode,
    },
};

/// A customer does not wait longer.
const DEADLINE: Duration = Duration::from_secs(2);
/// A report may take its time.
const REPORT_DEADLINE: Duration = Duration::from_secs(5);
/// The name of the session that holds a lock for ever.
const BATCH: &str = "nightly-batch";

/// The bank's database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    /// Past pool and breaker, for who needs a connection of its own.
    direct: Settings,
}

impl Store {
    pub(super) fn new(options: &AppOptions) -> Result<Self, Box<dyn std::error::Error>> {
        // Only what the owner says, whatever the environment holds.
        let mut target = Settings::parse(&options.conninfo, &Environment::bare())?;
        target.password = Some(Secret::new(options.password.expose()));
        let direct = target.clone().calling_itself(BATCH);
        let pool = pool::Settings {
            max: options.pool_size,
            leak_after: Duration::from_secs(10),
            statement_timeout: Some(REPORT_DEADLINE),
            ..pool::Settings::default()
        };
        let rules = Options { pool, deadline: DEADLINE, ..Options::default() };
        let database = Database::new(target.calling_itself(&options.name), rules)?;
        Ok(Self { database, direct })
    }

    /// Its database, for who operates it.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// The answer to `GET /metrics`.
    pub(super) fn metrics(&self) -> Result<String, prometheus::Error> {
        export::text(std::slice::from_ref(&self.database))
    }

    /// Moves money, or changes nothing.
    pub(super) async fn transfer(&self, t: Transfer) -> Result<(), Error> {
        let delta = i64::from(t.delta);
        let mode = Mode { borrower: "transfer", ..Mode::default() };
        self.database
            .transaction(mode, |tx| async move {
                let account = "update accounts set balance = balance + $1 where aid = $2";
                tx.execute(account, &[&delta, &t.account]).await?;
                tx.query_one("select balance from accounts where aid = $1", &[&t.account]).await?;
                let teller = "update tellers set balance = balance + $1 where tid = $2";
                tx.execute(teller, &[&delta, &t.teller]).await?;
                let branch = "update branches set balance = balance + $1 where bid = $2";
                tx.execute(branch, &[&delta, &t.branch]).await?;
                let history = "insert into history (tid, bid, aid, delta) values ($1, $2, $3, $4)";
                tx.execute(history, &[&t.teller, &t.branch, &t.account, &t.delta]).await?;
                Ok(())
            })
            .await
    }

    /// A query that takes that long by itself.
    pub(super) async fn slow_report(&self, seconds: f64) -> Result<(), Error> {
        let call = self.database.call().within(REPORT_DEADLINE).named("report");
        call.query("select pg_sleep($1)", &[&seconds]).await.map(drop)
    }

    /// A connection of the pool, until it is dropped.
    pub(super) async fn lease(&self, borrower: &'static str) -> Result<Lease, Error> {
        self.database.lease(borrower).await
    }

    /// Holds the row of every branch in an open transaction; `held` is called when it does. Returns
    /// when the connection is lost.
    pub(super) async fn hold_branches(&self, held: impl FnOnce()) -> Result<(), ConnectError> {
        let connection = connect(&self.direct, DEADLINE).await?;
        let lock = "begin; update branches set balance = balance";
        if connection.client.batch_execute(lock).await.is_ok() {
            held();
            connection.fate.gone().await;
        }
        Ok(())
    }
}
