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

/// A derived check: what it is, and how it finds its subjects and their values.
pub struct Derived {
    /// Its specification, from `assets/checks/derived.txt`.
    pub spec: Spec,
    /// Finds the subjects and their values; nothing is judged yet.
    pub find: fn(&Facts<'_>) -> Vec<Finding>,
}

/// The id of the check that fires when the server does not answer; it mutes the checks that depend
/// on the server.
pub const SERVER_UNREACHABLE: &str = "server_unreachable";

/// Every derived check.
pub fn all() -> Result<Vec<Derived>, ParseError> {
    let specs = parse::derived(include_str!("../../../assets/checks/derived.txt"))?;
    specs.into_iter().map(|spec| Ok(Derived { find: finder(&spec)?, spec })).collect()
}

fn finder(spec: &Spec) -> Result<fn(&Facts<'_>) -> Vec<Finding>, ParseError> {
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
    let Some(latency) = facts.link.latency else { return Vec::new() };
    vec![finding("probe", latency.as_secs_f64() * 1e3, "round trip of our own probe")]
}

fn fresh(facts: &Facts<'_>, source: &Text) -> bool {
    facts
        .sources
        .iter()
        .find(|s| s.name == *source)
        .is_some_and(|s| s.freshness(facts.now) == Freshness::Fresh)
}

fn pool_exhausted(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .pools
        .iter()
        .filter(|pool| pool.kind != PoolKind::Own && fresh(facts, &pool.source))
        .filter_map(|pool| {
            let (used, max) = (pool.in_use?, pool.max?);
            let waiting = if used >= max { pool.waiting? } else { 0 };
            Some(finding(&pool.name, waiting as f64, &format!("{used} of {max} in use")))
        })
        .collect()
}

fn pool_wait(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .pools
        .iter()
        .filter(|pool| fresh(facts, &pool.source))
        .filter_map(|pool| {
            let wait = pool.wait?.value;
            Some(finding(
                &pool.name,
                wait.as_secs_f64() * 1e3,
                &format!("wait {}", units::span(wait)),
            ))
        })
        .collect()
}

fn idle_share(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(server) = facts.server else { return Vec::new() };
    let usable = server.usable();
    if usable == 0 {
        return Vec::new();
    }
    // What our role may not see is blind, not zero.
    let value = server.idle.value().map(|idle| 100.0 * f64::from(*idle) / f64::from(usable));
    let detail = server.idle.value().map_or_else(
        || "sessions of other roles cannot be seen".to_owned(),
        |idle| format!("{idle} idle of {usable} usable slots"),
    );
    vec![Finding {
        subject: Text::ours("connections"),
        value,
        detail: Text::foreign(&detail),
        severity: None,
    }]
}

fn breaker_open(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .breakers
        .iter()
        .filter(|breaker| fresh(facts, &breaker.source))
        .map(|breaker| {
            let open = matches!(breaker.state, BreakerState::Open | BreakerState::ForcedOpen);
            let seconds = match breaker.since {
                Some(since) if open => facts.now.since(since).as_secs_f64(),
                _ => 0.0,
            };
            finding(&breaker.name, seconds, breaker.state.word())
        })
        .collect()
}

fn source_silent(facts: &Facts<'_>) -> Vec<Finding> {
    facts
        .sources
        .iter()
        .filter(|source| source.kind != SourceKind::Server)
        .map(|source| {
            let silent = facts.now.since(source.last_good.unwrap_or(facts.began)).as_secs_f64();
            let value = if source.problem.is_some() { silent } else { 0.0 };
            let detail = source.problem.as_ref().map_or_else(String::new, |p| p.what.to_string());
            finding(&source.name, value, &detail)
        })
        .collect()
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

    fn values(find: fn(&Facts<'_>) -> Vec<Finding>, facts: &Facts<'_>) -> Vec<Option<f64>> {
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
        assert_eq!(look(&[pool(5, 3)], 60_000_000_000), (vec![], vec![]));
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
        let facts = Facts {
            now: Stamp::default(),
            began: Stamp::default(),
            link: &link,
            server: Some(&server),
            pools: &[],
            breakers: &[],
            sources: &[],
        };
        assert_eq!(values(idle_share, &facts), [None]);
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
