//! Brings one file back: `restore_command`.
//!
//! The server asks for more than there is, and takes an exit code from 1 to 125 for "not there", upon which
//! it ends recovery (PostgreSQL documentation, "Recovering Using a Continuous Archive Backup"). So that is
//! said only of what is certainly not there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    archive::{Archive, Kept},
    history, page,
    segment::{Segment, USUAL_SIZE, WalFile},
};
use crate::recover::{Fault, Kind, Result};

/// How a fetched file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// From the archive itself.
    Archive,
    /// From the spool: it had been fetched ahead.
    Spool,
    /// It is not in the archive.
    NotThere,
}

/// Fetches a file under that path: whole, checked, or not at all. It is not flushed: a server that crashes in
/// recovery asks again.
///
/// # Errors
/// [`Kind::Damaged`] when what is there is not what was archived.
pub fn fetch(archive: &Archive, file: WalFile, to: &Path, spool: Option<&Spool>) -> Result<Came> {
    let Some(kept) = archive.find_one(file)? else { return Ok(Came::NotThere) };
    if let Some(spool) = spool
        && spool.take(&kept, to)?
    {
        return Ok(Came::Spool);
    }
    let content = read_checked(archive, &kept)?;
    publish(&content, to)?;
    Ok(Came::Archive)
}

/// A file's content, checked as far as it can be alone.
pub(super) fn read_checked(archive: &Archive, kept: &Kept) -> Result<Vec<u8>> {
    let content = archive.read(kept)?;
    let damaged = |why: &dyn std::fmt::Display| {
        Fault::new(Kind::Damaged, format!("'{}' is damaged: {why}", kept.place()))
    };
    match kept.file {
        WalFile::Segment(segment) => {
            let about = page::check(segment, &content).map_err(|flaw| damaged(&flaw))?;
            if let (Some(own), Some(repository)) = (about.head.cluster(), archive.repository())
                && let Some(why) = repository.claimed()?.and_then(|c| c.cluster.differs(&own))
            {
                return Err(damaged(&why));
            }
        }
        WalFile::History(timeline) => {
            history::parse(timeline, &content)?;
        }
        WalFile::Partial(_) | WalFile::Backup(..) => {}
    }
    Ok(content)
}

/// Writes under a temporary name beside `to`, then renames.
fn publish(content: &[u8], to: &Path) -> Result<()> {
    let mut draft = to.as_os_str().to_owned();
    draft.push(".howdah-partial");
    let draft = PathBuf::from(draft);
    let written = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&draft, to));
    written.map_err(|error| {
        // What cannot be removed is overwritten by the next attempt.
        let _ = fs::remove_file(&draft);
        Fault::io(format!("cannot write '{}'", to.display()))(error)
    })
}

/// A folder with segments that were fetched before they are asked for. Their names hold their fingerprints:
/// only what the archive has now is taken from it.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    /// How many segments are fetched ahead.
    pub ahead: u64,
}

/// Held by the one process that fills a spool.
const LOCK: &str = "lock";

impl Spool {
    /// The spool in that folder, which need not exist yet. On the file system of the server's `pg_wal`, a
    /// segment moves into place without being copied.
    pub fn new(folder: &Path, ahead: u64) -> Self {
        Self { folder: folder.to_owned(), ahead }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// True when less than half of what it should hold is left behind this segment.
    pub fn wants_more(&self, behind: Segment) -> bool {
        let passed = behind.to_string();
        let left = fs::read_dir(&self.folder).map_or(0, |entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names
                .filter(|name| {
                    name.to_str()
                        .and_then(|name| name.get(..24))
                        .is_some_and(|name| name > &*passed)
                })
                .count() as u64
        });
        left * 2 < self.ahead
    }

    fn path(&self, kept: &Kept) -> Option<PathBuf> {
        let sha256 = kept.sha256.as_deref()?;
        Some(self.folder.join(format!("{}.{sha256}", kept.file)))
    }

    /// Moves a file out of the spool; false when it is not in it.
    fn take(&self, kept: &Kept, to: &Path) -> Result<bool> {
        let Some(path) = self.path(kept) else { return Ok(false) };
        match fs::rename(&path, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                Ok(fs::copy(&path, to).and_then(|_| fs::remove_file(&path)).is_ok())
            }
            Err(error) => Err(Fault::io(format!("cannot write '{}'", to.display()))(error)),
        }
    }

    /// Fetches the segments behind this one, as many as it should hold, and removes what stands before it.
    /// Nothing when another process is at it. Returns how many were fetched.
    pub fn fill(&self, archive: &Archive, after: Segment) -> Result<u64> {
        let size = match archive.repository() {
            Some(repository) => repository.claimed()?.and_then(|c| c.cluster.segment_size),
            None => None,
        };
        let size = size.unwrap_or(USUAL_SIZE);
        // At the end of the archive no spool is left behind.
        if archive.find(WalFile::Segment(after.next(size)))?.is_empty() {
            return Ok(0);
        }
        let cannot = || Fault::io(format!("cannot use the spool '{}'", self.folder.display()));
        fs::create_dir_all(&self.folder).map_err(cannot())?;
        let lock = File::create(self.folder.join(LOCK)).map_err(cannot())?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(0);
        }
        self.clear_up_to(after)?;
        let mut fetched = 0;
        let mut next = after;
        for _ in 0..self.ahead {
            next = next.next(size);
            let Some(kept) = archive.find_one(WalFile::Segment(next))? else { break };
            let Some(path) = self.path(&kept) else { break };
            if !path.exists() {
                publish(&read_checked(archive, &kept)?, &path)?;
                fetched += 1;
            }
        }
        Ok(fetched)
    }

    /// Removes what recovery has passed.
    fn clear_up_to(&self, segment: Segment) -> Result<()> {
        let cannot = || Fault::io(format!("cannot use the spool '{}'", self.folder.display()));
        let passed = segment.to_string();
        for entry in fs::read_dir(&self.folder).map_err(cannot())? {
            let entry = entry.map_err(cannot())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != LOCK && name.get(..24).is_none_or(|name| name <= passed.as_str()) {
                // Taken meanwhile by the one who asked for it.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Removes the folder: recovery has come to the end of the archive.
    pub fn remove(&self) {
        // It is only a cache; what is left of it is removed by the next one who fills it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
