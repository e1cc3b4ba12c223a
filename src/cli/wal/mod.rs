//! `howdah wal`: the WAL archive.

mod args;
mod canary;
mod find;
mod server;
mod setup;
mod status;
mod verify;

use super::{Cli, Exit, Failure, args::PlaceArgs, place, setup as calls};
use crate::recover::{Repository, repository, wal::Archive};

pub use args::WalCommand;
pub use server::{asks_for_fetch, for_recovery};

/// Runs one of them.
pub fn run(cli: &Cli, command: &WalCommand) -> Result<Exit, Failure> {
    match command {
        WalCommand::Setup(args) => setup::run(cli, args),
        WalCommand::Canary(args) => canary::run(cli, args),
        WalCommand::Trial(args) => setup::trial(cli, args),
        WalCommand::Archive(args) => server::archive(cli, args),
        WalCommand::Fetch(args) => for_recovery(server::fetch(cli, args)),
        WalCommand::Verify(args) => verify::run(cli, args),
        WalCommand::Status(args) => status::run(cli, args),
        WalCommand::Find(args) => find::run(cli, args),
        WalCommand::Ahead(args) => server::ahead(cli, args),
    }
}

/// The repository of a call. The configuration is read in any case: it says for whom WAL is encrypted. Only
/// where it is another account's, because the server was started with that one's HOME, must the call name
/// everything.
fn repository(cli: &Cli, args: &PlaceArgs) -> Result<Repository, Failure> {
    match (&args.repository, &args.name) {
        (Some(location), Some(name)) if cli.config.is_none() && has_no_configuration() => {
            Ok(repository::open(location, name)?)
        }
        _ => place::repository(&calls::config(cli)?, args),
    }
}

fn has_no_configuration() -> bool {
    calls::paths().map_or(true, |paths| {
        let about = std::fs::metadata(paths.config_file());
        about.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    })
}

/// The archive of a call.
fn archive(cli: &Cli, args: &args::SourceArgs) -> Result<Archive, Failure> {
    match &args.from_folder {
        Some(folder) => Ok(Archive::folder(folder)?),
        None => Ok(Archive::Repository(repository(cli, &args.place)?)),
    }
}
