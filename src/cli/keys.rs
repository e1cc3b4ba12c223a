//! `howdah keys`: commands and keys, as the configuration has them.

use super::{Cli, Exit, Failure, open, say, setup};

/// Prints the table of commands and keys.
pub fn run(cli: &Cli) -> Result<Exit, Failure> {
    say(&open::keys(&setup::config(cli)?)?)?;
    Ok(Exit::Ok)
}
