//! `howdah pgbouncer`: a target's PgBouncer, its databases, and a PAUSE that ends by itself.

pub mod door;
mod hold;
mod list;
mod pause;
mod second;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Cli, Exit, Failure, aim::TargetArgs, args, restore::ApplyArgs};
use crate::base::clock::Timestamp;

/// What can be done with PgBouncer.
#[derive(Debug, Subcommand)]
pub enum PgbouncerCommand {
    /// Show its databases: who is served, who waits, what is paused, and until when
    List(ListArgs),
    /// Let nobody be served for a while: clients wait, and RESUME comes by itself; a plan unless told to --apply it
    Pause(PauseArgs),
    /// Serve them again; a plan unless told to --apply it
    Resume(ResumeArgs),
    /// Hold a pause until its time has come
    #[command(hide = true)]
    Hold(HoldArgs),
    /// Resume what a holder that died has left
    #[command(hide = true)]
    Second(SecondArgs),
}

/// What `pgbouncer list` takes.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// This database only
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `pgbouncer pause` takes.
#[derive(Args, Clone, Debug)]
pub struct PauseArgs {
    /// The database, as PgBouncer's clients call it
    pub database: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// RESUME comes by itself after that long; an hour at the most
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = args::span)]
    pub lasts: Duration,
    /// How long transactions that run may take to end; then nothing is paused
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = args::span)]
    pub within: Duration,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// What `pgbouncer resume` takes.
#[derive(Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The database, as PgBouncer's clients call it
    pub database: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// What the holder of a lease takes.
#[derive(Args, Clone, Debug)]
pub struct HoldArgs {
    /// The database
    pub database: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// When its time has come
    #[arg(long, value_parser = args::moment)]
    pub until: Timestamp,
    /// How long transactions that run may take to end
    #[arg(long, value_parser = args::span)]
    pub within: Duration,
}

/// What the second of a holder takes.
#[derive(Args, Clone, Debug)]
pub struct SecondArgs {
    /// The database
    pub database: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Does one of them.
pub fn run(cli: &Cli, what: &PgbouncerCommand) -> Result<Exit, Failure> {
    match what {
        PgbouncerCommand::List(args) => list::run(cli, args),
        PgbouncerCommand::Pause(args) => pause::pause(cli, args),
        PgbouncerCommand::Resume(args) => pause::resume(cli, args),
        PgbouncerCommand::Hold(args) => hold::run(cli, args),
        PgbouncerCommand::Second(args) => second::run(cli, args),
    }
}
