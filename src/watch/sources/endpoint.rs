//! The watch on one metrics endpoint.

use std::{sync::Arc, time::Duration};

use super::{
    Reading,
    address::Endpoint,
    exposition_text::{Exposition, parse_wanted},
    interpret::{Interpretation, Memory, Now, interpret},
    pace::{Line, Look, keep_asking},
    scrape::{Scraped, Scraper},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        text::Text,
    },
    watch::snapshot::{Problem, Source, SourceKind},
};

/// Answers beyond that size are read on a thread of their own, so that nothing else waits for it.
const LARGE: usize = 256 * 1024;

/// Asks an endpoint every period and sends what it tells. A failed attempt sends the source with its
/// problem and no pools or breakers: the last ones stay known, and grow old.
pub async fn run(endpoint: Endpoint, clock: Clock, line: Line) {
    let period = endpoint.period;
    keep_asking(Watch::new(endpoint, clock), period, line).await;
}

struct Watch {
    endpoint: Arc<Endpoint>,
    scraper: Scraper,
    clock: Clock,
    memory: Arc<Memory>,
    asked: Stamp,
    last_good: Option<Stamp>,
}

impl Look for Watch {
    async fn look(&mut self) -> Reading {
        self.asked = self.clock.now();
        match self.scraper.scrape().await {
            Err(error) => {
                let problem = error.problem(&self.endpoint);
                Reading::failed(self.source(Some(problem), None, 0))
            }
            Ok(scraped) => self.take(scraped).await,
        }
    }
}

impl Watch {
    fn new(endpoint: Endpoint, clock: Clock) -> Self {
        let endpoint = Arc::new(endpoint);
        Self {
            scraper: Scraper::new(Arc::clone(&endpoint)),
            endpoint,
            clock,
            memory: Arc::default(),
            asked: Stamp::default(),
            last_good: None,
        }
    }

    async fn take(&mut self, scraped: Scraped) -> Reading {
        let now = Now { stamp: self.clock.now(), wall: self.clock.wall() };
        let latency = now.stamp.since(self.asked);
        let memory = Arc::clone(&self.memory);
        let large = scraped.body.len() > LARGE;
        let endpoint = Arc::clone(&self.endpoint);
        let read = move || read(&endpoint, &memory, &scraped, now);
        let read = if large {
            match tokio::task::spawn_blocking(read).await {
                Ok(read) => read,
                Err(_) => return self.lost(),
            }
        } else {
            read()
        };
        if read.samples == 0 {
            return Reading::failed(self.source(read.problem, Some(latency), read.unreadable));
        }
        let Interpretation { pools, breakers, memory, .. } = read.interpretation;
        self.memory = Arc::new(memory);
        self.last_good = Some(now.stamp);
        let source = self.source(read.problem, Some(latency), read.unreadable);
        Reading { pools, breakers, ..Reading::answered(source) }
    }

    /// The answer could not be looked at, because the runtime is shutting down.
    fn lost(&self) -> Reading {
        let problem =
            Problem { what: Text::ours("its answer could not be read"), remedy: Text::default() };
        Reading::failed(self.source(Some(problem), None, 0))
    }

    fn source(
        &self,
        problem: Option<Problem>,
        latency: Option<Duration>,
        unreadable: u32,
    ) -> Source {
        Source {
            name: self.endpoint.name.clone(),
            kind: SourceKind::Metrics,
            address: self.endpoint.shown(),
            period: self.endpoint.period,
            last_good: self.last_good,
            problem,
            latency,
            unreadable,
        }
    }
}

struct Read {
    interpretation: Interpretation,
    problem: Option<Problem>,
    samples: u64,
    unreadable: u32,
}

fn read(endpoint: &Endpoint, memory: &Memory, scraped: &Scraped, now: Now) -> Read {
    let exposition = parse_wanted(&scraped.body, |name| endpoint.profiles.want(name));
    let told = interpret(&endpoint.name, memory, &exposition, &endpoint.profiles, now);
    let problem = doubt(endpoint, scraped, &exposition, &told);
    let (samples, unreadable) = (exposition.seen, exposition.unreadable_count);
    Read { interpretation: told, problem, samples, unreadable }
}

/// What is wrong with an answer that came.
fn doubt(
    endpoint: &Endpoint,
    scraped: &Scraped,
    exposition: &Exposition<'_>,
    told: &Interpretation,
) -> Option<Problem> {
    let place = endpoint.shown();
    let (what, remedy) = if exposition.seen == 0 {
        let first = exposition.unreadable.first();
        let first =
            first.map(|line| format!("; line {}: {} ({})", line.line, line.excerpt, line.reason));
        let what = format!("{place}: answers, but not with metrics{}", first.unwrap_or_default());
        (what, "Check the URL: it must serve the Prometheus text format.")
    } else if told.pools.is_empty() && told.breakers.is_empty() {
        let what = format!(
            "{place}: none of its {} samples tells of a pool or a breaker that a profile knows",
            exposition.seen
        );
        (what, "Write a profile for its metrics in the configuration.")
    } else if told.left_out > 0 {
        let what =
            format!("{place}: too many pools and breakers; {} samples left out", told.left_out);
        (what, "Point to an endpoint of one application.")
    } else if scraped.open_metrics && !exposition.ended {
        let what = format!("{place}: the answer was cut: `# EOF` is missing");
        (what, "Look at the application's log and at proxies in between.")
    } else {
        return None;
    };
    Some(Problem { what: Text::from(what), remedy: Text::ours(remedy) })
}
