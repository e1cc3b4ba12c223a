//! The words of `howdah backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::schedule::At;
use crate::cli::{args::PlaceArgs, second::SecondArgs};

/// What `backup` takes.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    /// What is taken, when no subcommand is named
    #[command(flatten)]
    pub run: RunArgs,
    /// What else
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
}

/// What `backup run` takes.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Of what, and to where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The databases as statements and rows, by pg_dump [default]
    #[arg(long, conflicts_with = "physical")]
    pub logical: bool,
    /// The data folder with its WAL, by pg_basebackup
    #[arg(long, conflicts_with_all = ["database", "all", "no_counts"])]
    pub physical: bool,
    /// One database [default: the target's]
    #[arg(long, value_name = "DATABASE", conflicts_with = "all")]
    pub database: Option<String>,
    /// All databases
    #[arg(long)]
    pub all: bool,
    /// Do not ask for largest keys, nor count rows of materialized views: then they are unknown
    #[arg(long)]
    pub no_counts: bool,
    /// Let the checkpoint at the beginning take its time
    #[arg(long, requires = "physical")]
    pub spread: bool,
    /// Who compresses the data folder [default: recover.compress, the server where it can]
    #[arg(long, value_name = "SIDE", requires = "physical")]
    pub compress: Option<Side>,
    /// Where archives that cannot be streamed stand on their way [default: in the repository]
    #[arg(long, value_name = "FOLDER", requires = "physical")]
    pub spool: Option<PathBuf>,
    /// Take over a lock of another machine
    #[arg(long)]
    pub break_lock: bool,
    /// Say nothing unless it fails
    #[arg(long, short)]
    pub quiet: bool,
}

/// Who compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// The server, where it can
    Server,
    /// This side
    Client,
}

impl BackupArgs {
    /// True when the call takes a backup: long work.
    pub fn takes_one(&self) -> bool {
        matches!(self.command, None | Some(BackupCommand::Run(_)))
    }
}

/// What can be done about backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Take one
    Run(RunArgs),
    /// List what the repository has, and what failed
    List(ListArgs),
    /// Show which backups are too old and which WAL nobody needs; remove them with --apply
    Expire(ExpireArgs),
    /// Print or install a systemd timer or a crontab line that takes backups
    Schedule(ScheduleArgs),
}

/// What `backup list` takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Of what, and where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `backup expire` takes.
#[derive(Args, Clone, Debug)]
pub struct ExpireArgs {
    /// Of what, and where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Keep every backup of so many days, and every moment of them reachable
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub keep_days: u32,
    /// Keep the newest so many of each kind, however old
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub keep_at_least: usize,
    /// Remove what the plan says
    #[arg(long)]
    pub apply: bool,
    /// Only when the plan is still the one with this mark: its last line told it
    #[arg(long, value_name = "MARK", requires = "apply")]
    pub plan: Option<String>,
    /// Who confirms beside the actor
    #[command(flatten)]
    pub second: SecondArgs,
    /// Take over a lock of another machine
    #[arg(long)]
    pub break_lock: bool,
    /// Say nothing unless it fails
    #[arg(long, short)]
    pub quiet: bool,
}

/// What `backup schedule` takes.
#[derive(Args, Clone, Debug)]
pub struct ScheduleArgs {
    /// Of what, and to where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Only print it [default]
    #[arg(long, conflicts_with = "install")]
    pub print: bool,
    /// Install it for this account, after printing it
    #[arg(long)]
    pub install: bool,
    /// The time of day, by the machine's clock
    #[arg(long, value_name = "HH:MM", default_value = "02:00")]
    pub at: At,
    /// A systemd timer of this account [default]
    #[arg(long, conflicts_with = "cron")]
    pub systemd: bool,
    /// A line of this account's crontab
    #[arg(long)]
    pub cron: bool,
    /// Take the data folder instead of the databases
    #[arg(long, conflicts_with = "all")]
    pub physical: bool,
    /// Take all databases
    #[arg(long)]
    pub all: bool,
}
