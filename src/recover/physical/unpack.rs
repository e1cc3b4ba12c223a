//! A backup's files, checked, below a new folder. `tar` runs as the server's account, so that what it makes
//! belongs to it; every byte passes both of its hashes on the way.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{compare, configure::write_as};
use crate::{
    base::{
        exec::Tool,
        progress::{Observer, Progress},
    },
    cluster::folder::Account,
    recover::{
        Fault, Kind, Repository, Result,
        repository::{
            manifest::{File, Manifest, Role, lsn},
            sealed,
        },
    },
};

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
    let mut work: Vec<(&File, PathBuf)> = Vec::new();
    for file in &manifest.files {
        match &file.role {
            Role::Base => work.push((file, places.data.clone())),
            Role::Tablespace { oid, .. } => {
                let place = places.tablespaces.get(oid).ok_or_else(|| {
                    Fault::new(Kind::Failed, format!("there is no place for the tablespace {oid}"))
                })?;
                make_folder(place, account)?;
                work.push((file, place.clone()));
            }
            Role::Wal => {
                let place = places.data.join("pg_wal");
                make_folder(&place, account)?;
                work.push((file, place));
            }
            Role::Globals | Role::Dump { .. } | Role::BackupManifest => {}
        }
    }
    // The largest first, so that the last thread does not begin with it.
    work.sort_by_key(|(file, _)| file.stored.content_size);
    let total = work.iter().map(|(file, _)| file.stored.content_size).sum();
    let meter = Meter { done: AtomicU64::new(0), total, observer };
    let (queue, failed) = (Mutex::new(work), Mutex::new(None));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop();
                    let Some((file, place)) = next.filter(|_| lock(&failed).is_none()) else {
                        break;
                    };
                    if let Err(fault) = extract(repository, file, &place, account, &meter) {
                        lock(&failed).get_or_insert(fault);
                    }
                }
            });
        }
    });
    if let Some(fault) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(fault);
    }
    check(manifest, places)?;
    let doubt = compare::with_list(repository, manifest, places)?;
    point_tablespaces(manifest, places, account)?;
    Ok(doubt)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What a thread that panicked left is still a list, and a reason.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    observer: &'a dyn Observer,
}

impl Meter<'_> {
    fn add(&self, bytes: usize) {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.observer.progress(&Progress::bytes("copying the backup", done, Some(self.total)));
    }
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

fn extract(
    repository: &Repository,
    file: &File,
    place: &Path,
    account: Option<&Account>,
    meter: &Meter<'_>,
) -> Result<()> {
    let tool = Tool::new("tar")
        .args(["-x", "-p", "-f", "-"])
        .within(place)
        .as_account(account.map(|account| (account.uid, account.gid)));
    let mut content = repository.unseal(&file.stored)?;
    let mut running = tool.start(meter.observer.cancel(), true)?;
    let mut buffer = vec![0; 1 << 20];
    let mut refused = None;
    // Read to its end even when tar has had enough: only the end tells whether it was all as written.
    loop {
        if meter.observer.cancelled() {
            running.end();
            return Err(Fault::new(Kind::Cancelled, "unpacking the backup was cancelled"));
        }
        let read = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                running.end();
                return Err(sealed::unreadable(&file.stored.key, &error));
            }
        };
        if let Some(stdin) = running.stdin.as_mut().filter(|_| refused.is_none()) {
            refused = stdin.write_all(&buffer[..read]).err();
        }
        meter.add(read);
    }
    running.finish(&mut |_| {})?;
    match refused {
        // Tar may close its input behind the archive's end mark.
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::io(format!("cannot unpack '{}'", file.stored.key))(error))
        }
        _ => Ok(()),
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
