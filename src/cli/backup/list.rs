//! `howdah backup list`: what the repository has, and what failed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::args::ListArgs;

use crate::{
    base::{
        text::{Text, fit},
        units,
    },
    cli::{Cli, Exit, Failure, place, say, setup},
    recover::repository::{
        catalogue::{Entry, State},
        manifest::Manifest,
    },
};

/// Prints the catalogue, oldest first.
pub(super) fn run(cli: &Cli, options: &ListArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let repository = place::repository(&config, &options.place)?;
    let entries = repository.backups()?;
    if options.json {
        let all: Vec<Value> = entries.iter().map(as_json).collect();
        say(&format!("{}\n", Value::from(all)))?;
    } else if entries.is_empty() {
        say("no backups\n")?;
    } else {
        say(&table(&entries))?;
    }
    Ok(Exit::Ok)
}

fn table(entries: &[Entry]) -> String {
    let mut out = format!("{:<26} {:>9} {:>9} {:<5} WHAT\n", "BACKUP", "TOOK", "SIZE", "LEVEL");
    for entry in entries {
        let (took, size, level, what) = match &entry.state {
            State::Complete { manifest, verified } => {
                let wrong = verified.as_ref().map_or(0, |v| v.findings.len());
                let level = entry.level().map_or_else(|| "—".to_owned(), |l| l.to_string());
                let what = match wrong {
                    0 => holds(manifest),
                    _ => format!("DAMAGED: {wrong} findings, see `howdah verify {}`", entry.id),
                };
                let took = units::span(manifest.duration());
                (took, units::bytes(manifest.stored_size()), level, what)
            }
            State::Failed(failed) => {
                let word = if failed.cancelled { "CANCELLED" } else { "FAILED" };
                let what = format!("{word} at {}: {}", failed.step, failed.why);
                ("—".to_owned(), "—".to_owned(), "—".to_owned(), what)
            }
            State::Unfinished => {
                ("—".into(), "—".into(), "—".into(), "unfinished: it runs, or was killed".into())
            }
            State::Damaged(fault) => {
                ("—".into(), "—".into(), "—".into(), format!("DAMAGED: {}", fault.what()))
            }
        };
        let what = Text::one_line(&what);
        let what = fit(&what, 160, "…");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<26} {took:>9} {size:>9} {level:<5} {what}", entry.id);
    }
    out
}

fn holds(manifest: &Manifest) -> String {
    let names: Vec<&str> =
        manifest.inventory.databases.iter().map(|database| database.name.as_str()).collect();
    match &manifest.wal {
        Some(wal) => format!(
            "timeline {}, WAL from {}",
            wal.timeline,
            crate::recover::repository::manifest::lsn(wal.start)
        ),
        None => names.join(", "),
    }
}

fn as_json(entry: &Entry) -> Value {
    let mut value = json!({ "id": entry.id });
    let more = match &entry.state {
        State::Complete { manifest, verified } => json!({
            "state": "complete",
            "method": manifest.method,
            "began": manifest.began,
            "ended": manifest.ended,
            "seconds": manifest.duration().as_secs_f64(),
            "size": manifest.stored_size(),
            "content_size": manifest.content_size(),
            "level": entry.level(),
            "verified": verified,
            "wal": manifest.wal,
        }),
        State::Failed(failed) => json!({
            "state": if failed.cancelled { "cancelled" } else { "failed" },
            "method": failed.method,
            "began": failed.began,
            "ended": failed.ended,
            "step": failed.step,
            "why": failed.why,
            "verified": null,
        }),
        State::Unfinished => json!({ "state": "unfinished", "verified": null }),
        State::Damaged(fault) => {
            json!({ "state": "damaged", "why": fault.what(), "verified": null })
        }
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
