//! What was left by runs that were killed: put away by the next one, and written down as failed.

use super::{
    lock::Owner,
    run::{remove_files, write_failed},
};
use crate::{
    base::{clock::Clock, text::Text},
    recover::{
        Repository, Result,
        repository::{catalogue::State, manifest::Failed},
    },
};

/// The folder of a target in which archives stand on their way.
pub(super) const SPOOL: &str = "spool";

/// Puts away every unfinished backup of a target, and every object on its way there whose writer has ended:
/// their names. Call it only with the lock in hand: an unfinished backup then belongs to nobody any more. Who
/// left the lock behind tells how far its run was.
pub(super) fn sweep(
    repository: &Repository,
    left_by: Option<&Owner>,
    clock: &Clock,
) -> Result<Vec<Text>> {
    let last = left_by.and_then(|owner| owner.at.as_ref());
    let mut swept = Vec::new();
    for entry in repository.backups()? {
        if entry.state != State::Unfinished {
            continue;
        }
        remove_files(repository, &entry.id)?;
        let failed = Failed {
            id: entry.id.clone(),
            method: entry.id.method(),
            began: entry.id.began(),
            ended: clock.wall(),
            why: "it was killed, or its machine went down".to_owned(),
            step: last
                .filter(|at| at.backup == entry.id)
                .map_or_else(|| "unknown".to_owned(), |at| at.step.clone()),
            cancelled: false,
        };
        write_failed(repository, &failed)?;
        swept.push(entry.id.as_str().into());
    }
    if let Some(spool) = repository.storage().path(&repository.target().join(SPOOL)?)
        && spool.is_dir()
    {
        std::fs::remove_dir_all(&spool)
            .map_err(crate::recover::Fault::io(format!("cannot remove '{}'", spool.display())))?;
    }
    // Whoever only asks for the lock, or archives WAL, writes without it: each is asked whether it still runs.
    for leftover in repository.leftovers()?.unwrap_or_default() {
        if leftover.abandoned(clock.wall()) {
            repository.storage().remove_leftover(&leftover)?;
            swept.push(leftover.key.as_str().into());
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::{Path, PathBuf},
        process::Command,
        time::Duration,
    };

    use super::*;
    use crate::recover::repository::{self, key::Key, storage::Overwrite};

    /// What a process of this machine leaves of the lock when it is killed: its number is that of another.
    fn left_by(repository: &Repository, pid: u32) -> PathBuf {
        let key = repository.target().join("lock.json").expect("a name");
        let upload = repository.storage().create(&key, Overwrite::Never).expect("begun");
        let target = repository.storage().path(repository.target()).expect("a folder");
        let mut names = fs::read_dir(target).expect("listed").flatten();
        let own = std::process::id().to_string();
        let ours = |path: &PathBuf| path.to_string_lossy().contains(&format!("-{own}-"));
        let path = names.find_map(|entry| Some(entry.path()).filter(ours)).expect("it is there");
        let name = path.to_string_lossy().replace(&format!("-{own}-"), &format!("-{pid}-"));
        fs::copy(&path, &name).expect("left");
        drop(upload);
        PathBuf::from(name)
    }

    fn plant(target: &Path, name: &str, age: Duration) -> PathBuf {
        let path = target.join(name);
        let file = File::create(&path).expect("made");
        let made = file.metadata().and_then(|about| about.modified()).expect("told");
        file.set_modified(made - age).expect("set");
        path
    }

    #[test]
    fn what_killed_writers_left_goes_and_what_may_still_be_written_stays() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |name| repository::open(home.path().to_str().expect("a path"), name);
        let (ours, theirs) = (at("prod").expect("opened"), at("other").expect("opened"));
        let mut ended = Command::new("true").spawn().expect("started");
        ended.wait().expect("ended");
        let target = home.path().join("prod");
        let (now, old) = (Duration::ZERO, Duration::from_hours(25));
        let gone = [
            left_by(&ours, ended.id()),
            plant(&target, "lock.json.partial-abcdefgh", old),
            plant(&target, "target.json.partial-0badcafe-1-abcdefgh", old),
        ];
        let stay = [
            left_by(&theirs, ended.id()),
            left_by(&ours, std::os::unix::process::parent_id()),
            plant(&target, "lock.json.partial-bcdefghi", now),
            // A number of a process is worth nothing on another machine.
            plant(&target, &format!("lock.json.partial-0badcafe-{}-x", ended.id()), now),
        ];
        let swept = sweep(&ours, None, &Clock::system()).expect("swept");
        assert_eq!(swept, ["prod/lock.json", "prod/lock.json", "prod/target.json"].map(Text::from));
        assert!(!gone.iter().any(|path| path.exists()), "{gone:?}");
        assert!(stay.iter().all(|path| path.exists()), "{stay:?}");
        assert_eq!(sweep(&ours, None, &Clock::system()).expect("swept"), []);
        let lock = Key::new("prod/lock.json").expect("a name");
        assert_eq!(ours.storage().stat(&lock).expect("looked"), None, "no partial is a lock");
    }
}
