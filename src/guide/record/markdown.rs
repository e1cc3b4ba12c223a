//! A record as Markdown, for the report behind an incident and for the auditor.

use std::fmt::Write as _;

use super::{Deed, Moment, Record, Word};
use crate::{
    base::{clock::Timestamp, text::Text},
    guide::{evidence::Evidence, facts::Observed},
};

impl Record {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# {}\n", self.title)?;
        let (sha256, bytes) = &self.journal;
        for (what, is) in [
            ("run", self.run.to_string()),
            ("guide", self.guide.to_string()),
            ("on", self.on.in_words()),
            ("begun", format!("{} by {}", moment(self.began), self.who)),
            ("ended", format!("{}; last entry {}", self.end, moment(self.last))),
            ("journal", format!("{bytes} bytes, SHA-256 {sha256}")),
        ] {
            writeln!(out, "- {what}: {is}")?;
        }
        writeln!(out, "\n## Steps\n")?;
        for told in &self.answers {
            writeln!(out, "1. {}: {} ({}, {})", told.title, told.how, moment(told.at), told.by)?;
            observed(out, &told.seen)?;
        }
        if !self.acts.is_empty() {
            writeln!(out, "\n## Acts")?;
        }
        self.acts.iter().try_for_each(|deed| act(out, deed))?;
        writeln!(out, "\n## Deviations\n")?;
        list(out, self.deviations.iter().map(ToString::to_string))?;
        writeln!(out, "\n## Notes\n")?;
        list(out, self.notes.iter().map(word))?;
        writeln!(out, "\n## TODO\n")?;
        list(out, self.todos.iter().map(|todo| format!("[ ] {}", word(todo))))?;
        writeln!(out, "\n## Timeline\n")?;
        self.timeline.iter().try_for_each(|line| happened(out, line))
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn word(word: &Word) -> String {
    format!("{} {}: {}", moment(word.at), word.by, word.words)
}

fn list(out: &mut String, lines: impl Iterator<Item = String>) -> std::fmt::Result {
    let before = out.len();
    for line in lines {
        writeln!(out, "- {line}")?;
    }
    if out.len() == before { writeln!(out, "none") } else { Ok(()) }
}

fn observed(out: &mut String, seen: &[Observed]) -> std::fmt::Result {
    for fact in seen {
        let Some(label) = &fact.label else { continue };
        let judged = match fact.well {
            None => "",
            Some(true) => ", as it has to be",
            Some(false) => ", NOT AS IT HAS TO BE",
        };
        writeln!(out, "   - {label}: {}{judged}", shown(fact.value.as_ref()))?;
    }
    Ok(())
}

fn shown(value: Option<&Text>) -> &str {
    value.map_or("—", |value| value.as_str())
}

fn act(out: &mut String, deed: &Deed) -> std::fmt::Result {
    writeln!(out, "\n### {}\n", deed.title)?;
    writeln!(out, "- job: {}", shown(deed.job.as_ref()))?;
    if let Some(second) = &deed.second {
        writeln!(out, "- confirmed, too, by {second}")?;
    }
    writeln!(out, "- {}", deed.end)?;
    if !deed.before.is_empty() {
        writeln!(out, "- seen last before it:")?;
        observed(out, &deed.before)?;
    }
    if deed.values.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| value | before | after |\n|---|---|---|")?;
    let cell = |text: &str| text.replace('|', "\\|");
    for change in &deed.values {
        let (before, after) = (shown(change.before.as_ref()), shown(change.after.as_ref()));
        writeln!(out, "| {} | {} | {} |", cell(&change.label), cell(before), cell(after))?;
    }
    Ok(())
}

fn happened(out: &mut String, line: &Moment) -> std::fmt::Result {
    let entry = &line.entry;
    writeln!(
        out,
        "- {} {}, by {}: {}: {}",
        entry.event.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ"),
        entry.on.in_words(),
        entry.event.by,
        line.step,
        line.what
    )?;
    entry.evidence.as_ref().map_or(Ok(()), |evidence| kept(out, evidence))
}

fn kept(out: &mut String, evidence: &Evidence) -> std::fmt::Result {
    let mut how = vec![format!("begun {}", evidence.began.strftime("%H:%M:%S%.3fZ"))];
    how.extend(
        evidence.server.map(|at| format!("the server's clock {}", at.strftime("%H:%M:%S%.3fZ"))),
    );
    how.extend(evidence.took_ms.map(|ms| format!("took {ms} ms")));
    how.push(match evidence.exit {
        Some(exit) => format!("exit code {exit}"),
        None if evidence.took_ms.is_some() => "no exit code: it was ended".to_owned(),
        None => "it goes on as a job".to_owned(),
    });
    writeln!(out, "\n      $ {}\n", evidence.command)?;
    writeln!(out, "  {}", how.join("; "))?;
    let Some(printed) = &evidence.printed else { return Ok(()) };
    writeln!(
        out,
        "  printed {} bytes in {} lines, SHA-256 {}",
        printed.bytes, printed.lines, printed.sha256
    )?;
    if printed.first.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for text in &printed.first {
        writeln!(out, "      {text}")?;
    }
    let between = printed.lines.saturating_sub(printed.first.len() + printed.last.len());
    if between > 0 {
        writeln!(out, "      … {between} lines …")?;
    }
    for text in &printed.last {
        writeln!(out, "      {text}")?;
    }
    writeln!(out)
}
