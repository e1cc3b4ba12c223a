//! A bad day, and one with more of everything than fits.

use std::time::Duration;

use howdah::watch::snapshot::{
    Alert, AlertState, BackupState, Breaker, BreakerState, CheckState, Finding, KeptBackup, Known,
    Pool, PoolKind, Problem, Rpo, Severity, Snapshot, Source, SourceKind, Wait, WaitMeaning,
};

use super::{
    NOW,
    good::healthy,
    kept::kept,
    parts::{ago, breaker, pool, secs, source, text, wait, wall_ago},
};

pub(super) fn alert(
    check: &str,
    subject: &str,
    severity: Severity,
    value: f64,
    unit: &str,
    limit: &str,
    since: u64,
) -> Alert {
    Alert {
        id: text(&format!("prod-eu/{check}/{subject}")),
        check: text(check),
        subject: text(subject),
        severity,
        state: AlertState::Firing,
        value: Some(value),
        unit: text(unit),
        threshold: text(limit),
        since: ago(since),
        since_wall: wall_ago(since as i64),
        detail: text(""),
        remedy: text(""),
        muted: Vec::new(),
        silenced: None,
    }
}

/// A bad night: a pool is exhausted, a breaker is open, another half-open, one held open by a person, the
/// archiver fails, a standby lags, a source is stale and another never answered.
pub fn degraded() -> Snapshot {
    let mut s = healthy();
    s.pools[3] = Pool {
        waiting: Some(17),
        wait: Some(wait(1900)),
        timeouts: Some(212),
        ..pool("api-2", "api-2", PoolKind::Application, 20, 20)
    };
    s.pools[5].waiting = Some(3);
    s.pools[5].wait =
        Some(Wait { value: Duration::from_millis(380), meaning: WaitMeaning::LongestNow });
    s.breakers[2] = Breaker {
        state: BreakerState::HalfOpen,
        since: Some(ago(6)),
        since_exact: true,
        failure_rate: Some(0.31),
        probes: Some((2, 3)),
        rejected: Some(804),
        ..s.breakers[2].clone()
    };
    s.breakers[3] = Breaker {
        state: BreakerState::Open,
        since: Some(ago(72)),
        since_exact: true,
        failure_rate: Some(0.74),
        next_try: Some(NOW.plus(secs(18))),
        rejected: Some(5021),
        ..s.breakers[3].clone()
    };
    s.breakers.push(Breaker {
        failure_rate: None,
        calls: None,
        rejected: Some(11),
        ..breaker("reports", "api-1", BreakerState::ForcedOpen)
    });
    s.alerts = vec![
        Alert {
            detail: text("17 callers wait, the longest for 1.9s; 212 gave up since the start"),
            remedy: text(
                "See what holds the connections: sessions of 'api-2' that are idle in transaction or slow. \
                 Ending one frees one; a larger pool moves the queue to the server.",
            ),
            muted: vec![text("pool_wait/api-2"), text("breaker_open/worker")],
            ..alert("pool_exhausted", "api-2", Severity::Critical, 17.0, "waiting", "> 0", 130)
        },
        Alert {
            detail: text("archive_command failed with exit code 1: No space left on device"),
            remedy: text("Free the archive's disk; the server tries again by itself every minute."),
            ..alert("archiver_failing", "archiver", Severity::Critical, 660.0, "s", "> 0", 660)
        },
        alert(
            "replica_lag_bytes",
            "rep-2",
            Severity::Warning,
            71_303_168.0,
            "bytes",
            "> 52428800",
            305,
        ),
        Alert {
            state: AlertState::Pending,
            ..alert(
                "idle_in_transaction",
                "app@shop pid 9120",
                Severity::Warning,
                312.0,
                "s",
                "> 300",
                12,
            )
        },
    ];
    s.checks[5].state = CheckState::Critical;
    s.checks[5].findings[0] = Finding {
        subject: text("api-2"),
        value: Some(1.0),
        detail: text("20 of 20 in use, 17 wait"),
        severity: Some(Severity::Critical),
    };
    s.checks[7].state = CheckState::Critical;
    s.checks[7].findings[0].value = Some(660.0);
    s.checks[9].state = CheckState::Warning;
    s.checks[9].findings[0] = Finding {
        subject: text("rep-2"),
        value: Some(71_303_168.0),
        detail: text("streaming, replays behind"),
        severity: Some(Severity::Warning),
    };
    s.checks[1].state = CheckState::Pending;
    s.recoverability.rpo = Known::Is(Rpo {
        loss: secs(1330),
        source: text("WAL archive"),
        at_most: true,
        ways: vec![
            (text("WAL archive"), Known::Is(secs(1330))),
            (
                text("standby rep-2"),
                Known::Unknown(text("it lags; its last commit time is not told")),
            ),
        ],
    });
    if let Known::Is(repository) = &mut s.backup.repository {
        let why = text("pg_dump: server closed the connection");
        let failed = BackupState::Failed { why, cancelled: false };
        let failed = kept("20261123T080000Z-logical", 4_447, 12, 0, failed);
        repository.backups.insert(0, KeptBackup { size: None, ..failed });
        let wrong = Some(text("shop.dump.zst is cut off"));
        repository.backups[2].state = BackupState::Complete { level: Some(1), wrong };
    }
    if let Known::Is(archiver) = &mut s.backup.archiver {
        archiver.failing = true;
        archiver.failed = 14;
        archiver.last_at = Some(wall_ago(1330));
        archiver.last_failed_at = Some(wall_ago(21));
        archiver.last_failed_wal = Some(text("000000030000000A0000002D"));
        archiver.ready = Known::Is((83, Some(wall_ago(1290))));
    }
    s.backup.running.clear();
    s.sources[1].last_good = Some(ago(12));
    s.sources[1].problem = Some(Problem {
        what: text("no answer within 1s"),
        remedy: text("Check that the application runs and that its port is open from here."),
    });
    s.sources[2].unreadable = 2;
    s.sources.push(Source {
        last_good: None,
        latency: None,
        problem: Some(Problem {
            what: text("connection refused at 10.0.3.30:9100"),
            remedy: text("Check its address in the configuration."),
        }),
        ..source("billing", SourceKind::Metrics, "http://10.0.3.30:9100/metrics")
    });
    s
}

/// More of everything than fits.
pub fn crowded() -> Snapshot {
    let mut s = degraded();
    for n in 0..40 {
        let name = format!("service-{n:02}");
        s.pools.push(pool(&name, "worker", PoolKind::Application, n % 19, 20));
        s.breakers.push(breaker(&name, "worker", BreakerState::Closed));
        s.alerts.push(alert("pool_wait", &name, Severity::Warning, 140.0, "ms", "> 100", 40 + n));
    }
    s
}
