//! Long work that outlives its terminal, its parent and its observers.
//!
//! The jobs are this very program, started again to run one test: that test then plays the job's part.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy sees tests only in test functions"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::support::{
    eventually,
    pty::{Robot, wait_until},
};
use howdah::{
    base::{
        cancel::Cancel,
        clock::Clock,
        exec::Tool,
        ledger::Who,
        process::{self, Identity, Signal},
        progress::{Cleanup, Progress},
        text::Text,
    },
    jobs::{
        Card, End, Job, JobError, JobId, JobSpec, Jobs, Line, Patience, Said, Stage, State, Story,
    },
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);
/// The test that plays parts.
const STAGE: &str = "jobs::a_job_tells_its_steps_and_its_end";

/// A folder of jobs.
struct Room {
    folder: tempfile::TempDir,
    jobs: Jobs,
}

fn room() -> Room {
    let folder = tempfile::tempdir().expect("a folder");
    let jobs = Jobs::at(&folder.path().join("jobs"), &Clock::system());
    Room { folder, jobs }
}

fn player(part: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", STAGE, "--nocapture"]);
    command.env("HOWDAH_TEST_PART", part).env("HOWDAH_TEST_FOLDER", folder);
    command
}

fn spec() -> JobSpec {
    let words = vec!["--url".into(), "postgresql://me:hunter2@db/app".into()];
    JobSpec::new("test.run", words, Who::current(Some("Anna"))).because("a test")
}

impl Room {
    fn start(&self, part: &str) -> JobId {
        let started = self.jobs.spawn_with(&spec(), |id| {
            let mut command = player(part, self.folder.path());
            command.env("HOWDAH_TEST_JOB", id.as_str());
            command
        });
        started.expect("started")
    }

    fn job(&self, id: &JobId) -> Job {
        self.jobs.get(id).expect("readable")
    }

    fn wait(&self, what: &str, id: &JobId, done: impl Fn(&Job) -> bool) -> Job {
        eventually(what, LIMIT, || done(&self.job(id)));
        self.job(id)
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join("x.partial")
    }

    /// What the job noted: the number of the tool that it runs.
    fn tool(&self, id: &JobId) -> i32 {
        let pid = fs::read_to_string(self.folder.path().join("tool")).expect("a note");
        assert!(self.job(id).state == State::Running);
        pid.parse().expect("a number")
    }
}

impl Drop for Room {
    /// A test that failed leaves nothing running.
    fn drop(&mut self) {
        let at_once = Duration::ZERO;
        let patience = Patience { interrupt: at_once, terminate: at_once, kill: LIMIT };
        for job in self.jobs.list().unwrap_or_default().into_iter().flatten() {
            let _ = self.jobs.cancel(&job.id, patience);
        }
    }
}

fn leader(job: &Job) -> Identity {
    job.card.process.clone().expect("it runs")
}

/// What a job does that plays `part`.
fn play(part: &str) {
    let folder = PathBuf::from(env::var_os("HOWDAH_TEST_FOLDER").expect("a folder"));
    let jobs = Jobs::at(&folder.join("jobs"), &Clock::system());
    if part == "launcher" {
        // A terminal's program that starts a job and stays.
        let id = jobs.spawn_with(&spec(), |id| {
            let mut command = player("long", &folder);
            command.env("HOWDAH_TEST_JOB", id.as_str());
            command
        });
        println!("started {}", id.expect("started"));
        thread::sleep(LIMIT * 3);
        return;
    }
    if part == "never-begins" {
        eprintln!("no such thing\u{1b}[31m");
        std::process::abort();
    }
    let id = env::var("HOWDAH_TEST_JOB").expect("a name").parse().expect("a name");
    let work = jobs.enter(&id, Cancel::detached().expect("handlers")).expect("entered");
    let observer = work.observer();
    let partial = folder.join("x.partial");
    let cleanup = Cleanup::words("remove the half-made copy").by(["rm", "-r", "x.partial"]);
    match part {
        "steps" => {
            println!("words for the log");
            let step = observer.step("make", &Cleanup::none()).expect("recorded");
            step.done(json!({ "bytes": 3 })).expect("recorded");
            let step = observer.step("copy", &cleanup).expect("recorded");
            for done in 0..=300 {
                observer.progress(&Progress::bytes("copying", done, Some(300)));
            }
            observer.note(&"a word\u{7}".into());
            step.done(json!({})).expect("recorded");
            work.finish(End::Done, None, 0).expect("recorded");
        }
        "long" => {
            let outer = observer.step("backup", &Cleanup::none()).expect("recorded");
            let step = observer.step("copy", &cleanup).expect("recorded");
            fs::write(&partial, "half").expect("written");
            let mut tool =
                Tool::new("sleep").arg("600").start(observer.cancel(), false).expect("it runs");
            fs::write(folder.join("tool.new"), tool.pid().to_string()).expect("noted");
            fs::rename(folder.join("tool.new"), folder.join("tool")).expect("noted");
            let mut done = 0;
            while !tool.ended().expect("it can be waited for") {
                done += 1;
                observer.progress(&Progress::items("copying", done, None));
                thread::sleep(Duration::from_millis(5));
            }
            fs::remove_file(&partial).expect("removed");
            step.undone("cancelled").expect("recorded");
            outer.undone("cancelled").expect("recorded");
            work.finish(End::Cancelled, Some("by a signal".into()), 130).expect("recorded");
        }
        "deaf" => {
            let step = observer.step("copy", &cleanup).expect("recorded");
            let tool = Tool::new("sleep").arg("600").start(&Cancel::new(), false).expect("it runs");
            fs::write(folder.join("tool.new"), tool.pid().to_string()).expect("noted");
            fs::rename(folder.join("tool.new"), folder.join("tool")).expect("noted");
            thread::sleep(LIMIT * 3);
            drop(step);
        }
        "panics" => {
            let _step = observer.step("copy", &cleanup).expect("recorded");
            panic!("for the test");
        }
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn a_job_tells_its_steps_and_its_end() {
    if let Ok(part) = env::var("HOWDAH_TEST_PART") {
        return play(&part);
    }
    let room = room();
    let id = room.start("steps");
    let job = room.wait("the end", &id, |job| job.state.over());
    assert_eq!(job.state, State::Done);
    assert_eq!(job.outcome.as_ref().map(|outcome| outcome.exit), Some(0));
    assert_eq!((job.story.steps_done, job.story.open.len()), (2, 0));
    assert_eq!(job.story.progress.as_ref().map(|m| m.progress.done), Some(300), "the last word");
    assert_eq!(job.card.who.name.as_deref(), Some("Anna"));
    assert_eq!(job.card.why.as_deref(), Some("a test"));
    let card = fs::read_to_string(room.jobs.log(&id).with_file_name("job.json")).expect("a card");
    assert!(card.contains("me:********@db") && !card.contains("hunter2"), "{card}");
    let log = fs::read_to_string(room.jobs.log(&id)).expect("a log");
    assert!(log.contains("words for the log"), "{log}");

    // Attaching after the end tells the whole story.
    let lines = room.jobs.follow(&id).lines().expect("readable");
    let told: Vec<_> = lines.iter().map(told).filter(|told| !between(told)).collect();
    let expected =
        ["intent make", "result make", "intent copy", "0", "300", "note a word^G", "result copy"];
    assert_eq!(told, expected);
    assert_eq!(room.jobs.cancel(&id, Patience::default()).expect("nothing to do"), Stage::Over);
}

/// Progress between the first word and the last: how much of it is told depends on the time that it took.
fn between(told: &str) -> bool {
    told.parse().is_ok_and(|done: u64| done > 0 && done < 300)
}

fn told(line: &Line) -> String {
    match &line.said {
        Said::Intent { name, .. } => format!("intent {name}"),
        Said::Result { name, .. } => format!("result {name}"),
        Said::Progress(measured) => measured.progress.done.to_string(),
        Said::Note(words) => format!("note {words}"),
    }
}

#[test]
fn a_job_survives_its_terminal_and_its_parent() {
    let room = room();
    let folder = room.folder.path().to_str().expect("UTF-8");
    let exe = env::current_exe().expect("this program");
    let exe = exe.to_str().expect("UTF-8");
    let env = [("HOWDAH_TEST_PART", "launcher"), ("HOWDAH_TEST_FOLDER", folder)];
    let mut robot = Robot::start(exe, &["--exact", STAGE, "--nocapture"], &env);
    robot.wait_for("started ");
    let id = room.jobs.find("last").expect("one job");
    let job = room.wait("work", &id, |job| job.story.progress.is_some());
    let parent = robot.pid();
    assert_ne!(leader(&job).pid, parent.as_raw_nonzero().get());

    robot.stop_reading();
    robot.close();
    wait_until("the hang-up to end the parent", || !robot.is_alive());
    assert_eq!(room.job(&id).state, State::Running);
    // SIGHUP by hand, too.
    assert!(leader(&job).signal(Signal::HUP));
    let done = |job: &Job| job.story.progress.as_ref().map_or(0, |m| m.progress.done);
    let before = done(&room.job(&id));
    room.wait("more work", &id, |job| done(job) > before);

    let tool = room.tool(&id);
    assert_eq!(room.jobs.cancel(&id, Patience::default()).expect("it ends"), Stage::Interrupted);
    let job = room.job(&id);
    assert_eq!(job.state, State::Cancelled { reason: "by a signal".into() });
    assert!(!process::alive(tool), "its tool ended with it");
    assert!(!room.partial().exists() && job.story.open.is_empty());
}

#[test]
fn a_killed_job_is_lost_with_its_last_step_and_what_is_to_be_put_away() {
    let room = room();
    let id = room.start("long");
    let job = room.wait("work", &id, |job| job.story.progress.is_some());
    let tool = Identity::of(room.tool(&id)).expect("it runs");
    assert!(matches!(room.jobs.remove(&id), Err(JobError::Running(_))));
    assert!(leader(&job).signal(Signal::KILL));
    let job = room.wait("the loss", &id, |job| job.state.over());
    assert!(matches!(&job.state, State::Lost { why } if why.contains("killed")), "{:?}", job.state);
    let open: Vec<_> = job.story.open.iter().map(|open| open.name.as_str()).collect();
    assert_eq!(open, ["copy", "backup"], "the newest first");
    assert_eq!(job.story.place(), "in the step 'copy'");
    let cleanup = &job.story.open[0].cleanup;
    assert_eq!(&*cleanup.what, "remove the half-made copy");
    assert_eq!(
        cleanup.command.iter().map(Text::as_str).collect::<Vec<_>>(),
        ["rm", "-r", "x.partial"]
    );
    assert!(room.partial().exists());
    assert!(room.jobs.older_than(Duration::ZERO).expect("readable").is_empty(), "never of itself");
    room.jobs.remove(&id).expect("removed");
    assert!(room.jobs.list().expect("readable").is_empty());
    tool.signal(Signal::KILL);
}

#[test]
fn a_job_that_hears_nothing_is_killed_with_all_it_started() {
    let room = room();
    let id = room.start("deaf");
    room.wait("the tool", &id, |_| room.folder.path().join("tool").exists());
    let tool = room.tool(&id);
    let short = Duration::from_millis(200);
    let patience = Patience { interrupt: short, terminate: short, kill: LIMIT };
    assert_eq!(room.jobs.cancel(&id, patience).expect("it ends"), Stage::Killed);
    assert!(!process::alive(tool), "what it had started ended with it");
    let job = room.job(&id);
    assert!(matches!(job.state, State::Lost { .. }), "{:?}", job.state);
    assert_eq!(job.story.open.len(), 1, "its clean-up is still to be done");
}

#[test]
fn a_stopped_job_is_cancelled_too() {
    let room = room();
    let id = room.start("long");
    let job = room.wait("work", &id, |job| job.story.progress.is_some());
    assert!(leader(&job).signal(Signal::STOP));
    assert_eq!(room.jobs.cancel(&id, Patience::default()).expect("it ends"), Stage::Interrupted);
    assert!(matches!(room.job(&id).state, State::Cancelled { .. }));
}

#[test]
fn a_panic_is_a_failure_and_leaves_its_step_open() {
    let room = room();
    let id = room.start("panics");
    let job = room.wait("the end", &id, |job| job.state.over());
    assert!(matches!(&job.state, State::Failed { reason } if reason.contains("panicked")));
    assert_eq!(job.story.open.len(), 1);
    let log = fs::read_to_string(room.jobs.log(&id)).expect("a log");
    assert!(log.contains("for the test"), "{log}");
}

#[test]
fn what_never_begins_says_why_and_leaves_nothing() {
    let room = room();
    let started = room.jobs.spawn_with(&spec(), |_| player("never-begins", room.folder.path()));
    let error = started.expect_err("it never begins");
    assert!(matches!(error, JobError::NotBegun { .. }), "{error}");
    assert!(error.to_string().contains("no such thing^["), "{error}");
    assert_eq!(fs::read_dir(room.folder.path().join("jobs")).expect("a folder").count(), 0);
    let missing = room.jobs.spawn_with(&spec(), |_| Command::new("/nonexistent/program"));
    assert!(matches!(missing, Err(JobError::Io { .. })), "{missing:?}");
}

#[test]
fn several_look_on_at_once_and_each_sees_everything() {
    let room = room();
    let id = room.start("long");
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (jobs, id) = (room.jobs.clone(), id.clone());
            thread::spawn(move || {
                let mut follow = jobs.follow(&id);
                let mut lines = Vec::new();
                let mut over = false;
                // Once more after the end, for what came in between.
                while !over {
                    over = jobs.state(&id).expect("readable").over();
                    lines.extend(follow.lines().expect("readable"));
                    thread::sleep(Duration::from_millis(3));
                }
                lines
            })
        })
        .collect();
    room.wait("work", &id, |job| job.story.progress.is_some());
    thread::sleep(Duration::from_millis(300));
    room.jobs.cancel(&id, Patience::default()).expect("it ends");
    let whole = room.jobs.follow(&id).lines().expect("readable");
    for reader in readers {
        assert_eq!(reader.join().expect("it reads"), whole);
    }
    let mut story = Story::default();
    for line in &whole {
        story.hear(line);
    }
    assert_eq!(story, room.job(&id).story);
}

#[test]
fn a_job_from_before_a_restart_or_from_elsewhere_is_known_as_such() {
    let room = room();
    let id = room.start("long");
    let job = room.wait("work", &id, |job| job.story.progress.is_some());
    let path = room.jobs.log(&id).with_file_name("job.json");
    let rewrite = |card: &Card| {
        fs::write(&path, serde_json::to_vec(card).expect("JSON")).expect("written");
    };
    rewrite(&Card { boot: Some("an earlier one".into()), ..job.card.clone() });
    assert!(matches!(&room.job(&id).state, State::Lost { why } if why.contains("restarted")));
    rewrite(&Card { host: "elsewhere".into(), ..job.card.clone() });
    assert!(matches!(&room.job(&id).state, State::Unknown { why } if why.contains("'elsewhere'")));
    let refused = room.jobs.cancel(&id, Patience::default());
    assert!(matches!(refused, Err(JobError::OutOfReach { .. })), "{refused:?}");
    let other = Identity { started: "1".into(), ..leader(&job) };
    rewrite(&Card { process: Some(other), ..job.card.clone() });
    assert!(matches!(room.job(&id).state, State::Lost { .. }), "another process has its number");
    rewrite(&job.card);
    room.jobs.cancel(&id, Patience::default()).expect("it ends");
}

#[test]
fn a_word_means_one_job_or_says_which() {
    let room = room();
    let ids = [room.start("steps"), room.start("steps")];
    for id in &ids {
        room.wait("the end", id, |job| job.state.over());
        assert_eq!(&room.jobs.find(id.as_str()).expect("named"), id);
    }
    let letters = |id: &JobId| id.as_str().rsplit('-').next().expect("letters").to_owned();
    if letters(&ids[0]) != letters(&ids[1]) {
        assert_eq!(room.jobs.find(&letters(&ids[0])).expect("named by its end"), ids[0]);
    }
    assert!(matches!(room.jobs.find("2"), Err(JobError::Ambiguous { .. })));
    assert!(matches!(room.jobs.find("1999"), Err(JobError::Unknown(_))));
    assert!(matches!(room.jobs.find("../../etc"), Err(JobError::NotAnId(_))));
    let latest = ids.iter().max().expect("two");
    assert_eq!(&room.jobs.find("last").expect("the latest"), latest);
    let old = room.jobs.older_than(Duration::from_hours(1)).expect("readable");
    assert!(old.is_empty(), "{old:?}");
    assert_eq!(room.jobs.older_than(Duration::ZERO).expect("readable").len(), 2);
}
