//! The jobs as the console watches them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{pgbouncer::door::held, setup};
use crate::{
    base::{exec::quoted, text::Text},
    jobs::{self, Jobs, Outcome, State},
    watch::{
        snapshot::{Job, JobState, Problem},
        sources::keeper::{Keeper, Reader},
    },
};

/// How often the folder is read: a job tells of itself every second.
const PERIOD: Duration = Duration::from_secs(1);
/// Jobs that the console lists.
const SHOWN: usize = 50;
/// Jobs that are looked at for that: those of configurations that are gone are left out.
const LOOKED_AT: usize = 200;

/// The jobs of this user; none where no home is known.
pub fn keeper() -> Option<Keeper> {
    let jobs = setup::jobs().ok()?;
    let location = setup::paths().ok()?.jobs().to_string_lossy().as_ref().into();
    let roster = Mutex::new(Roster { jobs, over: BTreeMap::new() });
    let read = move || roster.lock().unwrap_or_else(PoisonError::into_inner).read();
    Some(Keeper { location, period: PERIOD, read: Reader::Jobs(Arc::new(read)) })
}

struct Roster {
    jobs: Jobs,
    /// Those that are over are read once; none of what is not listed.
    over: BTreeMap<jobs::JobId, Option<Job>>,
}

impl Roster {
    fn read(&mut self) -> Result<Vec<Job>, Problem> {
        let ids = self.jobs.latest(LOOKED_AT).map_err(|error| problem(&error))?;
        self.over.retain(|id, _| ids.contains(id));
        let mut all = Vec::new();
        for id in ids {
            if all.len() >= SHOWN {
                break;
            }
            if let Some(job) = self.over.get(&id) {
                all.extend(job.clone());
                continue;
            }
            // One that is being removed, or whose description cannot be read: `howdah jobs` says so.
            let Ok(job) = self.jobs.get(&id) else { continue };
            let shown = (!has_vanished(&job)).then(|| seen(&job));
            if job.state.over() {
                self.over.insert(id, shown.clone());
            }
            all.extend(shown);
        }
        Ok(all)
    }
}

/// True for a job that is over and whose configuration is gone, as a demo's is: it is of no target that there
/// is. `howdah jobs` lists it until it is removed.
fn has_vanished(job: &jobs::Job) -> bool {
    let mut words = job.card.arguments.iter().map(Text::as_str);
    let named = words.find(|word| *word == "--config").and_then(|_| words.next());
    let gone = |file| !Path::new(job.card.folder.as_str()).join(file).exists();
    job.state.over() && named.is_some_and(gone)
}

fn problem(error: &jobs::JobError) -> Problem {
    Problem { what: error.to_string().into(), remedy: Text::default() }
}

fn seen(job: &jobs::Job) -> Job {
    let words = job.card.arguments.iter().map(|word| quoted(OsStr::new(word.as_str())));
    let command: Vec<String> = ["howdah".to_owned()].into_iter().chain(words).collect();
    let left = job.story.open.iter().filter(|_| job.state.over());
    let left = left.filter(|open| !open.cleanup.is_none());
    Job {
        id: job.id.as_str().into(),
        what: job.card.what.clone(),
        command: command.join(" ").into(),
        who: job.card.who.in_words().into(),
        started: job.card.started,
        ended: job.outcome.as_ref().map(|outcome: &Outcome| outcome.ended),
        state: state(&job.state),
        progress: job.story.progress.clone(),
        step: job.story.last_step.clone(),
        last_word: job.story.last_word,
        left: left.map(|open| open.cleanup.what.clone()).collect(),
        lease: held(job),
    }
}

fn state(state: &State) -> JobState {
    match state {
        State::Starting => JobState::Starting,
        State::Running => JobState::Running,
        State::Done => JobState::Done,
        State::Failed { reason } => JobState::Failed(reason.clone()),
        State::Cancelled { reason } => JobState::Cancelled(reason.clone()),
        State::Lost { why } => JobState::Lost(why.clone()),
        State::Unknown { why } => JobState::Unknown(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        base::{
            clock::{Clock, Timestamp},
            ledger::{Target, Who},
        },
        cli::pgbouncer::door::HOLD,
        jobs::{Card, End},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn job(folder: &Path, id: &str, outcome: Option<Outcome>) {
        kept(folder, id, &card(), outcome);
    }

    fn card() -> Card {
        Card {
            what: "backup.run".into(),
            arguments: vec!["backup".into(), "it's".into()],
            folder: "/".into(),
            target: None,
            why: None,
            who: Who::current(Some("Ada")),
            host: "elsewhere.example".into(),
            started: at(100),
            boot: None,
            process: None,
            tag: None,
        }
    }

    fn kept(folder: &Path, id: &str, card: &Card, outcome: Option<Outcome>) {
        let folder = folder.join(id);
        fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, json: Vec<u8>| fs::write(folder.join(name), json).expect("kept");
        write("job.json", serde_json::to_vec(card).expect("JSON"));
        if let Some(outcome) = outcome {
            write("result.json", serde_json::to_vec(&outcome).expect("JSON"));
        }
    }

    #[test]
    fn jobs_are_told_as_they_are_and_those_that_are_over_are_read_once() {
        let home = tempfile::tempdir().expect("a folder");
        let jobs = Jobs::at(home.path(), &Clock::system());
        let mut roster = Roster { jobs, over: BTreeMap::new() };
        assert_eq!(roster.read().expect("read"), [], "no folder is no job");
        let reason = Some(Text::ours("no space left"));
        let failed = Outcome { end: End::Failed, reason, exit: 1, ended: at(172) };
        job(home.path(), "20261109-020000-ka", Some(failed));
        job(home.path(), "20261110-020000-ab", None);
        let told = roster.read().expect("read");
        assert!(matches!(told[0].state, JobState::Unknown(_)), "another machine's: {told:?}");
        assert_eq!(told[1].state, JobState::Failed("no space left".into()));
        assert_eq!(&*told[1].command, r"howdah backup 'it'\''s'");
        assert_eq!((told[1].started, told[1].ended), (at(100), Some(at(172))));
        // Its files are not looked into again, and it goes when its description does.
        let place = home.path().join("20261109-020000-ka");
        fs::write(place.join("result.json"), "{}").expect("kept");
        assert_eq!(roster.read().expect("read"), told);
        fs::remove_file(place.join("job.json")).expect("removed");
        assert_eq!(roster.read().expect("read").len(), 1);
    }

    #[test]
    fn jobs_of_a_configuration_that_is_gone_are_of_no_target() {
        let home = tempfile::tempdir().expect("a folder");
        let jobs = Jobs::at(home.path(), &Clock::system());
        let mut roster = Roster { jobs, over: BTreeMap::new() };
        let config = home.path().join("howdah.toml");
        fs::write(&config, "").expect("written");
        let words = ["backup", "--config", config.to_str().expect("text")];
        let of_demo = Card { arguments: words.map(Text::from).to_vec(), ..card() };
        let done = || Some(Outcome { end: End::Done, reason: None, exit: 0, ended: at(172) });
        kept(home.path(), "20261109-020000-aa", &of_demo, done());
        kept(home.path(), "20261109-020000-bb", &of_demo, None);
        assert_eq!(roster.read().expect("read").len(), 2);
        fs::remove_file(config).expect("removed");
        roster.over.clear();
        let told = roster.read().expect("read");
        assert_eq!(told.len(), 1, "what may still run is told: {told:?}");
        assert_eq!(&*told[0].id, "20261109-020000-bb");
    }

    #[test]
    fn a_pause_is_told_with_its_database_and_its_end() {
        let home = tempfile::tempdir().expect("a folder");
        let jobs = Jobs::at(home.path(), &Clock::system());
        let words = ["pgbouncer", "hold", "app", "--until", "2026-11-23T09:18:19Z"];
        let hold = Card {
            what: HOLD.into(),
            arguments: words.map(Text::from).to_vec(),
            target: Some(Target::new(Text::ours("shop"), None)),
            why: Some("switch to db2".into()),
            tag: Some("pgbouncer/shop/app".into()),
            ..card()
        };
        kept(home.path(), "20261123-091019-hq", &hold, None);
        let mut roster = Roster { jobs, over: BTreeMap::new() };
        let lease = roster.read().expect("read").remove(0).lease.expect("a lease");
        assert_eq!((&*lease.target, &*lease.database), ("shop", "app"));
        assert_eq!(lease.until.to_string(), "2026-11-23T09:18:19Z");
        assert_eq!(lease.why.as_deref(), Some("switch to db2"));
    }
}
