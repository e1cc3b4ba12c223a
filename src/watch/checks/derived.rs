//! Checks that ask nobody: they judge what the sources said.
//!
//! The classes of alert are those of the deployment checklist: critical are a breaker open for more
//! than a minute, a failed health check and an exhausted pool; warnings are high connection wait,
//! elevated ping latency and a high share of idle connections.

use super::{ParseError, Spec, parse};
use crate::{
    base::{clock::Stamp, text::Text, units},
    watch::snapshot::{
        Breaker, BreakerState, Finding, Freshness, Link, LinkState, Pool, PoolKind, Server, Source,
        SourceKind,
    },
};

/// What the sources said.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The moment of judging.
    pub now: Stamp,
    /// When watching began, and every source was first asked.
    pub began: Stamp,
    /// Our own connection.
    pub link: &'a Link,
    /// The server's connections, if it told.
    pub server: Option<&'a Server>,
    /// Every pool.
    pub pools: &'a [Pool],
    /// Every breaker.
    pub breakers: &'a [Breaker],
    /// Every source.
    pub sources: &'a [Source],
}

/// How a derived check finds its subjects.
type Find = fn(&Facts<'_>) -> Vec<Finding>;

/// A derived check: what it is, and how it finds its subjects and their values.
pub struct Derived {
    /// Its specification, from `assets/checks/derived.txt`.
    pub spec: Spec,
    /// Finds the subjects and their values; nothing is judged yet. What is not known is found without a
    /// value, because nothing found would mean nothing wrong.
    pub find: Find,
}

/// The id of the check that fires when the server does not answer; it mutes the checks that depend
/// on the server.
pub const SERVER_UNREACHABLE: &str = "server_unreachable";

/// The name of the server among the sources.
pub const SERVER: &str = "server";

/// Every derived check.
pub fn all() -> Result<Vec<Derived>, ParseError> {
    let specs = parse::derived(include_str!("../../../assets/checks/derived.txt"))?;
    specs.into_iter().map(|spec| Ok(Derived { find: finder(&spec)?, spec })).collect()
}

fn finder(spec: &Spec) -> Result<Find, ParseError> {
    Ok(match spec.id.as_str() {
        SERVER_UNREACHABLE => server_unreachable,
        "ping_latency" => ping_latency,
        "pool_exhausted" => pool_exhausted,
        "pool_wait" => pool_wait,
        "idle_share" => idle_share,
        "breaker_open" => breaker_open,
        "source_silent" => source_silent,
        other => {
            let what = "it has neither a query nor a function of its name".to_owned();
            return Err(ParseError { id: other.to_owned(), what });
        }
    })
}

fn finding(subject: &str, value: f64, detail: &str) -> Finding {
    Finding {
        subject: subject.into(),
        value: Some(value),
        detail: Text::foreign(detail),
        severity: None,
    }
}

fn server_unreachable(facts: &Facts<'_>) -> Vec<Finding> {
    let link = facts.link;
    let silent = facts.now.since(link.last_answer.unwrap_or(link.since)).as_secs_f64();
    let value = match link.state {
        LinkState::Live => 0.0,
        LinkState::Connecting | LinkState::Hung | LinkState::Down | LinkState::Refused => silent,
    };
    let detail = link.problem.as_ref().map_or_else(String::new, |p| p.what.to_string());
    vec![finding("server", value, &detail)]
}

fn ping_latency(facts: &Facts<'_>) -> Vec<Finding> {
    let latency = facts.link.latency.unwrap_or_default().as_secs_f64() * 1e3;
    let found = finding("probe", latency, "round trip of our own probe");
    vec![as_seen(facts, &Text::ours(SERVER), found)]
}

/// What a source said, if it is new: old figures, or none, say nothing about now, neither good nor bad.
fn as_seen(facts: &Facts<'_>, source: &Text, found: Finding) -> Finding {
    let source = facts.sources.iter().find(|known| known.name == *source);
    if source.is_some_and(|source| source.freshness(facts.now) == Freshness::Fresh) {
        return found;
    }
    Finding {
        value: None,
        detail: Text::ours("its source is silent: what it told, if anything, is old"),
        ..found
    }
}

fn pool_exhausted(facts: &Facts<'_>) -> Vec<Finding> {
    let pools = facts.pools.iter().filter(|pool| pool.kind != PoolKind::Own);
    let found = pools.filter_map(|pool| {
        // Without a limit there is nothing to exhaust.
        let (used, max) = (pool.in_use?, pool.max?);
        let waiting = if used >= max { pool.waiting.map(|n| n as f64) } else { Some(0.0) };
        let blind = if waiting.is_none() { "; who waits is not told" } else { "" };
        let detail = format!("{used} of {max} in use{blind}");
        let found = Finding { value: waiting, ..finding(&pool.name, 0.0, &detail) };
        Some(as_seen(facts, &pool.source, found))
    });
    found.collect()
}

fn pool_wait(facts: &Facts<'_>) -> Vec<Finding> {
    let found = facts.pools.iter().filter_map(|pool| {
        let wait = pool.wait?.value;
        let detail = format!("wait {}", units::span(wait));
        let found = finding(&pool.name, wait.as_secs_f64() * 1e3, &detail);
        Some(as_seen(facts, &pool.source, found))
    });
    found.collect()
}

fn idle_share(facts: &Facts<'_>) -> Vec<Finding> {
    // What our role may not see, or nobody has told yet, is blind, not zero.
    let seen = facts.server.and_then(|server| Some((server.idle.value()?, server.usable())));
    let value = seen.map(|(idle, usable)| 100.0 * f64::from(*idle) / f64::from(usable.max(1)));
    let detail = seen.map_or_else(
        || "sessions of other roles cannot be seen".to_owned(),
        |(idle, usable)| format!("{idle} idle of {usable} usable slots"),
    );
    let found = Finding { value, ..finding("connections", 0.0, &detail) };
    vec![as_seen(facts, &Text::ours(SERVER), found)]
}

fn breaker_open(facts: &Facts<'_>) -> Vec<Finding> {
    let found = facts.breakers.iter().map(|breaker| {
        let open = matches!(breaker.state, BreakerState::Open | BreakerState::ForcedOpen);
        let seconds = match breaker.since {
            Some(since) if open => facts.now.since(since).as_secs_f64(),
            _ => 0.0,
        };
        let found = finding(&breaker.name, seconds, breaker.state.word());
        // Our own is known whether the server answers or not.
        if *breaker.source == *SERVER { found } else { as_seen(facts, &breaker.source, found) }
    });
    found.collect()
}

fn source_silent(facts: &Facts<'_>) -> Vec<Finding> {
    let found =
        facts.sources.iter().filter(|source| source.kind != SourceKind::Server).map(|source| {
            let silent = facts.now.since(source.last_good.unwrap_or(facts.began)).as_secs_f64();
            let value = if source.problem.is_some() { silent } else { 0.0 };
            let detail = source.problem.as_ref().map_or_else(String::new, |p| p.what.to_string());
            finding(&source.name, value, &detail)
        });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::snapshot::{Known, Problem, Wait, WaitMeaning};

    fn pool(in_use: u64, waiting: u64) -> Pool {
        Pool {
            name: "api".into(),
            source: "app".into(),
            kind: PoolKind::Application,
            in_use: Some(in_use),
            idle: Some(0),
            max: Some(5),
            waiting: Some(waiting),
            wait: Some(Wait { value: Duration::from_millis(900), meaning: WaitMeaning::P99Recent }),
            timeouts: None,
            note: None,
            trend: Vec::new(),
        }
    }

    fn source(last_good: u64) -> Source {
        Source {
            name: "app".into(),
            kind: SourceKind::Metrics,
            address: Text::default(),
            period: Duration::from_secs(2),
            last_good: Some(Stamp::from_nanos(last_good)),
            problem: None,
            latency: None,
            unreadable: 0,
        }
    }

    fn values(find: Find, facts: &Facts<'_>) -> Vec<Option<f64>> {
        find(facts).into_iter().map(|f| f.value).collect()
    }

    #[test]
    fn an_exhausted_pool_needs_callers_that_wait() {
        let link = Link::default();
        let sources = [source(0)];
        let look = |pools: &[Pool], now: u64| {
            let facts = Facts {
                now: Stamp::from_nanos(now),
                began: Stamp::default(),
                link: &link,
                server: None,
                pools,
                breakers: &[],
                sources: &sources,
            };
            (values(pool_exhausted, &facts), values(pool_wait, &facts))
        };
        assert_eq!(look(&[pool(5, 3)], 1), (vec![Some(3.0)], vec![Some(900.0)]));
        assert_eq!(look(&[pool(4, 3)], 1), (vec![Some(0.0)], vec![Some(900.0)]));
        // Old figures say nothing about now.
        assert_eq!(look(&[pool(5, 3)], 60_000_000_000), (vec![None], vec![None]));
        let untold = Pool { waiting: None, ..pool(5, 0) };
        assert_eq!(look(&[untold], 1).0, [None], "full, and who waits is not told");
    }

    #[test]
    fn what_a_weak_role_cannot_see_is_blind_not_zero() {
        let link = Link::default();
        let server = Server {
            max_connections: 100,
            reserved: 3,
            idle: Known::Blind("grant pg_monitor".into()),
            ..Server::default()
        };
        let sources = [Source { name: SERVER.into(), ..source(0) }];
        let facts = Facts {
            now: Stamp::default(),
            began: Stamp::default(),
            link: &link,
            server: Some(&server),
            pools: &[],
            breakers: &[],
            sources: &sources,
        };
        assert_eq!(values(idle_share, &facts), [None]);
        let seen = Server { idle: Known::Is(97), ..server.clone() };
        assert_eq!(values(idle_share, &Facts { server: Some(&seen), ..facts }), [Some(100.0)]);
        let later = Facts { server: Some(&seen), now: Stamp::from_nanos(60_000_000_000), ..facts };
        assert_eq!(values(idle_share, &later), [None], "old figures");
        let unknown = Facts { server: None, ..facts };
        assert_eq!(
            (values(idle_share, &unknown), values(ping_latency, &later)),
            (vec![None], vec![None])
        );
    }

    #[test]
    fn a_source_that_never_answered_is_silent_since_it_is_watched() {
        let link = Link::default();
        let problem = Problem { what: "refused".into(), remedy: Text::default() };
        let sources = [Source { last_good: None, problem: Some(problem), ..source(0) }];
        let facts = Facts {
            now: Stamp::from_nanos(60_000_000_000),
            began: Stamp::from_nanos(40_000_000_000),
            link: &link,
            server: None,
            pools: &[],
            breakers: &[],
            sources: &sources,
        };
        assert_eq!(values(source_silent, &facts), [Some(20.0)]);
    }

    #[test]
    fn a_server_that_never_answered_counts_from_the_first_attempt() {
        let link = Link { state: LinkState::Connecting, ..Link::default() };
        let facts = Facts {
            now: Stamp::from_nanos(3_000_000_000),
            began: Stamp::default(),
            link: &link,
            server: None,
            pools: &[],
            breakers: &[],
            sources: &[],
        };
        assert_eq!(values(server_unreachable, &facts), [Some(3.0)]);
    }
}
