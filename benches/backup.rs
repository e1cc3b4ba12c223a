//! Wall time of our backups, and of putting base backups back, beside the bare tools on the same data, taken
//! in turns.
//!
//! `cargo bench --bench backup [-- SCALE ROUNDS]`: pgbench's scale (20) and how often each way is taken (3).

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has failed")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::disallowed_methods, reason = "benchmarks measure with the real clock")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use howdah::{
    base::{progress::Silent, text::Text, units},
    cluster::{Cluster, Options, Via},
    recover::{
        backup::{self, Compressor, Kinds, Request, Wish},
        physical::{
            Order, PlainFolder, Plan, Target,
            plan::{self, Into},
            restore,
        },
        repository::{self, catalogue::Entry},
        stopwatch::Stopwatch,
    },
    resilience::conninfo::{Environment, Settings},
};

/// One way to take a backup: its name, what it needs in a fresh folder, what it does in it, and how a base
/// backup is put back into a folder of its own there, in seconds.
struct Way<'a> {
    name: &'static str,
    prepare: Box<dyn Fn(&Path) + 'a>,
    take: Box<dyn Fn(&Path) + 'a>,
    put_back: Option<PutBack<'a>>,
}

/// Puts a base backup back into a new folder of that name, in seconds.
type PutBack<'a> = Box<dyn Fn(&Path, &str) -> f64 + 'a>;

fn main() {
    let mut numbers = env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let (scale, rounds) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(3));
    let archive = tempfile::tempdir().expect("a folder");
    fs::set_permissions(archive.path(), fs::Permissions::from_mode(0o777)).expect("open to all");
    let copy = format!("cp %p {}/%f", archive.path().display());
    let settings =
        vec![("archive_mode".to_owned(), "on".to_owned()), ("archive_command".to_owned(), copy)];
    let cluster = Cluster::start(&Options { settings, ..Options::default() }).expect("a cluster");
    fill(&cluster, scale);
    let size = cluster.psql("SELECT sum(pg_database_size(oid)) FROM pg_database").expect("asked");
    let size: u64 = size.parse().expect("a number");
    println!("pgbench -s {scale}: {} in all; {}", units::bytes(size), load());
    let ways = ways(&cluster, archive.path());
    let mut seconds = vec![Vec::new(); ways.len()];
    let mut back = vec![Vec::new(); ways.len()];
    let mut bytes = vec![0; ways.len()];
    // Removed at the end: ext4 looks for a new inode past each one that was removed within a minute, and who
    // makes files after a removal pays for it (`recently_deleted` in fs/ext4/ialloc.c).
    let mut kept = Vec::new();
    for _ in 0..rounds {
        for (at, way) in ways.iter().enumerate() {
            let folder = tempfile::tempdir().expect("a folder");
            (way.prepare)(folder.path());
            settle();
            let start = Instant::now();
            (way.take)(folder.path());
            seconds[at].push(start.elapsed().as_secs_f64());
            bytes[at] = weight(folder.path());
            kept.push(folder);
        }
    }
    let last = kept.len() - ways.len();
    for round in 0..rounds {
        for (at, way) in ways.iter().enumerate() {
            if let Some(put_back) = &way.put_back {
                settle();
                back[at].push(put_back(kept[last + at].path(), &format!("back-{round}")));
            }
        }
    }
    for (at, way) in ways.iter().enumerate() {
        let times = spread(&mut seconds[at]);
        println!("{:<48} {times}  {:>9}", way.name, units::bytes(bytes[at]));
    }
    println!("put back, each file checked where the tool can:");
    for (at, way) in ways.iter().enumerate().filter(|(_, way)| way.put_back.is_some()) {
        println!("{:<48} {}", way.name, spread(&mut back[at]));
    }
    println!("{}", load());
}

/// What was written before is on the disk: nobody pays for another's bytes.
fn settle() {
    assert!(Command::new("sync").status().expect("sync").success(), "sync");
}

fn spread(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    format!("best {:>6.2} s  median {:>6.2} s", times[0], times[times.len() / 2])
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

fn ways<'a>(cluster: &'a Cluster, archive: &'a Path) -> Vec<Way<'a>> {
    let mut settings =
        Settings::parse(&cluster.conninfo(Via::Unix), &Environment::bare()).expect("settings");
    settings.password = Some(cluster.password().clone());
    let nothing = || -> Box<dyn Fn(&Path)> { Box::new(|_| {}) };
    let shell = move |name: &'static str, script: &'static str| Way {
        name,
        prepare: nothing(),
        take: Box::new(move |folder| bash(cluster, folder, script)),
        put_back: None,
    };
    let unpacked = move |name: &'static str, take: &'static str, unpack: &'static str| Way {
        put_back: Some(Box::new(move |folder, back| {
            let start = Instant::now();
            bash(cluster, folder, &format!("BACK={back}; {unpack}"));
            start.elapsed().as_secs_f64()
        })),
        ..shell(name, take)
    };
    let ours = move |name: &'static str, kind: Kinds| {
        let settings = settings.clone();
        let physical = matches!(kind, Kinds::Physical { .. });
        let back = move |folder: &Path, name: &str| put_back(cluster, folder, name, archive);
        Way {
            name,
            prepare: nothing(),
            take: Box::new(move |folder: &Path| {
                let place = folder.to_str().expect("a path");
                let repository = repository::open(place, "bench").expect("opened");
                let request = Request { kind: kind.clone(), break_lock: false };
                backup::take(&request, &settings, &repository, &Silent::default()).expect("taken");
            }),
            put_back: physical.then(|| Box::new(back) as PutBack<'_>),
        }
    };
    let dump = |counts| Kinds::Logical { wish: Wish::Database(None), counts };
    let base = |compressor| Kinds::Physical { spread: false, spool: None, compressor };
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
        unpacked(
            "pg_basebackup -Ft server-zstd:1, sha256sum",
            "$BIN/pg_basebackup -d \"$TO\" -Ft -X fetch -c fast --manifest-checksums=SHA256 \
             --compress=server-zstd:level=1 -D base; sha256sum base/* > sum",
            "sha256sum --quiet -c sum; mkdir $BACK; zstd -dc base/base.tar.zst | tar -x -C $BACK; sync -f $BACK",
        ),
        unpacked(
            "pg_basebackup -Ft -D - | zstd -1 -T2, sha256sum",
            "$BIN/pg_basebackup -d \"$TO\" -Ft -X fetch -c fast --manifest-checksums=SHA256 -D - \
             | zstd -1 -T2 -q > base; sync base; sha256sum base > sum",
            "sha256sum --quiet -c sum; mkdir $BACK; zstd -dc base | tar -x -C $BACK; sync -f $BACK",
        ),
        ours("howdah backup --physical", base(Compressor::Server)),
        ours("howdah backup --physical --compress client", base(Compressor::Client)),
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
            put_back: Some(Box::new(move |folder, back| {
                let start = Instant::now();
                let script = format!(
                    "mkdir -m 700 {back}; pgbackrest --config=$PWD/conf --stanza=main \
                     --type=none --pg1-path=$PWD/{back} restore"
                );
                bash(cluster, folder, &script);
                start.elapsed().as_secs_f64()
            })),
        });
    } else {
        println!("pgBackRest is not installed");
    }
    ways
}

/// Puts the newest backup back, up to where WAL can be replayed: what is in the chain is checked first, each
/// file on the way. Told is that part, which the other tools do, too; then the server starts and recovers.
fn put_back(cluster: &Cluster, folder: &Path, name: &str, archive: &Path) -> f64 {
    cluster.psql("SELECT pg_switch_wal()").expect("switched");
    // The server runs as another account when we are root.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("open to all");
    let repository = repository::open(folder.to_str().expect("a path"), "bench").expect("opened");
    let taken = repository.backups().expect("listed");
    let manifest = taken.iter().find_map(Entry::manifest).expect("a backup").clone();
    let archive = PlainFolder::open(archive).expect("an archive");
    let binaries = plan::binaries(&manifest).expect("programs");
    let into = Into::Scratch(folder.join(format!("howdah-{name}")));
    let order = Order { target: Target::Latest, timeline: None, into, port: 5432 };
    let plan =
        Plan::make(order, manifest, &archive, &binaries, &Silent::default()).expect("a plan");
    let mut watch = Stopwatch::start();
    let observer = Silent::default();
    let restored =
        restore::run(&plan, &repository, &archive, &binaries, None, &mut watch, &observer);
    drop(restored.expect("restored"));
    watch.phases.iter().find(|phase| phase.name == "copy").expect("copied").seconds
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
