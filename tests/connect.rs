//! Connecting: bounded in time, whatever stands at the other end, and errors that say what to do.
#![expect(clippy::expect_used, reason = "a test whose scene cannot be set has failed")]

use crate::support;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use howdah::{
    base::clock::Clock,
    base::process::{self, Signal},
    cluster::{Cluster, Stop, Via},
    resilience::{
        connect::{
            Cause, ConnectError, Connection, Slots, Stage, Unready, connect, connect_with_retry,
        },
        conninfo::{Environment, Settings},
        retry::{Budget, Runner, Schedule},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn environment() -> Environment {
    let mut environment = Environment::bare();
    environment.user = Some("nobody".to_owned());
    environment
}

fn settings(text: &str) -> Settings {
    Settings::parse(text, &environment()).expect("readable")
}

fn superuser(cluster: &Cluster, via: Via) -> Settings {
    let environment = environment().with("PGPASSWORD", cluster.password().expose());
    Settings::parse(&cluster.conninfo(via), &environment).expect("readable")
}

async fn session(cluster: &Cluster, via: Via) -> Connection {
    connect(&superuser(cluster, via), PATIENCE).await.expect("connected")
}

async fn failure(settings: &Settings, deadline: Duration) -> ConnectError {
    connect(settings, deadline).await.expect_err("no connection")
}

/// The error, and how long it took.
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
async fn timed(settings: &Settings, deadline: Duration) -> (ConnectError, Duration) {
    let start = Instant::now();
    let error = failure(settings, deadline).await;
    (error, start.elapsed())
}

/// A server that does with each connection what it is told.
async fn impostor<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

fn at(address: SocketAddr, rest: &str) -> Settings {
    settings(&format!("hostaddr={} port={} {rest}", address.ip(), address.port()))
}

/// Never answers.
async fn silent(stream: TcpStream) {
    let _held = stream;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up_at_the_deadline() {
    let address = impostor(silent).await;
    for mode in ["disable", "prefer", "require"] {
        let deadline = Duration::from_millis(300);
        let (error, took) = timed(&at(address, &format!("sslmode={mode}")), deadline).await;
        let ConnectError::TimedOut { stage: Stage::Startup, after, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*after, deadline);
        assert!(took >= deadline && took < deadline + Duration::from_millis(500), "{took:?}");
        assert!(error.to_string().contains("hung?") && !error.permanent(), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_told_apart() {
    let address = impostor(|mut stream| async move {
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.expect("a request for TLS");
        stream.write_all(b"S").await.expect("answered");
        silent(stream).await;
    })
    .await;
    let error = failure(&at(address, "sslmode=require"), Duration::from_millis(300)).await;
    assert!(matches!(error, ConnectError::TimedOut { stage: Stage::Handshake, .. }), "{error}");
}

#[tokio::test]
async fn a_hung_host_does_not_keep_from_the_next_one() {
    let cluster = support::cluster();
    let address = impostor(silent).await;
    let text = format!(
        "host=127.0.0.1,{} port={},{} user=postgres dbname=postgres connect_timeout=1",
        cluster.folder().display(),
        address.port(),
        cluster.port()
    );
    let environment = environment().with("PGPASSWORD", cluster.password().expose());
    let settings = Settings::parse(&text, &environment).expect("readable");
    let connection = connect(&settings, PATIENCE).await.expect("the second host answers");
    assert_eq!(connection.host.port, cluster.port());
    // The deadline holds over all hosts: here it ends while the first one is waited for.
    let (error, took) = timed(&settings, Duration::from_millis(200)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_stopped_server_is_given_up_and_found_again() {
    let cluster = support::cluster();
    cluster.hang().expect("hung");
    for via in [Via::Unix, Via::Tcp] {
        let settings = superuser(&cluster, via);
        let (error, took) = timed(&settings, Duration::from_millis(300)).await;
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    cluster.resume();
    session(&cluster, Via::Unix).await;
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let error = failure(&at(address, ""), PATIENCE).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let error = failure(&settings("host=/no/such/folder"), PATIENCE).await;
    assert!(matches!(error, ConnectError::NoSocket { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/folder/.s.PGSQL.5432"), "{error}");

    let error = failure(&settings("host=no.such.name.invalid"), PATIENCE).await;
    assert!(matches!(error, ConnectError::Unresolved { .. }), "{error}");
    assert!(!error.permanent());

    let error = failure(&settings("host=/no/such/folder,no.such.name.invalid"), PATIENCE).await;
    assert!(matches!(&error, ConnectError::NoHost(errors) if errors.len() == 2), "{error}");
}

#[tokio::test]
async fn what_is_no_postgresql_is_named() {
    for banner in
        ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "-ERR unknown\r\n"]
    {
        let address = impostor(move |mut stream| async move {
            let _ = stream.write_all(banner.as_bytes()).await;
            silent(stream).await;
        })
        .await;
        for mode in ["disable", "prefer", "require"] {
            let error = failure(&at(address, &format!("sslmode={mode}")), PATIENCE).await;
            let named = matches!(error, ConnectError::Garbage { .. });
            assert!(named && error.permanent(), "{banner} {mode}: {error}");
        }
    }

    let address = impostor(|stream| async move { drop(stream) }).await;
    let error = failure(&at(address, "sslmode=disable"), PATIENCE).await;
    assert!(matches!(error, ConnectError::Dropped { .. }) && !error.permanent(), "{error}");
}

/// Refuses as a server of that language would: with a code, a message and the name of its function.
async fn refuse(mut stream: TcpStream, code: &str, message: &str, routine: &str) {
    let mut buffer = [0; 512];
    let _ = stream.read(&mut buffer).await;
    let mut fields = Vec::new();
    for (kind, text) in
        [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message), (b'R', routine)]
    {
        fields.push(kind);
        fields.extend(text.bytes().chain([0]));
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).expect("short");
    let answer = [&b"E"[..], &length.to_be_bytes(), &fields].concat();
    let _ = stream.write_all(&answer).await;
}

async fn refusal(code: &'static str, message: &'static str, routine: &'static str) -> ConnectError {
    let address = impostor(move |stream| refuse(stream, code, message, routine)).await;
    failure(&at(address, "sslmode=disable dbname=d"), PATIENCE).await
}

#[tokio::test]
async fn refusals_are_told_apart_in_any_language() {
    for (code, message, routine, state, permanent) in [
        ("57P03", "the database system is starting up", "", Unready::StartingUp, false),
        ("57P03", "the database system is shutting down", "", Unready::ShuttingDown, false),
        ("57P03", "the database system is in recovery mode", "", Unready::Recovering, false),
        (
            "57P03",
            "the database system is not yet accepting connections",
            "",
            Unready::Recovering,
            false,
        ),
        (
            "57P03",
            "the database system is not accepting connections",
            "",
            Unready::NotHotStandby,
            true,
        ),
        (
            "57P03",
            "das Datenbanksystem startet",
            "",
            Unready::Other("das Datenbanksystem startet".into()),
            false,
        ),
        ("57P01", "terminating connection", "", Unready::ShuttingDown, false),
    ] {
        let error = refusal(code, message, routine).await;
        let ConnectError::Unready { state: found, .. } = &error else { panic!("{error}") };
        assert_eq!((found, error.permanent()), (&state, permanent), "{message}");
    }
    for (routine, slots) in [
        ("ProcessStartupPacket", Slots::All),
        ("InitPostgres", Slots::Ordinary),
        ("InitializeSessionUserId", Slots::OfRole),
        ("CheckMyDatabase", Slots::OfDatabase),
    ] {
        let error = refusal("53300", "zu viele Verbindungen", routine).await;
        let ConnectError::TooManyConnections { slots: found, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((*found, error.permanent()), (slots, false));
    }
    let error = refusal("28000", "kein pg_hba.conf-Eintrag", "ClientAuthentication").await;
    assert!(matches!(error, ConnectError::NoPgHbaEntry { .. }) && error.permanent(), "{error}");
    let error = refusal("28000", "Rolle existiert nicht", "InitializeSessionUserId").await;
    assert!(matches!(error, ConnectError::NotAuthenticated { .. }) && error.permanent(), "{error}");
    let error = refusal("42501", "keine Berechtigung", "CheckMyDatabase").await;
    assert!(matches!(error, ConnectError::DatabaseDenied { .. }) && error.permanent(), "{error}");
    let error = refusal("XX000", "\u{1b}[31mred", "").await;
    assert!(error.to_string().contains("^[[31mred") && !error.permanent(), "{error}");
}

#[tokio::test]
async fn a_real_server_refuses_in_all_its_ways() {
    let cluster =
        support::cluster_with(&[("max_connections", "5"), ("superuser_reserved_connections", "2")]);
    cluster.psql("create role few login connection limit 0").expect("made");
    cluster.psql("create role many login").expect("made");
    cluster.psql("create database small connection limit 0").expect("made");
    cluster.psql("create database closed allow_connections false").expect("made");
    cluster.psql("create database guarded").expect("made");
    cluster.psql("revoke connect on database guarded from public").expect("done");
    let rules = "local all postgres scram-sha-256\nlocal closed many trust\nlocal all kept_out reject\n\
                 local all few,many trust\n";
    cluster.write_hba(rules).expect("written");

    let folder = cluster.folder().display();
    let of = |user: &str, dbname: &str| {
        settings(&format!("host={folder} port={} user={user} dbname={dbname}", cluster.port()))
    };
    let check = async |user: &str, dbname: &str, kind: &str, permanent: bool| {
        let error = failure(&of(user, dbname), PATIENCE).await;
        let name = format!("{error:?}");
        assert!(name.starts_with(kind), "{user} {dbname}: {name}");
        assert_eq!(error.permanent(), permanent, "{name}");
        assert!(!error.remedy().is_empty());
    };
    check("postgres", "postgres", "PasswordMissing", true).await;
    check("many", "missing", "DatabaseMissing", true).await;
    check("many", "closed", "DatabaseDenied", true).await;
    check("many", "guarded", "DatabaseDenied", true).await;
    check("kept_out", "postgres", "NoPgHbaEntry", true).await;
    check("unheard_of", "postgres", "NoPgHbaEntry", true).await;
    check("few", "postgres", "TooManyConnections", false).await;
    check("many", "small", "TooManyConnections", false).await;
    let wrong = environment().with("PGPASSWORD", "wrong");
    let wrong = Settings::parse(&cluster.conninfo(Via::Unix), &wrong).expect("readable");
    let error = failure(&wrong, PATIENCE).await;
    assert!(matches!(error, ConnectError::PasswordWrong { .. }) && error.permanent(), "{error}");

    let mut held = Vec::new();
    let error = loop {
        match connect(&of("many", "postgres"), PATIENCE).await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ConnectError::TooManyConnections { slots: Slots::Ordinary, .. }),
        "{error}"
    );
    let error = loop {
        match connect(&superuser(&cluster, Via::Unix), PATIENCE).await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ConnectError::TooManyConnections { slots: Slots::All, .. }), "{error}");
    assert_eq!(held.len(), 5);
}

#[tokio::test]
async fn a_new_password_in_the_passfile_is_seen_by_the_next_attempt() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = support::cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("passfile");
    let write = |password: &str, mode| {
        std::fs::write(&file, format!("*:*:*:*:{password}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("mode set");
    };
    let text = format!("{} passfile={}", cluster.conninfo(Via::Unix), file.display());
    let settings = settings(&text);
    write("old", 0o600);
    assert!(matches!(failure(&settings, PATIENCE).await, ConnectError::PasswordWrong { .. }));
    write(cluster.password().expose(), 0o644);
    let error = failure(&settings, PATIENCE).await;
    assert!(matches!(error, ConnectError::PasswordMissing { ignored: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("chmod 0600"), "{error}");
    write(cluster.password().expose(), 0o600);
    connect(&settings, PATIENCE).await.expect("connected");
}

#[tokio::test]
async fn an_idle_session_learns_who_ended_it() {
    let cluster = support::cluster();
    let connection = session(&cluster, Via::Tcp).await;
    assert_eq!(connection.fate.cause(), None);
    cluster
        .psql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
        .expect("done");
    let Cause::Server { code, .. } = connection.fate.gone().await else {
        panic!("{:?}", connection.fate.cause());
    };
    assert_eq!(&*code, "57P01");
    assert!(connection.client.is_closed());

    // Killed hard, a backend says nothing.
    let connection = session(&cluster, Via::Unix).await;
    let row = connection.client.query_one("select pg_backend_pid()", &[]).await.expect("answered");
    assert!(process::signal(row.get(0), Signal::KILL));
    let cause = connection.fate.gone().await;
    assert!(matches!(cause, Cause::Lost | Cause::Network(_)), "{cause:?}");

    // Asked to stop while it recovers from the kill, a server may wait 60 s for a checkpointer that is not there.
    support::eventually("it recovers", PATIENCE, || cluster.psql("select 1").is_ok());
    cluster.restart().expect("restarted");
    let connection = session(&cluster, Via::Unix).await;
    cluster.stop(Stop::Fast).expect("stopped");
    let cause = connection.fate.gone().await;
    assert!(matches!(cause, Cause::Server { .. }), "{cause:?}");
}

#[tokio::test]
async fn a_dropped_session_ends_on_the_server_and_here() {
    let cluster = support::cluster();
    let watcher = session(&cluster, Via::Unix).await;
    let others = async || {
        let query = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
        watcher.client.query_one(query, &[]).await.expect("counted").get::<_, i64>(0)
    };
    let connection = session(&cluster, Via::Unix).await;
    let fate = connection.fate.clone();
    assert_eq!(others().await, 1);
    drop(connection);
    assert_eq!(fate.gone().await, Cause::Closed);
    support::eventually_async("the session ends", PATIENCE, async || others().await == 0).await;

    // A server that is hung in the middle of a statement does not hold the task either.
    let connection = session(&cluster, Via::Unix).await;
    let fate = connection.fate.clone();
    let asked = tokio::time::timeout(
        Duration::from_millis(100),
        connection.client.query_one("select pg_sleep(60)", &[]),
    );
    assert!(asked.await.is_err());
    cluster.hang().expect("hung");
    drop(connection);
    let ended = tokio::time::timeout(Duration::from_secs(3), fate.gone()).await;
    assert_eq!(ended.expect("the task ends"), Cause::Closed);
    cluster.resume();
}

#[tokio::test]
async fn a_statement_is_cancelled_and_a_hung_server_does_not_hold_the_request() {
    let cluster = support::cluster();
    for via in [Via::Unix, Via::Tcp] {
        let connection = session(&cluster, via).await;
        let sleep = connection.client.query_one("select pg_sleep(60)", &[]);
        let cancel = async {
            support::eventually_async("the statement runs", PATIENCE, async || {
                cluster
                    .psql("select 1 from pg_stat_activity where query like 'select pg_sleep%' and wait_event = 'PgSleep'")
                    .is_ok_and(|answer| answer == "1")
            })
            .await;
            connection.cancel.request(PATIENCE).await
        };
        let (slept, delivered) = tokio::join!(sleep, cancel);
        assert!(delivered);
        let code = slept.expect_err("cancelled").code().cloned();
        assert_eq!(code, Some(tokio_postgres::error::SqlState::QUERY_CANCELED));
    }
    let connection = session(&cluster, Via::Tcp).await;
    cluster.hang().expect("hung");
    // Whether it counts as delivered is the kernel's word; that it comes back is ours.
    let limit = Duration::from_secs(1);
    let request = connection.cancel.request(Duration::from_millis(200));
    assert!(tokio::time::timeout(limit, request).await.is_ok());
    cluster.resume();
}

#[tokio::test]
async fn whose_socket_it_is_can_be_insisted_on() {
    let cluster = support::cluster();
    let mut settings = superuser(&cluster, Via::Unix);
    settings.require_peer = Some("somebody_else".to_owned());
    let error = failure(&settings, PATIENCE).await;
    assert!(matches!(error, ConnectError::WrongPeer { .. }) && error.permanent(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
async fn it_is_tried_again_while_that_can_help() {
    let clock = Clock::system();
    let budget = Budget::new(0.1, 100, clock.clone());
    let schedule = Schedule::default();
    let runner = Runner { schedule: &schedule, budget: &budget, clock: &clock };
    let cluster = support::cluster();
    let settings = superuser(&cluster, Via::Unix);
    cluster.stop(Stop::Fast).expect("stopped");

    let (deadline, start) = (Duration::from_millis(500), Instant::now());
    let error = connect_with_retry(&settings, PATIENCE, deadline, &runner).await;
    let error = error.expect_err("it is stopped");
    assert!(matches!(error, ConnectError::NoSocket { .. }), "{error}");
    assert!(start.elapsed() < deadline + Duration::from_millis(300), "{:?}", start.elapsed());

    let again = connect_with_retry(&settings, PATIENCE, Duration::from_secs(30), &runner);
    let starting = async { tokio::task::block_in_place(|| cluster.start()) };
    let (connection, started) = tokio::join!(again, starting);
    started.expect("started");
    connection.expect("found once it is up");

    let before = budget.left();
    let mut wrong = settings.clone();
    wrong.dbname = "missing".to_owned();
    let error = connect_with_retry(&wrong, PATIENCE, PATIENCE, &runner).await;
    assert!(matches!(error, Err(ConnectError::DatabaseMissing { .. })));
    assert!(budget.left() >= before, "nothing was tried again");
}
