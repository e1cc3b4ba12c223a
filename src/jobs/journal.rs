//! The journal: what a job says about itself, line by line.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{JobError, error};
use crate::base::{
    cancel::Cancel,
    clock::{Clock, Stamp, Timestamp},
    paths::private_file,
    progress::{Cleanup, Ending, Measured, Meter, Observer, Progress, StepId, Unrecorded},
    text::Text,
};

/// Progress is journalled every second at first; after ten minutes every five.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What one line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A step is about to begin.
    Intent {
        /// Its number.
        step: StepId,
        /// Its name.
        name: Text,
        /// What it leaves when nobody ends it.
        cleanup: Cleanup,
    },
    /// A step has ended.
    Result {
        /// Its number.
        step: StepId,
        /// Its name.
        name: Text,
        /// How.
        ending: Ending,
    },
    /// How far the present phase is.
    Progress(Measured),
    /// Words.
    Note(Text),
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When, by the machine's clock.
    pub at: Timestamp,
    /// Milliseconds since the journal was begun, on the monotonic clock.
    pub elapsed_ms: u64,
    /// What.
    pub said: Said,
}

/// The journal of the job that this process is. Intents and results are on disk when the call returns;
/// progress and notes are on their way.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    cancel: Cancel,
    clock: Clock,
    begun: Stamp,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    meter: Meter,
    steps: StepId,
    /// Where this process is to be killed: for tests.
    dies: Option<Death>,
}

/// Where a job of a debug build is killed on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Behind the intent of that step; of step 0, as soon as it runs.
    Behind(StepId),
    /// Before the result of that step.
    Before(StepId),
    /// When all is done, before it is told.
    Untold,
}

impl Death {
    fn read(word: &str) -> Option<Self> {
        Some(match word.strip_suffix('-') {
            _ if word == "untold" => Self::Untold,
            Some(step) => Self::Before(step.parse().ok()?),
            None => Self::Behind(word.parse().ok()?),
        })
    }
}

impl Inner {
    fn die_at(&self, place: Death) {
        if cfg!(debug_assertions) && self.dies == Some(place) {
            crate::base::process::signal(std::process::id() as i32, rustix::process::Signal::KILL);
            std::thread::park();
        }
    }
}

impl Journal {
    pub(super) fn create(path: &Path, cancel: Cancel, clock: &Clock) -> Result<Self, JobError> {
        let file = private_file(path).map_err(error::io(path))?;
        let inner = Inner { file, meter: Meter::new(PACE.0, PACE.1), steps: 0, dies: None };
        Ok(Self {
            path: path.to_owned(),
            cancel,
            clock: clock.clone(),
            begun: clock.now(),
            inner: Mutex::new(inner),
        })
    }

    /// A debug build dies on request, so that tests can see what a killed job leaves. Each word of the request is
    /// the end of a tag with a place: `copy-1:2`, `copy-2:1-`, `copy-3:untold`.
    pub(super) fn die_where_asked(&mut self, tag: &str) {
        let asked = std::env::var("HOWDAH_TEST_JOB_DIES").unwrap_or_default();
        let own = asked.split(' ').filter_map(|word| word.rsplit_once(':'));
        let mut place = own.filter(|(end, _)| tag.ends_with(&format!("/{end}")));
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.dies = place.find_map(|(_, place)| Death::read(place));
        inner.die_at(Death::Behind(0));
    }

    /// Dies before the result of the job is told, on request.
    pub(super) fn die_untold(&self) {
        self.with(|inner| inner.die_at(Death::Untold));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A thread that panicked while it wrote has at worst left half a line, which readers pass over.
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One line, in one write.
    fn write(&self, inner: &mut Inner, said: Said) -> io::Result<()> {
        let now = self.clock.now();
        let elapsed_ms = now.since(self.begun).as_millis() as u64;
        let line = Line { at: self.clock.wall(), elapsed_ms, said };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        inner.file.write_all(text.as_bytes())
    }

    fn write_safely(&self, inner: &mut Inner, name: &Text, said: Said) -> Result<(), Unrecorded> {
        let written = self.write(inner, said).and_then(|()| inner.file.sync_data());
        written.map_err(|source| Unrecorded { step: name.clone(), source })
    }

    /// Progress and notes that cannot be written are no reason to stop; the next step tells.
    fn write_loosely(&self, inner: &mut Inner, said: Said) {
        if let Err(error) = self.write(inner, said) {
            tracing::warn!(path = %self.path.display(), %error, "the journal cannot be written");
        }
    }

    /// Writes what was held back.
    pub(super) fn finish(&self) {
        self.with(|inner| {
            if let Some(rest) = inner.meter.rest() {
                self.write_loosely(inner, Said::Progress(rest));
            }
        });
    }
}

impl Observer for Journal {
    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn begin(&self, name: &Text, cleanup: &Cleanup) -> Result<StepId, Unrecorded> {
        self.with(|inner| {
            let step = inner.steps + 1;
            let said = Said::Intent { step, name: name.clone(), cleanup: cleanup.clone() };
            self.write_safely(inner, name, said)?;
            inner.steps = step;
            inner.die_at(Death::Behind(step));
            Ok(step)
        })
    }

    fn end(&self, step: StepId, name: &Text, ending: &Ending) -> Result<(), Unrecorded> {
        self.with(|inner| {
            inner.die_at(Death::Before(step));
            if let Some(rest) = inner.meter.rest() {
                self.write_loosely(inner, Said::Progress(rest));
            }
            let said = Said::Result { step, name: name.clone(), ending: ending.clone() };
            self.write_safely(inner, name, said)
        })
    }

    fn progress(&self, progress: &Progress) {
        let now = self.clock.now();
        self.with(|inner| {
            for measured in inner.meter.see(progress, now) {
                self.write_loosely(inner, Said::Progress(measured));
            }
        });
    }

    fn note(&self, words: &Text) {
        self.with(|inner| self.write_loosely(inner, Said::Note(words.clone())));
    }
}

/// Reads a journal as it grows. Several may follow one journal; none disturbs its writer.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    from: u64,
}

impl Follow {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, from: 0 }
    }

    /// The whole lines that came since the last call; none when there is no journal yet. A line that is no
    /// line of a journal is passed over.
    pub fn lines(&mut self) -> Result<Vec<Line>, JobError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error::io(&self.path)(error)),
        };
        self.read(&mut file).map_err(error::io(&self.path))
    }

    fn read(&mut self, file: &mut File) -> io::Result<Vec<Line>> {
        file.seek(SeekFrom::Start(self.from))?;
        let mut reader = BufReader::new(file);
        let mut found = Vec::new();
        let mut bytes = Vec::new();
        // What has no line feed yet is read again the next time.
        while reader.read_until(b'\n', &mut bytes)? > 0 && bytes.ends_with(b"\n") {
            self.from += bytes.len() as u64;
            found.extend(serde_json::from_slice::<Line>(&bytes).ok());
            bytes.clear();
        }
        Ok(found)
    }
}

/// A step that was begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenStep {
    /// Its number.
    pub step: StepId,
    /// Its name.
    pub name: Text,
    /// When it was begun.
    pub since: Timestamp,
    /// What it leaves when nobody ends it, and how to put it away.
    pub cleanup: Cleanup,
}

/// What a journal comes to, kept up to date line by line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Story {
    /// The steps that are open, the newest first: in this order their clean-ups are to be done.
    pub open: Vec<OpenStep>,
    /// The last step that was begun, open or not.
    pub last_step: Option<Text>,
    /// Its number.
    #[serde(skip)]
    last: StepId,
    /// How many steps have ended well.
    pub steps_done: u64,
    /// The last progress.
    pub progress: Option<Measured>,
    /// When the last line was written.
    pub last_word: Option<Timestamp>,
}

impl Story {
    /// Takes in one more line.
    pub fn hear(&mut self, line: &Line) {
        self.last_word = Some(line.at);
        match &line.said {
            Said::Intent { step, name, cleanup } => {
                self.last_step = Some(name.clone());
                self.last = *step;
                let (step, name, since) = (*step, name.clone(), line.at);
                self.open.insert(0, OpenStep { step, name, since, cleanup: cleanup.clone() });
            }
            Said::Result { step, ending, .. } => {
                self.open.retain(|open| open.step != *step);
                self.steps_done += u64::from(matches!(ending, Ending::Done(_)));
            }
            Said::Progress(measured) => self.progress = Some(measured.clone()),
            Said::Note(_) => {}
        }
    }

    /// How far a job was by its last word, for one that says no more: `in the step 'copy'`, or between two of
    /// them `behind the step 'copy'`.
    pub fn place(&self) -> String {
        let Some(name) = &self.last_step else { return "before its first step".to_owned() };
        let open = self.open.iter().any(|open| open.step == self.last);
        format!("{} the step '{name}'", if open { "in" } else { "behind" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_tells_whether_the_last_step_was_over() {
        let (mut story, mut places) = (Story::default(), Vec::new());
        let intent =
            |step, name: &str| Said::Intent { step, name: name.into(), cleanup: Cleanup::none() };
        let done = |step, name: &str| Said::Result {
            step,
            name: name.into(),
            ending: Ending::Done(serde_json::Value::Null),
        };
        places.push(story.place());
        for said in [intent(1, "all"), intent(2, "copy"), done(2, "copy"), done(1, "all")] {
            story.hear(&Line { at: Timestamp::UNIX_EPOCH, elapsed_ms: 0, said });
            places.push(story.place());
        }
        let told = [
            "before its first step",
            "in the step 'all'",
            "in the step 'copy'",
            "behind the step 'copy'",
            "behind the step 'copy'",
        ];
        assert_eq!(places, told);
    }
}
