//! Checks that ask nobody: they judge what the sources said.
//!
//! The classes of alert are those of the deployment checklist: critical are a breaker open for more
//! than a minute, a failed health check and an exhausted pool; warnings are high connection wait,
//! elevated ping latency and a high share of idle connections.

use super::{ParseError, Spec, parse};
use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    watch::snapshot::{
        BackupState, Breaker, BreakerState, Disk, EngineHistory, Finding, Folder, Freshness, Known,
        Link, LinkState, Pool, PoolKind, Recoverability, Repository, Server, Source, SourceKind,
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
    /// Folders of this machine that must not run out of room.
    pub folders: &'a [Folder],
    /// What the backup repository holds.
    pub kept: &'a Known<Repository>,
    /// What other backup engines keep, each by its name.
    pub engines: &'a [(Text, Known<EngineHistory>)],
    /// What could be brought back.
    pub recoverability: &'a Recoverability,
    /// The moment of judging, for people.
    pub wall: Timestamp,
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

/// The name of this machine's disks among the sources.
pub const DISKS: &str = "disks";

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
        "pgbouncer_paused" => pgbouncer_paused,
        "idle_share" => idle_share,
        "breaker_open" => breaker_open,
        "source_silent" => source_silent,
        "backup_failed" => backup_failed,
        "backup_missing" => backup_missing,
        "backup_age" => backup_age,
        "backup_unproven" => backup_unproven,
        "rpo_missed" => rpo_missed,
        "rto_missed" => rto_missed,
        "pitr_gap" => pitr_gap,
        "disk_used_pct" => disk_used,
        "disk_full_in" => disk_full,
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

/// A pause outlives whoever sent it, and nobody is refused: without this it looks like a slow database.
fn pgbouncer_paused(facts: &Facts<'_>) -> Vec<Finding> {
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

/// Seconds from then until the moment of judging.
fn seconds_since(facts: &Facts<'_>, then: Timestamp) -> f64 {
    facts.wall.duration_since(then).as_secs_f64().max(0.0)
}

/// What the engines keep that have answered.
fn engines<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a EngineHistory> {
    facts.engines.iter().filter_map(|(_, told)| told.value())
}

fn backup_failed(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().and_then(Repository::last_attempt);
    let own = own.map(|last| {
        let failure = last.failure();
        finding(&last.id, f64::from(u8::from(failure.is_some())), failure.map_or("", Text::as_str))
    });
    let theirs = engines(facts).map(|engine| {
        let last = engine.backups.iter().find(|backup| backup.state != BackupState::Unfinished);
        let failed = last.and_then(|last| Some(format!("{}: {}", last.id, last.failure()?)));
        let wrong = engine.complaints.first().map(ToString::to_string).or(failed);
        finding(&engine.name, f64::from(u8::from(wrong.is_some())), &wrong.unwrap_or_default())
    });
    own.into_iter().chain(theirs).collect()
}

/// Every place in which nothing is, when nothing is in any.
fn backup_missing(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().map(|kept| (&kept.location, kept.newest()));
    let places: Vec<_> = own
        .into_iter()
        .chain(engines(facts).map(|engine| (&engine.name, engine.newest())))
        .collect();
    let missing = places.iter().all(|(_, newest)| newest.is_none());
    let detail = if missing { "it holds no backup of this target" } else { "" };
    let found = |(place, _): (&Text, _)| finding(place, f64::from(u8::from(missing)), detail);
    places.into_iter().map(found).collect()
}

fn backup_age(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().and_then(Repository::newest);
    let all = own.into_iter().chain(engines(facts).filter_map(EngineHistory::newest));
    let newest = all.max_by_key(|backup| backup.began).into_iter();
    newest.map(|newest| finding(&newest.id, seconds_since(facts, newest.began), "")).collect()
}

fn backup_unproven(facts: &Facts<'_>) -> Vec<Finding> {
    let Known::Is(kept) = facts.kept else { return Vec::new() };
    // Restored and started: below that it is a promise.
    let proven = |state: &BackupState| matches!(state, BackupState::Complete { level: Some(level), wrong: None } if *level >= 4);
    let whole = |state: &BackupState| matches!(state, BackupState::Complete { .. });
    let newest = kept.backups.iter().find(|backup| proven(&backup.state));
    let oldest = kept.backups.iter().rfind(|backup| whole(&backup.state));
    let found = match (newest, oldest) {
        (Some(newest), _) => finding(&newest.id, seconds_since(facts, newest.began), "restored"),
        (None, Some(oldest)) => {
            finding(&oldest.id, seconds_since(facts, oldest.began), "none was ever restored")
        }
        (None, None) => return Vec::new(),
    };
    vec![found]
}

fn rpo_missed(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.recoverability;
    let share = all
        .rpo
        .value()
        .filter(|_| !all.rpo_target.is_zero())
        .map(|rpo| 100.0 * rpo.loss.as_secs_f64() / all.rpo_target.as_secs_f64());
    let detail = match &all.rpo {
        Known::Is(rpo) => format!("{} of {}", units::clock(rpo.loss), units::clock(all.rpo_target)),
        Known::Unknown(why) | Known::Blind(why) => why.to_string(),
    };
    vec![Finding { value: share, ..finding("RPO", 0.0, &detail) }]
}

fn rto_missed(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.recoverability;
    let Known::Is(rto) = &all.rto else { return Vec::new() };
    if all.rto_target.is_zero() {
        return Vec::new();
    }
    let share = 100.0 * rto.expected.as_secs_f64() / all.rto_target.as_secs_f64();
    let detail = format!("{} of {}", units::clock(rto.expected), units::clock(all.rto_target));
    vec![finding("RTO", share, &detail)]
}

fn pitr_gap(facts: &Facts<'_>) -> Vec<Finding> {
    let Known::Is(pitr) = &facts.recoverability.pitr else { return Vec::new() };
    vec![finding("WAL in the repository", f64::from(pitr.gaps), "")]
}

/// The disks that could be measured, each by the first of the folders on it, with the others.
fn disks<'a>(facts: &Facts<'a>) -> Vec<(&'a Folder, Disk, Vec<&'a str>)> {
    let mut all: Vec<(&Folder, Disk, Vec<&str>)> = Vec::new();
    for folder in facts.folders {
        let Known::Is(disk) = folder.disk else { continue };
        match all.iter_mut().find(|(_, known, _)| known.device == disk.device) {
            Some((_, _, others)) => others.push(folder.name.as_str()),
            None => all.push((folder, disk, Vec::new())),
        }
    }
    all
}

/// What there is to know of a disk, in a line.
fn disk_detail(folder: &Folder, disk: &Disk, others: &[&str]) -> String {
    let (free, size) = (units::bytes(disk.free), units::bytes(disk.size));
    let end = disk.full_in.map(|left| format!(", full in {}", units::span(left)));
    let others =
        if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
    format!("{free} free of {size} at {}{}{others}", folder.path, end.unwrap_or_default())
}

fn disk_used(facts: &Facts<'_>) -> Vec<Finding> {
    let seen = disks(facts).into_iter().map(|(folder, disk, others)| {
        finding(&folder.name, disk.used_percent, &disk_detail(folder, &disk, &others))
    });
    let unseen = facts.folders.iter().filter_map(|folder| {
        let why = folder.disk.reason()?;
        Some(Finding { value: None, ..finding(&folder.name, 0.0, why) })
    });
    let source = Text::ours(DISKS);
    seen.chain(unseen).map(|found| as_seen(facts, &source, found)).collect()
}

/// Those that fill: of one that does not there is no end to be told.
fn disk_full(facts: &Facts<'_>) -> Vec<Finding> {
    let found = disks(facts).into_iter().filter_map(|(folder, disk, others)| {
        let left = disk.full_in?.as_secs_f64();
        Some(finding(&folder.name, left, &disk_detail(folder, &disk, &others)))
    });
    let source = Text::ours(DISKS);
    found.map(|found| as_seen(facts, &source, found)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::snapshot::{KeptBackup, Known, Problem, Wait, WaitMeaning};

    const NO_REPOSITORY: Known<Repository> = Known::Unknown(Text::ours("none"));

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
                folders: &[],
                kept: &NO_REPOSITORY,
                engines: &[],
                recoverability: &Recoverability::default(),
                wall: Timestamp::UNIX_EPOCH,
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
            folders: &[],
            kept: &NO_REPOSITORY,
            engines: &[],
            recoverability: &Recoverability::default(),
            wall: Timestamp::UNIX_EPOCH,
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
            folders: &[],
            kept: &NO_REPOSITORY,
            engines: &[],
            recoverability: &Recoverability::default(),
            wall: Timestamp::UNIX_EPOCH,
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
            folders: &[],
            kept: &NO_REPOSITORY,
            engines: &[],
            recoverability: &Recoverability::default(),
            wall: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(values(server_unreachable, &facts), [Some(3.0)]);
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
    fn of_backups<'a>(
        link: &'a Link,
        kept: &'a Known<Repository>,
        recoverability: &'a Recoverability,
    ) -> Facts<'a> {
        Facts {
            now: Stamp::default(),
            began: Stamp::default(),
            link,
            server: None,
            pools: &[],
            breakers: &[],
            sources: &[],
            folders: &[],
            kept,
            engines: &[],
            recoverability,
            wall: at(100_000),
        }
    }

    #[test]
    fn what_another_engine_keeps_counts() {
        let whole = || BackupState::Complete { level: None, wrong: None };
        let broke = || BackupState::Failed { why: "disk full".into(), cancelled: false };
        let values_of = |told: Known<EngineHistory>| {
            let (link, recoverability) = (Link::default(), Recoverability::default());
            let none = NO_REPOSITORY;
            let engines = &[("pgBackRest main".into(), told)];
            let facts = Facts { engines, ..of_backups(&link, &none, &recoverability) };
            [backup_failed, backup_missing, backup_age].map(|find| values(find, &facts))
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
            let link = Link::default();
            let facts = of_backups(&link, &kept, &recoverability);
            [backup_failed, backup_missing, backup_age, backup_unproven, pitr_gap]
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
        let (link, recoverability, none) =
            (Link::default(), Recoverability::default(), NO_REPOSITORY);
        let disks = Source {
            name: Text::ours(DISKS),
            kind: SourceKind::Disks,
            last_good: Some(Stamp::default()),
            ..source(0)
        };
        let sources = [disks];
        let facts = Facts {
            folders: &folders,
            sources: &sources,
            ..of_backups(&link, &none, &recoverability)
        };
        let told = |found: Vec<Finding>| -> Vec<(String, Option<f64>, String)> {
            found.iter().map(|f| (f.subject.to_string(), f.value, f.detail.to_string())).collect()
        };
        let free = "9.0 GB free of 100 GB at";
        let data = format!("{free} /data, full in 3h10m; also pg_wal");
        assert_eq!(
            told(disk_used(&facts)),
            [
                ("data".to_owned(), Some(91.0), data.clone()),
                ("state".to_owned(), Some(12.0), format!("{free} /state")),
                ("repository".to_owned(), None, "no answer for 2s".to_owned()),
            ]
        );
        assert_eq!(told(disk_full(&facts)), [("data".to_owned(), Some(11_400.0), data)]);
    }
}
