//! The words behind `howdah wal`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use crate::{
    base::units::parse_span,
    cli::{args::PlaceArgs, restore::ApplyArgs},
};

/// What `wal` does.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Let the server archive with this program: shows what would change unless told to --apply it
    Setup(SetupArgs),
    /// Send a segment through the archive and back: does WAL arrive, is it whole, how long does it take
    Canary(CanaryArgs),
    /// Archive one file: the server's archive_command, with %p
    Archive(ArchiveArgs),
    /// Bring one file back: the server's restore_command, with %f and %p
    Fetch(FetchArgs),
    /// Prove that the archive is whole; exits with 65 when it is not
    Verify(VerifyArgs),
    /// Compare the archive with the server: what would be lost now
    Status(StatusArgs),
    /// Find the transaction that dropped, truncated or emptied a table
    Find(FindArgs),
    /// Fetch the segments behind one into a spool; started by `fetch`
    #[command(hide = true)]
    Ahead(AheadArgs),
    /// Try as the server's account what `archive` would need; started by the server for `setup`
    #[command(hide = true)]
    Trial(TrialArgs),
}

/// What `wal setup` takes.
#[derive(Args, Debug)]
pub struct SetupArgs {
    /// Which server, and where its WAL is to be kept
    #[command(flatten)]
    pub place: PlaceArgs,
    /// This program on the server's machine [default: where it is here]
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    pub program: Option<PathBuf>,
    /// End a segment at the latest after this time [default: half of the RPO target]
    #[arg(long, value_name = "DURATION", value_parser = span, conflicts_with = "undo")]
    pub timeout: Option<Duration>,
    /// Take the last set-up back
    #[arg(long)]
    pub undo: bool,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// What `wal canary` takes.
#[derive(Args, Debug)]
pub struct CanaryArgs {
    /// Which server, and its archive
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How long to wait for the segment
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = span)]
    pub within: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `wal trial` takes.
#[derive(Args, Debug)]
pub struct TrialArgs {
    /// Where WAL would be kept
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The server's program
    #[arg(long)]
    pub postgres: PathBuf,
    /// Its data folder
    #[arg(long)]
    pub data: PathBuf,
    /// Its configuration file
    #[arg(long)]
    pub config_file: PathBuf,
    /// The settings whose next values are asked for
    #[arg(long, value_delimiter = ',')]
    pub settings: Vec<String>,
}

/// What `wal archive` takes.
#[derive(Args, Debug)]
pub struct ArchiveArgs {
    /// The file, as the server names it
    pub path: PathBuf,
    /// Where it is kept
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where WAL is read from.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Where it is kept
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Read a flat folder that something like `cp` fills instead of a repository
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["target", "target_word", "repository", "name"])]
    pub from_folder: Option<PathBuf>,
}

/// What `wal fetch` takes.
#[derive(Args, Debug)]
pub struct FetchArgs {
    /// The file's name
    #[arg(value_name = "NAME")]
    pub file: String,
    /// Where it is wanted
    pub path: PathBuf,
    /// Where it comes from
    #[command(flatten)]
    pub source: SourceArgs,
    /// How many segments are fetched ahead; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub ahead: u64,
    /// The folder for them [default: howdah-spool, beside PATH]
    #[arg(long, value_name = "FOLDER")]
    pub spool: Option<PathBuf>,
}

/// What `wal ahead` takes.
#[derive(Args, Debug)]
pub struct AheadArgs {
    /// The segment that was fetched last
    #[arg(value_name = "NAME")]
    pub file: String,
    /// Where they come from
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How many segments
    #[arg(long)]
    pub ahead: u64,
    /// The folder for them
    #[arg(long)]
    pub spool: PathBuf,
}

/// What `wal verify` takes.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// What is verified
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only what ends behind this log position
    #[arg(long, value_name = "LSN", value_parser = position)]
    pub from: Option<u64>,
    /// Only what begins before this log position
    #[arg(long, value_name = "LSN", value_parser = position)]
    pub to: Option<u64>,
    /// Read everything again and every record, whatever was found sound before
    #[arg(long)]
    pub all: bool,
    /// Read the records of one in N batches of segments; 0 for none
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with = "all")]
    pub sample: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `wal status` takes.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// What is compared
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `wal find` takes.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("blast").required(true).args(["dropped", "truncated", "deleted"]))]
pub struct FindArgs {
    /// Where it is searched
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The table was dropped
    #[arg(long, value_name = "TABLE")]
    pub dropped: Option<String>,
    /// The table was truncated
    #[arg(long, value_name = "TABLE")]
    pub truncated: Option<String>,
    /// Many of the table's rows were deleted
    #[arg(long, value_name = "TABLE")]
    pub deleted: Option<String>,
    /// How many rows are many
    #[arg(long, value_name = "ROWS", default_value_t = 100)]
    pub at_least: u64,
    /// The table's database, where several have one of that name
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// The table's file as tablespace/database/number, where no backup knows it
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
    /// Not before, such as 2026-11-25T22:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<crate::base::clock::Timestamp>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    pub until: Option<crate::base::clock::Timestamp>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = parse_span(text).filter(|span| *span >= Duration::from_secs(1));
    span.ok_or_else(|| "a duration of a second or more is expected, such as '5m'".to_owned())
}

fn position(text: &str) -> Result<u64, String> {
    crate::recover::repository::manifest::parse_lsn(text)
        .ok_or_else(|| "a log position is expected, such as '16/B374D848'".to_owned())
}
