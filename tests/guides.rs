//! Guides walked on real servers: a dropped table comes back by keys alone and by plain lines alone; whoever
//! drives a run may be killed at any moment, and nothing is lost or done twice.
//!
//! `cargo test --test guides -- --nocapture` prints the matrix of deaths.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use howdah::{
    base::{clock::Clock, process},
    cluster::{Cluster, Via},
    sandbox::{Demo, DemoOptions, Incident, Registry},
};
use rustix::process::Signal;
use serde_json::Value;
use support::eventually;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// Long enough for a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// howdah with a home of its own.
fn howdah(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .env("HOME", home)
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_CONFIG_HOME");
    command
}

fn printed(home: &Path, words: &[&str]) -> String {
    let output = howdah(home, words).output().expect("ran");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A demo without load that has backups of both kinds, and its configuration.
struct Shop {
    demo: Demo,
    config: PathBuf,
    _notes: TempDir,
}

impl Shop {
    fn open() -> Self {
        let notes = tempfile::tempdir().expect("a folder");
        let options = DemoOptions {
            program: Some(PathBuf::from(PROGRAM)),
            registry: Some(Registry::at(notes.path().join("demo"))),
            no_load: true,
            ..DemoOptions::default()
        };
        let demo = Demo::start(&options).expect("started");
        let config = demo.target().config;
        let home = tempfile::tempdir().expect("a folder");
        let words = ["--config", config.to_str().expect("UTF-8"), "backup", "list", "--json"];
        eventually("both backups", SOON, || {
            let listed = printed(home.path(), &words);
            listed.contains("\"physical\"") && listed.contains("\"logical\"")
        });
        Self { demo, config, _notes: notes }
    }

    fn customers(&self) -> Option<i64> {
        let sql = "\\connect demo\nselect count(*) from customers";
        self.demo.cluster().psql(sql).ok().and_then(|count| count.parse().ok())
    }

    /// What is typed to confirm a severe act.
    fn challenge(&self) -> String {
        let sql = "select right(system_identifier::text, 4) from pg_control_system()";
        format!("demo/{}", self.demo.cluster().psql(sql).expect("answered"))
    }

    fn lose_the_customers(&self) {
        self.demo.inject(Incident::DropTable).expect("dropped");
        assert_eq!(self.customers(), None);
    }
}

#[cfg(feature = "console")]
#[test]
fn a_dropped_table_comes_back_by_keys_alone() {
    use support::pty::Robot;

    let shop = Shop::open();
    shop.lose_the_customers();
    let challenge = shop.challenge();
    let config = shop.config.to_str().expect("UTF-8");
    let mut robot = Robot::start(PROGRAM, &["--config", config], &[]);
    robot.wait_for(" live ");
    let (clock, began) = (Clock::system(), Clock::system().now());
    let step = |robot: &mut Robot, title: &str, ask: &str, keys: &str| {
        robot.wait_until(title, |seen| {
            let text = seen.text();
            text.contains(title) && text.contains(ask)
        });
        robot.send(keys);
    };
    step(&mut robot, "Overview", "Guides", "5");
    step(&mut robot, "Bring lost data back", "From 'a table is gone'", "\r");
    step(&mut robot, "Is this the cluster", "Enter take these values", "\r");
    step(&mut robot, "Can it be brought back?", "Enter take these values", "\r");
    step(&mut robot, "What was lost?", "A table was dropped", "\r");
    step(&mut robot, "In which database?", "> demo", "\r");
    step(&mut robot, "Which table?", "Enter takes it", "public.customers\r");
    step(&mut robot, "Have what happened last archived", "undo: there is nothing", "");
    thread::sleep(Duration::from_millis(800));
    robot.send("\r");
    step(&mut robot, "Which transaction dropped", ", committed ", "\r");
    step(&mut robot, "Into which new folder?", "howdah-restored", "\r");
    step(
        &mut robot,
        "Bring the cluster back to just before it",
        "undo: howdah restore discard",
        "",
    );
    thread::sleep(Duration::from_millis(800));
    robot.send("\r");
    step(&mut robot, "Bring public.customers back", &format!("Type {challenge}"), "");
    // At once it does not count.
    robot.send(format!("{challenge}\r")).send("because it is mine\r");
    robot.wait_for("what is typed ahead does not count");
    thread::sleep(Duration::from_secs(2));
    robot.send("\r").send(format!("{challenge}\r")).send("dropped by mistake\r");
    step(&mut robot, "Have its owner look", "findings of the checks: 0", "\r");
    println!("from the first key to the rows: {:.0?}", clock.now().since(began));
    assert_eq!(shop.customers(), Some(5000));
    step(&mut robot, "Remove the cluster that was brought back", "NO UNDO", "");
    thread::sleep(Duration::from_millis(800));
    robot.send("\r");
    robot.wait_for("Finished");
    robot.send("q");
    robot.wait_exit();
    assert!(clock.now().since(began) < Duration::from_mins(2), "two minutes are promised");
    let ledger = fs::read_to_string(robot.home().join(".local/state/howdah/ledger/ledger.jsonl"));
    let ledger = ledger.expect("a ledger");
    assert!(ledger.contains("dropped by mistake") && ledger.contains("restore.table"), "{ledger}");
}

#[test]
fn a_dropped_table_comes_back_by_plain_lines_alone() {
    let shop = Shop::open();
    shop.lose_the_customers();
    let home = tempfile::tempdir().expect("a folder");
    let config = shop.config.to_str().expect("UTF-8");
    let mut walk = Walk::start(home.path(), &["--config", config, "guide", "run", "restore"]);
    let challenge = shop.challenge();
    walk.answer(&mut |asked| match asked {
        asked if asked.contains("In which database?") => "demo".to_owned(),
        asked if asked.contains("Which table?") => "public.customers".to_owned(),
        asked if asked.contains("to do it > ") => challenge.clone(),
        asked if asked.ends_with("reason: ") => "dropped by mistake".to_owned(),
        asked if asked.ends_with("-5 > ") || asked.ends_with("1-1 > ") => "1".to_owned(),
        _ => String::new(),
    });
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Finished"), "{said}");
    assert_eq!(shop.customers(), Some(5000));
    let shown = printed(home.path(), &["guide", "show", "last"]);
    assert!(shown.contains("Bring public.customers back to where it was: done by job"), "{shown}");
    let ledger = printed(home.path(), &["ledger", "show", "--json"]);
    assert!(ledger.contains("\"guide.run\"") && ledger.contains("\"asserted\""), "{ledger}");
    printed(home.path(), &["ledger", "verify"]);
}

/// Walks the restore guide by lines: what was lost, and the answers that are not the usual ones.
fn restore(
    shop: &Shop,
    home: &Path,
    lost: &str,
    other: &dyn Fn(&str) -> Option<&'static str>,
) -> String {
    let challenge = shop.challenge();
    let config = shop.config.to_str().expect("UTF-8");
    let mut walk = Walk::start(home, &["--config", config, "guide", "run", "restore"]);
    walk.answer(&mut |asked| match asked {
        asked if asked.ends_with("to do it > ") => challenge.clone(),
        asked if asked.ends_with("reason: ") => "somebody slipped".to_owned(),
        asked if asked.ends_with("y does it > ") => "y".to_owned(),
        asked if asked.ends_with("-5 > ") => lost.to_owned(),
        asked if asked.ends_with("-1 > ") => "1".to_owned(),
        asked if asked.contains(":again, ") => ":abort it failed".to_owned(),
        asked => other(asked).unwrap_or_default().to_owned(),
    });
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Finished"), "{said}");
    said
}

#[test]
fn rows_that_were_deleted_or_truncated_come_back_beside_what_came_since() {
    let shop = Shop::open();
    let home = tempfile::tempdir().expect("a folder");
    let run = |sql: &str| shop.demo.cluster().psql(&format!("\\connect demo\n{sql}")).expect("ran");
    let table = |asked: &str| asked.contains("Which table?").then_some("public.customers");
    run("delete from customers where id <= 700");
    run("insert into customers values (1, 'new', 'new@bank.example', '2026-01-01')");
    let said = restore(&shop, home.path(), "3", &table);
    assert!(said.contains("700 rows, committed"), "{said}");
    assert_eq!(shop.customers(), Some(5000));
    let new = run("select name from customers where id = 1");
    assert_eq!(new, "new", "what came since stays");
    run("truncate customers");
    restore(&shop, home.path(), "2", &table);
    assert_eq!(shop.customers(), Some(5000));
}

#[test]
fn a_database_and_a_whole_cluster_come_back_beside_the_living() {
    let shop = Shop::open();
    let home = tempfile::tempdir().expect("a folder");
    restore(&shop, home.path(), "4", &|_| None);
    let sql = "\\connect demo_back\nselect count(*) from customers";
    assert_eq!(shop.demo.cluster().psql(sql).expect("there"), "5000");

    // Of the cluster something must be archived behind the backup.
    let config = shop.config.to_str().expect("UTF-8");
    printed(home.path(), &["--config", config, "wal", "canary", "--json"]);
    let said = restore(&shop, home.path(), "5", &|_| None);
    assert!(said.contains("Let the restored cluster take writes"), "{said}");
    let folder = said.split("--into ").nth(1).expect("a folder").split(' ').next().expect("a word");
    let pid = fs::read_to_string(Path::new(folder).join("data/postmaster.pid")).expect("it runs");
    let pid: i32 = pid.lines().next().expect("a line").parse().expect("a number");
    process::signal(pid, Signal::QUIT);
    assert!(process::wait_gone(&[pid], SOON));
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn the_wal_archive_is_verified_and_set_up_by_guides() {
    let shop = Shop::open();
    let home = tempfile::tempdir().expect("a folder");
    let config = shop.config.to_str().expect("UTF-8");
    let walk = |guide: &str| {
        let challenge = shop.challenge();
        let mut walk = Walk::start(home.path(), &["--config", config, "guide", "run", guide]);
        walk.answer(&mut |asked| match asked {
            asked if asked.ends_with("to do it > ") => challenge.clone(),
            asked if asked.ends_with("reason: ") => "it must archive".to_owned(),
            asked if asked.contains(":again, ") => ":abort it failed".to_owned(),
            // What is not as it has to be is not accepted: left out, it stands in the record.
            asked if asked.contains("left out with a reason") || asked.contains("NOT AS IT") => {
                ":skip known".to_owned()
            }
            _ => String::new(),
        });
        walk.end()
    };
    let (code, said) = walk("wal-check");
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "compared with: server",
        "the promise is kept: true  ok",
        "gaps and damaged segments: 0  ok",
        "archive_mode: on  ok",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    shop.demo.cluster().psql("alter system set archive_command = 'false'").expect("set");
    shop.demo.cluster().psql("select pg_reload_conf()").expect("read");
    let (code, said) = walk("wal-setup");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the promise is kept: true  ok"), "{said}");
    let now = shop.demo.cluster().psql("show archive_command").expect("answered");
    assert!(now.contains("wal archive"), "{now}");
}

/// A guide that is being walked by plain lines.
struct Walk {
    child: Child,
    lines: Option<ChildStdin>,
    prints: ChildStdout,
    said: String,
}

impl Walk {
    fn start(home: &Path, words: &[&str]) -> Self {
        Self::start_with(howdah(home, words))
    }

    fn start_with(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("started");
        let (lines, prints) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Self { child, lines, prints, said: String::new() }
    }

    /// Answers each question until there are none. `answer` is told what was printed since the last one.
    fn answer(&mut self, answer: &mut dyn FnMut(&str) -> String) {
        let mut since = 0;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while let Ok(read) = self.prints.read(&mut part)
            && read > 0
        {
            bytes.extend_from_slice(&part[..read]);
            self.said = String::from_utf8_lossy(&bytes).into_owned();
            let asked = self.said.get(since..).unwrap_or_default();
            if asked.ends_with("> ") || asked.ends_with("reason: ") {
                let line = answer(asked) + "\n";
                since = self.said.len();
                let Some(lines) = &mut self.lines else { return };
                // It may have been killed meanwhile.
                let _ = lines.write_all(line.as_bytes());
            }
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        drop(self.lines.take());
        (self.child.wait().expect("ended").code(), self.said)
    }
}

/// A guide with two acts that leave something to be counted: each takes a backup.
const TWO_BACKUPS: &str = r#"
id = "two"
title = "Take two backups"
about = "for tests"

[[step]]
id = "look"
title = "Look"
do = "accept"
[step.look]
command = ["backup", "list", "{place}", "--json"]
facts = [{ name = "count", label = "backups", at = "/#" }]

[[step]]
id = "kind"
title = "Which?"
do = "choose"
into = "kind"
options = [{ is = "--logical", label = "logical" }]

[[step]]
id = "first"
title = "Take the first"
do = "act"
command = ["backup", "run", "{place}", "{kind}", "--quiet"]
apply = []
planned = false
grade = "mild"

[[step]]
id = "second"
title = "Take the second"
do = "act"
command = ["backup", "run", "{place}", "{kind}", "--quiet"]
apply = []
planned = false
grade = "mild"

[[step]]
id = "end"
title = "All well?"
do = "accept"
"#;

/// A home with that guide and a configuration for a cluster.
fn home_for(cluster: &Cluster, guide: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".config/howdah");
    fs::create_dir_all(folder.join("guides")).expect("made");
    fs::create_dir(home.path().join("repository")).expect("made");
    fs::write(folder.join("guides/own.toml"), guide).expect("written");
    let passfile = home.path().join("passfile");
    fs::write(&passfile, format!("*:*:*:*:{}\n", cluster.password().expose())).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&passfile, mode).expect("private");
    let url = format!("{} passfile='{}'", cluster.conninfo(Via::Tcp), passfile.display());
    let repository = home.path().join("repository");
    let text = format!(
        "default_target = 't'\n[target.t]\nurl = \"{url}\"\nrepository = '{}'\n",
        repository.display()
    );
    fs::write(folder.join("config.toml"), text).expect("written");
    home
}

fn any_answer(asked: &str) -> String {
    match asked {
        asked if asked.ends_with("1-1 > ") => "1".to_owned(),
        asked if asked.contains(":again") => ":again".to_owned(),
        _ => String::new(),
    }
}

fn journal_lines(home: &Path) -> usize {
    let runs = fs::read_dir(home.join(".local/state/howdah/guides")).expect("runs");
    let run = runs.flatten().next().expect("a run").path();
    fs::read_to_string(run.join("journal.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn whoever_drives_may_die_at_any_line_and_nothing_is_lost_or_done_twice() {
    let cluster = support::cluster();
    let walk = |variable: Option<(&str, usize)>| {
        let home = home_for(&cluster, TWO_BACKUPS);
        let mut first = howdah(home.path(), &["guide", "run", "two"]);
        if let Some((variable, line)) = variable {
            first.env(variable, line.to_string());
        }
        let mut first = Walk::start_with(first);
        first.answer(&mut |asked| any_answer(asked));
        let (code, said) = first.end();
        let stood = journal_lines(home.path());
        if variable.is_some() {
            assert_eq!(code, None, "it was to be killed: {said}");
            let mut second = Walk::start(home.path(), &["guide", "resume", "last"]);
            second.answer(&mut |asked| any_answer(asked));
            let (code, said) = second.end();
            assert_eq!(code, Some(0), "{variable:?}: {said}");
        }
        let backups: Value =
            serde_json::from_str(&printed(home.path(), &["backup", "list", "--json"]))
                .expect("JSON");
        let jobs: Value =
            serde_json::from_str(&printed(home.path(), &["jobs", "--json"])).expect("JSON");
        let tags: Vec<String> = jobs
            .as_array()
            .expect("a list")
            .iter()
            .map(|job| {
                job["tag"]
                    .as_str()
                    .expect("a tag")
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(backups.as_array().map(Vec::len), Some(2), "{variable:?}: {tags:?}");
        assert_eq!(tags.len(), 2, "{variable:?}: {tags:?}");
        (journal_lines(home.path()), stood)
    };
    let (lines, _) = walk(None);
    let deaths: Vec<(&str, usize)> = ["HOWDAH_TEST_DIE_BEFORE_LINE", "HOWDAH_TEST_DIE_BEHIND_LINE"]
        .into_iter()
        .flat_map(|variable| (1..=lines).map(move |line| (variable, line)))
        .collect();
    let left = Mutex::new(deaths.clone());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(death) = { left.lock().expect("whole").pop() } {
                    // Behind its last line the run is over: nothing is left to go on with.
                    if death == ("HOWDAH_TEST_DIE_BEHIND_LINE", lines) {
                        continue;
                    }
                    let (_, stood) = walk(Some(death));
                    println!("killed {:<28} line {:>2}: stood at line {stood:>2}, finished, 2 backups, 2 jobs", death.0, death.1);
                }
            });
        }
    });
    println!("{} deaths, each resumed; no step ran twice", deaths.len() - 1);
}

/// Title and question of each of its steps.
#[cfg(feature = "console")]
const ASKS: [(&str, &str); 5] = [
    ("Look", "Enter take these values"),
    ("Which?", "│  logical "),
    ("Take the first", "Enter does it"),
    ("Take the second", "Enter does it"),
    ("All well?", "so it is, I say"),
];

/// True when the screen asks the question of that step.
#[cfg(feature = "console")]
fn asks(text: &str, step: usize) -> bool {
    let (title, ask) = ASKS[step];
    text.lines().any(|line| line.contains(title) && !line.contains("done:")) && text.contains(ask)
}

/// The console on that guide's page, up to the given step, in a home that outlives it.
#[cfg(feature = "console")]
fn console_at(home: &Path, steps: usize) -> support::pty::Robot {
    use support::pty::Robot;

    let home = home.to_str().expect("UTF-8");
    let mut robot = Robot::start(PROGRAM, &[], &[("HOME", home)]);
    robot.wait_for(" live ");
    robot.send("5");
    robot.wait_for("Take two backups");
    robot.send("G").send("\r");
    for step in 0..steps {
        on(&mut robot, step);
    }
    robot
}

/// Answers the page of a step.
#[cfg(feature = "console")]
fn on(robot: &mut support::pty::Robot, step: usize) {
    robot.wait_until(ASKS[step].0, |seen| asks(&seen.text(), step));
    thread::sleep(Duration::from_millis(if step == 2 || step == 3 { 800 } else { 0 }));
    robot.send("\r");
}

#[cfg(feature = "console")]
#[test]
fn a_lost_session_goes_on_where_it_stood_at_every_step() {
    use support::pty::{Robot, Seen};

    let cluster = support::cluster();
    let left =
        Mutex::new((0..5_usize).flat_map(|step| [(step, false), (step, true)]).collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((step, answered)) = { left.lock().expect("whole").pop() } {
                    let home = home_for(&cluster, TWO_BACKUPS);
                    let mut robot = console_at(home.path(), step);
                    // Lost with the page in sight, or in the very moment of the answer.
                    if answered {
                        on(&mut robot, step);
                    } else {
                        robot.wait_until("the page", |seen| asks(&seen.text(), step));
                    }
                    robot.stop_reading();
                    robot.close();
                    robot.wait_exit();
                    let from = if answered { step + 1 } else { step };
                    if from < 5 {
                        let path = home.path().to_str().expect("UTF-8");
                        let mut robot = Robot::start(PROGRAM, &[], &[("HOME", path)]);
                        robot.wait_for(" live ");
                        robot.send("5");
                        robot.wait_for("Begun, and not over");
                        robot.send("g").send("\r");
                        // The last answer may have come too late to be taken, or in time.
                        loop {
                            let stands =
                                |seen: &Seen| (0..5).find(|step| asks(&seen.text(), *step));
                            robot.wait_until("a question, or the end", |seen| {
                                stands(seen).is_some() || seen.text().contains("Finished")
                            });
                            let Some(step) = robot.look(stands) else { break };
                            on(&mut robot, step);
                            robot.wait_until("another page", |seen| !asks(&seen.text(), step));
                        }
                        robot.send("q");
                        robot.wait_exit();
                    }
                    let backups = printed(home.path(), &["backup", "list", "--json"]);
                    let backups: Value = serde_json::from_str(&backups).expect("JSON");
                    assert_eq!(
                        backups.as_array().map(Vec::len),
                        Some(2),
                        "step {step}, answered: {answered}"
                    );
                    println!(
                        "session lost at step {step}, answered: {answered:<5}: finished, 2 backups"
                    );
                }
            });
        }
    });
}

#[test]
fn a_job_that_is_killed_is_told_and_the_run_ends_with_what_was_not_done() {
    let cluster = support::cluster();
    let guide = r#"
id = "long"
title = "Something long"
about = "for tests"
[[step]]
id = "watch"
title = "Watch for ever"
do = "act"
command = ["status", "{at}", "--watch"]
apply = []
planned = false
grade = "mild"
"#;
    let home = home_for(&cluster, guide);
    let mut walk = Walk::start(home.path(), &["guide", "run", "long"]);
    let killer = thread::spawn({
        let home = home.path().to_owned();
        move || {
            let mut job = None;
            eventually("a running job", SOON, || {
                let jobs: Value =
                    serde_json::from_str(&printed(&home, &["jobs", "--json"])).expect("JSON");
                job = jobs[0]["process"]["pid"].as_i64();
                job.is_some() && jobs[0]["state"] == "running"
            });
            process::signal(job.expect("one") as i32, Signal::KILL);
        }
    });
    walk.answer(&mut |asked| match asked {
        asked if asked.contains(":again") => ":abort it does not matter".to_owned(),
        _ => String::new(),
    });
    killer.join().expect("killed it");
    let (code, said) = walk.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its process was killed"), "{said}");
    assert!(said.contains("not done: Watch for ever"), "{said}");
}

#[test]
fn a_run_has_one_driver_and_others_look_on() {
    let cluster = support::cluster();
    let home = home_for(&cluster, TWO_BACKUPS);
    let mut walk = Walk::start(home.path(), &["guide", "run", "two"]);
    let mut looked = false;
    walk.answer(&mut |_| {
        if !looked {
            looked = true;
            let second = howdah(home.path(), &["guide", "resume", "last"]).output().expect("ran");
            let why = String::from_utf8_lossy(&second.stderr).into_owned();
            assert_eq!(second.status.code(), Some(77), "{why}");
            assert!(why.contains("is driven by"), "{why}");
            let shown = printed(home.path(), &["guide", "show", "last"]);
            assert!(shown.contains("driven by") && shown.contains("Look"), "{shown}");
        }
        ":leave".to_owned()
    });
    let (code, said) = walk.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it waits where it stands: howdah guide resume"), "{said}");
    assert!(printed(home.path(), &["guide", "list"]).contains("nobody drives it"));
}
