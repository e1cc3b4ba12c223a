//! Files that are read while another process still writes them, one after the other.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

/// How long to wait for more.
const WAIT: Duration = Duration::from_millis(5);
/// Bytes that were read are given back to the disk in pieces of this size.
const PIECE: u64 = 8 << 20;

/// A folder into which a process writes files, each to its end before it begins the next.
pub(super) struct Folder<'a> {
    path: &'a Path,
    /// Whether the process has ended.
    ended: &'a dyn Fn() -> bool,
    taken: BTreeSet<String>,
}

impl<'a> Folder<'a> {
    pub fn new(path: &'a Path, ended: &'a dyn Fn() -> bool) -> Self {
        Self { path, ended, taken: BTreeSet::new() }
    }

    /// The next file, the oldest first, as soon as there is one; none when the process has ended and every
    /// file was taken.
    pub fn next(&mut self) -> io::Result<Option<Growing<'a>>> {
        loop {
            // Asked before the look: what was written before the end is then seen.
            let ended = (self.ended)();
            let mut waiting = self.waiting()?;
            waiting.sort();
            let Some((changed, name)) = waiting.first().cloned() else {
                if ended {
                    return Ok(None);
                }
                thread::sleep(WAIT);
                continue;
            };
            let path = self.path.join(&name);
            let whole = ended || waiting.iter().any(|(other, _)| *other > changed);
            let mut known = self.taken.clone();
            known.extend(waiting.into_iter().map(|(_, name)| name));
            self.taken.insert(name.clone());
            let file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
            let (folder, ended) = (self.path, self.ended);
            return Ok(Some(Growing {
                name,
                file,
                path,
                folder,
                ended,
                known,
                whole,
                at: 0,
                freed: 0,
            }));
        }
    }

    /// What was not taken yet: when it was changed last, and its name.
    fn waiting(&self) -> io::Result<Vec<(SystemTime, String)>> {
        let mut waiting = Vec::new();
        for (name, changed) in listed(self.path)? {
            if !self.taken.contains(&name) {
                waiting.push((changed, name));
            }
        }
        Ok(waiting)
    }
}

/// The archives in the folder. The manifest is none, and says nothing of the archive before it: that one is closed
/// behind it (pg_basebackup.c, `ReceiveArchiveStream`).
fn listed(folder: &Path) -> io::Result<Vec<(String, SystemTime)>> {
    let entries = match fs::read_dir(folder) {
        // Its writer makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let changed = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?.modified()?,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("backup_manifest") {
            found.push((name, changed));
        }
    }
    Ok(found)
}

/// One of the files. Its end is reached when it is whole: its writer has begun another, or has ended. What was
/// read is given back to the disk, where the file system can (Linux: holes), and the file is removed at last.
pub(super) struct Growing<'a> {
    /// Its name in the folder.
    pub name: String,
    file: File,
    path: PathBuf,
    folder: &'a Path,
    ended: &'a dyn Fn() -> bool,
    /// The names that were there when it was begun: another one means that it is whole.
    known: BTreeSet<String>,
    whole: bool,
    at: u64,
    freed: u64,
}

impl Growing<'_> {
    fn is_whole(&self) -> io::Result<bool> {
        if (self.ended)() {
            return Ok(true);
        }
        Ok(listed(self.folder)?.iter().any(|(name, _)| !self.known.contains(name)))
    }

    fn give_back(&mut self) {
        let read = self.at / PIECE * PIECE;
        if read > self.freed {
            hole(&self.file, self.freed, read - self.freed);
            self.freed = read;
        }
    }
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                self.at += read as u64;
                self.give_back();
                return Ok(read);
            }
            if self.whole {
                return Ok(0);
            }
            // Read once more after it was seen to be whole.
            self.whole = self.is_whole()?;
            if !self.whole {
                thread::sleep(WAIT);
            }
        }
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        // What stays goes with its folder.
        let _ = fs::remove_file(&self.path);
    }
}

/// Frees a stretch of a file, which then reads as zeros. Where that cannot be done it stays as it is.
#[cfg(target_os = "linux")]
fn hole(file: &File, from: u64, length: u64) {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _ = fallocate(file, flags, from, length);
}

#[cfg(not(target_os = "linux"))]
fn hole(_file: &File, _from: u64, _length: u64) {}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[test]
    fn files_that_grow_are_read_to_their_ends_and_are_gone() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("spool");
        let ended = AtomicBool::new(false);
        let piece: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let names = ["16384.tar", "16390.tar", "base.tar"];
        let read = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(WAIT);
                fs::create_dir(&folder).expect("made");
                for name in names {
                    let mut file = File::create(folder.join(name)).expect("made");
                    for (part, bytes) in piece.chunks(700_000).enumerate() {
                        // The last of them is closed behind the manifest.
                        if name == "base.tar" && part == 4 {
                            let manifest = folder.join("backup_manifest.tmp");
                            fs::write(manifest, "{}").expect("written");
                            thread::sleep(Duration::from_millis(20));
                        }
                        file.write_all(bytes).expect("written");
                        thread::sleep(Duration::from_millis(7));
                    }
                }
                ended.store(true, Ordering::Release);
            });
            let over = || ended.load(Ordering::Acquire);
            let mut files = Folder::new(&folder, &over);
            let mut read = Vec::new();
            while let Some(mut file) = files.next().expect("looked") {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).expect("read");
                read.push((file.name.clone(), bytes == piece));
            }
            read
        });
        assert_eq!(read, names.map(|name| (name.to_owned(), true)));
        let left = fs::read_dir(&folder).expect("listed").count();
        assert_eq!(left, 1, "only the manifest is left");
    }

    #[test]
    fn a_writer_that_ends_at_once_leaves_nothing_to_wait_for() {
        let home = tempfile::tempdir().expect("a folder");
        let nowhere = home.path().join("nowhere");
        assert!(Folder::new(&nowhere, &|| true).next().expect("looked").is_none());
    }
}
