//! Long work, in words.

use std::time::Duration;

use super::{Sight, fact, fact_line, percent, pools::sight_mark, short_age, timeline::full};
use crate::{
    base::{
        progress::{Measured, Unit, in_words},
        units::{bytes, count, span},
    },
    console::{
        model::RecoveryRow,
        theme::{Glyphs, Meaning},
        widget::{Cell, Column, Fact, Line, TableRow, Tone, marked, piece},
    },
    watch::snapshot::{Job, JobState, RunningBackup},
};

/// The columns of the list of jobs.
pub fn columns(glyphs: Glyphs) -> [Column; 5] {
    let mark = glyphs.mark_width();
    [
        Column::words("", mark, mark, 0).whole(),
        Column::figures("age", 5, 0),
        Column::words("what", 13, 16, 0),
        Column::words("state", 9, 9, 0).whole(),
        Column::words("", 16, u16::MAX, 1),
    ]
}

/// How a job is, in a word.
const fn state(job: &Job) -> (Tone, &'static str) {
    match &job.state {
        JobState::Starting => (Tone::WAIT, "starting"),
        JobState::Running => (Tone::RUNS, "running"),
        JobState::Done => (Tone::GOOD, "done"),
        JobState::Failed(_) => (Tone::BAD, "FAILED"),
        JobState::Cancelled(_) => (Tone::WAIT, "cancelled"),
        JobState::Lost(_) => (Tone::BAD, "LOST"),
        JobState::Unknown(_) => (Tone::UNKNOWN, "unknown"),
    }
}

/// A row of the list.
pub fn row(sight: &Sight<'_>, row: &RecoveryRow<'_>) -> Option<TableRow> {
    let cells = match row {
        RecoveryRow::Job(job) => job_cells(sight, job),
        RecoveryRow::Running(running) => running_cells(sight, running),
        RecoveryRow::Backup(_) | RecoveryRow::Other(..) | RecoveryRow::Proof(_) => return None,
    };
    Some(TableRow { cells, stale: false })
}

fn job_cells(sight: &Sight<'_>, job: &Job) -> Vec<Cell> {
    let (tone, word) = state(job);
    vec![
        sight_mark(sight, tone),
        piece(short_age(sight.ago(job.started)), Meaning::Text).into(),
        piece(job.what.to_string(), Meaning::Strong).into(),
        piece(word, tone.meaning).into(),
        course(sight, job).into(),
    ]
}

/// How far it is, or how it went.
fn course(sight: &Sight<'_>, job: &Job) -> Line {
    if let Some(why) = job.state.reason() {
        return vec![piece(why.to_string(), Meaning::Text)];
    }
    if !job.state.runs() {
        return took(job).map_or_else(
            || vec![sight.unknown()],
            |took| vec![piece(format!("took {took}"), Meaning::Muted)],
        );
    }
    match (&job.progress, &job.step) {
        (Some(measured), _) => progress(measured),
        (None, Some(step)) => vec![piece(step.to_string(), Meaning::Text)],
        (None, None) => vec![piece("has said nothing yet", Meaning::Muted)],
    }
}

/// How far a phase is, what matters most first: the rest is cut where there is no room.
fn progress(measured: &Measured) -> Line {
    let Measured { progress, rate, seconds_left } = measured;
    let amount = |n: u64| match progress.unit {
        Unit::Bytes => bytes(n),
        Unit::Items => count(n),
    };
    let mut words = Vec::new();
    let total = progress.total.filter(|total| *total > 0);
    let share = total.map(|total| percent((progress.done as f64 / total as f64).min(1.0)));
    if let Some(left) = seconds_left.filter(|left| *left > 0) {
        words.push(format!("{} left", short_age(Duration::from_secs(left))));
    }
    if let Some(rate) = rate.filter(|rate| *rate > 0.0) {
        words.push(format!("{}/s", amount(rate as u64)));
    }
    words.push(match total {
        Some(total) => format!("{} of {}", amount(progress.done), amount(total)),
        None => amount(progress.done),
    });
    words.push(progress.phase.to_string());
    words.extend(progress.note.as_ref().map(|note| format!("({note})")));
    let share = share.map_or_else(String::new, |share| format!("{share}  "));
    vec![piece(share, Meaning::Strong), piece(words.join("  "), Meaning::Text)]
}

fn took(job: &Job) -> Option<String> {
    let took = job.ended?.duration_since(job.started);
    Some(span(took.try_into().ok()?))
}

fn running_cells(sight: &Sight<'_>, running: &RunningBackup) -> Vec<Cell> {
    let share = running.total.filter(|total| *total > 0);
    let share = share.map(|total| percent((running.done as f64 / total as f64).min(1.0)));
    let done = match running.total {
        Some(total) => format!("{} of {}", bytes(running.done), bytes(total)),
        None => bytes(running.done),
    };
    vec![
        sight_mark(sight, Tone::RUNS),
        sight.unknown().into(),
        piece("base backup", Meaning::Strong).into(),
        piece("running", Tone::RUNS.meaning).into(),
        vec![
            piece(share.map_or_else(String::new, |s| format!("{s}  ")), Meaning::Strong),
            piece(format!("{done}  {}", running.phase), Meaning::Text),
        ]
        .into(),
    ]
}

/// Everything known of one job.
pub fn detail(sight: &Sight<'_>, job: &Job) -> (String, Vec<Fact>) {
    let (tone, word) = state(job);
    let mut facts = vec![fact_line("state", vec![marked(sight.glyphs, tone, word)])];
    if let Some(why) = job.state.reason() {
        facts.push(fact("why", why.to_string()));
    }
    facts.push(fact("command", job.command.to_string()));
    facts.push(fact("started", format!("{} by {}", full(job.started), job.who)));
    if let Some(ended) = job.ended {
        let took = took(job).unwrap_or_default();
        facts.push(fact("ended", format!("{}, took {took}", full(ended))));
    }
    if let Some(measured) = job.progress.as_ref().filter(|_| job.state.runs()) {
        facts.push(fact("progress", in_words(measured)));
    }
    if let Some(step) = &job.step {
        facts.push(fact("last step", step.to_string()));
    }
    if let Some(at) = job.last_word.filter(|_| job.state.runs()) {
        facts.push(fact("last word", format!("{} ago", short_age(sight.ago(at)))));
    }
    for (nth, left) in job.left.iter().enumerate() {
        let label = if nth == 0 { "left behind" } else { "" };
        facts.push(Fact { label, value: piece(left.to_string(), Meaning::Warning).into() });
    }
    let doing = if job.state.runs() { "attach" } else { "log" };
    facts.push(fact("see", format!("howdah jobs {doing} {}", job.id)));
    (format!("Job {}", job.id), facts)
}
