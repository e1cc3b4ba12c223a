//! Wall time of our backups beside the bare tools on the same data, taken in turns.
//!
//! `cargo bench --bench backup [-- SCALE ROUNDS]`: pgbench's scale (20) and how often each way is taken (3).

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has failed")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::disallowed_methods, reason = "benchmarks measure with the real clock")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use howdah::{
    base::{progress::Silent, text::Text, units},
    cluster::{Cluster, Options, Via},
    recover::{
        backup::{self, Kinds, Request, Wish},
        repository,
    },
    resilience::conninfo::{Environment, Settings},
};

/// One way to take a backup: its name, what it needs in a fresh folder, and what it does in it.
struct Way<'a> {
    name: &'static str,
    prepare: Box<dyn Fn(&Path) + 'a>,
    take: Box<dyn Fn(&Path) + 'a>,
}

fn main() {
    let mut numbers = env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let (scale, rounds) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(3));
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    fill(&cluster, scale);
    let size = cluster.psql("SELECT sum(pg_database_size(oid)) FROM pg_database").expect("asked");
    let size: u64 = size.parse().expect("a number");
    println!("pgbench -s {scale}: {} in all; {}", units::bytes(size), load());
    let ways = ways(&cluster);
    let mut seconds = vec![Vec::new(); ways.len()];
    let mut bytes = vec![0; ways.len()];
    for _ in 0..rounds {
        for (at, way) in ways.iter().enumerate() {
            let folder = tempfile::tempdir().expect("a folder");
            (way.prepare)(folder.path());
            let start = Instant::now();
            (way.take)(folder.path());
            seconds[at].push(start.elapsed().as_secs_f64());
            bytes[at] = weight(folder.path());
        }
    }
    for (at, way) in ways.iter().enumerate() {
        let times = &mut seconds[at];
        times.sort_by(f64::total_cmp);
        let (best, middle) = (times[0], times[times.len() / 2]);
        println!(
            "{:<46} best {best:>6.2} s  median {middle:>6.2} s  {:>9}",
            way.name,
            units::bytes(bytes[at])
        );
    }
    println!("{}", load());
}

fn load() -> Text {
    let output = Command::new("uptime").output().expect("uptime");
    Text::one_line(&String::from_utf8_lossy(&output.stdout))
}

/// pgbench's tables, and a table of what does not compress.
fn fill(cluster: &Cluster, scale: u32) {
    let mut pgbench = Command::new(cluster.binaries().program("pgbench"));
    let filled = pgbench
        .args(["-i", "-q", "-s", &scale.to_string()])
        .arg(cluster.conninfo(Via::Unix))
        .env("PGPASSWORD", cluster.password().expose())
        .stderr(Stdio::null())
        .status();
    assert!(filled.expect("pgbench").success(), "pgbench fills the cluster");
    let random = "CREATE TABLE random AS SELECT n, \
        (SELECT string_agg(decode(md5((n * 100 + k)::text), 'hex'), '') FROM generate_series(1, 64) k) AS b \
        FROM generate_series(1, 20000) n; VACUUM; CHECKPOINT";
    for statement in random.split("; ") {
        cluster.psql(statement).expect("filled");
    }
}

fn ways(cluster: &Cluster) -> Vec<Way<'_>> {
    let mut settings =
        Settings::parse(&cluster.conninfo(Via::Unix), &Environment::bare()).expect("settings");
    settings.password = Some(cluster.password().clone());
    let nothing = || -> Box<dyn Fn(&Path)> { Box::new(|_| {}) };
    let shell = move |name: &'static str, script: &'static str| Way {
        name,
        prepare: nothing(),
        take: Box::new(move |folder| bash(cluster, folder, script)),
    };
    let ours = move |name: &'static str, kind: Kinds| {
        let settings = settings.clone();
        Way {
            name,
            prepare: nothing(),
            take: Box::new(move |folder: &Path| {
                let place = folder.to_str().expect("a path");
                let repository = repository::open(place, "bench").expect("opened");
                let request = Request { kind: kind.clone(), break_lock: false };
                backup::take(&request, &settings, &repository, &Silent::default()).expect("taken");
            }),
        }
    };
    let dump = |counts| Kinds::Logical { wish: Wish::Database(None), counts };
    let mut ways = vec![
        shell("pg_dump -Fc (its default)", "$BIN/pg_dump -Fc -f dump \"$TO\"; sync dump"),
        shell(
            "pg_dump -Fc -Z0 | zstd -1 -T2, sha256sum",
            "$BIN/pg_dump -Fc -Z0 \"$TO\" | zstd -1 -T2 -q > dump; sync dump; sha256sum dump > sum",
        ),
        ours("howdah backup", dump(true)),
        ours("howdah backup --no-counts", dump(false)),
        shell(
            "pg_basebackup -Ft -X fetch",
            "$BIN/pg_basebackup -d \"$TO\" -Ft -X fetch -c fast --manifest-checksums=SHA256 -D base",
        ),
        shell(
            "pg_basebackup -Ft server-zstd:1, sha256sum",
            "$BIN/pg_basebackup -d \"$TO\" -Ft -X fetch -c fast --manifest-checksums=SHA256 \
             --compress=server-zstd:level=1 -D base; sha256sum base/* > sum",
        ),
        shell(
            "pg_basebackup -Ft -D - | zstd -1 -T2, sha256sum",
            "$BIN/pg_basebackup -d \"$TO\" -Ft -X fetch -c fast --manifest-checksums=SHA256 -D - \
             | zstd -1 -T2 -q > base; sync base; sha256sum base > sum",
        ),
        ours("howdah backup --physical", Kinds::Physical { spread: false, spool: None }),
    ];
    if Command::new("pgbackrest").arg("version").stdout(Stdio::null()).status().is_ok() {
        ways.push(Way {
            name: "pgBackRest, zst 1, 2 processes",
            prepare: Box::new(move |folder| bash(cluster, folder, PGBACKREST)),
            take: Box::new(move |folder| {
                let take =
                    "pgbackrest --config=$PWD/conf --stanza=main --type=full --start-fast backup";
                bash(cluster, folder, take);
            }),
        });
    } else {
        println!("pgBackRest is not installed");
    }
    ways
}

/// pgBackRest's settings for a repository in the folder where it runs. Nothing archives: it neither waits for
/// WAL nor keeps it.
const PGBACKREST: &str = r"cat > conf <<END
[global]
repo1-path=$PWD/repo
lock-path=$PWD/lock
log-level-file=off
log-level-console=warn
compress-type=zst
compress-level=1
process-max=2
repo1-retention-full=9
archive-check=n
[main]
pg1-path=$DATA
pg1-port=$PORT
pg1-socket-path=$SOCKETS
pg1-user=postgres
END
pgbackrest --config=$PWD/conf --stanza=main stanza-create
";

fn bash(cluster: &Cluster, folder: &Path, script: &str) {
    let done = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("TO", cluster.conninfo(Via::Unix))
        .env("BIN", programs(cluster))
        .env("DATA", cluster.data_dir())
        .env("PORT", cluster.port().to_string())
        .env("SOCKETS", cluster.folder())
        .env("PGPASSWORD", cluster.password().expose())
        .output()
        .expect("bash");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The folder of PostgreSQL's programs: that of the server may hold links to a few of them.
fn programs(cluster: &Cluster) -> PathBuf {
    let dump = cluster.binaries().program("pg_dump");
    dump.parent().expect("a folder").to_owned()
}

/// Bytes of all files below a folder.
fn weight(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("listed").flatten();
    entries
        .map(|entry| {
            let about = entry.metadata().expect("there");
            if about.is_dir() { weight(&entry.path()) } else { about.len() }
        })
        .sum()
}
