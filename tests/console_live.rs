//! The console on a real server: what happens to the server is on screen within the promised time, no
//! key waits for it, and nothing that the server says reaches the terminal raw.
//!
//! Each test says what it measured: `cargo test console_live:: -- --nocapture`.

#![cfg(all(unix, feature = "console"))]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use crate::support;
use std::{process::Command, time::Duration};

use crate::support::{
    eventually,
    pty::{Robot, Seen},
    slack,
};
use howdah::{
    base::process,
    cluster::{Cluster, Stop, Via},
    sandbox::Registry,
};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// After a server's return.
const BACK: Duration = Duration::from_millis(700);
/// From a key to its frame: half of all, and each.
const KEY_MEDIAN: Duration = Duration::from_millis(50);
const KEY_WORST: Duration = Duration::from_millis(150);

/// The console on a cluster, with the first facts on screen.
fn open(cluster: &Cluster) -> Robot {
    let password = cluster.password().expose().to_owned();
    let target = cluster.conninfo(Via::Tcp);
    let robot = Robot::start(PROGRAM, &[&target], &[("PGPASSWORD", &password)]);
    robot.wait_until("live data", |seen| is_live(seen) && seen.text().contains("server"));
    robot
}

fn row(seen: &Seen, row: u16) -> String {
    let columns = seen.screen().size().1.get();
    seen.screen().rows(0, columns).nth(row.into()).unwrap_or_default()
}

/// The state of the link, which stands at the left of the first line.
fn is_live(seen: &Seen) -> bool {
    row(seen, 0).contains(" live ")
}

fn assert_within(what: &str, took: Duration, promised: Duration) {
    println!("{what}: {took:.0?} (promised {promised:?})");
    assert!(took <= promised + slack(), "{what}: {took:?}, promised {promised:?}");
}

#[test]
fn live_data_of_the_server_is_on_screen() {
    let cluster = support::cluster();
    let system = cluster
        .psql("select lpad((system_identifier % 10000)::text, 4, '0') from pg_control_system()")
        .expect("answered");
    let version = cluster.psql("show server_version").expect("answered");
    let robot = open(&cluster);
    robot.wait_until("the whole identity", |seen| {
        let line = row(seen, 0);
        let version = version.split(' ').next().unwrap_or_default();
        ["primary", version, "tl 1", &system, "conns"].iter().all(|word| line.contains(word))
    });
    robot.wait_for("howdah");
    // The harness switches fsync off: a check must see it.
    robot.wait_for("unsafe durability");
    // What changes in the server changes on screen.
    let sleeper = "select pg_sleep(30)";
    let mut sleepers: Vec<_> = (0..5)
        .map(|_| {
            Command::new(cluster.binaries().program("psql"))
                .args(["-Xqc", sleeper, &cluster.conninfo(Via::Unix)])
                .env("PGPASSWORD", cluster.password().expose())
                .spawn()
                .expect("psql")
        })
        .collect();
    robot.wait_until("five more sessions", |seen| row(seen, 0).contains(" 6/"));
    for sleeper in &mut sleepers {
        sleeper.kill().expect("ended");
        sleeper.wait().expect("collected");
    }
}

/// How the word looks where it stands first: colours, weight, reverse video.
fn look_of(seen: &Seen, word: &str) -> Option<(vt100::Color, vt100::Color, bool, bool)> {
    let (rows, _) = seen.screen().size();
    (0..rows.get()).find_map(|y| {
        let line = row(seen, y);
        let column = line[..line.find(word)?].chars().count() as u16;
        let cell = seen.screen().cell(y, column)?;
        Some((cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.inverse()))
    })
}

/// Presses the key and returns how long its effect took to be on screen.
fn press(robot: &mut Robot, key: &str, effect: impl Fn(&Seen) -> bool) -> Duration {
    assert!(!robot.look(&effect), "the effect of {key:?} is there before the key");
    robot.send(key);
    robot.wait_until(&format!("the effect of {key:?}"), effect)
}

/// What a key does to the screen.
type Effect = Box<dyn Fn(&Seen) -> bool>;

/// Presses one key after the other, each with an effect of its own, and measures.
fn press_all(robot: &mut Robot) -> Vec<(&'static str, Duration)> {
    const ESC: &str = "\x1b";
    let bottom_before = robot.look(|seen| row(seen, 23));
    let focused = robot.look(|seen| look_of(seen, "Pools")).expect("a title");
    let shows = |text: &'static str| move |seen: &Seen| seen.text().contains(text);
    let hides = |text: &'static str| move |seen: &Seen| !seen.text().contains(text);
    let focus = |title: &'static str| move |seen: &Seen| look_of(seen, title) == Some(focused);
    let bottom = |text: &'static str| move |seen: &Seen| row(seen, 23).starts_with(text);
    let mouse = |on| {
        move |seen: &Seen| {
            (seen.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None) == on
        }
    };
    let keys: Vec<(&'static str, Effect)> = vec![
        ("\t", Box::new(focus("Circuit breakers"))),
        ("\t", Box::new(focus("Health alerts"))),
        ("\x1b[Z", Box::new(focus("Circuit breakers"))),
        ("h", Box::new(focus("Pools"))),
        ("?", Box::new(shows("Leave the console."))),
        (ESC, Box::new(hides("Leave the console."))),
        (":", Box::new(shows("─ Command ─"))),
        ("h", Box::new(shows(": h "))),
        ("e", Box::new(shows(": he "))),
        ("\x7f", Box::new(shows(": h "))),
        (ESC, Box::new(hides("─ Command ─"))),
        ("/", Box::new(bottom("/ "))),
        ("z", Box::new(bottom("/ z"))),
        (ESC, Box::new(hides("/ z"))),
        ("f", Box::new(shows("FROZEN"))),
        ("f", Box::new(hides("FROZEN"))),
        ("\r", Box::new(hides("Health alerts"))),
        (ESC, Box::new(shows("Health alerts"))),
        ("s", Box::new(shows("─ Sources"))),
        (ESC, Box::new(hides("─ Sources"))),
        ("m", Box::new(mouse(true))),
        ("m", Box::new(mouse(false))),
        ("T", Box::new(move |seen| bottom(" Theme: ")(seen) && row(seen, 23) != bottom_before)),
    ];
    keys.into_iter().map(|(key, effect)| (key, press(robot, key, effect))).collect()
}

fn assert_quick(what: &str, mut keys: Vec<(&str, Duration)>) {
    keys.sort_by_key(|(_, took)| *took);
    let (median, (key, worst)) = (keys[keys.len() / 2].1, *keys.last().expect("keys"));
    let count = keys.len();
    println!("{what}: {count} keys, median {median:.1?}, worst {worst:.1?} ({key:?})");
    assert!(median <= KEY_MEDIAN, "{what}: {keys:?}");
    assert!(worst <= KEY_WORST, "{what}: {keys:?}");
}

fn hung(seen: &Seen) -> bool {
    let line = row(seen, 0);
    line.contains("HUNG") || line.contains("STALE")
}

#[test]
fn a_hung_server_is_said_and_no_key_waits_for_it() {
    let cluster = support::cluster();
    let mut robot = open(&cluster);
    assert_quick("keys on a live server", press_all(&mut robot));

    cluster.hang().expect("hung");
    let took = robot.wait_until("the word", hung);
    assert_within("HUNG on screen after SIGSTOP", took, Duration::from_secs(2));
    robot.look(|seen| assert!(seen.text().contains("server"), "old data stays"));
    assert_quick("keys on a hung server", press_all(&mut robot));
    assert!(robot.look(hung));

    cluster.resume();
    assert_within("live after SIGCONT", robot.wait_until("live", is_live), BACK);

    // Long enough for the connection to be given up: new attempts hang as well.
    cluster.hang().expect("hung");
    robot.wait_for("STALE 8s");
    assert_quick("keys while connecting hangs", press_all(&mut robot));
    cluster.resume();
    assert_within("live after a long hang", robot.wait_until("live", is_live), BACK);
}

#[test]
fn a_stopped_or_killed_server_is_down_and_comes_back() {
    let cluster = support::cluster();
    let mut robot = open(&cluster);
    for (what, end) in [
        ("stop -m fast", (|c: &Cluster| c.stop(Stop::Fast)) as fn(&Cluster) -> _),
        ("kill -9", |c: &Cluster| c.kill()),
    ] {
        let took = std::thread::scope(|scope| {
            let ended = scope.spawn(|| end(&cluster).expect("ended"));
            let took = robot.wait_until("DOWN", |seen| row(seen, 0).contains("DOWN"));
            ended.join().expect("no panic");
            took
        });
        assert_within(&format!("DOWN on screen after {what}"), took, Duration::from_secs(1));
        robot.look(|seen| {
            assert!(row(seen, 0).contains("primary"), "{}", seen.text());
            assert!(seen.text().contains("STALE"), "old data stays, with its age: {}", seen.text());
        });
        assert_quick("keys on a server that is down", press_all(&mut robot));
        cluster.start().expect("started");
        let took = robot.wait_until("live", is_live);
        assert_within(&format!("live after {what} and a start"), took, BACK);
    }
}

/// Types a command's name into the palette and takes the first that is found.
fn command(robot: &mut Robot, words: &str) {
    robot.send(":");
    robot.wait_for("─ Command ─");
    robot.send(words);
    robot.wait_for(&format!(": {words}"));
    robot.send("\r");
}

#[test]
fn the_demo_opens_takes_incidents_and_leaves_nothing() {
    let mut robot = Robot::start(PROGRAM, &["demo"], &[]);
    let took = robot.wait_until("the demo, live", |seen| {
        let text = seen.text();
        is_live(seen) && ["DEMO", "api-1", "api-2"].iter().all(|word| text.contains(word))
    });
    println!("the demo is live after {took:.1?}");
    let notes = Registry::at(robot.home().join(".local/state/howdah/demo"));
    let demo = notes.running().pop().expect("its note");
    let pids = process::descendants(robot.pid().as_raw_pid());
    assert!(pids.len() > 6, "guard, applications and server: {pids:?}");

    command(&mut robot, "hang");
    robot.wait_until("HUNG", hung);
    robot.wait_for("OPEN");
    command(&mut robot, "resume");
    robot.wait_until("live", is_live);
    robot.wait_until("both breakers to close", |seen| {
        let text = seen.text();
        !["OPEN", "HALF-OPEN"].iter().any(|state| text.contains(state)) && text.contains("CLOSED")
    });
    command(&mut robot, "pool exhausted");
    robot.wait_for("FULL");
    command(&mut robot, "clear");
    robot.wait_until("the pools to be free", |seen| !seen.text().contains("FULL"));

    robot.send("q");
    let (code, took) = robot.wait_exit();
    println!("the demo is left after {took:.1?}");
    assert_eq!(code, 0);
    robot.assert_given_back();
    let left = || pids.iter().any(|pid| process::alive(*pid)) || demo.folder.exists();
    eventually("nothing is left", Duration::from_secs(2), || !left());
    assert!(notes.running().is_empty());
}

/// A clipboard write (OSC 52), a screen erased, a C1 sequence, letters turned round.
const HOSTILE: &str = "evil\x1b]52;c;aGF4\x07\x1b[2J\u{9b}31m\u{202e}\u{200b}end";

/// What is left of the bytes when our own sequences are taken out: text, and what should not be there.
fn without_our_sequences(raw: &[u8]) -> String {
    let text = std::str::from_utf8(raw).expect("whole characters");
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        left.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        // Parameters, then one final byte (ECMA-48, 5.4); what we use is colours, places and modes.
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("a final byte");
        let last = &sequence[end..=end];
        assert!("mHhlJ".contains(last), "a sequence that is not ours: {:?}", &sequence[..=end]);
        assert!(sequence[..end].chars().all(|c| "0123456789;?".contains(c)), "{sequence:?}");
        rest = &sequence[end + 1..];
    }
    left.push_str(rest);
    left
}

/// The first character that a terminal would act upon.
fn harmful(text: &str, allowed: &[char]) -> Option<char> {
    const TURNING: [std::ops::RangeInclusive<char>; 3] =
        ['\u{200b}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    let acts = |c: char| c.is_control() || TURNING.iter().any(|range| range.contains(&c));
    text.chars().find(|c| acts(*c) && !allowed.contains(c))
}

fn assert_harmless(what: &str, text: &str, allowed: &[char]) {
    assert_eq!(harmful(text, allowed), None, "{what}: {text:?}");
}

#[test]
fn what_is_hostile_would_be_noticed() {
    for raw in ["a\x1b]52;c;x", "a\x07", "a\u{9b}31m", "a\u{202e}", "a\u{200b}"] {
        assert!(harmful(&without_our_sequences(raw.as_bytes()), &[]).is_some(), "{raw:?}");
    }
    assert_eq!(without_our_sequences(b"\x1b[1;31mred\x1b[0m"), "red");
}

/// A quoted name or literal in a connection string.
fn in_conninfo(raw: &str) -> String {
    format!("'{}'", raw.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[test]
fn nothing_hostile_in_the_server_reaches_the_terminal() {
    let cluster = support::cluster_with(&[("log_min_messages", "fatal")]);
    let (role, database) = (HOSTILE, format!("db {HOSTILE}"));
    cluster
        .psql(&format!(
            "create role \"{role}\" login password 'x' in role pg_monitor;
             create database \"{database}\" owner \"{role}\";"
        ))
        .expect("made");
    let target = |application: &str| {
        format!(
            "host=127.0.0.1 port={} user={} dbname={} sslmode=disable application_name={}",
            cluster.port(),
            in_conninfo(role),
            in_conninfo(&database),
            in_conninfo(application)
        )
    };
    // A session of that name, in a long transaction on a table of that name, with such a query.
    let session = format!(
        "create table \"{HOSTILE}\" (n int); begin; lock table \"{HOSTILE}\"; select pg_sleep(60) /* {HOSTILE} */"
    );
    let mut psql = Command::new(cluster.binaries().program("psql"))
        .args(["-Xqc", &session, &target(HOSTILE)])
        .env("PGPASSWORD", "x")
        .spawn()
        .expect("psql");

    let password = ("PGPASSWORD", "x");
    let mut robot = Robot::start(PROGRAM, &[&target("howdah")], &[password]);
    robot.wait_until("live data", |seen| is_live(seen) && seen.text().contains("server"));
    robot.wait_for("^[");
    // Every screen on which a name may stand.
    let steps = [
        ("s", "─ Sources", true),
        ("\x1b", "─ Sources", false),
        ("\r", "Health alerts", false),
        ("\t", "Circuit breakers", true),
        ("\t", "Health alerts", true),
        ("\x1b", "Pools", true),
        ("3", "WAL timeline", true),
        ("5", "Bring lost data back", true),
        ("\x1b", "Circuit breakers", true),
        ("?", "Leave the console.", true),
        ("\x1b", "Leave the console.", false),
    ];
    for (key, words, there) in steps {
        press(&mut robot, key, |seen| seen.text().contains(words) == there);
    }
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
    // CAN stands before what gives the terminal back: it ends a sequence that was cut off.
    robot.look(|seen| {
        assert_harmless("the console", &without_our_sequences(&seen.raw), &['\u{18}']);
    });

    for arguments in [vec!["status"], vec!["status", "--json"]] {
        let output = Command::new(PROGRAM)
            .args(&arguments)
            .arg(target("howdah"))
            .env_clear()
            .env("HOME", robot.home())
            .envs([password])
            .output()
            .expect("the program runs");
        let (out, err) = (output.stdout, output.stderr);
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.contains("^["), "{arguments:?}: {out}");
        assert_harmless(&arguments.join(" "), &out, &['\n']);
        assert_harmless("standard error", &String::from_utf8_lossy(&err), &['\n']);
        if arguments.contains(&"--json") {
            // An escape may hide in JSON's own notation, and come out in whoever reads it.
            let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            assert_harmless_json(&read);
        }
    }
    psql.kill().expect("ended");
    psql.wait().expect("collected");

    // A failure names the role and the database, too.
    let refused = Command::new(PROGRAM)
        .args(["status", "--within", "1s", &target("howdah")])
        .env_clear()
        .env("HOME", robot.home())
        .env("PGPASSWORD", "wrong")
        .output()
        .expect("the program runs");
    let out = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(out.contains("^["), "{out}");
    assert_harmless("a refusal", &out, &['\n']);
}

fn assert_harmless_json(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => assert_harmless("a JSON string", text, &[]),
        serde_json::Value::Array(items) => items.iter().for_each(assert_harmless_json),
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                assert_harmless("a JSON key", name, &[]);
                assert_harmless_json(value);
            }
        }
        _ => {}
    }
}

#[test]
fn a_terminal_that_nobody_reads_stops_no_probe() {
    let cluster = support::cluster();
    let mut robot = open(&cluster);
    robot.stop_reading();
    // Far more than a terminal takes: each size paints everything anew.
    for n in 0..100 {
        robot.resize(100 + n % 50, 40 + n % 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    let last = || {
        cluster
            .psql("select query_start from pg_stat_activity where application_name = 'howdah'")
            .expect("answered")
    };
    for _ in 0..4 {
        let before = last();
        assert!(!before.is_empty(), "the console is connected");
        let took = eventually("another probe", Duration::from_secs(3), || last() != before);
        println!("the next probe came after {took:.1?}");
    }
    // Facts that came meanwhile are on screen once somebody looks again.
    cluster.stop(Stop::Fast).expect("stopped");
    robot.resize(80, 24);
    robot.read_again();
    robot.wait_until("DOWN", |seen| row(seen, 0).contains("DOWN"));
    robot.signal(Signal::TERM);
    assert_eq!(robot.wait_exit().0, 143);
}
