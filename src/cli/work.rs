//! Long work: in the foreground with lines or in silence, or as a job with a journal.

use std::{
    ffi::OsString,
    fmt,
    io::{self, IsTerminal as _},
    sync::Arc,
};

use super::{Cli, Command, Exit, Failure, dispatch, say, setup};
use crate::{
    base::{
        cancel::Cancel,
        clock::Clock,
        ledger::Who,
        progress::{Lines, Observer, Silent},
        text::Text,
    },
    jobs::{End, JobId, JobSpec, Work},
};

/// Who is told how long work goes on: nobody is named as long as the work has not asked.
#[derive(Clone, Default)]
pub struct Stage(Option<Arc<dyn Observer>>);

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a job" } else { "the foreground" })
    }
}

/// The observer of this call's work: the journal in a job; lines for a person at a terminal; silence in
/// cron and with `quiet`. Ask once: in the foreground it sets up the signals.
pub fn observer(cli: &Cli, quiet: bool) -> Result<Arc<dyn Observer>, Failure> {
    if let Some(journal) = &cli.stage.0 {
        return Ok(Arc::clone(journal));
    }
    let cancel = Cancel::on_signals().map_err(|error| no_signals(&error))?;
    if quiet || !io::stderr().is_terminal() {
        return Ok(Arc::new(Silent::new(cancel)));
    }
    Ok(Arc::new(Lines::new(Box::new(io::stderr()), cancel, &Clock::system())))
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("signals cannot be had: {error}"))
}

/// The dotted word of a subcommand that may be run as a job.
fn detachable(command: Option<&Command>) -> Option<&'static str> {
    match command? {
        Command::Status(_) => Some("watch.status"),
        Command::Engine(what) => what.detachable(),
        Command::Restore(_) => Some("restore.run"),
        Command::Backup(options) if options.takes_one() => Some("backup.run"),
        Command::Verify(_) => Some("backup.verify"),
        Command::Prove(_) => Some("proof.run"),
        _ => None,
    }
}

/// Starts the same call again as a job, and tells its name.
pub fn detach(cli: &Cli, arguments: &[OsString]) -> Result<Exit, Failure> {
    let words = arguments.iter().skip(1).filter(|word| *word != "--detach").cloned().collect();
    let id = start(cli, words, setup::who(cli))?;
    say(&format!("{id}\n"))?;
    Ok(Exit::Ok)
}

/// Starts howdah with these words as a job, as if somebody had called it with `--detach`.
#[cfg(feature = "console")]
pub fn start_words(words: Vec<OsString>, who: Who) -> Result<JobId, Failure> {
    use clap::Parser as _;

    let call = std::iter::once(OsString::from("howdah")).chain(words.iter().cloned());
    let cli = Cli::try_parse_from(call).map_err(|error| Failure::new(Exit::Usage, error))?;
    start(&cli, words, who)
}

fn start(cli: &Cli, words: Vec<OsString>, who: Who) -> Result<JobId, Failure> {
    let Some(what) = detachable(cli.command.as_ref()) else {
        return Err(Failure::new(Exit::Usage, "--detach: this does not run as a job"));
    };
    setup::jobs()?.spawn(&JobSpec::new(what, words, who)).map_err(failed)
}

/// Does the call's work as the job of that name.
pub fn as_job(id: &str, mut cli: Cli) -> Result<Exit, Failure> {
    let cancel = Cancel::detached().map_err(|error| no_signals(&error))?;
    let id = id.parse().map_err(failed)?;
    let work = setup::jobs()?.enter(&id, cancel.clone()).map_err(failed)?;
    cli.stage = Stage(Some(work.observer()));
    let result = dispatch(&cli);
    finish(work, &cancel, &result)?;
    result
}

fn finish(work: Work, cancel: &Cancel, result: &Result<Exit, Failure>) -> Result<(), Failure> {
    let (exit, reason) = match result {
        Ok(Exit::Ok) => (Exit::Ok, None),
        Ok(exit) => (*exit, Some(format!("it ended with exit code {}", exit.code()))),
        Err(failure) => (failure.exit, Some(failure.to_string())),
    };
    let end = match (exit, cancel.cancelled()) {
        (Exit::Ok, _) => End::Done,
        (_, true) => End::Cancelled,
        (_, false) => End::Failed,
    };
    work.finish(end, reason.map(Text::from), exit.code()).map_err(failed)
}

fn failed(error: crate::jobs::JobError) -> Failure {
    Failure::new(Exit::Failure, error)
}
