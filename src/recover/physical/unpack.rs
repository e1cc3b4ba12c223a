//! A backup's files, checked, below a new folder: while it is written every byte passes the hashes of what is
//! stored and of its content, and each file but WAL segments its own, which PostgreSQL's list tells.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, BufReader},
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{below::Below, compare, configure::write_as};
use crate::{
    base::progress::{Counter, Observer},
    cluster::folder::Account,
    recover::{
        Fault, Kind, Repository, Result,
        base_backup::{Members, tablespace_prefix},
        repository::manifest::{File, Manifest, Role, lsn},
    },
};

/// How much is read at once.
const PART: usize = 1 << 18;

/// Where the parts of a cluster go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The data folder.
    pub data: PathBuf,
    /// Each tablespace, by its number.
    pub tablespaces: BTreeMap<u32, PathBuf>,
}

impl Places {
    /// Everything below one folder: `data`, and `tablespaces/NUMBER`.
    pub fn below(folder: &Path, manifest: &Manifest) -> Self {
        let spaces = tablespaces(manifest);
        let place = |(oid, _)| (oid, folder.join("tablespaces").join(u32::to_string(&oid)));
        Self { data: folder.join("data"), tablespaces: spaces.map(place).collect() }
    }
}

/// The tablespaces of a backup: number, and where each stood.
pub fn tablespaces(manifest: &Manifest) -> impl Iterator<Item = (u32, &str)> {
    manifest.files.iter().filter_map(|file| match &file.role {
        Role::Tablespace { oid, location } => Some((*oid, location.as_str())),
        _ => None,
    })
}

/// Makes the folders and unpacks everything into them, several files at a time.
///
/// # Errors
/// [`Kind::Damaged`] when a file is not what was written, or something that belongs to a base backup is
/// missing. What was made by then stays, for the caller to remove.
///
/// Returns why it was not compared with PostgreSQL's own list of what it sent, if it was not.
pub fn unpack(
    repository: &Repository,
    manifest: &Manifest,
    places: &Places,
    account: Option<&Account>,
    observer: &dyn Observer,
) -> Result<Option<Fault>> {
    make_folder(&places.data, account)?;
    let mut work = Vec::new();
    for file in &manifest.files {
        let (place, prefix) = match &file.role {
            Role::Base => (places.data.clone(), String::new()),
            Role::Tablespace { oid, .. } => {
                let place = places.tablespaces.get(oid).ok_or_else(|| {
                    Fault::new(Kind::Failed, format!("there is no place for the tablespace {oid}"))
                })?;
                (place.clone(), tablespace_prefix(*oid))
            }
            Role::Wal => (places.data.join("pg_wal"), "pg_wal/".to_owned()),
            Role::Globals | Role::Dump { .. } | Role::BackupManifest => continue,
        };
        make_folder(&place, account)?;
        work.push(Part { file, place, prefix });
    }
    // The largest last, which is taken first.
    work.sort_by_key(|part| part.file.stored.content_size);
    let total = work.iter().map(|part| part.file.stored.content_size).sum();
    let counter = Counter::new("copying the backup", total, observer);
    let (queue, unpacked) = (Mutex::new(work), Mutex::new(Ok(Members::default())));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop();
                    let Some(part) = next.filter(|_| lock(&unpacked).is_ok()) else { break };
                    let members = part.extract(repository, account, &counter);
                    let mut all = lock(&unpacked);
                    let joined = match &mut *all {
                        Ok(all) => members.and_then(|members| all.join(members)),
                        Err(_) => Ok(()),
                    };
                    if let Err(fault) = joined {
                        *all = Err(fault);
                    }
                }
            });
        }
    });
    let members = unpacked.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    check(manifest, places)?;
    let doubt = compare::with_list(repository, manifest, &members)?;
    point_tablespaces(manifest, places, account)?;
    Ok(doubt)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that panicked left is still a list, and a reason.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder for the server's account alone.
pub fn make_folder(path: &Path, account: Option<&Account>) -> Result<()> {
    let cannot = || Fault::io(format!("cannot make '{}'", path.display()));
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
        make_folder(parent, account)?;
    }
    fs::DirBuilder::new().mode(0o700).create(path).map_err(cannot())?;
    match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(cannot()),
        None => Ok(()),
    }
}

/// One archive, and where it goes.
struct Part<'a> {
    file: &'a File,
    place: PathBuf,
    /// Where below the data folder that is for PostgreSQL.
    prefix: String,
}

impl Part<'_> {
    fn extract(
        &self,
        repository: &Repository,
        account: Option<&Account>,
        counter: &Counter<'_>,
    ) -> Result<Members> {
        let stored = &self.file.stored;
        let mut content = counter.read(repository.unseal(stored)?);
        let mut below = Below::of(&self.place, account)?;
        let mut members = Members::default();
        let parts = BufReader::with_capacity(PART, &mut content);
        let read = members.read_into(parts, &self.prefix, &mut below);
        if read.as_ref().is_err_and(|fault| fault.kind == Kind::Damaged) {
            // Such bytes are best told by what they are: not those that were written.
            io::copy(&mut content, &mut io::sink())
                .map_err(Fault::io(format!("cannot read '{}'", stored.key)))?;
        }
        read?;
        if self.file.role == Role::Wal {
            // pg_basebackup's own marks stand beside it, which the server has not listed.
            members.files.clear();
        }
        Ok(members)
    }
}

/// What was unpacked is the base backup that the manifest tells of: its label names the same beginning.
/// Without the label a server would start from the wrong place and be corrupt.
fn check(manifest: &Manifest, places: &Places) -> Result<()> {
    let damaged =
        |why: String| Fault::new(Kind::Damaged, format!("the backup {} {why}", manifest.id));
    for name in ["PG_VERSION", "global/pg_control", "backup_label"] {
        if !places.data.join(name).is_file() {
            return Err(damaged(format!("has no '{name}'")).remedy("choose another backup"));
        }
    }
    let path = places.data.join("backup_label");
    let label = fs::read_to_string(&path)
        .map_err(Fault::io(format!("cannot read '{}'", path.display())))?;
    let Some(wal) = &manifest.wal else { return Err(damaged("tells of no WAL".to_owned())) };
    let start = format!("START WAL LOCATION: {} ", lsn(wal.start));
    if !label.lines().any(|line| line.starts_with(&start)) {
        let first = label.lines().next().unwrap_or_default().to_owned();
        return Err(damaged(format!("holds another base backup: its label says '{first}'")));
    }
    Ok(())
}

/// The server makes the links of `pg_tblspc` from this file when it starts on a backup (xlogrecovery.c,
/// `read_tablespace_map`): so they lead to the new places from the first moment on.
fn point_tablespaces(
    manifest: &Manifest,
    places: &Places,
    account: Option<&Account>,
) -> Result<()> {
    if tablespaces(manifest).next().is_none() {
        return Ok(());
    }
    let mut map = String::new();
    for (oid, place) in &places.tablespaces {
        let place = place.to_string_lossy().replace('\\', r"\\").replace('\n', "\\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(map, "{oid} {place}");
    }
    write_as(&places.data.join("tablespace_map"), &map, account)
}
