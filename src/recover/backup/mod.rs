//! Taking backups with PostgreSQL's own tools, whose exit code alone is never believed.
//!
//! | file | its duty |
//! |---|---|
//! | [`lock`] | one at a time for each target |
//! | `preflight` | room, versions, privileges, the right cluster |
//! | [`tools`] | the tools and their versions |
//! | `run` | the steps of one run, and what is left of it when it fails |
//! | `pump` | from a running tool into the repository |
//! | `inventory`, `count` | what was in the cluster, in the dump's own snapshot |
//! | `expect` | how much of a dump is done |
//! | `logical`, `physical` | the two kinds |
//! | `sweep` | what was left by runs that were killed |

mod count;
mod expect;
mod inventory;
pub mod lock;
mod logical;
mod physical;
mod preflight;
pub(in crate::recover) mod pump;
mod run;
mod sweep;
pub mod tools;

use std::{path::PathBuf, thread, time::Duration};

use self::{lock::Lock, run::Run};
use super::{
    Repository, Result,
    repository::{
        catalogue::{Entry, MANIFEST},
        manifest::{BackupId, FORMAT, File, Inventory, Manifest, Method, Origin, WalSpan},
        storage::Overwrite,
    },
    session::Session,
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        progress::{Cleanup, Observer},
    },
    resilience::conninfo::Settings,
};

/// Which databases a logical backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One: by its name, or the one that the settings name.
    Database(Option<String>),
    /// All that take connections and are no templates.
    All,
}

/// What is taken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// By `pg_dump`.
    Logical {
        /// Of what.
        wish: Wish,
        /// Whether the server is asked for largest keys and rows of materialized views, too. Rows of tables are
        /// counted in the dump in any case.
        counts: bool,
    },
    /// By `pg_basebackup`.
    Physical {
        /// Let the checkpoint at the beginning take its time, instead of at once.
        spread: bool,
        /// Where archives stand on their way when they cannot be streamed: those of a cluster with tablespaces,
        /// and those that the server has compressed. Else in the repository, where that is a folder.
        spool: Option<PathBuf>,
        /// Who compresses.
        compressor: Compressor,
    },
}

/// Who compresses a base backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compressor {
    /// The server, where it can (15 and later, built with zstd) and there is a folder for its archives on their
    /// way: less goes over the wire, and its processor does the work.
    #[default]
    Server,
    /// This side.
    Client,
}

/// A wish for a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is taken.
    pub kind: Kinds,
    /// Break a lock of which nothing is known.
    pub break_lock: bool,
}

/// What either kind hands over.
struct Taken {
    files: Vec<File>,
    wal: Option<WalSpan>,
    inventory: Inventory,
    tool: String,
    origin: Origin,
}

/// Takes a backup of the cluster that the settings lead to. When it returns a manifest, everything in that
/// is safe in the repository.
///
/// # Errors
/// `Kind::Refused` when another run is at work, the cluster is another than before, or the server does not
/// permit it; `Kind::Unavailable` when the server or a tool is not there or too old; `Kind::NoSpace`;
/// `Kind::Cancelled`. After an error nothing of it is left but the reason, in `failed.json`.
pub fn take(
    request: &Request,
    settings: &Settings,
    repository: &Repository,
    observer: &dyn Observer,
) -> Result<Manifest> {
    let clock = Clock::system();
    let lock = Lock::take(repository, "backup", request.break_lock, &clock)?;
    if let Some(owner) = &lock.taken_over {
        observer.note(&format!("took over the lock that was left by {owner}").into());
    }
    for name in sweep::sweep(repository, lock.taken_over.as_ref(), &clock)? {
        observer.note(&format!("put away what a killed run had left: {name}").into());
    }
    let method = match request.kind {
        Kinds::Logical { .. } => Method::Logical,
        Kinds::Physical { .. } => Method::Physical,
    };
    let began = free_moment(repository, method, &clock)?;
    let mut run = Run::new(began, method, settings, &lock, repository, observer);
    let whole = format!("the whole backup {}", run.id);
    let step = observer.step(whole, &run.files_cleanup())?;
    match taken(request, &mut run).and_then(|taken| publish(&run, taken)) {
        Ok(manifest) => {
            step.done(serde_json::json!({ "bytes": manifest.stored_size() }))?;
            Ok(manifest)
        }
        Err(fault) => {
            run.give_up(&fault);
            step.undone(fault.what().as_str())?;
            Err(fault)
        }
    }
}

/// A moment whose name is not taken yet: names tell seconds.
fn free_moment(repository: &Repository, method: Method, clock: &Clock) -> Result<Timestamp> {
    loop {
        let now = clock.wall();
        let key = repository.backup_key(&BackupId::new(now, method))?;
        if repository.storage().list(&key)?.is_empty() {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn taken(request: &Request, run: &mut Run<'_>) -> Result<Taken> {
    preflight::clock(run.repository, run.began)?;
    let session = Session::open(&run.settings)?;
    let origin = preflight::origin(&session)?;
    run.repository.claim(&origin.cluster())?;
    run.previous = newest(run.repository, run.method)?;
    match &request.kind {
        Kinds::Logical { wish, counts } => {
            let databases = preflight::databases(&session, wish, &run.settings)?;
            let size = preflight::size(&session, &databases)?;
            preflight::room(run.repository, run.previous.as_ref(), size)?;
            let logical::Taken { files, inventory, tool } =
                logical::take(run, session, &databases, *counts)?;
            Ok(Taken { files, wal: None, inventory, tool, origin })
        }
        Kinds::Physical { spread, spool, compressor } => {
            preflight::replication(&session)?;
            let size = preflight::size(&session, &[])?;
            let packed = preflight::room(run.repository, run.previous.as_ref(), size)?;
            let wish = physical::Wish {
                spread: *spread,
                spool: spool.as_deref(),
                compressor: *compressor,
                size,
                packed,
            };
            let physical::Taken { files, wal, inventory, tool } =
                physical::take(run, &session, &wish)?;
            let origin = Origin { timeline: wal.timeline, ..origin };
            Ok(Taken { files, wal: Some(wal), inventory, tool, origin })
        }
    }
}

/// Removes a backup: its manifest first, so that what is left when this is interrupted is no backup. Call it
/// only with the lock in hand.
pub fn remove_backup(repository: &Repository, id: &BackupId) -> Result<()> {
    run::remove_files(repository, id)
}

/// The newest whole backup of a kind. One that cannot be understood is none.
fn newest(repository: &Repository, method: Method) -> Result<Option<Manifest>> {
    let whole = |entry: Entry| entry.manifest().filter(|m| m.method == method).cloned();
    Ok(repository.backups()?.into_iter().rev().find_map(whole))
}

/// Writes the manifest: from here on the backup exists.
fn publish(run: &Run<'_>, taken: Taken) -> Result<Manifest> {
    let key = run.repository.backup_key(&run.id)?.join(MANIFEST)?;
    let mut manifest = Manifest {
        format: FORMAT,
        id: run.id.clone(),
        method: run.method,
        began: run.began,
        ended: run.began,
        howdah: env!("CARGO_PKG_VERSION").to_owned(),
        tool: taken.tool,
        cluster: taken.origin,
        files: taken.files,
        wal: taken.wal,
        inventory: taken.inventory,
        phases: Vec::new(),
    };
    run.step("manifest", "write the manifest", &Cleanup::none(), || {
        manifest.ended = run.clock.wall();
        manifest.phases = run.phases();
        run.repository.write_json(&key, &manifest, Overwrite::Never)?;
        Ok(((), serde_json::json!({ "files": manifest.files.len() })))
    })?;
    Ok(manifest)
}
