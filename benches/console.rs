//! What the console costs and how quick it is, in a real terminal on a real server: the figures beside
//! what is promised.
//!
//! `cargo bench --bench console`; takes about two minutes and needs PostgreSQL's server programs.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: its figures are for people, its fixtures cannot fail"
)]

#[path = "../tests/support/pty.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod pty;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use howdah::cluster::{Cluster, Durability, Options, Via};
use pty::{Robot, Seen};

const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// How long the steady state is looked at.
const STEADY: Duration = Duration::from_secs(30);
/// Nobody listens there.
const NOWHERE: &str = "host=127.0.0.1 port=1 user=x dbname=x sslmode=disable";

fn main() {
    let options = Options { durability: Durability::Fast, ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    println!("{:<58} {:>22}  promise", "what", "figure");
    opening(&cluster);
    keys(&cluster);
    let quiet = open(&cluster, (120, 40));
    steady("a quiet server, 120x40", &quiet);
    drop(quiet);
    let demo = Robot::start_at((120, 40), PROGRAM, &["demo"], &[]);
    // Its first backups are made and proven in its first half a minute; they are not the console's work.
    demo.wait_within(Duration::from_mins(2), "proven backups", |seen| {
        let line = seen.text().lines().nth(1).unwrap_or_default().to_owned();
        is_live(seen) && line.matches('✓').count() == 3
    });
    // A console of its own: what makes the demo and its backups is another process.
    let mut config = Command::new(PROGRAM);
    config.env_clear().env("HOME", demo.home()).args(["demo", "config"]);
    let config = config.output().expect("a configuration").stdout;
    let config = String::from_utf8(config).expect("a path");
    let console = Robot::start_at((120, 40), PROGRAM, &["--config", config.trim_end()], &[]);
    console.wait_until("live data", is_live);
    steady("the demo's cluster under load, 120x40", &console);
    leave(console);
    leave(demo);
}

fn say(what: &str, figure: &str, promise: &str) {
    println!("{what:<58} {figure:>22}  {promise}");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Median and worst.
fn spread(mut times: Vec<Duration>) -> (Duration, String) {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    (median, format!("{}, worst {}", ms(median), ms(worst)))
}

fn is_live(seen: &Seen) -> bool {
    seen.text().lines().next().is_some_and(|line| line.contains(" live "))
}

fn start(cluster: &Cluster, size: (u16, u16)) -> Robot {
    let password = cluster.password().expose().to_owned();
    Robot::start_at(size, PROGRAM, &[&cluster.conninfo(Via::Tcp)], &[("PGPASSWORD", &password)])
}

fn open(cluster: &Cluster, size: (u16, u16)) -> Robot {
    let robot = start(cluster, size);
    robot.wait_until("live data", is_live);
    robot
}

fn leave(mut robot: Robot) {
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
}

fn times(count: usize, mut once: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..count).map(|_| once()).collect()
}

/// From before the start of the program to the end of its first frame, and to the first facts.
fn opening(cluster: &Cluster) {
    let first_frame = |seen: &Seen| String::from_utf8_lossy(&seen.raw).contains("\x1b[?2026l");
    let until = |start: &dyn Fn() -> Robot, seen: &dyn Fn(&Seen) -> bool| {
        let began = now();
        let robot = start();
        robot.wait_until("it", seen);
        let took = began.elapsed();
        leave(robot);
        took
    };
    let size = (80, 24);
    let live = || start(cluster, size);
    let nowhere = || Robot::start_at(size, PROGRAM, &[NOWHERE], &[]);
    let frame = |start: &dyn Fn() -> Robot| spread(times(21, || until(start, &first_frame))).1;
    say("first frame after exec, server there", &frame(&live), "<= 20 ms");
    say("first frame after exec, nobody listens", &frame(&nowhere), "<= 20 ms");
    cluster.hang().expect("hung");
    say("first frame after exec, server hung", &frame(&live), "<= 20 ms");
    cluster.resume();

    let psql = || {
        let began = now();
        let status = Command::new(cluster.binaries().program("psql"))
            .args(["-Xqtc", "select 1", &cluster.conninfo(Via::Tcp)])
            .env("PGPASSWORD", cluster.password().expose())
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("psql runs").success());
        began.elapsed()
    };
    // In turns, so that both meet the same machine.
    let mut data = Vec::new();
    let mut reference = Vec::new();
    for _ in 0..15 {
        data.push(until(&live, &is_live));
        reference.push(psql());
    }
    let ((data, data_text), (reference, reference_text)) = (spread(data), spread(reference));
    say("first data after exec", &data_text, "");
    say("psql -c 'select 1', same server", &reference_text, "");
    let ratio = data.as_secs_f64() / reference.as_secs_f64();
    say("first data in terms of psql", &format!("{ratio:.2}x"), "<= 1x");
}

/// From a key to its effect on screen, at a person's pace.
fn keys(cluster: &Cluster) {
    let mut robot = open(cluster, (80, 24));
    let mut type_on = |what: &str| {
        let mut took = Vec::new();
        for n in 0..60 {
            let open = n % 2 == 0;
            // Not in step with the frames that ages cause.
            thread::sleep(Duration::from_millis(60 + 17 * (n % 7)));
            robot.send(if open { "?" } else { "\x1b" });
            let help = |seen: &Seen| seen.text().contains("Leave the console.") == open;
            took.push(robot.wait_until("the effect", help));
        }
        say(what, &spread(took).1, "<= 50 ms");
    };
    type_on("key to frame, live server");
    cluster.hang().expect("hung");
    thread::sleep(Duration::from_secs(2));
    type_on("key to frame, hung server");
    cluster.resume();
    leave(robot);
}

/// Bytes, CPU and memory while nobody touches a key.
fn steady(what: &str, robot: &Robot) {
    let counts = || {
        robot.look(|seen| {
            let frames = String::from_utf8_lossy(&seen.raw).matches("\x1b[?2026h").count();
            (frames, seen.raw.len())
        })
    };
    let pid = robot.pid().as_raw_pid();
    // The first seconds fill trends and learn statements.
    thread::sleep(Duration::from_secs(5));
    let (began, (frames, bytes), cpu) = (now(), counts(), cpu(pid));
    thread::sleep(STEADY);
    let (elapsed, (frames_after, bytes_after)) = (began.elapsed(), counts());
    let (frames, bytes) = (frames_after - frames, bytes_after - bytes);
    let seconds = elapsed.as_secs_f64();
    let each = bytes.checked_div(frames).unwrap_or_default();
    say(&format!("{what}: bytes per frame"), &format!("{each} B"), "<= 2,500 B");
    let rate = format!("{:.1}/s, {:.0} B/s", frames as f64 / seconds, bytes as f64 / seconds);
    say(&format!("{what}: frames, bytes"), &rate, "");
    let used = match (cpu, self::cpu(pid)) {
        (Some(before), Some(after)) => {
            format!("{:.3} s/min", after.saturating_sub(before).as_secs_f64() / seconds * 60.0)
        }
        _ => "unknown here".to_owned(),
    };
    say(&format!("{what}: CPU"), &used, "<= 0.1 s/min");
    let memory = memory(pid)
        .map_or("unknown here".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0));
    say(&format!("{what}: resident memory"), &memory, "<= 15 MiB");
}

/// CPU time of all threads of the console that live, exact to the nanosecond (Linux only).
fn cpu(pid: i32) -> Option<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let task = task.ok()?.path();
        let text = fs::read_to_string(task.join("schedstat")).ok()?;
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum))
}

/// Resident memory in KiB (Linux only).
fn memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
