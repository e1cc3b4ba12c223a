//! The console of a target's PgBouncer, and the leases that run on it.

use std::time::Duration;

use serde::Serialize;

use super::{Cli, Exit, Failure};
use crate::{
    base::{
        clock::{Clock, Timestamp, parse_moment},
        text::{Text, nearest},
        units,
    },
    cli::{setup, target},
    jobs::{Job, JobId},
    recover::{Fault, Kind},
    watch::{
        snapshot,
        sources::pgbouncer::{
            Bouncer, ConsoleError,
            admin::{Admin, Database, Told},
        },
    },
};

/// What jobs that hold a pause are called.
pub const HOLD: &str = "pgbouncer.hold";

/// The way to a PgBouncer.
#[derive(Debug)]
pub struct Door {
    /// The target's name.
    pub target: Text,
    /// Nothing may be changed on it.
    pub read_only: bool,
    bouncer: Bouncer,
    runtime: tokio::runtime::Runtime,
}

/// A pause that somebody holds, and that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The job that holds it.
    pub job: Text,
    /// Since when.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How long that is, in words.
    pub left: String,
    /// Who holds it.
    pub by: Text,
    /// Why.
    pub why: Option<Text>,
}

impl Door {
    /// By the words of a call.
    pub fn of(cli: &Cli, words: Option<&str>) -> Result<Self, Failure> {
        let plan = target::plan(&setup::config(cli)?, words)?;
        let target = plan.frame.target;
        let Some(bouncer) = plan.bouncers.into_iter().next() else {
            let what = format!(
                "no PgBouncer of '{}' is configured: target.NAME.pgbouncer (`howdah config example`)",
                target.name
            );
            return Err(Failure::new(Exit::Config, what));
        };
        // Who acts is more patient than who looks each second.
        let bouncer = Bouncer {
            connect_within: Duration::from_secs(3),
            answer_within: Duration::from_secs(3),
            ..bouncer
        };
        let runtime = setup::runtime()?;
        Ok(Self { target: target.name, read_only: target.read_only, bouncer, runtime })
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.bouncer.settings.describe()
    }

    /// What its console tells.
    pub fn look(&self) -> Result<Told, ConsoleError> {
        self.runtime.block_on(async { Admin::open(&self.bouncer).await?.look().await })
    }

    /// One database of it.
    pub fn database(&self, name: &str) -> Result<(Database, Option<Duration>), Failure> {
        let told = self.look().map_err(fault)?;
        let known: Vec<String> = told.databases.iter().map(|one| one.name.to_string()).collect();
        let found = told.databases.into_iter().find(|one| *one.name == *name);
        let missing = || {
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("it serves {}", known.join(", ")),
            };
            let what = format!("PgBouncer at {} serves no '{name}'; {hint}", self.address());
            Failure::new(Exit::Usage, what)
        };
        Ok((found.ok_or_else(missing)?, told.patience))
    }

    /// True while nobody is served; an error when it cannot be asked.
    pub fn is_paused(&self, name: &str) -> Result<bool, ConsoleError> {
        let told = self.look()?;
        Ok(told.databases.iter().any(|one| *one.name == *name && one.paused))
    }

    /// PAUSE.
    pub fn pause(&self, name: &str, within: Duration) -> Result<(), ConsoleError> {
        self.runtime.block_on(async { Admin::open(&self.bouncer).await?.pause(name, within).await })
    }

    /// RESUME, or nothing where it is not paused.
    pub fn resume(&self, name: &str) -> Result<(), ConsoleError> {
        let resumed =
            self.runtime.block_on(async { Admin::open(&self.bouncer).await?.resume(name).await });
        match resumed {
            // A restart of PgBouncer, or another person, has ended the pause: that is as well.
            Err(ConsoleError::Refused(..)) if !self.is_paused(name)? => Ok(()),
            other => other,
        }
    }

    /// RESUME until it is done. False when the end was wished for first, by `given_up`.
    pub fn resume_at_last(&self, name: &str, given_up: &dyn Fn() -> bool) -> bool {
        let mut pause = Duration::from_millis(100);
        while self.resume(name).is_err() {
            if given_up() {
                return false;
            }
            std::thread::sleep(pause);
            // A PgBouncer that comes back serves again within a second.
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        true
    }

    /// What jobs of leases on one database are known by.
    pub fn tag(&self, database: &str) -> String {
        tag(&self.target, database)
    }

    /// The lease on a database, if one runs.
    pub fn lease(&self, database: &str) -> Result<Option<(JobId, Lease)>, Failure> {
        let tag = self.tag(database);
        let jobs = setup::jobs()?.list();
        let jobs = jobs.map_err(|error| Failure::new(Exit::Failure, error))?;
        let runs = |job: &Job| job.card.tag.as_deref() == Some(&*tag) && !job.state.over();
        Ok(jobs
            .into_iter()
            .flatten()
            .find(runs)
            .and_then(|job| Some((job.id.clone(), lease(&job)?))))
    }
}

/// The database of a target on which a job holds a lease, and until when.
pub fn held(job: &Job) -> Option<snapshot::Lease> {
    let lease = (*job.card.what == *HOLD && !job.state.over()).then(|| lease(job))??;
    let target = &job.card.target.as_ref()?.name;
    let database = job.card.tag.as_ref()?.strip_prefix(&tag(target, ""))?;
    Some(snapshot::Lease {
        target: target.clone(),
        database: database.into(),
        until: lease.until,
        why: lease.why,
    })
}

/// What jobs of leases on one database are known by.
fn tag(target: &str, database: &str) -> String {
    format!("pgbouncer/{target}/{database}")
}

/// A lease as its job tells it.
fn lease(job: &Job) -> Option<Lease> {
    let now = Clock::system().wall();
    let mut words = job.card.arguments.iter().map(Text::as_str);
    words.find(|word| *word == "--until")?;
    let until = parse_moment(words.next()?, now)?;
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Some(Lease {
        job: job.id.as_str().into(),
        since: job.card.started,
        until,
        left: units::clock(left),
        by: job.card.who.in_words().into(),
        why: job.card.why.clone(),
    })
}

/// A console that did not do as it was told, as an end of this program.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub fn fault(error: ConsoleError) -> Fault {
    let kind = match error {
        ConsoleError::Refused(..) => Kind::Refused,
        ConsoleError::NotAConsole(_) => Kind::Config,
        _ => Kind::Unavailable,
    };
    Fault::new(kind, format!("PgBouncer: {error}")).remedy(error.remedy())
}
