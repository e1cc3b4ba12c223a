//! `howdah silence list`.

use std::time::Duration;

use super::{Cli, Exit, Failure, ListArgs, as_json, desk, say};
use crate::{
    base::{clock::Clock, units},
    watch::{
        silences::about,
        snapshot::{Severity, Silence},
    },
};

/// Prints what is silenced, the first to end first.
pub(super) fn run(cli: &Cli, args: &ListArgs) -> Result<Exit, Failure> {
    let silences = desk(cli, args.target.as_deref())?.read()?;
    let text = if args.json {
        as_json(&silences)?
    } else if silences.is_empty() {
        "nothing is silenced\n".to_owned()
    } else {
        silences.iter().map(as_text).collect()
    };
    say(&text)?;
    Ok(Exit::Ok)
}

/// A silence in a line.
pub(super) fn as_text(silence: &Silence) -> String {
    let left = silence.until.duration_since(Clock::system().wall());
    let left = units::age(Duration::try_from(left).unwrap_or_default());
    let through = match silence.up_to {
        Severity::Warning => "; CRIT breaks through",
        Severity::Critical => "",
    };
    format!(
        "{}  {}: silenced for another {left} (until {}) by {}: {}{through}\n",
        silence.id,
        about(&silence.check, silence.subject.as_ref()),
        silence.until.strftime("%Y-%m-%d %H:%M:%SZ"),
        silence.by,
        silence.why,
    )
}
