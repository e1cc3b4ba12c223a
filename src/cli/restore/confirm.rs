//! The last question before something is done.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::ApplyArgs;
use crate::{
    base::text::clean,
    cli::{Exit, Failure},
};

/// Goes on only if the name was given, or is typed now. What was typed before the question is thrown away.
pub fn confirm(args: &ApplyArgs, name: &str) -> Result<(), Failure> {
    let given = match &args.confirm {
        Some(given) => given.clone(),
        None if io::stdin().is_terminal() => ask(name)?,
        None => {
            let what = format!(
                "nobody is there to type the name: give it with --confirm '{name}'; nothing was touched"
            );
            return Err(Failure::new(Exit::Usage, what));
        }
    };
    if given == name {
        return Ok(());
    }
    let what = format!("'{given}' is not '{name}': nothing was touched");
    Err(Failure::new(Exit::Refused, what))
}

fn ask(name: &str) -> Result<String, Failure> {
    let wrong = |error: io::Error| Failure::new(Exit::Failure, format!("no answer: {error}"));
    // A terminal that cannot be flushed is asked all the same.
    let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
    let mut out = io::stderr().lock();
    write!(out, "Type '{}' to go on: ", clean(name)).and_then(|()| out.flush()).map_err(wrong)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(wrong)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
