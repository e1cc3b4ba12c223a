//! The second of a holder: it hears that the holder is gone by the end of a pipe that only that holds, and
//! sends RESUME in its stead.

use std::{
    io::{self, BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use super::{Cli, Exit, Failure, HoldArgs, SecondArgs, door::Door, pause::common};
use crate::{
    base::{
        cancel::Cancel,
        clock::Clock,
        ledger::{Act, Target},
    },
    cli::restore::{cluster::program, recorded},
    recover::{Fault, Kind},
};

/// The word that sends it away.
const DONE: &str = "done";
/// How long it tries: a PgBouncer that does not come back is paused no more.
const TRIES: Duration = Duration::from_hours(1);

/// The second, as the holder has it.
#[derive(Debug)]
pub struct Second(Child);

impl Second {
    /// Starts it.
    pub fn start(cli: &Cli, args: &HoldArgs) -> Result<Self, Failure> {
        let mut command = Command::new(program()?);
        command
            .args(["pgbouncer", "second", &args.database])
            .args(&*args.target)
            .args(common(cli))
            // What ends the holder's group must not end it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().map_err(|error| {
            Failure::new(
                Exit::Failure,
                format!("nobody can stand by, so nothing is paused: {error}"),
            )
        })?;
        Ok(Self(child))
    }

    /// Sends it away: there is nothing left to be resumed.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // One that died is away already.
            let _ = writeln!(pipe, "{DONE}");
        }
        let _ = self.0.wait();
    }
}

/// Waits for the end of the holder.
pub(super) fn run(cli: &Cli, args: &SecondArgs) -> Result<Exit, Failure> {
    // Signals are heard and not obeyed.
    let _deaf = Cancel::on_signals().map_err(|error| Failure::new(Exit::Failure, error))?;
    let mut line = String::new();
    // A pipe that cannot be read is as good as one that ended.
    let _ = io::stdin().lock().read_line(&mut line);
    if line.trim() == DONE {
        return Ok(Exit::Ok);
    }
    let door = Door::of(cli, args.target.as_deref())?;
    let clock = Clock::system();
    let end = clock.now().plus(TRIES);
    let resumed = door.resume_at_last(&args.database, &|| clock.now() > end);
    let act = Act::new("pgbouncer.resume")
        .on(Target::new(door.target.clone(), None))
        .because("the holder of the pause died")
        .with(json!({ "database": args.database, "at": door.address() }));
    recorded(cli, act, || {
        if resumed {
            return Ok(());
        }
        Err(Fault::new(Kind::Unavailable, "PgBouncer did not answer"))
    })?;
    Ok(Exit::Ok)
}
