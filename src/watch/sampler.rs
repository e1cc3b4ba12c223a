//! Runs every source of one target and publishes what they say.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    assemble::{Assembler, Frame},
    beat::Beat,
    checks::{self, ParseError, derived},
    server::{self, Assignment, Watcher},
    snapshot::{LinkState, Snapshot},
    sources::{
        Reading,
        address::Endpoint,
        disks, endpoint,
        keeper::{self, Keeper},
        pace::Line,
        pgbouncer::{self, Bouncer},
    },
};
use crate::{base::clock::Clock, resilience::conninfo::Settings};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What stays the same while it is watched.
    pub frame: Frame,
    /// How to connect to the server.
    pub settings: Settings,
    /// The applications' metrics endpoints.
    pub endpoints: Vec<Endpoint>,
    /// PgBouncers, by their admin consoles.
    pub bouncers: Vec<Bouncer>,
    /// The backup repository, if one is configured.
    pub repository: Option<Keeper>,
    /// The folder of jobs, where somebody wants to see them.
    pub jobs: Option<Keeper>,
    /// Other backup engines of this cluster.
    pub engines: Vec<Keeper>,
    /// The file of what is silenced, where a state folder is known.
    pub silences: Option<Keeper>,
    /// What of this machine must not run out of room, where somebody wants to know.
    pub disks: Option<disks::Plan>,
}

/// What a person asks of the sampler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Try again now, whatever pause is on.
    RetryNow,
    /// Take the alert of that id.
    Acknowledge(String),
}

/// A target that is being watched. Dropping it stops every source.
#[derive(Debug)]
pub struct Watch {
    /// The newest sight.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    orders: mpsc::Sender<Order>,
    cancel: CancellationToken,
}

impl Watch {
    /// Gives an order; it is never waited for. A queue that is full means that nobody works it off,
    /// and the order is lost: false.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// A handle that gives orders from elsewhere.
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What the sources said is judged at least so often; a little more than the server's own second.
const JUDGE_EVERY: Duration = Duration::from_millis(1250);
/// Sources are asked in one beat: what they say within this time makes one sight, and one frame.
const TOGETHER: Duration = Duration::from_millis(25);
/// What is kept in files is read after the first facts of the server, or when it has had so long to answer:
/// on two processors, reading beside it would delay what everybody waits for.
const HEAD_START: Duration = Duration::from_millis(150);
/// Messages that may wait for the assembler.
const QUEUE: usize = 64;

/// Starts every source of a plan on the current tokio runtime.
pub fn start(plan: Plan, clock: &Clock) -> Result<Watch, ParseError> {
    let cancel = CancellationToken::new();
    let retry = Arc::new(Notify::new());
    let (server_out, server_in) = mpsc::channel(QUEUE);
    let (reading_out, reading_in) = mpsc::channel(QUEUE);
    let (orders, orders_in) = mpsc::channel(QUEUE);
    let specs = checks::cluster()?;
    let mut derived = derived::all()?;
    if let Some(disks) = &plan.disks {
        disks.limits.apply(&mut derived);
    }
    let mut assembler = Assembler::new(plan.frame.clone(), derived, clock.clone());
    if let Some(keeper) = &plan.repository {
        assembler.expect_repository(keeper);
    }
    if plan.jobs.is_some() {
        assembler.expect_jobs();
    }
    for keeper in &plan.engines {
        assembler.expect_engine(keeper);
    }
    let (publish, snapshots) = watch::channel(assembler.sight(false));
    let beat = Beat::new();
    let watcher = Watcher::new(Assignment {
        settings: plan.settings,
        period: plan.frame.period,
        beat,
        specs,
        clock: clock.clone(),
        out: server_out,
        retry: Arc::clone(&retry),
        cancel: cancel.clone(),
    });
    tokio::spawn(watcher.run());
    let line =
        Line { out: reading_out.clone(), retry: Arc::clone(&retry), cancel: cancel.clone(), beat };
    for place in plan.endpoints {
        tokio::spawn(endpoint::run(place, clock.clone(), line.clone()));
    }
    for bouncer in plan.bouncers {
        tokio::spawn(pgbouncer::run(bouncer, clock.clone(), line.clone()));
    }
    let kept = plan.repository.into_iter().chain(plan.jobs).chain(plan.silences);
    for keeper in kept.chain(plan.engines) {
        let source = keeper::run(keeper, clock.clone(), line.clone());
        tokio::spawn(after_first_facts(snapshots.clone(), source));
    }
    let (data, data_told) = watch::channel(None);
    if let Some(plan) = plan.disks {
        let source = disks::run(plan, data_told, clock.clone(), line.clone());
        tokio::spawn(after_first_facts(snapshots.clone(), source));
    }
    let inbox = Inbox { server: server_in, readings: reading_in, orders: orders_in };
    // Kept, so that a target without endpoints does not look like one whose sources ended.
    tokio::spawn(assemble(
        assembler,
        inbox,
        Outbox { publish, data },
        retry,
        reading_out,
        cancel.clone(),
    ));
    Ok(Watch { snapshots, orders, cancel })
}

async fn after_first_facts(
    mut sights: watch::Receiver<Arc<Snapshot>>,
    source: impl Future<Output = ()>,
) {
    let live = |sight: &Arc<Snapshot>| sight.link.state == LinkState::Live;
    let _ = timeout(HEAD_START, sights.wait_for(live)).await;
    source.await;
}

struct Inbox {
    server: mpsc::Receiver<server::Event>,
    readings: mpsc::Receiver<Reading>,
    orders: mpsc::Receiver<Order>,
}

struct Outbox {
    publish: watch::Sender<Arc<Snapshot>>,
    /// The server's data folder, for whoever measures disks.
    data: watch::Sender<Option<PathBuf>>,
}

impl Outbox {
    fn tell(&self, assembler: &mut Assembler, judging: bool) {
        let data = assembler.data_folder().map(PathBuf::from);
        self.data.send_if_modified(|told| {
            let new = data.is_some() && *told != data;
            if new {
                told.clone_from(&data);
            }
            new
        });
        self.publish.send_replace(assembler.sight(judging));
    }
}

async fn assemble(
    mut assembler: Assembler,
    mut inbox: Inbox,
    outbox: Outbox,
    retry: Arc<Notify>,
    _readings: mpsc::Sender<Reading>,
    cancel: CancellationToken,
) {
    // Judged with each answer of the server; without one, by the clock. Two rhythms would only make
    // twice as many frames.
    let mut judge_at = Instant::now();
    loop {
        let was_live = assembler.is_live();
        let mut answered = false;
        let mut more_to_come = false;
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(event) = inbox.server.recv() => {
                answered = matches!(event, server::Event::Facts { .. });
                more_to_come = answered && was_live;
                assembler.server(event);
            }
            Some(reading) = inbox.readings.recv() => {
                more_to_come = was_live;
                assembler.reading(reading);
            }
            Some(order) = inbox.orders.recv() => match order {
                Order::RetryNow => retry.notify_waiters(),
                Order::Acknowledge(id) => {
                    let found = assembler.acknowledge(&id);
                    tracing::info!(id, found, "alert acknowledged");
                }
            },
            () = sleep_until(judge_at) => {}
        }
        // A change of the link is told at once, and so is the first that is heard.
        if more_to_come {
            sleep(TOGETHER).await;
        }
        // What has come in meanwhile belongs to the same sight.
        while let Ok(event) = inbox.server.try_recv() {
            answered |= matches!(event, server::Event::Facts { .. });
            assembler.server(event);
        }
        while let Ok(reading) = inbox.readings.try_recv() {
            assembler.reading(reading);
        }
        let judging = answered || Instant::now() >= judge_at;
        if judging {
            judge_at = Instant::now() + JUDGE_EVERY;
        }
        outbox.tell(&mut assembler, judging);
    }
}
