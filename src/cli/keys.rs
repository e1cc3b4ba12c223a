//! `howdah keys`: commands and keys, as the configuration has them.

use super::{Cli, Exit, Failure};

/// Prints the table of commands and keys.
#[cfg(feature = "console")]
pub fn run(cli: &Cli) -> Result<Exit, Failure> {
    use crate::console::command;

    let config = super::setup::config(cli)?;
    super::open::keymap(&config)?;
    super::say(&command::markdown_table())?;
    Ok(Exit::Ok)
}

/// Says that there is no console.
#[cfg(not(feature = "console"))]
pub fn run(_: &Cli) -> Result<Exit, Failure> {
    Err(super::open::no_console())
}
