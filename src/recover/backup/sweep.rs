//! What was left by runs that were killed: put away by the next one, and written down as failed.

use super::{
    lock::Owner,
    run::{remove_files, write_failed},
};
use crate::{
    base::clock::{Clock, Timestamp},
    recover::{
        Repository, Result,
        repository::{
            catalogue::State,
            manifest::{BackupId, Failed, Method},
        },
    },
};

/// The folder of a target in which archives stand on their way.
pub(super) const SPOOL: &str = "spool";

/// Puts away every unfinished backup of a target. Call it only with the lock in hand: what is unfinished
/// then belongs to nobody any more. Who left the lock behind tells how far its run was.
pub(super) fn sweep(
    repository: &Repository,
    left_by: Option<&Owner>,
    clock: &Clock,
) -> Result<Vec<BackupId>> {
    let last = left_by.and_then(|owner| owner.at.as_ref());
    let mut swept = Vec::new();
    for entry in repository.backups()? {
        if entry.state != State::Unfinished {
            continue;
        }
        remove_files(repository, &entry.id)?;
        let (began, method) = told_by(&entry.id);
        let failed = Failed {
            id: entry.id.clone(),
            method,
            began: began.unwrap_or_else(|| clock.wall()),
            ended: clock.wall(),
            why: "it was killed, or its machine went down".to_owned(),
            step: last
                .filter(|at| at.backup == entry.id)
                .map_or_else(|| "unknown".to_owned(), |at| at.step.clone()),
            cancelled: false,
        };
        write_failed(repository, &failed)?;
        swept.push(entry.id);
    }
    if let Some(spool) = repository.storage().path(&repository.target().join(SPOOL)?)
        && spool.is_dir()
    {
        std::fs::remove_dir_all(&spool)
            .map_err(crate::recover::Fault::io(format!("cannot remove '{}'", spool.display())))?;
    }
    Ok(swept)
}

/// When a backup began and how it was taken, by its name alone.
fn told_by(id: &BackupId) -> (Option<Timestamp>, Method) {
    let (at, method) = id.as_str().split_once('-').unwrap_or_default();
    let at = jiff::fmt::strtime::parse("%Y%m%dT%H%M%S%z", at.replace('Z', "+0000"))
        .and_then(|broken| broken.to_timestamp())
        .ok();
    (at, if method == "physical" { Method::Physical } else { Method::Logical })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_and_how() {
        let at: Timestamp = "2026-11-25T02:00:00Z".parse().expect("a time");
        for method in [Method::Logical, Method::Physical] {
            assert_eq!(told_by(&BackupId::new(at, method)), (Some(at), method));
        }
    }
}
