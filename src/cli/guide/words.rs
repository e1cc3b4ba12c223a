//! What is written into a run's record and read out of it, whoever drives the run: notes, the handover note, the
//! record itself.

use std::{fmt::Write as _, thread, time::Duration};

use clap::Args;

use super::{ENDS, job_of, runs, wrong};
use crate::{
    base::clock::Clock,
    cli::{Cli, Exit, Failure, say, setup},
    guide::{
        GuideError, handover,
        plain::in_line,
        record::Record,
        run::{Run, Runs, Untaken},
        state::Input,
    },
};

/// What `guide note` takes.
#[derive(Args, Clone, Debug)]
pub struct WordArgs {
    /// The run
    pub run: String,
    /// The words
    #[arg(required = true)]
    pub words: Vec<String>,
}

/// Leaves a word for a run. Whoever drives it writes it down; when nobody does, we do.
pub(super) fn leave(
    cli: &Cli,
    args: &WordArgs,
    said: fn(String) -> Input,
) -> Result<Exit, Failure> {
    let runs = runs()?;
    let id = runs.find(&args.run).map_err(wrong)?;
    let words = args.words.join(" ");
    if words.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "there are no words in it"));
    }
    let who = setup::who(cli);
    runs.leave(&id, &who.in_words().into(), said(words)).map_err(wrong)?;
    let clock = Clock::system();
    let late = clock.now().plus(ENDS);
    while runs.waits(&id).map_err(wrong)? {
        match runs.drive(&id, &who) {
            Ok(run) => written(run)?,
            Err(GuideError::Driven { .. }) if clock.now() < late => {
                thread::sleep(Duration::from_millis(100));
            }
            Err(GuideError::Driven { driver, .. }) => {
                let what = format!(
                    "{driver} did not write it down yet: it is kept, and stands in the record when the run is driven next"
                );
                return Err(Failure::new(Exit::Failure, what));
            }
            Err(error) => return Err(wrong(error)),
        }
    }
    say(&format!("it stands in the record of {id}\n"))?;
    Ok(Exit::Ok)
}

/// Writes down what was left for a run that nobody else drives.
fn written(mut run: Run) -> Result<(), Failure> {
    for (file, event) in run.post() {
        match run.take(&event, None) {
            Ok(()) | Err(Untaken::Refused(_)) => drop(std::fs::remove_file(file)),
            Err(Untaken::Unwritten(error)) => return Err(wrong(error)),
        }
    }
    Ok(())
}

/// Prints the handover note.
pub(super) fn handover(run: &str) -> Result<Exit, Failure> {
    let runs = runs()?;
    let seen = found(&runs, run)?;
    let job = job_of(&seen);
    let mut out = String::new();
    for line in handover::note(&seen.id, &seen.card, &seen.state, job.as_ref()) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", in_line(&line));
    }
    let driver = seen.driver.as_ref().map_or("nobody", |driver| driver.as_str());
    let _ = writeln!(out, "driven by {driver}");
    say(&out)?;
    Ok(Exit::Ok)
}

/// Prints the record.
pub(super) fn export(run: &str, json: bool) -> Result<Exit, Failure> {
    let runs = runs()?;
    let seen = found(&runs, run)?;
    let record = Record::of(&seen, runs.fingerprint(&seen.id).map_err(wrong)?);
    let text = if json {
        record.json().map_err(|error| Failure::new(Exit::Failure, error))?
    } else {
        record.markdown()
    };
    say(&text)?;
    Ok(Exit::Ok)
}

fn found(runs: &Runs, word: &str) -> Result<crate::guide::run::Seen, Failure> {
    runs.look(&runs.find(word).map_err(wrong)?).map_err(wrong)
}
