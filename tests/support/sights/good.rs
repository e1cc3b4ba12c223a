//! A good day.

use std::time::Duration;

use howdah::watch::snapshot::{
    ArchiveMode, Archiver, Backup, BreakerState, Cost, Environment, Identity, JobState, Known,
    Link, LinkState, Pitr, Pool, PoolKind, Recoverability, Role, Rpo, Rto, RunningBackup, Server,
    Snapshot, SourceKind, Target,
};

use super::{
    NOW,
    kept::{job, repository},
    parts::{ago, breaker, checks, pool, secs, source, text, wait, wall_ago},
    wall,
};

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
            clock: None,
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
        folders: Vec::new(),
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
