//! Whoever drives a guide at a terminal may be lost: the console killed, or the SSH session gone, with any kind of
//! page in sight or in the very moment of the answer. The run goes on where it stood, and nothing is done twice.
//!
//! `cargo test guides_lost:: -- --nocapture` prints the matrix. Pages of one kind are drawn, answered and journalled by the
//! same code, so each kind of page of each guide is lost; with `HOWDAH_TEST_EVERY_STEP=1` it is each step.
#![cfg(feature = "console")]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "it prints the matrix")]

use crate::support::guides;
use std::{collections::BTreeSet, env, sync::Mutex};

use crate::support::guides::{
    SOON,
    person::{Ask, Asked, Person, Reply, next_on_screen, on_screen, press},
    stage::Stage,
    ways::{Way, walk_all},
};
use crate::support::pty::Robot;
use howdah::guide::{
    spec::{Grade, Kind, Step},
    state::Phase,
};
use rustix::process::Signal;

/// The console on the shelf of the guides. The first job of each act is killed when all is done, before it has
/// told so.
fn console(way: &Way, stage: &Stage<'_>, words: &str) -> Robot {
    let home = stage.home.path().to_str().expect("UTF-8");
    let steps = way.spec().steps;
    let acts = steps.iter().filter(|step| matches!(step.kind, Kind::Act { .. }));
    let deaths: Vec<String> = acts.map(|step| format!("{}-1:untold", step.id)).collect();
    let environment = [("HOME", home), ("HOWDAH_TEST_JOB_DIES", &deaths.join(" "))];
    let mut robot = Robot::start(guides::PROGRAM, &["--config", stage.shop.config()], &environment);
    // A server that does not answer has its guide, too.
    robot.wait_within(SOON, "the console", |seen| seen.text().contains("5 Guides"));
    robot.send("5");
    robot.wait_within(SOON, words, |seen| seen.text().contains(words));
    robot
}

fn begin(way: &Way, stage: &Stage<'_>) -> Robot {
    let mut robot = console(way, stage, &way.spec().title);
    way.pick(&mut robot);
    robot
}

/// A new console that goes on with the run.
fn go_on(way: &Way, stage: &Stage<'_>) -> Robot {
    let mut robot = console(way, stage, "Begun, and not over");
    robot.send("g").send("\r");
    robot
}

fn lose(mut robot: Robot, killed: bool) {
    if killed {
        robot.signal(Signal::KILL);
        return;
    }
    robot.stop_reading();
    robot.close();
    robot.wait_exit();
}

/// True when the page tells that the job was killed, and that the ledger has its deed as done. A deed that was refused
/// since its plan has changed, and a job that never began, are tried once more.
fn dead_job_told(robot: &Robot) -> bool {
    robot.look(|seen| {
        let text = seen.text();
        let words = text.split_whitespace().filter(|word| *word != "│");
        let words: String = words.flat_map(|word| [word, " "]).collect();
        words.contains("its process was killed") && words.contains("the ledger has it as done")
    })
}

/// What kind of page it is: pages of one kind are drawn, answered and journalled by the same code.
fn kind(step: &Step, asked: &Asked) -> &'static str {
    match (&step.kind, step.look.is_some()) {
        _ if asked.ask == Ask::Failed => "failed",
        (Kind::Accept {}, true) => "observed",
        (Kind::Accept {}, false) => "asserted",
        (Kind::Choose { .. }, true) => "found choice",
        (Kind::Choose { .. }, false) => "choice",
        (Kind::Enter { .. }, _) => "typed",
        (Kind::Act { grade: Grade::Mild, .. }, _) => "mild act",
        (Kind::Act { grade: Grade::Moderate, .. }, _) => "moderate act",
        (Kind::Act { grade: Grade::Severe, .. }, _) => "severe act",
    }
}

fn every_step() -> bool {
    env::var_os("HOWDAH_TEST_EVERY_STEP").is_some()
}

#[test]
fn a_lost_console_and_a_lost_session_go_on_where_they_stood() {
    let met = Mutex::default();
    let matrix: Mutex<Vec<String>> = Mutex::default();
    walk_all(&|way, stage| walk(way, stage, &met, &matrix));
    let mut matrix = matrix.into_inner().expect("whole");
    matrix.sort();
    println!("{}", matrix.join("\n"));
    println!(
        "{} lost sessions, each {} of each guide with both; all resumed, no step ran twice",
        matrix.len(),
        if every_step() { "step" } else { "kind of page" }
    );
}

fn walk(
    way: &Way,
    stage: &Stage<'_>,
    met: &Mutex<BTreeSet<(&'static str, String)>>,
    matrix: &Mutex<Vec<String>>,
) {
    let spec = way.spec();
    let mut person = Person::new(way.says(stage));
    let mut robot = begin(way, stage);
    let mut asked = next_on_screen(&robot, None);
    while asked.ask != Ask::Over {
        let step = &spec.steps[stage.run().state.at];
        let kind = kind(step, &asked);
        let each = if every_step() { format!("{} {kind}", step.id) } else { kind.to_owned() };
        let due = met.lock().expect("whole").insert((way.guide, each));
        let told = |death: &str, outcome: &str| {
            let line =
                format!("{:<16} {:<13} {:<13} {death:<34} {outcome}", way.guide, step.id, kind);
            matrix.lock().expect("whole").push(line);
        };
        if due {
            let both =
                [(true, "console killed, page in sight"), (false, "session lost, page in sight")];
            // Of a page that only asks, one is lost with it in sight and the other behind its answer.
            let acts = matches!(step.kind, Kind::Act { .. });
            let even = asked.number.is_multiple_of(2);
            for (killed, death) in both.into_iter().filter(|(killed, _)| acts || *killed != even) {
                lose(robot, killed);
                robot = go_on(way, stage);
                let now = next_on_screen(&robot, None);
                assert_eq!((now.number, &now.title), (asked.number, &asked.title), "{death}");
                told(death, "stood at the same step");
                asked = now;
            }
        }
        let mut reply = person.reply(&asked);
        if asked.ask == Ask::Failed {
            // Of a segment that was sent there and back only the figures count.
            let done = dead_job_told(&robot) && !["canary", "archive-now"].contains(&&*step.id);
            if done {
                reply = Reply::LeaveOut("the dead job had done it");
            }
            let outcome = if done { "told; done, so left out" } else { "told; once more" };
            told("job killed when its deed was done", outcome);
        }
        press(&mut robot, &asked, &reply);
        let mut before = Some(&asked).filter(|_| reply != Reply::Again);
        if due && reply != Reply::Again {
            let killed = asked.number.is_multiple_of(2);
            if let Ask::Mild | Ask::Moderate | Ask::Severe(_) = asked.ask {
                // While it is being done, or already is.
                robot.wait_within(SOON, "the act", |seen| {
                    on_screen(&seen.text()).is_none_or(|now| now != asked)
                });
            }
            lose(robot, killed);
            let run = stage.run();
            let death = if killed { "console killed" } else { "session lost" };
            let taken = if run.state.answers.len() >= asked.number
                || run.state.acts.last().is_some_and(|act| act.step == run.state.at)
            {
                "the answer stands"
            } else {
                "asked again"
            };
            told(&format!("{death} behind the answer"), taken);
            if let Phase::Over(_) = run.state.phase {
                return;
            }
            robot = go_on(way, stage);
            before = None;
        }
        asked = next_on_screen(&robot, before);
    }
    robot.send("q");
    robot.wait_exit();
}
