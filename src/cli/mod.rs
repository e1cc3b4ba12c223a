//! The command line: one file per subcommand.
//!
//! What a subcommand prints goes to standard output, what went wrong to standard error, and the
//! process ends with one of the codes of [`Exit`].

mod aim;
mod args;
mod backup;
mod breaker;
mod complete;
mod config;
mod demo;
mod disks;
mod engine;
mod exit;
mod guide;
mod histories;
mod jobs;
mod keeper;
mod keys;
mod late;
mod ledger;
mod open;
mod pgbouncer;
mod place;
mod prove;
mod record;
mod recoverable;
mod repo;
mod restore;
mod roster;
mod seat;
mod second;
mod server;
mod session;
mod setup;
mod silence;
mod slot;
mod space;
mod status;
mod target;
mod verify;
mod wal;
mod work;

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use clap::Parser as _;

pub use args::{Cli, Command};
pub use exit::{Exit, Failure};
pub use work::{Stage, observer};

/// Runs what the arguments ask for; the program's name comes first.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return asked_or_wrong(&error, arguments),
    };
    let result = match &cli.job {
        Some(id) => work::as_job(&id.clone(), cli),
        None if cli.detach => work::detach(&cli, arguments),
        None => dispatch(&cli),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say_failure(&failure);
            failure.exit.into()
        }
    }
}

fn say_failure(failure: &Failure) {
    // Nobody may be listening; the code tells it, too.
    let _ = writeln!(std::io::stderr(), "howdah: {failure}");
}

fn dispatch(cli: &Cli) -> Result<Exit, Failure> {
    if let (Some(target), Some(command)) = (&*cli.target, &cli.command)
        && !matches!(command, Command::Status(_))
    {
        let what =
            format!("'{target}' stands before a subcommand; what it works on stands behind it");
        return Err(Failure::new(Exit::Usage, what));
    }
    match &cli.command {
        None => open::run(cli),
        Some(Command::Status(options)) => status::run(cli, options),
        Some(Command::Backup(options)) => backup::run(cli, options),
        Some(Command::Breaker(what)) => breaker::run(cli, what),
        Some(Command::Verify(options)) => verify::run(cli, options),
        Some(Command::Restore(what)) => restore::run(cli, what),
        Some(Command::Demo(options)) => demo::run(cli, options),
        Some(Command::Prove(options)) => prove::run(cli, options),
        Some(Command::Recoverable(options)) => recoverable::run(cli, options),
        Some(Command::Jobs(options)) => jobs::run(cli, options),
        Some(Command::Guide(what)) => guide::run(cli, what),
        Some(Command::Engine(what)) => engine::run(cli, what),
        Some(Command::Ledger(what)) => ledger::run(cli, what),
        Some(Command::Pgbouncer(what)) => pgbouncer::run(cli, what),
        Some(Command::Repo(what)) => repo::run(cli, what),
        Some(Command::Server(what)) => server::run(cli, what),
        Some(Command::Session(what)) => session::run(cli, what),
        Some(Command::Silence(what)) => silence::run(cli, what),
        Some(Command::Slot(what)) => slot::run(cli, what),
        Some(Command::Space(options)) => space::run(cli, options),
        Some(Command::Config(what)) => config::run(cli, **what),
        Some(Command::Wal(command)) => wal::run(cli, command),
        Some(Command::Keys) => keys::run(cli),
        Some(Command::Completions { shell }) => complete::completions(*shell),
        Some(Command::Man) => complete::man(),
    }
}

/// Help and version are answers; everything else is a mistake in the call.
fn asked_or_wrong(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok.into();
    }
    let wrong = Err(Failure::new(Exit::Usage, error));
    let told = if wal::asks_for_fetch(arguments) { wal::for_recovery(wrong) } else { wrong };
    told.map_or_else(|failure| failure.exit.into(), ExitCode::from)
}

/// Prints a text. A reader that has gone away, such as `head`, is no error.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
