//! `howdah wal verify`: what reading the archive proves.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Cli, Exit, Failure, args::VerifyArgs};
use crate::{
    base::{cancel::Cancel, progress::Silent},
    cli::say,
    recover::{
        Fault,
        repository::manifest::lsn,
        wal::{
            chain::{Chain, Origin},
            verify::{self, Depth, Report},
        },
    },
};

/// Verifies, and says what was found.
pub fn run(cli: &Cli, args: &VerifyArgs) -> Result<Exit, Failure> {
    let archive = super::archive(cli, &args.source)?;
    let cancel = Cancel::on_signals().map_err(Fault::io("cannot listen for signals"))?;
    let depth = Depth { from: args.from, to: args.to, all: args.all, sample: args.sample };
    let report = verify::verify(&archive, depth, &Silent::new(cancel))?;
    say(&if args.json { as_json(&report) } else { as_text(&report) })?;
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Damaged })
}

fn as_text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for line in stretches(&report.chain) {
        let _ = writeln!(out, "{line}");
    }
    let Report { read, remembered, records, .. } = report;
    let _ = writeln!(
        out,
        "{read} segments read, the records of {records} of them; {remembered} were found sound before"
    );
    if let Some(why) = &report.no_records {
        let _ = writeln!(out, "no records were read: {why}");
    }
    match report.findings.len() {
        0 if read + remembered == 0 => out.push_str("nothing is archived\n"),
        0 => out.push_str("whole: no gap, nothing damaged\n"),
        count => {
            let _ = writeln!(out, "{count} found:");
            for finding in &report.findings {
                let _ = writeln!(out, "  {finding}");
            }
        }
    }
    out
}

/// Each contiguous stretch in a line.
pub fn stretches(chain: &Chain) -> Vec<String> {
    let mut lines = Vec::new();
    for timeline in &chain.timelines {
        let from = match &timeline.origin {
            Origin::From(ancestors) => ancestors.last().map_or_else(String::new, |left| {
                format!(" (left timeline {} at {})", left.timeline, lsn(left.at))
            }),
            Origin::First | Origin::Missing | Origin::Damaged(_) => String::new(),
        };
        for range in &timeline.ranges {
            let count = (range.end - range.start) / chain.segment_size.max(1);
            let (start, end) = (lsn(range.start), lsn(range.end));
            lines.push(format!(
                "timeline {}{from}: {start} to {end}, {count} segments",
                timeline.id
            ));
        }
    }
    lines
}

/// The same for programs. Positions are texts, as PostgreSQL writes them.
pub fn chain_json(chain: &Chain) -> Value {
    let ranges = chain.timelines.iter().flat_map(|timeline| {
        timeline.ranges.iter().map(|range| {
            json!({
                "timeline": timeline.id,
                "start": lsn(range.start),
                "end": lsn(range.end),
                "first_commit": range.first_commit,
                "last_commit": range.last_commit,
            })
        })
    });
    ranges.collect()
}

fn as_json(report: &Report) -> String {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let lost = finding.lost.as_ref().map(|lost| {
                json!({
                    "timeline": lost.timeline,
                    "start": lsn(lost.start),
                    "end": lsn(lost.end),
                    "after": lost.after,
                    "before": lost.before,
                })
            });
            json!({
                "wrong": finding.wrong,
                "subject": finding.subject,
                "what": finding.what,
                "lost": lost,
            })
        })
        .collect();
    let document = json!({
        "read": report.read,
        "remembered": report.remembered,
        "records": report.records,
        "no_records": report.no_records,
        "ranges": chain_json(&report.chain),
        "findings": findings,
    });
    format!("{document}\n")
}
