//! Pools in words.

use super::{Sight, fact, fact_line, percent, short, short_age};
use crate::{
    base::units::{clock, count},
    console::{
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Fact, TableRow, Tone, marked, piece},
    },
    watch::snapshot::{Freshness, Job, Known, Lease, Pool, PoolKind, WaitMeaning},
};

/// The columns of the pools, in reading order.
pub fn columns(glyphs: Glyphs) -> [Column; 11] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::words("pool", 8, 28, 0),
        Column::words("", 5, 20, 2),
        Column::figures("in use", 7, 1),
        Column::words("state", 5, 5, 0).whole(),
        Column::figures("wait", 5, 1),
        Column::figures("queue", 5, 3),
        Column::figures("idle", 5, 5),
        Column::words("trend", 10, 40, 4),
        Column::figures("timeouts", 8, 7),
        Column::words("source", 10, 26, 6),
    ]
}

/// The state of a pool in a word of at most five letters.
pub fn state(sight: &Sight<'_>, pool: &Pool) -> (Tone, &'static str) {
    if sight.stale(&pool.source).is_some() {
        return (Tone::STALE, "STALE");
    }
    if pool.is_paused() {
        return (Tone::WARN, "PAUSE");
    }
    let waiting = pool.waiting.unwrap_or(0) > 0;
    match pool.share() {
        // The console's own connection is always in use: that is its work.
        Some(share) if share >= 1.0 && pool.kind != PoolKind::Own => (Tone::STOP, "FULL"),
        _ if waiting => (Tone::WARN, "QUEUE"),
        Some(share) if share >= 0.9 && pool.kind != PoolKind::Own => (Tone::WARN, "HIGH"),
        None if pool.in_use.is_none() => (Tone::UNKNOWN, sight.glyphs.unknown()),
        _ => (Tone::RUNS, "ok"),
    }
}

/// The rows that stand at the given places.
pub fn rows(sight: &Sight<'_>, places: &[usize]) -> Vec<TableRow> {
    sight.at(&sight.snapshot.pools, places).map(|pool| row(sight, pool)).collect()
}

fn row(sight: &Sight<'_>, pool: &Pool) -> TableRow {
    let (tone, word) = state(sight, pool);
    let stale = sight.stale(&pool.source);
    let wait: Cell = match (stale, lease(sight, pool), &pool.wait) {
        (Some(old), ..) => piece(short_age(old), Meaning::Warning).into(),
        // What its clients have to wait for yet, at the most.
        (None, Some(lease), _) => piece(left(sight, lease.1), Meaning::Warning).into(),
        (None, None, Some(wait)) => piece(short(wait.value), Meaning::Text).into(),
        (None, None, None) => Cell::Words(Vec::new()),
    };
    let source = match pool.kind {
        PoolKind::Server => "the server".to_owned(),
        PoolKind::Own => "this console".to_owned(),
        PoolKind::Application | PoolKind::PgBouncer => pool.source.to_string(),
    };
    let cells = vec![
        sight_mark(sight, tone),
        piece(pool.name.to_string(), Meaning::Strong).into(),
        match pool.kind {
            // Always full, and that says nothing.
            PoolKind::Own => Cell::Words(Vec::new()),
            _ => Cell::Bar(pool.share()),
        },
        used(sight, pool),
        piece(word, tone.meaning).into(),
        wait,
        sight.count(pool.waiting),
        sight.count(pool.idle),
        Cell::Spark(pool.trend.clone()),
        sight.count(pool.timeouts),
        piece(source, Meaning::Muted).into(),
    ];
    TableRow { cells, stale: stale.is_some() }
}

pub(super) fn sight_mark(sight: &Sight<'_>, tone: Tone) -> Cell {
    piece(sight.glyphs.mark(tone.mark), tone.meaning).into()
}

fn used(sight: &Sight<'_>, pool: &Pool) -> Cell {
    let Some(used) = pool.in_use else { return sight.unknown().into() };
    let mut line = vec![piece(count(used), Meaning::Text)];
    if let Some(max) = pool.max {
        line.push(piece(format!("/{}", count(max)), Meaning::Muted));
    }
    line.into()
}

/// The lease that holds the pause of a pool, with its job.
fn lease<'a>(sight: &Sight<'a>, pool: &Pool) -> Option<(&'a Job, &'a Lease)> {
    let jobs = sight.snapshot.jobs.value().filter(|_| pool.is_paused())?;
    let held = jobs.iter().filter_map(|job| Some((job, job.lease.as_ref()?)));
    let mut ours = held.filter(|(job, _)| job.state.runs());
    ours.find(|(_, lease)| {
        lease.target == sight.snapshot.target.name && *lease.database == *pool.database()
    })
}

/// What is left of a lease, as a clock: `4:12`.
fn left(sight: &Sight<'_>, lease: &Lease) -> String {
    clock(sight.until(lease.until))
}

/// A pause in words: until when it lasts, and who holds it.
fn pause(sight: &Sight<'_>, pool: &Pool) -> String {
    match (lease(sight, pool), &sight.snapshot.jobs) {
        (Some((job, lease)), _) => {
            let why = lease.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("paused, resumes by itself in {}, held by {}{why}", left(sight, lease), job.who)
        }
        (None, Known::Is(_)) => {
            "PAUSED, and no lease of this machine holds it: it lasts until somebody RESUMEs"
                .to_owned()
        }
        (None, _) => "PAUSED; who holds it is not seen here".to_owned(),
    }
}

/// The databases that are paused, each in a sentence.
pub fn pauses(sight: &Sight<'_>) -> Vec<String> {
    let mut paused: Vec<&Pool> = sight
        .snapshot
        .pools
        .iter()
        .filter(|pool| pool.is_paused() && sight.stale(&pool.source).is_none())
        .collect();
    // However many roles have a pool of it.
    paused.dedup_by_key(|pool| pool.database());
    paused.into_iter().map(|pool| format!("{} {}", pool.database(), pause(sight, pool))).collect()
}

/// Everything known of the pool at that place.
pub fn detail(sight: &Sight<'_>, index: usize) -> (String, Vec<Fact>) {
    let Some(pool) = sight.snapshot.pools.get(index) else { return (String::new(), Vec::new()) };
    let (tone, word) = state(sight, pool);
    let say = |n: Option<u64>| n.map_or_else(|| sight.glyphs.unknown().to_owned(), count);
    let meaning = match word {
        "FULL" => "every connection is in use: callers must wait",
        "QUEUE" => "callers wait for a connection",
        "PAUSE" => "its clients wait: nobody is refused, nobody is served",
        "HIGH" => "nine in ten connections are in use",
        "STALE" => "its source does not answer: these figures are old",
        "ok" => "there are connections to spare",
        _ => "its source does not tell how many connections are in use",
    };
    let share = pool.share().map(|share| format!(" ({} of its maximum)", percent(share)));
    let mut facts = vec![
        fact_line(
            "state",
            vec![marked(sight.glyphs, tone, word), piece(format!("  {meaning}"), Meaning::Muted)],
        ),
        fact(
            "connections",
            format!(
                "{} in use, {} idle, {} at most{}",
                say(pool.in_use),
                say(pool.idle),
                say(pool.max),
                share.unwrap_or_default()
            ),
        ),
        fact(
            "waiting",
            format!("{} callers now, {} gave up", say(pool.waiting), say(pool.timeouts)),
        ),
    ];
    if pool.is_paused() {
        facts.push(fact("pause", pause(sight, pool)));
    }
    facts.push(match &pool.wait {
        Some(wait) => {
            fact("wait", format!("{}: {}", short(wait.value), wait_meaning(wait.meaning)))
        }
        None => fact_line(
            "wait",
            vec![sight.unknown(), piece(" its source does not tell it", Meaning::Muted)],
        ),
    });
    if !pool.trend.is_empty() {
        facts.push(Fact { label: "trend", value: Cell::Spark(pool.trend.clone()) });
    }
    facts.extend(sight.source_facts(&pool.source));
    (format!("Pool {}", pool.name), facts)
}

const fn wait_meaning(meaning: WaitMeaning) -> &'static str {
    match meaning {
        WaitMeaning::LongestNow => "the longest that a caller waits right now",
        WaitMeaning::MeanRecent => "the mean since the last answer",
        WaitMeaning::P99Recent => "99 of 100 callers waited less, since the last answer",
        WaitMeaning::MaxRecent => "the longest in the exporter's own window",
    }
}

/// True when there is no source but the server and ourselves, so that the pane should say how to add
/// one.
pub fn lacks_endpoints(sight: &Sight<'_>) -> bool {
    use crate::watch::snapshot::SourceKind;
    let tells = |kind| matches!(kind, SourceKind::Metrics | SourceKind::PgBouncer);
    !sight.snapshot.sources.iter().any(|source| tells(source.kind))
}

/// Sources that have never answered: their pools are missing from the list.
pub fn silent_sources<'a>(sight: &Sight<'a>) -> Vec<&'a crate::watch::snapshot::Source> {
    let now = sight.now;
    let silent = |source: &&crate::watch::snapshot::Source| {
        source.freshness(now) == Freshness::Never && source.problem.is_some()
    };
    sight.snapshot.sources.iter().filter(silent).collect()
}
