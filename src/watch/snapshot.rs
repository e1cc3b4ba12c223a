//! Everything that is shown, as immutable plain data.
//!
//! The sampler publishes one [`Snapshot`] after another; the console, `howdah status` and its JSON
//! all draw from the same. What is not known says why ([`Known`]); what is old is told from the
//! stamp of its source ([`Source::freshness`]). Nothing here reads a clock.

use std::time::Duration;

use serde::Serialize;

use crate::base::{
    clock::{Stamp, Timestamp},
    text::Text,
};

/// A value, or the reason why there is none. Unknown is never zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "known", content = "value", rename_all = "lowercase")]
pub enum Known<T> {
    /// The value, as observed.
    Is(T),
    /// Not known, and why. Shown as `—`.
    Unknown(Text),
    /// Our role may not see it, and which grant is missing. Shown as `BLIND`.
    Blind(Text),
}

impl<T> Known<T> {
    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) | Self::Blind(_) => None,
        }
    }

    /// Why there is no value.
    pub const fn reason(&self) -> Option<&Text> {
        match self {
            Self::Is(_) => None,
            Self::Unknown(why) | Self::Blind(why) => Some(why),
        }
    }

    /// The same knowledge about something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Is(value) => Known::Is(f(value)),
            Self::Unknown(why) => Known::Unknown(why),
            Self::Blind(why) => Known::Blind(why),
        }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Unknown(Text::ours("not asked yet"))
    }
}

/// One consistent sight of a target and of everything around it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// When it was put together, monotonic.
    pub at: Stamp,
    /// When it was put together, for people.
    pub wall: Timestamp,
    /// What we look at.
    pub target: Target,
    /// Our own connection to it.
    pub link: Link,
    /// Who answered there.
    pub identity: Known<Identity>,
    /// Its connections.
    pub server: Known<Server>,
    /// What could be brought back, and how soon.
    pub recoverability: Recoverability,
    /// Pools from every source.
    pub pools: Vec<Pool>,
    /// Circuit breakers from every source.
    pub breakers: Vec<Breaker>,
    /// Every check with its last result.
    pub checks: Vec<Check>,
    /// What is wrong, worst first.
    pub alerts: Vec<Alert>,
    /// What is known of backups and of the WAL archive.
    pub backup: Backup,
    /// Where the facts come from.
    pub sources: Vec<Source>,
    /// What watching costs the server.
    pub cost: Cost,
}

impl Snapshot {
    /// The source of that name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.name == name)
    }

    /// How old the facts of that source are at `now`; a source that is not listed has never answered.
    pub fn freshness(&self, source: &str, now: Stamp) -> Freshness {
        self.source(source).map_or(Freshness::Never, |source| source.freshness(now))
    }
}

/// What the user asked to look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// Its name in the configuration, or the database's.
    pub name: Text,
    /// What kind of place it is; decides the colour of the identity bar and the care taken.
    pub environment: Environment,
    /// `host:port/database as user`, without a password.
    pub address: Text,
    /// Nothing may be changed through this console.
    pub read_only: bool,
}

/// The kind of place a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Real users' data.
    Production,
    /// A rehearsal of production.
    Staging,
    /// A developer's.
    Development,
    /// Made by `howdah demo`, thrown away after.
    Demo,
    /// Nobody said: treated with production's care.
    #[default]
    Unknown,
}

impl Environment {
    /// The word on the identity bar, at most five cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Production => "PROD",
            Self::Staging => "STAGE",
            Self::Development => "DEV",
            Self::Demo => "DEMO",
            Self::Unknown => "ENV ?",
        }
    }
}

/// The state of our own connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// The first attempt is under way.
    #[default]
    Connecting,
    /// The last probe was answered in time.
    Live,
    /// Connected, but the last probe was not answered within its deadline.
    Hung,
    /// There is no connection.
    Down,
    /// The server answered and will not let us in: trying again will not help without a change.
    Refused,
}

/// Our own connection to the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Link {
    /// What it is now.
    pub state: LinkState,
    /// Since when it is so.
    pub since: Stamp,
    /// The last time that the server answered a probe.
    pub last_answer: Option<Stamp>,
    /// Round trip of the last answered probe.
    pub latency: Option<Duration>,
    /// Attempts since the connection was lost.
    pub attempt: u32,
    /// When the next attempt starts.
    pub next_try: Option<Stamp>,
    /// What went wrong, and what to do about it.
    pub problem: Option<Problem>,
}

/// Something that went wrong, in words for the person on call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// What happened, naming the thing.
    pub what: Text,
    /// What to do about it; empty when there is nothing to advise.
    pub remedy: Text,
}

/// Who answered at the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// Primary or standby.
    pub role: Role,
    /// `server_version`, such as `15.18`.
    pub version: Text,
    /// `server_version_num`, such as 150018.
    pub version_num: u32,
    /// The current timeline; from the WAL file name on a primary, because `pg_control_checkpoint()`
    /// still shows the old one right after a promotion.
    pub timeline: Option<u32>,
    /// The 64-bit system identifier of the cluster.
    pub system_identifier: u64,
    /// When the postmaster started.
    pub started: Timestamp,
    /// The role that we are logged in as.
    pub user: Text,
    /// The database that we are connected to.
    pub database: Text,
    /// True when `default_transaction_read_only` or recovery refuses writes.
    pub read_only: bool,
}

/// The role of a server in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// In recovery.
    Standby,
}

/// The server's own view of its connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Server {
    /// Client backends; background processes do not count.
    pub sessions: u32,
    /// `max_connections`.
    pub max_connections: u32,
    /// Slots that an ordinary role cannot have: `superuser_reserved_connections` and, from
    /// PostgreSQL 16, `reserved_connections`.
    pub reserved: u32,
    /// Sessions executing a statement.
    pub active: Known<u32>,
    /// Sessions between statements, outside a transaction.
    pub idle: Known<u32>,
    /// Sessions between statements, inside a transaction.
    pub idle_in_transaction: Known<u32>,
    /// Sessions that wait for a heavyweight lock.
    pub waiting: Known<u32>,
    /// Transactions per second over the last interval, all databases.
    pub tps: Option<f64>,
    /// Sessions by `application_name`, most first.
    pub applications: Vec<Application>,
}

/// The sessions of one `application_name`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Application {
    /// The name that its clients give.
    pub name: Text,
    /// All of them.
    pub sessions: u32,
    /// Executing a statement.
    pub active: u32,
    /// Between statements, outside a transaction.
    pub idle: u32,
    /// Between statements, inside a transaction.
    pub idle_in_transaction: u32,
}

impl Server {
    /// Slots that an ordinary role can have.
    pub const fn usable(&self) -> u32 {
        self.max_connections.saturating_sub(self.reserved)
    }
}

/// If this machine died now: how much would be lost, how soon would we be back, and to which moments
/// could we return.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recoverability {
    /// What would be lost.
    pub rpo: Known<Rpo>,
    /// How long a restore takes.
    pub rto: Known<Rto>,
    /// Which moments can be restored.
    pub pitr: Known<Pitr>,
    /// The promise for the RPO.
    pub rpo_target: Duration,
    /// The promise for the RTO.
    pub rto_target: Duration,
}

/// What would be lost if this machine died this second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rpo {
    /// Age of the oldest commit that is not yet safe outside this machine.
    pub loss: Duration,
    /// What makes the rest safe, the best of all ways.
    pub source: Text,
    /// True when `loss` is only an upper bound, because we have not watched for long enough.
    pub at_most: bool,
    /// The other ways with their figures, for the detail view.
    pub ways: Vec<(Text, Known<Duration>)>,
}

/// How long a restore takes, as measured by one that really ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rto {
    /// The measurement, scaled to today's size.
    pub expected: Duration,
    /// When it was measured.
    pub measured: Timestamp,
}

/// Which moments can be restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pitr {
    /// The earliest moment.
    pub from: Timestamp,
    /// The latest moment.
    pub to: Timestamp,
    /// Stretches inside it that cannot be reached.
    pub gaps: u32,
}

/// A pool of connections, whoever keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    /// Its name, unique within its source.
    pub name: Text,
    /// The name of the [`Source`] that told us.
    pub source: Text,
    /// Whose pool it is.
    pub kind: PoolKind,
    /// Connections that work for somebody.
    pub in_use: Option<u64>,
    /// Connections that wait for work.
    pub idle: Option<u64>,
    /// The most it may open; `None` when unlimited or not told.
    pub max: Option<u64>,
    /// Callers that wait for a connection.
    pub waiting: Option<u64>,
    /// How long callers wait.
    pub wait: Option<Wait>,
    /// Callers that gave up waiting, since the application started.
    pub timeouts: Option<u64>,
    /// Share of `max` in use over the last samples, oldest first, 0 to 1; NaN where nothing was seen.
    pub trend: Vec<f32>,
    /// What else is to be known of it, such as `paused`.
    pub note: Option<Text>,
}

impl Pool {
    /// Share of the maximum in use, 0 to 1.
    pub fn share(&self) -> Option<f64> {
        match (self.in_use, self.max) {
            (Some(used), Some(max)) if max > 0 => Some(used as f64 / max as f64),
            _ => None,
        }
    }
}

/// Whose pool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// The server's connection slots.
    Server,
    /// The console's own connection.
    Own,
    /// An application's pool.
    Application,
    /// A PgBouncer pool (a pair of database and user).
    PgBouncer,
}

/// How long callers wait for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// The wait.
    pub value: Duration,
    /// Which wait that is.
    pub meaning: WaitMeaning,
}

/// Which wait a pool tells us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitMeaning {
    /// The longest that somebody waits right now.
    LongestNow,
    /// The mean over the last interval.
    MeanRecent,
    /// The 99th percentile over the last interval.
    P99Recent,
    /// The longest over the exporter's own window.
    MaxRecent,
}

/// A circuit breaker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breaker {
    /// Its name, unique within its source.
    pub name: Text,
    /// The name of the [`Source`] that told us.
    pub source: Text,
    /// What it does now.
    pub state: BreakerState,
    /// Since when; when we saw it change, or when we first looked (see `since_exact`).
    pub since: Option<Stamp>,
    /// False when `since` is the moment that we first looked.
    pub since_exact: bool,
    /// Share of failed calls in its window, 0 to 1; `None` below the minimum volume.
    pub failure_rate: Option<f64>,
    /// Share of slow calls in its window, 0 to 1.
    pub slow_rate: Option<f64>,
    /// Calls in its window.
    pub calls: Option<u64>,
    /// When an open breaker lets the next probe through.
    pub next_try: Option<Stamp>,
    /// Probes of a half-open breaker: succeeded, wanted.
    pub probes: Option<(u32, u32)>,
    /// Calls refused since the application started.
    pub rejected: Option<u64>,
}

/// What a circuit breaker does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Lets calls through.
    Closed,
    /// Refuses calls.
    Open,
    /// Lets a few probes through.
    HalfOpen,
    /// Switched off by a person: passes and counts.
    Disabled,
    /// Held open by a person.
    ForcedOpen,
    /// Counts only.
    MetricsOnly,
    /// The source says a word or number that its profile does not know.
    Unknown,
}

impl BreakerState {
    /// The word on screen, at most eleven cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF-OPEN",
            Self::Disabled => "DISABLED",
            Self::ForcedOpen => "FORCED OPEN",
            Self::MetricsOnly => "METRICS",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// How bad something is. Ordered: `Critical` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be looked at in working hours.
    Warning,
    /// Wakes somebody.
    Critical,
}

impl Severity {
    /// The word on screen, four cells.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "WARN",
            Self::Critical => "CRIT",
        }
    }
}

/// A health check and its last result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its id, such as `connections_used_pct`.
    pub id: Text,
    /// The kind of trouble that it looks for, such as `connections`.
    pub class: Text,
    /// What the worst finding amounts to.
    pub state: CheckState,
    /// What it found, worst first.
    pub findings: Vec<Finding>,
    /// The unit of the values.
    pub unit: Text,
    /// The threshold of a warning as written, such as `> 75`; empty if none.
    pub warn: Text,
    /// The threshold of a critical alert as written; empty if none.
    pub crit: Text,
    /// What to do about it.
    pub remedy: Text,
    /// When it last ran.
    pub ran: Option<Stamp>,
    /// Why it could not run.
    pub error: Option<Text>,
}

/// What a check amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// It has not run yet.
    #[default]
    Pending,
    /// It ran and found nothing beyond a threshold.
    Ok,
    /// Something is beyond the threshold of a warning.
    Warning,
    /// Something is beyond the critical threshold.
    Critical,
    /// What it asks for cannot be seen: our role may not, or the source of the figures is silent.
    Blind,
    /// It could not run.
    Failed,
}

/// One thing that a check looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: Text,
    /// The value; `None` means that we cannot see it.
    pub value: Option<f64>,
    /// The facts behind the value.
    pub detail: Text,
    /// Beyond which threshold it is.
    pub severity: Option<Severity>,
}

/// Something that is wrong, with its own life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// `cluster/check/subject`: the same for ever and from any instance.
    pub id: Text,
    /// The check that raised it.
    pub check: Text,
    /// What it is about.
    pub subject: Text,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands in its life.
    pub state: AlertState,
    /// The last value seen.
    pub value: Option<f64>,
    /// The unit of the value.
    pub unit: Text,
    /// The threshold that it passed, such as `> 75`.
    pub threshold: Text,
    /// Since when the condition holds.
    pub since: Stamp,
    /// The same, for people.
    pub since_wall: Timestamp,
    /// The facts behind the value.
    pub detail: Text,
    /// What to do about it.
    pub remedy: Text,
    /// Alerts that say nothing of their own while this one fires.
    pub muted: Vec<Text>,
}

/// Where an alert stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition holds, but not yet for long enough.
    Pending,
    /// It is wrong.
    Firing,
    /// It is wrong and somebody has taken it.
    Acked,
    /// The condition is gone, but not yet for long enough.
    Resolving,
}

/// What is known of backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Backup {
    /// The server's WAL archiver.
    pub archiver: Known<Archiver>,
    /// The backup repository; unknown until one is configured.
    pub repository: Known<Repository>,
    /// Base backups being taken now, from `pg_stat_progress_basebackup`.
    pub running: Vec<RunningBackup>,
}

/// A backup repository.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repository {
    /// Where it is.
    pub location: Text,
}

/// A base backup that is being taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunningBackup {
    /// The walsender's process.
    pub pid: i32,
    /// PostgreSQL's word for what it does now.
    pub phase: Text,
    /// Bytes sent.
    pub done: u64,
    /// Bytes in all, if estimated.
    pub total: Option<u64>,
}

/// The server's WAL archiver, as `pg_stat_archiver` and the settings tell it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Archiver {
    /// What the settings ask for.
    pub mode: ArchiveMode,
    /// Segments archived since the statistics were reset.
    pub archived: u64,
    /// The last one.
    pub last_wal: Option<Text>,
    /// When it was archived.
    pub last_at: Option<Timestamp>,
    /// Failed attempts since the statistics were reset.
    pub failed: u64,
    /// The segment of the last failure.
    pub last_failed_wal: Option<Text>,
    /// When the last failure was.
    pub last_failed_at: Option<Timestamp>,
    /// True while the newest event is a failure.
    pub failing: bool,
    /// Segments that wait to be archived, and since when the oldest waits.
    pub ready: Known<(u64, Option<Timestamp>)>,
}

/// What the settings ask of the archiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveMode {
    /// `archive_mode = off`.
    Off,
    /// Archiving is on, but neither a command nor a library is set: WAL piles up.
    NoCommand,
    /// Archiving.
    On,
    /// Archiving on a standby too.
    Always,
}

/// Something that tells us facts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// Its name, unique; pools and breakers refer to it.
    pub name: Text,
    /// What it is.
    pub kind: SourceKind,
    /// Where it is, without secrets.
    pub address: Text,
    /// How often it is asked.
    pub period: Duration,
    /// The last time that it answered well.
    pub last_good: Option<Stamp>,
    /// What is wrong with it now.
    pub problem: Option<Problem>,
    /// How long the last answer took.
    pub latency: Option<Duration>,
    /// Lines of its last answer that could not be read.
    pub unreadable: u32,
}

impl Source {
    /// How old its facts are at `now`. They are stale when an answer is overdue by half a period,
    /// and one second at the least.
    pub fn freshness(&self, now: Stamp) -> Freshness {
        let Some(last_good) = self.last_good else { return Freshness::Never };
        let age = now.since(last_good);
        let grace = (self.period / 2).max(Duration::from_millis(800));
        if age > self.period + grace { Freshness::Stale(age) } else { Freshness::Fresh }
    }
}

/// What tells us facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The PostgreSQL server.
    Server,
    /// An application's metrics endpoint.
    Metrics,
    /// PgBouncer's admin console.
    PgBouncer,
}

/// Whether facts are still worth believing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has never answered.
    Never,
    /// It answered when it should have.
    Fresh,
    /// Its last good answer is that old.
    Stale(Duration),
}

/// What watching costs the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Connections that we hold.
    pub connections: u32,
    /// Statements in the last minute.
    pub statements_per_minute: u32,
    /// Time that the server was busy with them in the last minute, as seen from here: the round
    /// trips, so an upper bound.
    pub busy_per_minute: Duration,
}
