//! `howdah restore`: a plan by default, the deed with `--apply` and the target's name.

pub mod cluster;
pub mod confirm;
mod database;
mod room;
mod table;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use super::record::{recorded, recorded_with};
use super::{
    Cli, Exit, Failure,
    args::PlaceArgs,
    place::{self, Place},
    setup, target,
};
pub use crate::base::plan::{ONLY_A_PLAN, named};
use crate::{
    base::{
        config::Config,
        ledger::{self, Act},
        text::Text,
    },
    recover::restore::Which,
};

/// What can be restored.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Bring a whole database back from a logical backup, under a new name
    Database(database::DatabaseArgs),
    /// Bring tables back, with everything that belongs to them, beside the live ones
    Table(table::TableArgs),
    /// Compare tables that were brought back with the live ones
    Diff(table::DiffArgs),
    /// Copy rows from tables that were brought back into the live ones
    CopyBack(table::CopyBackArgs),
    /// Take back what copy-back did
    Undo(table::UndoArgs),
    /// Bring a whole cluster back as it was at one moment, from a physical backup and archived WAL
    Cluster(Box<cluster::ClusterArgs>),
    /// Let go a restored cluster that waits at its target: it takes writes from then on
    Promote(cluster::FolderArgs),
    /// End a restored cluster that was never promoted, and remove its folder
    Discard(cluster::FolderArgs),
    /// Show the room that is left where something is brought back to
    Room(room::RoomArgs),
}

/// What every restore from a logical backup takes.
#[derive(Args, Clone, Debug)]
pub struct FromArgs {
    /// Which target, and where its backups are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The backup: its name, or `newest`
    #[arg(long, value_name = "ID", default_value = "newest", value_parser = which)]
    pub backup: Which,
    /// The server to restore to, as a target or a connection string [default: the target itself]
    #[arg(long, value_name = "CONNINFO")]
    pub server: Option<String>,
    /// Where the dump is unpacked; it needs the dump's whole size there
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,
    /// Make roles that the server lacks: NOLOGIN, without passwords
    #[arg(long)]
    pub with_roles: bool,
    /// Workers of pg_restore
    #[arg(long, short, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: u32,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Whether a plan is only shown.
#[derive(Args, Clone, Debug, Default)]
pub struct ApplyArgs {
    /// Do it; without this the plan is shown and nothing is touched
    #[arg(long)]
    pub apply: bool,
    /// The name that a person would have to type, for calls without one
    #[arg(long, value_name = "NAME", requires = "apply")]
    pub confirm: Option<String>,
    /// Only when the plan is still the one with this mark: its last line told it
    #[arg(long, value_name = "MARK", requires = "apply")]
    pub plan: Option<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "WORDS", requires = "apply")]
    pub reason: Option<String>,
    /// Print the plan, or with --apply the outcome, as JSON
    #[arg(long)]
    pub json: bool,
}

/// Does one of them.
pub fn run(cli: &Cli, what: &RestoreCommand) -> Result<Exit, Failure> {
    match what {
        RestoreCommand::Database(args) => database::run(cli, args),
        RestoreCommand::Table(args) => table::run(cli, args),
        RestoreCommand::Diff(args) => table::compare(cli, args),
        RestoreCommand::CopyBack(args) => table::copy(cli, args),
        RestoreCommand::Undo(args) => table::undo(cli, args),
        RestoreCommand::Cluster(args) => cluster::run(cli, args),
        RestoreCommand::Promote(args) => cluster::promote(cli, args),
        RestoreCommand::Discard(args) => cluster::discard(cli, args),
        RestoreCommand::Room(args) => room::run(args),
    }
}

/// Goes on only with the plan that was shown.
pub fn agreed(shown: Option<&str>, mark: &str) -> Result<(), Failure> {
    match shown {
        Some(shown) if shown != mark => {
            let what = format!(
                "the plan is no longer {shown} but {mark}: something has changed since; look at it again; nothing was touched"
            );
            Err(Failure::new(Exit::Refused, what))
        }
        _ => Ok(()),
    }
}

/// Where the backups are, and how the server to restore to is reached.
fn resolve(cli: &Cli, place: &PlaceArgs, server: Option<&str>) -> Result<Place, Failure> {
    let config: Config = setup::config(cli)?;
    let mut found = place::place(&config, place)?;
    if let Some(server) = server {
        found.settings = target::plan(&config, Some(server))?.settings;
    }
    Ok(found)
}

/// Where dumps are unpacked.
fn work_folder(folder: Option<&PathBuf>) -> PathBuf {
    folder.cloned().unwrap_or_else(std::env::temp_dir)
}

/// Does something that changes a server, as one act of the ledger: begun before, ended after.
fn act<T>(
    cli: &Cli,
    action: &'static str,
    on: &Text,
    args: &ApplyArgs,
    details: serde_json::Value,
    deed: impl FnOnce() -> crate::recover::Result<T>,
) -> Result<T, Failure> {
    let mut act = Act::new(action).on(ledger::Target::new(on.clone(), None)).with(details);
    if let Some(reason) = &args.reason {
        act = act.because(reason);
    }
    recorded(cli, act, deed)
}

fn which(words: &str) -> Result<Which, String> {
    words.parse().map_err(|fault: crate::recover::Fault| fault.to_string())
}

/// A value as JSON for people and programs.
pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failure, format!("no JSON: {error}")))?;
    Ok(text + "\n")
}
