//! `howdah pgbouncer list`.

use serde_json::{Value, json};

use super::{
    Cli, Exit, Failure, ListArgs,
    door::{Door, Lease, fault},
};
use crate::{
    base::units,
    cli::{restore::json as as_json, say},
    watch::sources::pgbouncer::admin::Database,
};

/// Prints its databases.
pub(super) fn run(cli: &Cli, args: &ListArgs) -> Result<Exit, Failure> {
    let door = Door::of(cli, args.target.as_deref())?;
    let told = door.look().map_err(fault)?;
    let mut rows = Vec::new();
    let wanted = |one: &Database| args.only.as_ref().is_none_or(|only| *one.name == **only);
    for database in told.databases.into_iter().filter(wanted) {
        let lease = door.lease(&database.name)?.map(|(_, lease)| lease);
        rows.push((database, lease));
    }
    if args.json {
        let document = json!({
            "target": door.target,
            "address": door.address(),
            "query_wait_timeout": told.patience.map(|patience| patience.as_secs_f64()),
            "paused": rows.iter().filter(|(database, _)| database.paused).count(),
            "databases": rows.iter().map(|(database, lease)| row(database, lease.as_ref())).collect::<Vec<_>>(),
        });
        say(&as_json(&document)?)?;
    } else {
        say(&rows.iter().map(|(one, lease)| as_text(one, lease.as_ref())).collect::<String>())?;
    }
    Ok(Exit::Ok)
}

fn row(database: &Database, lease: Option<&Lease>) -> Value {
    let mut row = json!(database);
    row["state"] = state(database).into();
    row["lease"] = json!(lease);
    // That nobody holds it is as much a fact as who does.
    row["held"] = match lease {
        Some(Lease { left, by, .. }) => format!("held by {by}, for another {left}"),
        None => "held by nobody".to_owned(),
    }
    .into();
    row
}

const fn state(database: &Database) -> &'static str {
    match (database.paused, database.disabled) {
        (true, true) => "paused, disabled",
        (true, false) => "paused",
        (false, true) => "disabled",
        (false, false) => "served",
    }
}

/// A database in one line or two.
pub(super) fn as_text(database: &Database, lease: Option<&Lease>) -> String {
    let longest = match database.longest_wait {
        0 => String::new(),
        seconds => {
            format!(", the first for {}", units::age(std::time::Duration::from_secs(seconds)))
        }
    };
    let mut out = format!(
        "{:<16} {}: {} clients served, {} wait{longest}; {} server connections at work\n",
        database.name,
        state(database),
        database.active,
        database.waiting,
        database.working,
    );
    match lease {
        Some(Lease { left, by, why, job, .. }) => {
            let why = why.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
            out += &format!(
                "                 RESUME by itself in {left}; held by {by}{why} (job {job})\n"
            );
        }
        None if database.paused => {
            out += "                 no lease holds this pause: it lasts until somebody RESUMEs\n";
        }
        None => {}
    }
    out
}
