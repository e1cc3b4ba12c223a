//! Every guide, every way and every step, in a terminal of 80x24 cells, by keys alone, on real servers.
//!
//! `cargo test guides_by_keys:: -- --nocapture` prints the ways with their steps and times. A guide that no way
//! leads through, and a step that is met on none, fail the test: see `tests/support/guides/ways.rs`.
#![cfg(feature = "console")]
#![allow(clippy::expect_used, clippy::print_stdout, reason = "it says what was measured")]

use crate::support::guides;
use std::time::Duration;

use crate::support::guides::{
    person::{Ask, Person, next_on_screen, press},
    stage::Stage,
    ways::{Way, walk_all},
};
use crate::support::pty::Robot;
use howdah::base::clock::Clock;

/// What is promised from the first key to the rows of a dropped table.
const PROMISE: Duration = Duration::from_mins(2);

/// The console on the first page of a guide.
fn begin(way: &Way, stage: &Stage<'_>) -> Robot {
    let home = stage.home.path().to_str().expect("UTF-8");
    let mut robot =
        Robot::start(guides::PROGRAM, &["--config", stage.shop.config()], &[("HOME", home)]);
    // A server that does not answer has its guide, too.
    robot.wait_for("5 Guides");
    robot.send("5");
    let title = way.spec().title;
    robot.wait_for(&title);
    way.pick(&mut robot);
    robot
}

/// What is typed at once, when the question has hardly stood there, does not count.
fn typed_ahead(robot: &mut Robot, challenge: &str) {
    robot.send(format!("{challenge}\r")).send("because it is mine\r");
    robot.wait_for("what is typed ahead does not count");
    robot.send("\r");
    robot.wait_for(&format!("Type {challenge} to do it"));
}

#[test]
fn every_way_through_every_guide_by_keys_alone() {
    walk_all(&|way, stage| {
        let clock = Clock::system();
        let began = clock.now();
        let mut robot = begin(way, stage);
        let mut person = Person::new(way.says(stage));
        let mut asked = next_on_screen(&robot, None);
        while asked.ask != Ask::Over {
            let reply = person.reply(&asked);
            if let (Ask::Severe(challenge), "dropped") = (&asked.ask, way.name) {
                typed_ahead(&mut robot, challenge);
            }
            press(&mut robot, &asked, &reply);
            let again = reply == guides::person::Reply::Again;
            asked = next_on_screen(&robot, Some(&asked).filter(|_| !again));
        }
        robot.wait_for("Finished");
        let took = clock.now().since(began);
        if (way.guide, way.name) == ("restore", "dropped") {
            assert!(took < PROMISE, "{took:?}");
        }
        println!("{:<16} {:<9} {:>2} steps  {took:.0?}", way.guide, way.name, asked.number - 1);
        robot.send("q");
        robot.wait_exit();
    });
}
