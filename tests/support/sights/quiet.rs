//! A day on which somebody holds something for a while: alerts are silenced, a database of PgBouncer is paused.

use howdah::watch::snapshot::{
    Alert, CheckState, Finding, JobState, Known, Lease, Pool, PoolKind, Severity, Silence, Snapshot,
};

use super::{
    bad::alert,
    good::healthy,
    kept::job,
    parts::{pool, secs, text, wall_ago},
    wall,
};

fn silence(alert: Alert, minutes: u64, why: &str) -> Alert {
    let silenced = Some(Silence {
        id: text("3fa9c1"),
        check: alert.check.clone(),
        subject: Some(alert.subject.clone()),
        up_to: alert.severity,
        since: wall_ago(180),
        until: wall() + secs(minutes * 60 + 40),
        by: text("ann (postgres, ssh 203.0.113.7)"),
        why: text(why),
    });
    Alert { silenced, ..alert }
}

/// Two alerts are silenced, none fires beside them; one database of PgBouncer waits for its RESUME.
pub fn quiet() -> Snapshot {
    let mut s = healthy();
    s.alerts = vec![
        silence(
            alert(
                "pool_exhausted",
                "worker",
                Severity::Critical,
                3.0,
                "callers waiting",
                "> 0",
                610,
            ),
            27,
            "the nightly import, until four",
        ),
        silence(
            alert("disk_used_pct", "repository", Severity::Warning, 88.4, "%", "> 85", 7_320),
            462,
            "a larger disk comes in the morning",
        ),
    ];
    s.checks[5].state = CheckState::Critical;
    s.checks[5].findings[0] = Finding {
        subject: text("worker"),
        value: Some(3.0),
        detail: text("10 of 10 in use"),
        severity: Some(Severity::Critical),
    };
    s.pools[5] = Pool {
        waiting: Some(12),
        note: Some(text("paused")),
        ..pool("shop/app", "pgbouncer", PoolKind::PgBouncer, 0, 100)
    };
    let mut hold = job("20261123-091019-hq", "pgbouncer.hold", 228, JobState::Running);
    hold.lease = Some(Lease {
        target: text("prod-eu"),
        database: text("shop"),
        until: wall() + secs(252),
        why: Some(text("switch to db2")),
    });
    if let Known::Is(jobs) = &mut s.jobs {
        jobs.insert(0, hold);
    }
    s
}
