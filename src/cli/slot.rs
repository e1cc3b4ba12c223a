//! `howdah slot`: replication slots and the WAL that they keep; dropping one that nobody uses.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Cli, Exit, Failure,
    aim::TargetArgs,
    restore::{ApplyArgs, ONLY_A_PLAN, agreed, confirm::confirm, json as as_json, named, recorded},
    say,
    seat::{ListArgs, Seat},
    second::SecondArgs,
    setup,
};
use crate::{
    base::{
        digest::mark,
        ledger::{Act, Target},
        text::{Text, nearest},
        units::bytes,
    },
    recover::{Fault, Kind},
    watch::server::space::{SLOTS, Slot, WAL},
};

/// Drops the slot `$1`, if nobody uses it and it still keeps WAL from `$2`. No row: then it is another one.
const DROP: &str = "
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name::text = $1 AND NOT active AND restart_lsn::text IS NOT DISTINCT FROM $2";

/// What can be done with slots.
#[derive(Debug, Subcommand)]
pub enum SlotCommand {
    /// List replication slots, those that keep most WAL first
    List(ListArgs),
    /// Drop a slot that nobody uses, so that its WAL may go; a plan unless told to --apply it
    Drop(DropArgs),
}

/// What `slot drop` takes.
#[derive(Args, Clone, Debug)]
pub struct DropArgs {
    /// The slot
    pub name: String,
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
    /// Who confirms beside the actor
    #[command(flatten)]
    pub second: SecondArgs,
}

/// Does one of them.
pub fn run(cli: &Cli, what: &SlotCommand) -> Result<Exit, Failure> {
    match what {
        SlotCommand::List(args) => list(cli, args),
        SlotCommand::Drop(args) => drop(cli, args),
    }
}

impl Seat {
    fn slots(&self) -> Result<Vec<Slot>, Failure> {
        let rows = self.session.query(SLOTS, &[])?;
        let read = rows.iter().map(Slot::of).collect::<Result<_, _>>();
        read.map_err(|error| Failure::new(Exit::Failure, error))
    }

    /// The size of the WAL folder; none where our role may not see it.
    fn wal(&self) -> Option<u64> {
        let row = self.session.one(WAL, &[]).ok()?;
        row.try_get::<_, Option<i64>>(0).ok().flatten().map(i64::unsigned_abs)
    }
}

fn list(cli: &Cli, args: &ListArgs) -> Result<Exit, Failure> {
    let seat = Seat::take(cli, args.target.as_deref())?;
    let slots = seat.slots()?;
    if args.json {
        let rows: Vec<_> = slots.iter().map(row).collect();
        let unused: Vec<_> = slots.iter().filter(|slot| !slot.active).map(row).collect();
        let document = json!({
            "target": seat.target, "slots": rows, "unused": unused, "wal_bytes": seat.wal(),
            "wal": seat.wal().map(bytes),
        });
        say(&as_json(&document)?)?;
    } else if slots.is_empty() {
        say("there is no replication slot\n")?;
    } else {
        say(&slots.iter().map(as_text).collect::<String>())?;
    }
    Ok(Exit::Ok)
}

fn row(slot: &Slot) -> serde_json::Value {
    let mut row = json!(slot);
    row["size"] = kept(slot).into();
    row
}

fn kept(slot: &Slot) -> String {
    slot.keeps.map_or_else(|| "—".to_owned(), |keeps| bytes(keeps.unsigned_abs()))
}

fn as_text(slot: &Slot) -> String {
    let used = match (slot.active, slot.active_pid) {
        (true, Some(pid)) => format!("in use by process {pid}"),
        (true, None) => "in use".to_owned(),
        (false, _) => "NOT IN USE".to_owned(),
    };
    let of = slot.database.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let status = slot.wal_status.as_ref().map_or("—", |status| status.as_str());
    let left = match slot.safe_wal_size {
        Some(left) => format!("lost after {} more", bytes(left.max(0).unsigned_abs())),
        None => "without a limit (max_slot_wal_keep_size)".to_owned(),
    };
    format!(
        "{:<20} {}{of}, {used}: keeps {} of WAL, {status}, {left}\n",
        slot.name,
        slot.kind,
        kept(slot)
    )
}

fn drop(cli: &Cli, args: &DropArgs) -> Result<Exit, Failure> {
    let seat = Seat::take(cli, args.target.as_deref())?;
    let slots = seat.slots()?;
    let known: Vec<String> = slots.iter().map(|slot| slot.name.to_string()).collect();
    let Some(slot) = slots.into_iter().find(|slot| *slot.name == *args.name) else {
        let near = nearest(&args.name, known.iter().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        let what = format!("there is no slot '{}'{hint}: nothing was touched", args.name);
        return Err(Failure::new(Exit::Refused, what));
    };
    if seat.read_only {
        let what = format!("the target '{}' is read_only: nothing was touched", seat.target);
        return Err(Failure::new(Exit::Refused, what));
    }
    if slot.active {
        let what = format!(
            "somebody reads from '{}' now: end that reader for good first, or it is cut off from what it needs; nothing was touched",
            slot.name
        );
        return Err(Failure::new(Exit::Refused, what));
    }
    let plan = mark(&json!([seat.target, slot.name, slot.kind, slot.restart_lsn, slot.active]));
    if !args.apply.apply {
        if args.apply.json {
            let document = json!({ "target": seat.target, "slot": row(&slot), "text": text(&slot).lines().collect::<Vec<_>>(), "plan": plan });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{}{ONLY_A_PLAN}\n{}", text(&slot), named(&plan)))?;
        }
        return Ok(Exit::Ok);
    }
    if !args.apply.json {
        say(&text(&slot))?;
    }
    agreed(args.apply.plan.as_deref(), &plan)?;
    confirm(&args.apply, &args.name)?;
    let second = args.second.agreed(cli, &setup::config(cli)?, args.target.as_deref(), None)?;
    let act = Act::new("slot.drop")
        .on(Target::new(seat.target.clone(), None))
        .with(json!({ "slot": slot, "second": second }));
    let act = match &args.apply.reason {
        Some(reason) => act.because(reason),
        None => act,
    };
    let before = seat.wal();
    let checkpointed = recorded(cli, act, || carry_out(&seat, &slot))?;
    let after = seat.wal();
    if args.apply.json {
        let freed = before.zip(after).map(|(before, after)| before.saturating_sub(after));
        let document = json!({
            "dropped": slot.name, "checkpoint": checkpointed, "wal_before": before, "wal_after": after,
            "freed_bytes": freed, "freed": freed.map(bytes),
        });
        say(&as_json(&document)?)?;
    } else {
        let size = |n: Option<u64>| n.map_or_else(|| "—".to_owned(), bytes);
        let then = if checkpointed { "" } else { "; the next checkpoint frees it" };
        say(&format!(
            "{} is gone; WAL folder {} -> {}{then}\n",
            slot.name,
            size(before),
            size(after)
        ))?;
    }
    Ok(Exit::Ok)
}

/// Drops that very slot. Whether a checkpoint, which removes the WAL, could be had.
fn carry_out(seat: &Seat, slot: &Slot) -> crate::recover::Result<bool> {
    let lsn = slot.restart_lsn.as_ref().map(Text::as_str);
    if seat.session.query(DROP, &[&slot.name.as_str(), &lsn])?.is_empty() {
        let what = "the slot is gone, moved on, or is in use by now: nothing was dropped";
        return Err(Fault::new(Kind::Refused, what));
    }
    // Superusers only, or members of pg_checkpoint from 15 on.
    Ok(seat.session.run("CHECKPOINT").is_ok())
}

fn text(slot: &Slot) -> String {
    let mut out = format!("slot       {}", as_text(slot));
    out += "effect     whoever read from it cannot go on: a standby has to be made anew, a subscription copied again\n";
    out += &format!("frees      up to {} of WAL, with the checkpoint that follows\n", kept(slot));
    out + "NO UNDO\n"
}
