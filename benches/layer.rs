//! What the whole layer costs: pool, deadline, breaker and records against the bare driver.
//!
//! A prepared `SELECT 1` over the unix socket and TCP with 1, 8 and 32 tasks and a connection for each, a
//! transaction like pgbench's with 1 and 8, and how fairly 32 tasks share 8 connections.
//!
//! The transaction runs twice. On a server that flushes each commit, as pgbench meets it and as the promise
//! is meant; and on one that flushes nothing, where a commit is a round trip like the others and no wait
//! for the disk hides what the layer adds.
//!
//! Absolute figures are the machine's; the ratios count. Both variants take turns in short batches, so
//! that what disturbs one disturbs the other. Told is the median of the pairs' ratios with its quartiles.
//! On a machine that others use, too, the processor time of the client says more than the clock.
//!
//! `cargo bench --bench layer`, or a part of it: `cargo bench --bench layer -- "SELECT 1, Unix"`
//!
//! With `-- --only layer|bare select|transaction TASKS CALLS` the binary does nothing but so many calls on one
//! thread. Run by `valgrind --tool=callgrind` with two numbers of calls, the difference says what a call takes
//! in instructions, whatever else the machine does.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark talks and may fail")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clock")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use howdah::{
    cluster::{Cluster, Durability, Server, Via},
    resilience::{
        Database, Options,
        conninfo::{Environment, Settings},
        pool,
        transaction::Mode,
    },
};
use tokio_postgres::{Client, NoTls, Statement};

/// Pairs of batches of one comparison.
const PAIRS: usize = 200;
/// pgbench's scale: a hundred thousand accounts, ten tellers and one branch for each.
const SCALE: i32 = 10;
const ACCOUNTS: i32 = 10_000 * SCALE;

const SELECT: &str = "SELECT 1";
const ADD_TO_ACCOUNT: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";
const ACCOUNT: &str = "SELECT balance FROM accounts WHERE id = $1";
const ADD_TO_TELLER: &str = "UPDATE tellers SET balance = balance + $1 WHERE id = $2";
const ADD_TO_BRANCH: &str = "UPDATE branches SET balance = balance + $1 WHERE id = $2";
const NOTE: &str = "INSERT INTO history (teller, branch, account, delta, at) \
                    VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)";
const TABLES: &str = "
    CREATE TABLE branches (id int PRIMARY KEY, balance int) WITH (fillfactor = 50);
    CREATE TABLE tellers (id int PRIMARY KEY, balance int) WITH (fillfactor = 50);
    CREATE TABLE accounts (id int PRIMARY KEY, balance int) WITH (fillfactor = 90);
    CREATE TABLE history (teller int, branch int, account int, delta int, at timestamptz);";

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Select,
    /// Seven round trips: `BEGIN`, five statements, `COMMIT`.
    Transaction,
}

#[derive(Clone)]
enum Side {
    Bare(Arc<Bare>),
    Layer(Database),
}

/// A connection of the bare driver and its prepared statements.
struct Bare {
    client: Client,
    select: Statement,
    transaction: Option<[Statement; 5]>,
}

/// What one transaction moves.
#[derive(Clone, Copy)]
struct Transfer {
    account: i32,
    teller: i32,
    branch: i32,
    delta: i32,
}

impl Transfer {
    fn random() -> Self {
        Self {
            account: rand::random_range(1..=ACCOUNTS),
            teller: rand::random_range(1..=10 * SCALE),
            branch: rand::random_range(1..=SCALE),
            delta: rand::random_range(-5_000..=5_000),
        }
    }
}

impl Bare {
    async fn open(server: &Server, via: Via, work: Work) -> Self {
        let (client, connection) = server.settings(via).connect(NoTls).await.expect("connected");
        tokio::spawn(connection);
        let prepare = async |sql| client.prepare(sql).await.expect("prepared");
        let select = prepare(SELECT).await;
        let transaction = match work {
            Work::Select => None,
            Work::Transaction => Some([
                prepare(ADD_TO_ACCOUNT).await,
                prepare(ACCOUNT).await,
                prepare(ADD_TO_TELLER).await,
                prepare(ADD_TO_BRANCH).await,
                prepare(NOTE).await,
            ]),
        };
        Self { client, select, transaction }
    }

    async fn transfer(&self, t: Transfer) -> Result<(), tokio_postgres::Error> {
        let Some([account, balance, teller, branch, note]) = &self.transaction else {
            return Ok(());
        };
        self.client.batch_execute("BEGIN").await?;
        self.client.execute(account, &[&t.delta, &t.account]).await?;
        self.client.query(balance, &[&t.account]).await?;
        self.client.execute(teller, &[&t.delta, &t.teller]).await?;
        self.client.execute(branch, &[&t.delta, &t.branch]).await?;
        self.client.execute(note, &[&t.teller, &t.branch, &t.account, &t.delta]).await?;
        self.client.batch_execute("COMMIT").await
    }
}

async fn transfer(database: &Database, t: Transfer) -> Result<(), howdah::resilience::Error> {
    database
        .transaction(Mode::default(), |tx| async move {
            tx.execute(ADD_TO_ACCOUNT, &[&t.delta, &t.account]).await?;
            tx.query(ACCOUNT, &[&t.account]).await?;
            tx.execute(ADD_TO_TELLER, &[&t.delta, &t.teller]).await?;
            tx.execute(ADD_TO_BRANCH, &[&t.delta, &t.branch]).await?;
            tx.execute(NOTE, &[&t.teller, &t.branch, &t.account, &t.delta]).await?;
            Ok(())
        })
        .await
}

impl Side {
    async fn call(&self, work: Work) {
        match (self, work) {
            (Self::Bare(bare), Work::Select) => {
                drop(bare.client.query(&bare.select, &[]).await.expect("an answer"));
            }
            (Self::Bare(bare), Work::Transaction) => {
                bare.transfer(Transfer::random()).await.expect("committed");
            }
            (Self::Layer(database), Work::Select) => {
                drop(database.query(SELECT, &[]).await.expect("an answer"));
            }
            (Self::Layer(database), Work::Transaction) => {
                transfer(database, Transfer::random()).await.expect("committed");
            }
        }
    }
}

fn database(server: &Server, via: Via, connections: usize) -> Database {
    let mut target =
        Settings::parse(&server.conninfo(via), &Environment::default()).expect("settings");
    target.password = Some(server.password().clone());
    let pool = pool::Settings { max: connections, ..pool::Settings::default() };
    let options = Options { pool, deadline: Duration::from_secs(10), ..Options::default() };
    Database::new(target, options).expect("a database")
}

/// Median latency in nanoseconds, seconds on the wall, and seconds of the client's processor time of one
/// batch; the last is NaN where it cannot be read.
#[derive(Clone, Copy)]
struct Batch {
    p50: f64,
    wall: f64,
    cpu: f64,
}

/// Processor time of all threads of this process in seconds, exact to the nanosecond (Linux only).
fn cpu() -> f64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.map(|nanos| nanos / 1e9).reduce(|a, b| a + b).unwrap_or(f64::NAN)
}

/// `calls` calls by each of the sides at once.
async fn batch(sides: &[Side], work: Work, calls: usize) -> Batch {
    let (began, before) = (Instant::now(), cpu());
    let tasks: Vec<_> = sides
        .iter()
        .cloned()
        .map(|side| {
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(calls);
                for _ in 0..calls {
                    let call = Instant::now();
                    side.call(work).await;
                    latencies.push(call.elapsed().as_nanos() as f64);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no panic"));
    }
    let wall = began.elapsed().as_secs_f64();
    Batch { p50: quantile(latencies, 0.5), wall, cpu: cpu() - before }
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * q) as usize).copied().unwrap_or(f64::NAN)
}

/// The median with its quartiles.
fn spread(values: &[f64]) -> String {
    let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(values.to_vec(), q));
    format!("{median:.3} ({low:.3} to {high:.3})")
}

fn row(what: &str, figure: &str, promise: &str) {
    println!("{what:<48} {figure:<46} {promise}");
}

/// Bare against layer, in turns, if that is wanted.
async fn compare(scene: &Scene, via: Via, tasks: usize, work: Work) {
    let name = match (work, scene.durability) {
        (Work::Select, _) => "SELECT 1",
        (Work::Transaction, Durability::Honest) => "durable transaction",
        (Work::Transaction, Durability::Fast) => "unflushed transaction",
    };
    let what = format!("{name}, {via:?}, {tasks} task{}", if tasks == 1 { "" } else { "s" });
    if !is_wanted(&what) {
        return;
    }
    let server: &Server = &scene.cluster;
    let mut bares = Vec::new();
    for _ in 0..tasks {
        bares.push(Side::Bare(Arc::new(Bare::open(server, via, work).await)));
    }
    let layers = vec![Side::Layer(database(server, via, tasks)); tasks];
    let calls = match (work, tasks) {
        (Work::Select, 1) => 400,
        (Work::Select, _) => 800 / tasks,
        (Work::Transaction, _) if scene.durability == Durability::Honest => 16 / tasks,
        (Work::Transaction, _) => 40 / tasks,
    };
    // Opens connections, prepares statements.
    batch(&bares, work, calls).await;
    batch(&layers, work, calls).await;
    let mut pairs = Vec::with_capacity(PAIRS);
    for n in 0..PAIRS {
        // The order changes, so that neither always runs on the other's heat.
        pairs.push(if n % 2 == 0 {
            let bare = batch(&bares, work, calls).await;
            (bare, batch(&layers, work, calls).await)
        } else {
            let layer = batch(&layers, work, calls).await;
            (batch(&bares, work, calls).await, layer)
        });
    }
    let all = |figure: fn(&(Batch, Batch)) -> f64| pairs.iter().map(figure).collect::<Vec<_>>();
    let (ratio, extra, raw, throughput, cpu) = (
        all(|(bare, layer)| layer.p50 / bare.p50),
        quantile(all(|(bare, layer)| (layer.p50 - bare.p50) / 1e3), 0.5),
        quantile(all(|(bare, _)| bare.p50 / 1e3), 0.5),
        all(|(bare, layer)| bare.wall / layer.wall),
        all(|(bare, layer)| layer.cpu / bare.cpu),
    );
    let promise = match (work, via, tasks) {
        (Work::Select, _, 1) => "<= 1.04, <= +2 us",
        (Work::Transaction, ..) if scene.durability == Durability::Honest => "<= 1.01",
        _ => "",
    };
    let figure = format!("{}, {extra:+.2} us on {raw:.1}", spread(&ratio));
    row(&format!("{what}: p50"), &figure, promise);
    row(&format!("{what}: throughput"), &spread(&throughput), ">= 0.97");
    row(&format!("{what}: client's CPU"), &spread(&cpu), "");
}

/// Jain's index of the calls that each task got done: 1 is fair, 1/tasks is one for all.
async fn fairness(server: &Server, via: Via, tasks: usize, connections: usize) {
    let what = format!("{tasks} tasks on {connections} connections, {via:?}: Jain");
    if !is_wanted(&what) {
        return;
    }
    let database = database(server, via, connections);
    let until = Instant::now() + Duration::from_secs(3);
    let callers: Vec<_> = (0..tasks)
        .map(|_| {
            let side = Side::Layer(database.clone());
            tokio::spawn(async move {
                let mut calls = 0.0;
                while Instant::now() < until {
                    side.call(Work::Select).await;
                    calls += 1.0;
                }
                calls
            })
        })
        .collect();
    let (mut sum, mut squares) = (0.0, 0.0);
    for caller in callers {
        let calls: f64 = caller.await.expect("no panic");
        sum += calls;
        squares += calls * calls;
    }
    let index = sum * sum / (tasks as f64 * squares);
    row(&what, &format!("{index:.4}"), ">= 0.99");
}

/// A benchmark's first word that is no flag says which part is wanted.
fn is_wanted(what: &str) -> bool {
    std::env::args().skip(1).find(|word| !word.starts_with('-')).is_none_or(|w| what.contains(&w))
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// A server with pgbench's tables.
struct Scene {
    cluster: Cluster,
    durability: Durability,
}

fn scene(durability: Durability) -> Scene {
    let options = howdah::cluster::Options { durability, ..Default::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let fill = |table: &str, rows: i32| {
        format!("INSERT INTO {table} SELECT i, 0 FROM generate_series(1, {rows}) i;")
    };
    let tables = [("branches", SCALE), ("tellers", 10 * SCALE), ("accounts", ACCOUNTS)];
    let filled: String = tables.iter().map(|(table, rows)| fill(table, *rows)).collect();
    cluster.psql(&format!("{TABLES} {filled}")).expect("tables");
    cluster.psql("VACUUM ANALYZE; CHECKPOINT").expect("analyzed");
    Scene { cluster, durability }
}

/// `calls` calls in all by one of the sides, for a profiler.
fn only(side: &str, work: Work, tasks: usize, calls: usize) {
    let scene = scene(Durability::Fast);
    let server: &Server = &scene.cluster;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut sides = Vec::new();
        let layer = database(server, Via::Unix, tasks);
        for _ in 0..tasks {
            sides.push(match side {
                "bare" => Side::Bare(Arc::new(Bare::open(server, Via::Unix, work).await)),
                _ => Side::Layer(layer.clone()),
            });
        }
        batch(&sides, work, calls / tasks).await;
    });
}

fn main() {
    let words: Vec<String> = std::env::args().skip_while(|word| word != "--only").collect();
    if let [_, side, work, tasks, calls, ..] = &words[..] {
        let number = |word: &str| word.parse().expect("a number");
        let work = if work == "select" { Work::Select } else { Work::Transaction };
        return only(side, work, number(tasks), number(calls));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("layer / bare driver: median of {PAIRS} pairs (quartiles); load {}", load());
    row("what", "figure", "promise");
    let unflushed = scene(Durability::Fast);
    runtime.block_on(async {
        for via in [Via::Unix, Via::Tcp] {
            for tasks in [1, 8, 32] {
                compare(&unflushed, via, tasks, Work::Select).await;
            }
        }
        for tasks in [1, 8] {
            compare(&unflushed, Via::Unix, tasks, Work::Transaction).await;
        }
        fairness(&unflushed.cluster, Via::Unix, 32, 8).await;
    });
    drop(unflushed);
    let durable = scene(Durability::Honest);
    runtime.block_on(async {
        for tasks in [1, 8] {
            compare(&durable, Via::Unix, tasks, Work::Transaction).await;
        }
    });
    println!("load at the end {}", load());
}
