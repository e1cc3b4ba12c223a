//! Bad days of a server, seen through the whole engine: what is shown of them, and how soon.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test, which says what it measured")]

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::watching::{
    LIMIT, Watched, alert, check, fresh, live, our_backend, plan, problem, role, rpo, state,
    system_identifier, watcher,
};
use crate::support::{cluster, cluster_with, database::target, slack};
use howdah::{
    cluster::{Cluster, Server, Stop, Via},
    watch::snapshot::{
        AlertState, ArchiveMode, BreakerState, CheckState, Environment, Freshness, Known,
        LinkState, PoolKind, Role, Snapshot,
    },
};
use tokio::task::block_in_place;

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

/// Ends our own session on the server.
fn end_ours(server: &Server) {
    let sql =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'howdah'";
    block_in_place(|| server.psql(sql)).expect("ended");
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
    assert!(seen <= SEEN_DOWN + slack(), "{what}: {seen:?}");
    assert!(back <= BACK + slack(), "{what}: {back:?}");
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
    assert!(took <= BACK + slack(), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_is_told_and_goes_on_over_the_same_connection() {
    let cluster = cluster();
    let mut watched = Watched::live(plan(watcher(&cluster))).await;
    let ours = our_backend(&cluster);
    for (seconds, crowded) in [(4, false), (10, true)] {
        let hang = Duration::from_secs(seconds);
        let hung = watched.now();
        block_in_place(|| cluster.hang()).expect("hung");
        let (sight, _) = watched.until("hung", LIMIT, |s| state(s, LinkState::Hung)).await;
        let seen = sight.link.since.since(hung);
        assert!(sight.server.value().is_some(), "what was known stays");
        assert!(problem(&sight).0.contains("does not answer"), "{:?}", problem(&sight));
        // We look once whether the machine is there; then others crowd it.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let queue = if crowded { block_in_place(|| fill_queue(&cluster)) } else { Vec::new() };
        let left = hang.saturating_sub(watched.now().since(hung));
        let mut wrong = Vec::new();
        watched
            .throughout(left, |sight| {
                if !state(sight, LinkState::Hung) {
                    wrong.push(sight.link.clone());
                }
            })
            .await;
        assert!(wrong.is_empty(), "it was hung: {wrong:?}");
        let sight = watched.sight();
        assert_eq!(problem(&sight).0.contains("queue is full"), crowded, "{:?}", problem(&sight));
        drop(queue);
        assert!(matches!(sight.freshness("server", sight.at), Freshness::Stale(_)));
        assert!(alert(&sight, "server_unreachable").is_some(), "{:?}", sight.alerts);

        block_in_place(|| cluster.resume());
        let resumed = watched.now();
        let (sight, _) = watched.until("live again", LIMIT, live).await;
        let back = sight.link.since.since(resumed);
        println!("hang of {hang:?}: seen after {seen:?}, live {back:?} after it");
        assert!(seen <= SEEN_HUNG + slack(), "{seen:?}");
        assert!(back <= BACK + slack(), "{back:?}");
        if hang < Duration::from_secs(5) {
            assert_eq!(our_backend(&cluster), ours, "the same connection");
        }
    }
}

/// Connects until the queue of connections that the server has not taken is full, as clients that try
/// again do in time; the machine then drops whatever else comes.
fn fill_queue(server: &Server) -> Vec<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
        assert!(queue.len() < 5_000, "its queue has no end");
    }
    queue
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
    assert!(took < Duration::from_secs(2) + slack(), "{took:?}");
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
    assert!(seen < SEEN_DOWN + slack(), "{seen:?}");
    let (words, remedy) = problem(&sight);
    assert!(words.contains("does not take the password of"), "{words}");
    assert!(remedy.contains("password"), "{remedy}");
    assert!(!format!("{sight:?}").contains("password=w"), "no secret is shown");
    cluster.psql("alter role watcher password 'w'").expect("changed back");
    let (_, took) = watched.until("live by itself", LIMIT, live).await;
    println!("password: refused after {seen:?}, live {took:?} after it was right again");
    assert!(took < Duration::from_secs(2) + slack(), "{took:?}");

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
    assert!(took < Duration::from_secs(2) + slack(), "{took:?}");
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
