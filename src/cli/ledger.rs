//! `howdah ledger`: what was done, by whom, and whether the record of it is whole.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{Cli, Exit, Failure, args::LedgerCommand, say, say_failure, setup};
use crate::base::{
    clock::Clock,
    ledger::{self, Account, LedgerError, Selection, Verdict},
    text::Text,
    units,
};

/// Answers one question about the ledger.
pub fn run(cli: &Cli, what: &LedgerCommand) -> Result<Exit, Failure> {
    let ledger = setup::ledger(cli, &setup::config(cli)?)?;
    let folder = ledger.folder();
    match what {
        LedgerCommand::Show { since, target, json } => {
            show(folder, &Selection { since: *since, until: None, target: target.clone() }, *json)
        }
        LedgerCommand::Verify { bundle: None, json } => {
            let verdict = ledger::verify(folder).map_err(unreadable)?;
            told(&folder.display().to_string(), &verdict, *json)
        }
        LedgerCommand::Verify { bundle: Some(path), json } => {
            let source: Box<dyn Read> = if path == Path::new("-") {
                Box::new(io::stdin())
            } else {
                Box::new(File::open(path).map_err(|error| {
                    Failure::new(Exit::Unknown, format!("'{}': {error}", path.display()))
                })?)
            };
            let (_, verdict) = ledger::verify_bundle(source).map_err(unreadable)?;
            told(&path.display().to_string(), &verdict, *json)
        }
        LedgerCommand::Export { since, until } => {
            let selection = Selection { since: *since, until: *until, target: None };
            let out = &mut io::stdout().lock();
            let (_, verdict) =
                ledger::export(folder, &selection, &Clock::system(), out).map_err(unreadable)?;
            Ok(warned(&verdict))
        }
    }
}

fn unreadable(error: LedgerError) -> Failure {
    Failure::new(Exit::Unknown, error)
}

/// A faulty ledger is said on standard error, whatever else was asked of it.
fn warned(verdict: &Verdict) -> Exit {
    let Some(fault) = &verdict.fault else { return Exit::Ok };
    say_failure(&Failure::new(
        Exit::Damaged,
        format!("the ledger is not as it was written: {fault}"),
    ));
    Exit::Damaged
}

fn show(folder: &Path, selection: &Selection, json: bool) -> Result<Exit, Failure> {
    let accounts = ledger::accounts(folder, selection).map_err(unreadable)?;
    let mut out = String::new();
    for account in &accounts.acts {
        // Writing to a string cannot fail.
        let _ = if json { in_json(&mut out, account)? } else { in_words(&mut out, account) };
    }
    say(&out)?;
    match accounts.bad_lines.first() {
        None => Ok(Exit::Ok),
        Some(line) => {
            let what = format!(
                "line {line} is not as it was written and is not shown: see `howdah ledger verify`"
            );
            Err(Failure::new(Exit::Damaged, what))
        }
    }
}

fn in_json(out: &mut String, account: &Account) -> Result<std::fmt::Result, Failure> {
    let mut document =
        serde_json::to_value(account).map_err(|error| Failure::new(Exit::Failure, error))?;
    document["outcome"] = account.outcome_in_words().into();
    Ok(writeln!(out, "{document}"))
}

/// An act on a line of its own; why, and more about it, indented below.
fn in_words(out: &mut String, account: &Account) -> std::fmt::Result {
    let begin = &account.begin;
    let target = begin.target.as_ref().map_or_else(String::new, |target| {
        let id = target.system_identifier.as_deref().unwrap_or_default();
        let tail = id.get(id.len().saturating_sub(4)..).unwrap_or_default();
        if tail.is_empty() {
            format!(" {}", target.name)
        } else {
            format!(" {} …{tail}", target.name)
        }
    });
    let took = account.end.as_ref().map_or_else(String::new, |end| {
        let took = end.time.duration_since(begin.time);
        let took =
            if took.is_negative() { "—".to_owned() } else { units::span(took.unsigned_abs()) };
        format!(" in {took}")
    });
    writeln!(
        out,
        "{:>6}  {}  {}{took}  {}{target}  {} on {}",
        begin.seq,
        begin.time.strftime("%Y-%m-%d %H:%M:%SZ"),
        account.outcome_in_words(),
        begin.action,
        begin.who.in_words(),
        begin.host,
    )?;
    if let Some(job) = &begin.job {
        writeln!(out, "        job: {job}")?;
    }
    let end = account.end.as_ref();
    let reasons = [("why", begin.why.as_ref()), ("because", end.and_then(|end| end.why.as_ref()))];
    for (word, why) in reasons {
        if let Some(why) = why {
            writeln!(out, "        {word}: {why}")?;
        }
    }
    for details in [Some(&begin.details), end.map(|end| &end.details)].into_iter().flatten() {
        for (key, value) in details {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "        {}: {}", Text::one_line(key), Text::one_line(&value))?;
        }
    }
    Ok(())
}

fn told(what: &str, verdict: &Verdict, json: bool) -> Result<Exit, Failure> {
    let exit = if verdict.fault.is_some() { Exit::Damaged } else { Exit::Ok };
    let text = if json {
        serde_json::to_string_pretty(verdict).map_err(|error| Failure::new(Exit::Failure, error))?
            + "\n"
    } else {
        report(what, verdict)
    };
    say(&text)?;
    Ok(exit)
}

fn report(what: &str, verdict: &Verdict) -> String {
    let mut out = String::new();
    let what = Text::one_line(what);
    // Writing to a string cannot fail.
    let _ = match &verdict.fault {
        Some(fault) => writeln!(out, "NOT AS WRITTEN  {what}: {fault}"),
        None => writeln!(out, "whole  {what}: {} lines", verdict.lines),
    };
    if let Some(head) = &verdict.head {
        let good = if verdict.fault.is_some() { "good up to" } else { "last line " };
        let _ = writeln!(out, "{good}      {} sha256 {}", head.seq, head.hash);
    }
    if !verdict.open.is_empty() {
        let _ = writeln!(out, "no end recorded of {}", numbers(verdict.open.iter()));
    }
    if !verdict.mended.is_empty() {
        let _ = writeln!(out, "put right, and told, in {}", numbers(verdict.mended.iter()));
    }
    if verdict.torn {
        let _ = writeln!(out, "a line at the end was never finished; the next act moves it aside");
    }
    out
}

/// The first numbers, and how many more.
fn numbers<'a>(all: impl ExactSizeIterator<Item = &'a u64>) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let shown: Vec<String> = all.take(SHOWN).map(u64::to_string).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("line {}{more}", shown.join(", "))
}
