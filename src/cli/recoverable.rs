//! `howdah recoverable`: what could be brought back now. For monitoring.

use std::{fmt::Write as _, time::Duration};

use clap::Args;

use super::{
    Cli, Exit, Failure,
    args::PlaceArgs,
    place,
    restore::cluster::{WalArgs, archive},
    say, setup,
};
use crate::{
    base::{clock::Clock, units},
    recover::{
        measured::By,
        physical::target::both,
        window::{Reader, Recoverable, Told},
    },
};

/// From this share of a promise on it is told that it comes close.
const CLOSE: f64 = 0.8;

/// What `recoverable` takes.
#[derive(Args, Clone, Debug)]
pub struct RecoverableArgs {
    /// Which target, and where its backups are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where the WAL is
    #[command(flatten)]
    pub wal: WalArgs,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the line and where it comes from. 0: all promises are kept, 1: one is missed, or close to it,
/// 2: nothing can be brought back, 3: something is not known.
pub fn run(cli: &Cli, args: &RecoverableArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let repository = place::repository(&config, &args.place)?;
    let archive = archive(&config, &args.place, &args.wal, &repository)?;
    let (rpo_target, rto_target) = place::promises(&config, &args.place);
    let found = Reader::new(repository, Some(archive)).read(Clock::system().wall())?;
    if args.json {
        let text = serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::new(Exit::Failure, error))?;
        say(&(text + "\n"))?;
    } else {
        let mut out = found.line(rpo_target, rto_target);
        out.push('\n');
        // Writing to a string cannot fail.
        let _ = sources(&mut out, &found);
        say(&out)?;
    }
    Ok(verdict(&found, rpo_target, rto_target))
}

fn verdict(found: &Recoverable, rpo_target: Duration, rto_target: Duration) -> Exit {
    if found.backups.complete == 0 {
        return Exit::Critical;
    }
    let close = |figure: Duration, target: Duration| figure >= target.mul_f64(CLOSE);
    let rpo = found.rpo.value().is_some_and(|rpo| close(rpo.at_most, rpo_target));
    let rto = found.rto.value().is_some_and(|rto| close(rto.expected, rto_target));
    let gaps = found.pitr.value().is_some_and(|pitr| !pitr.gaps.is_empty());
    if rpo || rto || gaps || found.backups.damaged > 0 {
        return Exit::Failure;
    }
    let known =
        found.rpo.value().is_some() && found.rto.value().is_some() && found.pitr.value().is_some();
    if known { Exit::Ok } else { Exit::Unknown }
}

fn sources(out: &mut String, found: &Recoverable) -> std::fmt::Result {
    match &found.rpo {
        Told::Is(rpo) => {
            writeln!(out, "rpo      {}: safe until {}", rpo.source, both(rpo.safe_until))?;
        }
        Told::Unknown(why) => writeln!(out, "rpo      not known: {why}")?,
    }
    match &found.rto {
        Told::Is(rto) => {
            let drill = match rto.by {
                By::Drill => ", by a drill on fast settings: a real restore takes longer",
                By::Restore => ", by a real restore",
            };
            let (least, most) = (units::clock(rto.spread.0), units::clock(rto.spread.1));
            writeln!(out, "rto      {} ({least} to {most}){drill}", rto.source)?;
        }
        Told::Unknown(why) => writeln!(out, "rto      not known: {why}")?,
    }
    match &found.pitr {
        Told::Is(pitr) => {
            for window in &pitr.windows {
                writeln!(out, "pitr     {} to {}", both(window.from), both(window.to))?;
            }
            for gap in &pitr.gaps {
                writeln!(out, "gap      {gap}")?;
            }
        }
        Told::Unknown(why) => writeln!(out, "pitr     not known: {why}")?,
    }
    match &found.newest {
        Told::Is(newest) => {
            let level = newest.level.map_or("not verified".to_owned(), |level| level.to_string());
            writeln!(
                out,
                "newest   {}, {} old, {}, {level}",
                newest.id,
                units::age(newest.age),
                units::bytes(newest.bytes)
            )?;
        }
        Told::Unknown(why) => writeln!(out, "newest   {why}")?,
    }
    let counts = found.backups;
    writeln!(
        out,
        "backups  {} whole, {} failed, {} unfinished, {} damaged",
        counts.complete, counts.failed, counts.unfinished, counts.damaged
    )?;
    for source in &found.sources {
        writeln!(out, "source   {source}")?;
    }
    Ok(())
}
