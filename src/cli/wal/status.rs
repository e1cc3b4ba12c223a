//! `howdah wal status`: the archive beside the server.

use std::fmt::Write as _;

use serde_json::json;

use super::{Cli, Exit, Failure, args::StatusArgs, verify};
use crate::{
    base::units,
    cli::{place, say, setup},
    recover::{
        repository::manifest::lsn,
        session::Session,
        wal::{
            chain,
            status::{self, Status},
        },
    },
};

/// Compares, and says so; exits with 1 when something stands in the way of archiving, or is missing.
pub fn run(cli: &Cli, args: &StatusArgs) -> Result<Exit, Failure> {
    let place = place::place(&setup::config(cli)?, &args.place)?;
    let session = Session::open(&place.settings)?;
    let status = status::status(&place.repository, &session)?;
    say(&if args.json { as_json(&status) } else { as_text(&status, place.frame.rpo_target) })?;
    Ok(if status.sound() { Exit::Ok } else { Exit::Failure })
}

fn as_text(status: &Status, target: std::time::Duration) -> String {
    let Status { server, chain, exposed, .. } = status;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "server    {} on timeline {}", lsn(server.position), server.timeline);
    let _ = writeln!(out, "archived  {}", status.safe_text());
    match exposed {
        None => out.push_str("RPO       —: nothing of this timeline is archived\n"),
        Some(exposed) => {
            let loss = exposed.at_most.map_or_else(
                || "— (no commit in the last archived segment tells)".to_owned(),
                |loss| format!("at most {} of {}", units::age(loss), units::age(target)),
            );
            let _ = writeln!(out, "RPO       {loss}, {} bytes", exposed.bytes);
        }
    }
    let waiting = server.waiting.map_or_else(|| "—".to_owned(), |count| count.to_string());
    let _ = writeln!(
        out,
        "queue     {waiting} waiting, {} archived, {} attempts failed",
        server.archived, server.failed
    );
    if server.mode.as_str() == "off" {
        out.push_str("archive_mode is off: nothing is archived\n");
    }
    if let Some(file) = &server.failing {
        let _ = writeln!(out, "{file} cannot be archived: the server's log says why");
    }
    for line in verify::stretches(chain) {
        let _ = writeln!(out, "{line}");
    }
    for gap in chain.gaps() {
        let _ = writeln!(out, "{}; lost: {gap}", chain::named(&gap, chain.segment_size));
    }
    for (_, what) in chain.unexpected() {
        let _ = writeln!(out, "{what}");
    }
    out
}

fn as_json(status: &Status) -> String {
    let Status { server, chain, exposed, safe } = status;
    let document = json!({
        "server": {
            "position": lsn(server.position),
            "timeline": server.timeline,
            "now": server.now,
            "archive_mode": server.mode,
            "archived": server.archived,
            "failed": server.failed,
            "failing": server.failing,
            "waiting": server.waiting,
        },
        "archived_to": safe.map(lsn),
        "rpo_bytes": exposed.as_ref().map(|exposed| exposed.bytes),
        "rpo_seconds": exposed.as_ref().and_then(|e| e.at_most).map(|loss| loss.as_secs()),
        "ranges": verify::chain_json(chain),
        "gaps": chain.gaps().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unexpected": chain.unexpected().iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        "sound": status.sound(),
    });
    format!("{document}\n")
}
