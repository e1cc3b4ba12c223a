//! `howdah silence`: alerts that are to wake nobody for a while. Each has an end, a reason and a name.

mod add;
pub mod desk;
mod list;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use self::desk::Desk;
use super::{
    Cli, Exit, Failure, aim::TargetArgs, args, restore::json as as_json, say, seat::ListArgs,
    setup, target,
};
use crate::watch::snapshot::Severity;

/// What can be done with silences.
#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Let an alert wake nobody for a while; it stays in sight, and worse breaks through
    Add(AddArgs),
    /// List what is silenced: until when, by whom, and why
    List(ListArgs),
    /// End a silence before its time
    End(EndArgs),
}

/// What `silence add` takes.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// The check, such as `pool_wait`: `howdah status` names it
    pub check: String,
    /// One subject of it, as `howdah status` names it [default: all of the check]
    pub subject: Option<String>,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// It ends by itself after that long; a day at the most
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = args::span)]
    pub lasts: Duration,
    /// Why; it stands beside the alert, and in the ledger
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// How bad it may be before it breaks through [default: as bad as it is now]
    #[arg(long, value_name = "LEVEL")]
    pub up_to: Option<Level>,
    /// Print the silence as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `silence end` takes.
#[derive(Args, Clone, Debug)]
pub struct EndArgs {
    /// Which one, by what `silence list` calls it
    pub id: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Why, for the ledger
    #[arg(long, value_name = "WORDS")]
    pub reason: Option<String>,
    /// Print the silence that was ended as JSON
    #[arg(long)]
    pub json: bool,
}

/// How bad an alert is, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// While it is a warning; critical breaks through
    Warning,
    /// However bad
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Warning => Self::Warning,
            Level::Critical => Self::Critical,
        }
    }
}

/// Does one of them.
pub fn run(cli: &Cli, what: &SilenceCommand) -> Result<Exit, Failure> {
    match what {
        SilenceCommand::Add(args) => add::run(cli, args),
        SilenceCommand::List(args) => list::run(cli, args),
        SilenceCommand::End(args) => end(cli, args),
    }
}

/// The desk of the target that a call names.
fn desk(cli: &Cli, words: Option<&str>) -> Result<Desk, Failure> {
    let config = setup::config(cli)?;
    Desk::of(&target::plan(&config, words)?, &config, &setup::who(cli))
}

fn end(cli: &Cli, args: &EndArgs) -> Result<Exit, Failure> {
    let ended = desk(cli, args.target.as_deref())?.end(&args.id, args.reason.as_deref())?;
    say(&if args.json { as_json(&ended)? } else { format!("ended: {}", list::as_text(&ended)) })?;
    Ok(Exit::Ok)
}
