//! `howdah backup`: taking, listing, expiring and scheduling backups.

mod args;
mod list;
mod schedule;

use std::{fmt::Write as _, io::IsTerminal as _, path::PathBuf};

use serde_json::json;

use super::{
    Cli, Exit, Failure,
    place::{self, Place},
    record::recorded_with,
    restore::{ONLY_A_PLAN, agreed, named},
    say, setup, work,
};
use crate::{
    base::{
        clock::Clock,
        config::Config,
        digest::mark,
        ledger::{Act, Target},
        text::Text,
        units,
    },
    recover::{
        backup::{self, Compressor, Kinds, Request, Wish},
        retention::{self, Plan, Policy},
    },
};

pub use args::BackupArgs;
use args::{BackupCommand, ExpireArgs, RunArgs, Side};

/// Takes a backup, or does what the subcommand says.
pub fn run(cli: &Cli, options: &BackupArgs) -> Result<Exit, Failure> {
    match &options.command {
        None => take(cli, &options.run),
        Some(BackupCommand::Run(options)) => take(cli, options),
        Some(BackupCommand::List(options)) => list::run(cli, options),
        Some(BackupCommand::Expire(options)) => expire(cli, options),
        Some(BackupCommand::Schedule(options)) => schedule::run(cli, options),
    }
}

fn take(cli: &Cli, options: &RunArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let Place { settings, repository, frame } = place::place(&config, &options.place)?;
    let request = request(&config, options)?;
    let observer = work::observer(cli, options.quiet)?;
    let act = Act::new("backup.run").on(Target::new(frame.target.name.clone(), None)).with(
        json!({ "repository": repository.storage().describe(), "physical": options.physical }),
    );
    let manifest = recorded_with(cli, act, || {
        let manifest = backup::take(&request, &settings, &repository, &*observer)?;
        let system: Text = manifest.cluster.system_identifier.to_string().into();
        let details = json!({
            "backup": manifest.id,
            "bytes": manifest.stored_size(),
            "system_identifier": system,
        });
        Ok((manifest, details))
    })?;
    // Cron mails every word.
    if !options.quiet && std::io::stdout().is_terminal() {
        say(&format!(
            "{}  {} in {}, {} unpacked\n",
            manifest.id,
            units::bytes(manifest.stored_size()),
            units::span(manifest.duration()),
            units::bytes(manifest.content_size()),
        ))?;
    }
    Ok(Exit::Ok)
}

fn request(config: &Config, options: &RunArgs) -> Result<Request, Failure> {
    let kind = if options.physical {
        let side = options.compress.map(|side| side == Side::Server);
        let compressor = if side.unwrap_or(config.server_compresses) {
            Compressor::Server
        } else {
            Compressor::Client
        };
        Kinds::Physical { spread: options.spread, spool: spool(options)?, compressor }
    } else {
        let wish = if options.all { Wish::All } else { Wish::Database(options.database.clone()) };
        Kinds::Logical { wish, counts: !options.no_counts }
    };
    Ok(Request { kind, break_lock: options.break_lock })
}

/// The spool folder as an absolute path: tools run elsewhere.
fn spool(options: &RunArgs) -> Result<Option<PathBuf>, Failure> {
    let absolute = |folder: &PathBuf| {
        std::path::absolute(folder).map_err(|error| {
            Failure::new(Exit::Usage, format!("--spool '{}': {error}", folder.display()))
        })
    };
    options.spool.as_ref().map(absolute).transpose()
}

/// Prints what would go and why the rest stays; does it with `--apply`.
fn expire(cli: &Cli, options: &ExpireArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let repository = place::repository(&config, &options.place)?;
    let policy = Policy { days: options.keep_days, at_least: options.keep_at_least };
    let planned = retention::plan_for(&repository, policy, Clock::system().wall())?;
    let mark = mark_of(&planned);
    let plan = if options.apply {
        agreed(options.plan.as_deref(), &mark)?;
        let (target, kept_as) = (options.place.target.as_deref(), options.place.name.as_deref());
        let second = options.second.agreed(cli, &config, target, kept_as)?;
        let observer = work::observer(cli, options.quiet)?;
        let act = Act::new("backup.expire")
            .on(Target::new(repository.target().as_str(), None))
            .with(json!({ "keep_days": policy.days, "keep_at_least": policy.at_least, "second": second }));
        recorded_with(cli, act, || {
            let plan = retention::apply(&repository, policy, options.break_lock, &*observer)?;
            let gone: Vec<_> = plan.going().map(|item| item.id.clone()).collect();
            let details = json!({ "removed": gone, "wal_files": plan.wal.len() });
            Ok((plan, details))
        })?
    } else {
        planned
    };
    if !(options.apply && options.quiet) {
        say(&told(&plan, options.apply))?;
    }
    if !options.apply {
        say(&named(&mark))?;
    }
    Ok(Exit::Ok)
}

/// By what goes: the backups, and the place up to which WAL does.
fn mark_of(plan: &Plan) -> String {
    let going: Vec<_> = plan.going().map(|item| &item.id).collect();
    mark(&json!([going, plan.wal_needed_from.map(|need| need.from.to_string())]))
}

fn told(plan: &Plan, applied: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for item in &plan.items {
        let _ = match item.stays {
            Some(why) => writeln!(out, "stays  {}  {why}", item.id),
            None => writeln!(out, "goes   {}  {}", item.id, units::bytes(item.size)),
        };
    }
    let _ = match plan.wal_needed_from {
        Some(from) => writeln!(out, "WAL    {} files before {from} go", plan.wal.len()),
        None => writeln!(out, "WAL    none goes: which is needed is not known"),
    };
    let freed = units::bytes(plan.freed());
    let _ = if applied {
        writeln!(out, "{freed} freed")
    } else {
        writeln!(out, "{freed} would be freed\n{ONLY_A_PLAN}")
    };
    out
}
