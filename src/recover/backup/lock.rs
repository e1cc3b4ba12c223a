//! One backup of a target at a time: an object that names who is at work.

use std::{cell::RefCell, fmt, fs, thread, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        clock::{Clock, Timestamp},
        process::{self, Identity},
        text::Text,
        units,
    },
    recover::{
        Fault, Kind, Repository, Result,
        repository::{key::Key, manifest::BackupId, storage::Overwrite},
    },
};

/// The lock's name, directly below that of the target.
pub const OBJECT: &str = "lock.json";
/// Who takes over a stale lock looks once more after this long whether somebody else did, too.
const CONFIRM: Duration = Duration::from_millis(250);

/// Who is at work on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine.
    pub host: String,
    /// The process on that machine.
    pub process: Identity,
    /// Since when.
    pub since: Timestamp,
    /// What it does, such as `backup`.
    pub what: String,
    /// How far it is, for whoever finds the lock when it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// The backup that it makes.
    pub backup: BackupId,
    /// The step that it is in.
    pub step: String,
}

impl Owner {
    /// This process.
    pub(in crate::recover) fn own(what: &str, clock: &Clock) -> Result<Self> {
        let process = Identity::own().ok_or_else(|| {
            Fault::new(Kind::Failed, "this process cannot be found in the system's list")
        })?;
        Ok(Self {
            host: process::host(),
            process,
            since: clock.wall(),
            what: what.to_owned(),
            at: None,
        })
    }

    /// How it stands with its process.
    pub(in crate::recover) fn fate(&self) -> Fate {
        if self.host != process::host() {
            Fate::Elsewhere
        } else if self.process.alive() {
            Fate::Working
        } else {
            Fate::Gone
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, host) = (self.process.pid, Text::foreign(&self.host));
        write!(f, "'{}' of process {pid} on {host}", Text::foreign(&self.what))
    }
}

/// How somebody's process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::recover) enum Fate {
    /// It runs on this machine.
    Working,
    /// It does not run any more.
    Gone,
    /// It is on another machine, of which nothing is known.
    Elsewhere,
}

/// The lock, while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock<'a> {
    repository: &'a Repository,
    key: Key,
    owner: RefCell<Owner>,
    /// Whose stale lock was taken over.
    pub taken_over: Option<Owner>,
}

impl<'a> Lock<'a> {
    /// Takes the lock of a target. A stale one, whose process is gone from this machine, is taken over.
    /// With `force` any other is, too: for a lock of another machine, of which nothing is known.
    ///
    /// # Errors
    /// [`Kind::Refused`] when somebody is at work, naming who and since when.
    pub fn take(
        repository: &'a Repository,
        what: &str,
        force: bool,
        clock: &Clock,
    ) -> Result<Self> {
        let key = repository.target().join(OBJECT)?;
        let owner = RefCell::new(Owner::own(what, clock)?);
        let mut lock = Self { repository, key, owner, taken_over: None };
        let written = repository.write_json(&lock.key, &*lock.owner.borrow(), Overwrite::Never);
        match written {
            Err(fault) if fault.kind == Kind::Refused => lock.take_over(force, clock)?,
            written => written?,
        }
        Ok(lock)
    }

    /// Writes down how far the run is. That is a help for whoever finds the lock without its owner: when it
    /// cannot be written, the run itself will find out why. A lock that is not ours any more stays as it is.
    pub fn note(&self, at: At) {
        let ours = |held: Result<Option<Owner>>| {
            held.is_ok_and(|held| held.as_ref() == Some(&*self.owner.borrow()))
        };
        if !ours(holder(self.repository)) {
            return;
        }
        let told = Owner { at: Some(at), ..self.owner.borrow().clone() };
        if self.repository.write_json(&self.key, &told, Overwrite::Replace).is_ok() {
            *self.owner.borrow_mut() = told;
        }
    }

    fn take_over(&mut self, force: bool, clock: &Clock) -> Result<()> {
        // Among processes of this machine the look and the act are one, where the storage is a folder.
        let folder = self.repository.storage().path(self.repository.target());
        let guard = folder.and_then(|folder| fs::File::open(folder).ok());
        if let Some(guard) = &guard {
            guard.lock().map_err(Fault::io("cannot look at the lock"))?;
        }
        let held = match holder(self.repository) {
            Err(fault) if fault.kind == Kind::Damaged && force => None,
            Err(fault) if fault.kind == Kind::Damaged => {
                let what = format!("whether somebody is at work cannot be told: {}", fault.what());
                return Err(Fault::new(Kind::Refused, what)
                    .remedy("when nobody is, take it away with --break-lock"));
            }
            held => held?,
        };
        if let Some(owner) = &held
            && owner.fate() != Fate::Gone
            && !force
        {
            return Err(refusal(owner, clock));
        }
        self.taken_over = held;
        self.repository.write_json(&self.key, &*self.owner.borrow(), Overwrite::Replace)?;
        drop(guard);
        // A storage without such a guard keeps the last writer: the others see that here.
        thread::sleep(CONFIRM);
        match holder(self.repository)? {
            Some(owner) if owner == *self.owner.borrow() => Ok(()),
            Some(owner) => Err(refusal(&owner, clock)),
            None => Err(Fault::new(Kind::Refused, "the lock was broken by somebody else")),
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // What cannot be given back is recognised as stale once this process is gone.
        if let Ok(Some(owner)) = holder(self.repository)
            && owner == *self.owner.borrow()
        {
            let _ = self.repository.storage().remove(&self.key);
        }
    }
}

/// Who holds the lock of a target now, alive or not.
///
/// # Errors
/// [`Kind::Damaged`] when the lock cannot be understood.
pub fn holder(repository: &Repository) -> Result<Option<Owner>> {
    let key = repository.target().join(OBJECT)?;
    if repository.storage().stat(&key)?.is_none() {
        return Ok(None);
    }
    repository.read_json(&key).map(Some)
}

/// True while somebody may be at work: on this machine its process runs, or it is on another one.
pub fn busy(repository: &Repository) -> Result<bool> {
    Ok(holder(repository)?.is_some_and(|owner| owner.fate() != Fate::Gone))
}

fn refusal(owner: &Owner, clock: &Clock) -> Fault {
    let age = clock.wall().duration_since(owner.since);
    let age = units::span(Duration::try_from(age).unwrap_or_default());
    let what = format!("another run is at work: {owner}, for {age}");
    let remedy = match owner.fate() {
        Fate::Elsewhere => "look there whether it still runs; if it does not, give --break-lock",
        Fate::Working | Fate::Gone => "wait for its end, or end it",
    };
    Fault::new(Kind::Refused, what).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::repository;

    fn repository(home: &tempfile::TempDir) -> Repository {
        repository::open(home.path().to_str().expect("a path"), "prod").expect("opened")
    }

    fn plant(repository: &Repository, owner: &Owner) {
        let key = repository.target().join(OBJECT).expect("a name");
        repository.write_json(&key, owner, Overwrite::Replace).expect("written");
    }

    #[test]
    fn one_at_a_time_and_given_back_at_the_end() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home);
        let clock = Clock::system();
        let lock = Lock::take(&repository, "backup", false, &clock).expect("free");
        let refused = Lock::take(&repository, "backup", false, &clock).expect_err("held");
        assert_eq!(refused.kind, Kind::Refused);
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
        assert!(busy(&repository).expect("looked"));
        drop(lock);
        assert_eq!(holder(&repository).expect("looked"), None);
    }

    #[test]
    fn a_lock_whose_process_is_gone_is_taken_over_and_that_is_told() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home);
        let clock = Clock::system();
        let mut owner = Owner::own("backup", &clock).expect("we run");
        owner.process.started = "long ago".into();
        plant(&repository, &owner);
        assert!(!busy(&repository).expect("looked"));
        let lock = Lock::take(&repository, "backup", false, &clock).expect("stale");
        assert_eq!(lock.taken_over.as_ref(), Some(&owner));
    }

    #[test]
    fn a_lock_of_another_machine_stands_until_it_is_broken() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home);
        let clock = Clock::system();
        let mut owner = Owner::own("backup", &clock).expect("we run");
        owner.host = "elsewhere".into();
        plant(&repository, &owner);
        let refused = Lock::take(&repository, "backup", false, &clock).expect_err("held");
        assert!(refused.to_string().contains("--break-lock"), "{refused}");
        assert!(refused.to_string().contains("elsewhere"), "{refused}");
        let lock = Lock::take(&repository, "backup", true, &clock).expect("broken");
        assert_eq!(lock.taken_over, Some(owner));
    }

    #[test]
    fn of_many_who_find_a_stale_lock_one_gets_it() {
        let home = tempfile::tempdir().expect("a folder");
        let place = repository(&home);
        let clock = Clock::system();
        let mut owner = Owner::own("backup", &clock).expect("we run");
        owner.process.started = "long ago".into();
        plant(&place, &owner);
        let won: Vec<bool> = thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|n| {
                    let (place, clock) = (&place, &clock);
                    scope.spawn(move || {
                        let what = format!("backup {n}");
                        // Held to the end of the race by leaking it: a drop would free it for the next.
                        Lock::take(place, &what, false, clock).map(std::mem::forget).is_ok()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("ran")).collect()
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1, "{won:?}");
    }
}
