//! `howdah jobs`: what runs detached, and what became of it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Cli, Exit, Failure,
    args::{JobsArgs, JobsCommand},
    record::unrecorded,
    say, say_failure, setup,
};
use crate::{
    base::{
        clock::Clock,
        ledger::{Act, Entry},
        progress::{Ending, in_words},
        text::{Text, clean},
        units,
    },
    jobs::{Job, JobError, JobId, Jobs, Line, Patience, Said, Stage, State},
};

/// Lists the jobs, or does something with them.
pub fn run(cli: &Cli, options: &JobsArgs) -> Result<Exit, Failure> {
    let jobs = setup::jobs()?;
    match &options.command {
        None => list(&jobs, options.json),
        Some(JobsCommand::List { json }) => list(&jobs, *json),
        Some(JobsCommand::Attach { id }) => attach(&jobs, &jobs.find(id).map_err(wrong)?),
        Some(JobsCommand::Log { id }) => log(&jobs, &jobs.find(id).map_err(wrong)?),
        Some(JobsCommand::Cancel { id, within, why }) => {
            let id = jobs.find(id).map_err(wrong)?;
            cancel(cli, &jobs, &id, *within, why.as_deref())
        }
        Some(JobsCommand::Remove { ids, older }) => {
            let ids = if ids.is_empty() {
                jobs.older_than(*older).map_err(wrong)?
            } else {
                let found: Result<Vec<_>, _> = ids.iter().map(|id| jobs.find(id)).collect();
                found.map_err(wrong)?
            };
            remove(cli, &jobs, &ids)
        }
    }
}

fn wrong(error: JobError) -> Failure {
    let exit = match error {
        JobError::NotAnId(_) | JobError::Unknown(_) | JobError::Ambiguous { .. } => Exit::Usage,
        JobError::Running(_) | JobError::OutOfReach { .. } => Exit::Refused,
        _ => Exit::Failure,
    };
    Failure::new(exit, error)
}

fn list(jobs: &Jobs, json: bool) -> Result<Exit, Failure> {
    let (mut good, mut exit) = (Vec::new(), Exit::Ok);
    for job in jobs.list().map_err(wrong)? {
        match job {
            Ok(job) => good.push(job),
            Err(error) => {
                say_failure(&wrong(error));
                exit = Exit::Failure;
            }
        }
    }
    if json {
        let text = serde_json::to_string_pretty(&good);
        say(&(text.map_err(|error| Failure::new(Exit::Failure, error))? + "\n"))?;
    } else {
        say(&good.iter().map(row).collect::<String>())?;
    }
    Ok(exit)
}

/// A job on a line of its own; below it how far it is, or why it ended and what is to be put away.
fn row(job: &Job) -> String {
    let mut out = String::new();
    let target = job.card.target.as_ref().map_or("", |target| target.name.as_str());
    let ended = job.outcome.as_ref().map(|outcome| outcome.ended);
    let until = ended.unwrap_or_else(|| Clock::system().wall());
    let passed = until.duration_since(job.card.started);
    let passed =
        if passed.is_negative() { "—".to_owned() } else { units::age(passed.unsigned_abs()) };
    let time = match &job.state {
        State::Done | State::Failed { .. } | State::Cancelled { .. } => format!("took {passed}"),
        _ => format!("begun {passed} ago"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{}  {:<9}  {}  {target}  {time}, by {}",
        job.id,
        job.state.word(),
        job.card.what,
        job.card.who.in_words(),
    );
    if let Some(reason) = job.state.reason() {
        let _ = writeln!(out, "    {reason}");
    }
    match (&job.state, &job.story.progress) {
        (State::Running, Some(measured)) => drop(writeln!(out, "    {}", in_words(measured))),
        (State::Running, None) => {
            if let Some(step) = &job.story.last_step {
                let _ = writeln!(out, "    last step: {step}");
            }
        }
        (State::Lost { .. }, _) => drop(writeln!(out, "    it was {}", job.story.place())),
        _ => {}
    }
    if job.state.over() {
        out += &left_behind(job);
    }
    out
}

/// What a job that is over has left, line by line.
fn left_behind(job: &Job) -> String {
    job.left_behind().iter().map(|left| format!("    {left}\n")).collect()
}

/// Prints the journal as it grows, until the job is over; ends as the job did.
fn attach(jobs: &Jobs, id: &JobId) -> Result<Exit, Failure> {
    if io::stdout().is_terminal() {
        let hint = format!("Ctrl-C leaves it running; `howdah jobs cancel {id}` ends it.\n");
        let _ = io::stderr().write_all(hint.as_bytes());
    }
    let mut follow = jobs.follow(id);
    loop {
        // The state first: what it wrote before it ended is then read after it.
        let over = jobs.state(id).map_err(wrong)?;
        let lines = follow.lines().map_err(wrong)?;
        say(&lines.iter().map(heard).collect::<String>())?;
        match over {
            state if state.over() => break,
            State::Unknown { why } => return Err(Failure::new(Exit::Unknown, why)),
            _ => thread::sleep(Duration::from_millis(200)),
        }
    }
    let job = jobs.get(id).map_err(wrong)?;
    let reason = job.state.reason().map_or_else(String::new, |why| format!(": {why}"));
    say(&format!("{id} {}{reason}\n{}", job.state.word(), left_behind(&job)))?;
    Ok(match &job.outcome {
        Some(outcome) if outcome.exit == 0 => Exit::Ok,
        Some(outcome) => Exit::Code(outcome.exit),
        None => Exit::Failure,
    })
}

fn heard(line: &Line) -> String {
    let words = match &line.said {
        Said::Intent { name, .. } => format!("begins  {name}"),
        Said::Result { name, ending: Ending::Done(_), .. } => format!("done    {name}"),
        Said::Result { name, ending: Ending::Undone(why), .. } => {
            format!("undone  {name}: {why}")
        }
        Said::Progress(measured) => in_words(measured),
        Said::Note(words) => words.to_string(),
    };
    format!("{}  {words}\n", line.at.strftime("%H:%M:%SZ"))
}

fn log(jobs: &Jobs, id: &JobId) -> Result<Exit, Failure> {
    let path = jobs.log(id);
    let bytes = fs::read(&path)
        .map_err(|error| Failure::new(Exit::Failure, format!("'{}': {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    say(&text.lines().map(|line| clean(line) + "\n").collect::<String>())?;
    Ok(Exit::Ok)
}

/// Begins an act on a job in the ledger.
fn begin(cli: &Cli, job: &Job, action: &'static str, why: Option<&str>) -> Result<Entry, Failure> {
    let details = json!({ "job": job.id, "what": job.card.what, "state": job.state.word() });
    let mut act = Act::new(action).with(details);
    if let Some(target) = &job.card.target {
        act = act.on(target.clone());
    }
    if let Some(why) = why {
        act = act.because(why);
    }
    setup::ledger(cli, &setup::config(cli)?)?.begin(act).map_err(unrecorded)
}

fn cancel(
    cli: &Cli,
    jobs: &Jobs,
    id: &JobId,
    within: Duration,
    why: Option<&str>,
) -> Result<Exit, Failure> {
    let job = jobs.get(id).map_err(wrong)?;
    if job.state.over() {
        say(&format!("{id} was over already: {}\n", job.state.word()))?;
        return Ok(Exit::Ok);
    }
    let entry = begin(cli, &job, "jobs.cancel", why)?;
    let stage = match jobs.cancel(id, Patience { interrupt: within, ..Patience::default() }) {
        Ok(stage) => stage,
        Err(error) => {
            entry.failed(&error.to_string(), Value::Null).map_err(unrecorded)?;
            return Err(wrong(error));
        }
    };
    let how = match stage {
        Stage::Over | Stage::Interrupted => "it ended by itself",
        Stage::Terminated => "it ended by SIGTERM",
        Stage::Killed => "it was killed",
    };
    let job = jobs.get(id).map_err(wrong)?;
    entry.done(json!({ "how": how, "state": job.state.word() })).map_err(unrecorded)?;
    say(&format!("{id} {}: {how}\n{}", job.state.word(), left_behind(&job)))?;
    Ok(Exit::Ok)
}

fn remove(cli: &Cli, jobs: &Jobs, ids: &[JobId]) -> Result<Exit, Failure> {
    for id in ids {
        let job = jobs.get(id).map_err(wrong)?;
        let entry = begin(cli, &job, "jobs.remove", None)?;
        if let Err(error) = jobs.remove(id) {
            let failure = wrong(error);
            entry.refused(&failure.to_string()).map_err(unrecorded)?;
            return Err(failure);
        }
        let left: Vec<Text> = job.story.open.iter().map(|open| open.cleanup.what.clone()).collect();
        entry.done(json!({ "left_behind": left })).map_err(unrecorded)?;
    }
    say(&format!("{} removed\n", ids.len()))?;
    Ok(Exit::Ok)
}
