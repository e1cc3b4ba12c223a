//! The demo starts quickly, its incidents are real, and nothing of it outlives its owner.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{busy, eventually};
use howdah::{
    base::process,
    cluster::{Cluster, ClusterError},
    sandbox::{Demo, DemoOptions, Endpoint, Incident, Registry, SandboxError, demo},
};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");
/// Long enough for a busy machine; what must be quick is asserted where it is measured.
const SOON: Duration = Duration::from_secs(30);

fn options(notes: &TempDir) -> DemoOptions {
    DemoOptions {
        program: Some(PathBuf::from(BINARY)),
        registry: Some(Registry::at(place(notes))),
        ..DemoOptions::default()
    }
}

/// Where a demo leaves its note when that folder is the user's for run time.
fn place(notes: &TempDir) -> PathBuf {
    notes.path().join("howdah/demo")
}

fn notes() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn request(app: &Endpoint, head: &str) -> String {
    let host = app.url.strip_prefix("http://").and_then(|u| u.strip_suffix("/metrics"));
    let mut stream = TcpStream::connect(host.expect("an address")).expect("connected");
    write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

/// The value of the first sample that begins like that.
fn metric(app: &Endpoint, sample: &str) -> f64 {
    let answer = request(app, "GET /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = answer.lines().find(|line| line.starts_with(sample));
    let line = line.unwrap_or_else(|| panic!("no {sample} in {answer}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// 0 closed, 1 open, 2 half-open.
fn breaker(app: &Endpoint) -> f64 {
    metric(app, "db_circuit_breaker_state{database=\"demo\"}")
}

fn in_use(app: &Endpoint) -> f64 {
    metric(app, "db_connection_pool_size{database=\"demo\",state=\"inuse\"}")
}

/// One number from the demo's database.
fn number(cluster: &Cluster, sql: &str) -> i64 {
    let answer = cluster.psql(&format!("\\connect demo\n{sql}")).expect("answered");
    answer.parse().expect("a number")
}

fn history(cluster: &Cluster) -> i64 {
    number(cluster, "select count(*) from history")
}

#[track_caller]
fn works_again(demo: &Demo) {
    let before = history(demo.cluster());
    let took = eventually("the load goes on", SOON, || history(demo.cluster()) > before + 5);
    println!("works again after {took:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
fn it_starts_quickly_with_everything_in_place() {
    let notes = notes();
    let start = std::time::Instant::now();
    let demo = Demo::start(&options(&notes)).expect("a demo");
    let took = start.elapsed();
    println!("started in {took:?}");
    assert!(took < Duration::from_secs(5) * busy(), "{took:?}");

    let target = demo.target();
    assert_eq!(target.apps.iter().map(|app| &*app.name).collect::<Vec<_>>(), ["api-1", "api-2"]);
    let mut config: tokio_postgres::Config = target.conninfo.parse().expect("a keyword string");
    config.password(target.password.expose());
    let monitored = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        let sql = "select pg_has_role('pg_monitor', 'usage') and not rolsuper
                   from pg_roles where rolname = current_user";
        client.query_one(sql, &[]).await.expect("answered").get::<_, bool>(0)
    });
    assert!(monitored);

    let cluster = demo.cluster();
    assert_eq!(cluster.psql("show fsync; show data_checksums").expect("answered"), "on\non");
    assert_eq!(number(cluster, "select count(*) from accounts"), 100_000);
    works_again(&demo);
    let both = "select count(distinct application_name) from pg_stat_activity
                where application_name like 'api-_'";
    eventually("both applications work", SOON, || number(cluster, both) == 2);
    cluster.psql("select pg_switch_wal()").expect("switched");
    let archived = "select archived_count from pg_stat_archiver where failed_count = 0";
    eventually("WAL is archived", SOON, || number(cluster, archived) > 0);
    let files = files_below(&demo.target().repository.join("demo/wal"));
    assert!(files > 0);
    assert_money_is_kept(cluster);
}

/// Files below a folder, however deep.
fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("listed").flatten();
    entries.map(|e| if e.path().is_dir() { files_below(&e.path()) } else { 1 }).sum()
}

fn assert_money_is_kept(cluster: &Cluster) {
    let sql = "select (select sum(balance) from accounts) - (select sum(delta) from history)
                    + (select sum(balance) from branches) - (select sum(delta) from history)
                    + (select sum(balance) from tellers) - (select sum(delta) from history)";
    assert_eq!(number(cluster, sql), 0, "every transfer is whole");
}

#[test]
fn every_incident_has_its_effect_and_is_undone() {
    let notes = notes();
    let demo = Demo::start(&options(&notes)).expect("a demo");
    let (cluster, api_2) = (demo.cluster(), demo.target().apps[1].clone());
    works_again(&demo);

    demo.inject(Incident::Stop).expect("stopped");
    assert!(!cluster.running());
    demo.inject(Incident::Resume).expect("started");
    works_again(&demo);

    demo.inject(Incident::Kill).expect("killed");
    assert!(!cluster.running());
    demo.inject(Incident::Clear).expect("started");
    works_again(&demo);

    demo.inject(Incident::Hang).expect("hung");
    let state = |pid: &i32| process::find(*pid).map(|process| process.state);
    // A process that was about to end may have got that far.
    let stands = |pid: &i32| matches!(state(pid), Some('T' | 'Z') | None);
    eventually("every process stands still", SOON, || cluster.pids().iter().all(stands));
    eventually("the breaker opens", SOON, || breaker(&api_2) != 0.0);
    demo.inject(Incident::Resume).expect("resumed");
    works_again(&demo);
    eventually("the breaker closes", SOON, || breaker(&api_2) == 0.0);

    let idle_or_busy = "select count(*) from pg_stat_activity where application_name = 'api-2'";
    demo.inject(Incident::PoolExhausted).expect("exhausted");
    assert_eq!(in_use(&api_2), 4.0);
    assert_eq!(number(cluster, idle_or_busy), 4);
    demo.inject(Incident::Clear).expect("cleared");
    eventually("the pool is free", SOON, || in_use(&api_2) < 4.0);

    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    let holder = "select count(*) from pg_stat_activity
                  where application_name = 'nightly-batch' and state = 'idle in transaction'";
    demo.inject(Incident::LongLock).expect("locked");
    assert_eq!(number(cluster, holder), 1);
    eventually("others wait", SOON, || number(cluster, waiting) > 0);
    demo.inject(Incident::LongLock).expect("twice is once");
    demo.inject(Incident::Clear).expect("cleared");
    eventually("the lock is gone", SOON, || number(cluster, holder) == 0);
    works_again(&demo);

    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    demo.inject(Incident::SlowQueries).expect("slow");
    eventually("queries are slow", SOON, || number(cluster, sleeping) > 0);
    demo.inject(Incident::Clear).expect("cleared");
    eventually("queries are quick", SOON, || number(cluster, sleeping) == 0);
    works_again(&demo);
    assert_money_is_kept(cluster);
}

#[test]
fn only_who_knows_the_token_makes_trouble() {
    let notes = notes();
    let demo = Demo::start(&DemoOptions { no_load: true, ..options(&notes) }).expect("a demo");
    let app = &demo.target().apps[0];
    for head in [
        "POST /incident/slow-queries HTTP/1.1".to_owned(),
        "POST /incident/slow-queries HTTP/1.1\r\nAuthorization: Bearer wrong".to_owned(),
    ] {
        assert!(request(app, &head).starts_with("HTTP/1.1 401"), "{head}");
    }
    let token = demo.handle().token.expose();
    let known = format!("POST /incident/nonsense HTTP/1.1\r\nAuthorization: Bearer {token}");
    assert!(request(app, &known).contains("no incident is called `nonsense`"));
    assert!(request(app, "GET /else HTTP/1.1").starts_with("HTTP/1.1 404"));
    assert!(!request(app, "GET /metrics HTTP/1.1").contains(token));
    assert_eq!(history(demo.cluster()), 0, "without load nothing is written");

    // What everybody can see of a process holds no secret.
    let secrets =
        [demo.target().password, demo.cluster().password().clone(), demo.handle().token.clone()];
    let pids = demo.helpers().into_iter().chain(demo.cluster().pids());
    for process in pids.filter_map(process::find) {
        assert!(!secrets.iter().any(|s| process.command.contains(s.expose())), "{process:?}");
    }
}

#[test]
fn a_second_terminal_finds_it_and_orderly_end_leaves_nothing() {
    let notes = notes();
    let options = options(&notes);
    let registry = options.registry.clone().expect("given");
    let demo = Demo::start(&options).expect("a demo");
    let found = registry.running();
    assert_eq!(found.len(), 1);
    Incident::Stop.inject(&found[0]).expect("stopped");
    assert!(!demo.cluster().running());
    Incident::Resume.inject(&found[0]).expect("started");

    // By the demo's own configuration everything is found that the demo itself shows.
    let howdah = |words: &[&str]| {
        let mut command = Command::new(BINARY);
        command.env("XDG_RUNTIME_DIR", notes.path()).env("XDG_STATE_HOME", notes.path());
        let said = command.args(words).output().expect("howdah");
        assert!(said.stdout.len() > 1, "{said:?}");
        String::from_utf8(said.stdout).expect("text")
    };
    let config = howdah(&["demo", "config"]);
    assert_eq!(Path::new(config.trim_end()), demo.handle().config());
    let status = howdah(&["--config", config.trim_end(), "status"]);
    assert!(["api-1", "api-2"].iter().all(|app| status.contains(app)), "{status}");

    let pids: Vec<i32> = demo.helpers().into_iter().chain(demo.cluster().pids()).collect();
    let folder = demo.cluster().folder().to_owned();
    assert!(demo.finish().expect("finished").is_none());
    assert_gone(&folder, &pids, Duration::from_millis(500));
    assert!(registry.running().is_empty());
}

#[test]
fn a_kept_one_stays_at_the_port_it_was_given_and_can_be_found_and_removed() {
    let notes = notes();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let options = DemoOptions { keep: true, port: Some(port), ..options(&notes) };
    let registry = options.registry.clone().expect("given");
    let demo = Demo::start(&options).expect("a demo");
    let (apps, postmaster) = (demo.helpers(), demo.cluster().postmaster());
    let kept = demo.finish().expect("finished").expect("kept");
    assert!(process::wait_gone(&apps, Duration::from_secs(3)), "guard and applications are gone");

    let found = registry.running();
    assert_eq!(found.len(), 1);
    let server = found[0].server().expect("opened");
    assert_eq!((server.postmaster(), server.port()), (postmaster, port));
    assert!(fs::read_to_string(&kept.password_file).is_ok());
    assert!(matches!(Incident::LongLock.inject(&found[0]), Err(SandboxError::App { .. })));
    Incident::Hang.inject(&found[0]).expect("hung");
    Incident::Clear.inject(&found[0]).expect("cleared");

    let pids = server.pids();
    let stopped = Command::new("sh").args(["-c", &kept.stop_command]).output().expect("sh");
    assert!(stopped.status.success(), "{stopped:?}");
    assert_gone(&kept.folder, &pids, Duration::from_secs(1));
    assert!(registry.running().is_empty(), "its note is put away");
    assert_eq!(demo::remove_kept(&registry), 0);
}

#[test]
fn a_taken_port_is_told_at_once_and_leaves_nothing() {
    let notes = notes();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let options = DemoOptions { port: Some(port), ..options(&notes) };
    let error = Demo::start(&options).expect_err("taken");
    assert!(
        matches!(error, SandboxError::Cluster(ClusterError::PortTaken(p)) if p == port),
        "{error}"
    );
    assert_eq!(fs::read_dir(place(&notes)).expect("listed").count(), 0);
}

/// A process of its own that holds a demo.
struct Holder {
    child: Child,
    folder: PathBuf,
    pids: Vec<i32>,
}

impl Holder {
    fn start(notes: &TempDir) -> Self {
        let mut child = Command::new(BINARY)
            .arg("demo-hold")
            .arg(place(notes))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        said.read_line(&mut line).expect("it is ready");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let numbers = |key: &str| -> Vec<i32> {
            let list = line[key].as_array().expect("a list");
            list.iter().map(|n| n.as_i64().expect("a number") as i32).collect()
        };
        let (helpers, mut server) = (numbers("helpers"), numbers("server"));
        assert!(helpers.iter().all(|&pid| process::alive(pid)), "{helpers:?}");
        // A worker of autovacuum has its own end.
        server.retain(|&pid| process::alive(pid));
        assert!(server.len() > 5, "{server:?}");
        let pids = helpers.into_iter().chain(server).collect();
        Self { child, folder: line["folder"].as_str().expect("a folder").into(), pids }
    }

    fn own_pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assert_gone(folder: &Path, pids: &[i32], limit: Duration) {
    let left = || -> Vec<i32> { pids.iter().copied().filter(|&pid| process::alive(pid)).collect() };
    let took = eventually("everything is gone", limit, || left().is_empty() && !folder.exists());
    println!("all gone after {took:?}");
}

#[test]
fn nothing_survives_the_kill_of_its_owner() {
    for signal in [process::Signal::KILL, process::Signal::TERM, process::Signal::HUP] {
        let notes = notes();
        let holder = Holder::start(&notes);
        assert!(process::signal(holder.own_pid(), signal));
        assert_gone(&holder.folder, &holder.pids, Duration::from_secs(5) * busy());
        assert_eq!(fs::read_dir(place(&notes)).expect("listed").count(), 0, "{signal:?}");
    }
}

#[test]
fn nothing_survives_even_when_the_server_hangs_and_the_terminal_goes() {
    let notes = notes();
    let holder = Holder::start(&notes);
    let demo = Registry::at(place(&notes)).running().remove(0);
    Incident::Hang.inject(&demo).expect("hung");
    // What a closing terminal and Ctrl-C send reaches the helpers in vain: they have work to do.
    process::signal(holder.pids[0], process::Signal::HUP);
    process::signal(holder.pids[0], process::Signal::INT);
    assert!(process::alive(holder.pids[0]));
    assert!(process::signal(holder.own_pid(), process::Signal::KILL));
    assert_gone(&holder.folder, &holder.pids, Duration::from_secs(5) * busy());
}

#[test]
fn what_is_left_when_owner_and_guard_are_killed_is_put_away_by_the_next() {
    let notes = notes();
    let holder = Holder::start(&notes);
    let registry = Registry::at(place(&notes));
    assert!(process::signal(holder.pids[0], process::Signal::KILL), "the guard");
    assert!(process::signal(holder.own_pid(), process::Signal::KILL));
    process::wait_gone(&[holder.pids[0], holder.own_pid()], SOON);
    assert!(holder.folder.exists());
    assert!(registry.running().is_empty());
    assert_gone(&holder.folder, &holder.pids, Duration::from_secs(2));
}
