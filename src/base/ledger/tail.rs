//! The end of the ledger, locked: where the next line goes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    LedgerError,
    record::{self, Line, ORIGIN, Record},
};
use crate::base::{
    digest::sha256,
    paths::{Draft, private_folder, sync_folder_of, write_private},
    process,
};

/// The file of lines inside the ledger's folder.
pub(super) const LINES: &str = "ledger.jsonl";
/// The file that holds the number and the hash of the last line.
pub(super) const HEAD: &str = "head.json";
/// How long another process may hold the ledger. One append takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a torn line is called that no record tells of yet, and what after that.
const TORN: (&str, &str) = ("torn-new", "torn");

/// The last line's number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// Before the first line.
    pub(super) fn origin() -> Self {
        Self { seq: 0, hash: ORIGIN.to_owned() }
    }

    /// That of a folder; `None` when there is none or it is no head.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(HEAD)).ok()?).ok()
    }

    fn json(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    fn of(line: &Line) -> Self {
        Self { seq: line.record.seq, hash: line.hash.clone() }
    }
}

/// Something that had to be put right before the next line could be written; it becomes a line itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mending {
    /// The last line was torn: a process died while it wrote. What there is of it stands in this file.
    Torn { file: PathBuf, bytes: usize, sha256: String },
    /// There was no head: lines that were cut off the end before this cannot be told.
    NoHead,
}

/// The locked end of the ledger. Dropping it lets go.
pub(super) struct Tail {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Where the next line begins.
    end: u64,
    /// What the next line is chained to.
    before: Head,
}

impl Tail {
    /// Locks the ledger and puts right what a process has left that died while it wrote.
    pub fn lock(folder: &Path) -> Result<(Self, Vec<Mending>), LedgerError> {
        let path = folder.join(LINES);
        let unwritable = |source| LedgerError::Unwritable { path: path.clone(), source };
        private_folder(folder).map_err(unwritable)?;
        let new = !path.exists();
        let mut options = File::options();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&path);
        let file = file.map_err(unwritable)?;
        if new {
            sync_folder_of(&path).map_err(unwritable)?;
        }
        lock(&file, &path, File::try_lock)?;
        let mut tail = Self {
            folder: folder.to_owned(),
            path: path.clone(),
            file,
            end: 0,
            before: Head::origin(),
        };
        let mendings = tail.mend()?;
        Ok((tail, mendings))
    }

    fn unwritable(&self) -> impl Fn(io::Error) -> LedgerError {
        let path = self.path.clone();
        move |source| LedgerError::Unwritable { path: path.clone(), source }
    }

    fn mend(&mut self) -> Result<Vec<Mending>, LedgerError> {
        let (last, torn) = self.last_lines().map_err(self.unwritable())?;
        if !torn.is_empty() {
            self.move_aside(&torn).map_err(self.unwritable())?;
        }
        let mut mendings = self.sweep().map_err(self.unwritable())?;
        let last = last.map(|bytes| record::unseal(&bytes));
        self.before = match (Head::read(&self.folder), last) {
            (None, None) => Head::origin(),
            (None, Some(None)) => return Err(LedgerError::Damaged { path: self.path.clone() }),
            (None, Some(Some(line))) => {
                // The very first process may have died between its line and the head.
                if line.record.seq > 1 {
                    mendings.push(Mending::NoHead);
                }
                Head::of(&line)
            }
            // One process died between its line and the head; more than one line ahead means that the head
            // is an old one. Both ways the lines are there, and the chain goes on at their end.
            (Some(head), Some(Some(line))) if line.record.seq > head.seq => {
                let ahead = Head::of(&line);
                self.publish(&ahead)?;
                ahead
            }
            // What the head names is what was written last, whatever became of it: the gap stays for ever
            // visible to who verifies.
            (Some(head), _) => head,
        };
        Ok(mendings)
    }

    /// The last whole line and what stands behind its line feed; sets the end.
    fn last_lines(&mut self) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
        let length = self.file.seek(SeekFrom::End(0))?;
        let mut bytes = Vec::new();
        let mut from = length;
        // Reads backwards, in growing pieces, until two line feeds are found or the file begins.
        while from > 0 && bytes.iter().filter(|byte| **byte == b'\n').nth(1).is_none() {
            let piece = (64 << 10).max(bytes.len() as u64).min(from);
            from -= piece;
            let mut earlier = vec![0; piece as usize];
            self.file.seek(SeekFrom::Start(from))?;
            self.file.read_exact(&mut earlier)?;
            earlier.append(&mut bytes);
            bytes = earlier;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = bytes.split_off(whole);
        self.end = length - torn.len() as u64;
        bytes.pop();
        let begin = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Ok(((whole > 0).then(|| bytes.split_off(begin)), torn))
    }

    /// Copies a torn line to a file of its own before it is cut off. Whoever dies in between leaves a copy
    /// that the next one finds.
    fn move_aside(&self, torn: &[u8]) -> io::Result<()> {
        let hash = sha256(torn);
        let name = format!("{}-{}-{}", TORN.0, self.end, hash.get(..12).unwrap_or(&hash));
        write_private(&self.folder.join(name), torn)?;
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }

    /// Finds the torn lines that no record tells of, and removes the drafts of processes that died.
    fn sweep(&self) -> io::Result<Vec<Mending>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(".partial") {
                // Whoever made it would hold the lock.
                fs::remove_file(&path)?;
            } else if let Some(rest) = name.strip_prefix(TORN.0) {
                let bytes = fs::read(&path)?;
                let file = self.folder.join(format!("{}{rest}", TORN.1));
                found.push(Mending::Torn { file, bytes: bytes.len(), sha256: sha256(&bytes) });
            }
        }
        Ok(found)
    }

    /// Once a line tells of a torn one, its file is an old one.
    pub fn told(&self, mending: &Mending) -> Result<(), LedgerError> {
        let Mending::Torn { file, .. } = mending else { return Ok(()) };
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let rest = name.strip_prefix(TORN.1).unwrap_or(name);
        fs::rename(self.folder.join(format!("{}{rest}", TORN.0)), file)
            .and_then(|()| sync_folder_of(file))
            .map_err(self.unwritable())
    }

    /// Appends what `make` says for the next number and the hash before it; its number. It is safe on disk
    /// when this returns, and not there when this fails.
    pub fn push(&mut self, make: impl FnOnce(u64, String) -> Record) -> Result<u64, LedgerError> {
        let record = make(self.before.seq + 1, self.before.hash.clone());
        let (line, hash) = record::seal(&record)?;
        let head = Head { seq: record.seq, hash };
        // The head's draft first: when the disk is full, nothing was appended yet.
        let draft = self.draft(&head)?;
        if let Err(error) =
            self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data())
        {
            // What cannot be taken back now is found torn by the next one.
            let _ = self.file.set_len(self.end);
            return Err(self.unwritable()(error));
        }
        self.end += line.len() as u64;
        self.before = head;
        draft.publish().map_err(self.unwritable())?;
        Ok(record.seq)
    }

    fn draft(&self, head: &Head) -> Result<Draft, LedgerError> {
        head.json()
            .and_then(|json| Draft::write(&self.folder.join(HEAD), json.as_bytes()))
            .map_err(self.unwritable())
    }

    fn publish(&self, head: &Head) -> Result<(), LedgerError> {
        self.draft(head)?.publish().map_err(self.unwritable())
    }
}

/// Takes a lock on the ledger's file, with an end to patience.
pub(super) fn lock(
    file: &File,
    path: &Path,
    take: fn(&File) -> Result<(), TryLockError>,
) -> Result<(), LedgerError> {
    let mut trouble = None;
    let taken = process::wait_until(PATIENCE, || match take(file) {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            trouble = Some(error);
            true
        }
    });
    match (taken, trouble) {
        (_, Some(source)) => Err(LedgerError::Unwritable { path: path.to_owned(), source }),
        (true, None) => Ok(()),
        (false, None) => Err(LedgerError::Busy { path: path.to_owned(), waited: PATIENCE }),
    }
}

/// The file of lines, locked so that nobody writes; `None` when there is no ledger yet.
pub(super) fn locked_for_reading(folder: &Path) -> Result<Option<File>, LedgerError> {
    let path = folder.join(LINES);
    match File::open(&path) {
        Ok(file) => {
            lock(&file, &path, File::try_lock_shared)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::Unreadable { path, source }),
    }
}
