//! The folder of all jobs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{Card, Follow, JobError, JobId, Outcome, State, Story, error, state::Here};
use crate::base::{
    clock::Clock,
    exec::quoted,
    paths::{sync_folder_of, write_private},
    progress::Cleanup,
    text::Text,
};

/// The folder of all jobs of one user.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub(super) folder: PathBuf,
    pub(super) clock: Clock,
}

/// One job, as it is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What it is.
    #[serde(flatten)]
    pub card: Card,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
    /// What it said at its end.
    pub outcome: Option<Outcome>,
    /// What its journal comes to. The open steps of a lost job are what is left to clean up.
    pub story: Story,
}

impl Job {
    /// What its open steps have left, in the order in which it is to be put away: in words, with the command that
    /// does it. Of a job that is over; what still runs has not left anything.
    pub fn left_behind(&self) -> Vec<Text> {
        if !self.state.over() {
            return Vec::new();
        }
        let open = self.story.open.iter().filter(|open| !open.cleanup.is_none());
        open.map(|open| format!("left by '{}': {}", open.name, put_away(&open.cleanup)).into())
            .collect()
    }
}

fn put_away(cleanup: &Cleanup) -> String {
    if cleanup.command.is_empty() {
        return cleanup.what.to_string();
    }
    let words: Vec<String> =
        cleanup.command.iter().map(|word| quoted(word.as_str().as_ref())).collect();
    format!("{}: {}", cleanup.what, words.join(" "))
}

pub(super) const CARD: &str = "job.json";
pub(super) const RESULT: &str = "result.json";
pub(super) const JOURNAL: &str = "journal.jsonl";
pub(super) const LOG: &str = "log";

impl Jobs {
    /// The jobs of `folder`, which is made with the first one.
    pub fn at(folder: &Path, clock: &Clock) -> Self {
        Self { folder: folder.to_owned(), clock: clock.clone() }
    }

    pub(super) fn path(&self, id: &JobId, file: &str) -> PathBuf {
        self.folder.join(id.as_str()).join(file)
    }

    /// All jobs, the latest first. One whose description cannot be read is an error of its own.
    pub fn list(&self) -> Result<Vec<Result<Job, JobError>>, JobError> {
        Ok(self.ids()?.iter().map(|id| self.get(id)).collect())
    }

    /// The names of the latest `many` jobs, the latest first.
    pub fn latest(&self, many: usize) -> Result<Vec<JobId>, JobError> {
        let mut ids = self.ids()?;
        ids.truncate(many);
        Ok(ids)
    }

    fn ids(&self) -> Result<Vec<JobId>, JobError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error::io(&self.folder)(error)),
        };
        let mut ids: Vec<JobId> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|id| self.path(id, CARD).exists())
            .collect();
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// The job that a word means: its name, the beginning or the end of it if only one has that, or `last`.
    pub fn find(&self, word: &str) -> Result<JobId, JobError> {
        let mut ids = self.ids()?;
        if word == "last" {
            return ids.into_iter().next().ok_or_else(|| JobError::Unknown(word.into()));
        }
        let id: JobId = word.parse()?;
        if ids.contains(&id) {
            return Ok(id);
        }
        ids.retain(|id| id.as_str().starts_with(word) || id.as_str().ends_with(word));
        match ids.len() {
            0 => Err(JobError::Unknown(word.into())),
            1 => Ok(ids.swap_remove(0)),
            _ => Err(JobError::Ambiguous { word: word.into(), candidates: ids }),
        }
    }

    /// One job, as it is now.
    pub fn get(&self, id: &JobId) -> Result<Job, JobError> {
        let card: Card =
            self.read(id, CARD)?.ok_or_else(|| JobError::Unknown(id.as_str().into()))?;
        let (state, outcome) = self.judge(id, &card)?;
        let mut story = Story::default();
        self.follow(id).lines()?.iter().for_each(|line| story.hear(line));
        Ok(Job { id: id.clone(), card, state, outcome, story })
    }

    /// How a job is now, without reading its journal.
    pub fn state(&self, id: &JobId) -> Result<State, JobError> {
        let card = self.read(id, CARD)?.ok_or_else(|| JobError::Unknown(id.as_str().into()))?;
        Ok(self.judge(id, &card)?.0)
    }

    fn judge(&self, id: &JobId, card: &Card) -> Result<(State, Option<Outcome>), JobError> {
        let result = || self.read::<Outcome>(id, RESULT);
        if let Some(outcome) = result()? {
            return Ok((State::ended(&outcome), Some(outcome)));
        }
        let state = State::without_result(card, &Here::now(), self.clock.wall());
        // It may have written its result after we looked and ended before we looked for its process.
        match state {
            State::Lost { .. } => Ok(match result()? {
                Some(outcome) => (State::ended(&outcome), Some(outcome)),
                None => (state, None),
            }),
            _ => Ok((state, None)),
        }
    }

    /// Reads a job's journal from its beginning, and on as it grows.
    pub fn follow(&self, id: &JobId) -> Follow {
        Follow::new(self.path(id, JOURNAL))
    }

    /// Where what a job printed stands.
    pub fn log(&self, id: &JobId) -> PathBuf {
        self.path(id, LOG)
    }

    /// Removes a job that is over, with all its files.
    pub fn remove(&self, id: &JobId) -> Result<(), JobError> {
        match self.state(id)? {
            State::Starting | State::Running => return Err(JobError::Running(id.clone())),
            State::Unknown { why } => return Err(JobError::OutOfReach { id: id.clone(), why }),
            _ => {}
        }
        let folder = self.folder.join(id.as_str());
        // The description first: without it the folder is no job any more, whatever happens to the rest.
        fs::remove_file(folder.join(CARD)).map_err(error::io(&folder))?;
        fs::remove_dir_all(&folder)
            .and_then(|()| sync_folder_of(&folder))
            .map_err(error::io(&folder))
    }

    /// The jobs that have ended by themselves longer than `age` ago. Lost ones are never among them: what
    /// they left is still to be put away.
    pub fn older_than(&self, age: Duration) -> Result<Vec<JobId>, JobError> {
        let now = self.clock.wall();
        let mut old = Vec::new();
        for id in self.ids()? {
            let ended = self.read::<Outcome>(&id, RESULT)?.map(|outcome| outcome.ended);
            let passed = ended.map(|ended| now.duration_since(ended));
            if passed.is_some_and(|passed| !passed.is_negative() && passed.unsigned_abs() >= age) {
                old.push(id);
            }
        }
        Ok(old)
    }

    pub(super) fn read<T: DeserializeOwned>(
        &self,
        id: &JobId,
        file: &str,
    ) -> Result<Option<T>, JobError> {
        let path = self.path(id, file);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|why| JobError::Garbled { path, why: why.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error::io(&path)(error)),
        }
    }

    pub(super) fn write<T: Serialize>(
        &self,
        id: &JobId,
        file: &str,
        value: &T,
    ) -> Result<(), JobError> {
        let path = self.path(id, file);
        serde_json::to_string_pretty(value)
            .map_err(io::Error::from)
            .and_then(|json| write_private(&path, (json + "\n").as_bytes()))
            .map_err(error::io(&path))
    }
}
