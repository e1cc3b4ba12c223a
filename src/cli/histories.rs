//! Other backup engines as the console watches them: their histories, told as the watch's plain data.

use std::{sync::Arc, time::Duration};

use super::Failure;
use crate::{
    base::{
        cancel::Cancel,
        clock::{Clock, Timestamp},
        config::Config,
        text::Text,
    },
    recover::engines::{Access, Backup, History, State},
    watch::{
        snapshot::{BackupState, EngineHistory, KeptBackup, Problem},
        sources::keeper::{Keeper, Reader},
    },
};

/// How often an engine is asked: it is a program that is started anew, and backups come once a day.
const PERIOD: Duration = Duration::from_mins(1);
/// Backups of one engine that the console lists.
const SHOWN: usize = 100;

/// The engines that a target names; none for one that the configuration does not know.
///
/// # Errors
/// The account that one is to run as does not exist.
pub fn keepers(config: &Config, words: Option<&str>) -> Result<Vec<Keeper>, Failure> {
    let Some(target) =
        words.or(config.default_target.as_deref()).and_then(|name| config.targets.get(name))
    else {
        return Ok(Vec::new());
    };
    Ok(Access::all(&target.engines)?.into_iter().map(keeper).collect())
}

fn keeper(access: Access) -> Keeper {
    let name = Text::foreign(&format!("{} {}", access.engine, access.name));
    let (clock, shown) = (Clock::system(), name.clone());
    let read = move || match access.history(&Cancel::new()) {
        Ok(history) => Ok(told(shown.clone(), history, clock.wall())),
        Err(fault) => Err(Problem {
            what: fault.what().clone(),
            remedy: fault.advice().cloned().unwrap_or_default(),
        }),
    };
    Keeper { location: name.clone(), period: PERIOD, read: Reader::Engine(name, Arc::new(read)) }
}

fn told(name: Text, history: History, now: Timestamp) -> EngineHistory {
    let backups = history.backups.iter().take(SHOWN).map(|backup| kept(backup, now)).collect();
    EngineHistory { name, backups, complaints: history.complaints }
}

/// One backup as the console lists it. What tells no moment at all is being taken: it began by now.
fn kept(backup: &Backup, now: Timestamp) -> KeptBackup {
    KeptBackup {
        id: backup.id.clone(),
        method: backup.extent.map_or_else(|| "backup".into(), |extent| Text::ours(extent.word())),
        began: backup.began.or(backup.ended).unwrap_or(now),
        duration: backup.duration(),
        size: backup.stored,
        verified: None,
        state: match &backup.state {
            State::Whole => BackupState::Complete { level: None, wrong: None },
            State::Failed { reason } => {
                BackupState::Failed { why: reason.clone(), cancelled: false }
            }
            State::Running { .. } => BackupState::Unfinished,
        },
    }
}
