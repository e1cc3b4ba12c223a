//! What an application shows of its databases to Prometheus.
//!
//! Every family carries the label `database`. The names are an interface: dashboards, alerts and the
//! console's own reader know them.
//!
//! | family | kind | meaning |
//! |---|---|---|
//! | `db_circuit_breaker_state` | gauge | 0 closed, 1 open, 2 half-open |
//! | `db_circuit_breaker_mode` | gauge | 0 auto, 1 disabled, 2 forced open |
//! | `db_circuit_breaker_state_since_seconds` | gauge | Unix time of the last change of state |
//! | `db_circuit_breaker_retry_in_seconds` | gauge | until an open breaker lets a probe through; absent unless open and auto |
//! | `db_circuit_breaker_failure_rate` | gauge | share of failed calls in the window, 0 to 1; absent below the minimum volume |
//! | `db_circuit_breaker_slow_rate` | gauge | share of slow calls in the window, 0 to 1; absent below the minimum volume |
//! | `db_circuit_breaker_calls` | gauge | calls in the window |
//! | `db_circuit_breaker_probes` | gauge | `result="good"` and `"wanted"`; absent unless half-open |
//! | `db_circuit_breaker_rejected_total` | counter | calls refused |
//! | `db_circuit_breaker_dropped_total` | counter | calls abandoned in flight |
//! | `db_circuit_breaker_mode_changes_total` | counter | times that a person set a mode, or that a mode ran out |
//! | `db_circuit_breaker_transitions_total` | counter | changes of state, by `from` and `to` |
//! | `db_connection_pool_size` | gauge | connections, by `state`: `open`, `idle`, `inuse` |
//! | `db_connection_pool_max` | gauge | connections at most |
//! | `db_connection_pool_waiting` | gauge | callers that wait for a connection |
//! | `db_connection_pool_longest_lease_seconds` | gauge | the longest that somebody holds one now |
//! | `db_connection_pool_wait_seconds` | histogram | wait for a connection |
//! | `db_connection_pool_hold_seconds` | histogram | time a connection was held |
//! | `db_connection_pool_timeouts_total` | counter | callers that gave up waiting |
//! | `db_connection_pool_leaks_total` | counter | connections held longer than the leak threshold |
//! | `db_connection_pool_opened_total` | counter | connections opened |
//! | `db_connection_pool_closed_total` | counter | connections closed, by `reason` |
//! | `db_connection_pool_resets_total` | counter | dirty sessions cleaned |
//! | `db_query_seconds` | histogram | time a statement took |
//! | `db_query_failures_total` | counter | failed calls, by `class` (see [`Class::label`](super::classify::Class::label)) |
//! | `db_retries_total` | counter | calls that were tried again |
//! | `db_retry_budget` | gauge | retries that may be spent now |
//! | `db_retries_refused_total` | counter | retries for which no budget was left |

use prometheus::{
    Encoder as _, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{
    breaker::{State, Stats},
    guarded::Database,
    pool::Pool,
    retry::Budget,
};

/// The classic text format of everything that these databases count: the body of a `/metrics` answer,
/// or of a file for node_exporter's textfile collector. Names must differ.
pub fn text(databases: &[Database]) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    for database in databases {
        register(database, &registry)?;
    }
    let mut body = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Adds a database to an application's own registry.
pub fn register(database: &Database, registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Exporter::new(database.clone())?))
}

/// A database as a collector.
struct Exporter {
    database: Database,
    descs: Vec<Desc>,
}

impl Exporter {
    fn new(database: Database) -> Result<Self, prometheus::Error> {
        let mut descs: Vec<Desc> = database.pool().record().desc().into_iter().cloned().collect();
        // The registry wants to know who is who; the first of our own families stands for all.
        let label = [("database".to_owned(), database.name().to_string())];
        descs.push(Desc::new(STATE.into(), STATE_HELP.into(), Vec::new(), label.into())?);
        Ok(Self { database, descs })
    }
}

impl Collector for Exporter {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut page = Page { database: self.database.name().to_string(), families: Vec::new() };
        page.breaker(&self.database.breaker().stats());
        page.pool(self.database.pool());
        page.budget(self.database.budget());
        page.families.extend(self.database.pool().record().collect());
        page.families
    }
}

const STATE: &str = "db_circuit_breaker_state";
const STATE_HELP: &str = "State of the circuit breaker: 0 closed, 1 open, 2 half-open.";

/// Families in the making.
struct Page {
    database: String,
    families: Vec<MetricFamily>,
}

impl Page {
    fn breaker(&mut self, stats: &Stats) {
        self.gauge(STATE, STATE_HELP, [stats.state.gauge()]);
        let help = "Mode of the circuit breaker: 0 auto, 1 disabled, 2 forced open.";
        self.gauge("db_circuit_breaker_mode", help, [stats.mode.gauge()]);
        let since = stats.since_wall.as_millisecond() as f64 / 1e3;
        let help = "Unix time of the last change of state.";
        self.gauge("db_circuit_breaker_state_since_seconds", help, [since]);
        let help = "Time until an open breaker lets a probe through.";
        let retry = stats.retry_in.map(|wait| wait.as_secs_f64());
        self.gauge("db_circuit_breaker_retry_in_seconds", help, retry);
        let help = "Share of failed calls in the window, 0 to 1.";
        self.gauge("db_circuit_breaker_failure_rate", help, stats.failure_rate);
        let help = "Share of slow calls in the window, 0 to 1.";
        self.gauge("db_circuit_breaker_slow_rate", help, stats.slow_rate);
        let calls = stats.window.calls as f64;
        self.gauge("db_circuit_breaker_calls", "Calls in the window.", [calls]);
        let probes = stats.probes.map(|(good, wanted)| {
            [
                self.sample(&[("result", "good")], f64::from(good), false),
                self.sample(&[("result", "wanted")], f64::from(wanted), false),
            ]
        });
        let help = "Probes of a half-open breaker.";
        self.family(
            "db_circuit_breaker_probes",
            help,
            MetricType::GAUGE,
            probes.into_iter().flatten(),
        );
        self.counter("db_circuit_breaker_rejected_total", "Calls refused.", stats.rejected);
        let help = "Calls abandoned in flight.";
        self.counter("db_circuit_breaker_dropped_total", help, stats.dropped);
        let help = "Times that a mode was set by a person, or ran out.";
        self.counter("db_circuit_breaker_mode_changes_total", help, stats.mode_changes);
        self.transitions(stats);
    }

    fn transitions(&mut self, stats: &Stats) {
        let mut samples = Vec::new();
        for from in State::ALL {
            for to in State::ALL {
                if from != to {
                    let labels = [("from", from.label()), ("to", to.label())];
                    let count = stats.transitions[from as usize][to as usize];
                    samples.push(self.sample(&labels, count as f64, true));
                }
            }
        }
        let name = "db_circuit_breaker_transitions_total";
        self.family(name, "Changes of state.", MetricType::COUNTER, samples);
    }

    fn pool(&mut self, pool: &Pool) {
        let status = pool.status();
        let sizes = [("open", status.open), ("idle", status.idle), ("inuse", status.in_use)]
            .map(|(state, count)| self.sample(&[("state", state)], count as f64, false));
        let name = "db_connection_pool_size";
        self.family(name, "Connections of the pool.", MetricType::GAUGE, sizes);
        self.gauge("db_connection_pool_max", "Connections at most.", [status.max as f64]);
        let help = "Callers that wait for a connection.";
        self.gauge("db_connection_pool_waiting", help, [status.waiting as f64]);
        let help = "The longest that somebody holds a connection now.";
        let longest = status.longest_lease.as_secs_f64();
        self.gauge("db_connection_pool_longest_lease_seconds", help, [longest]);
    }

    fn budget(&mut self, budget: &Budget) {
        let help = "Retries that may be spent now.";
        self.gauge("db_retry_budget", help, [budget.left() as f64]);
        let help = "Retries for which no budget was left.";
        self.counter("db_retries_refused_total", help, budget.refused());
    }

    /// A gauge; without a value it is left out, because unknown is not 0.
    fn gauge<V: Into<f64>>(&mut self, name: &str, help: &str, value: impl IntoIterator<Item = V>) {
        let samples: Vec<_> =
            value.into_iter().map(|value| self.sample(&[], value.into(), false)).collect();
        self.family(name, help, MetricType::GAUGE, samples);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let sample = self.sample(&[], value as f64, true);
        self.family(name, help, MetricType::COUNTER, [sample]);
    }

    fn sample(&self, labels: &[(&str, &str)], value: f64, counts: bool) -> Metric {
        let pairs =
            [("database", self.database.as_str())].into_iter().chain(labels.iter().copied());
        let pairs = pairs.map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        let mut metric = Metric::default();
        metric.set_label(pairs.collect());
        if counts {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Metric>,
    ) {
        let samples: Vec<_> = samples.into_iter().collect();
        if samples.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(samples);
        self.families.push(family);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{clock::Clock, text::Text},
        resilience::{
            breaker::Mode,
            conninfo::{Environment, Settings},
            guarded::Options,
        },
    };

    fn database(name: &str, clock: &Clock) -> Database {
        let target = Settings::parse("host=/nowhere user=me dbname=app", &Environment::default())
            .expect("settings");
        let options = Options { name: Text::foreign(name), ..Options::default() };
        Database::with_clock(target, options, clock.clone()).expect("a database")
    }

    fn value(text: &str, sample: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
    }

    #[tokio::test]
    async fn the_names_are_kept() {
        let clock = Clock::test();
        let (app, jobs) = (database("app", &clock), database("jobs", &clock));
        for _ in 0..5 {
            app.breaker().try_acquire().expect("a permit").failure();
        }
        assert!(app.breaker().try_acquire().is_err());
        jobs.breaker().set_mode(Mode::Disabled, "mia", "drill", None);
        let text = text(&[app, jobs]).expect("text");
        for (sample, wanted) in [
            ("db_circuit_breaker_state{database=\"app\"}", 1.0),
            ("db_circuit_breaker_state{database=\"jobs\"}", 0.0),
            ("db_circuit_breaker_mode{database=\"jobs\"}", 1.0),
            ("db_circuit_breaker_mode_changes_total{database=\"jobs\"}", 1.0),
            ("db_circuit_breaker_state_since_seconds{database=\"app\"}", 1_767_225_600.0),
            ("db_circuit_breaker_calls{database=\"app\"}", 5.0),
            ("db_circuit_breaker_rejected_total{database=\"app\"}", 1.0),
            (
                "db_circuit_breaker_transitions_total{database=\"app\",from=\"closed\",to=\"open\"}",
                1.0,
            ),
            ("db_connection_pool_size{database=\"app\",state=\"open\"}", 0.0),
            ("db_connection_pool_size{database=\"app\",state=\"idle\"}", 0.0),
            ("db_connection_pool_size{database=\"app\",state=\"inuse\"}", 0.0),
            ("db_connection_pool_max{database=\"app\"}", 10.0),
            ("db_connection_pool_waiting{database=\"app\"}", 0.0),
            ("db_connection_pool_timeouts_total{database=\"app\"}", 0.0),
            ("db_connection_pool_wait_seconds_count{database=\"app\"}", 0.0),
            ("db_retry_budget{database=\"app\"}", 100.0),
        ] {
            assert_eq!(value(&text, sample), Some(wanted), "{sample} in\n{text}");
        }
        let retry = value(&text, "db_circuit_breaker_retry_in_seconds{database=\"app\"}");
        assert!(retry.is_some_and(|wait| wait > 0.0 && wait <= 0.2), "{retry:?}");
        // Five calls are too few for a rate, and unknown is not 0.
        assert!(!text.contains("db_circuit_breaker_failure_rate"), "{text}");
        for header in ["# TYPE db_circuit_breaker_state gauge", "# TYPE db_query_seconds histogram"]
        {
            assert_eq!(text.matches(header).count(), 1, "{header}");
        }
    }
}
