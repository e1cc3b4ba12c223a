//! A build without the console: what would open it says so.

use crate::{
    base::config::Config,
    cli::{Exit, Failure, guide::Ground},
    sandbox::DemoHandle,
    watch::sampler::Plan,
};

fn no_console() -> Failure {
    let what = "this program was built without the console; `howdah status --watch` shows the same";
    Failure::new(Exit::Unavailable, what)
}

/// There is no console to open.
pub fn open(_: &Config, _: Plan, _: Option<DemoHandle>, _: Ground) -> Result<Exit, Failure> {
    Err(no_console())
}

/// There is no console to open.
pub fn check_terminal() -> Result<(), Failure> {
    Err(no_console())
}

/// There are no keys without a console.
pub fn keys(_: &Config) -> Result<String, Failure> {
    Err(no_console())
}

/// Without a console, what is configured for it is of no interest.
#[expect(clippy::unnecessary_wraps, reason = "with the console it can fail")]
pub fn check_looks(_: &Config) -> Result<(), Failure> {
    Ok(())
}
