//! `howdah server`: a server seen from outside, when it may answer nobody; and the one signal that cannot harm it.

mod look;
mod outside;
mod wake;

use clap::{Args, Subcommand};

use super::{Cli, Exit, Failure, aim::TargetArgs, restore::ApplyArgs};

/// What can be done about a server from outside.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Tell hung from down from out of reach: who accepts, who answers, what its processes do, what others see
    Look(LookArgs),
    /// Let a server go on whose processes a signal has stopped (SIGCONT); a plan unless told to --apply it
    Wake(WakeArgs),
}

/// What `server look` takes.
#[derive(Args, Clone, Debug)]
pub struct LookArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `server wake` takes.
#[derive(Args, Clone, Debug)]
pub struct WakeArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Does one of them.
pub fn run(cli: &Cli, what: &ServerCommand) -> Result<Exit, Failure> {
    match what {
        ServerCommand::Look(args) => look::run(cli, args),
        ServerCommand::Wake(args) => wake::run(cli, args),
    }
}
