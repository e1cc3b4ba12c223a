//! Judged of connections: the link to the server, pools, breakers, and sources that fall silent.

use super::{Facts, SERVER, as_seen, finding};
use crate::{
    base::{text::Text, units},
    watch::snapshot::{BreakerState, Finding, LinkState, Pool, PoolKind, SourceKind},
};

pub(super) fn server_unreachable(facts: &Facts<'_>) -> Vec<Finding> {
    let link = facts.link;
    let silent = facts.now.since(link.last_answer.unwrap_or(link.since)).as_secs_f64();
    let value = match link.state {
        LinkState::Live => 0.0,
        LinkState::Connecting | LinkState::Hung | LinkState::Down | LinkState::Refused => silent,
    };
    let detail = link.problem.as_ref().map_or_else(String::new, |p| p.what.to_string());
    vec![finding("server", value, &detail)]
}

pub(super) fn ping_latency(facts: &Facts<'_>) -> Vec<Finding> {
    let latency = facts.link.latency.unwrap_or_default().as_secs_f64() * 1e3;
    let found = finding("probe", latency, "round trip of our own probe");
    vec![as_seen(facts, &Text::ours(SERVER), found)]
}

/// A pause outlives whoever sent it, and nobody is refused: without this it looks like a slow database.
pub(super) fn pgbouncer_paused(facts: &Facts<'_>) -> Vec<Finding> {
    let mut bases: Vec<(&str, &Pool)> = facts
        .pools
        .iter()
        .filter(|pool| pool.is_paused())
        .map(|pool| (pool.database(), pool))
        .collect();
    // One pause is one alert, however many roles have a pool of that database.
    bases.dedup_by_key(|(base, _)| *base);
    let found = bases.into_iter().map(|(base, pool)| {
        as_seen(facts, &pool.source, finding(base, 1.0, "PAUSE: its clients wait"))
    });
    found.collect()
}

pub(super) fn pool_exhausted(facts: &Facts<'_>) -> Vec<Finding> {
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

pub(super) fn pool_wait(facts: &Facts<'_>) -> Vec<Finding> {
    let found = facts.pools.iter().filter_map(|pool| {
        let wait = pool.wait?.value;
        let detail = format!("wait {}", units::span(wait));
        let found = finding(&pool.name, wait.as_secs_f64() * 1e3, &detail);
        Some(as_seen(facts, &pool.source, found))
    });
    found.collect()
}

pub(super) fn idle_share(facts: &Facts<'_>) -> Vec<Finding> {
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

pub(super) fn breaker_open(facts: &Facts<'_>) -> Vec<Finding> {
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

pub(super) fn source_silent(facts: &Facts<'_>) -> Vec<Finding> {
    let found =
        facts.sources.iter().filter(|source| source.kind != SourceKind::Server).map(|source| {
            let silent = facts.now.since(source.last_good.unwrap_or(facts.began)).as_secs_f64();
            let value = if source.problem.is_some() { silent } else { 0.0 };
            let detail = source.problem.as_ref().map_or_else(String::new, |p| p.what.to_string());
            finding(&source.name, value, &detail)
        });
    found.collect()
}
