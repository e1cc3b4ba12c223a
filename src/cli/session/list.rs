//! `howdah session list` and `blocked`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Cli, Exit, Failure, ListArgs, Seat};
use crate::{
    base::{text::fit, units},
    cli::{restore::json as as_json, say},
    watch::server::sessions::Sitting,
};

/// Characters of a statement that stand in a line.
const LINE: usize = 60;
/// Of those with the oldest transactions so many stand in the JSON once more.
const OLDEST: usize = 9;

/// Prints them, or only who waits and who is waited for.
pub(super) fn run(cli: &Cli, args: &ListArgs, blocked: bool) -> Result<Exit, Failure> {
    let seat = Seat::take(cli, args.target.as_deref())?;
    let mut sittings = seat.sittings()?;
    if blocked {
        sittings.retain(|sitting| sitting.blocks > 0 || !sitting.blocked_by.is_empty());
    }
    if args.json {
        let mut document = document(&seat.target, &sittings);
        document["server_clock"] = json!(seat.session.clock()?);
        say(&as_json(&document)?)?;
    } else if sittings.is_empty() {
        say(if blocked { "nobody waits for a lock\n" } else { "nobody is connected\n" })?;
    } else {
        say(&sittings.iter().map(as_text).collect::<String>())?;
    }
    Ok(Exit::Ok)
}

fn document(target: &str, sittings: &[Sitting]) -> Value {
    let count = |is: &dyn Fn(&Sitting) -> bool| sittings.iter().filter(|s| is(s)).count();
    let in_state = |word: &str| count(&|s| s.state.as_deref() == Some(word));
    let mut oldest: Vec<&Sitting> =
        sittings.iter().filter(|sitting| sitting.transaction_seconds.is_some()).collect();
    let since = |sitting: &Sitting| sitting.transaction_seconds.unwrap_or_default();
    oldest.sort_by(|a, b| since(b).total_cmp(&since(a)));
    oldest.truncate(OLDEST);
    let all = |list: Vec<&Sitting>| list.into_iter().map(row).collect::<Vec<_>>();
    json!({
        "target": target,
        "count": {
            "all": sittings.len(),
            "active": in_state("active"),
            "idle": in_state("idle"),
            "idle_in_transaction": count(&|s| {
                s.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
            }),
            "waiting_for_locks": count(&|s| !s.blocked_by.is_empty()),
        },
        "roots": all(sittings.iter().filter(|sitting| sitting.is_root()).collect()),
        "oldest": all(oldest),
        "sessions": all(sittings.iter().collect()),
    })
}

/// A session with what a person reads of it in words.
fn row(sitting: &Sitting) -> Value {
    let mut value = json!(sitting);
    value["age"] = age(sitting.transaction_seconds.or(sitting.state_seconds)).into();
    value["short"] = fit(&sitting.query, LINE, "…").into();
    value
}

fn age(seconds: Option<f64>) -> String {
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    span.map_or_else(|| "—".to_owned(), units::age)
}

/// A session in two lines.
pub(super) fn as_text(sitting: &Sitting) -> String {
    let state = sitting.state.as_deref().unwrap_or("(not for our role to see)");
    let mut out = format!(
        "{:<8} {}@{} {} from {}, {state} for {}",
        sitting.pid,
        sitting.user,
        sitting.database,
        sitting.application,
        sitting.client,
        age(sitting.state_seconds),
    );
    if sitting.transaction_seconds.is_some() {
        out += &format!(", transaction open for {}", age(sitting.transaction_seconds));
    }
    if sitting.blocks > 0 {
        out += &format!("; {} wait for it", sitting.blocks);
    }
    if !sitting.blocked_by.is_empty() {
        let pids: Vec<String> = sitting.blocked_by.iter().map(ToString::to_string).collect();
        out += &format!("; waits for {}", pids.join(", "));
    }
    out + &format!("\n         {}\n", fit(&sitting.query, 100, "…"))
}
