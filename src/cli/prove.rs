//! `howdah prove`: the newest backup is restored, looked at, measured, and the proof is kept. For cron.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Cli, Exit, Failure,
    args::PlaceArgs,
    place,
    record::recorded_with,
    restore::cluster::{WalArgs, archive, pick, program},
    say, setup, work,
};
use crate::{
    base::ledger::{self, Act},
    recover::{
        Fault, Repository,
        checkup::{self, Check, Verdict as Seen},
        drill::{Drill, drift},
        physical::Target,
        proof::{Proof, Verdict},
        repository::manifest::{Level, Manifest, Method},
    },
};

/// What `prove` takes.
#[derive(Args, Clone, Debug)]
pub struct ProveArgs {
    /// Which target, and where its backups are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The backup: its name, or `newest`: the newest physical one, or the newest of all where there is none
    #[arg(long, value_name = "ID", default_value = "newest")]
    pub backup: String,
    /// The newest logical one: its roles and databases go into a fresh cluster
    #[arg(long, conflicts_with = "backup")]
    pub logical: bool,
    /// Where the WAL is
    #[command(flatten)]
    pub wal: WalArgs,
    /// SQL run in what was restored: each statement returns no row, or one truth value, true
    #[arg(long = "assert", value_name = "FILE")]
    pub assertions: Option<PathBuf>,
    /// Leave the scratch cluster running, and tell how to reach it
    #[arg(long)]
    pub keep: bool,
    /// Print the proof as JSON
    #[arg(long, conflicts_with = "verbose")]
    pub json: bool,
    /// Print the proof even when nothing is wrong
    #[arg(long, short)]
    pub verbose: bool,
}

/// Makes a proof. 0: proven, 1: failed, 2: proven and a target missed, 65: damaged.
pub fn run(cli: &Cli, args: &ProveArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let repository = place::repository(&config, &args.place)?;
    let archive = archive(&config, &args.place, &args.wal, &repository)?;
    let manifest = choose(&repository, args)?;
    let assertions = args.assertions.as_deref().map(checkup::assertions::read).transpose()?;
    let (rpo_target, rto_target) = place::promises(&config, &args.place);
    let observer = work::observer(cli, false)?;
    let drill = Drill {
        repository: &repository,
        archive: &*archive,
        manifest: &manifest,
        target: Target::Latest,
        timeline: args.wal.timeline,
        program: &program()?,
        keep: args.keep,
        assertions: assertions.as_deref(),
        rto_target,
        rpo_target,
        upto: Level::L5,
    };
    // A proof raises the backup's level, and stays in the repository.
    let act = Act::new("backup.prove")
        .on(ledger::Target::new(repository.target().as_str(), None))
        .with(json!({ "repository": repository.storage().describe(), "backup": manifest.id }));
    let (proof, kept) = recorded_with(cli, act, || {
        let (proof, kept) = drill.run(&*observer)?;
        let details = json!({
            "backup": proof.backup,
            "verdict": proof.verdict,
            "level": proof.level,
            "rto_seconds": proof.rto.as_ref().map(|rto| rto.caught_up),
            "kept": kept.as_ref().map(|kept| &kept.folder),
        });
        Ok(((proof, kept), details))
    })?;
    say(&words(args, &proof)?)?;
    if let Some(kept) = kept {
        let folder = kept.folder.display();
        say(&format!(
            "kept: psql '{}'\nremove it: howdah restore discard '{folder}'\n",
            kept.conninfo
        ))?;
    }
    Ok(match proof.verdict {
        Verdict::Proven => Exit::Ok,
        Verdict::Failed => Exit::Failure,
        Verdict::TargetMissed => Exit::Critical,
        Verdict::Damaged => Exit::Damaged,
    })
}

fn choose(repository: &Repository, args: &ProveArgs) -> Result<Manifest, Failure> {
    let of = |method: Method| {
        let entries = repository.backups()?;
        let manifests = entries.iter().rev().filter_map(|entry| entry.manifest());
        Ok::<_, Fault>(manifests.into_iter().find(|m| m.method == method).cloned())
    };
    if args.logical {
        return of(Method::Logical)?.ok_or_else(|| {
            Failure::new(Exit::Unavailable, "there is no logical backup; `howdah backup` takes one")
        });
    }
    if args.backup == "newest"
        && of(Method::Physical)?.is_none()
        && let Some(logical) = of(Method::Logical)?
    {
        return Ok(logical);
    }
    pick(repository, &args.backup, &Target::Latest)
}

/// Silence when nothing is wrong and nothing is to be looked at: cron mails every word.
fn words(args: &ProveArgs, proof: &Proof) -> Result<String, Failure> {
    if args.json {
        let text = serde_json::to_string_pretty(proof);
        return text.map(|text| text + "\n").map_err(|error| Failure::new(Exit::Failure, error));
    }
    // Fewer rows than before may be right; somebody should see it.
    let noted = |check: &Check| check.name == drift::NAME && check.verdict == Seen::Noted;
    let quiet =
        proof.verdict == Verdict::Proven && !args.verbose && !proof.checks.iter().any(noted);
    Ok(if quiet { String::new() } else { proof.markdown() })
}
