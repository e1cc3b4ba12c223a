//! `howdah breaker list`.

use std::fmt::Write as _;

use serde_json::json;

use super::{
    Cli, Exit, Failure, ListArgs,
    sight::{Seen, Sight},
    words,
};
use crate::{
    base::units,
    cli::{restore::json as as_json, say, setup},
    resilience::breaker::State,
};

/// Prints them; exits with 69 when an application does not answer.
pub(super) fn run(cli: &Cli, args: &ListArgs) -> Result<Exit, Failure> {
    let mut sight = Sight::of(&setup::config(cli)?, args.target.as_deref())?;
    if let Some(name) = &args.only {
        let target = sight.target.clone();
        let read_only = sight.read_only;
        let seen = sight.find(name)?;
        sight = Sight { target, read_only, breakers: vec![seen], silent: Vec::new() };
    }
    let Sight { target, breakers, silent, .. } = &sight;
    if args.json {
        let all = json!({ "target": target, "breakers": breakers, "silent": silent });
        say(&as_json(&all)?)?;
    } else {
        let mut out: String = breakers.iter().map(as_text).collect();
        for app in silent {
            // Writing to a string cannot fail.
            let _ =
                writeln!(out, "{:<16} —          {}: {}", app.application, app.address, app.why);
        }
        say(&out)?;
    }
    Ok(if silent.is_empty() { Exit::Ok } else { Exit::Unavailable })
}

/// A breaker in lines.
pub(super) fn as_text(seen: &Seen) -> String {
    let told = &seen.told;
    let mut out = format!(
        "{:<16} {:<10} for {}: {}; {} in the window",
        seen.id,
        word(told.state),
        seen.age,
        told.cause,
        calls(told.calls, told.failure_rate, told.slow_rate),
    );
    if let Some(wait) = told.retry_in_seconds {
        out += &format!("; next try in {wait:.1} s");
    }
    if let Some(probes) = told.probes {
        out += &format!("; {} of {} probes succeeded", probes.good, probes.wanted);
    }
    out += "\n";
    if let Some(hold) = &told.hold {
        let until = match (&hold.until, &seen.runs_out_in) {
            (Some(until), Some(left)) => {
                format!("until {} (in {left})", until.strftime("%Y-%m-%d %H:%M:%SZ"))
            }
            _ => "until somebody gives it back".to_owned(),
        };
        out += &format!(
            "{:<16} {} {until}, by {}: {}\n",
            "",
            words(hold.mode),
            hold.actor,
            hold.reason
        );
    }
    out
}

const fn word(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Open => "OPEN",
        State::HalfOpen => "HALF-OPEN",
    }
}

fn calls(calls: u64, failed: Option<f64>, slow: Option<f64>) -> String {
    match (failed, slow) {
        (Some(failed), Some(slow)) => format!(
            "{:.1} % of {} calls failed, {:.1} % were slow",
            failed * 100.0,
            units::count(calls),
            slow * 100.0
        ),
        // Too few to speak of a share.
        _ => format!("{} calls", units::count(calls)),
    }
}
