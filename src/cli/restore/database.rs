//! `howdah restore database`: a whole database into a new one.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;

use super::{
    ApplyArgs, FromArgs, ONLY_A_PLAN, act, agreed, confirm::confirm, json, named, resolve,
    work_folder,
};
use crate::{
    base::{
        text::clean,
        units::{bytes, span},
    },
    cli::{Cli, Exit, Failure, say, work},
    recover::{
        checkup::assertions,
        restore::{
            Source, Target,
            database::{How, restore},
            plan::{Plan, Wish, plan},
            record::Record,
        },
    },
};

/// What `restore database` takes.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// From where, and how
    #[command(flatten)]
    pub from: FromArgs,
    /// The database, by its name in the backup
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The new database
    #[arg(long, value_name = "NAME")]
    pub into: String,
    /// Move a database of that name aside, by renaming it with a time stamp, once the new one is there
    #[arg(long)]
    pub replace: bool,
    /// SQL run in what was restored: each statement returns no row, or one truth value, true
    #[arg(long = "assert", value_name = "FILE")]
    pub assertions: Option<PathBuf>,
}

/// Shows the plan, and carries it out when that is wished.
pub fn run(cli: &Cli, args: &DatabaseArgs) -> Result<Exit, Failure> {
    let from = &args.from;
    let assertions = args.assertions.as_deref().map(assertions::read).transpose()?;
    let place = resolve(cli, &from.place, from.server.as_deref())?;
    let source = Source::find(&place.repository, &from.backup, &args.database)?;
    let target = Target::for_dump(&place.settings, &source.manifest.tool)?;
    let wish = Wish {
        into: args.into.clone(),
        replace: args.replace,
        with_roles: from.with_roles,
        jobs: from.jobs,
    };
    let plan = plan(&place.repository, &source, &target, &wish)?;
    show_plan(&plan, &from.apply)?;
    plan.check()?;
    agreed(from.apply.plan.as_deref(), &plan.mark())?;
    if !from.apply.apply {
        return Ok(Exit::Ok);
    }
    confirm(&from.apply, &args.into)?;
    let folder = work_folder(from.work.as_ref());
    let how = How { work: &folder, assertions: assertions.as_deref() };
    let details =
        serde_json::json!({ "backup": plan.backup, "into": args.into, "server": plan.server });
    let observer = work::observer(cli, from.apply.json)?;
    let record =
        act(cli, "restore.database", &place.frame.target.name, &from.apply, details, || {
            restore(&place.repository, &source, &target, &wish, &how, &*observer)
        })?;
    say(&if from.apply.json { json(&record)? } else { outcome(&record) })?;
    Ok(if record.findings.is_empty() { Exit::Ok } else { Exit::Damaged })
}

fn show_plan(plan: &Plan, args: &ApplyArgs) -> Result<(), Failure> {
    if args.json {
        return if args.apply { Ok(()) } else { say(&json(plan)?) };
    }
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |what: &str, text: &str| {
        let _ = writeln!(out, "{what:<10} {}", clean(text));
    };
    line("from", &format!("backup {}, as of {}", plan.backup, plan.as_of));
    line(
        "what",
        &format!("database '{}': {} tables, {}", plan.database, plan.tables, bytes(plan.bytes)),
    );
    line("to", &format!("database '{}' on {}", plan.into, plan.server));
    if let Some(aside) = &plan.aside {
        line(
            "aside",
            &format!(
                "the present one becomes '{aside}'; {} sessions in it are ended",
                plan.sessions
            ),
        );
    }
    match &plan.takes {
        Some(takes) => line("takes", &takes.to_string()),
        None => line("takes", "not known: no restore of a database was made and found right yet"),
    }
    ending(&mut line, &plan.roles_made, &plan.notes, &plan.obstacles, args.apply);
    say(&(out + &named(&plan.mark())))
}

/// What every plan ends with: what is made on the way, what is to be known, and what stands in the way.
pub(super) fn ending(
    line: &mut dyn FnMut(&str, &str),
    roles_made: &[String],
    notes: &[String],
    obstacles: &[String],
    apply: bool,
) {
    for role in roles_made {
        line("makes", &format!("role '{role}' (NOLOGIN, without a password)"));
    }
    for note in notes {
        line("note", note);
    }
    for obstacle in obstacles {
        line("in the way", obstacle);
    }
    if !apply {
        line("", ONLY_A_PLAN);
    }
}

/// What was done, how long each phase took, and what the checks found.
pub(super) fn outcome(record: &Record) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |what: &str, text: &str| {
        let _ = writeln!(out, "{what:<10} {}", clean(text));
    };
    let phases = record.phases.iter().map(|phase| format!("{} {:.1}s", phase.name, phase.seconds));
    line(
        "took",
        &format!("{} ({})", span(record.duration()), phases.collect::<Vec<_>>().join(", ")),
    );
    for unchecked in &record.unchecked {
        line("unchecked", unchecked);
    }
    for finding in &record.findings {
        line("WRONG", finding);
    }
    let verdict = if record.findings.is_empty() {
        "every check that was made found what was backed up"
    } else {
        "what came back is not what was backed up: see above"
    };
    line("verdict", verdict);
    line("record", &format!("{}.json in the repository's folder 'restores'", record.id));
    out
}
