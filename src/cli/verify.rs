//! `howdah verify`: raising a backup's level of proof.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{
    Cli, Exit, Failure,
    args::PlaceArgs,
    place,
    record::recorded_with,
    restore::cluster::{WalArgs, archive, program},
    say, setup, work,
};
use crate::{
    base::{
        config::Config,
        ledger::{Act, Target},
        text::Text,
    },
    recover::{
        Fault, Kind, Repository,
        drill::rungs::{Rehearsal, with_drill},
        inspection,
        repository::manifest::{BackupId, Level, Verification},
        verify::{Verifier, wal::Wal},
    },
};

/// What `verify` takes.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// The backup [default: the newest]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Of what, and where
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The newest one
    #[arg(long, conflicts_with = "id")]
    pub newest: bool,
    /// Every whole backup, and every record beside them
    #[arg(long, conflicts_with_all = ["id", "newest"])]
    pub all: bool,
    /// How far: L1 hashes, L2 what is in the files, L3 the WAL that leads on, L4 restored into a scratch
    /// cluster and started, L5 everything in it looked at, as `howdah prove` does [default: L2]
    #[arg(long, value_parser = level)]
    pub level: Option<Level>,
    /// Where the WAL is
    #[command(flatten)]
    pub wal: WalArgs,
    /// Say nothing unless something is wrong
    #[arg(long, short)]
    pub quiet: bool,
}

/// Verifies one backup. What is found wrong is printed, kept, and told by the exit code.
pub fn run(cli: &Cli, options: &VerifyArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let repository = place::repository(&config, &options.place)?;
    if options.all {
        return everything(cli, options, &config, &repository);
    }
    let id = match &options.id {
        Some(name) => name.parse()?,
        None => newest(&repository)?,
    };
    let observer = work::observer(cli, options.quiet)?;
    let level = options.level.unwrap_or(Level::L2);
    let act = Act::new("backup.verify")
        .on(Target::new(repository.target().as_str(), None))
        .with(json!({ "backup": id, "level": level }));
    let verifier = verifier(&config, options, &repository, level)?;
    let verification = recorded_with(cli, act, || {
        let found = verifier.verify(&repository, &id, level, &*observer)?;
        let details = json!({ "backup": id, "reached": found.reached, "findings": found.findings });
        Ok((found, details))
    })?;
    let sound = verification.findings.is_empty();
    if !(sound && options.quiet) {
        say(&report(&verification))?;
    }
    Ok(if sound { Exit::Ok } else { Exit::Damaged })
}

/// Verifies all that is kept.
fn everything(
    cli: &Cli,
    options: &VerifyArgs,
    config: &Config,
    repository: &Repository,
) -> Result<Exit, Failure> {
    let observer = work::observer(cli, options.quiet)?;
    let level = options.level.unwrap_or(Level::L2);
    let act = Act::new("backup.verify")
        .on(Target::new(repository.target().as_str(), None))
        .with(json!({ "backup": "all", "level": level }));
    let verifier = verifier(config, options, repository, level)?;
    let found = recorded_with(cli, act, || {
        let found = inspection::everything(repository, &verifier, level, &*observer)?;
        let wrong: Vec<_> = found.backups.iter().filter(|v| !v.findings.is_empty()).collect();
        let details = json!({
            "backups": found.backups.len(),
            "damaged": wrong.iter().map(|v| &v.id).collect::<Vec<_>>(),
            "findings": found.findings,
        });
        Ok((found, details))
    })?;
    if !(found.sound() && options.quiet) {
        let mut out: String = found.backups.iter().map(report).collect();
        for finding in &found.findings {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", Text::one_line(finding));
        }
        say(&out)?;
    }
    Ok(if found.sound() { Exit::Ok } else { Exit::Damaged })
}

/// With the rungs that a level needs.
fn verifier(
    config: &Config,
    options: &VerifyArgs,
    repository: &Repository,
    level: Level,
) -> Result<Verifier, Failure> {
    let verifier = Verifier::following(Wal { folder: options.wal.wal_folder.clone() });
    if level < Level::L4 {
        return Ok(verifier);
    }
    let (rpo_target, rto_target) = place::promises(config, &options.place);
    let archive = archive(config, &options.place, &options.wal, repository)?;
    let timeline = options.wal.timeline;
    let rehearsal = Rehearsal { archive, timeline, program: program()?, rto_target, rpo_target };
    Ok(with_drill(verifier, rehearsal, level))
}

/// The newest whole backup.
fn newest(repository: &Repository) -> Result<BackupId, Fault> {
    let mut entries = repository.backups()?;
    entries.retain(|entry| entry.manifest().is_some());
    let newest = entries.into_iter().max_by_key(|entry| entry.manifest().map(|m| m.began));
    newest.map(|entry| entry.id).ok_or_else(|| {
        Fault::new(Kind::Unavailable, "there is no whole backup to verify")
            .remedy("`howdah backup` takes one")
    })
}

fn level(text: &str) -> Result<Level, String> {
    let all = [Level::L1, Level::L2, Level::L3, Level::L4, Level::L5];
    all.into_iter()
        .find(|level| level.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| "a level is expected: L1 to L5".to_owned())
}

fn report(verification: &Verification) -> String {
    let reached = verification.reached.map_or_else(|| "—".to_owned(), |level| level.to_string());
    let (id, asked) = (&verification.id, verification.asked);
    let mut out = if verification.findings.is_empty() {
        format!("{id}: {reached}\n")
    } else {
        format!("{id}: {reached} of {asked}, {} findings\n", verification.findings.len())
    };
    for finding in &verification.findings {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {}", Text::one_line(finding));
    }
    out
}
