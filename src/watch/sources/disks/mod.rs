//! The watch on the room below folders of this machine.
//!
//! Each folder is measured on a thread of its own: a network folder whose server is gone keeps its thread for as
//! long as that takes, is told as unknown meanwhile, and holds up neither the others nor the judge.

mod trend;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use self::trend::Trend;
use super::{
    Reading,
    pace::{Line, Look, keep_asking},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        disk::{Room, room},
        text::Text,
        units,
    },
    resilience::{connect::is_here, conninfo::Host},
    watch::{
        checks::{
            Threshold,
            derived::{DISKS, Derived},
        },
        snapshot::{Disk, Folder, Known, Source, SourceKind},
    },
};

/// How often the room is measured.
const PERIOD: Duration = Duration::from_secs(5);
/// A folder that takes longer is unknown; its answer counts when it comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where fetched segments wait, below `pg_wal`, unless a restore command says otherwise.
const SPOOL: &str = "howdah-spool";

/// What to measure, and what is too little.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The backup repository, where that is a folder.
    pub repository: Option<PathBuf>,
    /// Our own state, where a folder for it is known; it need not be there yet.
    pub state: Option<PathBuf>,
    /// Where the server may be: its folders are measured when all of them are this machine.
    pub hosts: Vec<Host>,
    /// What is too little.
    pub limits: Limits,
}

impl Plan {
    /// Our own folders, each with what it is.
    pub fn own(&self) -> Vec<(&'static str, PathBuf)> {
        let named = [("repository", &self.repository), ("state", &self.state)];
        named.into_iter().filter_map(|(name, path)| Some((name, path.clone()?))).collect()
    }
}

/// When room is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many of a hundred bytes are used: a warning, critical.
    pub used: (u8, u8),
    /// So soon it will be full: a warning, critical.
    pub full_in: (Duration, Duration),
}

impl Limits {
    /// Sets them in the checks that judge by them.
    pub fn apply(&self, checks: &mut [Derived]) {
        let above = |limit: u8| Threshold::parse(&format!("> {limit}"));
        let below = |limit: Duration| Threshold::parse(&format!("< {}", limit.as_secs()));
        for spec in checks.iter_mut().map(|check| &mut check.spec) {
            match spec.id.as_str() {
                "disk_used_pct" => {
                    (spec.warn, spec.crit) = (above(self.used.0), above(self.used.1));
                }
                "disk_full_in" => {
                    (spec.warn, spec.crit) = (below(self.full_in.0), below(self.full_in.1));
                }
                _ => {}
            }
        }
    }
}

/// Measures every period and sends what there is. The server's data folder is told by `data` once it is known.
pub async fn run(plan: Plan, data: watch::Receiver<Option<PathBuf>>, clock: Clock, line: Line) {
    let optional = |name| name == "state";
    let gauge = |(name, path)| Gauge { optional: optional(name), ..Gauge::new(name, path) };
    let own = plan.own().into_iter().map(gauge).collect();
    let disks = Disks {
        own,
        server: Vec::new(),
        hosts: plan.hosts,
        here: None,
        data,
        clock,
        last_good: None,
    };
    keep_asking(disks, PERIOD, line).await;
}

struct Disks {
    own: Vec<Gauge>,
    /// Those of the server's folders, when they are of this machine.
    server: Vec<Gauge>,
    hosts: Vec<Host>,
    /// Whether all hosts are this machine, once that was found out.
    here: Option<bool>,
    data: watch::Receiver<Option<PathBuf>>,
    clock: Clock,
    last_good: Option<Stamp>,
}

impl Look for Disks {
    async fn look(&mut self) -> Reading {
        self.meet().await;
        let asked = self.clock.now();
        let mut gauges: Vec<&mut Gauge> = self.server.iter_mut().chain(&mut self.own).collect();
        for gauge in &mut gauges {
            gauge.begin();
        }
        // One moment for all of them: several that hang take no longer than one.
        let late = Instant::now() + PATIENCE;
        let mut folders = Vec::new();
        for gauge in gauges {
            folders.extend(gauge.read(late, &self.clock).await);
        }
        let now = self.clock.now();
        self.last_good = Some(now);
        let source = Source {
            name: Text::ours(DISKS),
            kind: SourceKind::Disks,
            address: Text::ours("this machine"),
            period: PERIOD,
            last_good: self.last_good,
            problem: None,
            latency: Some(now.since(asked)),
            unreadable: 0,
        };
        Reading { folders: Some(folders), ..Reading::answered(source) }
    }
}

impl Disks {
    /// Takes the server's folders when they are told, and are ours to measure. At first they are waited for:
    /// whoever looks only once has to see them.
    async fn meet(&mut self) {
        if self.last_good.is_none() {
            // A server that is down tells nothing, and its machine's other disks are measured all the same.
            let _ = timeout(PATIENCE, self.data.wait_for(Option::is_some)).await;
        } else if !self.data.has_changed().unwrap_or(false) {
            return;
        }
        let data = self.data.borrow_and_update().clone();
        self.server.clear();
        let Some(data) = data else { return };
        if self.here.is_none() {
            self.here = Some(all_here(&self.hosts).await);
        }
        if self.here == Some(true) {
            let wal = data.join("pg_wal");
            let spool = Gauge { optional: true, ..Gauge::new("spool", wal.join(SPOOL)) };
            self.server = vec![Gauge::new("data", data), Gauge::new("pg_wal", wal), spool];
        }
    }
}

async fn all_here(hosts: &[Host]) -> bool {
    for host in hosts {
        if !is_here(host).await {
            return false;
        }
    }
    !hosts.is_empty()
}

/// One folder that is measured again and again.
struct Gauge {
    name: &'static str,
    path: PathBuf,
    /// It need not be there.
    optional: bool,
    /// A measurement that was not over in time. Another one is not begun beside it: it would hang, too.
    under_way: Option<JoinHandle<io::Result<Room>>>,
    trend: Trend,
}

impl Gauge {
    fn new(name: &'static str, path: PathBuf) -> Self {
        Self { name, path, optional: false, under_way: None, trend: Trend::default() }
    }

    fn begin(&mut self) {
        if self.under_way.is_none() {
            let path = self.path.clone();
            self.under_way = Some(tokio::task::spawn_blocking(move || room(&path)));
        }
    }

    /// What was measured, if it is over by then; nothing of a folder that need not be there and is not.
    async fn read(&mut self, late: Instant, clock: &Clock) -> Option<Folder> {
        let under_way = self.under_way.as_mut()?;
        let disk = match timeout_at(late, under_way).await {
            Err(_) => {
                let what = format!("no answer for {}", units::age(PATIENCE));
                Known::Unknown(what.into())
            }
            Ok(measured) => {
                self.under_way = None;
                match measured.unwrap_or_else(|died| Err(io::Error::other(died))) {
                    Err(error) if self.optional && error.kind() == io::ErrorKind::NotFound => {
                        return None;
                    }
                    Err(error) => Known::Unknown(unseen(&self.path, &error)),
                    Ok(room) => Known::Is(self.disk(room, clock.now())),
                }
            }
        };
        let path = self.path.to_string_lossy().as_ref().into();
        Some(Folder { name: Text::ours(self.name), path, disk })
    }

    fn disk(&mut self, room: Room, now: Stamp) -> Disk {
        self.trend.note(now, room);
        Disk {
            device: room.device,
            size: room.size,
            free: room.free,
            used_percent: room.used_percent(),
            full_in: self.trend.full_in(),
        }
    }
}

fn unseen(path: &Path, error: &io::Error) -> Text {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "'{path}' may not be looked at by this account: watch as root, or as the server's own"
        )
        .into(),
        _ => format!("'{path}': {error}").into(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn limits() -> Limits {
        let hour = Duration::from_hours(1);
        Limits { used: (70, 90), full_in: (hour * 4, hour) }
    }

    async fn first(plan: Plan, data: Option<PathBuf>) -> Vec<Folder> {
        let (out, mut readings) = mpsc::channel(4);
        let (tell, told) = watch::channel(None);
        tell.send_replace(data);
        let cancel = CancellationToken::new();
        let line = Line::new(out, cancel.clone());
        tokio::spawn(run(plan, told, Clock::system(), line));
        let reading = readings.recv().await.expect("a reading");
        cancel.cancel();
        reading.folders.expect("folders")
    }

    #[tokio::test]
    async fn the_folders_of_a_server_of_this_machine_are_measured_and_no_others() {
        let home = tempfile::tempdir().expect("a folder");
        let data = home.path().join("data");
        std::fs::create_dir_all(data.join("pg_wal")).expect("folders");
        let host = |place: &str| {
            let settings = crate::resilience::conninfo::Settings::parse(
                &format!("host={place} user=u"),
                &crate::resilience::conninfo::Environment::bare(),
            );
            settings.expect("settings").hosts
        };
        let plan = |place: &str| Plan {
            repository: Some(home.path().join("gone")),
            state: Some(home.path().to_owned()),
            hosts: host(place),
            limits: limits(),
        };
        let here = first(plan("/run/postgresql"), Some(data.clone())).await;
        let names: Vec<_> =
            here.iter().map(|f| (f.name.as_str(), f.disk.value().is_some())).collect();
        assert_eq!(
            names,
            [("data", true), ("pg_wal", true), ("repository", false), ("state", true)],
            "a spool that is not there is no fault; a repository that is not is one"
        );
        let there = first(plan("192.0.2.7"), Some(data)).await;
        let names: Vec<_> = there.iter().map(|folder| folder.name.as_str()).collect();
        assert_eq!(names, ["repository", "state"]);
    }

    #[tokio::test]
    async fn a_folder_that_hangs_is_unknown_and_holds_up_nobody() {
        let clock = Clock::system();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut hangs = Gauge::new("repository", "/dead".into());
        hangs.under_way = Some(tokio::task::spawn_blocking(move || {
            // As a dead network folder does.
            let _ = held.recv();
            Ok(Room { device: 1, size: 100, free: 40, used: 60 })
        }));
        hangs.begin();
        let late = Instant::now() + Duration::from_millis(20);
        let folder = hangs.read(late, &clock).await.expect("told");
        assert_eq!(folder.disk.reason().map(Text::as_str), Some("no answer for 2s"));
        release.send(()).expect("it still waits");
        let late = Instant::now() + PATIENCE;
        let folder = hangs.read(late, &clock).await.expect("told");
        assert!(
            folder.disk.value().is_some_and(|disk| disk.free == 40),
            "its answer counts: {folder:?}"
        );
    }

    #[test]
    fn the_limits_are_those_of_the_configuration() {
        let mut checks = crate::watch::checks::derived::all().expect("the embedded checks");
        limits().apply(&mut checks);
        let of = |id: &str| &checks.iter().find(|check| check.spec.id == id).expect("there").spec;
        let judged = [71.0, 91.0, 70.0].map(|value| of("disk_used_pct").judge(value));
        use crate::watch::snapshot::Severity::{Critical, Warning};
        assert_eq!(judged, [Some(Warning), Some(Critical), None]);
        let judged = [14_399.0, 3599.0, 14_400.0].map(|value| of("disk_full_in").judge(value));
        assert_eq!(judged, [Some(Warning), Some(Critical), None]);
    }
}
