//! A real backup job that is killed, and a bucket that refuses, hangs or goes away, at each step: it is told,
//! nothing half looks whole, what was there before stays, and the next run is whole and sweeps.

#![cfg(feature = "s3")]
#![expect(clippy::expect_used, clippy::panic, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{collections::BTreeSet, path::Path, process::Command, sync::Arc, time::Duration};

use crate::support::bucket::{KEYS, Network, Server, bucket, words};
use crate::support::{data, database::target, mischief::Mischief};
use howdah::{
    base::{
        cancel::Cancel,
        clock::Clock,
        process::{self, Signal},
        progress::Silent,
    },
    cluster::{Cluster, Via},
    jobs::{Job, JobId, Jobs, State as JobState},
    recover::{
        Kind, Repository,
        backup::{self, Compressor, Kinds, Request, Wish},
        repository::{
            catalogue::State,
            manifest::{BackupId, Level},
        },
        verify::Verifier,
    },
};

fn requests() -> [(&'static str, Request); 2] {
    let logical = Kinds::Logical { wish: Wish::Database(Some(data::SHOP.into())), counts: true };
    let physical = Kinds::Physical { spread: false, spool: None, compressor: Compressor::Server };
    [logical, physical].map(|kind| {
        let word = if matches!(kind, Kinds::Logical { .. }) { "--database" } else { "--physical" };
        // The lock of a run whose bucket went away stays there, and its process, this very one, is not gone.
        (word, Request { kind, break_lock: true })
    })
}

fn filled() -> Cluster {
    let cluster = support::cluster();
    data::fill(&cluster, false);
    cluster
}

/// The backups that look whole.
fn whole(repository: &Repository) -> BTreeSet<BackupId> {
    let entries = repository.backups().expect("listed");
    entries.iter().filter_map(|entry| entry.manifest()).map(|m| m.id.clone()).collect()
}

/// What looks whole is.
fn verified<'a>(repository: &Repository, ids: impl IntoIterator<Item = &'a BackupId>) {
    for id in ids {
        let verifier = Verifier::default();
        let found = verifier.verify(repository, id, Level::L2, &Silent::default());
        assert_eq!(found.expect("looked").findings, [""; 0], "{id} looks whole and is not");
    }
}

/// After whatever happened: what was whole is, one more run makes one more, and nothing unfinished is left.
fn goes_on(
    cluster: &Cluster,
    repository: &Repository,
    request: &Request,
    before: &BTreeSet<BackupId>,
) {
    let still = whole(repository);
    assert!(still.is_superset(before), "{still:?} {before:?}");
    verified(repository, still.difference(before));
    let settings = target(cluster, Via::Unix);
    // Names tell seconds.
    std::thread::sleep(Duration::from_millis(1100));
    backup::take(request, &settings, repository, &Silent::default()).expect("the next run");
    assert_eq!(whole(repository).len(), still.len() + 1);
    let entries = repository.backups().expect("listed");
    assert!(entries.iter().all(|entry| entry.state != State::Unfinished), "swept: {entries:?}");
}

/// Calls the program with a bucket behind this network.
fn howdah(cluster: &Cluster, home: &Path, repository: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(arguments)
        .args(["--target", &cluster.conninfo(Via::Unix), "--name", "prod"])
        .args(["--repository", repository])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("HOWDAH_PG_BIN", std::env::var_os("HOWDAH_PG_BIN").unwrap_or_default())
        .env("PGPASSWORD", cluster.password().expose())
        .env("AWS_ACCESS_KEY_ID", KEYS.0)
        .env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    command
}

/// Starts a job and kills it in the step with this number, counted from 1; none when it had no such step.
fn killed_in(jobs: &Jobs, mut command: Command, number: u64) -> Option<Job> {
    let output = command.output().expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id: JobId = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a job's name");
    let begun = |job: &Job| job.story.open.len() as u64 + job.story.steps_done;
    loop {
        let job = jobs.get(&id).expect("readable");
        match &job.state {
            JobState::Done => return None,
            JobState::Starting => {}
            JobState::Running if begun(&job) < number => {}
            JobState::Running => {
                let leader = job.card.process.clone().expect("it runs").pid;
                let below = process::descendants(leader);
                process::signal(leader, Signal::KILL);
                assert!(process::wait_gone(&below, Duration::from_secs(15)), "no orphans");
                support::eventually("it is known to be lost", Duration::from_secs(10), || {
                    !matches!(jobs.get(&id).expect("readable").state, JobState::Running)
                });
                return Some(jobs.get(&id).expect("readable"));
            }
            state => panic!("{state:?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The last step of a killed job, which it was in, or behind when the next was not begun yet. What the whole run
/// has left is offered to be put away, unless it had come to its end.
fn recorded_where(job: &Job, made: bool) -> String {
    assert!(matches!(job.state, JobState::Lost { .. }), "{:?}", job.state);
    let step = job.story.last_step.clone().expect("a step").to_string();
    let open: Vec<&str> = job.story.open.iter().map(|open| open.name.as_str()).collect();
    let within = open.first().is_some_and(|newest| *newest == step);
    let word = if within { "in" } else { "behind" };
    assert_eq!(job.story.place(), format!("{word} the step '{step}'"), "{:?}", job.story);
    let whole = open.last().is_some_and(|first| first.starts_with("the whole backup"));
    assert!(whole || made, "the run is open: {:?}", job.story);
    assert_eq!(job.left_behind().is_empty(), open.is_empty(), "{:?}", job.story);
    step
}

#[test]
fn a_job_killed_at_each_step_is_recorded_with_it_and_the_next_run_sweeps() {
    let cluster = filled();
    let killed = |(word, request): (&str, Request)| {
        let home = tempfile::tempdir().expect("a folder");
        let jobs = Jobs::at(&home.path().join(".local/state/howdah/jobs"), &Clock::system());
        let server = Server::start();
        let network = Network::before(&server);
        let place = words(network.address);
        let repository = Repository::new(Arc::new(bucket(&place, KEYS)), "prod").expect("a name");
        goes_on(&cluster, &repository, &request, &BTreeSet::new());
        let mut steps = Vec::new();
        for number in 1.. {
            let before = whole(&repository);
            let what: &[&str] = match word {
                "--database" => &["backup", "run", "--detach", "--database", data::SHOP],
                _ => &["backup", "run", "--detach", "--physical"],
            };
            // Every answer of the bucket takes its time, so that each step lasts.
            network.hold_back(Duration::from_millis(30));
            let job = killed_in(&jobs, howdah(&cluster, home.path(), &place, what), number);
            network.heal();
            let Some(job) = job else { break };
            steps.push(recorded_where(&job, whole(&repository).len() > before.len()));
            goes_on(&cluster, &repository, &request, &before);
        }
        verified(&repository, &whole(&repository));
        steps
    };
    let steps = at_once(requests(), killed).concat();
    let kinds: BTreeSet<&String> = steps.iter().collect();
    println!("killed in {} steps: {kinds:?}", steps.len());
    assert!(steps.len() >= 5 && kinds.len() >= 5, "{steps:?}");
}

/// Does all of them at the same time: most of it is waiting.
fn at_once<T: Send, R: Send>(
    all: impl IntoIterator<Item = T>,
    does: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    std::thread::scope(|scope| {
        let does = &does;
        let begun: Vec<_> = all.into_iter().map(|one| scope.spawn(move || does(one))).collect();
        begun.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// What a bucket's network does from one step on.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Nobody answers any more.
    Refuses,
    /// The connection breaks after so many bytes.
    Breaks(i64),
    /// Every answer comes later than anybody waits.
    Hangs,
    /// Every answer takes a while: no trouble at all.
    Slow,
}

#[test]
fn a_bucket_that_fails_at_each_step_is_told_and_leaves_nothing_that_looks_whole() {
    let fails = |((word, request), trouble): ((&str, Request), Trouble)| {
        // A server takes one base backup at a time.
        let cluster = filled();
        let settings = target(&cluster, Via::Unix);
        let server = Server::start();
        let network = Arc::new(Network::before(&server));
        // Looked at on a way of its own: what a connection held back is still on it.
        let open = |place: &str| Repository::new(Arc::new(bucket(place, KEYS)), "prod");
        let repository = open(&words(server.address)).expect("a name");
        // A short patience: what hangs is given up after it, and after as long again for what is repeated.
        let place = words(network.address).replace("timeout=30s", "timeout=2s");
        let counting = Mischief::new(Cancel::new(), usize::MAX, || {});
        backup::take(&request, &settings, &repository, &counting).expect("a first one");
        let (mut cases, mut told) = (0, 0);
        for step in 0..counting.steps() {
            // Every request of the clean-up waits its time, too: some steps stand for all.
            if !matches!(trouble, Trouble::Refuses) && step % 3 != 1 {
                continue;
            }
            let before = whole(&repository);
            std::thread::sleep(Duration::from_millis(1100));
            let wires = Arc::clone(&network);
            let act = move || match trouble {
                Trouble::Refuses => wires.break_after(0),
                Trouble::Breaks(bytes) => wires.break_after(bytes),
                Trouble::Hangs => wires.hold_back(Duration::from_secs(20)),
                Trouble::Slow => wires.hold_back(Duration::from_millis(20)),
            };
            let mischief = Mischief::new(Cancel::new(), step, act);
            // With connections of its own, as another process has.
            let behind = open(&place).expect("a name");
            let taken = backup::take(&request, &settings, &behind, &mischief);
            network.heal();
            cases += 1;
            match taken {
                Ok(manifest) => verified(&repository, [&manifest.id]),
                Err(fault) => {
                    assert!(!matches!(trouble, Trouble::Slow), "{word} {step}: {fault}");
                    let kinds = [Kind::Unavailable, Kind::Failed];
                    assert!(kinds.contains(&fault.kind), "{word} {step} {trouble:?}: {fault}");
                    assert_eq!(whole(&repository), before, "{word} {step} {trouble:?}");
                    told += 1;
                }
            }
        }
        goes_on(&cluster, &repository, &request, &whole(&repository));
        verified(&repository, &whole(&repository));
        (cases, told)
    };
    let troubles = [Trouble::Refuses, Trouble::Breaks(20_000), Trouble::Hangs, Trouble::Slow];
    let all = troubles.into_iter().flat_map(|trouble| requests().map(|request| (request, trouble)));
    let outcomes = at_once(all, fails);
    let (cases, told) =
        outcomes.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{cases} cases, {told} failures told");
    assert!(told >= 8, "{told} of {cases}");
}
