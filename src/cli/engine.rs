//! `howdah engine`: what pgBackRest, Barman and WAL-G keep of a target.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{
    Cli, Exit, Failure,
    aim::TargetArgs,
    args::{PlaceArgs, moment},
    observer, place,
    record::recorded,
    say, say_failure, setup,
};
use crate::{
    base::{
        clock::Timestamp,
        config::{Config, TargetConfig},
        ledger::{Act, Target},
        progress::{Observer, Progress},
        text::{Text, width},
        units,
    },
    recover::{
        Fault,
        engines::{
            Access, Backup, Engine, History, Report, own,
            restore::{self, Plan, Wish},
        },
    },
};

/// What can be asked of the backup engines of a target. Exits with 65 when something is found wrong.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// List their backups beside our own, the newest first
    List {
        /// Whose, and where our own are
        #[command(flatten)]
        place: PlaceArgs,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let each check whether it works now: `pgbackrest check`, `barman check`
    Check(AskArgs),
    /// Let each verify what it keeps, and read what it says, not how it exits; this may take hours
    Verify(AskArgs),
    /// Restore a cluster into a new folder; without --apply the plan is shown and nothing is touched
    Restore(RestoreArgs),
}

/// Which engines are asked.
#[derive(Args, Debug)]
pub struct AskArgs {
    /// Of which, and whose
    #[command(flatten)]
    which: WhichArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Which engines of which target.
#[derive(Args, Debug)]
pub struct WhichArgs {
    /// Which target
    #[command(flatten)]
    target: TargetArgs,
    /// This engine only
    #[arg(long, value_name = "NAME", value_parser = ["pgbackrest", "barman", "wal-g"])]
    engine: Option<String>,
}

/// What is restored.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// By which, and whose
    #[command(flatten)]
    which: WhichArgs,
    /// The new data folder: empty, or not there yet; tablespaces go to FOLDER.tablespaces
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
    /// The moment to recover to, such as '2026-11-09T02:00:00Z', '2026-11-09 02:00' (UTC) or '2h' (ago) [default: as far as
    /// the archive reaches]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to_time: Option<Timestamp>,
    /// The backup to begin with, by its engine's name for it [default: the newest whole one that had ended by then]
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// Why, for the ledger
    #[arg(long, value_name = "WORDS")]
    why: Option<String>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

impl EngineCommand {
    /// Its dotted word, if it may run as a job.
    pub(super) fn detachable(&self) -> Option<&'static str> {
        match self {
            Self::Verify(_) => Some("engine.verify"),
            Self::Restore(args) if args.apply => Some("engine.restore"),
            _ => None,
        }
    }
}

/// Answers one question.
pub fn run(cli: &Cli, what: &EngineCommand) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    match what {
        EngineCommand::List { place, json } => list(cli, &config, place, *json),
        EngineCommand::Check(args) => {
            ask(cli, &config, args, &|access, observer| access.check(observer.cancel()))
        }
        EngineCommand::Verify(args) => ask(cli, &config, args, &|access, observer| {
            let phase = format!("{} verifies {}", access.engine, access.name);
            let silent = "it tells nothing of its progress: silence is normal";
            observer.progress(&Progress::bytes(phase, 0, None).with_note(silent));
            access.verify(observer.cancel())
        }),
        EngineCommand::Restore(args) => restore(cli, &config, args),
    }
}

/// The configured target by its name.
fn configured<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<(&'a str, &'a TargetConfig), Failure> {
    let Some(name) = name.or(config.default_target.as_deref()) else {
        let what = "no target is named: give --target, or set default_target in the configuration";
        return Err(Failure::new(Exit::Config, what));
    };
    let Some((name, target)) = config.targets.get_key_value(name) else {
        let what = format!(
            "'{name}' is not a target of the configuration, which names its backup engines"
        );
        return Err(Failure::new(Exit::Config, what));
    };
    Ok((name, target))
}

/// The engines of a target; at least one.
fn engines(config: &Config, which: &WhichArgs) -> Result<(Text, Vec<Access>), Failure> {
    let (name, target) = configured(config, which.target.as_deref())?;
    let mut found = Access::all(&target.engines)?;
    if let Some(wanted) = &which.engine {
        found.retain(|access| access.engine.name().eq_ignore_ascii_case(wanted));
    }
    if found.is_empty() {
        let which = which.engine.as_deref().unwrap_or("backup engine");
        let what = format!(
            "no {which} is configured for '{name}': set target.{name}.pgbackrest, .barman or .walg"
        );
        return Err(Failure::new(Exit::Config, what));
    }
    Ok((name.into(), found))
}

fn list(cli: &Cli, config: &Config, args: &PlaceArgs, json: bool) -> Result<Exit, Failure> {
    let (_, target) = configured(config, args.target.as_deref())?;
    let observer = observer(cli, true)?;
    let (mut history, mut exit) = (History::default(), Exit::Ok);
    let ours =
        args.repository.is_some() || target.repository.is_some() || config.repository.is_some();
    let mut told: Vec<Result<History, Failure>> = Vec::new();
    if ours {
        told.push(place::repository(config, args).and_then(|found| Ok(own::history(&found)?)));
    }
    for access in Access::all(&target.engines)? {
        told.push(access.history(observer.cancel()).map_err(Failure::from));
    }
    if told.is_empty() {
        let what = "neither a repository nor a backup engine is configured for this target";
        return Err(Failure::new(Exit::Config, what));
    }
    for told in told {
        match told {
            Ok(other) => history.add(other),
            // The others can still be told.
            Err(failure) => {
                say_failure(&failure);
                exit = failure.exit;
            }
        }
    }
    for complaint in &history.complaints {
        say_failure(&Failure::new(Exit::Damaged, complaint));
        exit = Exit::Damaged;
    }
    say(&if json { as_json(&history)? } else { table(&history.backups) })?;
    Ok(exit)
}

/// A table with columns as wide as they must be; what is not known is `—`.
fn table(backups: &[Backup]) -> String {
    let unknown = || "—".to_owned();
    let head = ["BEGAN", "TOOK", "METHOD", "STORED", "CLUSTER", "ID", "STATE"].map(str::to_owned);
    let row = |backup: &Backup| {
        let began = match (backup.began, backup.ended) {
            (Some(began), _) => began.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            (None, Some(ended)) => ended.strftime("<%Y-%m-%d %H:%M:%SZ").to_string(),
            (None, None) => unknown(),
        };
        [
            began,
            backup.duration().map_or_else(unknown, units::age),
            backup.method().to_string(),
            backup.stored.map_or_else(unknown, units::bytes),
            backup.cluster.map_or_else(unknown, units::bytes),
            backup.id.to_string(),
            Text::one_line(&backup.state.to_string()).to_string(),
        ]
    };
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(backups.iter().map(row)).collect();
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(widest);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, widest) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', widest - width(cell) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// What one engine answered.
#[derive(Serialize)]
struct Answer<'a> {
    engine: Engine,
    name: &'a str,
    #[serde(flatten)]
    report: Option<&'a Report>,
    failure: Option<String>,
}

type Question = dyn Fn(&Access, &dyn Observer) -> Result<Report, Fault>;

/// Puts the same question to each engine. Findings count most, then what could not be asked.
fn ask(cli: &Cli, config: &Config, args: &AskArgs, what: &Question) -> Result<Exit, Failure> {
    let (_, engines) = engines(config, &args.which)?;
    let observer = observer(cli, args.json)?;
    let told: Vec<(&Access, Result<Report, Failure>)> = engines
        .iter()
        .map(|access| (access, what(access, &*observer).map_err(Failure::from)))
        .collect();
    let mut exit = Exit::Ok;
    for (_, answer) in &told {
        match answer {
            Ok(report) if !report.findings.is_empty() => exit = Exit::Damaged,
            Err(failure) if exit == Exit::Ok => exit = failure.exit,
            _ => {}
        }
    }
    if args.json {
        let answers: Vec<Answer<'_>> = told
            .iter()
            .map(|(access, answer)| Answer {
                engine: access.engine,
                name: &access.name,
                report: answer.as_ref().ok(),
                failure: answer.as_ref().err().map(ToString::to_string),
            })
            .collect();
        say(&as_json(&answers)?)?;
        return Ok(exit);
    }
    for (access, answer) in &told {
        match answer {
            Ok(report) => say(&in_words(access, report))?,
            Err(failure) => say_failure(failure),
        }
    }
    Ok(exit)
}

fn in_words(access: &Access, report: &Report) -> String {
    let verdict = match report.findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    };
    let mut out = format!("{} {}: {verdict}\n", access.engine, Text::foreign(&access.name));
    // Writing to a string cannot fail.
    for finding in &report.findings {
        let _ = writeln!(out, "  ! {finding}");
    }
    for note in &report.notes {
        let _ = writeln!(out, "    {note}");
    }
    out
}

fn restore(cli: &Cli, config: &Config, args: &RestoreArgs) -> Result<Exit, Failure> {
    let (target, engines) = engines(config, &args.which)?;
    let [access] = engines.as_slice() else {
        let what = "this target has several backup engines: choose one with --engine";
        return Err(Failure::new(Exit::Usage, what));
    };
    let observer = observer(cli, args.json)?;
    let wish = Wish { into: args.into.clone(), until: args.to_time, backup: args.backup.clone() };
    let plan = restore::plan(access, &wish, observer.cancel())?;
    say(&if args.json { as_json(&plan)? } else { planned(&plan) })?;
    if !args.apply {
        return Ok(Exit::Ok);
    }
    let details = json!({
        "engine": plan.engine,
        "backup": plan.backup.id,
        "into": plan.into,
        "until": plan.until,
        "command": plan.command,
    });
    let mut act = Act::new("engine.restore").on(Target::new(target, plan.backup.system_identifier));
    if let Some(why) = &args.why {
        act = act.because(why);
    }
    recorded(cli, act.with(details), || plan.apply(&*observer))?;
    if !args.json {
        say(&format!("restored into {}\n", Text::foreign(&plan.into.to_string_lossy())))?;
    }
    Ok(Exit::Ok)
}

fn planned(plan: &Plan) -> String {
    let clean = |path: &PathBuf| Text::foreign(&path.to_string_lossy());
    let until = match plan.until {
        Some(until) => until.to_string(),
        None => "as far as the archive reaches".to_owned(),
    };
    let account = plan.account.as_ref().map_or_else(String::new, |name| format!(" (as {name})"));
    let began = plan.backup.began.or(plan.backup.ended);
    let mut out = format!(
        "backup       {} {}, {}\nrecover to   {until}\ndata folder  {}\ntablespaces  {}\ncommand      {}{account}\n",
        plan.backup.method(),
        plan.backup.id,
        began.map_or_else(|| "—".to_owned(), |began| began.to_string()),
        clean(&plan.into),
        clean(&plan.tablespaces),
        plan.command,
    );
    // Writing to a string cannot fail.
    for then in &plan.then {
        let _ = writeln!(out, "then         {then}");
    }
    out
}

fn as_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failure, format!("no JSON: {error}")))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::engines::State;

    #[test]
    fn what_is_not_known_is_shown_as_such() {
        let mut backup = Backup {
            engine: Engine::Barman,
            id: "20261123T134631".into(),
            extent: None,
            began: None,
            ended: Timestamp::from_second(1_795_441_597).ok(),
            stored: Some(1 << 20),
            cluster: None,
            wal: None,
            lsn: None,
            system_identifier: None,
            parent: None,
            state: State::Running { percent: None },
        };
        let lines = |backup: &Backup| {
            table(std::slice::from_ref(backup)).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(&backup)[1],
            "<2026-11-23 13:46:37Z  —     Barman  1.0 MB  —        20261123T134631  running"
        );
        backup.state = State::Failed { reason: "it\nbroke".into() };
        assert_eq!(lines(&backup).len(), 2, "one line each");
    }
}
