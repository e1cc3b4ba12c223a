//! What sights are made of: sources, pools, breakers, checks.

use std::time::Duration;

use howdah::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
    },
    watch::snapshot::{
        Breaker, BreakerState, Check, CheckState, Finding, Pool, PoolKind, Source, SourceKind,
        Wait, WaitMeaning,
    },
};

use super::{NOW, wall};

pub(super) fn ago(secs: u64) -> Stamp {
    NOW.minus(Duration::from_secs(secs))
}

pub(super) fn wall_ago(secs: i64) -> Timestamp {
    Timestamp::from_second(wall().as_second() - secs).expect("a moment")
}

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn text(words: &str) -> Text {
    Text::foreign(words)
}

pub(super) fn trend(last: f32) -> Vec<f32> {
    (0..48_u8)
        .map(|i| (last * 0.7 + f32::from(i % 7) * 0.03 + f32::from(i) / 48.0 * last * 0.2).min(1.0))
        .chain([last])
        .collect()
}

pub(super) fn source(name: &str, kind: SourceKind, address: &str) -> Source {
    Source {
        name: text(name),
        kind,
        address: text(address),
        period: secs(1),
        last_good: Some(NOW.minus(Duration::from_millis(400))),
        problem: None,
        latency: Some(Duration::from_millis(3)),
        unreadable: 0,
    }
}

pub(super) fn pool(name: &str, source: &str, kind: PoolKind, used: u64, max: u64) -> Pool {
    Pool {
        name: text(name),
        source: text(source),
        kind,
        in_use: Some(used),
        idle: Some((max - used).min(6)),
        max: Some(max),
        waiting: Some(0),
        wait: None,
        timeouts: Some(0),
        note: None,
        trend: trend(used as f32 / max as f32),
    }
}

pub(super) fn wait(millis: u64) -> Wait {
    Wait { value: Duration::from_millis(millis), meaning: WaitMeaning::P99Recent }
}

pub(super) fn breaker(name: &str, source: &str, state: BreakerState) -> Breaker {
    Breaker {
        name: text(name),
        source: text(source),
        state,
        since: Some(ago(3_542_400 % 90_000)),
        since_exact: false,
        failure_rate: Some(0.002),
        slow_rate: Some(0.0),
        calls: Some(1204),
        next_try: None,
        probes: None,
        rejected: Some(0),
    }
}

pub(super) fn check(
    id: &str,
    class: &str,
    state: CheckState,
    value: f64,
    unit: &str,
    limits: (&str, &str),
) -> Check {
    Check {
        id: text(id),
        class: text(class),
        state,
        findings: vec![Finding {
            subject: text(""),
            value: Some(value),
            detail: text(""),
            severity: None,
        }],
        unit: text(unit),
        warn: text(limits.0),
        crit: text(limits.1),
        remedy: text(""),
        ran: Some(ago(4)),
        error: None,
    }
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("connections_used_pct", "connections", CheckState::Ok, 6.1, "%", ("> 75", "> 90")),
        check("idle_in_transaction", "connections", CheckState::Ok, 0.0, "s", ("> 300", "> 900")),
        check("long_transaction", "connections", CheckState::Ok, 2.4, "s", ("> 600", "> 3600")),
        check("ping_latency", "availability", CheckState::Ok, 0.3, "ms", ("> 50", "> 500")),
        check("pool_wait", "pools", CheckState::Ok, 2.0, "ms", ("> 100", "")),
        check("pool_exhausted", "pools", CheckState::Ok, 0.0, "pools", ("", "> 0")),
        check("breaker_open", "breakers", CheckState::Ok, 0.0, "s", ("", "> 60")),
        check("archiver_failing", "wal", CheckState::Ok, 0.0, "s", ("", "> 0")),
        check("archive_backlog", "wal", CheckState::Ok, 0.0, "segments", ("> 10", "> 100")),
        check(
            "replica_lag_bytes",
            "replication",
            CheckState::Ok,
            1024.0,
            "bytes",
            ("> 52428800", "> 1073741824"),
        ),
        check("blocked_sessions", "locks", CheckState::Ok, 0.0, "sessions", ("> 5", "> 20")),
        check("root_blockers", "locks", CheckState::Ok, 0.0, "sessions", ("> 3", "> 20")),
    ]
}
