//! The repository as the console watches it: what recovery reads, told as the watch's plain data.

use std::sync::{Arc, Mutex, PoisonError};

use super::{args::PlaceArgs, place};
use crate::{
    base::{clock::Clock, config::Config, text::Text},
    recover::{
        Fault,
        physical::archive,
        repository::{
            catalogue::{Entry, State},
            manifest::{Level, Verification},
        },
        window::{Reader, Recoverable, Told},
    },
    watch::{
        snapshot::{
            BackupState, KeptBackup, KeptWal, Known, Pitr, Problem, Repository as Seen, Rto,
        },
        sources::keeper::Keeper,
    },
};

/// How often a repository is read: backups come once a day, WAL once a minute.
const PERIOD: std::time::Duration = std::time::Duration::from_secs(5);
/// Backups that the console lists.
const SHOWN: usize = 100;

/// The repository of a target, where one is configured. It is opened when it is first read, and again until
/// that succeeds: a console opens whether its repository is there or not.
pub fn keeper(config: &Config, args: &PlaceArgs) -> Option<Keeper> {
    let (location, _) = place::whereabouts(config, args).ok()?;
    let location = Text::from(location);
    let (config, args, shown) = (config.clone(), args.clone(), location.clone());
    let reader: Mutex<Option<Reader>> = Mutex::new(None);
    let read = move || {
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match &mut *reader {
            Some(reader) => reader,
            unopened => unopened.insert(open(&config, &args)?),
        };
        let found = reader.read(Clock::system().wall()).map_err(|fault| problem(&fault))?;
        let mut backups: Vec<KeptBackup> = reader.entries().map(backup).collect();
        backups.reverse();
        backups.truncate(SHOWN);
        Ok(seen(shown.clone(), backups, &found))
    };
    Some(Keeper { location, period: PERIOD, read: Arc::new(read) })
}

/// The same by the words that name a target.
pub fn of_target(config: &Config, words: Option<&str>) -> Option<Keeper> {
    keeper(config, &PlaceArgs { target: words.map(str::to_owned), ..PlaceArgs::default() })
}

fn open(config: &Config, args: &PlaceArgs) -> Result<Reader, Problem> {
    let repository = place::repository(config, args)
        .map_err(|failure| Problem { what: failure.to_string().into(), remedy: Text::default() })?;
    let wal = archive::InRepository::new(repository.clone(), Vec::new());
    Ok(Reader::new(repository, Some(Arc::new(wal))))
}

fn problem(fault: &Fault) -> Problem {
    Problem { what: fault.what().clone(), remedy: fault.advice().cloned().unwrap_or_default() }
}

fn seen(location: Text, backups: Vec<KeptBackup>, found: &Recoverable) -> Seen {
    let wal = known(&found.wal, |reach| KeptWal {
        timeline: reach.timeline,
        end: reach.end,
        at: reach.archived,
    });
    let rto = known(&found.rto, |rto| Rto {
        expected: rto.expected,
        measured: rto.measured,
        source: format!("{}: {}", rto.by.words(), rto.source).into(),
    });
    let pitr = match &found.pitr {
        Told::Is(told) => match (told.windows.first(), told.windows.last()) {
            (Some(first), Some(last)) => {
                Known::Is(Pitr { from: first.from, to: last.to, gaps: told.gaps.len() as u32 })
            }
            _ => Known::Unknown(Text::ours("no moment can be restored")),
        },
        Told::Unknown(why) => Known::Unknown(why.as_str().into()),
    };
    Seen { location, backups, wal, rto, pitr }
}

fn known<T, U>(told: &Told<T>, as_seen: impl Fn(&T) -> U) -> Known<U> {
    match told {
        Told::Is(value) => Known::Is(as_seen(value)),
        Told::Unknown(why) => Known::Unknown(why.as_str().into()),
    }
}

fn backup(entry: &Entry) -> KeptBackup {
    let id = entry.id.as_str();
    let (method, began) = (entry.id.method(), entry.id.began());
    let (duration, size, state) = match &entry.state {
        State::Complete { manifest, verified } => {
            let state = BackupState::Complete {
                level: verified.as_ref().and_then(|v| v.reached).map(|level| level as u8 + 1),
                wrong: verified.as_ref().and_then(wrong),
            };
            (Some(manifest.duration()), Some(manifest.stored_size()), state)
        }
        State::Failed(failed) => {
            let took = failed.ended.duration_since(failed.began);
            let why = failed.why.as_str().into();
            let state = BackupState::Failed { why, cancelled: failed.cancelled };
            (took.try_into().ok(), None, state)
        }
        State::Unfinished => (None, None, BackupState::Unfinished),
        State::Damaged(fault) => (None, None, BackupState::Damaged { why: fault.what().clone() }),
    };
    let method = method.to_string().into();
    KeptBackup { id: id.into(), method, began, duration, size, state }
}

/// What a verification found, in one line.
fn wrong(verification: &Verification) -> Option<Text> {
    let first = verification.findings.first()?;
    // The backup itself is whole.
    let first = &match verification.reached {
        Some(Level::L2) => format!("its WAL: {first}"),
        _ => first.clone(),
    };
    Some(match verification.findings.len() {
        1 => first.as_str().into(),
        many => format!("{first}, and {} more", many - 1).into(),
    })
}
