//! What a pool counts, ready for Prometheus.

use std::sync::Arc;

use prometheus::{
    IntCounter, IntCounterVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::histogram::{Histogram, Times};

/// Counters and histograms of one pool. Each carries the label `database`.
#[derive(Debug)]
pub struct Record {
    /// How long callers waited for a connection, in seconds.
    pub wait: Histogram,
    /// How long leases were held, in seconds.
    pub hold: Histogram,
    /// How long statements took, in seconds.
    pub query: Histogram,
    /// Calls for which a session lay ready, and which gave it back after one good statement.
    pub(super) swift: Arc<Times>,
    /// Callers that gave up waiting for a connection.
    pub timeouts: IntCounter,
    /// Leases that were held suspiciously long.
    pub leaks: IntCounter,
    /// Connections that were opened.
    pub opened: IntCounter,
    /// Connections that were closed, by `reason`.
    pub closed: IntCounterVec,
    /// Dirty sessions that were cleaned.
    pub resets: IntCounter,
    /// Failed calls, by `class`.
    pub failures: IntCounterVec,
    /// Calls that were tried again.
    pub retries: IntCounter,
}

impl Record {
    /// An empty record for the database of that name.
    pub fn new(database: &str) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("database", database);
        let counter = |name: &str, help: &str| IntCounter::with_opts(opts(name, help));
        let swift = Arc::default();
        let histogram = |name: &str, help: &str| Histogram::new(&opts(name, help), &swift);
        let wait = opts("db_connection_pool_wait_seconds", "Wait for a connection.");
        Ok(Self {
            wait: Histogram::of_nothing(&wait, &swift)?,
            hold: histogram("db_connection_pool_hold_seconds", "Time a connection was held.")?,
            query: histogram("db_query_seconds", "Time a statement took.")?,
            swift: Arc::clone(&swift),
            timeouts: counter(
                "db_connection_pool_timeouts_total",
                "Callers that gave up waiting for a connection.",
            )?,
            leaks: counter(
                "db_connection_pool_leaks_total",
                "Connections held longer than the leak threshold.",
            )?,
            opened: counter("db_connection_pool_opened_total", "Connections opened.")?,
            closed: IntCounterVec::new(
                opts("db_connection_pool_closed_total", "Connections closed, by reason."),
                &["reason"],
            )?,
            resets: counter("db_connection_pool_resets_total", "Dirty sessions cleaned.")?,
            failures: IntCounterVec::new(
                opts("db_query_failures_total", "Failed calls, by class of error."),
                &["class"],
            )?,
            retries: counter("db_retries_total", "Calls that were tried again.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 10] {
        [
            &self.wait,
            &self.hold,
            &self.query,
            &self.timeouts,
            &self.leaks,
            &self.opened,
            &self.closed,
            &self.resets,
            &self.failures,
            &self.retries,
        ]
    }
}

impl Collector for Record {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
