//! What being watched costs the server: statements, execution and processor time a minute, on a small
//! schema and on one with thousands of tables. The goal: 60 statements and 40 ms a minute, and not more
//! than twice that with 5,000 tables.
//!
//! `cargo bench --bench server_cost` (three minutes; `HOWDAH_BENCH_SECONDS` measures for less or longer)
#![allow(missing_docs, reason = "a benchmark")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "its figures are for people, and a scene that cannot be set has failed"
)]

use std::{fs, time::Duration};

use howdah::{
    cluster::{Cluster, Durability, Options},
    resilience::conninfo::Settings,
};
use watching::Watched;

#[path = "../tests/support/watching.rs"]
mod watching;

/// Tables before and after the schema grows.
const TABLES: [usize; 2] = [10, 5_000];
/// What the first samples cost is paid once.
const WARM_UP: Duration = Duration::from_secs(5);
/// Processor time is counted in hundredths of a second (`sysconf(_SC_CLK_TCK)` on Linux).
const TICKS: f64 = 100.0;

fn main() {
    let seconds = std::env::var("HOWDAH_BENCH_SECONDS").ok().and_then(|n| n.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(60));
    let cluster = cluster();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let settings = watching::watcher(&cluster);
    let mut figures = Vec::new();
    for tables in TABLES {
        grow(&cluster, tables);
        let cost = runtime.block_on(measure(&cluster, &settings, length));
        println!("\nwith {tables} tables, by statement:\n{}\n", cost.statements_shown);
        figures.push((tables, cost));
    }
    println!("{:<44} {:>10}  promise", "what, per minute", "figure");
    let first = figures.first().map_or(0.0, |(_, cost)| cost.milliseconds);
    for (tables, cost) in &figures {
        let row = |what: &str, figure: f64, promise: &str| {
            println!("{:<44} {figure:>10.1}  {promise}", format!("{tables} tables: {what}"));
        };
        row("statements", cost.statements, "<= 60");
        let promise = if *tables == TABLES[0] { "<= 40" } else { "<= 80, and twice the first" };
        row("planning and execution, ms", cost.milliseconds, promise);
        row("times the first", cost.milliseconds / first, "<= 2");
        row("processor time of the backend, ms", cost.processor, "");
        row("statements, as shown on screen", f64::from(cost.told), "as counted");
    }
}

struct Cost {
    statements: f64,
    milliseconds: f64,
    processor: f64,
    told: u32,
    statements_shown: String,
}

fn cluster() -> Cluster {
    let settings = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track_planning", "on"),
        ("archive_mode", "on"),
        ("archive_command", "true"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = Options { durability: Durability::Fast, settings, ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    cluster.psql("create extension pg_stat_statements").expect("statistics");
    cluster
}

fn grow(cluster: &Cluster, tables: usize) {
    let sql = format!(
        "do $$ begin for i in 1..{tables} loop \
           execute format('create table if not exists t%s (id bigint primary key, word text)', i); \
           if i % 500 = 0 then commit; end if; \
         end loop; end $$; analyze; checkpoint"
    );
    cluster.psql(&sql).expect("tables");
}

async fn measure(cluster: &Cluster, settings: &Settings, length: Duration) -> Cost {
    let watch = Watched::live(watching::plan(settings.clone())).await;
    tokio::time::sleep(WARM_UP).await;
    let pid = "select pid from pg_stat_activity where usename = 'watcher'";
    let pid = cluster.psql(pid).expect("our session");
    cluster.psql("select pg_stat_statements_reset()").expect("reset");
    let before = processor_time(&pid);
    tokio::time::sleep(length).await;
    let processor = processor_time(&pid) - before;
    let minutes = length.as_secs_f64() / 60.0;
    let from = "from pg_stat_statements s join pg_roles r on r.oid = s.userid \
                where r.rolname = 'watcher'";
    let sums = cluster.psql(&format!(
        "select coalesce(sum(calls), 0), coalesce(sum(total_exec_time + total_plan_time), 0) {from}"
    ));
    let sums = sums.expect("the sums");
    let (statements, milliseconds) = sums.split_once('|').expect("two columns");
    let number = |text: &str| text.parse::<f64>().expect("a number") / minutes;
    let statements_shown = cluster.psql(&format!(
        "select calls || ' x exec ' || round(mean_exec_time::numeric, 3) || ' ms, plan ' \
           || round(total_plan_time::numeric, 1) || ' ms in all: ' \
           || coalesce((select string_agg(m[1], ' ') \
                from regexp_matches(query, 'SELECT ''([a-z_]+)'' AS id', 'g') m), '') \
           || case when query ~ 'system_identifier' then ' +identity' else '' end \
           || ' (' || length(query) || ' characters)' \
         {from} order by total_exec_time + total_plan_time desc limit 12"
    ));
    let told = watch.sight().cost.statements_per_minute;
    Cost {
        statements: number(statements),
        milliseconds: number(milliseconds),
        processor: processor * 1e3 / minutes,
        told,
        statements_shown: statements_shown.expect("the statements"),
    }
}

/// User and system time of a process in seconds (proc(5): fields 14 and 15 of `stat`).
fn processor_time(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the backend lives");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / TICKS
}
