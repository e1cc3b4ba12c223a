//! `howdah [TARGET]`: the console.

#[cfg(feature = "console")]
mod console;
#[cfg(not(feature = "console"))]
#[path = "headless.rs"]
mod console;

use super::{Cli, Exit, Failure, setup, target};

pub use console::{check_looks, check_terminal, keys, open};

/// Opens the console on the target of the call.
pub fn run(cli: &Cli) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let plan = target::plan(&config, cli.target.as_deref())?;
    check_terminal()?;
    open(&config, plan, None)
}
