//! What the server answered, as plain data.

use serde::Deserialize;

use crate::{
    base::{clock::Timestamp, text::Text},
    watch::{
        checks::run,
        recoverability,
        snapshot::{
            Application, ArchiveMode, Archiver, Identity, Known, Role, RunningBackup, Server,
        },
    },
};

/// Who answers, and what our role may see.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Standing {
    user: String,
    database: String,
    version: String,
    /// `server_version_num`.
    pub version_num: u32,
    recovery: bool,
    timeline: Option<u32>,
    system_identifier: String,
    started: f64,
    /// Of ordinary sessions; told apart from the rest, because it costs more to ask.
    #[serde(default)]
    pub read_only: bool,
    max_connections: u32,
    reserved: u32,
    /// The data folder, if our role may know it.
    #[serde(default)]
    pub data: Option<String>,
    /// Size of a WAL segment in bytes.
    pub segment: u64,
    archive_mode: String,
    archive_set: bool,
    /// A member of `pg_monitor`, or a superuser.
    pub monitor: bool,
    /// May see the sessions of others.
    pub stats: bool,
    /// May list the archiver's queue.
    pub archive_status: bool,
}

/// What changes from second to second.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Activity {
    clock: f64,
    /// Where the WAL is flushed to; none on a standby.
    pub lsn: Option<u64>,
    /// Transactions since the statistics were reset, all databases.
    pub transactions: Option<u64>,
    /// In recovery now; when that has changed, all that was asked less often is out of date.
    pub recovery: bool,
    sessions: Sessions,
    archiver: Option<ArchiverRow>,
    standbys: Option<Vec<StandbyRow>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Sessions {
    all: Option<u32>,
    active: Option<u32>,
    idle: Option<u32>,
    in_transaction: Option<u32>,
    waiting: Option<u32>,
    applications: Option<Vec<ApplicationRow>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ApplicationRow {
    name: String,
    all: u32,
    active: u32,
    idle: u32,
    in_transaction: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ArchiverRow {
    archived: u64,
    last_wal: Option<String>,
    last_at: Option<f64>,
    failed: u64,
    last_failed_wal: Option<String>,
    last_failed_at: Option<f64>,
    failing: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct StandbyRow {
    name: Option<String>,
    local: bool,
    flushed: Option<u64>,
}

/// The archiver's queue.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ready {
    count: u64,
    oldest: Option<f64>,
    /// The last archived segment when this was asked, and when it was finished.
    last_wal: Option<String>,
    finished: Option<f64>,
}

/// A base backup that is being taken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BackupRow {
    pid: i32,
    phase: Option<String>,
    done: Option<u64>,
    total: Option<u64>,
}

/// Everything that one connection knows, the newest of each kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Who answers.
    pub standing: Standing,
    /// The last second.
    pub activity: Activity,
    /// The archiver's queue, if it could be listed.
    pub ready: Option<Ready>,
    /// Base backups being taken.
    pub backups: Vec<BackupRow>,
}

impl Standing {
    /// True when the server has become a standby or a primary since this was told.
    pub fn changed(&self, activity: &Activity) -> bool {
        self.recovery != activity.recovery
    }

    /// The server's role.
    pub fn role(&self) -> Role {
        if self.recovery { Role::Standby } else { Role::Primary }
    }

    /// What the checks need to know of us.
    pub fn for_checks(&self) -> run::Standing {
        run::Standing {
            role: self.role(),
            version_num: self.version_num,
            monitor: self.monitor && self.stats,
        }
    }

    /// The name of the cluster in alerts: its system identifier.
    pub fn cluster(&self) -> &str {
        &self.system_identifier
    }

    /// Who answered, as it is shown.
    pub fn identity(&self) -> Known<Identity> {
        let Ok(system_identifier) = self.system_identifier.parse() else {
            return Known::Unknown(Text::ours("the server gave no system identifier"));
        };
        // Debian appends its package version in parentheses; people know the number before it.
        let version = self.version.split(' ').next().unwrap_or(&self.version);
        Known::Is(Identity {
            role: self.role(),
            version: version.into(),
            version_num: self.version_num,
            timeline: self.timeline,
            system_identifier,
            started: moment(self.started),
            user: self.user.as_str().into(),
            database: self.database.as_str().into(),
            read_only: self.read_only,
        })
    }
}

impl Facts {
    /// The server's clock when it answered.
    pub fn server_now(&self) -> Timestamp {
        moment(self.activity.clock)
    }

    /// The server's own view of its connections.
    pub fn server(&self, tps: Option<f64>) -> Known<Server> {
        let sessions = &self.activity.sessions;
        let Some(all) = sessions.all else {
            return Known::Unknown(Text::ours("the server did not count its sessions"));
        };
        let seen = |count: Option<u32>| match count {
            Some(count) => Known::Is(count),
            None => Known::Blind(Text::ours("grant pg_monitor to see the sessions of others")),
        };
        Known::Is(Server {
            clock: Some(self.server_now()),
            sessions: all,
            max_connections: self.standing.max_connections,
            reserved: self.standing.reserved,
            active: seen(sessions.active),
            idle: seen(sessions.idle),
            idle_in_transaction: seen(sessions.in_transaction),
            waiting: seen(sessions.waiting),
            tps,
            applications: self.applications(),
        })
    }

    /// The archiver, from its statistics and settings.
    pub fn archiver(&self) -> Known<Archiver> {
        let Some(row) = &self.activity.archiver else {
            return Known::Unknown(Text::ours("the server has no pg_stat_archiver"));
        };
        let mode = match (self.standing.archive_mode.as_str(), self.standing.archive_set) {
            ("on", true) => ArchiveMode::On,
            ("always", true) => ArchiveMode::Always,
            ("on" | "always", false) => ArchiveMode::NoCommand,
            _ => ArchiveMode::Off,
        };
        let ready = match (&self.ready, self.standing.archive_status) {
            (Some(ready), _) => Known::Is((ready.count, ready.oldest.map(moment))),
            (None, true) => Known::Unknown(Text::ours("not asked yet")),
            (None, false) => {
                Known::Blind(Text::ours("grant pg_monitor to list the archiver's queue"))
            }
        };
        Known::Is(Archiver {
            mode,
            archived: row.archived,
            last_wal: row.last_wal.as_deref().map(Text::foreign),
            last_at: row.last_at.map(moment),
            // The queue is asked less often: what it says of another segment is no use here.
            finished: self
                .ready
                .as_ref()
                .filter(|ready| ready.last_wal.is_some() && ready.last_wal == row.last_wal)
                .and_then(|ready| ready.finished.map(moment)),
            failed: row.failed,
            last_failed_wal: row.last_failed_wal.as_deref().map(Text::foreign),
            last_failed_at: row.last_failed_at.map(moment),
            failing: row.failing,
            ready,
        })
    }

    /// The standbys that stream from here.
    pub fn standbys(&self) -> Vec<recoverability::Standby> {
        let rows = self.activity.standbys.as_deref().unwrap_or_default();
        rows.iter()
            .map(|row| recoverability::Standby {
                name: row
                    .name
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .unwrap_or("(no name)")
                    .into(),
                local: row.local,
                flushed: row.flushed,
            })
            .collect()
    }

    fn applications(&self) -> Vec<Application> {
        let rows = self.activity.sessions.applications.as_deref().unwrap_or_default();
        rows.iter()
            .map(|row| Application {
                name: row.name.as_str().into(),
                sessions: row.all,
                active: row.active,
                idle: row.idle,
                idle_in_transaction: row.in_transaction,
            })
            .collect()
    }

    /// Base backups being taken.
    pub fn running_backups(&self) -> Vec<RunningBackup> {
        self.backups
            .iter()
            .map(|row| RunningBackup {
                pid: row.pid,
                phase: row.phase.as_deref().unwrap_or_default().into(),
                done: row.done.unwrap_or_default(),
                total: row.total,
            })
            .collect()
    }
}

/// A moment from the seconds of the Unix epoch, to the microsecond as PostgreSQL keeps it.
fn moment(epoch: f64) -> Timestamp {
    Timestamp::from_microsecond((epoch * 1e6) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}
