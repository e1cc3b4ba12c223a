//! A run's folder, `STATE/guides/RUN/`: what it is (`run.json`), its journal (`journal.jsonl`), and who drives
//! it (a lock on `driver`, which the system lets go when that process ends).
//!
//! The guide's text is kept with the run: a guide that was changed since does not change what was done, nor
//! the way on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    GuideError,
    error::io,
    evidence::Evidence,
    journal::{self, Entry, Journal, Site},
    machine, post,
    spec::Guide,
    state::{Event, Input, Phase, State},
    values::Values,
};
use crate::base::{
    clock::{Clock, Timestamp},
    digest::sha256,
    ledger::Who,
    paths::{private_folder, write_private},
    process,
    text::Text,
};

const CARD: &str = "run.json";
const JOURNAL: &str = "journal.jsonl";
const DRIVER: &str = "driver";

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The guide as it was when the run began.
    pub guide: Guide,
    /// What was known then.
    pub values: Values,
    /// When it began.
    pub began: Timestamp,
    /// Who began it.
    pub who: Who,
    /// On which machine.
    pub host: Text,
    /// On what, in words.
    pub on: Text,
    /// Seconds that it may take: the promise for RTO.
    #[serde(default)]
    pub budget: Option<u64>,
    /// Words that every command of it gets, such as the configuration's file.
    pub common: Vec<String>,
}

impl Card {
    /// The line of a step, with the values of a run in it; empty where there is no such step.
    pub fn title(&self, step: usize, values: &Values) -> String {
        self.guide.steps.get(step).map_or_else(String::new, |step| values.fill(&step.title))
    }
}

/// All runs of one user.
#[derive(Clone, Debug)]
pub struct Runs {
    folder: PathBuf,
    clock: Clock,
}

/// A run as anybody may see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub id: String,
    /// What it is.
    pub card: Card,
    /// Where it stands.
    pub state: State,
    /// Who drives it now; none when nobody does.
    pub driver: Option<Text>,
    /// When the last thing happened in it.
    pub last: Timestamp,
    /// What it needs to go on and is not there any more.
    pub gone: Option<Text>,
    /// Its journal.
    pub entries: Vec<Entry>,
}

impl Runs {
    /// The runs in a folder, which is made with the first one.
    pub fn at(folder: &Path, clock: &Clock) -> Self {
        Self { folder: folder.to_owned(), clock: clock.clone() }
    }

    /// The folder that theirs stand in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a run, and drives it.
    pub fn begin(&self, card: &Card) -> Result<Run, GuideError> {
        private_folder(&self.folder).map_err(io(&self.folder))?;
        let (id, folder) = self.new_folder(card)?;
        let json = serde_json::to_vec_pretty(card).map_err(|error| {
            GuideError::Spec(format!("the run cannot be written down: {error}"))
        })?;
        write_private(&folder.join(CARD), &json).map_err(io(&folder))?;
        self.drive(&id, &card.who)
    }

    fn new_folder(&self, card: &Card) -> Result<(String, PathBuf), GuideError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let moment = card.began.strftime("%Y%m%d-%H%M%S").to_string();
        for n in 0.. {
            let tail = if n == 0 { String::new() } else { format!("-{n}") };
            let id = format!("{moment}-{}{tail}", card.guide.id);
            let folder = self.folder.join(&id);
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok((id, folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(&folder)(error)),
            }
        }
        Err(GuideError::NoRun(moment.into()))
    }

    /// Goes on with a run that nobody drives, in somebody's name.
    ///
    /// # Errors
    /// [`GuideError::Driven`] when somebody does.
    pub fn drive(&self, id: &str, who: &Who) -> Result<Run, GuideError> {
        let folder = self.folder_of(id)?;
        let path = folder.join(DRIVER);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let driver = read_driver(&path);
            return Err(GuideError::Driven { run: id.into(), driver });
        }
        let words = format!("{}, process {}", who.in_words(), std::process::id());
        lock.set_len(0).and_then(|()| (&lock).write_all(words.as_bytes())).map_err(io(&path))?;
        let card = self.card(id)?;
        let path = folder.join(JOURNAL);
        let (entries, whole) = journal::read(&path)?;
        let state = replay(&card, &entries);
        let journal = Journal::open(&path, whole)?;
        let host = process::host().into();
        let clock = self.clock.clone();
        Ok(Run { id: id.to_owned(), folder, card, state, journal, _lock: lock, clock, host })
    }

    /// Looks at a run, without driving it.
    pub fn look(&self, id: &str) -> Result<Seen, GuideError> {
        let folder = self.folder_of(id)?;
        let card = self.card(id)?;
        let (entries, _) = journal::read(&folder.join(JOURNAL))?;
        let state = replay(&card, &entries);
        let last = entries.last().map_or(card.began, |entry| entry.event.at);
        let (driver, gone) = (driver_of(&folder.join(DRIVER)), gone(&card));
        Ok(Seen { id: id.to_owned(), driver, card, state, last, gone, entries })
    }

    /// Leaves a second person's word for whoever drives a run.
    ///
    /// # Errors
    /// When nothing in it waits for one.
    pub fn second(&self, id: &str, by: &Text) -> Result<(), GuideError> {
        let Phase::Seconding { plan, .. } = self.look(id)?.state.phase else {
            return Err(GuideError::NotAsked(id.into()));
        };
        self.leave(id, by, Input::Second(plan.hash))
    }

    /// Leaves what somebody says who does not drive a run for whoever does; the next one to drive it takes it.
    pub fn leave(&self, id: &str, by: &Text, input: Input) -> Result<(), GuideError> {
        let folder = self.folder_of(id)?;
        post::leave(&folder, &Event { at: self.clock.wall(), by: by.clone(), input })
    }

    /// The SHA-256 of a run's journal, and its length in bytes.
    pub fn fingerprint(&self, id: &str) -> Result<(String, usize), GuideError> {
        let path = self.folder_of(id)?.join(JOURNAL);
        let bytes = fs::read(&path).map_err(io(&path))?;
        Ok((sha256(&bytes), bytes.len()))
    }

    /// True when something was left for a run that nobody has taken yet.
    pub fn waits(&self, id: &str) -> Result<bool, GuideError> {
        Ok(!post::names(&self.folder_of(id)?).is_empty())
    }

    /// All runs, the latest first. One that cannot be understood is an error of its own.
    pub fn list(&self) -> Result<Vec<Result<Seen, GuideError>>, GuideError> {
        Ok(self.ids()?.iter().map(|id| self.look(id)).collect())
    }

    /// The names of all runs, the latest first.
    pub(super) fn ids(&self) -> Result<Vec<String>, GuideError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&self.folder)(error)),
        };
        let mut ids: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.retain(|id| self.folder.join(id).join(CARD).is_file());
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// The run that a word means: its name, or `last`.
    pub fn find(&self, word: &str) -> Result<String, GuideError> {
        if word != "last" {
            self.folder_of(word)?;
            return Ok(word.to_owned());
        }
        let newest = self.ids()?.into_iter().find(|id| self.look(id).is_ok());
        newest.ok_or_else(|| GuideError::NoRun(word.into()))
    }

    fn folder_of(&self, id: &str) -> Result<PathBuf, GuideError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let folder = self.folder.join(id);
        if id.is_empty() || !id.chars().all(good) || !folder.join(CARD).is_file() {
            return Err(GuideError::NoRun(Text::one_line(id)));
        }
        Ok(folder)
    }

    fn card(&self, id: &str) -> Result<Card, GuideError> {
        let path = self.folder.join(id).join(CARD);
        let bytes = fs::read(&path).map_err(io(&path))?;
        serde_json::from_slice(&bytes)
            .map_err(|why| GuideError::Garbled { path, why: why.to_string() })
    }
}

/// A run that this process drives. Dropping it lets others drive it.
#[derive(Debug)]
pub struct Run {
    id: String,
    folder: PathBuf,
    card: Card,
    state: State,
    journal: Journal,
    _lock: File,
    clock: Clock,
    /// This machine.
    host: Text,
}

impl Run {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The moment now, by the clock that its events are told by.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// What was answered, step by step, for the ledger.
    pub fn account(&self) -> Value {
        let answers = self.state.answers.iter().map(|answer| {
            let step = self.card.guide.steps.get(answer.step).map(|step| step.id.as_str());
            json!({ "step": step, "how": answer.how.word(), "by": answer.by, "at": answer.at })
        });
        let seconds = self.state.acts.iter().filter_map(|act| {
            let step = self.card.guide.steps.get(act.step).map(|step| step.id.as_str());
            Some(json!({ "step": step, "second": act.second.as_ref()? }))
        });
        let seconds: Vec<_> = seconds.collect();
        // What is said of it behind its end stands behind this many bytes of its journal.
        let bytes = fs::metadata(self.folder.join(JOURNAL)).map(|about| about.len()).ok();
        json!({ "answers": answers.collect::<Vec<_>>(), "seconds": seconds, "journal_bytes": bytes })
    }

    /// What others have said and nobody has taken yet, each with the file that it stands in.
    pub fn post(&self) -> Vec<(PathBuf, Event)> {
        post::read(&self.folder)
    }

    /// The SHA-256 of the journal as it is now.
    pub fn fingerprint(&self) -> io::Result<String> {
        fs::read(self.folder.join(JOURNAL)).map(|bytes| sha256(&bytes))
    }

    /// Takes an event, with what is kept of the command that it came from: it is on disk before anything can come
    /// of it.
    ///
    /// # Errors
    /// The refusal of the machine, or that the journal cannot be written: then nothing has happened.
    pub fn take(&mut self, event: &Event, evidence: Option<Evidence>) -> Result<(), Untaken> {
        let next = machine::step(&self.card.guide, &self.state, event).map_err(Untaken::Refused)?;
        let on = Site { host: self.host.clone(), ..Site::of(&self.card, &next) };
        self.journal.write(&Entry { event: event.clone(), on, evidence }).map_err(|source| {
            Untaken::Unwritten(GuideError::Io { path: self.folder.join(JOURNAL), source })
        })?;
        self.state = next;
        Ok(())
    }
}

/// Why an event was not taken.
#[derive(Debug)]
pub enum Untaken {
    /// It is nothing for now.
    Refused(machine::Refusal),
    /// It cannot be recorded, so it does not happen.
    Unwritten(GuideError),
}

/// The state that a run's events lead to. An event that is not taken any more changes nothing.
pub fn replay(card: &Card, entries: &[Entry]) -> State {
    let first = machine::begin(&card.guide, card.values.clone(), card.began);
    entries.iter().fold(first, |state, entry| {
        machine::step(&card.guide, &state, &entry.event).unwrap_or(state)
    })
}

/// A run whose configuration is gone can only be ended: its target went with it, as a demo does.
fn gone(card: &Card) -> Option<Text> {
    let file = card.common.iter().skip_while(|word| *word != "--config").nth(1)?;
    let missing = !Path::new(file).exists();
    missing.then(|| format!("its configuration '{file}' is gone").into())
}

/// Who holds the lock now.
fn driver_of(path: &Path) -> Option<Text> {
    let file = File::open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    Some(read_driver(path))
}

fn read_driver(path: &Path) -> Text {
    let mut words = String::new();
    let read = File::open(path).and_then(|file| file.take(500).read_to_string(&mut words));
    if read.is_err() || words.is_empty() { Text::ours("somebody") } else { Text::one_line(&words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide::library;

    /// Before acts had a budget and said what silence is normal, and before other fields came.
    #[test]
    fn a_run_of_an_older_build_is_read() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = Clock::system();
        let runs = Runs::at(home.path(), &clock);
        let card = Card {
            guide: library::guide(Path::new("/nowhere"), "restore").expect("ours"),
            values: Values::default(),
            began: clock.wall(),
            who: Who::current(None),
            host: "here".into(),
            on: "prod".into(),
            budget: Some(900),
            common: Vec::new(),
        };
        let id = runs.begin(&card).expect("begun").id().to_owned();
        let path = home.path().join(&id).join(CARD);
        let mut old: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        let mut taken = 0;
        for step in old["guide"]["step"].as_array_mut().expect("steps") {
            let step = step.as_object_mut().expect("a step");
            for field in ["budget", "silence", "abort", "second"] {
                taken += usize::from(step.remove(field).is_some());
            }
        }
        assert!(taken > 8, "{taken}");
        old["guide"].as_object_mut().expect("a guide").remove("outage");
        old.as_object_mut().expect("a card").remove("budget");
        fs::write(&path, old.to_string()).expect("written");
        let seen = runs.look(&id).expect("read");
        assert_eq!((seen.card.budget, seen.card.guide.steps.len()), (None, card.guide.steps.len()));
        let mut run = runs.drive(&id, &card.who).expect("driven");
        let input = Input::Abort("old".to_owned());
        run.take(&Event { at: clock.wall(), by: "me".into(), input }, None).expect("ended");
    }
}
