//! Restoring a database against bare `pg_restore -j2` of the same data, in one run: `cargo bench --bench
//! restore`. Ours unpacks, checks both hashes, fills in offsets, restores and builds; the checks behind it
//! are measured apart.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{path::Path, process::Command, time::Duration};

use howdah::{
    base::{clock::Clock, progress::Silent},
    cluster::{Cluster, Server, Via},
    recover::restore::{
        Source, Target, Which,
        database::{How, restore},
        plan::Wish,
    },
};
use support::{
    backups::{conninfo, keep, on, repository},
    database::target as settings,
};

const ROUNDS: usize = 5;

fn tool(server: &Server, program: &str) -> Command {
    let mut command = Command::new(server.binaries().program(program));
    command.env("PGPASSWORD", server.password().expose());
    command
}

fn done(command: &mut Command) {
    assert!(command.status().expect("it runs").success(), "{command:?}");
}

/// Data like a shop's: one giant table, some middling ones, random bytes, large objects.
fn fill(server: &Server) {
    server.psql("CREATE DATABASE app").expect("made");
    done(tool(server, "pgbench").args(["-i", "-q", "-s", "20", "-d"]).arg(conninfo(server, "app")));
    on(
        server,
        "app",
        "CREATE TABLE event AS SELECT n AS id, md5(n::text) AS what, now() + n * interval '1 s' AS at, n % 1000 AS kind FROM generate_series(1, 1000000) n;
         ALTER TABLE event ADD PRIMARY KEY (id); CREATE INDEX ON event (kind, at);
         CREATE TABLE part AS SELECT n AS id, repeat(md5(n::text), 8) AS text FROM generate_series(1, 200000) n;
         ALTER TABLE part ADD PRIMARY KEY (id);
         SELECT count(lo_from_bytea(0, decode(repeat(md5(n::text), 1000), 'hex'))) FROM generate_series(1, 500) n",
    );
}

/// Bare `pg_restore -j2` of a file or folder into a new database, which is made, too, as ours makes one.
fn bare(server: &Server, from: &Path) -> Duration {
    server.psql("DROP DATABASE IF EXISTS bare").expect("dropped");
    let clock = Clock::system();
    let began = clock.now();
    server.psql("CREATE DATABASE bare TEMPLATE template0").expect("made");
    let mut command = tool(server, "pg_restore");
    done(command.args(["-j2", "--exit-on-error", "-d"]).arg(conninfo(server, "bare")).arg(from));
    clock.now().since(began)
}

fn main() {
    let server = Cluster::start(&howdah::cluster::Options {
        settings: vec![
            ("shared_buffers".into(), "512MB".into()),
            ("max_wal_size".into(), "4GB".into()),
        ],
        ..howdah::cluster::Options::default()
    })
    .expect("a cluster");
    fill(&server);
    let home = tempfile::tempdir().expect("a folder");
    let dump = |name: &str, options: &[&str]| {
        let path = home.path().join(name);
        let mut command = tool(&server, "pg_dump");
        done(command.args(options).arg("-f").arg(&path).arg("-d").arg(conninfo(&server, "app")));
        path
    };
    let custom = dump("custom", &["-Fc"]);
    let plain = dump("plain", &["-Fc", "-Z0"]);
    let folder = dump("folder", &["-Fd", "-j2"]);
    // As it comes through a pipe: without offsets.
    let piped = tool(&server, "pg_dump")
        .args(["-Fc", "-Z0", "-d"])
        .arg(conninfo(&server, "app"))
        .output()
        .expect("pg_dump runs");
    assert!(piped.status.success());
    let unaimed = home.path().join("unaimed");
    std::fs::write(&unaimed, &piped.stdout).expect("written");
    let repository = repository(&home.path().join("repo"));
    keep(&server, "app", &repository, &piped.stdout);
    println!("dump: {} bytes", piped.stdout.len());
    drop(piped);

    let source = Source::find(&repository, &Which::Newest, "app").expect("a backup");
    let target = Target::open(&settings(&server, Via::Unix)).expect("a server");
    let mut walls: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut add = |name: &'static str, wall: Duration| match walls
        .iter_mut()
        .find(|(known, _)| *known == name)
    {
        Some((_, all)) => all.push(wall),
        None => walls.push((name, vec![wall])),
    };
    for round in 0..ROUNDS {
        add("pg_restore -j2, -Fc (gzip)", bare(&server, &custom));
        add("pg_restore -j2, -Fd (gzip)", bare(&server, &folder));
        add("pg_restore -j2, -Fc -Z0 with offsets", bare(&server, &plain));
        add("pg_restore -j2, -Fc -Z0 from a pipe", bare(&server, &unaimed));
        let into = format!("ours_{round}");
        let wish = Wish { into: into.clone(), replace: false, with_roles: false, jobs: 2 };
        let how = How { work: home.path(), assertions: None };
        let record = restore(&repository, &source, &target, &wish, &how, &Silent::default())
            .expect("restored");
        assert_eq!(record.findings, Vec::<String>::new());
        let seconds = |checks: bool| {
            let phases = record.phases.iter().filter(|phase| (phase.name == "checks") == checks);
            Duration::from_secs_f64(phases.map(|phase| phase.seconds).sum())
        };
        add("howdah: unpack, both hashes, restore, post-data", seconds(false));
        add("howdah: checks behind it (counts, amcheck, ANALYZE)", seconds(true));
        for phase in &record.phases {
            let name = match phase.name.as_str() {
                "unpack" => "  of which: unpack, both hashes",
                "restore" => "  of which: until the data are in",
                "post-data" => "  of which: the rest of post-data",
                _ => continue,
            };
            add(name, Duration::from_secs_f64(phase.seconds));
        }
        server.psql(&format!("DROP DATABASE \"{into}\"")).expect("dropped");
    }
    for (name, mut all) in walls {
        all.sort();
        let (least, median) = (all[0].as_secs_f64(), all[all.len() / 2].as_secs_f64());
        println!("{name:<52} median {median:6.2} s   least {least:6.2} s   n = {}", all.len());
    }
}
