//! The words of the command line; help, completions and the manual page come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{aim::TargetArgs, late::Late};
use crate::base::clock::{Clock, Timestamp, parse_moment};

/// The operator's seat on a PostgreSQL cluster.
#[derive(Debug, Parser)]
#[command(name = "howdah", version, max_term_width = 100)]
#[command(
    after_help = "Without TARGET: the configuration's default_target, else the PG* environment as psql reads it.\n\
    Passwords belong in ~/.pgpass or PGPASSWORD, never on the command line."
)]
pub struct Cli {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// The configuration file [default: see `howdah config path`]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The theme
    #[arg(long, global = true, value_name = "NAME")]
    pub theme: Option<String>,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    pub color: Option<String>,
    /// Glyphs
    #[arg(long, global = true, value_name = "SET", value_parser = ["auto", "unicode", "ascii"])]
    pub glyphs: Option<String>,
    /// Your name, for the ledger [env: HOWDAH_ACTOR]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub actor: Option<String>,
    /// Run it as a job that outlives this terminal; prints the job's name
    #[arg(long, global = true)]
    pub detach: bool,
    /// The job that this process is to be
    #[arg(long, global = true, hide = true, value_name = "ID")]
    pub job: Option<String>,
    /// Who is told how long work goes on
    #[arg(skip)]
    pub stage: super::work::Stage,
    /// What to do instead of opening the console
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else howdah does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what the console would show, without a screen; exits like a monitoring plug-in
    Status(Late<StatusArgs>),
    /// Take backups, list them, let old ones go
    Backup(Late<super::backup::BackupArgs>),
    /// Show circuit breakers of applications; let one pass or refuse everything for a while
    #[command(subcommand)]
    Breaker(Late<super::breaker::BreakerCommand>),
    /// Look whether a backup is what it was, and keep the outcome
    Verify(Late<super::verify::VerifyArgs>),
    /// Bring back what was backed up; shows a plan unless told to --apply it
    #[command(subcommand)]
    Restore(Late<super::restore::RestoreCommand>),
    /// Open the console on a throw-away cluster with real applications and real load
    Demo(Late<DemoArgs>),
    /// Restore a backup into a scratch cluster, look at it, measure, and keep the proof
    Prove(Late<super::prove::ProveArgs>),
    /// Print what could be brought back now; exits like a monitoring plug-in
    Recoverable(Late<super::recoverable::RecoverableArgs>),
    /// Show what runs detached and what became of it; attach, cancel, remove
    Jobs(Late<JobsArgs>),
    /// Be walked through a restore, or another guide, step by step
    #[command(subcommand)]
    Guide(Late<super::guide::GuideCommand>),
    /// List, check, verify and restore what pgBackRest, Barman or WAL-G keep of a target
    #[command(subcommand)]
    Engine(Late<super::engine::EngineCommand>),
    /// Show, verify or export the ledger of all that was changed
    #[command(subcommand)]
    Ledger(Late<LedgerCommand>),
    /// Show the databases of a target's PgBouncer; pause one for a while
    #[command(subcommand)]
    Pgbouncer(Late<super::pgbouncer::PgbouncerCommand>),
    /// See a server from outside when it may answer nobody; let one go on that a signal has stopped
    #[command(subcommand)]
    Server(Late<super::server::ServerCommand>),
    /// List sessions and who waits for whom; cancel or end one
    #[command(subcommand)]
    Session(Late<super::session::SessionCommand>),
    /// Let an alert wake nobody for a while, with a reason; list and end silences
    #[command(subcommand)]
    Silence(Late<super::silence::SilenceCommand>),
    /// List replication slots and the WAL that they keep; drop one that nobody uses
    #[command(subcommand)]
    Slot(Late<super::slot::SlotCommand>),
    /// Tell where the room of a server goes, who keeps it, and the safest first act
    Space(Late<super::space::SpaceArgs>),
    /// Make, check or describe the repository that keeps backups, WAL and proofs
    #[command(subcommand)]
    Repo(Late<RepoCommand>),
    /// Show where the configuration is, what is in force, or an example
    #[command(subcommand)]
    Config(Late<ConfigCommand>),
    /// The WAL archive: archive, fetch, verify, find what was lost
    #[command(subcommand)]
    Wal(Late<super::wal::WalCommand>),
    /// Print the table of commands and keys
    Keys,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// What `status` takes.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print the whole snapshot as JSON; with --watch one document a line
    #[arg(long)]
    pub json: bool,
    /// Print again whenever something changed, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// How long to wait until every source has had its say
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = span)]
    pub within: std::time::Duration,
}

/// Which target a subcommand of recovery works on, and where that is kept.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Where backups, WAL and proofs are kept [default: by the configuration]
    #[arg(long, value_name = "FOLDER|s3://…")]
    pub repository: Option<String>,
    /// The target's name in the repository [default: its name in the configuration]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// What can be done to a repository.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Make the folder, or check the bucket; with --target also write down whose it is
    Init {
        /// Which one
        #[command(flatten)]
        place: PlaceArgs,
        /// Keep what comes in from now on as it is, though it was encrypted before
        #[arg(long)]
        unencrypted: bool,
    },
    /// Check layout, permissions, space, writing, and that what is there can be read back
    Check {
        /// Which one
        #[command(flatten)]
        place: PlaceArgs,
        /// Read every file of every backup back, not a sample
        #[arg(long)]
        all: bool,
        /// Remove what writers left behind that have ended, or of which nothing is known for a day
        #[arg(long)]
        clean: bool,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell what is kept, how much room it takes and how old it is
    Info {
        /// Which one
        #[command(flatten)]
        place: PlaceArgs,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `demo` takes.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    /// Leave the cluster running and tell how to reach it
    #[arg(long)]
    pub keep: bool,
    /// The cluster's port on loopback [default: a free one]
    #[arg(long)]
    pub port: Option<u16>,
    /// No applications, no load
    #[arg(long)]
    pub no_load: bool,
    /// What to do to a running demo
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

/// What can be done to a running demo.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Let something go wrong in the demo that runs in another terminal
    Incident {
        /// Which one; without a name they are listed
        name: Option<String>,
    },
    /// Print where the configuration of the demo that runs is: `howdah --config "$(howdah demo config)" status`
    Config,
    /// Stop and remove the clusters that --keep has left
    Remove,
}

/// What `jobs` takes.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct JobsArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
    /// What to do; without it they are listed
    #[command(subcommand)]
    pub command: Option<JobsCommand>,
}

/// What can be done with jobs. A job is meant by its name, by its beginning or its end, or by `last`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List them, the latest first
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow a job to its end, and exit as it did; Ctrl-C leaves it running
    Attach {
        /// The job
        id: String,
    },
    /// Print what a job printed
    Log {
        /// The job
        id: String,
    },
    /// End a job: SIGINT, so that it cleans up; then SIGTERM, then SIGKILL
    Cancel {
        /// The job
        id: String,
        /// How long it may take after SIGINT
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = span)]
        within: std::time::Duration,
        /// Why, for the ledger
        #[arg(long, value_name = "REASON")]
        why: Option<String>,
    },
    /// Forget jobs that are over, with their journals and logs
    Remove {
        /// The jobs; without them all that ended by themselves before --older ago
        #[arg(conflicts_with = "older")]
        ids: Vec<String>,
        /// How long ago they must have ended
        #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = span)]
        older: std::time::Duration,
    },
}

/// What can be asked of the ledger. A moment is RFC 3339, a date, `DATE TIME` in UTC, or how long ago: `2d`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Show what was done, by whom, on what, why, and how it ended
    Show {
        /// Begun since then
        #[arg(long, value_name = "MOMENT", value_parser = moment)]
        since: Option<Timestamp>,
        /// On this target only: its name or its system identifier
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Print one JSON document a line
        #[arg(long)]
        json: bool,
    },
    /// Find the first line that was altered, removed, reordered or cut off; exit code 65 if there is one
    Verify {
        /// An exported ledger to verify instead of our own; `-` reads standard input
        bundle: Option<PathBuf>,
        /// Print the verdict as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a part that others can verify
    Export {
        /// From then
        #[arg(long, value_name = "MOMENT", value_parser = moment)]
        since: Option<Timestamp>,
        /// Until then, that moment not included
        #[arg(long, value_name = "MOMENT", value_parser = moment)]
        until: Option<Timestamp>,
    },
}

/// What can be asked about the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a configuration with every setting in it, commented out
    Example,
    /// Print the folders and files that are used
    Path,
    /// Check the configuration and tell where each value comes from
    Check,
}

pub(super) fn span(text: &str) -> Result<std::time::Duration, String> {
    crate::base::units::parse_span(text)
        .ok_or_else(|| "a duration with its unit is expected, such as '5s' or '500ms'".to_owned())
}

pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    parse_moment(text, Clock::system().wall()).ok_or_else(|| {
        "a moment is expected, such as '2026-11-09T02:00:00Z', '2026-11-09 02:00' (UTC) or '2d' (ago)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_target_and_a_subcommand_are_told_apart() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["howdah"], words].concat());
        let cli = parse(&["host=db dbname=app", "--theme", "mono"]).expect("a target");
        assert_eq!(cli.target.as_deref(), Some("host=db dbname=app"));
        let cli = parse(&["demo", "incident", "hang", "--config", "x"]).expect("an incident");
        let Some(Command::Demo(demo)) = cli.command else { panic!("{cli:?}") };
        assert!(matches!(demo.command, Some(DemoCommand::Incident { .. })));
        let cli = parse(&["--config", "x", "config", "check"]).expect("an option before");
        assert!(cli.target.is_none() && cli.command.is_some());
        assert!(parse(&["status", "--within", "5"]).is_err());
        assert!(parse(&["--color", "sometimes"]).is_err());
    }
}
