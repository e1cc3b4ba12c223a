//! What the whole layer costs: pool, deadline, breaker and records against the bare driver, on a prepared
//! `SELECT 1`, over the unix socket and TCP, with 1, 8 and 32 tasks and a connection for each.
//!
//! Absolute figures are the machine's; the ratios count. Each round runs both variants one after the
//! other, so that what disturbs one disturbs the other, and the median of the rounds' ratios is told.
//!
//! `cargo bench --bench layer`
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark talks and may fail")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clock")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use howdah::{
    resilience::{
        Database, Options,
        conninfo::{Environment, Settings},
        pool,
    },
    sandbox::{Cluster, Durability, Server, Via},
};
use tokio_postgres::{Client, NoTls, Statement};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(250);

/// What one variant did in one round.
struct Run {
    latency: Histogram<u64>,
    calls_per_second: f64,
    cpu_per_call: f64,
}

#[derive(Clone)]
enum Caller {
    Bare(Arc<(Client, Statement)>),
    Layer(Database),
}

impl Caller {
    async fn call(&self) {
        match self {
            Self::Bare(bare) => drop(bare.0.query(&bare.1, &[]).await.expect("an answer")),
            Self::Layer(database) => {
                drop(database.query("SELECT 1", &[]).await.expect("an answer"));
            }
        }
    }
}

async fn bare(server: &Server, via: Via) -> Caller {
    let (client, connection) = server.settings(via).connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let statement = client.prepare("SELECT 1").await.expect("prepared");
    Caller::Bare(Arc::new((client, statement)))
}

fn layer(server: &Server, via: Via, tasks: usize) -> Caller {
    let mut target =
        Settings::parse(&server.conninfo(via), &Environment::default()).expect("settings");
    target.password = Some(server.password().clone());
    let pool = pool::Settings { max: tasks, ..pool::Settings::default() };
    let options = Options { pool, deadline: Duration::from_secs(10), ..Options::default() };
    Caller::Layer(Database::new(target, options).expect("a database"))
}

/// Processor time of this process, in seconds (to a hundredth).
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

async fn run(callers: &[Caller]) -> Run {
    let (began, used) = (Instant::now(), cpu());
    let tasks: Vec<_> = callers
        .iter()
        .cloned()
        .map(|caller| {
            tokio::spawn(async move {
                let mut latency = Histogram::<u64>::new(3).expect("a histogram");
                while began.elapsed() < ROUND {
                    let call = Instant::now();
                    caller.call().await;
                    let took = call.elapsed().as_nanos() as u64;
                    latency.record(took).expect("a histogram that grows");
                }
                latency
            })
        })
        .collect();
    let mut latency = Histogram::<u64>::new(3).expect("a histogram");
    for task in tasks {
        latency.add(task.await.expect("no panic")).expect("the same bounds");
    }
    let calls = latency.len() as f64;
    Run {
        calls_per_second: calls / began.elapsed().as_secs_f64(),
        cpu_per_call: (cpu() - used) / calls,
        latency,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn compare(server: &Server, via: Via, tasks: usize) {
    let mut bares = Vec::new();
    for _ in 0..tasks {
        bares.push(bare(server, via).await);
    }
    let layers = vec![layer(server, via, tasks); tasks];
    run(&bares).await;
    run(&layers).await;
    let (mut pairs, mut cpu) = (Vec::new(), (0.0, 0.0));
    for round in 0..ROUNDS {
        // The order changes, so that neither always runs on the other's heat.
        let (bare, layer) = if round % 2 == 0 {
            let bare = run(&bares).await;
            (bare, run(&layers).await)
        } else {
            let layer = run(&layers).await;
            (run(&bares).await, layer)
        };
        cpu = (cpu.0 + bare.cpu_per_call, cpu.1 + layer.cpu_per_call);
        pairs.push((bare, layer));
    }
    let quantile = |q: f64| {
        let at = |run: &Run| run.latency.value_at_quantile(q) as f64;
        (
            median(pairs.iter().map(|(bare, layer)| at(layer) / at(bare)).collect()),
            median(pairs.iter().map(|(bare, layer)| (at(layer) - at(bare)) / 1e3).collect()),
        )
    };
    let tps = median(pairs.iter().map(|(b, l)| l.calls_per_second / b.calls_per_second).collect());
    let (p50, p95) = (quantile(0.5), quantile(0.95));
    let raw = median(pairs.iter().map(|(b, _)| b.latency.value_at_quantile(0.5) as f64).collect());
    println!(
        "{via:?} {tasks:2} tasks: p50 {:.3} ({:+.2} us on {:.1} us), p95 {:.3}, throughput {tps:.3}, client CPU {:.3}",
        p50.0,
        p50.1,
        raw / 1e3,
        p95.0,
        cpu.1 / cpu.0,
    );
}

fn main() {
    let options = howdah::sandbox::Options { durability: Durability::Fast, ..Default::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        println!("layer against bare driver, SELECT 1, median of {ROUNDS} interleaved rounds");
        for via in [Via::Unix, Via::Tcp] {
            for tasks in [1, 8, 32] {
                compare(&cluster, via, tasks).await;
            }
        }
    });
}
