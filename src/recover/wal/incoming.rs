//! A file on its way in: under a temporary name beside its place, locked by whoever writes it. Others can tell
//! that it is being written, and by a process that is alive: a lock ends with its holder.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// Behind the name of what is being written.
const PARTIAL: &str = ".howdah-partial";

/// A file that is being written. Dropped before it was published it leaves nothing behind; a process that is
/// killed leaves its temporary file, which the next one writes over.
#[derive(Debug)]
pub(super) struct Incoming {
    temporary: PathBuf,
    file: File,
}

impl Incoming {
    /// Begins a file for this place, private to its owner.
    pub(super) fn begin(place: &Path) -> io::Result<Self> {
        let temporary = temporary_of(place);
        loop {
            let file = opened(&temporary)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Self::beside(place);
            }
            // Between opening and locking its writer may have published or removed it.
            if is_at(&file, &temporary)? {
                file.set_len(0)?;
                return Ok(Self { temporary, file });
            }
        }
    }

    /// A second writer of the same file gets a name of its own.
    fn beside(place: &Path) -> io::Result<Self> {
        let mut name = temporary_of(place).into_os_string();
        name.push(format!("-{}", std::process::id()));
        let temporary = PathBuf::from(name);
        let file = opened(&temporary)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        Ok(Self { temporary, file })
    }

    /// Puts it there, in place of what stood there, in one step. It is not flushed.
    pub(super) fn publish(self, place: &Path) -> io::Result<()> {
        fs::rename(&self.temporary, place)
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What was published no longer has this name, unless another writer took it over: ours is the one
        // that we hold open.
        if is_at(&self.file, &self.temporary).unwrap_or(false) {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The bytes that were written so far of a file for this place; none when nobody is writing it.
pub(super) fn so_far(place: &Path) -> Option<u64> {
    let file = File::open(temporary_of(place)).ok()?;
    // Shared: those who only look do not take each other for writers.
    flock(&file, FlockOperation::NonBlockingLockShared).is_err().then_some(())?;
    Some(file.metadata().ok()?.len())
}

/// True for a name that [`Incoming`] gives.
pub(super) fn is_temporary(name: &str) -> bool {
    name.contains(PARTIAL)
}

fn temporary_of(place: &Path) -> PathBuf {
    let mut name = OsString::from(place);
    name.push(PARTIAL);
    PathBuf::from(name)
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)
}

/// True when this file stands under that name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("listed").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let home = tempfile::tempdir().expect("a folder");
        let place = home.path().join("x");
        let mut dropped = Incoming::begin(&place).expect("begun");
        dropped.write_all(b"ha").expect("written");
        assert_eq!(so_far(&place), Some(2));
        assert!(!place.exists());
        drop(dropped);
        assert_eq!((names(home.path()).len(), so_far(&place)), (0, None));

        // What a killed process left is longer than what comes.
        fs::write(temporary_of(&place), b"left over").expect("written");
        assert_eq!(so_far(&place), None, "nobody writes it");
        let mut whole = Incoming::begin(&place).expect("begun");
        whole.write_all(b"whole").expect("written");
        whole.publish(&place).expect("published");
        assert_eq!(fs::read(&place).expect("there"), b"whole");
        assert_eq!(names(home.path()), ["x"]);
    }

    #[test]
    fn two_writers_of_one_file_do_not_mix() {
        let home = tempfile::tempdir().expect("a folder");
        let place = home.path().join("x");
        let mut first = Incoming::begin(&place).expect("begun");
        first.write_all(b"fir").expect("written");
        let mut second = Incoming::begin(&place).expect("begun");
        second.write_all(b"second").expect("written");
        first.write_all(b"st").expect("written");
        second.publish(&place).expect("published");
        assert_eq!(fs::read(&place).expect("there"), b"second");
        first.publish(&place).expect("published");
        assert_eq!(fs::read(&place).expect("there"), b"first");
        assert_eq!(names(home.path()), ["x"]);
    }
}
