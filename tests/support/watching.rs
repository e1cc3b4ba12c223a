//! Watching a server through the whole engine, and waiting for what it shows.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{process::Command, sync::Arc, time::Duration};

use howdah::{
    base::clock::{Clock, Stamp},
    cluster::Server,
    resilience::conninfo::{Environment, Settings},
    watch::{
        assemble::Frame,
        sampler::{self, Plan, Watch},
        snapshot::{Alert, Check, Freshness, LinkState, Snapshot, Target},
    },
};
use tokio::time::timeout;

/// Longest wait for what has no figure of its own.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A plan for one server and nothing else.
pub fn plan(settings: Settings) -> Plan {
    Plan {
        frame: Frame {
            target: Target { name: "test".into(), ..Target::default() },
            period: Duration::from_secs(1),
            rpo_target: Duration::from_mins(15),
            rto_target: Duration::from_hours(1),
        },
        settings,
        endpoints: Vec::new(),
        repository: None,
        jobs: None,
        engines: Vec::new(),
        silences: None,
        disks: None,
        bouncers: Vec::new(),
    }
}

/// Settings for a role over loopback TCP.
pub fn role(server: &Server, user: &str, password: &str) -> Settings {
    let port = server.port();
    let conninfo = format!(
        "host=127.0.0.1 port={port} user={user} password={password} dbname=postgres sslmode=disable"
    );
    Settings::parse(&conninfo, &Environment::bare()).expect("settings")
}

/// Makes the role `watcher`, a member of `pg_monitor`, and settings for it.
pub fn watcher(server: &Server) -> Settings {
    server
        .psql("create role watcher login password 'w'; grant pg_monitor to watcher")
        .expect("a role to watch with");
    role(server, "watcher", "w")
}

/// A target that is being watched.
pub struct Watched {
    watch: Watch,
    clock: Clock,
}

impl Watched {
    /// Starts watching and waits until it is live.
    pub async fn live(plan: Plan) -> Self {
        let mut watched = Self::start(plan);
        watched.until("live at first", LIMIT, live).await;
        watched
    }

    /// Starts watching.
    pub fn start(plan: Plan) -> Self {
        let clock = Clock::system();
        let watch = sampler::start(plan, &clock).expect("the checks are right");
        Self { watch, clock }
    }

    /// Now, on the clock of the snapshots.
    pub fn now(&self) -> Stamp {
        self.clock.now()
    }

    /// What is shown now.
    pub fn sight(&self) -> Arc<Snapshot> {
        self.watch.snapshots.borrow().clone()
    }

    /// The first sight from now on that is as wanted, and how long that took.
    pub async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> (Arc<Snapshot>, Duration) {
        let start = self.clock.now();
        let mut snapshots = self.watch.snapshots.clone();
        let found = timeout(limit, snapshots.wait_for(|sight| wanted(sight))).await;
        let sight = match found {
            Ok(sight) => Arc::clone(&sight.expect("it is being watched")),
            Err(_) => {
                unreachable!("not within {limit:?}: {what}; shown is {}", told(&self.sight()))
            }
        };
        (sight, self.clock.now().since(start))
    }

    /// Looks at every sight for so long.
    pub async fn throughout(&mut self, length: Duration, mut look: impl FnMut(&Snapshot)) {
        let all = async {
            while self.watch.snapshots.changed().await.is_ok() {
                look(&self.watch.snapshots.borrow_and_update().clone());
            }
        };
        let _ = timeout(length, all).await;
    }
}

/// What matters of a sight, for the message of a test that failed.
fn told(sight: &Snapshot) -> String {
    format!(
        "{:?}\nserver {:?}\nsources {:?}\nalerts {:?}\nRPO {:?}",
        sight.link, sight.server, sight.sources, sight.alerts, sight.recoverability.rpo
    )
}

/// The last probe was answered in time, and what it said is shown.
pub fn live(sight: &Snapshot) -> bool {
    state(sight, LinkState::Live) && sight.server.value().is_some()
}

/// The connection is in that state.
pub fn state(sight: &Snapshot, state: LinkState) -> bool {
    sight.link.state == state
}

/// What went wrong with the connection, and what to do about it.
pub fn problem(sight: &Snapshot) -> (&str, &str) {
    let problem = sight.link.problem.as_ref();
    problem.map_or(("", ""), |problem| (&problem.what, &problem.remedy))
}

/// The alert of that check.
pub fn alert<'a>(sight: &'a Snapshot, check: &str) -> Option<&'a Alert> {
    sight.alerts.iter().find(|alert| &*alert.check == check)
}

/// That check.
pub fn check<'a>(sight: &'a Snapshot, id: &str) -> Option<&'a Check> {
    sight.checks.iter().find(|check| &*check.id == id)
}

/// True when the facts of that source are as new as they should be.
pub fn fresh(sight: &Snapshot, source: &str) -> bool {
    sight.freshness(source, sight.at) == Freshness::Fresh
}

/// The process of our own session on the server.
pub fn our_backend(server: &Server) -> String {
    let sql = "select string_agg(pid::text, ',') from pg_stat_activity \
               where application_name = 'howdah' and backend_type = 'client backend'";
    server.psql(sql).expect("asked")
}

/// The system identifier, as the cluster's own files tell it.
pub fn system_identifier(server: &Server) -> u64 {
    let program = server.binaries().program("pg_controldata");
    let output = Command::new(program).arg(server.data_dir()).output().expect("pg_controldata");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Database system identifier:"));
    line.expect("told").trim().parse().expect("a number")
}

/// What could be lost, if it is known.
pub fn rpo(sight: &Snapshot) -> Option<Duration> {
    sight.recoverability.rpo.value().map(|rpo| rpo.loss)
}
