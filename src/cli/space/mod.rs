//! `howdah space`: where a server's room goes, who keeps it, and the safest first act.

mod disks;
mod look;
mod verdict;

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use self::{
    disks::{Disk, Disks},
    look::{Seen, Space},
    verdict::Holder,
};
use super::{Cli, Exit, Failure, aim::TargetArgs, restore::json as as_json, say, setup, target};
use crate::{base::units::bytes, recover::session::Session, resilience::connect::is_here};

/// What is said when nobody keeps more than they should.
const NOTHING: &str = "nothing out of the ordinary: it is the data itself";

/// What `space` takes.
#[derive(Args, Clone, Debug)]
pub struct SpaceArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints it.
pub fn run(cli: &Cli, args: &SpaceArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let plan = target::plan(&config, args.target.as_deref())?;
    let session = Session::open(&plan.settings)?;
    let space = look::look(&session)?;
    let here = setup::runtime()?.block_on(is_here(session.host()));
    let own = super::disks::of_target(&config, args.target.as_deref(), &plan.settings).own();
    let disks = disks::of(here, &space, &own);
    let holders = verdict::holders(&space, plan.frame.target.name.as_str());
    let fullest = disks.all.first().filter(|disk| disk.server);
    if args.json {
        let document = json!({
            "target": plan.frame.target.name,
            "disks": rows(&disks),
            "disks_unknown": disks.unseen,
            "fullest": fullest,
            "in_words": {
                "free": fullest.map(|disk| disk.room.clone()),
                "wal": space.wal.value().map(|wal| bytes(wal.bytes)),
                "archiver": space.archiver.value().map(|archiver| bytes(archiver.bytes)),
                "temporary": space.temporary.value().map(|files| bytes(files.bytes)),
                "logs": space.logs.value().map(|logs| bytes(logs.bytes)),
                "largest": space.tables.first().map(|table| format!("{}: {}", table.name, bytes(table.bytes))),
            },
            "space": space,
            "holders": holders,
            "first": holders.first().map_or_else(
                || json!({ "what": NOTHING, "act": "more room, or less data" }),
                |holder| json!(holder),
            ),
        });
        say(&as_json(&document)?)?;
    } else {
        say(&text(&space, &disks, &holders))?;
    }
    Ok(Exit::Ok)
}

/// The disks as JSON; where the server's cannot be seen, a line of theirs says so.
fn rows(disks: &Disks) -> Vec<serde_json::Value> {
    let unseen = disks
        .unseen
        .iter()
        .map(|why| json!({ "name": "data", "server": true, "room": format!("— {why}") }));
    unseen.chain(disks.all.iter().map(|disk| json!(disk))).collect()
}

fn text(space: &Space, disks: &Disks, holders: &[Holder]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    if let Some(why) = &disks.unseen {
        let _ = writeln!(out, "disk       — {why}");
    }
    for Disk { free, size, used_percent, holds, .. } in &disks.all {
        let (free, size, holds) = (bytes(*free), bytes(*size), holds.join(", "));
        let _ = writeln!(out, "disk       {free} free of {size} ({used_percent} % used): {holds}");
    }
    let mut part = |label: &str, seen: String| {
        let _ = writeln!(out, "{label:<10} {seen}");
    };
    part(
        "WAL",
        space.wal.words(|wal| {
            format!("{} in {} files (max_wal_size {})", bytes(wal.bytes), wal.files, bytes(wal.max))
        }),
    );
    part(
        "archiver",
        space.archiver.words(|archiver| {
            let failing = if archiver.failing { ", FAILING" } else { "" };
            format!("{} segments wait, {}{failing}", archiver.waiting, bytes(archiver.bytes))
        }),
    );
    part(
        "temporary",
        space.temporary.words(|files| format!("{} in {} files", bytes(files.bytes), files.files)),
    );
    part(
        "logs",
        space.logs.words(|logs| {
            format!(
                "{} in {} files, {} older than a week",
                bytes(logs.bytes),
                logs.files,
                bytes(logs.old)
            )
        }),
    );
    for slot in &space.slots {
        let kept = slot.keeps.map_or_else(|| "—".to_owned(), |n| bytes(n.unsigned_abs()));
        let active = if slot.active { "in use" } else { "NOT IN USE" };
        let status = slot.wal_status.as_ref().map_or("—", |status| status.as_str());
        let _ = writeln!(
            out,
            "slot       {} ({}, {active}): keeps {kept} of WAL, {status}",
            slot.name, slot.kind
        );
    }
    for one in &space.databases {
        let size = one.bytes.map_or_else(|| "—".to_owned(), bytes);
        let _ = writeln!(out, "database   {}: {size}", one.name);
    }
    for one in &space.tables {
        let dead =
            one.dead.map_or_else(String::new, |share| format!(", {share} % of its rows are dead"));
        let _ = writeln!(out, "table      {}: {}{dead}", one.name, bytes(one.bytes));
    }
    if holders.is_empty() {
        let _ = writeln!(out, "holds      {NOTHING}");
    }
    for holder in holders {
        let _ =
            writeln!(out, "holds      {}: {}\n           {}", holder.what, holder.size, holder.act);
    }
    let _ = writeln!(out, "never      remove files from pg_wal by hand: that loses the cluster");
    out
}

impl<T> Seen<T> {
    fn words(&self, say: impl FnOnce(&T) -> String) -> String {
        match self {
            Self::Is(value) => say(value),
            Self::Blind(why) => format!("— {why}"),
        }
    }
}
