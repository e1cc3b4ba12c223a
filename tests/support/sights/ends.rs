//! Days on which little is known: before the first answer, without a server, without rights.

use howdah::watch::snapshot::{
    ArchiveMode, Archiver, BreakerState, Check, CheckState, Environment, Known, Link, LinkState,
    PoolKind, Problem, Recoverability, Snapshot, Source,
};

use super::{
    NOW,
    good::healthy,
    parts::{ago, secs, text},
    wall,
};

/// The first second: the target is known, nothing has answered.
pub fn loading() -> Snapshot {
    let full = healthy();
    let unasked = |mut source: Source| {
        source.last_good = None;
        source.latency = None;
        source
    };
    Snapshot {
        at: NOW,
        wall: wall(),
        target: full.target,
        link: Link { since: ago(2), attempt: 1, ..Link::default() },
        recoverability: Recoverability {
            rpo_target: secs(900),
            rto_target: secs(3600),
            ..Recoverability::default()
        },
        checks: full
            .checks
            .into_iter()
            .map(|check| Check {
                state: CheckState::Pending,
                findings: Vec::new(),
                ran: None,
                ..check
            })
            .collect(),
        sources: full.sources.into_iter().map(unasked).collect(),
        ..Snapshot::default()
    }
}

/// The server has said who it is, and nothing else yet: the first data.
pub fn met() -> Snapshot {
    let (full, mut s) = (healthy(), loading());
    let untold = || text("the server was not asked yet");
    s.link = Link { state: LinkState::Live, since: NOW, last_answer: Some(NOW), ..Link::default() };
    s.identity = full.identity;
    s.server = Known::Unknown(untold());
    s.recoverability.rpo = Known::Unknown(untold());
    s.backup.archiver = Known::Unknown(untold());
    s.sources[0].last_good = Some(NOW);
    s.pools = full.pools.into_iter().filter(|pool| pool.kind == PoolKind::Own).collect();
    s.breakers = full.breakers.into_iter().take(1).collect();
    s
}

/// Our own engine has not told anything for 7 seconds, although nothing seems to be wrong.
pub fn stale() -> Snapshot {
    let mut s = healthy();
    s.link.last_answer = Some(ago(7));
    s.sources[0].last_good = Some(ago(7));
    s
}

/// The server is gone since 8 seconds; the applications still tell of themselves.
pub fn down() -> Snapshot {
    let mut s = healthy();
    s.link = Link {
        state: LinkState::Down,
        since: ago(8),
        last_answer: Some(ago(9)),
        latency: None,
        attempt: 5,
        next_try: Some(NOW.plus(secs(1))),
        problem: Some(Problem {
            what: text("connection refused at db1.eu.example:5432: nothing listens there"),
            remedy: text(
                "Check that the server runs: systemctl status postgresql, or pg_lsclusters.",
            ),
        }),
    };
    s.sources[0].last_good = Some(ago(9));
    for breaker in &mut s.breakers[1..3] {
        breaker.state = BreakerState::Open;
        breaker.since = Some(ago(6));
        breaker.since_exact = true;
        breaker.next_try = Some(NOW.plus(secs(4)));
    }
    s
}

/// The server took the connection and does not answer any more.
pub fn hung() -> Snapshot {
    let mut s = healthy();
    s.link.state = LinkState::Hung;
    s.link.since = ago(11);
    s.link.last_answer = Some(ago(12));
    s.link.problem = Some(Problem {
        what: text("connected, but the last probe had no answer within 1s"),
        remedy: text("See whether its processes are stopped or its disk stands still."),
    });
    s.sources[0].last_good = Some(ago(12));
    s
}

/// The server will not let us in.
pub fn refused() -> Snapshot {
    let mut s = loading();
    s.link = Link {
        state: LinkState::Refused,
        since: ago(3),
        attempt: 1,
        problem: Some(Problem {
            what: text("password authentication failed for user \"howdah\""),
            remedy: text(
                "Correct the password in the passfile or PGPASSWORD; trying again will not help.",
            ),
        }),
        ..Link::default()
    };
    s
}

/// A role without `pg_monitor`: half of the facts may not be seen.
pub fn blind() -> Snapshot {
    let mut s = healthy();
    let why = || text("grant pg_monitor to howdah");
    s.server = Known::Blind(why());
    s.recoverability.rpo = Known::Blind(why());
    s.recoverability.rto = Known::Unknown(text("no restore has been measured"));
    s.recoverability.pitr = Known::Unknown(text("no backup repository configured"));
    s.backup.archiver = Known::Blind(why());
    s.backup.repository = Known::Unknown(text("no backup repository configured"));
    s.backup.running.clear();
    for at in [1, 2, 9, 10, 11] {
        s.checks[at].state = CheckState::Blind;
        s.checks[at].findings.clear();
        s.checks[at].error = Some(why());
    }
    s.pools.remove(0);
    s
}

/// A fresh server with nothing around it: no application configured, no archive, no standby.
pub fn empty() -> Snapshot {
    let mut s = healthy();
    s.target.environment = Environment::Unknown;
    s.target.name = text("postgres");
    s.target.address = text("/run/postgresql:5432/postgres as postgres");
    s.sources.truncate(1);
    s.pools.truncate(2);
    s.breakers.clear();
    s.recoverability = Recoverability {
        rpo: Known::Unknown(text("no archive, no standby, no backup")),
        rto: Known::Unknown(text("no restore has been measured")),
        pitr: Known::Unknown(text("no backup repository configured")),
        rpo_target: secs(900),
        rto_target: secs(3600),
    };
    s.backup.repository = Known::Unknown(text("no backup repository configured"));
    s.backup.archiver = Known::Is(Archiver {
        mode: ArchiveMode::Off,
        archived: 0,
        last_wal: None,
        last_at: None,
        finished: None,
        failed: 0,
        last_failed_wal: None,
        last_failed_at: None,
        failing: false,
        ready: Known::Is((0, None)),
    });
    s.backup.running.clear();
    s
}
