//! Each guide for an incident against the real fault: what it shows is true, its first safe act ends the trouble,
//! and its last look says so. One demo for all of them, walked by plain lines.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say what was measured"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::bouncer::Bouncer;
use crate::support::eventually;
use howdah::{
    base::clock::Clock,
    cluster::Via,
    sandbox::{Demo, DemoOptions, Incident, Registry},
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// Long enough for a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// A demo without load, with backups, a PgBouncer, and a home that knows both.
struct Seat {
    demo: Demo,
    _bouncer: Bouncer,
    home: TempDir,
    config: PathBuf,
}

impl Seat {
    fn take() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let options = DemoOptions {
            program: Some(PathBuf::from(PROGRAM)),
            registry: Some(Registry::at(home.path().join("demo"))),
            no_load: true,
            ..DemoOptions::default()
        };
        let demo = Demo::start(&options).expect("started");
        let bouncer = Bouncer::start(demo.cluster());
        let text = fs::read_to_string(demo.target().config).expect("its configuration");
        let console = bouncer.conninfo("pgbouncer", "admin");
        let text = text.replacen(
            "environment =",
            &format!("pgbouncer = \"{console}\"\ntwo_people = true\nenvironment ="),
            1,
        );
        let config = home.path().join("howdah.toml");
        fs::write(&config, text).expect("written");
        let seat = Self { demo, _bouncer: bouncer, home, config };
        eventually("both backups", SOON, || {
            let listed = seat.printed(&["backup", "list", "--json"]);
            listed.contains("\"physical\"") && listed.contains("\"logical\"")
        });
        seat
    }

    fn howdah(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .env("HOME", self.home.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    fn printed(&self, words: &[&str]) -> String {
        let output = self.howdah(words).output().expect("ran");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn psql(&self, sql: &str) -> String {
        self.demo.cluster().psql(&format!("\\connect demo\n{sql}")).expect("ran")
    }

    /// A session that says `sql` and stays.
    fn session(&self, sql: &str) -> Held {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-d"])
            .arg(format!(
                "{} dbname=demo application_name=clerk",
                self.demo.cluster().conninfo(Via::Unix)
            ))
            .env("PGPASSWORD", self.demo.cluster().password().expose())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql");
        writeln!(child.stdin.as_mut().expect("a pipe"), "{sql}").expect("written");
        Held(child)
    }

    /// Walks a guide to its end. Answers are for questions with these words above them; elsewhere Enter takes
    /// what stands there, and what must be typed is typed as it is told.
    fn walk(&self, guide: &str, answers: &[(&str, &str)]) -> String {
        let clock = Clock::system();
        let began = clock.now();
        let mut child = self
            .howdah(&["guide", "run", guide])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = child.stdin.take();
        let mut prints = child.stdout.take().expect("a pipe");
        let (mut bytes, mut part, mut since) = (Vec::new(), [0; 4096], 0);
        // The steps, with their questions: a refusal asks the same one again.
        let mut step = String::new();
        while let Ok(read) = prints.read(&mut part)
            && read > 0
        {
            bytes.extend_from_slice(&part[..read]);
            let said = String::from_utf8_lossy(&bytes).into_owned();
            let asked = said.get(since..).unwrap_or_default();
            if asked.ends_with("> ") || asked.ends_with("reason: ") {
                if !asked.ends_with("reason: ") {
                    asked.clone_into(&mut step);
                }
                let line = answer(asked, &step, answers);
                since = said.len();
                if writeln!(lines.as_mut().expect("a pipe"), "{line}").is_err() {
                    break;
                }
            }
        }
        drop(lines);
        let said = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(child.wait().expect("ended").code(), Some(0), "{said}");
        assert!(said.contains("Finished"), "{said}");
        println!("{guide:<18} {:.1?}", clock.now().since(began));
        said
    }
}

fn answer(asked: &str, step: &str, answers: &[(&str, &str)]) -> String {
    let given = answers.iter().find(|(words, _)| step.contains(words)).map(|(_, answer)| *answer);
    let typed = asked.rsplit_once("type ").and_then(|(_, rest)| rest.split_once(" to do it > "));
    match (typed, given) {
        _ if asked.ends_with("reason: ") => "the test says so".to_owned(),
        (Some((challenge, _)), _) => challenge.to_owned(),
        _ if asked.ends_with("y does it > ") => "y".to_owned(),
        _ if asked.contains("\n! ") || asked.starts_with("! ") => {
            ":abort it is not well".to_owned()
        }
        (None, Some(answer)) => answer.to_owned(),
        (None, None) => String::new(),
    }
}

/// A session of a client, gone when dropped.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn each_guide_for_an_incident_ends_its_trouble() {
    let seat = Seat::take();
    archiver_failing(&seat);
    backup_failing(&seat);
    connection_wait(&seat);
    lock_pile_up(&seat);
    disk_filling(&seat);
    hold_callers(&seat);
    hung_server(&seat);
    let ledger = seat.printed(&["ledger", "show", "--json"]);
    has(
        &ledger,
        &["berta", "wal.setup", "session.end", "slot.drop", "server.wake", "pgbouncer.pause"],
    );
    seat.printed(&["ledger", "verify"]);
}

fn archiver_failing(seat: &Seat) {
    seat.psql("alter system set archive_command = 'false'");
    seat.psql("select pg_reload_conf()");
    seat.psql("insert into customers select 9000000, 'a', md5(random()::text), now(); select pg_switch_wal()");
    let failing = "select count(*) from pg_stat_archiver where last_failed_time > coalesce(last_archived_time, '-infinity')";
    eventually("the archiver fails", SOON, || seat.psql(failing) == "1");
    let said = seat.walk("archiver-failing", &[("What is to be done?", "3")]);
    has(&said, &["the promise is kept: true  ok", "gaps and damaged segments: 0  ok"]);
    assert_eq!(seat.psql(failing), "0");
}

fn backup_failing(seat: &Seat) {
    // pg_dump reads every table: one that it cannot understand ends it.
    seat.psql("create table broken (a int); update pg_attribute set atttypid = 1 where attrelid = 'broken'::regclass and attname = 'a'");
    let failed = seat.howdah(&["backup", "run", "--logical", "--quiet"]).output().expect("ran");
    assert!(!failed.status.success(), "a backup of what cannot be read must fail");
    seat.psql("update pg_attribute set atttypid = 23 where attrelid = 'broken'::regclass and attname = 'a'; drop table broken");
    let said = seat
        .walk("backup-failing", &[("Does the repository lack room?", "1"), ("Which kind", "1")]);
    has(&said, &["it is: failed  NOT AS IT HAS TO BE", "it is: complete  ok"]);
}

fn connection_wait(seat: &Seat) {
    let _idle: Vec<Held> = (0..3).map(|n| seat.session(&format!("begin; select {n};"))).collect();
    let kept = "select count(*) from pg_stat_activity where state = 'idle in transaction' and application_name = 'clerk'";
    eventually("three are kept", SOON, || seat.psql(kept) == "3");
    let said =
        seat.walk("connection-wait", &[("Is a session to be stopped?", "3"), ("Which one?", "1")]);
    has(
        &said,
        &[
            "idle in transaction: 3  NOT AS IT HAS TO BE",
            "it is gone: true  ok",
            "idle in transaction: 2  ok",
        ],
    );
    assert_eq!(seat.psql(kept), "2");
}

fn lock_pile_up(seat: &Seat) {
    let _root = seat.session("begin; lock table customers;");
    eventually("it is locked", SOON, || {
        seat.psql("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'customers'::regclass") == "1"
    });
    let _victims: Vec<Held> =
        (0..4).map(|_| seat.session("select count(*) from customers;")).collect();
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    eventually("four wait", SOON, || seat.psql(waiting) == "4");
    let said =
        seat.walk("lock-pile-up", &[("Which session do", "1"), ("What is to be done about", "3")]);
    has(&said, &["4 wait for it", "sessions that wait for a lock: 0  ok"]);
    assert_eq!(seat.psql(waiting), "0");
}

fn disk_filling(seat: &Seat) {
    seat.psql("alter system set max_wal_size = '32MB'");
    seat.psql("alter system set min_wal_size = '32MB'");
    seat.psql("select pg_reload_conf()");
    seat.psql("select pg_create_physical_replication_slot('gone_standby', true)");
    for _ in 0..8 {
        seat.psql("insert into customers values (9000001 + (random() * 1000000)::int, 'a', md5(random()::text), now())");

        seat.psql("select pg_switch_wal()");
    }
    let waits = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'";
    eventually("all is archived", SOON, || seat.psql(waits) == "0");
    let alone = seat
        .howdah(&["slot", "drop", "gone_standby", "--apply", "--confirm", "gone_standby"])
        .output()
        .expect("ran");
    let why = String::from_utf8_lossy(&alone.stderr);
    assert!(why.contains("asks for two people") && !alone.status.success(), "{why}");
    let answers = [("Which disk?", "1"), ("Who keeps the room?", "1"), ("Which slot?", "1")];
    let said = std::thread::scope(|scope| {
        scope.spawn(|| confirm_as_berta(seat));
        seat.walk("disk-filling", &answers)
    });
    has(
        &said,
        &[
            "the slot gone_standby which nobody uses",
            "gone: gone_standby",
            "free on its fullest disk: ",
        ],
    );
    assert_eq!(seat.psql("select count(*) from pg_replication_slots"), "0");
    let percent = "select sum(size) * 100 / pg_size_bytes('32MB') <= 200 from pg_ls_waldir()";
    assert_eq!(seat.psql(percent), "t");
}

/// Another person confirms what one has confirmed.
fn confirm_as_berta(seat: &Seat) {
    let sql = "select right(system_identifier::text, 4) from pg_control_system()";
    let challenge = format!("demo/{}", seat.psql(sql));
    let words = ["guide", "second", "last", "--as", "berta", "--confirm", &challenge];
    eventually("it waits for a second person", SOON, || {
        seat.howdah(&words).output().expect("ran").status.success()
    });
}

fn hold_callers(seat: &Seat) {
    let said = seat.walk(
        "hold-callers",
        &[("Which database", "1"), ("or serve it again?", "1"), ("For how long", "1m")],
    );
    has(&said, &["it is paused: true  ok", "it is paused: false  ok", "it is: served  ok"]);
}

fn hung_server(seat: &Seat) {
    seat.demo.inject(Incident::Hang).expect("frozen");
    let said = seat.walk("hung-server", &[("What is to be done first?", "1")]);
    has(
        &said,
        &[
            "hung: a signal has stopped its processes",
            "D: waits for a disk): T",
            "it answers: true  ok",
            "that is: well  ok",
        ],
    );
    seat.psql("select 1");
}

#[test]
fn a_run_whose_target_is_gone_is_said_to_be_so_and_ended() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("gone.toml");
    fs::write(
        &config,
        "default_target = 't'\n[target.t]\nurl = 'host=/nowhere'\nrepository = '/nowhere'\n",
    )
    .expect("written");
    let howdah = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).env("HOME", home.path()).stdin(Stdio::null());
        for variable in ["XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        let output = command.output().expect("ran");
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&told).into_owned())
    };
    let file = config.to_str().expect("UTF-8");
    let (code, said) = howdah(&["--config", file, "guide", "run", "lock-pile-up"]);
    assert_eq!(code, Some(0), "{said}");
    fs::remove_file(&config).expect("removed");
    let (_, listed) = howdah(&["guide", "list"]);
    has(&listed, &["gone.toml' is gone: howdah guide end"]);
    let (code, said) = howdah(&["guide", "end", "last", "--reason", "its cluster went"]);
    assert_eq!(code, Some(0), "{said}");
    has(&said, &["Ended before its end: its cluster went", "nothing was begun: all is as it was"]);
    let (_, listed) = howdah(&["guide", "list"]);
    assert!(!listed.contains("gone.toml"), "{listed}");
    let (code, _) = howdah(&["guide", "end", "last", "--reason", "again"]);
    assert_ne!(code, Some(0), "it is over already");
    let ledger = Path::new(home.path()).join(".local/state/howdah/ledger/ledger.jsonl");
    has(&fs::read_to_string(ledger).expect("a ledger"), &["guide.run", "its cluster went"]);
}
