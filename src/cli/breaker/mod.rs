//! `howdah breaker`: the circuit breakers of a target's applications, seen and set through their control endpoints.

mod list;
mod set;
pub mod sight;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Cli, Exit, Failure, aim::TargetArgs, restore::ApplyArgs};
use crate::resilience::breaker::Mode;

/// What can be done with breakers.
#[derive(Debug, Subcommand)]
pub enum BreakerCommand {
    /// Show the breakers of a target's applications: state, mode, who set it, rates, next try
    List(ListArgs),
    /// Let a breaker pass or refuse everything for a while, or give it back to its rules
    Set(SetArgs),
}

/// What `breaker list` takes.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// This breaker only
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `breaker set` takes.
#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    /// The breaker: its application, or APPLICATION/BREAKER where that has several
    pub name: String,
    /// Who decides from then on
    pub mode: Word,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Give it back to the rules after that long
    #[arg(long = "for", value_name = "DURATION", value_parser = super::args::span)]
    pub lasts: Option<Duration>,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// A mode, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// The rules
    Auto,
    /// Every call passes and is counted
    Disabled,
    /// Every call is refused
    #[value(alias = "forced_open")]
    ForcedOpen,
}

impl From<Word> for Mode {
    fn from(word: Word) -> Self {
        match word {
            Word::Auto => Self::Auto,
            Word::Disabled => Self::Disabled,
            Word::ForcedOpen => Self::ForcedOpen,
        }
    }
}

/// A mode, as it is told.
const fn words(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Disabled => "disabled",
        Mode::ForcedOpen => "forced open",
    }
}

/// A mode, as it is typed.
const fn typed(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Disabled => "disabled",
        Mode::ForcedOpen => "forced-open",
    }
}

/// Does one of them.
pub fn run(cli: &Cli, what: &BreakerCommand) -> Result<Exit, Failure> {
    match what {
        BreakerCommand::List(args) => list::run(cli, args),
        BreakerCommand::Set(args) => set::run(cli, args),
    }
}
