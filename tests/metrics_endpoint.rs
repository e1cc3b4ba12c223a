//! Bad days of a metrics endpoint, against real listeners.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use howdah::{
    base::{clock::Clock, secret::Secret},
    watch::{
        snapshot::{BreakerState, SourceKind},
        sources::{
            Reading,
            address::{Auth, Endpoint},
            endpoint,
            pace::Line,
            scrape::{ScrapeError, Scraped, Scraper},
        },
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n\
    db_connection_pool_size{database=\"app\",state=\"inuse\"} 3\n\
    db_connection_pool_max{database=\"app\"} 10\n\
    db_circuit_breaker_state{database=\"app\"} 1\n";

/// A listener that gives each connection, after the head of its request has come, to `serve`.
async fn listen<F, S>(serve: S) -> Endpoint
where
    S: Fn(TcpStream, String) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let serve = Arc::clone(&serve);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                serve(stream, String::from_utf8_lossy(&head).into_owned()).await;
            });
        }
    });
    quick(&format!("http://127.0.0.1:{port}/metrics"))
}

/// An endpoint with deadlines that a test can wait for.
fn quick(url: &str) -> Endpoint {
    let mut endpoint = Endpoint::new("app", url).expect("an endpoint");
    endpoint.period = Duration::from_millis(50);
    endpoint.connect_within = Duration::from_millis(400);
    endpoint.answer_within = Duration::from_millis(500);
    endpoint
}

async fn says(words: &'static str) -> Endpoint {
    listen(move |mut stream, _| async move {
        let _ = stream.write_all(words.as_bytes()).await;
    })
    .await
}

async fn scrape(endpoint: &Endpoint) -> Result<Scraped, ScrapeError> {
    Scraper::new(Arc::new(endpoint.clone())).scrape().await
}

async fn fails(endpoint: &Endpoint) -> ScrapeError {
    let patience = endpoint.answer_within + Duration::from_secs(2);
    let error =
        tokio::time::timeout(patience, scrape(endpoint)).await.expect("its own deadline holds");
    let error = error.expect_err("a failure");
    let problem = error.problem(endpoint);
    assert!(problem.what.contains(&*endpoint.shown()) && !problem.remedy.is_empty(), "{problem:?}");
    error
}

#[tokio::test]
async fn a_good_answer_is_read_whatever_its_type_and_framing() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nx 1\n",
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\nx 1\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx \r\n2\r\n1\n\r\n0\r\n\r\n",
    ] {
        let scraped = scrape(&says(answer).await).await.expect("readable");
        assert_eq!(scraped.body, b"x 1\n", "{answer}");
        assert!(!scraped.open_metrics);
    }
}

/// A connection serves many questions, and a new one takes its place when the other side has closed it:
/// while it was idle, or just when the next question came.
#[tokio::test]
async fn a_connection_is_kept_and_replaced_when_it_was_closed() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n";
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let endpoint = listen(move |mut stream, _| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let mut asked = [0; 1024];
            for _ in 0..3 {
                let _ = stream.write_all(ANSWER).await;
                if stream.read(&mut asked).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            // The fourth question gets no answer on the first connection, the third is the last elsewhere.
            if !first {
                let _ = stream.write_all(ANSWER).await;
            }
        }
    })
    .await;
    let mut scraper = Scraper::new(Arc::new(endpoint));
    let mut seen = Vec::new();
    for _ in 0..9 {
        assert_eq!(scraper.scrape().await.expect("an answer").body, b"x 1\n");
        seen.push(connections.load(Ordering::SeqCst));
        // So that a closed connection is known to be closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, [1, 1, 1, 2, 2, 2, 2, 3, 3]);
}

#[tokio::test]
async fn the_request_says_who_asks_and_shows_the_login() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let mut endpoint = listen(move |mut stream, head| {
        let tell = tell.lock().expect("not poisoned").take();
        async move {
            let _ = stream.write_all(GOOD.as_bytes()).await;
            if let Some(tell) = tell {
                let _ = tell.send(head);
            }
        }
    })
    .await;
    endpoint.auth = Auth::Bearer(Secret::new("t0ken"));
    scrape(&endpoint).await.expect("an answer");
    let head = told.await.expect("a request").to_lowercase();
    assert!(head.starts_with("get /metrics http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", endpoint.authority())), "{head}");
    assert!(head.contains("user-agent: howdah/"), "{head}");
    assert!(head.contains("authorization: bearer t0ken\r\n"), "{head}");
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    assert_eq!(fails(&quick(&format!("http://127.0.0.1:{port}/"))).await, ScrapeError::Refused);
    let nowhere = fails(&quick("http://no-such-host.invalid/")).await;
    let slow_dns = ScrapeError::ConnectTimeout(Duration::from_millis(400));
    assert!(matches!(nowhere, ScrapeError::NoAddress(_)) || nowhere == slow_dns, "{nowhere:?}");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_left_in_time() {
    let silent = listen(|mut stream, _| async move {
        let _ = stream.read_u8().await;
    });
    let silent = silent.await;
    assert_eq!(fails(&silent).await, ScrapeError::NoAnswer(silent.answer_within));
}

#[tokio::test]
async fn an_endpoint_that_drips_is_left_in_time() {
    let dripping = listen(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x 1\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let error = fails(&dripping.await).await;
    assert!(matches!(error, ScrapeError::Slow { got: 4.., .. }), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_does_not_accept_is_left_in_time() {
    // A full backlog: the kernel drops further connection attempts, as a frozen host does.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("listens");
    let address = listener.local_addr().expect("an address");
    let mut filler = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        filler.push(stream);
    }
    let error = fails(&quick(&format!("http://{address}/"))).await;
    assert_eq!(error, ScrapeError::ConnectTimeout(Duration::from_millis(400)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_named() {
    let cut = says("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nx 1\n").await;
    assert_eq!(fails(&cut).await, ScrapeError::Broken(4));
    let chunk =
        says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nx 1\n\r\n4\r\nx").await;
    assert!(matches!(fails(&chunk).await, ScrapeError::Broken(4 | 5)));
    let headless = says("HTTP/1.1 200 OK\r\nContent-").await;
    assert_eq!(fails(&headless).await, ScrapeError::Broken(0));
    let mute = says("").await;
    assert_eq!(fails(&mute).await, ScrapeError::Broken(0));
    let half_closed = listen(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nx").await;
        let _ = stream.shutdown().await;
        let _ = stream.read_u8().await;
    });
    assert_eq!(fails(&half_closed.await).await, ScrapeError::Broken(1));
    let reset = listen(|stream, _| async move {
        stream.set_zero_linger().expect("a reset instead of an end");
    });
    assert_eq!(fails(&reset.await).await, ScrapeError::Broken(0));
}

#[tokio::test]
async fn a_hundred_megabytes_are_cut_at_the_limit() {
    const CHUNK: usize = 1 << 20;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let mut huge = listen(move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            let line = b"x{a=\"b\"} 1234567\n".repeat(CHUNK / 17);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            for _ in 0..100 {
                if stream.write_all(&line).await.is_err() {
                    return;
                }
                counter.fetch_add(line.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }
    })
    .await;
    huge.answer_within = Duration::from_secs(20);
    assert_eq!(fails(&huge).await, ScrapeError::TooLarge(8 << 20));
    // What the other side could send is what we read plus what the sockets hold.
    let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
    assert!(sent < 32 << 20, "{sent} bytes were taken");
    assert!(huge.max_bytes == 8 << 20);
}

#[tokio::test]
async fn other_answers_are_told_as_what_they_are() {
    let redirect = says("HTTP/1.1 302 Found\r\nLocation: http://else\x01where/\r\n\r\n").await;
    let error = fails(&redirect).await;
    assert!(matches!(&error, ScrapeError::NotHttp(_) | ScrapeError::Redirect(_)), "{error:?}");
    let redirect =
        says("HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(fails(&redirect).await, ScrapeError::Redirect("/login".to_owned()));
    let missing = says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let error = fails(&missing).await;
    assert!(
        error.to_string().contains("404 Not Found") && error.remedy().contains("path"),
        "{error}"
    );
    let locked = says("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await;
    assert!(fails(&locked).await.remedy().contains("credentials"));
    let zipped = says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f").await;
    assert_eq!(fails(&zipped).await, ScrapeError::Compressed("gzip".to_owned()));
    let other = says("220 smtp.example.org ESMTP\r\n").await;
    assert!(matches!(fails(&other).await, ScrapeError::NotHttp(_)));
    let mut headers = "HTTP/1.1 200 OK\r\n".to_owned();
    headers.push_str(&format!("X: {}\r\n", "y".repeat(10_000)).repeat(90));
    headers.push_str("\r\n");
    let fat = says(headers.leak()).await;
    assert!(matches!(fails(&fat).await, ScrapeError::NotHttp(_)));
}

/// The fixture's certificate, which is its own authority.
const CERT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/localhost.cert.pem");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// A listener that speaks TLS and gives each request's head to `answer`. Returns its port.
async fn https(answer: impl Fn(&str) -> &'static str + Send + 'static) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = vec![CertificateDer::from_pem_file(CERT).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(format!("{FIXTURES}/localhost.key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let words = answer(&String::from_utf8_lossy(&head[..length]));
            let _ = stream.write_all(words.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

/// What the binary, with that endpoint in its configuration, tells of it; and everything that it printed
/// and logged on the way.
async fn configured(endpoint: &str) -> (serde_json::Value, String) {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("howdah.toml");
    let url = "host=127.0.0.1 port=1 user=x dbname=x sslmode=disable";
    let text = format!("[target.prod]\nurl = '{url}'\n[target.prod.metrics.app]\n{endpoint}\n");
    std::fs::write(&file, text).expect("written");
    let howdah = |words: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.arg("--config").arg(&file).args(words).env_clear().env("HOME", home.path());
        command
    };
    let status = ["status", "prod", "--json", "--within", "3s"];
    let status = howdah(&status).output().await.expect("it runs");
    let check = howdah(&["config", "check"]).output().await.expect("it runs");
    let log = std::fs::read(home.path().join(".local/state/howdah/howdah.log")).unwrap_or_default();
    let json = serde_json::from_slice(&status.stdout).unwrap_or_default();
    let all = [status.stdout, status.stderr, check.stdout, check.stderr, log].concat();
    (json, String::from_utf8_lossy(&all).into_owned())
}

#[tokio::test]
async fn the_configuration_carries_a_ca_file_and_a_token_that_nobody_is_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let port = https(|head| {
        let known = head.to_lowercase().contains("authorization: bearer t0ken-of-app\r\n");
        if known { GOOD } else { "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken-of-app\n").expect("written");
    let mode = |mode| {
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let url = format!("url = 'https://localhost:{port}/metrics'");
    let ca = format!("ca_file = '{CERT}'");
    let token_file = format!("token_file = '{}'", token.display());
    let problem = |json: &serde_json::Value| json["snapshot"]["sources"][1]["problem"].to_string();

    mode(0o600);
    let (json, all) = configured(&format!("{url}\n{ca}\n{token_file}")).await;
    assert_eq!(json["snapshot"]["sources"][1]["problem"], serde_json::Value::Null, "{all}");
    let pools = json["snapshot"]["pools"].as_array().expect("pools");
    assert!(pools.iter().any(|pool| pool["source"] == "app" && pool["max"] == 10), "{all}");
    assert!(!all.contains("t0ken"), "{all}");

    for (endpoint, words) in
        [(format!("{url}\n{ca}"), "answers 401"), (format!("{url}\n{token_file}"), "TLS failed")]
    {
        let (json, all) = configured(&endpoint).await;
        assert!(problem(&json).contains(words), "{all}");
    }
    mode(0o644);
    let (json, all) = configured(&format!("{url}\n{ca}\n{token_file}")).await;
    assert!(problem(&json).contains("others may read it"), "{all}");
    assert!(!all.contains("t0ken"), "{all}");

    for (endpoint, words) in [
        (ca.clone(), "it has no url"),
        (format!("url = 'https://me:pw@localhost/'\n{token_file}"), "one of them must go"),
        (format!("url = 'http://localhost/'\n{ca}"), "https://"),
    ] {
        let (_, all) = configured(&endpoint).await;
        assert!(all.contains("the metrics endpoint 'app': ") && all.contains(words), "{all}");
    }
}

#[tokio::test]
async fn https_is_read_and_checked() {
    let port = https(|_| GOOD).await;
    let mut endpoint = quick(&format!("https://localhost:{port}/metrics"));
    endpoint.connect_within = Duration::from_secs(5);
    endpoint.answer_within = Duration::from_secs(5);
    endpoint.ca_file = Some(CERT.into());
    let scraped = scrape(&endpoint).await.expect("an answer");
    assert!(scraped.body.starts_with(b"db_connection_pool_size"));

    endpoint.ca_file = None;
    let untrusted = fails(&endpoint).await;
    assert!(matches!(&untrusted, ScrapeError::Tls(_)), "{untrusted:?}");
    endpoint.ca_file = Some("/nonexistent/ca.pem".into());
    assert!(matches!(fails(&endpoint).await, ScrapeError::CaFile { .. }));
    endpoint.ca_file = Some(format!("{FIXTURES}/README.md").into());
    assert!(matches!(fails(&endpoint).await, ScrapeError::CaFile { .. }));
    let mut plain = says(GOOD).await;
    plain.tls = true;
    plain.ca_file = Some(CERT.into());
    let error = fails(&plain).await;
    assert!(matches!(&error, ScrapeError::Tls(_) | ScrapeError::ConnectTimeout(_)), "{error:?}");
}

/// Runs the watch and gives its readings; dropping the token ends it.
fn watch(endpoint: Endpoint) -> (mpsc::Receiver<Reading>, tokio_util::sync::DropGuard) {
    let (out, readings) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    tokio::spawn(endpoint::run(endpoint, Clock::system(), Line::new(out, cancel.clone())));
    (readings, cancel.drop_guard())
}

async fn next(readings: &mut mpsc::Receiver<Reading>) -> Reading {
    let reading = tokio::time::timeout(Duration::from_secs(10), readings.recv()).await;
    reading.expect("in time").expect("a reading")
}

#[tokio::test]
async fn the_watch_tells_good_and_bad_days_and_recovers() {
    let day = Arc::new(std::sync::Mutex::new(GOOD));
    let today = Arc::clone(&day);
    let endpoint = listen(move |mut stream, _| {
        let words = *today.lock().expect("not poisoned");
        async move {
            let _ = stream.write_all(words.as_bytes()).await;
        }
    })
    .await;
    let set = |words: &'static str| *day.lock().expect("not poisoned") = words;
    let shown = endpoint.shown();
    let (mut readings, _guard) = watch(endpoint);

    let good = next(&mut readings).await;
    assert!(good.answered);
    assert_eq!((good.source.kind, &good.source.address), (SourceKind::Metrics, &shown));
    assert_eq!((good.source.problem, good.source.unreadable), (None, 0));
    assert!(good.source.latency.is_some() && good.source.last_good.is_some());
    assert_eq!((&*good.pools[0].name, good.pools[0].in_use), ("app", Some(3)));
    assert_eq!(&*good.pools[0].source, "app");
    assert_eq!((&*good.breakers[0].name, good.breakers[0].state), ("app", BreakerState::Open));
    let since = good.breakers[0].since;

    let until = async |readings: &mut mpsc::Receiver<Reading>, words: &str| loop {
        let reading = next(readings).await;
        let said = reading.source.problem.as_ref().map_or("", |problem| &*problem.what);
        if said.contains(words) && (words.is_empty() == said.is_empty()) {
            return reading;
        }
    };
    set("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let bad = until(&mut readings, "answers 500").await;
    assert!(!bad.answered && bad.pools.is_empty() && bad.breakers.is_empty());
    let last_good = bad.source.last_good.expect("the good day is remembered");

    set("HTTP/1.1 200 OK\r\n\r\n<html>\n\x1b[2Jmaintenance\n</html>\n");
    let garbage = until(&mut readings, "not with metrics; line 1: <html>").await;
    assert!(!garbage.answered);
    assert_eq!((garbage.source.unreadable, garbage.source.last_good), (3, Some(last_good)));

    set("HTTP/1.1 200 OK\r\n\r\nup 1\nprocess_cpu_seconds_total 7\n");
    let foreign = until(&mut readings, "none of its 2 samples").await;
    assert!(foreign.answered && foreign.pools.is_empty());

    set("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\r\n\
        db_connection_pool_max{database=\"app\"} 10\n");
    let cut = until(&mut readings, "`# EOF` is missing").await;
    assert_eq!(cut.pools.len(), 1);

    set(GOOD);
    let again = until(&mut readings, "").await;
    assert!(again.answered && again.source.last_good > Some(last_good));
    assert!(again.breakers[0].since > since, "it was gone meanwhile, and is seen anew");
}

#[tokio::test]
async fn a_large_answer_is_read_too() {
    let mut text = GOOD.to_owned();
    for n in 0..40_000 {
        let _ = writeln!(text, "http_requests_total{{path=\"/{n}\"}} {n}");
    }
    let mut endpoint = says(text.leak()).await;
    endpoint.answer_within = Duration::from_secs(20);
    let (mut readings, _guard) = watch(endpoint);
    let reading = next(&mut readings).await;
    assert_eq!((reading.pools.len(), reading.breakers.len(), reading.source.problem), (1, 1, None));
}

#[tokio::test]
async fn the_watch_ends_when_cancelled_or_not_heard() {
    let endpoint = says(GOOD).await;
    let cancel = CancellationToken::new();
    let (out, _kept) = mpsc::channel(1);
    // Nobody takes the readings: the queue is full, and cancelling still works.
    let task = tokio::spawn(endpoint::run(
        endpoint.clone(),
        Clock::system(),
        Line::new(out, cancel.clone()),
    ));
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("in time").expect("no panic");

    let (out, gone) = mpsc::channel(1);
    drop(gone);
    let task = tokio::spawn(endpoint::run(
        endpoint,
        Clock::system(),
        Line::new(out, CancellationToken::new()),
    ));
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn attempts_never_overlap() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (here, peak) = (Arc::clone(&now), Arc::clone(&most));
    let mut slow = listen(move |mut stream, _| {
        let (here, peak) = (Arc::clone(&here), Arc::clone(&peak));
        async move {
            peak.fetch_max(here.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(60)).await;
            let _ = stream.write_all(GOOD.as_bytes()).await;
            here.fetch_sub(1, SeqCst);
        }
    })
    .await;
    slow.period = Duration::from_millis(1);
    let (mut readings, _guard) = watch(slow);
    for _ in 0..5 {
        assert!(next(&mut readings).await.answered);
    }
    assert_eq!(most.load(SeqCst), 1);
}
