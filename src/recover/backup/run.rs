//! One run: its name, its steps, and what is left of it when it fails.

use std::cell::{Cell, RefCell};

use serde_json::Value;

use super::lock::{At, Lock};

use crate::{
    base::{
        clock::{Clock, Timestamp},
        process,
        progress::{Cleanup, Observer},
        text::Text,
    },
    recover::{
        Fault, Kind, Repository, Result,
        repository::{
            catalogue::FAILED,
            manifest::{BackupId, Failed, Manifest, Method, Phase},
            storage::Overwrite,
        },
        session::Session,
    },
    resilience::conninfo::Settings,
};

/// How long sessions of a tool that was ended may take to leave the server.
const LEAVE_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// The step before all others.
const PREFLIGHT: &str = "preflight";

/// What every part of a run needs.
pub(super) struct Run<'a> {
    pub id: BackupId,
    pub method: Method,
    pub began: Timestamp,
    /// Every session of this run, ours and the tools', calls itself [`Run::tag`].
    pub settings: Settings,
    pub repository: &'a Repository,
    pub observer: &'a dyn Observer,
    pub clock: Clock,
    /// The newest whole backup of the same kind.
    pub previous: Option<Manifest>,
    pub threads: u32,
    lock: &'a Lock<'a>,
    phases: RefCell<Vec<Phase>>,
    step: Cell<&'static str>,
}

impl<'a> Run<'a> {
    pub fn new(
        began: Timestamp,
        method: Method,
        settings: &Settings,
        lock: &'a Lock<'a>,
        repository: &'a Repository,
        observer: &'a dyn Observer,
    ) -> Self {
        let id = BackupId::new(began, method);
        let mut settings = settings.clone();
        settings.application_name = Some(tag(&id));
        // The calling thread reads and hashes; these compress.
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
        lock.note(At { backup: id.clone(), step: PREFLIGHT.to_owned() });
        Self {
            id,
            method,
            began,
            settings,
            repository,
            observer,
            clock: Clock::system(),
            previous: None,
            threads: threads as u32,
            lock,
            phases: RefCell::default(),
            step: Cell::new(PREFLIGHT),
        }
    }

    /// Does one step: recorded before, timed, recorded after. `act` leaves nothing behind when it fails,
    /// except whole files of this backup, which the end of the run puts away.
    pub fn step<T>(
        &self,
        name: &'static str,
        what: impl Into<Text>,
        cleanup: &Cleanup,
        act: impl FnOnce() -> Result<(T, Value)>,
    ) -> Result<T> {
        self.step.set(name);
        self.go_on()?;
        self.lock.note(At { backup: self.id.clone(), step: name.to_owned() });
        let what: Text = what.into();
        let step = self.observer.step(what.clone(), cleanup)?;
        let start = self.clock.now();
        match act() {
            Ok((value, details)) => {
                let seconds = self.clock.now().since(start).as_secs_f64();
                self.phases.borrow_mut().push(Phase { name: what.as_str().to_owned(), seconds });
                step.done(details)?;
                Ok(value)
            }
            Err(fault) => {
                step.undone(fault.what().as_str())?;
                Err(fault)
            }
        }
    }

    /// Notes how long a part took that is no step.
    pub fn timed(&self, name: String, seconds: f64) {
        self.phases.borrow_mut().push(Phase { name, seconds });
    }

    pub fn phases(&self) -> Vec<Phase> {
        self.phases.borrow().clone()
    }

    /// What the files of this run leave behind when it is killed.
    pub fn files_cleanup(&self) -> Cleanup {
        let what = format!(
            "unfinished files of the backup {}: the next backup of this target removes them",
            self.id
        );
        Cleanup::words(what)
    }

    /// [`Kind::Cancelled`] once the end is wished.
    pub fn go_on(&self) -> Result<()> {
        if self.observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the backup was cancelled"));
        }
        Ok(())
    }

    /// Ends whatever sessions of this run are on the server, our own included.
    pub fn end_sessions(&self) {
        // Asked again and again while the wish lasts.
        let _ = end_sessions(&self.settings, &self.id);
    }

    /// Puts away everything of this run, in the repository and on the server, and writes down why. What
    /// could not be put away is told; the reason of the failure stands in any case.
    pub fn give_up(&self, why: &Fault) {
        let mut left: Vec<Fault> = Vec::new();
        left.extend(end_sessions(&self.settings, &self.id).err());
        left.extend(remove_files(self.repository, &self.id).err());
        let failed = Failed {
            id: self.id.clone(),
            method: self.method,
            began: self.began,
            ended: self.clock.wall(),
            why: why.what().as_str().to_owned(),
            step: self.step.get().to_owned(),
            cancelled: why.kind == Kind::Cancelled,
        };
        left.extend(write_failed(self.repository, &failed).err());
        for fault in left {
            self.observer.note(&format!("after the failure: {fault}").into());
        }
    }
}

/// The name by which sessions of a backup are known on the server.
fn tag(id: &BackupId) -> String {
    format!("howdah {id}")
}

/// Keeps the reason why a backup failed in the place of its manifest.
pub(super) fn write_failed(repository: &Repository, failed: &Failed) -> Result<()> {
    let key = repository.backup_key(&failed.id)?.join(FAILED)?;
    repository.write_json(&key, failed, Overwrite::Replace)
}

/// Removes everything that stands below a backup's name, the half-written included.
pub(super) fn remove_files(repository: &Repository, id: &BackupId) -> Result<()> {
    let storage = repository.storage();
    let key = repository.backup_key(id)?;
    for leftover in storage.leftovers(&key)? {
        storage.remove_leftover(&leftover)?;
    }
    // The manifest goes first: from then on it is no backup any more.
    let mut objects = storage.list(&key)?;
    objects.sort_by_key(|object| object.key.file() != super::MANIFEST);
    for object in objects {
        storage.remove(&object.key)?;
    }
    Ok(())
}

/// Ends the sessions that a run has left on the server, and waits until they are gone. `pg_basebackup` that
/// was killed leaves its walsender behind, which then holds back others, such as `DROP DATABASE`.
fn end_sessions(settings: &Settings, id: &BackupId) -> Result<()> {
    let mut settings = settings.clone();
    settings.application_name = Some("howdah".to_owned());
    let session = Session::open(&settings)?;
    let left = || -> Result<bool> {
        let rows = session.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = $1 AND pid <> pg_backend_pid()",
            &[&tag(id)],
        )?;
        Ok(rows.is_empty())
    };
    let mut last = left();
    process::wait_until(LEAVE_LIMIT, || {
        if !matches!(last, Ok(true)) {
            last = left();
        }
        !matches!(last, Ok(false))
    });
    if last? {
        return Ok(());
    }
    Err(Fault::new(Kind::Failed, format!("sessions named '{}' are still on the server", tag(id))))
}
