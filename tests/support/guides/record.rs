//! What stands in the records when a way was walked: each act once.

use std::collections::BTreeMap;

use howdah::{
    base::{clock::Clock, text::Text},
    guide::state::{How, Over, Phase},
    jobs::{Job, Jobs, State},
};
use serde_json::Value;

use super::{printed, stage::Stage, ways::Way};

/// The jobs of a home.
pub fn jobs(stage: &Stage<'_>) -> Vec<Job> {
    let folder = stage.home.path().join(".local/state/howdah/jobs");
    let jobs = Jobs::at(&folder, &Clock::system()).list().expect("listed");
    jobs.into_iter().map(|job| job.expect("readable")).collect()
}

/// Does what is told of jobs that died: puts away what they left, each once.
pub fn put_away(stage: &Stage<'_>) {
    for job in jobs(stage) {
        let lost = matches!(job.state, State::Lost { .. });
        if !lost || !stage.tidied.lock().expect("whole").insert(job.id.to_string()) {
            continue;
        }
        for open in &job.story.open {
            let words: Vec<&str> = open.cleanup.command.iter().map(Text::as_str).collect();
            match words.split_first() {
                Some((&"howdah", words)) => {
                    printed(
                        stage.home.path(),
                        &[&["--config", stage.shop.config()], words].concat(),
                    );
                }
                Some(other) => panic!("who runs {other:?}?"),
                None => drop_database(stage, open.cleanup.what.as_str()),
            }
        }
    }
}

/// What is told in words is a database that is to be dropped, or nothing that stands in the way.
fn drop_database(stage: &Stage<'_>, what: &str) {
    let words = ["drop the half-restored database '", "drop the scratch database '"];
    let name = words.iter().find_map(|words| what.strip_prefix(words)?.strip_suffix('\''));
    if let Some(name) = name {
        stage.shop.sql(&format!("drop database if exists \"{name}\" with (force)"));
    }
}

/// The run reached its end; each of its acts was begun by a job of its own, each that is done by one that is;
/// and the ledger has each deed once.
pub fn nothing_was_done_twice(way: &Way, stage: &Stage<'_>) {
    let name = format!("{}, {}", way.guide, way.name);
    let run = stage.run();
    assert_eq!(run.state.phase, Phase::Over(Over::Finished), "{name}");
    let of_run = format!("{}/", run.id);
    let mut jobs = jobs(stage);
    // A pause keeps a job of its own that ends it.
    jobs.retain(|job| job.card.tag.as_deref().is_some_and(|tag| tag.starts_with(&of_run)));
    let mut by_tag: BTreeMap<String, Vec<&Job>> = BTreeMap::new();
    for job in &jobs {
        by_tag.entry(job.card.tag.as_deref().unwrap_or_default().to_owned()).or_default().push(job);
    }
    let twice = by_tag.iter().find(|(_, jobs)| jobs.len() > 1);
    assert!(twice.is_none(), "{name}: begun twice: {twice:?}");
    assert_eq!(jobs.len(), run.state.acts.len(), "{name}: a job for each act: {by_tag:?}");
    let done = run.state.answers.iter().filter_map(|answer| match &answer.how {
        How::Done(job) => Some(job.as_str()),
        _ => None,
    });
    for done in done {
        let job = jobs.iter().find(|job| job.id.as_str() == done).expect("its job is there");
        assert!(!matches!(job.state, State::Lost { .. }), "{name}: {job:?}");
    }
    deeds_once(&name, stage);
}

/// No job has done its deed twice.
fn deeds_once(name: &str, stage: &Stage<'_>) {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for line in printed(stage.home.path(), &["ledger", "show", "--json"]).lines() {
        let deed: Value = serde_json::from_str(line).expect("JSON");
        if deed["end"]["outcome"] == "done" {
            let key = format!("{} {}", deed["begin"]["action"], deed["begin"]["job"]);
            *done.entry(key).or_default() += 1;
        }
    }
    let twice = done.iter().find(|(_, times)| **times > 1);
    assert!(twice.is_none(), "{name}: {twice:?}");
}
