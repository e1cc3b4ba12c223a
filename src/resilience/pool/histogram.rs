//! A histogram of times that costs two atomics an observation.
//!
//! The library's own takes five, on cache lines that all threads share, so that a scrape sees count, sum and
//! buckets of one instant. Three times in each call that is dearer than the breaker. Here the count is the
//! sum of the buckets, so that those two always agree; the sum of times may lack those of the calls that end
//! during a scrape, which the next one makes up for.
//!
//! What happens in one is counted once: a call that found a session ready, ran one statement and gave the
//! session back held it as long as the statement took, and waited for nothing. Its time stands in
//! [`Times`] of its own, of which several histograms tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::{
    Opts,
    core::{Collector, Desc, Describer as _},
    proto::{self, Bucket, Metric, MetricFamily, MetricType},
};

use crate::resilience::seat::{SEATS, seat};

/// Upper bounds: from a round trip over a socket to a long outage.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(10),
];

/// How many times were how long.
#[derive(Debug)]
pub struct Histogram {
    desc: Desc,
    own: Times,
    /// Counted for several.
    common: Arc<Times>,
    /// Of the common ones each counts as no time at all.
    as_nothing: bool,
}

/// Times, counted by length.
#[derive(Debug, Default)]
pub(super) struct Times([Set; SEATS]);

/// What some of the threads counted.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    /// Times up to each bound, and beyond the last one.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Times {
    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        let nanos = took.as_nanos() as u64;
        let place = BOUNDS.iter().position(|bound| nanos <= bound.as_nanos() as u64);
        let set = &self.0[seat()];
        if let Some(count) = set.counts.get(place.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Relaxed);
        }
        if nanos > 0 {
            set.nanos.fetch_add(nanos, Relaxed);
        }
    }

    fn at(&self, place: usize) -> u64 {
        let counts = self.0.iter().filter_map(|set| set.counts.get(place));
        counts.map(|count| count.load(Relaxed)).sum()
    }

    fn count(&self) -> u64 {
        (0..=BOUNDS.len()).map(|place| self.at(place)).sum()
    }

    fn nanos(&self) -> u64 {
        self.0.iter().map(|set| set.nanos.load(Relaxed)).sum()
    }
}

impl Histogram {
    /// One that tells of the common times, too.
    pub(super) fn new(opts: &Opts, common: &Arc<Times>) -> Result<Self, prometheus::Error> {
        let common = Arc::clone(common);
        Ok(Self { desc: opts.describe()?, own: Times::default(), common, as_nothing: false })
    }

    /// One that tells of each of the common times as of none.
    pub(super) fn of_nothing(opts: &Opts, common: &Arc<Times>) -> Result<Self, prometheus::Error> {
        Ok(Self { as_nothing: true, ..Self::new(opts, common)? })
    }

    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        self.own.observe(took);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.own.count() + self.common.count()
    }

    fn at(&self, place: usize) -> u64 {
        let common = match (self.as_nothing, place) {
            (false, place) => self.common.at(place),
            (true, 0) => self.common.count(),
            (true, _) => 0,
        };
        self.own.at(place) + common
    }

    fn told(&self) -> proto::Histogram {
        let mut sum = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (place, bound) in BOUNDS.iter().enumerate() {
            sum += self.at(place);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(sum);
            buckets.push(bucket);
        }
        let common = if self.as_nothing { 0 } else { self.common.nanos() };
        let nanos = self.own.nanos() + common;
        let mut told = proto::Histogram::default();
        told.set_bucket(buckets);
        told.set_sample_count(sum + self.at(BOUNDS.len()));
        told.set_sample_sum(Duration::from_nanos(nanos).as_secs_f64());
        told
    }
}

impl Collector for Histogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metric = Metric::from_label(self.desc.const_label_pairs.clone());
        metric.set_histogram(self.told());
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, TextEncoder};

    use super::*;

    /// The library's histogram is the oracle: the same times make the same text.
    #[test]
    fn the_text_is_that_of_the_librarys_own() {
        let opts = Opts::new("db_query_seconds", "Time a statement took.");
        let opts = opts.const_label("database", "shop \"1\"");
        let common = Arc::default();
        let ours = Histogram::new(&opts, &common).expect("made");
        let buckets = BOUNDS.map(|bound| bound.as_secs_f64()).to_vec();
        let theirs = HistogramOpts { common_opts: opts, buckets };
        let theirs = prometheus::Histogram::with_opts(theirs).expect("made");
        let text =
            |of: &dyn Collector| TextEncoder::new().encode_to_string(&of.collect()).expect("text");
        assert_eq!(text(&ours), text(&theirs));
        let mut times: Vec<Duration> = BOUNDS.to_vec();
        times.extend(BOUNDS.map(|bound| bound + Duration::from_nanos(1_024)));
        times.extend([Duration::ZERO, Duration::from_hours(1)]);
        for (n, took) in times.iter().enumerate() {
            let to = if n % 2 == 0 { &ours.own } else { &*common };
            to.observe(*took);
            theirs.observe(took.as_secs_f64());
        }
        assert_eq!(ours.count(), times.len() as u64);
        let lines = |text: String| -> Vec<String> {
            text.lines().filter(|line| !line.contains("_sum")).map(str::to_owned).collect()
        };
        let (ours, theirs) = (text(&ours), text(&theirs));
        assert_eq!(lines(ours.clone()), lines(theirs.clone()));
        // Theirs adds up floats, ours nanoseconds.
        let sum = |text: String| -> f64 {
            let line = text.lines().find(|line| line.contains("_sum")).expect("a sum").to_owned();
            line.rsplit(' ').next().and_then(|sum| sum.parse().ok()).expect("a number")
        };
        assert!((sum(ours) - sum(theirs)).abs() < 1e-9);
    }

    #[test]
    fn what_was_there_at_once_counts_as_a_wait_for_nothing() {
        let common: Arc<Times> = Arc::default();
        let opts = Opts::new("db_connection_pool_wait_seconds", "Wait for a connection.");
        let wait = Histogram::of_nothing(&opts, &common).expect("made");
        wait.observe(Duration::from_millis(3));
        common.observe(Duration::from_secs(1));
        common.observe(Duration::from_micros(70));
        let told = wait.told();
        assert_eq!((wait.count(), told.get_sample_count()), (3, 3));
        assert_eq!(told.get_bucket()[0].cumulative_count(), 2);
        assert!((told.get_sample_sum() - 0.003).abs() < 1e-9, "{}", told.get_sample_sum());
    }
}
