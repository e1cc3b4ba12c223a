//! Snapshots of good and bad days, with values as they really occur. For the tests of the screens and the
//! benchmark of drawing.

use std::time::Duration;

use howdah::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
    },
    watch::snapshot::{
        Alert, AlertState, ArchiveMode, Archiver, Backup, BackupState, BaseBackup, Breaker,
        BreakerState, Check, CheckState, Cost, EngineHistory, Environment, Expiry, Finding,
        Identity, Job, JobState, KeptBackup, KeptProof, KeptWal, Known, Link, LinkState, Pitr,
        Pool, PoolKind, Problem, ProofVerdict, Recoverability, Repository, Role, Rpo, Rto,
        RunningBackup, Server, Severity, Snapshot, Source, SourceKind, Target, Timeline, Wait,
        WaitMeaning, WalPoint,
    },
};

/// Now, in every sight: eleven days after the start of the console.
pub const NOW: Stamp = Stamp::from_nanos(1_000_000_000_000_000);

/// Now, for people.
pub fn wall() -> Timestamp {
    "2026-11-23T09:14:07Z".parse().expect("a moment")
}

fn ago(secs: u64) -> Stamp {
    NOW.minus(Duration::from_secs(secs))
}

fn wall_ago(secs: i64) -> Timestamp {
    Timestamp::from_second(wall().as_second() - secs).expect("a moment")
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn text(words: &str) -> Text {
    Text::foreign(words)
}

fn trend(last: f32) -> Vec<f32> {
    (0..48_u8)
        .map(|i| (last * 0.7 + f32::from(i % 7) * 0.03 + f32::from(i) / 48.0 * last * 0.2).min(1.0))
        .chain([last])
        .collect()
}

fn source(name: &str, kind: SourceKind, address: &str) -> Source {
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

fn pool(name: &str, source: &str, kind: PoolKind, used: u64, max: u64) -> Pool {
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

fn wait(millis: u64) -> Wait {
    Wait { value: Duration::from_millis(millis), meaning: WaitMeaning::P99Recent }
}

fn breaker(name: &str, source: &str, state: BreakerState) -> Breaker {
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

fn check(
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

fn checks() -> Vec<Check> {
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

fn kept(id: &str, ago: i64, took: u64, size: u64, state: BackupState) -> KeptBackup {
    let method = id.rsplit('-').next().unwrap_or_default();
    KeptBackup {
        id: text(id),
        method: text(method),
        began: wall_ago(ago),
        duration: Some(secs(took)),
        size: Some(size),
        verified: matches!(state, BackupState::Complete { level: Some(_), .. })
            .then(|| wall_ago(ago - 3600)),
        state,
    }
}

/// The line of time of two weeks: a base backup each night, and WAL every 50 minutes up to the last commit.
fn line_of_time() -> Timeline {
    let night = |ago: i64| wall_ago(26_047 - 72 + ago * 86_400);
    let position =
        |at: Timestamp| 0xA_0000_0000 + (at.as_second() - night(13).as_second()) as u64 * 4096;
    let bases = (0..14)
        .rev()
        .map(|days| BaseBackup {
            id: text(&format!("202611{:02}T020000Z-physical", 23 - days)),
            from: night(days),
            to: wall_ago(42),
            start: position(night(days)),
            missing: None,
        })
        .collect();
    let wal = (0..400)
        .map(|n| wall_ago(42 + 3000 * (399 - n)))
        .filter(|at| *at >= night(13))
        .map(|at| WalPoint { at, end: position(at) + (16 << 20) })
        .collect();
    Timeline { bases, wal }
}

fn proof(ago: i64, of: &str, verdict: ProofVerdict, rto: u64) -> KeptProof {
    KeptProof {
        name: text(&format!("{ago}.json")),
        backup: text(of),
        at: wall_ago(ago),
        verdict,
        level: Some(5),
        rto: Some(secs(rto)),
        rpo: Some(secs(61)),
        drill: true,
        findings: Vec::new(),
    }
}

/// A job that was started so long ago.
pub fn job(id: &str, what: &str, ago: i64, state: JobState) -> Job {
    Job {
        id: text(id),
        what: text(what),
        command: text("howdah backup run --physical --target prod-eu"),
        who: text("ada@db1"),
        started: wall_ago(ago),
        ended: (!state.runs()).then(|| wall_ago(ago - 74)),
        state,
        progress: None,
        step: Some(text("publish the manifest")),
        last_word: Some(wall_ago(2)),
        left: Vec::new(),
    }
}

fn repository() -> Repository {
    let complete = |level| BackupState::Complete { level, wrong: None };
    Repository {
        location: text("/mnt/backup/howdah"),
        backups: vec![
            kept("20261123T020000Z-physical", 26_047, 72, 4_402_341_478, complete(Some(5))),
            kept("20261122T140000Z-logical", 69_247, 41, 1_102_341_478, complete(Some(2))),
            kept("20261122T020000Z-physical", 112_447, 75, 4_398_341_478, complete(None)),
            KeptBackup {
                size: None,
                ..kept(
                    "20261121T020000Z-physical",
                    198_847,
                    31,
                    0,
                    BackupState::Failed { why: text("no space left on device"), cancelled: false },
                )
            },
        ],
        wal: Known::Is(KeptWal { timeline: 3, end: 0xA_2D00_0000, at: wall_ago(42) }),
        rto: Known::Is(Rto {
            expected: secs(190),
            measured: wall_ago(180_000),
            source: text("a drill: proofs/20261123T020000.000000Z.json"),
        }),
        pitr: Known::Is(Pitr { from: wall_ago(14 * 86_400), to: wall_ago(42), gaps: 0 }),
        timeline: Known::Is(line_of_time()),
        proofs: vec![
            proof(22_000, "20261123T020000Z-physical", ProofVerdict::Proven, 190),
            proof(108_000, "20261122T020000Z-physical", ProofVerdict::TargetMissed, 4_210),
            KeptProof {
                rto: None,
                findings: vec![text(
                    "the server did not come up: could not locate a valid checkpoint record",
                )],
                ..proof(194_000, "20261121T020000Z-physical", ProofVerdict::Failed, 0)
            },
        ],
        expiry: Known::Is(Expiry {
            days: 30,
            at_least: 3,
            going: vec![text("20261020T020000Z-physical"), text("20261021T020000Z-physical")],
            wal: Some(576),
            freed: 18_004_341_478,
            at: wall_ago(30),
        }),
    }
}

/// All is well: a primary with a standby, three applications, PgBouncer, an archive and a measured restore.
pub fn healthy() -> Snapshot {
    Snapshot {
        at: NOW.minus(Duration::from_millis(300)),
        wall: wall(),
        target: Target {
            name: text("prod-eu"),
            environment: Environment::Production,
            address: text("db1.eu.example:5432/shop as howdah"),
            read_only: false,
        },
        link: Link {
            state: LinkState::Live,
            since: ago(86_000),
            last_answer: Some(NOW.minus(Duration::from_millis(400))),
            latency: Some(Duration::from_micros(310)),
            attempt: 0,
            next_try: None,
            problem: None,
        },
        identity: Known::Is(Identity {
            role: Role::Primary,
            version: text("15.18"),
            version_num: 150_018,
            timeline: Some(3),
            system_identifier: 7_443_210_987_654_324_821,
            started: wall_ago(3_542_400),
            user: text("howdah"),
            database: text("shop"),
            read_only: false,
        }),
        server: Known::Is(Server {
            sessions: 12,
            max_connections: 200,
            reserved: 3,
            active: Known::Is(4),
            idle: Known::Is(7),
            idle_in_transaction: Known::Is(1),
            waiting: Known::Is(0),
            tps: Some(842.0),
            applications: Vec::new(),
        }),
        recoverability: Recoverability {
            rpo: Known::Is(Rpo {
                loss: secs(42),
                source: text("WAL archive"),
                at_most: false,
                ways: vec![
                    (text("WAL archive"), Known::Is(secs(42))),
                    (text("standby rep-2"), Known::Is(secs(44))),
                    (
                        text("newest backup"),
                        Known::Unknown(text("no backup repository configured")),
                    ),
                ],
            }),
            rto: Known::Is(Rto {
                expected: secs(190),
                measured: wall_ago(180_000),
                source: text("a drill: proofs/20261123T020000.000000Z.json"),
            }),
            pitr: Known::Is(Pitr { from: wall_ago(14 * 86_400), to: wall_ago(42), gaps: 0 }),
            rpo_target: secs(900),
            rto_target: secs(3600),
        },
        pools: vec![
            pool("server", "server", PoolKind::Server, 12, 197),
            pool("console", "server", PoolKind::Own, 1, 1),
            Pool { wait: Some(wait(2)), ..pool("api-1", "api-1", PoolKind::Application, 14, 20) },
            Pool { wait: Some(wait(3)), ..pool("api-2", "api-2", PoolKind::Application, 11, 20) },
            pool("worker", "worker", PoolKind::Application, 2, 10),
            pool("shop.app", "pgbouncer", PoolKind::PgBouncer, 41, 100),
        ],
        breakers: vec![
            breaker("console", "server", BreakerState::Closed),
            breaker("api-1", "api-1", BreakerState::Closed),
            breaker("api-2", "api-2", BreakerState::Closed),
            breaker("worker", "worker", BreakerState::Closed),
        ],
        checks: checks(),
        alerts: Vec::new(),
        backup: Backup {
            archiver: Known::Is(Archiver {
                mode: ArchiveMode::On,
                archived: 48_211,
                last_wal: Some(text("000000030000000A0000002C")),
                last_at: Some(wall_ago(42)),
                finished: None,
                failed: 3,
                last_failed_wal: Some(text("00000003000000090000001F")),
                last_failed_at: Some(wall_ago(187_200)),
                failing: false,
                ready: Known::Is((0, None)),
            }),
            repository: Known::Is(repository()),
            engines: Vec::new(),
            running: vec![RunningBackup {
                pid: 4711,
                phase: text("streaming database files"),
                done: 1_825_361_100,
                total: Some(4_402_341_478),
            }],
        },
        jobs: Known::Is(vec![
            job("20261123-020000-ka", "backup.run", 26_047, JobState::Done),
            job(
                "20261121-020000-qr",
                "backup.run",
                198_847,
                JobState::Failed(text("no space left on device")),
            ),
        ]),
        sources: vec![
            source("server", SourceKind::Server, "db1.eu.example:5432"),
            source("api-1", SourceKind::Metrics, "http://10.0.3.11:9100/metrics"),
            source("api-2", SourceKind::Metrics, "http://10.0.3.12:9100/metrics"),
            source("worker", SourceKind::Metrics, "http://10.0.3.20:9100/metrics"),
            source("pgbouncer", SourceKind::PgBouncer, "10.0.3.5:6432"),
        ],
        cost: Cost {
            connections: 1,
            statements_per_minute: 52,
            busy_per_minute: Duration::from_millis(31),
        },
    }
}

fn alert(
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

/// Two engines beside our own repository: one at work since a failure, one that cannot be asked.
pub fn engines() -> Snapshot {
    let mut s = healthy();
    let whole = || BackupState::Complete { level: None, wrong: None };
    let backup = |id: &str, kind: &str, ago: i64, state| KeptBackup {
        id: id.into(),
        method: kind.into(),
        began: wall_ago(ago),
        duration: Some(secs(240)),
        size: Some(2_190_433_320),
        verified: None,
        state,
    };
    let why = "archive timed out: WAL segment 00000003000000090000002F was not archived before the 60000ms timeout";
    let failed = BackupState::Failed { why: why.into(), cancelled: false };
    let history = EngineHistory {
        name: "pgBackRest main".into(),
        backups: vec![
            backup("20261122-010001F_20261123-010002I", "incr", 29_700, failed),
            backup("20261122-010001F", "full", 116_100, whole()),
        ],
        complaints: Vec::new(),
    };
    let silent = "'barman' is not installed: install barman-cli";
    s.backup.engines = vec![
        ("pgBackRest main".into(), Known::Is(history)),
        ("Barman db1".into(), Known::Unknown(silent.into())),
    ];
    s
}

/// Every sight with its name.
pub fn all() -> Vec<(&'static str, Snapshot)> {
    vec![
        ("loading", loading()),
        ("met", met()),
        ("healthy", healthy()),
        ("degraded", degraded()),
        ("down", down()),
        ("hung", hung()),
        ("stale", stale()),
        ("refused", refused()),
        ("blind", blind()),
        ("empty", empty()),
        ("engines", engines()),
    ]
}
