//! `howdah completions` and `howdah man`.

use super::{Cli, Exit, Failure, late::whole, say};

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole::<Cli>(), "howdah", &mut script);
    say(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// Prints the manual page.
pub fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(whole::<Cli>())
        .render(&mut page)
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    say(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Ok)
}
