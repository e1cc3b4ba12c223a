use std::{sync::LazyLock, time::Duration};

use super::*;
use crate::watch::snapshot::{
    BackupState, Disk, KeptBackup, LinkState, PoolKind, Problem, SourceKind, Wait, WaitMeaning,
};

static LINK: LazyLock<Link> = LazyLock::new(Link::default);
static RECOVERABILITY: LazyLock<Recoverability> = LazyLock::new(Recoverability::default);
static NO_REPOSITORY: Known<Repository> = Known::Unknown(Text::ours("none"));

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

/// Nothing is known, at second 0.
fn nothing() -> Facts<'static> {
    Facts {
        now: Stamp::default(),
        began: Stamp::default(),
        link: &LINK,
        server: None,
        pools: &[],
        breakers: &[],
        sources: &[],
        folders: &[],
        kept: &NO_REPOSITORY,
        engines: &[],
        recoverability: &RECOVERABILITY,
        wall: Timestamp::UNIX_EPOCH,
    }
}

fn values(find: Find, facts: &Facts<'_>) -> Vec<Option<f64>> {
    find(facts).into_iter().map(|f| f.value).collect()
}

#[test]
fn an_exhausted_pool_needs_callers_that_wait() {
    let sources = [source(0)];
    let look = |pools: &[Pool], now: u64| {
        let facts = Facts { now: Stamp::from_nanos(now), pools, sources: &sources, ..nothing() };
        (values(connections::pool_exhausted, &facts), values(connections::pool_wait, &facts))
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
    let server = Server {
        max_connections: 100,
        reserved: 3,
        idle: Known::Blind("grant pg_monitor".into()),
        ..Server::default()
    };
    let sources = [Source { name: SERVER.into(), ..source(0) }];
    let facts = Facts { server: Some(&server), sources: &sources, ..nothing() };
    assert_eq!(values(connections::idle_share, &facts), [None]);
    let seen = Server { idle: Known::Is(97), ..server.clone() };
    assert_eq!(
        values(connections::idle_share, &Facts { server: Some(&seen), ..facts }),
        [Some(100.0)]
    );
    let later = Facts { server: Some(&seen), now: Stamp::from_nanos(60_000_000_000), ..facts };
    assert_eq!(values(connections::idle_share, &later), [None], "old figures");
    let unknown = Facts { server: None, ..facts };
    assert_eq!(
        (values(connections::idle_share, &unknown), values(connections::ping_latency, &later)),
        (vec![None], vec![None])
    );
}

#[test]
fn a_source_that_never_answered_is_silent_since_it_is_watched() {
    let problem = Problem { what: "refused".into(), remedy: Text::default() };
    let sources = [Source { last_good: None, problem: Some(problem), ..source(0) }];
    let facts = Facts {
        now: Stamp::from_nanos(60_000_000_000),
        began: Stamp::from_nanos(40_000_000_000),
        sources: &sources,
        ..nothing()
    };
    assert_eq!(values(connections::source_silent, &facts), [Some(20.0)]);
}

#[test]
fn a_server_that_never_answered_counts_from_the_first_attempt() {
    let link = Link { state: LinkState::Connecting, ..Link::default() };
    let facts = Facts { now: Stamp::from_nanos(3_000_000_000), link: &link, ..nothing() };
    assert_eq!(values(connections::server_unreachable, &facts), [Some(3.0)]);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn backup(began: i64, state: BackupState) -> KeptBackup {
    KeptBackup {
        id: "b".into(),
        method: "physical".into(),
        began: at(began),
        duration: None,
        size: None,
        verified: None,
        state,
    }
}

/// At second 100,000, with nothing known but the backups.
fn of_backups(kept: &Known<Repository>) -> Facts<'_> {
    Facts { kept, wall: at(100_000), ..nothing() }
}

#[test]
fn what_another_engine_keeps_counts() {
    let whole = || BackupState::Complete { level: None, wrong: None };
    let broke = || BackupState::Failed { why: "disk full".into(), cancelled: false };
    let values_of = |told: Known<EngineHistory>| {
        let engines = &[("pgBackRest main".into(), told)];
        let facts = Facts { engines, ..of_backups(&NO_REPOSITORY) };
        [recovery::backup_failed, recovery::backup_missing, recovery::backup_age]
            .map(|find| values(find, &facts))
    };
    let keeps = |backups, complaints: &[&str]| {
        let complaints = complaints.iter().map(|words| Text::from(*words)).collect();
        Known::Is(EngineHistory { name: "pgBackRest main".into(), backups, complaints })
    };
    let one = |failed, missing, age: Option<f64>| {
        let age: Vec<_> = age.into_iter().map(Some).collect();
        [vec![Some(failed)], vec![Some(missing)], age]
    };
    let sound = vec![backup(95_000, BackupState::Unfinished), backup(90_000, whole())];
    assert_eq!(values_of(keeps(sound.clone(), &[])), one(0.0, 0.0, Some(10_000.0)));
    assert_eq!(values_of(keeps(sound, &["no stanza"])), one(1.0, 0.0, Some(10_000.0)));
    let failed_since = vec![backup(95_000, broke()), backup(90_000, whole())];
    assert_eq!(values_of(keeps(failed_since, &[])), one(1.0, 0.0, Some(10_000.0)));
    assert_eq!(values_of(keeps(Vec::new(), &[])), one(0.0, 1.0, None));
    assert_eq!(values_of(Known::Unknown("not asked yet".into())), [vec![], vec![], vec![]]);
}

#[test]
fn an_old_a_failed_and_an_unproven_backup_are_found() {
    use crate::watch::snapshot::Pitr;
    let complete = |level| BackupState::Complete { level, wrong: None };
    let failed = |cancelled| BackupState::Failed { why: "disk full".into(), cancelled };
    let values_of = |backups: Vec<KeptBackup>, gaps: u32| {
        let unknown = || Text::ours("nothing");
        let kept = Known::Is(Repository {
            location: "/repo".into(),
            backups,
            wal: Known::Unknown(unknown()),
            rto: Known::Unknown(unknown()),
            pitr: Known::Unknown(unknown()),
            timeline: Known::Unknown(unknown()),
            proofs: Vec::new(),
            expiry: Known::Unknown(unknown()),
        });
        let recoverability = Recoverability {
            pitr: Known::Is(Pitr { from: at(0), to: at(1), gaps }),
            ..Recoverability::default()
        };
        let facts = Facts { recoverability: &recoverability, ..of_backups(&kept) };
        [
            recovery::backup_failed,
            recovery::backup_missing,
            recovery::backup_age,
            recovery::backup_unproven,
            recovery::pitr_gap,
        ]
        .map(|find| values(find, &facts))
    };
    let sound = vec![backup(90_000, complete(Some(5))), backup(10, failed(false))];
    assert_eq!(
        values_of(sound, 0),
        [
            vec![Some(0.0)],
            vec![Some(0.0)],
            vec![Some(10_000.0)],
            vec![Some(10_000.0)],
            vec![Some(0.0)]
        ]
    );
    let failed_since = vec![backup(95_000, failed(false)), backup(50_000, complete(Some(3)))];
    assert_eq!(
        values_of(failed_since, 2),
        [
            vec![Some(1.0)],
            vec![Some(0.0)],
            vec![Some(50_000.0)],
            vec![Some(50_000.0)],
            vec![Some(2.0)]
        ]
    );
    let none = values_of(vec![backup(95_000, failed(true))], 0);
    assert_eq!(none[..4], [vec![Some(0.0)], vec![Some(1.0)], vec![], vec![]]);
}

#[test]
fn a_disk_is_told_once_by_its_first_folder_and_what_hangs_is_blind() {
    let disk = |device, used_percent, full_in| {
        Known::Is(Disk { device, size: 100 << 30, free: 9 << 30, used_percent, full_in })
    };
    let folder =
        |name: &str, disk| Folder { name: name.into(), path: format!("/{name}").into(), disk };
    let folders = [
        folder("data", disk(1, 91.0, Some(std::time::Duration::from_mins(190)))),
        folder("pg_wal", disk(1, 91.0, None)),
        folder("repository", Known::Unknown("no answer for 2s".into())),
        folder("state", disk(2, 12.0, None)),
    ];
    let disks = Source {
        name: Text::ours(DISKS),
        kind: SourceKind::Disks,
        last_good: Some(Stamp::default()),
        ..source(0)
    };
    let sources = [disks];
    let facts = Facts { folders: &folders, sources: &sources, ..of_backups(&NO_REPOSITORY) };
    let told = |found: Vec<Finding>| -> Vec<(String, Option<f64>, String)> {
        found.iter().map(|f| (f.subject.to_string(), f.value, f.detail.to_string())).collect()
    };
    let free = "9.0 GB free of 100 GB at";
    let data = format!("{free} /data, full in 3h10m; also pg_wal");
    assert_eq!(
        told(disks::disk_used(&facts)),
        [
            ("data".to_owned(), Some(91.0), data.clone()),
            ("state".to_owned(), Some(12.0), format!("{free} /state")),
            ("repository".to_owned(), None, "no answer for 2s".to_owned()),
        ]
    );
    assert_eq!(told(disks::disk_full(&facts)), [("data".to_owned(), Some(11_400.0), data)]);
}
