//! Guides walked on real servers: a demo to walk on, a person who answers on a screen or by lines, and all ways
//! through all guides with what must be true at their ends.
#![allow(clippy::print_stdout, reason = "it prints how long each way took")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot help has failed the test"
)]

pub mod home;
pub mod person;
pub mod record;
pub mod shop;
pub mod stage;
pub mod walk;
pub mod ways;

use std::{path::Path, process::Command, time::Duration};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// Long enough for a busy machine.
pub const SOON: Duration = Duration::from_mins(1);

/// howdah with a home of its own.
pub fn howdah(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .env("HOME", home)
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_CONFIG_HOME");
    command
}

/// What it printed; it has to end well.
#[track_caller]
pub fn printed(home: &Path, words: &[&str]) -> String {
    let output = howdah(home, words).output().expect("ran");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
