//! Bad days of a server, seen through the whole engine: what is shown of them, and how soon.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test, which says what it measured")]

mod support;
#[path = "support/watching.rs"]
mod watching;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use howdah::{
    resilience::conninfo::{self, Settings},
    sandbox::{
        Cluster, Server, Stop, Via,
        folder::{PrivateFolder, command},
        process::{self, Signal},
    },
    watch::snapshot::{
        AlertState, ArchiveMode, BreakerState, CheckState, Environment, Freshness, Known,
        LinkState, PoolKind, Role, Severity, Snapshot,
    },
};
use support::{cluster, cluster_with, connect, database::target};
use tokio::task::block_in_place;
use watching::{
    LIMIT, SLACK, Watched, alert, check, fresh, live, plan, problem, role, state, watcher,
};

/// Word on screen after a stop or a kill.
const SEEN_DOWN: Duration = Duration::from_secs(1);
/// Word on screen after a hang.
const SEEN_HUNG: Duration = Duration::from_secs(2);
/// Live again after the server is back.
const BACK: Duration = Duration::from_millis(700);

/// A session of an application.
async fn session(server: &Server, name: &str) -> tokio_postgres::Client {
    let mut settings = server.settings(Via::Unix);
    settings.application_name(name);
    let (client, connection) = settings.connect(tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

/// The process of our own session on the server.
fn our_backend(server: &Server) -> String {
    let sql = "select string_agg(pid::text, ',') from pg_stat_activity \
               where application_name = 'howdah' and backend_type = 'client backend'";
    server.psql(sql).expect("asked")
}

/// Ends our own session on the server.
fn end_ours(server: &Server) {
    let sql =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'howdah'";
    block_in_place(|| server.psql(sql)).expect("ended");
}

fn system_identifier(server: &Server) -> u64 {
    // The folder may be one of links to some of the programs.
    let postgres = server.binaries().program("postgres").canonicalize().expect("it is there");
    let program = postgres.with_file_name("pg_controldata");
    let output = Command::new(program).arg(server.data_dir()).output().expect("pg_controldata");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Database system identifier:"));
    line.expect("told").trim().parse().expect("a number")
}

fn rpo(sight: &Snapshot) -> Option<Duration> {
    sight.recoverability.rpo.value().map(|rpo| rpo.loss)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_is_shown_as_it_is() {
    let cluster = cluster_with(&[("archive_mode", "on"), ("archive_command", "true")]);
    let settings = watcher(&cluster);
    let mut watched = Watched::live(plan(settings)).await;

    let idle = session(&cluster, "shop").await;
    let open = session(&cluster, "shop").await;
    open.batch_execute("begin").await.expect("begun");
    let busy = session(&cluster, "shop").await;
    let busy = tokio::spawn(async move { busy.batch_execute("select pg_sleep(30)").await });
    let (sight, _) = watched
        .until("its sessions", LIMIT, |sight| {
            let shop = sight.server.value().and_then(|server| {
                server.applications.iter().find(|app| &*app.name == "shop").cloned()
            });
            shop.is_some_and(|shop| {
                (shop.sessions, shop.active, shop.idle, shop.idle_in_transaction) == (3, 1, 1, 1)
            })
        })
        .await;
    let server = sight.server.value().expect("known");
    assert_eq!((server.sessions, server.max_connections, server.reserved), (4, 100, 3));
    // Ours is the second one that works.
    assert_eq!((&server.active, &server.idle), (&Known::Is(2), &Known::Is(1)));
    assert_eq!((&server.idle_in_transaction, &server.waiting), (&Known::Is(1), &Known::Is(0)));

    let identity = sight.identity.value().expect("known");
    assert_eq!(identity.system_identifier, system_identifier(&cluster));
    assert_eq!(
        (identity.role, identity.timeline, identity.read_only),
        (Role::Primary, Some(1), false)
    );
    assert_eq!((&*identity.user, &*identity.database), ("watcher", "postgres"));
    let version = cluster.psql("show server_version_num").expect("asked");
    assert_eq!(identity.version_num.to_string(), version);
    assert!(identity.version.starts_with(&(identity.version_num / 10_000).to_string()));
    assert_eq!(sight.target.environment, Environment::Unknown);
    let pool = sight.pools.iter().find(|pool| pool.kind == PoolKind::Server).expect("its slots");
    assert_eq!((pool.in_use, pool.max), (Some(4), Some(97)));
    let own = sight.breakers.iter().find(|breaker| &*breaker.name == "howdah").expect("ours");
    assert_eq!(own.state, BreakerState::Closed);

    // Archived: what came before is safe, and the archiver says so.
    cluster.psql("create table t(); select pg_switch_wal()").expect("switched");
    let (sight, _) = watched
        .until("archived", LIMIT, |sight| {
            let archiver = sight.backup.archiver.value();
            archiver.is_some_and(|archiver| archiver.archived > 0) && rpo(sight).is_some()
        })
        .await;
    let archiver = sight.backup.archiver.value().expect("known");
    assert_eq!((archiver.mode, archiver.failing), (ArchiveMode::On, false));
    let known = sight.recoverability.rpo.value().expect("known");
    assert_eq!((&*known.source, known.ways.len()), ("WAL archive", 1), "there is no standby");
    assert!(known.loss < Duration::from_secs(5), "{known:?}");

    // Counters that are reset make the rate unknown, never negative.
    watched.until("a rate", LIMIT, |s| s.server.value().is_some_and(|s| s.tps.is_some())).await;
    cluster.psql("select pg_stat_reset()").expect("reset");
    let (mut unknown, mut negative) = (false, false);
    watched
        .throughout(Duration::from_secs(3), |sight| {
            let tps = sight.server.value().and_then(|server| server.tps);
            unknown |= tps.is_none();
            negative |= tps.is_some_and(|tps| tps < 0.0);
        })
        .await;
    assert!(unknown && !negative, "unknown once: {unknown}; negative: {negative}");
    // One table was made with archiving on, so nothing is wrong but what the cluster is made with.
    let wrong: Vec<_> = watched.sight().alerts.iter().map(|alert| alert.check.clone()).collect();
    assert!(wrong.iter().all(|check| &**check == "unsafe_durability"), "{wrong:?}");
    let unseen: Vec<_> = watched
        .sight()
        .checks
        .iter()
        .filter(|check| !matches!(check.state, CheckState::Ok | CheckState::Critical))
        .map(|check| (check.id.clone(), check.state))
        .collect();
    assert_eq!(unseen, [("config_file_errors".into(), CheckState::Blind)], "needs a superuser");
    drop(idle);
    busy.abort();
}

/// Does something to the server that ends it, and waits for the word and for its return.
async fn falls_and_returns(
    watched: &mut Watched,
    cluster: &Cluster,
    what: &str,
    fall: impl FnOnce(),
) {
    let before = watched.sight();
    let began = watched.now();
    block_in_place(fall);
    let (sight, _) = watched.until(what, LIMIT, |s| state(s, LinkState::Down)).await;
    let seen = sight.link.since.since(began);
    assert_eq!(sight.identity, before.identity, "{what}: what was known stays");
    assert!(sight.server.value().is_some(), "{what}: what was known stays");
    let (words, remedy) = problem(&sight);
    assert!(!words.is_empty() && !remedy.is_empty(), "{what}: {words:?} {remedy:?}");
    let (sight, _) = watched
        .until("the alert", LIMIT, |s| {
            alert(s, "server_unreachable").is_some_and(|a| a.state == AlertState::Firing)
        })
        .await;
    assert_eq!(sight.alerts.len(), 1, "{what}: all else follows from it: {:?}", sight.alerts);
    assert!(!fresh(&sight, "server"), "{what}: stale");

    block_in_place(|| cluster.start()).expect("started");
    let started = watched.now();
    let (sight, _) = watched.until("live again", LIMIT, live).await;
    let back = sight.link.since.since(started);
    println!("{what}: seen after {seen:?}, live {back:?} after the start");
    assert!(seen <= SEEN_DOWN + SLACK, "{what}: {seen:?}");
    assert!(back <= BACK + SLACK, "{what}: {back:?}");
    watched.until("no alert", LIMIT, |sight| alert(sight, "server_unreachable").is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_or_killed_is_seen_at_once_and_so_is_its_return() {
    let cluster = cluster();
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    falls_and_returns(&mut watched, &cluster, "stop -m fast", || {
        cluster.stop(Stop::Fast).expect("stopped");
    })
    .await;
    falls_and_returns(&mut watched, &cluster, "kill -9", || cluster.kill().expect("killed")).await;

    // A restart may be over before anybody looks; what counts is that we are back.
    let identity = watched.sight().identity.clone();
    block_in_place(|| cluster.restart()).expect("restarted");
    let started = watched.now();
    let (sight, took) = watched
        .until("live again", LIMIT, |sight| {
            let same = |sight: &Snapshot| sight.identity == identity;
            live(sight) && !same(sight) && sight.link.last_answer > Some(started)
        })
        .await;
    println!("restart: live {took:?} after it; attempts {}", sight.link.attempt);
    // Who answers is asked with the connection, and shown with its first answer.
    assert!(took <= BACK + SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_is_told_and_goes_on_over_the_same_connection() {
    let cluster = cluster();
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    let ours = our_backend(&cluster);
    for hang in [Duration::from_secs(4), Duration::from_secs(10)] {
        let hung = watched.now();
        block_in_place(|| cluster.hang()).expect("hung");
        let (sight, _) = watched.until("hung", LIMIT, |s| state(s, LinkState::Hung)).await;
        let seen = sight.link.since.since(hung);
        assert!(sight.server.value().is_some(), "what was known stays");
        assert!(problem(&sight).0.contains("does not answer"), "{:?}", problem(&sight));
        let left = hang.saturating_sub(seen);
        let mut wrong = Vec::new();
        watched
            .throughout(left, |sight| {
                if live(sight) {
                    wrong.push(sight.link.clone());
                }
            })
            .await;
        assert!(wrong.is_empty(), "it was hung: {wrong:?}");
        let sight = watched.sight();
        assert!(matches!(sight.freshness("server", sight.at), Freshness::Stale(_)));
        assert!(alert(&sight, "server_unreachable").is_some(), "{:?}", sight.alerts);

        block_in_place(|| cluster.resume());
        let resumed = watched.now();
        let (sight, _) = watched.until("live again", LIMIT, live).await;
        let back = sight.link.since.since(resumed);
        println!("hang of {hang:?}: seen after {seen:?}, live {back:?} after it");
        assert!(seen <= SEEN_HUNG + SLACK, "{seen:?}");
        assert!(back <= BACK + SLACK, "{back:?}");
        if hang < Duration::from_secs(5) {
            assert_eq!(our_backend(&cluster), ours, "the same connection");
        }
    }
}

/// What the server logs of each attempt that it refuses for want of a slot.
const REFUSED: &str = "remaining connection slots are reserved";

/// How often the server has said that.
fn said(server: &Server, words: &str) -> usize {
    server.log_tail(5000).lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_slot_an_ordinary_role_is_told_and_a_superuser_gets_in() {
    let cluster =
        cluster_with(&[("max_connections", "8"), ("superuser_reserved_connections", "3")]);
    let settings = watcher(&cluster);
    cluster.psql("create role app login password 'a'").expect("made");
    let mut taken = Vec::new();
    for _ in 0..5 {
        let mut settings = cluster.settings(Via::Unix);
        settings.user("app").password("a");
        let (client, connection) =
            settings.connect(tokio_postgres::NoTls).await.expect("connected");
        taken.push(client);
        tokio::spawn(connection);
    }
    let mut watched = Watched::start(plan(settings));
    let (sight, _) = watched.until("refused", LIMIT, |s| s.link.problem.is_some()).await;
    let (words, remedy) = problem(&sight);
    assert!(words.contains("no free connection slot"), "{words}");
    assert!(words.contains("reserved for superusers"), "{words}");
    assert!(remedy.contains("end idle sessions"), "{remedy}");
    assert!(sight.server.value().is_none() && sight.identity.value().is_none(), "unknown, not 0");

    let before = said(&cluster, REFUSED);
    watched.throughout(Duration::from_secs(6), |sight| assert!(!live(sight))).await;
    let attempts = said(&cluster, REFUSED) - before;
    assert!((3..=7).contains(&attempts), "{attempts} refused attempts in six seconds");

    let as_superuser = Watched::live(plan(target(&cluster, Via::Tcp))).await;
    let sight = as_superuser.sight();
    let server = sight.server.value().expect("known");
    assert_eq!((server.sessions, server.usable()), (6, 5), "in by a reserved slot");
    drop(as_superuser);
    drop(taken);
    let (_, took) = watched.until("live by itself", LIMIT, live).await;
    println!("{attempts} refused attempts in 6 s; live {took:?} after the slots were free");
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_or_pg_hba_is_told_with_a_remedy_and_heals_by_itself() {
    let cluster = cluster();
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    cluster.psql("alter role watcher password 'other'").expect("changed");
    watched.throughout(Duration::from_secs(2), |sight| assert!(live(sight), "it stays")).await;

    let ended = watched.now();
    let cause = |sight: &Snapshot| problem(sight).0.contains("57P01");
    let (named, ()) = tokio::join!(watched.until("the cause", LIMIT, cause), async {
        end_ours(&cluster);
    });
    assert!(problem(&named.0).0.contains("administrator"), "{:?}", problem(&named.0));
    let (sight, _) = watched.until("refused", LIMIT, |s| state(s, LinkState::Refused)).await;
    let seen = sight.link.since.since(ended);
    assert!(seen < SEEN_DOWN + SLACK, "{seen:?}");
    let (words, remedy) = problem(&sight);
    assert!(words.contains("does not take the password of"), "{words}");
    assert!(remedy.contains("password"), "{remedy}");
    assert!(!format!("{sight:?}").contains("password=w"), "no secret is shown");
    cluster.psql("alter role watcher password 'w'").expect("changed back");
    let (_, took) = watched.until("live by itself", LIMIT, live).await;
    println!("password: refused after {seen:?}, live {took:?} after it was right again");
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");

    let path = cluster.data_dir().join("pg_hba.conf");
    let rules = std::fs::read_to_string(path).expect("readable");
    block_in_place(|| cluster.write_hba(&format!("host all watcher all reject\n{rules}")))
        .expect("written");
    end_ours(&cluster);
    let (sight, _) = watched.until("refused", LIMIT, |s| state(s, LinkState::Refused)).await;
    let (words, remedy) = problem(&sight);
    assert!(words.contains("pg_hba.conf") && remedy.contains("pg_hba.conf"), "{words} {remedy}");
    block_in_place(|| cluster.write_hba(&rules)).expect("written");
    let (_, took) = watched.until("live by itself", LIMIT, live).await;
    println!("pg_hba: live {took:?} after it was right again");
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
}

/// The first false green: most views show a weak role less instead of refusing it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_see_is_blind_and_never_green() {
    let cluster = cluster();
    cluster
        .psql(
            "create role weak login password 'w'; create role app login password 'a' connection limit 3; \
             create table t (id int); insert into t values (1)",
        )
        .expect("made");
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut settings = cluster.settings(Via::Unix);
        settings.user("app").password("a");
        let (client, connection) =
            settings.connect(tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        client.batch_execute("begin").await.expect("begun");
        sessions.push(client);
    }
    let mut watched = Watched::live(plan(role(&cluster, "weak", "w"))).await;
    let (sight, _) = watched
        .until("every check looked", LIMIT, |sight| {
            sight.checks.len() > 20 && sight.checks.iter().all(|c| c.state != CheckState::Pending)
        })
        .await;
    let specs = howdah::watch::checks::cluster().expect("the checks");
    let hidden = |id: &str| {
        specs.iter().any(|s| s.id == id && s.privilege != howdah::watch::checks::Privilege::Public)
    };
    for check in sight.checks.iter().filter(|check| hidden(&check.id)) {
        assert_eq!(check.state, CheckState::Blind, "{}", check.id);
        assert!(check.error.is_some() && check.findings.is_empty(), "{}", check.id);
    }
    let server = sight.server.value().expect("known");
    assert_eq!(server.sessions, 4, "all of them, not only ours");
    for figure in [&server.active, &server.idle, &server.idle_in_transaction, &server.waiting] {
        let Known::Blind(why) = figure else { unreachable!("{figure:?}") };
        assert!(why.contains("pg_monitor"), "{why}");
    }
    let archiver = sight.backup.archiver.value().expect("open to everybody");
    assert!(matches!(archiver.ready, Known::Blind(_)), "{:?}", archiver.ready);
    let share = check(&sight, "idle_share").expect("it is there");
    assert_eq!(share.state, CheckState::Blind);
    let limit = check(&sight, "role_or_db_connection_limit").expect("it is there");
    assert_eq!(limit.state, CheckState::Critical, "3 of 3, though the sessions are hidden");

    cluster.psql("grant pg_monitor to weak").expect("granted");
    let sees = |sight: &Snapshot| {
        let idle =
            sight.server.value().and_then(|server| server.idle_in_transaction.value().copied());
        let check = check(sight, "idle_in_transaction").map(|check| check.state);
        idle == Some(3) && check == Some(CheckState::Ok)
    };
    watched.until("sight", LIMIT, sees).await;
}

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
    let (sight, took) =
        watched.until("the root", LIMIT, |sight| alert(sight, "root_blockers").is_some()).await;
    println!("root blocker named after {took:?}");
    let alert_of_root = alert(&sight, "root_blockers").expect("it is there");
    assert_eq!(*alert_of_root.subject, format!("pid {pid}"));
    assert_eq!(alert_of_root.value, Some(7.0));
    assert!(
        alert_of_root.muted.iter().any(|m| m.contains("blocked_sessions")),
        "{alert_of_root:?}"
    );
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
        let postgres = primary.binaries().program("postgres").canonicalize().expect("there");
        let output =
            command(&postgres.with_file_name("pg_basebackup"), account.as_ref(), folder.path())
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
    assert!(took <= Duration::from_secs(2) + SLACK, "{took:?}");
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
            for lasts in [Duration::from_millis(3500), Duration::from_secs(9)] {
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
                assert!(seen <= Duration::from_millis(2500) + SLACK, "{seen:?}");
                assert!(back <= Duration::from_secs(1) + SLACK, "{back:?}");
            }
        });
        },
    );
}
