//! The door to an application's breakers: who comes in, what is told, and that what is set is what calls meet.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use howdah::{
    base::{clock::Clock, secret::Secret, text::Text},
    resilience::{
        Database, Options,
        breaker::{Mode, State},
        conninfo::{Environment, Settings},
        control::{CallError, Control, Door, DoorError, Told, Wish, ask, set},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

const TOKEN: &str = "0123456789abcdefghij";

fn database(name: &str, clock: &Clock) -> Database {
    let target = Settings::parse("host=/nowhere user=me dbname=app", &Environment::bare());
    let options = Options { name: Text::foreign(name), ..Options::default() };
    Database::with_clock(target.expect("settings"), options, clock.clone()).expect("a database")
}

/// A database whose breaker is controlled over a socket file.
struct Served {
    folder: TempDir,
    clock: Clock,
    app: Database,
    door: Door,
}

impl Served {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::test();
        let app = database("app", &clock);
        let door = Door::Unix(folder.path().join("control"));
        let control = Control::open(&door, vec![app.clone()]).await.expect("opened");
        tokio::spawn(control.serve());
        Self { folder, clock, app, door }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    async fn told(&self) -> Told {
        ask(&self.door).await.expect("told").remove(0)
    }

    /// The answer to bytes as they are: the status line's number, and all of it.
    async fn raw(&self, bytes: &[u8]) -> (String, String) {
        raw(UnixStream::connect(self.path()).await.expect("connected"), bytes).await
    }

    async fn post(&self, body: &str) -> (String, String) {
        let length = body.len();
        self.raw(
            format!("POST /mode HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
        .await
    }
}

async fn raw(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    bytes: &[u8],
) -> (String, String) {
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A door that shuts in the middle of what we send has said all that it has to say.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    (answer.split(' ').nth(1).unwrap_or_default().to_owned(), answer)
}

fn wish(mode: Mode, lasts: Option<&str>) -> Wish {
    Wish {
        breaker: "app".into(),
        mode,
        actor: "anna".into(),
        reason: "a drill".into(),
        expires_in: lasts.map(str::to_owned),
    }
}

#[tokio::test]
async fn what_is_set_is_what_calls_meet_until_it_ends() {
    let served = Served::start().await;
    let breaker = served.app.breaker();
    assert!(breaker.try_acquire().is_ok_and(|permit| {
        permit.success();
        true
    }));

    let told = set(&served.door, &wish(Mode::ForcedOpen, Some("10m"))).await.expect("set");
    assert_eq!((told.mode, told.state, told.mode_changes), (Mode::ForcedOpen, State::Open, 1));
    let hold = told.hold.expect("held");
    assert_eq!((hold.actor.as_str(), hold.reason.as_str()), ("anna", "a drill"));
    let refused = breaker.try_acquire().expect_err("every call is refused");
    assert_eq!(refused.mode, Mode::ForcedOpen);

    served.clock.advance(Duration::from_secs(599));
    assert!(breaker.try_acquire().is_err());
    served.clock.advance(Duration::from_secs(2));
    let told = served.told().await;
    assert_eq!((told.mode, told.hold), (Mode::Auto, None), "its end came by itself");
    assert_eq!((told.state, told.mode_changes), (State::HalfOpen, 2));
    breaker.try_acquire().expect("a probe").success();

    set(&served.door, &wish(Mode::Disabled, None)).await.expect("set");
    for _ in 0..50 {
        breaker.try_acquire().expect("every call passes").failure();
    }
    let told = served.told().await;
    assert_eq!((told.mode, told.calls, told.failure_rate), (Mode::Disabled, 50, Some(1.0)));

    set(&served.door, &wish(Mode::Auto, None)).await.expect("set");
    // Disabled counted on: one more failure, and its rules have seen enough.
    breaker.try_acquire().expect("closed").failure();
    let told = served.told().await;
    assert_eq!((told.state, told.mode, told.mode_changes), (State::Open, Mode::Auto, 4));
    assert!(told.retry_in_seconds.is_some_and(|wait| wait > 0.0), "{told:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_named_and_changes_nothing() {
    let served = Served::start().await;
    let good = r#"{"breaker":"app","mode":"disabled","actor":"anna","reason":"a drill","expires_in":"10m"}"#;
    for (what, with, status, word) in [
        ("\"disabled\"", "\"off\"", "400", "forced_open"),
        (",\"actor\":\"anna\"", "", "400", "actor"),
        ("\"anna\"", "\" \"", "400", "actor: it is empty"),
        ("\"a drill\"", "\"\"", "400", "reason: it is empty"),
        ("\"10m\"", "\"10\"", "400", "expires_in: a duration"),
        ("\"10m\"", "\"0s\"", "400", "expires_in: more than 0"),
        ("\"10m\"", "\"31d\"", "400", "at most 30d"),
        ("\"disabled\"", "\"auto\"", "400", "auto has no end"),
        ("\"expires_in\"", "\"expires\"", "400", "expires"),
        ("\"app\"", "\"ap\\u001b[2J\"", "404", "app"),
        ("}", "", "400", "EOF"),
    ] {
        assert!(good.contains(what), "{what}");
        let (code, answer) = served.post(&good.replace(what, with)).await;
        assert_eq!(code, status, "{with}: {answer}");
        assert!(answer.contains(word), "{with}: {answer}");
        assert!(!answer.contains('\u{1b}'), "{answer}");
    }
    let long = good.replace("a drill", &"x".repeat(501));
    assert!(served.post(&long).await.1.contains("reason: longer than 500"));
    let (code, answer) = served.post(&good.replace("a drill", &"x".repeat(5000))).await;
    assert_eq!(code, "413", "{answer}");

    assert_eq!(served.told().await.mode_changes, 0, "nothing was changed");
    assert_eq!(served.post(good).await.0, "200");
    assert_eq!(served.told().await.mode, Mode::Disabled);
}

#[tokio::test]
async fn garbage_oversized_heads_and_other_requests_end_in_an_answer_or_a_closed_door() {
    let served = Served::start().await;
    assert_eq!(served.raw(b"GET /breakers HTTP/1.1\r\nHost: x\r\n\r\n").await.0, "200");
    assert_eq!(served.raw(b"GET /mode HTTP/1.1\r\nHost: x\r\n\r\n").await.0, "405");
    assert_eq!(served.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.0, "404");
    assert_eq!(served.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n").await.0, "400");
    let head = format!("GET /breakers HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(served.raw(head.as_bytes()).await.0, "431");
    // One that promises a body and never sends it, and one that says nothing, keep nobody else out.
    let mut held = Vec::new();
    for bytes in [&b""[..], b"POST /mode HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"] {
        let mut stream = UnixStream::connect(served.path()).await.expect("connected");
        stream.write_all(bytes).await.expect("sent");
        held.push(stream);
    }
    assert_eq!(served.told().await.mode_changes, 0);
    for mut stream in held {
        let mut answer = Vec::new();
        let shut = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        assert!(shut.await.is_ok(), "the door shuts by itself");
    }
}

#[tokio::test]
async fn a_loopback_port_opens_for_the_whole_token_only() {
    let clock = Clock::test();
    let app = database("app", &clock);
    let any = |token: &str| {
        Door::Loopback("127.0.0.1:0".parse().expect("an address"), Secret::new(token))
    };
    assert!(matches!(Control::open(&any("short"), vec![app.clone()]).await, Err(DoorError::Token)));
    let wide = Door::Loopback("0.0.0.0:0".parse().expect("an address"), Secret::new(TOKEN));
    let opened = Control::open(&wide, vec![app.clone()]).await;
    assert!(matches!(opened, Err(DoorError::NotLoopback(_))));

    let control = Control::open(&any(TOKEN), vec![app.clone()]).await.expect("opened");
    let port = control.port().expect("a port");
    tokio::spawn(control.serve());
    let url = format!("http://127.0.0.1:{port}");
    let door = |token: &str| Door::parse(&url, Some(Secret::new(token))).expect("a door");

    for wrong in ["0123456789abcdefghi", "0123456789abcdefghijk", "0123456789abcdefghiX"] {
        for refused in [
            ask(&door(wrong)).await.map(drop),
            set(&door(wrong), &wish(Mode::ForcedOpen, None)).await.map(drop),
        ] {
            assert!(matches!(refused, Err(CallError::Refused { status: 401, .. })), "{refused:?}");
        }
    }
    for head in ["", "Authorization: Basic 0123456789abcdefghij\r\n", "Authorization: Bearer \r\n"]
    {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let request = format!("GET /breakers HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        let (code, answer) = raw(stream, request.as_bytes()).await;
        assert_eq!(code, "401", "{answer}");
        assert!(!answer.contains("breakers"), "{answer}");
    }
    assert_eq!(app.breaker().stats().mode_changes, 0);

    let told = set(&door(TOKEN), &wish(Mode::ForcedOpen, Some("1m"))).await.expect("set");
    assert_eq!(told.mode, Mode::ForcedOpen);
    assert!(app.breaker().try_acquire().is_err());
    assert_eq!(ask(&door(TOKEN)).await.expect("told").len(), 1);
}

#[tokio::test]
async fn a_socket_file_is_its_owners_alone_and_takes_the_place_of_a_dead_one_only() {
    let served = Served::start().await;
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&served.path()), 0o600);
    let beside = || fs::read_dir(served.folder.path()).expect("listed").count();
    assert_eq!(beside(), 1, "no draft is left");

    let other = || vec![database("other", &Clock::test())];
    let taken = Control::open(&served.door, other()).await;
    assert!(matches!(taken, Err(DoorError::Taken(_))), "{taken:?}");

    let file = served.folder.path().join("a-file");
    fs::write(&file, "somebody's").expect("written");
    let in_the_way = Control::open(&Door::Unix(file.clone()), other()).await;
    assert!(matches!(in_the_way, Err(DoorError::NotASocket(_))), "{in_the_way:?}");
    assert_eq!(fs::read_to_string(&file).expect("still there"), "somebody's");

    // What a killed process leaves: a socket file that nobody listens on.
    let dead = served.folder.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("bound"));
    let door = Door::Unix(dead.clone());
    let control = Control::open(&door, other()).await.expect("a dead one is replaced");
    let task = tokio::spawn(control.serve());
    assert_eq!(ask(&door).await.expect("told")[0].name.as_str(), "other");
    task.abort();
    let _ = task.await;
    assert!(!dead.exists(), "the file goes with the door");
    assert!(matches!(ask(&door).await, Err(CallError::Unreachable(_))));

    let twins = vec![database("a", &Clock::test()), database("a", &Clock::test())];
    assert!(matches!(Control::open(&door, twins).await, Err(DoorError::Twice(_))));
}
