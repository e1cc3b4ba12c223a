//! `howdah session`: who is connected, who waits for whom; and a signal to one, after a look at the same one again.

mod list;
mod signal;

use clap::{Args, Subcommand};

use super::{
    Cli, Exit, Failure,
    aim::TargetArgs,
    restore::ApplyArgs,
    seat::{ListArgs, Seat},
};
use crate::{
    recover::{Fault, Kind},
    watch::server::sessions::{SESSIONS, Sitting},
};

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List the sessions of clients: those that others wait for first, then the oldest transactions
    List(ListArgs),
    /// List only those that wait for a lock, and those that they wait for: the root first
    Blocked(ListArgs),
    /// Cancel the statement that a session runs; a plan unless told to --apply it
    Cancel(SignalArgs),
    /// End a session: its transaction is rolled back; a plan unless told to --apply it
    End(SignalArgs),
}

/// What signals take.
#[derive(Args, Clone, Debug)]
pub struct SignalArgs {
    /// The server's process that serves the session
    pub pid: i32,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// Does one of them.
pub fn run(cli: &Cli, what: &SessionCommand) -> Result<Exit, Failure> {
    match what {
        SessionCommand::List(args) => list::run(cli, args, false),
        SessionCommand::Blocked(args) => list::run(cli, args, true),
        SessionCommand::Cancel(args) => signal::run(cli, args, signal::Verb::Cancel),
        SessionCommand::End(args) => signal::run(cli, args, signal::Verb::End),
    }
}

impl Seat {
    /// Everybody else, as they are now.
    fn sittings(&self) -> crate::recover::Result<Vec<Sitting>> {
        let rows = self.session.query(SESSIONS, &[])?;
        let read = rows.iter().map(Sitting::of).collect::<Result<_, _>>();
        read.map_err(|error| Fault::new(Kind::Failed, error.to_string()))
    }
}
