//! Our own backups as the plain type of all engines.

use super::{Backup, Engine, Extent, History, Span, State};
use crate::recover::{
    Repository, Result,
    repository::{
        catalogue::{self, Entry},
        manifest::{Method, lsn},
    },
};

/// What our repository keeps of its target.
pub fn history(repository: &Repository) -> Result<History> {
    let backups = repository.backups()?.into_iter().map(backup).collect();
    let mut history = History { backups, complaints: Vec::new() };
    history.sort();
    Ok(history)
}

fn extent(method: Method) -> Extent {
    match method {
        Method::Logical => Extent::Logical,
        Method::Physical => Extent::Full,
    }
}

fn backup(entry: Entry) -> Backup {
    let named = |state| Backup::named(Engine::Howdah, entry.id.as_str(), state);
    match entry.state {
        catalogue::State::Complete { manifest, verified } => {
            let found = verified.and_then(|verified| verified.findings.into_iter().next());
            let state = match found {
                Some(finding) => State::Failed { reason: finding.into() },
                None => State::Whole,
            };
            Backup {
                extent: Some(extent(manifest.method)),
                began: Some(manifest.began),
                ended: Some(manifest.ended),
                stored: Some(manifest.stored_size()),
                cluster: Some(manifest.content_size()),
                lsn: manifest
                    .wal
                    .as_ref()
                    .map(|wal| Span { first: lsn(wal.start).into(), last: lsn(wal.stop).into() }),
                system_identifier: Some(manifest.cluster.system_identifier),
                ..named(state)
            }
        }
        catalogue::State::Failed(failed) => Backup {
            extent: Some(extent(failed.method)),
            began: Some(failed.began),
            ended: Some(failed.ended),
            ..named(State::Failed { reason: failed.why.into() })
        },
        catalogue::State::Unfinished => named(State::Running { percent: None }),
        catalogue::State::Damaged(fault) => named(State::Failed { reason: fault.what().clone() }),
    }
}
