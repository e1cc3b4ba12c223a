//! Segments that are fetched before they are asked for, by a process of its own.
//!
//! ```text
//! SPOOL/NAME.SHA256.CRC32C            a segment: checked as always, by its fingerprint, too, and then given this name
//! SPOOL/NAME.SHA256.howdah-partial    one that is being fetched, locked by the process that does
//! SPOOL/lock                          held by the one process that fills
//! ```
//!
//! What was put there in the last minute is taken as it is: that the archive has it, and nothing else under that
//! name, was seen then. What is older is taken only if the archive has it under that fingerprint now, which costs
//! a listing. Files in a spool are not flushed, and a machine may stop between two segments: so each is read once
//! more before it is handed over, against a checksum that costs an eighth of the fingerprint.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    archive::{Archive, Kept},
    fetch::copy_checked,
    incoming::{self, Incoming},
    segment::{Segment, USUAL_SIZE, WalFile},
};
use crate::{
    base::clock::{Clock, Timestamp},
    recover::{Fault, Result},
};

/// Held by the one process that fills a spool.
const LOCK: &str = "lock";
/// Segments that are fetched at once, at most: a server replays one at a time.
const WORKERS: usize = 4;
/// Bytes that are read at once.
const PART: usize = 1 << 16;
/// How often a segment that is on its way is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long whoever fills the spool may take to begin with the segment that is asked for.
const BEGINS: Duration = Duration::from_millis(50);
/// How long a segment on its way may not grow before it is fetched again.
const STANDS_STILL: Duration = Duration::from_secs(2);

/// How long what was seen in the archive counts.
const FRESH: Duration = Duration::from_mins(1);

/// A folder with segments that were fetched before they are asked for.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    /// How many segments are fetched ahead.
    pub ahead: u64,
}

/// A segment that stands in the spool.
struct Spooled {
    path: PathBuf,
    crc: u32,
}

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

    /// True when less than half of what it should hold is left behind this segment, and nobody is at it.
    pub fn wants_more(&self, behind: Segment) -> bool {
        let passed = behind.to_string();
        let left = self.names().filter(|name| segment_of(name).is_some_and(|name| *name > *passed));
        (left.count() as u64) * 2 < self.ahead && !self.is_being_filled()
    }

    /// Moves a segment out of the spool that was put there just now, whatever its fingerprint. False when there is
    /// none, or are several: then the archive is to be asked.
    pub(super) fn take_fresh(&self, file: WalFile, to: &Path) -> Result<bool> {
        let WalFile::Segment(segment) = file else { return Ok(false) };
        let wanted = segment.to_string();
        let mut there = self.names().filter(|name| segment_of(name) == Some(&*wanted));
        let (Some(name), None) = (there.next(), there.next()) else { return Ok(false) };
        let spooled = Spooled::of(self.folder.join(&name), name.rsplit('.').next());
        match spooled.filter(Spooled::is_fresh) {
            Some(spooled) => handed_over(&spooled, to),
            None => Ok(false),
        }
    }

    /// Moves a segment out of the spool; waits for it when it is on its way. False when it is not in it, or is
    /// no longer what was put there.
    pub(super) fn take(&self, kept: &Kept, to: &Path) -> Result<bool> {
        let Some(spooled) = self.await_one(kept) else { return Ok(false) };
        handed_over(&spooled, to)
    }

    /// The segment, if it is there or comes: for as long as a process that is alive makes progress with it.
    fn await_one(&self, kept: &Kept) -> Option<Spooled> {
        let WalFile::Segment(_) = kept.file else { return None };
        let draft = self.draft(kept)?;
        let clock = Clock::system();
        let (mut since, mut seen) = (clock.now(), None);
        loop {
            let on_its_way = incoming::so_far(&draft);
            // Behind that look: what was published meanwhile is found.
            if let Some(spooled) = self.find(kept) {
                return Some(spooled);
            }
            if on_its_way != seen {
                (since, seen) = (clock.now(), on_its_way);
            }
            let patience = match on_its_way {
                Some(_) => STANDS_STILL,
                None if self.is_being_filled() => BEGINS,
                None => return None,
            };
            if clock.now().since(since) > patience {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    fn find(&self, kept: &Kept) -> Option<Spooled> {
        let stem = stem(kept)?;
        self.names().find_map(|name| {
            let crc = name.strip_prefix(&stem)?.strip_prefix('.');
            Spooled::of(self.folder.join(&name), crc)
        })
    }

    /// Fetches the segments behind this one, several at a time, and goes on while they are taken, until as many
    /// stand there as the spool should hold, or the archive ends. Nothing when another process is at it.
    /// Returns how many were fetched.
    ///
    /// # Errors
    /// What ended it before that: the server is told of it when it asks for the segment itself.
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
        self.keep_only(after, size);
        let filling = Filling {
            spool: self,
            archive,
            size,
            line: Mutex::new(Line { next: after.next(size), standing: Vec::new(), over: false }),
        };
        filling.all()
    }

    /// Removes what recovery has passed, and what is left of one that went elsewhere.
    fn keep_only(&self, after: Segment, size: u64) {
        let last = Segment::numbered(after.timeline, after.number(size) + self.ahead, size);
        let (after, last) = (after.to_string(), last.to_string());
        for name in self.names().filter(|name| name != LOCK) {
            if segment_of(&name).is_none_or(|name| *name <= *after || *name > *last) {
                // Taken meanwhile by the one who asked for it.
                let _ = fs::remove_file(self.folder.join(name));
            }
        }
    }

    /// Removes the folder: recovery has come to the end of the archive.
    pub fn remove(&self) {
        // It is only a cache; what is left of it is removed by the next one who fills it.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    }

    fn is_being_filled(&self) -> bool {
        File::open(self.folder.join(LOCK))
            .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// The place for whose sake a segment is on its way.
    fn draft(&self, kept: &Kept) -> Option<PathBuf> {
        Some(self.folder.join(stem(kept)?))
    }
}

/// What the names of all files of a segment begin with; none where the archive keeps no fingerprint.
fn stem(kept: &Kept) -> Option<String> {
    Some(format!("{}.{}", kept.file, kept.sha256.as_deref()?))
}

/// The segment's name in that of a file of a spool; none for a file that is no whole segment.
fn segment_of(name: &str) -> Option<&str> {
    (!incoming::is_temporary(name)).then(|| name.get(..24)).flatten()
}

impl Spooled {
    /// By the end of its name: eight digits.
    fn of(path: PathBuf, crc: Option<&str>) -> Option<Self> {
        let crc = crc.filter(|crc| crc.len() == 8)?;
        Some(Self { path, crc: u32::from_str_radix(crc, 16).ok()? })
    }

    fn is_fresh(&self) -> bool {
        let put = fs::metadata(&self.path).and_then(|about| about.modified());
        let put = put.ok().and_then(|put| Timestamp::try_from(put).ok());
        // Behind a clock that was set back it is none.
        let age =
            put.and_then(|put| Duration::try_from(Clock::system().wall().duration_since(put)).ok());
        age.is_some_and(|age| age < FRESH)
    }
}

/// [`hand_over`], telling what went wrong.
fn handed_over(spooled: &Spooled, to: &Path) -> Result<bool> {
    match hand_over(spooled, to) {
        Ok(taken) => Ok(taken),
        // Somebody else has asked for the same one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Fault::io(format!("cannot write '{}'", to.display()))(error)),
    }
}

/// Moves a segment to where it is wanted, if it is still what was put there.
fn hand_over(spooled: &Spooled, to: &Path) -> io::Result<bool> {
    if checksum(File::open(&spooled.path)?, &mut io::sink())? != spooled.crc {
        fs::remove_file(&spooled.path)?;
        return Ok(false);
    }
    match fs::rename(&spooled.path, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut incoming = Incoming::begin(to)?;
            if checksum(File::open(&spooled.path)?, &mut incoming)? != spooled.crc {
                return Ok(false);
            }
            incoming.publish(to)?;
            fs::remove_file(&spooled.path)?;
        }
        moved => moved?,
    }
    Ok(true)
}

/// Copies a file, and returns the checksum of what was copied.
fn checksum(mut file: File, into: &mut dyn Write) -> io::Result<u32> {
    let (mut crc, mut buffer) = (0, vec![0; PART]);
    loop {
        let length = file.read(&mut buffer)?;
        let part = buffer.get(..length).unwrap_or_default();
        if part.is_empty() {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, part);
        into.write_all(part)?;
    }
}

/// A spool that is being filled, by several workers.
struct Filling<'a> {
    spool: &'a Spool,
    archive: &'a Archive,
    size: u64,
    line: Mutex<Line>,
}

/// What is fetched next, and what was fetched.
struct Line {
    next: Segment,
    /// What stands there or is on its way, in the order in which it will be asked for.
    standing: Vec<Standing>,
    over: bool,
}

struct Standing {
    segment: Segment,
    /// Where it stands; none while it is on its way.
    path: Option<PathBuf>,
}

impl Filling<'_> {
    fn all(&self) -> Result<u64> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
        thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| self.work())).collect();
            let mut fetched = self.work();
            for other in others {
                // It fetches, and returns what goes wrong: it does not panic.
                let more = other.join().unwrap_or(Ok(0));
                fetched = fetched.and_then(|fetched| Ok(fetched + more?));
            }
            fetched
        })
    }

    /// Fetches one after the other until there is enough.
    fn work(&self) -> Result<u64> {
        let mut fetched = 0;
        while let Some(segment) = self.next() {
            match self.one(segment) {
                Ok(Some((path, new))) => {
                    fetched += u64::from(new);
                    self.stands(segment, path);
                }
                Ok(None) => self.lock().over = true,
                Err(fault) => {
                    self.lock().over = true;
                    return Err(fault);
                }
            }
        }
        Ok(fetched)
    }

    /// The next segment to fetch; none when enough stand there.
    fn next(&self) -> Option<Segment> {
        let mut line = self.lock();
        line.forget_what_was_passed();
        if line.over || line.standing.len() as u64 >= self.spool.ahead {
            return None;
        }
        let segment = line.next;
        line.next = segment.next(self.size);
        line.standing.push(Standing { segment, path: None });
        Some(segment)
    }

    /// Fetches one, unless it stands there already. None at the end of the archive.
    fn one(&self, segment: Segment) -> Result<Option<(PathBuf, bool)>> {
        let Some(kept) = self.archive.find_one(WalFile::Segment(segment))? else { return Ok(None) };
        if let Some(there) = self.spool.find(&kept) {
            return Ok(Some((there.path, false)));
        }
        let Some(draft) = self.spool.draft(&kept) else { return Ok(None) };
        let cannot = || Fault::io(format!("cannot write '{}'", draft.display()));
        let mut incoming = Incoming::begin(&draft).map_err(cannot())?;
        let mut crc = 0;
        copy_checked(self.archive, &kept, self.archive.open(&kept)?, &mut |part| {
            crc = crc32c::crc32c_append(crc, part);
            incoming.write_all(part).map_err(cannot())
        })?;
        let mut name = draft.clone().into_os_string();
        name.push(format!(".{crc:08x}"));
        let path = PathBuf::from(name);
        incoming.publish(&path).map_err(cannot())?;
        Ok(Some((path, true)))
    }

    fn stands(&self, segment: Segment, path: PathBuf) {
        let mut line = self.lock();
        match line.standing.iter_mut().find(|one| one.segment == segment) {
            Some(standing) => standing.path = Some(path),
            // It was passed while it was on its way.
            None => drop(fs::remove_file(path)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// What was taken is no longer there. What should have been taken before it never will be.
    fn forget_what_was_passed(&mut self) {
        let gone = |one: &Standing| one.path.as_ref().is_some_and(|path| !path.exists());
        let Some(last) = self.standing.iter().rposition(gone) else { return };
        for passed in self.standing.drain(..=last).filter_map(|one| one.path) {
            // It may be gone, too.
            let _ = fs::remove_file(passed);
        }
    }
}
