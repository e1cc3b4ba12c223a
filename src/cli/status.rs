//! `howdah status`: what the console would show, without a screen.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, timeout_at},
};

use super::{
    Cli, Exit, Failure, args::StatusArgs, disks, histories, keeper, say, setup, silence, target,
};
use crate::{
    base::{
        clock::{Clock, Stamp, Timestamp},
        config::Config,
        text::Text,
        units,
    },
    watch::{
        checks::derived::SERVER_UNREACHABLE,
        sampler::{self, Plan, Watch},
        server::SERVER,
        snapshot::{
            AlertState, BackupState, CheckState, Freshness, KeptBackup, Known, LinkState, Pool,
            Severity, Silence, Snapshot, SourceKind,
        },
    },
};

/// How long every source may take to have its say, where nobody says.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints one snapshot, or one after another.
pub fn run(cli: &Cli, options: &StatusArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let target = options.target.or(&cli.target)?;
    let words = target.as_deref();
    let plan = plan(&config, words)?;
    let sources = sources(&plan);
    setup::open_log(&config);
    let runtime = setup::runtime()?;
    let clock = Clock::system();
    let exit = runtime.block_on(async {
        let mut watch =
            sampler::start(plan, &clock).map_err(|error| Failure::new(Exit::Failure, error))?;
        if !options.watch {
            settle(&mut watch, sources, options.within).await;
            return print(&watch, &clock, options);
        }
        // From the first moment, and one for all of it: a signal between two would be lost.
        let interrupt = signal(SignalKind::interrupt())
            .map_err(|error| Failure::new(Exit::Failure, format!("no signals: {error}")))?;
        follow(&mut watch, &clock, options, sources, interrupt).await
    });
    runtime.shutdown_background();
    exit
}

/// What is watched of a target, when nobody looks at jobs.
fn plan(config: &Config, words: Option<&str>) -> Result<Plan, Failure> {
    let mut plan = target::plan(config, words)?;
    plan.repository = keeper::of_target(config, words);
    plan.engines = histories::keepers(config, words)?;
    plan.disks = Some(disks::of_target(config, words, &plan.settings));
    plan.silences = silence::desk::keeper(&plan);
    Ok(plan)
}

/// How many will tell something.
fn sources(plan: &Plan) -> usize {
    let files = usize::from(plan.repository.is_some()) + usize::from(plan.silences.is_some());
    let files = files + usize::from(plan.disks.is_some());
    1 + plan.endpoints.len() + plan.bouncers.len() + plan.engines.len() + files
}

/// One sight of a target, once every source has answered or its time is over.
pub fn look(config: &Config, words: Option<&str>) -> Result<Arc<Snapshot>, Failure> {
    let plan = plan(config, words)?;
    let sources = sources(&plan);
    let runtime = setup::runtime()?;
    let seen = runtime.block_on(async {
        let started = sampler::start(plan, &Clock::system());
        let mut watch = started.map_err(|error| Failure::new(Exit::Failure, error))?;
        settle(&mut watch, sources, PATIENCE).await;
        let seen = watch.snapshots.borrow().clone();
        Ok(seen)
    });
    runtime.shutdown_background();
    seen
}

/// Waits until every source has answered or failed, and the checks had a first look.
async fn settle(watch: &mut Watch, sources: usize, within: Duration) {
    let deadline = Instant::now() + within;
    let complete = |s: &Snapshot| {
        let heard = s.sources.iter().filter(|s| s.last_good.is_some() || s.problem.is_some());
        let judged = s.checks.iter().any(|check| check.ran.is_some())
            && s.checks.iter().all(|check| check.state != CheckState::Pending);
        // What was told since is not in the alerts yet.
        let weighed = s.checks.iter().find(|check| *check.id == *SERVER_UNREACHABLE);
        let told = s.sources.iter().filter_map(|source| source.last_good).max();
        heard.count() >= sources && judged && weighed.and_then(|check| check.ran) >= told
    };
    let told = watch.snapshots.wait_for(|snapshot| complete(snapshot));
    // What has not answered by then is printed as not having answered.
    let _ = timeout_at(deadline, told).await;
}

async fn follow(
    watch: &mut Watch,
    clock: &Clock,
    options: &StatusArgs,
    sources: usize,
    mut interrupt: Signal,
) -> Result<Exit, Failure> {
    tokio::select! {
        () = settle(watch, sources, options.within) => print(watch, clock, options)?,
        _ = interrupt.recv() => return Ok(Exit::Code(130)),
    };
    loop {
        tokio::select! {
            changed = watch.snapshots.changed() => if changed.is_err() { return Ok(Exit::Failure) },
            _ = interrupt.recv() => return Ok(Exit::Code(130)),
        }
        // A change a second is what a person or a log can follow.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = interrupt.recv() => return Ok(Exit::Code(130)),
        }
        print(watch, clock, options)?;
    }
}

fn print(watch: &Watch, clock: &Clock, options: &StatusArgs) -> Result<Exit, Failure> {
    let snapshot = watch.snapshots.borrow().clone();
    let text = if options.json {
        json(&snapshot, clock.now(), options.watch)?
    } else {
        report(&snapshot, clock.now())
    };
    say(&text)?;
    Ok(verdict(&snapshot))
}

/// As a monitoring plug-in: what nobody has seen is unknown, never fine. What somebody has silenced does not
/// count for as long as that lasts.
fn verdict(snapshot: &Snapshot) -> Exit {
    let firing = snapshot.alerts.iter().filter(|a| a.state != AlertState::Pending);
    let firing = firing.filter(|alert| alert.silenced.is_none());
    match firing.map(|alert| alert.severity).max() {
        _ if snapshot.link.last_answer.is_none() => Exit::Unknown,
        Some(Severity::Critical) => Exit::Critical,
        Some(Severity::Warning) => Exit::Failure,
        None if snapshot.link.state != LinkState::Live => Exit::Unknown,
        None => Exit::Ok,
    }
}

/// The snapshot as JSON. Stamps count nanoseconds on a scale of their own; `now` is the moment of
/// printing on the same scale, so that ages can be told.
fn json(snapshot: &Snapshot, now: Stamp, one_line: bool) -> Result<String, Failure> {
    let clock = snapshot.server.value().and_then(|server| server.clock);
    let document = serde_json::json!({ "now": now, "server_clock": clock, "snapshot": snapshot });
    let text = if one_line {
        serde_json::to_string(&document)
    } else {
        serde_json::to_string_pretty(&document)
    };
    text.map(|text| text + "\n").map_err(|error| Failure::new(Exit::Failure, error))
}

fn report(s: &Snapshot, now: Stamp) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail, so the results are of no interest.
    let _ = head(&mut out, s, now);
    let _ = rows(&mut out, s, now);
    let _ = tail(&mut out, s, now);
    out
}

fn head(out: &mut String, s: &Snapshot, now: Stamp) -> std::fmt::Result {
    write!(out, "{} {} ({})", s.target.environment.word(), s.target.name, s.target.address)?;
    match &s.identity {
        Known::Is(id) => {
            let timeline = id.timeline.map_or_else(|| "—".to_owned(), |tl| tl.to_string());
            let role = format!("{:?}", id.role).to_lowercase();
            let tail = id.system_identifier % 10_000;
            writeln!(out, "  {role} {} tl {timeline} …{tail:04}", id.version)?;
        }
        unknown => writeln!(out, "  — {}", unknown.reason().map_or("", |why| why.as_str()))?,
    }
    let latency = s.link.latency.map_or_else(|| "—".to_owned(), units::span);
    let age = s.link.last_answer.map(|at| now.since(at));
    match (&s.link.problem, age) {
        (None, _) => writeln!(out, "link      {:?}, answers in {latency}", s.link.state)?,
        (Some(problem), age) => {
            let age = age.map_or_else(|| "never".to_owned(), |age| units::age(age) + " ago");
            writeln!(out, "link      {:?}: {}; last answer {age}", s.link.state, problem.what)?;
            writeln!(out, "          {}", problem.remedy)?;
        }
    }
    let r = &s.recoverability;
    match &r.rpo {
        Known::Is(rpo) => {
            let most = if rpo.at_most { "at most " } else { "" };
            let (loss, target) = (units::clock(rpo.loss), units::clock(r.rpo_target));
            writeln!(out, "RPO       {most}{loss} of {target} ({})", rpo.source)?;
        }
        unknown => writeln!(out, "RPO       — {}", unknown.reason().map_or("", |w| w.as_str()))?,
    }
    match &r.rto {
        Known::Is(rto) => {
            let (expected, target) = (units::clock(rto.expected), units::clock(r.rto_target));
            let ago = units::age(s.wall.duration_since(rto.measured).unsigned_abs());
            writeln!(out, "RTO       {expected} of {target} (measured {ago} ago: {})", rto.source)?;
        }
        unknown => writeln!(out, "RTO       — {}", unknown.reason().map_or("", |w| w.as_str()))?,
    }
    match &r.pitr {
        Known::Is(pitr) => {
            let gaps = match pitr.gaps {
                0 => "no gaps".to_owned(),
                1 => "1 GAP".to_owned(),
                many => format!("{many} GAPS"),
            };
            writeln!(out, "PITR      {} to {}, {gaps}", second(pitr.from), second(pitr.to))
        }
        unknown => writeln!(out, "PITR      — {}", unknown.reason().map_or("", |w| w.as_str())),
    }
}

fn second(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%SZ")
}

fn rows(out: &mut String, s: &Snapshot, now: Stamp) -> std::fmt::Result {
    for pool in &s.pools {
        writeln!(out, "pool      {:<20} {}{}", pool.name, usage(pool), old(s, &pool.source, now))?;
    }
    for b in &s.breakers {
        let since = b.since.map_or_else(String::new, |at| units::age(now.since(at)));
        let rate = b.failure_rate.map_or_else(|| "—".to_owned(), |r| format!("{:.1} %", r * 100.0));
        let old = old(s, &b.source, now);
        writeln!(
            out,
            "breaker   {:<20} {:<11} {since:<6} failures {rate}{old}",
            b.name,
            b.state.word()
        )?;
    }
    if s.alerts.is_empty() {
        let seen = s.freshness(SERVER, now) == Freshness::Fresh;
        writeln!(out, "alerts    {}", if seen { "none" } else { "— nothing was seen to judge" })?;
    }
    for alert in &s.alerts {
        let value = alert.value.map_or_else(|| "—".to_owned(), units::number);
        let muted = match alert.muted.len() {
            0 => String::new(),
            n => format!(" (also muted: {n})"),
        };
        let silenced = alert.silenced.as_ref().map_or_else(String::new, |silence| {
            let left = units::age(left(s, silence));
            format!(", SILENCED for another {left} by {}: {}", silence.by, silence.why)
        });
        writeln!(
            out,
            "{:<9} {} {}: {value} {} ({}), {:?} for {}{muted}{silenced}",
            alert.severity.word(),
            alert.check,
            alert.subject,
            alert.unit,
            alert.threshold,
            alert.state,
            units::age(now.since(alert.since)),
        )?;
    }
    silenced(out, s)
}

/// What the exit code leaves out, and until when.
fn silenced(out: &mut String, s: &Snapshot) -> std::fmt::Result {
    let silences: Vec<&Silence> = s.alerts.iter().filter_map(|a| a.silenced.as_ref()).collect();
    let Some(first) = silences.iter().map(|silence| silence.until).min() else { return Ok(()) };
    let first = second(first);
    let counts = match silences.len() {
        1 => "1 alert does".to_owned(),
        many => format!("{many} alerts do"),
    };
    writeln!(out, "silenced  {counts} not count for the exit code; again from {first} on")
}

/// How long a silence lasts yet.
fn left(s: &Snapshot, silence: &Silence) -> Duration {
    Duration::try_from(silence.until.duration_since(s.wall)).unwrap_or_default()
}

fn tail(out: &mut String, s: &Snapshot, now: Stamp) -> std::fmt::Result {
    match &s.backup.archiver {
        Known::Is(a) => {
            let last = a.last_wal.as_ref().map_or("none", |wal| wal.as_str());
            let ready = a.ready.value().map_or_else(|| "—".to_owned(), |(n, _)| n.to_string());
            let failing = if a.failing { ", FAILING" } else { "" };
            writeln!(
                out,
                "archiver  {:?}{failing}, last {last}, waiting {ready}, failed {}",
                a.mode, a.failed
            )?;
        }
        unknown => writeln!(out, "archiver  — {}", unknown.reason().map_or("", |w| w.as_str()))?,
    }
    backups(out, s)?;
    for source in s.sources.iter().filter(|source| source.kind != SourceKind::Server) {
        let state = source.problem.as_ref().map_or("ok", |problem| problem.what.as_str());
        writeln!(out, "source    {:<20} {state}{}", source.name, old(s, &source.name, now))?;
    }
    Ok(())
}

fn backups(out: &mut String, s: &Snapshot) -> std::fmt::Result {
    let newest = |out: &mut String, place: &Text, newest: Option<&KeptBackup>| match newest {
        Some(newest) => {
            let age = units::age(s.wall.duration_since(newest.began).unsigned_abs());
            let damaged = match &newest.state {
                BackupState::Complete { wrong: Some(why), .. } => format!(", DAMAGED: {why}"),
                _ => String::new(),
            };
            let (method, id) = (&newest.method, &newest.id);
            writeln!(out, "backups   {method} {id}, {age} ago, in {place}{damaged}")
        }
        None => writeln!(out, "backups   NONE in {place}"),
    };
    match &s.backup.repository {
        Known::Is(kept) => newest(out, &kept.location, kept.newest())?,
        unseen => writeln!(out, "backups   — {}", unseen.reason().map_or("", |why| why.as_str()))?,
    }
    for (name, told) in &s.backup.engines {
        match told {
            Known::Is(engine) => newest(out, name, engine.newest())?,
            unseen => {
                let why = unseen.reason().map_or("", |why| why.as_str());
                writeln!(out, "backups   — {name}: {why}")?;
            }
        }
    }
    Ok(())
}

fn usage(pool: &Pool) -> String {
    let figure = |n: Option<u64>| n.map_or_else(|| "—".to_owned(), |n| n.to_string());
    let waiting = pool.waiting.map_or_else(String::new, |n| format!(", {n} waiting"));
    let wait = pool.wait.map_or_else(String::new, |w| format!(", wait {}", units::span(w.value)));
    format!("{}/{} in use{waiting}{wait}", figure(pool.in_use), figure(pool.max))
}

fn old(s: &Snapshot, source: &str, now: Stamp) -> String {
    match s.freshness(source, now) {
        Freshness::Fresh => String::new(),
        Freshness::Never => "  NEVER SEEN".to_owned(),
        Freshness::Stale(age) => format!("  STALE {}", units::age(age)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::snapshot::{Pitr, Rto};

    #[test]
    fn what_could_be_brought_back_is_told_when_it_is_known() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a moment");
        let mut s = Snapshot { wall: at("2026-11-09T09:14:07Z"), ..Snapshot::default() };
        s.recoverability.rto_target = Duration::from_hours(1);
        s.recoverability.rto = Known::Is(Rto {
            expected: Duration::from_secs(190),
            measured: at("2026-11-07T09:14:07Z"),
            source: "a drill: proofs/1.json".into(),
        });
        s.recoverability.pitr = Known::Is(Pitr {
            from: at("2026-11-09T02:00:00.25Z"),
            to: at("2026-11-09T09:13:00Z"),
            gaps: 1,
        });
        let mut out = String::new();
        head(&mut out, &s, Stamp::default()).expect("written");
        for line in [
            "RTO       3:10 of 1:00:00 (measured 2d0h ago: a drill: proofs/1.json)",
            "PITR      2026-11-09 02:00:00Z to 2026-11-09 09:13:00Z, 1 GAP",
        ] {
            assert!(out.contains(line), "{out}");
        }
    }
}
