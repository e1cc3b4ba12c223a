//! The bank's way to its database.

use std::{error::Error, fmt::Write, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, Runtime};
use tokio_postgres::{Config, NoTls};

use super::{AppOptions, load::Transfer};

/// A customer does not wait longer.
const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Store(Arc<Inner>);

struct Inner {
    pool: Pool,
    direct: Config,
    calls: std::sync::atomic::AtomicU64,
}

type Failed = Box<dyn Error + Send + Sync>;

impl Store {
    pub(super) fn new(options: &AppOptions) -> Result<Self, Box<dyn Error>> {
        let mut config: Config = options.conninfo.parse()?;
        config.password(options.password.expose()).application_name(&options.name);
        let mut direct = config.clone();
        direct.application_name("nightly-batch");
        let manager = Manager::from_config(config, NoTls, ManagerConfig::default());
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(DEADLINE))
            .create_timeout(Some(DEADLINE))
            .build()?;
        Ok(Self(Arc::new(Inner { pool, direct, calls: 0.into() })))
    }

    pub(super) fn metrics(&self) -> String {
        let status = self.0.pool.status();
        let mut text = String::new();
        let calls = self.0.calls.load(std::sync::atomic::Ordering::Relaxed);
        for (state, n) in [
            ("open", status.size),
            ("idle", status.available),
            ("inuse", status.size.saturating_sub(status.available)),
        ] {
            let _ = writeln!(
                text,
                "db_connection_pool_size{{database=\"demo\",state=\"{state}\"}} {n}"
            );
        }
        let _ = writeln!(text, "calls_total {calls}");
        text
    }

    pub(super) async fn lease(&self, _borrower: &'static str) -> Result<Object, Failed> {
        Ok(self.0.pool.get().await?)
    }

    pub(super) async fn transfer(&self, t: Transfer) -> Result<(), Failed> {
        let work = async {
            let mut lease = self.lease("transfer").await?;
            let tx = lease.transaction().await?;
            tx.execute(
                "update accounts set balance = balance + $1 where aid = $2",
                &[&i64::from(t.delta), &t.account],
            )
            .await?;
            tx.execute(
                "update branches set balance = balance + $1 where bid = $2",
                &[&i64::from(t.delta), &t.branch],
            )
            .await?;
            tx.execute(
                "update tellers set balance = balance + $1 where tid = $2",
                &[&i64::from(t.delta), &t.teller],
            )
            .await?;
            tx.execute(
                "insert into history (tid, bid, aid, delta) values ($1, $2, $3, $4)",
                &[&t.teller, &t.branch, &t.account, &t.delta],
            )
            .await?;
            tx.commit().await?;
            self.0.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        };
        tokio::time::timeout(DEADLINE, work).await?
    }

    pub(super) async fn slow_report(&self, seconds: f64) -> Result<(), Failed> {
        let lease = self.lease("slow report").await?;
        lease.execute("select pg_sleep($1)", &[&seconds]).await?;
        Ok(())
    }

    /// Holds the row of every branch in an open transaction. Returns when the connection is lost.
    pub(super) async fn hold_branches(&self, held: impl FnOnce()) -> Result<(), Failed> {
        let (client, connection) = self.0.direct.connect(NoTls).await?;
        tokio::pin!(connection);
        let work = async {
            client.batch_execute("begin; update branches set balance = balance").await?;
            held();
            std::future::pending::<Result<(), tokio_postgres::Error>>().await
        };
        tokio::select! {
            result = &mut connection => result?,
            result = work => result?,
        }
        Ok(())
    }
}
