//! What is silenced of one target: a file in the state folder that every process of this user reads, and
//! changes one at a time. A silence is a lease: it has an end, a reason and a name, and runs out by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::snapshot::{Severity, Silence};
use crate::{
    base::{
        clock::Clock,
        digest::mark,
        paths::{private_file, private_folder, write_private},
        text::Text,
        units,
    },
    resilience::conninfo::Settings,
};

/// The longest silence: within a day somebody has to say again why it is quiet.
pub const LONGEST: Duration = Duration::from_hours(24);
/// The shortest.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// How long another process is waited for: it holds the file for the time of a write.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often that is tried.
const AGAIN: Duration = Duration::from_millis(20);

/// What is to be silenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The check.
    pub check: Text,
    /// One subject of it, or all of it.
    pub subject: Option<Text>,
    /// How bad it may be; worse breaks through.
    pub up_to: Severity,
    /// For how long.
    pub lasts: Duration,
    /// Why.
    pub why: Text,
}

impl Wish {
    /// What it is about: `pool_wait api-2`, or `pool_wait` for all of the check.
    pub fn about(&self) -> String {
        about(&self.check, self.subject.as_ref())
    }
}

/// What a silence is about: `pool_wait api-2`, or `pool_wait` for all of the check.
pub fn about(check: &Text, subject: Option<&Text>) -> String {
    match subject {
        Some(subject) => format!("{check} {subject}"),
        None => check.to_string(),
    }
}

/// Why something could not be silenced, or what is silenced cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// It would last too long, or no time at all.
    #[error("a silence lasts a second at the least and {} at the most, not {}", units::span(LONGEST), units::span(*.0))]
    Span(Duration),
    /// Nobody said why.
    #[error("say why: a silence without a reason is a fault that nobody knows of")]
    NoReason,
    /// The file is not what was written.
    #[error("'{}' cannot be understood: {why}; what it silences is not silenced", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another process holds the file.
    #[error("'{}' is held by another process", .0.display())]
    Held(PathBuf),
    /// The file cannot be read or written.
    #[error("'{}': {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The silences of one target.
#[derive(Clone, Debug)]
pub struct Silences {
    file: PathBuf,
    clock: Clock,
}

impl Silences {
    /// Those of a target, kept in `folder`. A name may mean another server tomorrow, and the database `postgres`
    /// is on each: the file is of this name on these hosts.
    pub fn of(folder: &Path, target: &str, settings: &Settings, clock: &Clock) -> Self {
        let hosts: Vec<String> = settings.hosts.iter().map(ToString::to_string).collect();
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = target.chars().take(40).map(safe).collect();
        let mark = mark(&json!([target, hosts]));
        Self { file: folder.join(format!("{name}-{mark}.json")), clock: clock.clone() }
    }

    /// Where they are kept.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Those that last, the first to end first.
    pub fn read(&self) -> Result<Vec<Silence>, SilenceError> {
        let bytes = match fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        let garbled = |why: serde_json::Error| SilenceError::Garbled {
            path: self.file.clone(),
            why: why.to_string(),
        };
        let mut silences: Vec<Silence> = serde_json::from_slice(&bytes).map_err(garbled)?;
        let now = self.clock.wall();
        silences.retain(|silence| silence.lasts(now));
        silences.sort_by(|a, b| a.until.cmp(&b.until).then_with(|| a.id.cmp(&b.id)));
        Ok(silences)
    }

    /// Silences something in somebody's name, instead of what was said about the very same before.
    pub fn add(&self, wish: &Wish, by: &Text) -> Result<Silence, SilenceError> {
        if !(SHORTEST..=LONGEST).contains(&wish.lasts) {
            return Err(SilenceError::Span(wish.lasts));
        }
        if wish.why.trim().is_empty() {
            return Err(SilenceError::NoReason);
        }
        let since = self.clock.wall();
        let until = since + wish.lasts;
        let id = mark(&json!([wish.check, wish.subject, since, by]));
        let silence = Silence {
            id: id.get(..6).unwrap_or(&id).into(),
            check: wish.check.clone(),
            subject: wish.subject.clone(),
            up_to: wish.up_to,
            since,
            until,
            by: by.clone(),
            why: Text::one_line(wish.why.trim()),
        };
        self.change(|silences| {
            silences.retain(|one| (&one.check, &one.subject) != (&silence.check, &silence.subject));
            silences.push(silence.clone());
        })?;
        Ok(silence)
    }

    /// Ends the silence of that id before its time; none when there is none.
    pub fn end(&self, id: &str) -> Result<Option<Silence>, SilenceError> {
        let mut ended = None;
        self.change(|silences| {
            let place = silences.iter().position(|silence| *silence.id == *id);
            ended = place.map(|place| silences.remove(place));
        })?;
        Ok(ended)
    }

    /// Reads, changes and writes them as the only process that does. Those that are over go.
    fn change(&self, change: impl FnOnce(&mut Vec<Silence>)) -> Result<(), SilenceError> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        private_folder(folder).map_err(|error| self.io(error))?;
        let _lock = self.lock()?;
        let mut silences = self.read()?;
        change(&mut silences);
        serde_json::to_string_pretty(&silences)
            .map_err(io::Error::from)
            .and_then(|json| write_private(&self.file, (json + "\n").as_bytes()))
            .map_err(|error| self.io(error))
    }

    /// The right to change them, until it is dropped.
    fn lock(&self) -> Result<fs::File, SilenceError> {
        let file = self.file.with_extension("lock");
        let lock = private_file(&file).map_err(|error| self.io(error))?;
        let end = self.clock.now().plus(PATIENCE);
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if self.clock.now() >= end {
                return Err(SilenceError::Held(file));
            }
            thread::sleep(AGAIN);
        }
        Ok(lock)
    }

    fn io(&self, error: io::Error) -> SilenceError {
        SilenceError::Io { path: self.file.clone(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::conninfo::Environment;

    fn settings(words: &str) -> Settings {
        Settings::parse(&format!("user=u {words}"), &Environment::bare()).expect("settings")
    }

    fn wish(subject: &str, lasts: Duration) -> Wish {
        Wish {
            check: "pool_wait".into(),
            subject: Some(subject.into()),
            up_to: Severity::Warning,
            lasts,
            why: "the deploy".into(),
        }
    }

    fn subjects(silences: &Silences) -> Vec<String> {
        let read = silences.read().expect("read");
        read.iter().map(|one| one.subject.as_ref().expect("one").to_string()).collect()
    }

    #[test]
    fn a_silence_is_kept_replaced_ended_and_runs_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::test();
        let of = |clock: &Clock| {
            Silences::of(&folder.path().join("silences"), "prod/eu", &settings("host=a"), clock)
        };
        let silences = of(&clock);
        assert_eq!(silences.read().expect("read"), []);
        let first =
            silences.add(&wish("api", Duration::from_mins(30)), &"ann".into()).expect("kept");
        silences.add(&wish("web", Duration::from_mins(10)), &"bob".into()).expect("kept");
        assert_eq!(subjects(&of(&clock)), ["web", "api"], "another process sees both");
        clock.advance(Duration::from_secs(1));
        let again =
            silences.add(&wish("api", Duration::from_mins(5)), &"ann".into()).expect("kept");
        assert_eq!(subjects(&silences), ["api", "web"]);
        assert_eq!(silences.end(&first.id).expect("read"), None, "it was replaced");
        assert_eq!(silences.end(&again.id).expect("ended"), Some(again));
        clock.advance(Duration::from_mins(10));
        assert_eq!(silences.read().expect("read"), [], "its time has come");
    }

    #[test]
    fn what_nobody_could_answer_for_is_not_silenced() {
        let folder = tempfile::tempdir().expect("a folder");
        let silences = Silences::of(folder.path(), "prod", &settings("host=a"), &Clock::test());
        for lasts in [Duration::ZERO, LONGEST + Duration::from_secs(1)] {
            let error = silences.add(&wish("api", lasts), &"ann".into()).expect_err("refused");
            assert!(matches!(error, SilenceError::Span(_)), "{error}");
        }
        let silent = Wish { why: "  ".into(), ..wish("api", Duration::from_mins(1)) };
        let error = silences.add(&silent, &"ann".into()).expect_err("refused");
        assert!(matches!(error, SilenceError::NoReason), "{error}");
        fs::write(silences.file(), "[{").expect("written");
        assert!(matches!(silences.read(), Err(SilenceError::Garbled { .. })));
    }

    #[test]
    fn each_server_has_its_own() {
        let of = |target, words| {
            let silences = Silences::of(Path::new("/s"), target, &settings(words), &Clock::test());
            silences.file().to_owned()
        };
        assert_eq!(of("a", "host=x"), of("a", "host=x user=v dbname=d"));
        assert_ne!(of("a", "host=x"), of("a", "host=y"));
        assert_ne!(of("a", "host=x"), of("a", "host=x port=5433"));
        assert_ne!(of("a/b", "host=x"), of("a-b", "host=x"));
    }

    #[test]
    fn many_processes_lose_nothing_of_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = || Silences::of(folder.path(), "prod", &settings("host=a"), &Clock::system());
        thread::scope(|scope| {
            for writer in 0..4 {
                let silences = of();
                scope.spawn(move || {
                    for round in 0..5 {
                        let subject = format!("{writer}-{round}");
                        let wish = wish(&subject, Duration::from_mins(5));
                        silences.add(&wish, &"ann".into()).expect("kept");
                    }
                });
            }
        });
        assert_eq!(of().read().expect("read").len(), 20);
    }
}
