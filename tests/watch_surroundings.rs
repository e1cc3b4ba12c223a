//! Bad days around a server: its archive, its locks, its standby, its disk, its network; seen through
//! the whole engine.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test, which says what it measured")]

use crate::support;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::watching::{
    LIMIT, Watched, alert, check, live, our_backend, plan, problem, role, rpo, state,
    system_identifier, watcher,
};
use crate::support::{cluster, cluster_with, connect, slack};
use howdah::{
    base::process::{self, Signal},
    cluster::{
        Cluster, Server, Stop, Via,
        folder::{PrivateFolder, command},
    },
    resilience::conninfo::{self, Settings},
    watch::snapshot::{AlertState, CheckState, Known, LinkState, Role, Severity, Snapshot},
};
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_fails_is_an_alert_and_what_could_be_lost_grows() {
    let cluster = cluster_with(&[("archive_mode", "on"), ("archive_command", "true")]);
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    cluster.psql("create table t (id int); select pg_switch_wal()").expect("switched");
    watched.until("all is safe", LIMIT, |sight| rpo(sight).is_some()).await;
    block_in_place(|| cluster.set("archive_command", "false")).expect("set");
    cluster.psql("insert into t values (1); select pg_switch_wal()").expect("written");
    let (sight, _) = watched
        .until("the alert", LIMIT, |sight| {
            alert(sight, "archiver_failing").is_some_and(|a| a.severity == Severity::Critical)
        })
        .await;
    let archiver = sight.backup.archiver.value().expect("known");
    assert!(archiver.failing && archiver.failed > 0, "{archiver:?}");
    grows(&mut watched).await;

    block_in_place(|| cluster.set("archive_command", "true")).expect("set");
    cluster.psql("select pg_switch_wal()").expect("the archiver is woken");
    // It rests for a minute after three failures, unless it is woken by the next segment.
    let healed = |sight: &Snapshot| {
        alert(sight, "archiver_failing").is_none()
            && rpo(sight).is_some_and(|loss| loss < Duration::from_secs(5))
    };
    let waker = async {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            block_in_place(|| cluster.psql("insert into t values (1); select pg_switch_wal()"))
                .expect("written");
        }
    };
    tokio::select! {
        _ = watched.until("healed", Duration::from_secs(80), healed) => {}
        () = waker => {}
    }
}

/// The fourth false green: an archive command that hangs never fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_hangs_is_seen_by_its_queue_and_by_what_could_be_lost() {
    let cluster = cluster_with(&[
        ("archive_mode", "on"),
        ("archive_command", "true"),
        ("wal_init_zero", "off"),
    ]);
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    cluster.psql("create table t (id int); select pg_switch_wal()").expect("switched");
    watched.until("all is safe", LIMIT, |sight| rpo(sight).is_some()).await;
    block_in_place(|| cluster.set("archive_command", "sleep 25; false")).expect("set");
    for _ in 0..12 {
        cluster.psql("insert into t values (1); select pg_switch_wal()").expect("written");
    }
    grows(&mut watched).await;
    let (sight, _) =
        watched.until("the queue", LIMIT, |sight| alert(sight, "archive_backlog").is_some()).await;
    let archiver = sight.backup.archiver.value().expect("known");
    assert!(!archiver.failing && archiver.failed == 0, "no failure is recorded: {archiver:?}");
    assert!(archiver.ready.value().is_some_and(|(count, since)| *count >= 12 && since.is_some()));
    assert!(alert(&sight, "archiver_failing").is_none());
}

/// What could be lost grows with the clock.
async fn grows(watched: &mut Watched) {
    let some = |sight: &Snapshot| rpo(sight).is_some_and(|loss| loss > Duration::from_secs(1));
    let (sight, _) = watched.until("something to lose", LIMIT, some).await;
    let (then, first) = (sight.at, rpo(&sight).expect("known"));
    let later = |sight: &Snapshot| sight.at.since(then) >= Duration::from_secs(4);
    let (sight, _) = watched.until("four seconds later", LIMIT, later).await;
    let grown = rpo(&sight).expect("known").saturating_sub(first);
    assert!(grown >= Duration::from_secs(2), "it grew by {grown:?}");
}

/// The eighth false green: after the crash of a backend the server's start stays where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocks_is_named_and_a_crash_restart_is_seen() {
    let cluster = cluster();
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    let root = connect(&cluster, Via::Unix).await;
    root.batch_execute("create table t (id int)").await.expect("made");
    root.batch_execute("begin; lock table t").await.expect("locked");
    let pid: i32 = root.query_one("select pg_backend_pid()", &[]).await.expect("asked").get(0);
    let mut blocked = Vec::new();
    for _ in 0..7 {
        let client = connect(&cluster, Via::Unix).await;
        blocked.push(tokio::spawn(async move { client.batch_execute("select * from t").await }));
    }
    let all_wait =
        |sight: &Snapshot| alert(sight, "root_blockers").is_some_and(|a| a.value == Some(7.0));
    let (sight, took) = watched.until("the root of seven", LIMIT, all_wait).await;
    println!("root blocker named after {took:?}");
    let alert_of_root = alert(&sight, "root_blockers").expect("it is there");
    assert_eq!(*alert_of_root.subject, format!("pid {pid}"));
    // Those that follow from it fire with the next answer, and are muted by it.
    let mutes = |sight: &Snapshot| {
        alert(sight, "root_blockers")
            .is_some_and(|a| a.muted.iter().any(|m| m.contains("blocked_sessions")))
    };
    watched.until("the blocked sessions muted by their root", LIMIT, mutes).await;
    let waiting = |sight: &Snapshot| {
        sight.server.value().is_some_and(|server| server.waiting == Known::Is(7))
    };
    watched.until("seven wait", LIMIT, waiting).await;
    root.batch_execute("rollback").await.expect("let go");
    for session in blocked {
        session.await.expect("no panic").expect("its turn came");
    }
    watched.until("nobody blocks", LIMIT, |s| alert(s, "root_blockers").is_none()).await;

    // The children of a young server are young anyway: the check begins to see after half a minute.
    let old = "select now() - pg_postmaster_start_time() > interval '31 s'";
    support::eventually_async("a server of some age", Duration::from_mins(1), || async {
        block_in_place(|| cluster.psql(old)).expect("asked") == "t"
    })
    .await;
    let before = watched.sight();
    assert_eq!(check(&before, "crash_restarted").map(|check| check.state), Some(CheckState::Ok));
    let victim: i32 = our_backend(&cluster).parse().expect("one session of ours");
    let crashed = watched.now();
    process::signal(victim, Signal::KILL);
    let (sight, _) =
        watched.until("the crash", LIMIT, |sight| alert(sight, "crash_restarted").is_some()).await;
    println!("crash restart told after {:?}", watched.now().since(crashed));
    let started = |sight: &Snapshot| sight.identity.value().map(|identity| identity.started);
    assert_eq!(started(&sight), started(&before), "the uptime tells nothing");
    assert_eq!(alert(&sight, "crash_restarted").expect("it is there").severity, Severity::Critical);
}

/// A standby of the cluster, made by pg_basebackup on this very machine. Stopped and removed when dropped.
struct Standby {
    server: Server,
    _folder: PrivateFolder,
}

impl Standby {
    fn of(primary: &Cluster) -> Self {
        let folder = PrivateFolder::create().expect("a folder");
        let account = folder.account().cloned();
        let data = folder.path().join("data");
        let program = primary.binaries().program("pg_basebackup");
        let output = command(&program, account.as_ref(), folder.path())
            .args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-X", "stream", "-c", "fast"])
            .args(["-p", &primary.port().to_string(), "-D"])
            .arg(&data)
            .env("PGPASSWORD", primary.password().expose())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let place = folder.path().display();
        let settings = format!("port = {port}\nunix_socket_directories = '{place}'\n");
        let file = data.join("howdah.conf");
        let before = std::fs::read_to_string(&file).expect("the primary's settings");
        std::fs::write(file, before + &settings).expect("written");
        // What makes a folder a sandbox: the same as the primary's, on another port.
        let record = std::fs::read_to_string(primary.folder().join("sandbox.json")).expect("there");
        let mut record: serde_json::Value = serde_json::from_str(&record).expect("a record");
        record["port"] = port.into();
        std::fs::write(folder.path().join("sandbox.json"), record.to_string()).expect("written");
        std::fs::write(folder.path().join("password"), primary.password().expose())
            .expect("written");
        let server = Server::open(folder.path()).expect("a sandbox");
        server.start().expect("started");
        Self { server, _folder: folder }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        // The test has already said what it has to say.
        let _ = self.server.stop(Stop::Immediate);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_here_saves_nothing_and_its_promotion_is_seen_at_once() {
    let cluster = cluster();
    let settings = watcher(&cluster);
    let standby = block_in_place(|| Standby::of(&cluster));
    let mut primary = Watched::live(plan(settings)).await;
    let mut watched = Watched::live(plan(role(&standby.server, "watcher", "w"))).await;
    cluster.psql("create table t (id int)").expect("made");
    let same_machine = |sight: &Snapshot| {
        sight.recoverability.rpo.reason().is_some_and(|why| why.contains("the same machine"))
    };
    let (sight, _) = primary.until("the standby does not count", LIMIT, same_machine).await;
    assert!(rpo(&sight).is_none(), "{:?}", sight.recoverability.rpo);

    let (sight, _) = watched.until("the standby", LIMIT, |s| s.identity.value().is_some()).await;
    let identity = sight.identity.value().expect("known");
    assert_eq!(
        (identity.role, identity.timeline, identity.read_only),
        (Role::Standby, Some(1), true)
    );
    assert_eq!(identity.system_identifier, system_identifier(&cluster));
    assert!(check(&sight, "wal_receiver_down").is_some() && check(&sight, "deadlocks").is_none());

    block_in_place(|| standby.server.psql("select pg_promote()")).expect("promoted");
    let promoted = |sight: &Snapshot| {
        sight.identity.value().is_some_and(|i| (i.role, i.timeline) == (Role::Primary, Some(2)))
    };
    let (sight, took) = watched.until("promoted", LIMIT, promoted).await;
    println!("promotion shown after {took:?}");
    assert!(took <= Duration::from_secs(2) + slack(), "{took:?}");
    assert!(!sight.identity.value().expect("known").read_only);
    let checks = |sight: &Snapshot| {
        check(sight, "wal_receiver_down").is_none()
            && check(sight, "archive_not_configured").is_some()
    };
    watched.until("a primary's checks", LIMIT, checks).await;
}

/// A small file system in the place of a folder; gone when dropped, even while it is used.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts what the folder holds onto a disk of that many megabytes.
    fn under(folder: &Path, megabytes: u32) -> Self {
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("it runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{program} {arguments:?}: {error}\nThis test fills a disk of its own: run it as root, in a \
                 container with the capability SYS_ADMIN, or by: unshare -Urm cargo test"
            );
        };
        let place = folder.to_str().expect("a plain name");
        let aside = format!("{place}.aside");
        run("cp", &["-a", place, &aside]);
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none", place]);
        let disk = Self(folder.to_owned());
        run("cp", &["-a", &format!("{aside}/."), place]);
        run("chown", &["--reference", &aside, place]);
        run("chmod", &["--reference", &aside, place]);
        run("rm", &["-r", &aside]);
        disk
    }

    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let done =
            Command::new("mount").args(["-o", &size]).arg(&self.0).status().expect("it runs");
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may still stand in it. There is nobody to tell that it failed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_the_server_down_and_is_told_in_its_own_words() {
    let cluster = cluster_with(&[("restart_after_crash", "on"), ("max_wal_size", "1GB")]);
    let settings = watcher(&cluster);
    block_in_place(|| cluster.stop(Stop::Fast)).expect("stopped");
    let disk = SmallDisk::under(&cluster.data_dir().join("pg_wal"), 50);
    block_in_place(|| cluster.start()).expect("started");
    let mut watched = Watched::live(plan(settings)).await;
    let before = watched.sight();

    // Each switch begins a segment of 16 MB; the third does not fit any more.
    let filled = block_in_place(|| {
        cluster.psql("create table t as select g from generate_series(1, 900000) g")
    });
    assert!(filled.is_err(), "the disk is too large for this test");
    let full = watched.now();
    let (sight, _) = watched.until("down", LIMIT, |s| state(s, LinkState::Down)).await;
    println!("disk full: {:?} after the refusal: {:?}", watched.now().since(full), problem(&sight));
    assert_eq!(sight.identity, before.identity, "what was known stays");
    assert!(cluster.log_tail(200).contains("No space left on device"), "another cause: no test");
    let firing = |sight: &Snapshot| {
        alert(sight, "server_unreachable").is_some_and(|a| a.state == AlertState::Firing)
    };
    let (sight, _) = watched.until("the alert", LIMIT, firing).await;
    let (words, remedy) = problem(&sight);
    assert!(!words.is_empty() && !remedy.is_empty(), "{words:?} {remedy:?}");

    // The postmaster has given up, or it tries to recover for ever: either way somebody makes room.
    disk.grow(400);
    block_in_place(|| cluster.start()).expect("started");
    let (_, took) = watched.until("live by itself", LIMIT, live).await;
    println!("disk full: live {took:?} after there was room: {:?}", problem(&watched.sight()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_network_that_swallows_everything_is_told_and_heals() {
    use std::net::SocketAddrV4;

    use support::black_hole;

    let through = |server: &Server, address: SocketAddrV4| {
        let (host, port, password) = (address.ip(), address.port(), server.password().expose());
        let conninfo = format!(
            "host={host} port={port} user=postgres password={password} dbname=postgres sslmode=disable"
        );
        Settings::parse(&conninfo, &conninfo::Environment::bare()).expect("settings")
    };
    black_hole::with_black_hole(
        "a_network_that_swallows_everything_is_told_and_heals",
        |server, hole| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
            let mut watched = Watched::live(plan(through(server, hole.address()))).await;
            // Within the time that we stay on the connection, and long after it.
            for lasts in [3_500, 4_250, 9_000].map(Duration::from_millis) {
                let swallowed = watched.now();
                hole.swallow();
                let dead = |sight: &Snapshot| !state(sight, LinkState::Live);
                let (sight, _) = watched.until("no answer", LIMIT, dead).await;
                let seen = sight.link.since.since(swallowed);
                assert!(sight.server.value().is_some(), "what was known stays");
                let named = |sight: &Snapshot| problem(sight).0.contains("nothing answered");
                let (_, took) = watched.until("the network is named", LIMIT, named).await;
                let left = lasts.saturating_sub(watched.now().since(swallowed));
                watched.throughout(left, |sight| assert!(!live(sight))).await;
                hole.heal();
                let healed = watched.now();
                let (sight, _) = watched.until("live again", LIMIT, live).await;
                let back = sight.link.since.since(healed);
                println!("black hole of {lasts:?}: seen after {seen:?}, named {took:?} later, live {back:?} after it");
                assert!(seen <= Duration::from_millis(2500) + slack(), "{seen:?}");
                assert!(back <= Duration::from_millis(700) + slack(), "{back:?}");
            }
        });
        },
    );
}
