//! A run's journal: one line of JSON for each event, with where it happened and what is kept of the command that
//! it came from.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    GuideError,
    error::io,
    evidence::Evidence,
    run::Card,
    state::{Event, State},
};
use crate::base::text::Text;

/// Where something happens: the machine, the target, and the end of its system identifier. Two terminals look the
/// same; these do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The machine on which howdah runs.
    pub host: Text,
    /// The target's name.
    pub target: Text,
    /// The last digits of its system identifier; none until a look has told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Text>,
}

impl Site {
    /// Of a run that stands there.
    pub fn of(card: &Card, state: &State) -> Self {
        let tail = state.values.get(TAIL).map(|tail| Text::one_line(&tail));
        Self { host: card.host.clone(), target: card.on.clone(), tail }
    }

    /// In few words: `ops1 prod-eu …4821`.
    pub fn in_words(&self) -> String {
        let tail = self.tail.as_ref().map_or("—", |tail| tail.as_str());
        format!("{} {} …{tail}", self.host, self.target)
    }
}

/// The value that a guide's first look keeps the end of the system identifier in.
const TAIL: &str = "tail";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened, when and by whom.
    #[serde(flatten)]
    pub event: Event,
    /// Where.
    #[serde(default)]
    pub on: Site,
    /// What is kept of the command that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Lines that were written since we have it, counted before and behind: for tests that end us there.
    lines: (u32, u32),
}

impl Journal {
    /// Opens it behind its last whole line: half a line, of a driver that died when it wrote, is cut off; nothing
    /// came of it.
    pub fn open(path: &Path, whole: u64) -> Result<Self, GuideError> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(io(path))?;
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io(path))?;
        Ok(Self { file, lines: (0, 0) })
    }

    /// Writes a line; it is on disk when this returns well.
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        die_if_asked("HOWDAH_TEST_DIE_BEFORE_LINE", &mut self.lines.0, &line);
        let before = self.file.metadata()?.len();
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line would hide the next one.
            let _ = self.file.set_len(before);
        }
        die_if_asked("HOWDAH_TEST_DIE_BEHIND_LINE", &mut self.lines.1, &line);
        written
    }
}

/// The whole lines of a journal, and where they end.
pub fn read(path: &Path) -> Result<(Vec<Entry>, u64), GuideError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(io(path)(error)),
    };
    let mut reader = BufReader::new(file);
    let (mut entries, mut end) = (Vec::new(), 0);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(io(path))? > 0 && line.ends_with(b"\n") {
        let entry = serde_json::from_slice(&line).map_err(|why| GuideError::Garbled {
            path: path.to_owned(),
            why: format!("line at byte {end}: {why}"),
        })?;
        end += line.len() as u64;
        entries.push(entry);
        line.clear();
    }
    Ok((entries, end))
}

/// A debug build dies on request, so that tests can see that nothing is lost: at the so manieth line that it
/// writes, or at the first one that tells of one of such inputs.
#[cfg(debug_assertions)]
fn die_if_asked(variable: &str, written: &mut u32, line: &[u8]) {
    *written += 1;
    let Ok(asked) = std::env::var(variable) else { return };
    let line = String::from_utf8_lossy(line);
    let tells = |input: &str| {
        let (alone, more) = (format!(r#""input":"{input}""#), format!(r#""input":{{"{input}":"#));
        line.contains(&alone) || line.contains(&more)
    };
    if asked == written.to_string() || asked.split(' ').any(tells) {
        crate::base::process::signal(std::process::id() as i32, rustix::process::Signal::KILL);
        std::thread::park();
    }
}

#[cfg(not(debug_assertions))]
const fn die_if_asked(_: &str, _: &mut u32, _: &[u8]) {}
