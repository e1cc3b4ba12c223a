//! Archiving and fetching 200 segments, each by a process of its own, as a server does it: ours beside `cp`,
//! beside the same work done by bare tools, and beside pgBackRest; and finding a dropped table in 1 GB of WAL.
//!
//! `cargo bench --bench wal [-- SEGMENTS]`. Ways are taken in turns, in an order that moves on, so that a
//! machine that grows busy is unjust to all of them.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has failed")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::disallowed_methods, reason = "benchmarks measure with the real clock")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use howdah::cluster::{Cluster, Durability, Options, Via};

const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");
/// Segments that hold 1 GB.
const GIGABYTE: usize = 64;
const ROUNDS: usize = 3;
/// How long a segment is replayed: 16 MB at 160 MB/s.
const REPLAY: Duration = Duration::from_millis(100);
/// Segments that are fetched in that rhythm.
const REPLAYED: usize = 40;

/// One way to move a segment: `FILE` is its path, `NAME` its name, `OUT` where it goes or comes to.
struct Way {
    name: &'static str,
    archive: String,
    fetch: String,
}

fn main() {
    let count = env::args().skip(1).find_map(|word| word.parse::<usize>().ok()).unwrap_or(200);
    let cluster = cluster();
    let file = fill(&cluster, count.max(GIGABYTE));
    let folder = tempfile::tempdir().expect("a folder");
    // The server's account asks for what stands in here.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    let segments = segments(&cluster);
    assert!(segments.len() >= count, "there are {} segments", segments.len());
    println!("{count} segments of 16 MB; {}", load());

    find(folder.path(), &segments[..GIGABYTE], &file);
    let ways = ways(&cluster, folder.path());
    let mut figures = vec![[(0.0, 0.0); 2]; ways.len()];
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let at = (turn + round) % ways.len();
            let part = count * round / ROUNDS..count * (round + 1) / ROUNDS;
            let commands = [&ways[at].archive, &ways[at].fetch];
            for (command, (wall, cpu)) in commands.into_iter().zip(&mut figures[at]) {
                let before = cpu_of_children();
                *wall += run(command, &segments[part.clone()]);
                *cpu += cpu_of_children() - before;
            }
        }
    }
    for (way, [archive, fetch]) in ways.iter().zip(&figures) {
        println!(
            "{:<34} archive {:>6.2} s ({:>5.2} s CPU)   fetch {:>6.2} s ({:>5.2} s CPU)",
            way.name, archive.0, archive.1, fetch.0, fetch.1
        );
    }
    replaying(&ways, &segments[..count.min(REPLAYED)]);
    println!("{}", load());
}

/// How long a server waits for a segment that replays each one for a while, as servers do.
fn replaying(ways: &[Way], segments: &[PathBuf]) {
    println!(
        "waited for each of {} segments, with {REPLAY:?} of replay between them:",
        segments.len()
    );
    for way in ways {
        let mut waits: Vec<f64> = segments
            .iter()
            .map(|segment| {
                thread::sleep(REPLAY);
                run(&way.fetch, std::slice::from_ref(segment)) * 1000.0
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let (median, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        println!("{:<34} median {median:>6.1} ms   most {most:>6.1} ms", way.name);
    }
}

fn load() -> String {
    let output = Command::new("uptime").output().expect("uptime");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Seconds of processor time of all processes that we have waited for, in the system's ticks of 10 ms
/// (proc_pid_stat(5): `cutime` and `cstime`); 0 where that is not told. On a busy machine it says more than
/// wall time.
fn cpu_of_children() -> f64 {
    let told = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = told.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u32 = fields.skip(13).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

fn cluster() -> Cluster {
    let settings = [
        ("archive_mode", "on"),
        // Nothing is archived by the server itself, and nothing goes away meanwhile.
        ("archive_command", "true"),
        ("wal_keep_size", "16GB"),
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "1h"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = Options { durability: Durability::Fast, settings, ..Options::default() };
    Cluster::start(&options).expect("a cluster")
}

/// pgbench's work until there is enough WAL, with a table dropped in the middle of its first GB; returns the
/// dropped table's file.
fn fill(cluster: &Cluster, count: usize) -> String {
    let ask = |sql: &str| cluster.psql(sql).expect("asked").trim().to_owned();
    ask("CREATE TABLE victim AS SELECT n FROM generate_series(1, 1000) n");
    let file = ask("SELECT '1663/' || substr(pg_relation_filepath('victim'), 6)");
    let mut dropped = false;
    loop {
        let written: usize = ask("SELECT (pg_current_wal_lsn() - '0/0') / (16 << 20)")
            .split('.')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        if !dropped && written > GIGABYTE / 3 {
            ask("DROP TABLE victim");
            dropped = true;
        }
        if written > count + 2 {
            break;
        }
        for words in [&["-i", "-q", "-s", "10"][..], &["-c", "4", "-T", "3", "-n"]] {
            let done = Command::new(cluster.binaries().program("pgbench"))
                .args(words)
                .arg(cluster.conninfo(Via::Unix))
                .env("PGPASSWORD", cluster.password().expose())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(done.expect("pgbench").success(), "pgbench writes WAL");
        }
    }
    ask("SELECT pg_switch_wal()");
    file
}

fn segments(cluster: &Cluster) -> Vec<PathBuf> {
    let entries = fs::read_dir(cluster.data_dir().join("pg_wal")).expect("listed");
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 24);
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(named).collect();
    all.sort();
    // The last one is being written, and what is behind it was made in advance.
    let last = cluster.psql("SELECT pg_walfile_name(pg_current_wal_lsn())").expect("asked");
    all.retain(|path| path.file_name().is_some_and(|name| *name < *last.trim()));
    all
}

fn ours(repository: &Path) -> String {
    format!("--repository {} --name bench", repository.display())
}

fn find(folder: &Path, segments: &[PathBuf], file: &str) {
    let place = folder.join("find");
    fs::create_dir(&place).expect("made");
    run(&format!("{HOWDAH} wal archive {} FILE", ours(&place)), segments);
    let start = Instant::now();
    let output = Command::new(HOWDAH)
        .args(["wal", "find", "--dropped", "victim", "--file", file])
        .args(ours(&place).split(' '))
        .output()
        .expect("ran");
    let took = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("dropped victim"), "{said}{output:?}");
    println!("howdah wal find, 1 GB of WAL        {took:>6.2} s");
    fs::remove_dir_all(&place).expect("removed");
}

fn ways(cluster: &Cluster, folder: &Path) -> Vec<Way> {
    let place = |name: &str| {
        let place = folder.join(name);
        fs::create_dir(&place).expect("made");
        place
    };
    let (cp, flushed, bare) = (place("cp"), place("flushed"), place("bare"));
    let (own, out) = (place("howdah"), place("out").join("fetched"));
    let (cp, flushed, bare) = (cp.display(), flushed.display(), bare.display());
    let out = out.display();
    let own = ours(&own);
    let mut ways = vec![
        Way {
            name: "cp",
            archive: format!("cp FILE {cp}/NAME"),
            fetch: format!("cp {cp}/NAME {out}"),
        },
        Way {
            name: "cp and sync",
            archive: format!("cp FILE {flushed}/NAME && sync {flushed}/NAME {flushed}"),
            fetch: format!("cp {flushed}/NAME {out}"),
        },
        Way {
            name: "zstd -1, sha256sum, sync",
            archive: format!(
                "sha256sum FILE > {bare}/NAME.sha256 && zstd -1 -q FILE -o {bare}/NAME.zst \
                 && sync {bare}/NAME.zst {bare}"
            ),
            fetch: format!("zstd -d -q -f {bare}/NAME.zst -o {out} && sha256sum {out} > /dev/null"),
        },
        Way {
            name: "howdah",
            archive: format!("{HOWDAH} wal archive {own} FILE"),
            fetch: format!("{HOWDAH} wal fetch {own} --ahead 0 NAME {out}"),
        },
        Way {
            name: "howdah, fetching ahead",
            archive: "true".to_owned(),
            fetch: format!("{HOWDAH} wal fetch {own} NAME {out}"),
        },
    ];
    match pgbackrest(cluster, folder, &out.to_string()) {
        Some(both) => ways.extend(both),
        None => println!("pgBackRest is not installed"),
    }
    ways
}

fn pgbackrest(cluster: &Cluster, folder: &Path, out: &str) -> Option<[Way; 2]> {
    Command::new("pgbackrest").arg("version").stdout(Stdio::null()).status().ok()?;
    let home = folder.join("pgbackrest");
    let (config, data) = (folder.join("pgbackrest.conf"), cluster.data_dir());
    for name in ["repo", "lock", "spool"] {
        fs::create_dir_all(home.join(name)).expect("made");
    }
    let home = home.display();
    let text = format!(
        "[global]\nrepo1-path={home}/repo\nlock-path={home}/lock\nspool-path={home}/spool\n\
         log-level-file=off\nlog-level-console=warn\ncompress-type=zst\ncompress-level=1\n\
         [main]\npg1-path={}\npg1-port={}\npg1-socket-path={}\npg1-user=postgres\n",
        data.display(),
        cluster.port(),
        cluster.folder().display(),
    );
    fs::write(&config, text).expect("written");
    let call = format!("pgbackrest --config={} --stanza=main", config.display());
    shell(cluster, &format!("{call} stanza-create"));
    Some([
        Way {
            name: "pgBackRest, zst 1, synchronous",
            archive: format!("{call} archive-push FILE"),
            fetch: format!("{call} archive-get NAME {out}"),
        },
        Way {
            name: "pgBackRest, zst 1, getting ahead",
            archive: "true".to_owned(),
            fetch: format!("{call} --archive-async --process-max=2 archive-get NAME {out}"),
        },
    ])
}

fn shell(cluster: &Cluster, script: &str) {
    let mut sh = Command::new("sh");
    let done = sh.args(["-c", script]).env("PGPASSWORD", cluster.password().expose()).status();
    assert!(done.expect("sh").success(), "{script}");
}

/// Runs a command once for each segment, by a shell as the server does; returns the seconds of all.
fn run(command: &str, segments: &[PathBuf]) -> f64 {
    let start = Instant::now();
    for segment in segments {
        let name = segment.file_name().expect("a name").to_string_lossy();
        let script = command.replace("FILE", &segment.to_string_lossy()).replace("NAME", &name);
        let done = Command::new("sh").args(["-c", &script]).status().expect("sh");
        assert!(done.success(), "{script}");
    }
    start.elapsed().as_secs_f64()
}
