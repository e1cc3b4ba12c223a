//! The holder of a pause: it sends PAUSE, and RESUME when its time has come, when its end is wished for, or
//! when somebody else has resumed. Its second sends RESUME when the holder itself dies.

use std::{thread, time::Duration};

use serde_json::json;

use super::{
    Cli, Exit, Failure, HoldArgs,
    door::{Door, fault},
    second::Second,
};
use crate::{
    base::{
        clock::{Clock, Stamp, Timestamp},
        ledger::{Act, Target},
        progress::{Cleanup, Observer, Progress},
    },
    cli::{restore::recorded, work},
    recover::Fault,
};

/// How often time and wish are looked at.
const BEAT: Duration = Duration::from_millis(200);
/// How often PgBouncer is asked whether it is still paused.
const LOOK: Duration = Duration::from_secs(1);

/// Holds a pause until its time has come.
pub(super) fn run(cli: &Cli, args: &HoldArgs) -> Result<Exit, Failure> {
    let door = Door::of(cli, args.target.as_deref())?;
    let observer = work::observer(cli, true)?;
    let name = &args.database;
    // Before the pause: it must not be without somebody who ends it for a moment.
    let second = Second::start(cli, args)?;
    let until = short(args.until);
    let undo = Cleanup::words("RESUME in PgBouncer").by(["howdah", "pgbouncer", "resume", name]);
    let step =
        observer.step(format!("PAUSE of {name} until {until}"), &undo).map_err(Fault::from)?;
    let clock = Clock::system();
    let lasts = args.until.duration_since(clock.wall());
    let end = clock.now().plus(Duration::try_from(lasts).unwrap_or_default());
    if let Err(error) = door.pause(name, args.within) {
        // A pause that waits for transactions stays, though whoever wished it has gone.
        let taken_back = door.resume_at_last(name, &|| observer.cancelled());
        if taken_back {
            second.dismiss();
            step.undone(error.to_string()).map_err(Fault::from)?;
        }
        return Err(fault(error).into());
    }
    let why = wait(&door, args, &*observer, &clock, end);
    let act = Act::new("pgbouncer.resume")
        .on(Target::new(door.target.clone(), None))
        .because(why)
        .with(json!({ "database": name, "at": door.address(), "until": args.until }));
    // Clients must not wait for a ledger: they are served first.
    let resumed = door.resume_at_last(name, &|| false);
    second.dismiss();
    step.done(json!({ "why": why, "resumed": resumed })).map_err(Fault::from)?;
    recorded(cli, act, || Ok(()))?;
    Ok(Exit::Ok)
}

/// Waits until the pause has to end; why it has to.
fn wait(
    door: &Door,
    args: &HoldArgs,
    observer: &dyn Observer,
    clock: &Clock,
    end: Stamp,
) -> &'static str {
    let began = clock.now();
    let whole = end.since(began).as_secs();
    let mut look = began.plus(LOOK);
    loop {
        let now = clock.now();
        let phase = format!("{} paused; RESUME at {}", args.database, short(args.until));
        observer.progress(&Progress::items(
            phase,
            now.since(began).as_secs().min(whole),
            Some(whole),
        ));
        // Whichever clock is there first: one may be set, the other stands still in a sleep.
        if now >= end || clock.wall() >= args.until {
            return "its time had come";
        }
        if observer.cancelled() {
            return "its end was wished for";
        }
        if now >= look {
            look = now.plus(LOOK);
            // A PgBouncer that does not answer is asked again.
            if matches!(door.is_paused(&args.database), Ok(false)) {
                return "somebody else had resumed it";
            }
        }
        thread::sleep(BEAT);
    }
}

fn short(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
