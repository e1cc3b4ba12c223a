//! `howdah wal find`: who removed the table, and how to come back to just before.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Cli, Exit, Failure, args::FindArgs};
use crate::{
    base::{cancel::Cancel, exec::Tool, progress::Silent, text::Text},
    cli::say,
    recover::{
        Fault,
        repository::manifest::lsn,
        wal::{
            Archive,
            find::{self, Blast, Candidate, Found, Known, Search},
        },
    },
};

/// Searches, and prints the candidates, newest first; exits with 1 when there is none.
pub fn run(cli: &Cli, args: &FindArgs) -> Result<Exit, Failure> {
    let repository = super::repository(cli, &args.place)?;
    let (blast, table) = match (&args.dropped, &args.truncated, &args.deleted) {
        (Some(table), ..) => (Blast::Dropped, table),
        (_, Some(table), _) => (Blast::Truncated, table),
        (_, _, Some(table)) => (Blast::Deleted { at_least: args.at_least }, table),
        (None, None, None) => return Err(Failure::new(Exit::Usage, "no table is named")),
    };
    let files = match &args.file {
        Some(file) => vec![Known { file: file.parse()?, label: table.as_str().into() }],
        None => find::files_of(&repository, table, args.database.as_deref())?,
    };
    let search = Search { blast, files, since: args.since, until: args.until };
    let cancel = Cancel::on_signals().map_err(Fault::io("cannot listen for signals"))?;
    let found = find::find(&Archive::Repository(repository), &search, &Silent::new(cancel))?;
    say(&if args.json { as_json(&found, args) } else { as_text(&found, args, blast) })?;
    Ok(if found.candidates.is_empty() { Exit::Failure } else { Exit::Ok })
}

fn as_text(found: &Found, args: &FindArgs, blast: Blast) -> String {
    let word = match blast {
        Blast::Dropped => "dropped",
        Blast::Truncated => "truncated",
        Blast::Deleted { .. } => "deleted from",
    };
    let mut out = String::new();
    // Writing to a string cannot fail.
    for candidate in &found.candidates {
        let rows = candidate.rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
        let _ = write!(out, "{word} {}{rows}: transaction {}", candidate.table, candidate.top);
        if candidate.xid != candidate.top {
            let _ = write!(out, " (in subtransaction {})", candidate.xid);
        }
        match &candidate.ended {
            Some(ended) => {
                let at = ended.at.strftime("%Y-%m-%d %H:%M:%S%.6fZ");
                let _ = writeln!(out, ", committed {at} at {}", lsn(ended.lsn));
            }
            None => {
                let _ = writeln!(
                    out,
                    ", never ended in this archive: it runs still, or took no effect"
                );
            }
        }
        if !candidate.certain {
            let _ = writeln!(
                out,
                "  or the table was only written anew (VACUUM FULL, ALTER TABLE): WAL does not tell"
            );
        }
        if let Some(command) = command(candidate, args) {
            let _ = writeln!(out, "  {command}");
        }
    }
    if found.candidates.is_empty() {
        let _ = writeln!(out, "nothing of that kind in {} segments", found.segments);
    }
    for broken in &found.broken {
        let _ = writeln!(out, "not everything could be read: {broken}");
    }
    out
}

/// The command that brings everything back to just before.
fn command(candidate: &Candidate, args: &FindArgs) -> Option<Text> {
    let ended = candidate.ended.as_ref()?;
    let mut tool = Tool::new("howdah").args(["restore", "cluster"]);
    for (option, value) in [
        ("--target", &*args.place.target),
        ("--repository", &args.place.repository),
        ("--name", &args.place.name),
    ] {
        if let Some(value) = value {
            tool = tool.args([option, value]);
        }
    }
    Some(tool.args(["--to-lsn", &lsn(ended.before)]).command_line())
}

fn as_json(found: &Found, args: &FindArgs) -> String {
    let candidates: Vec<Value> = found
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "table": candidate.table,
                "transaction": candidate.top,
                "by": candidate.xid,
                "committed": candidate.ended.map(|ended| ended.at),
                "lsn": candidate.ended.map(|ended| lsn(ended.lsn)),
                "to_lsn": candidate.ended.map(|ended| lsn(ended.before)),
                "rows": candidate.rows,
                "timeline": candidate.timeline,
                "certain": candidate.certain,
                "command": command(candidate, args),
            })
        })
        .collect();
    let document = json!({
        "candidates": candidates,
        "segments": found.segments,
        "bytes": found.bytes,
        "broken": found.broken,
    });
    format!("{document}\n")
}
