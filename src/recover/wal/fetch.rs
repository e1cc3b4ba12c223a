//! Brings one file back: `restore_command`.
//!
//! The server asks for more than there is, and takes an exit code from 1 to 125 for "not there", upon which
//! it ends recovery (PostgreSQL documentation, "Recovering Using a Continuous Archive Backup"). So that is
//! said only of what is certainly not there.

use std::{
    io::{Read, Write},
    path::Path,
};

use super::{
    archive::{Archive, Kept, each_part},
    history,
    incoming::Incoming,
    page::Pages,
    segment::WalFile,
    spool::Spool,
};
use crate::{
    base::ahead::Ahead,
    recover::{Fault, Kind, Result},
};

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
    if let Some(spool) = spool
        && spool.take_fresh(file, to)?
    {
        return Ok(Came::Spool);
    }
    let Some(kept) = archive.find_one(file)? else { return Ok(Came::NotThere) };
    if let Some(spool) = spool
        && spool.take(&kept, to)?
    {
        return Ok(Came::Spool);
    }
    let cannot = || Fault::io(format!("cannot write '{}'", to.display()));
    let mut incoming = Incoming::begin(to).map_err(cannot())?;
    // Unpacking and hashing on one processor, writing on another.
    let content = Ahead::of(archive.open(&kept)?).map_err(Fault::io("no thread to unpack on"))?;
    copy_checked(archive, &kept, content, &mut |part| incoming.write_all(part).map_err(cannot()))?;
    incoming.publish(to).map_err(cannot())?;
    Ok(Came::Archive)
}

/// A file's content, checked as far as it can be alone.
pub(super) fn read_checked(archive: &Archive, kept: &Kept) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    copy_checked(archive, kept, archive.open(kept)?, &mut |part| {
        whole.extend_from_slice(part);
        Ok(())
    })?;
    Ok(whole)
}

/// Hands a file's content over part by part, and returns only when all of it was what it should be: its
/// fingerprint, its pages, and its cluster.
pub(super) fn copy_checked(
    archive: &Archive,
    kept: &Kept,
    content: impl Read,
    into: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut check = Check::of(kept.file);
    each_part(kept, content, &mut |part| {
        check.take(part);
        into(part)
    })?;
    check.finish(archive, kept)
}

/// What a file's own bytes say about it.
enum Check {
    Segment(Box<Pages>),
    History(u32, Vec<u8>),
    Nothing,
}

impl Check {
    fn of(file: WalFile) -> Self {
        match file {
            WalFile::Segment(segment) => Self::Segment(Box::new(Pages::of(segment))),
            WalFile::History(timeline) => Self::History(timeline, Vec::new()),
            WalFile::Partial(_) | WalFile::Backup(..) => Self::Nothing,
        }
    }

    fn take(&mut self, part: &[u8]) {
        match self {
            Self::Segment(pages) => pages.take(part),
            Self::History(_, text) => text.extend_from_slice(part),
            Self::Nothing => {}
        }
    }

    fn finish(self, archive: &Archive, kept: &Kept) -> Result<()> {
        let damaged = |why: &dyn std::fmt::Display| {
            Fault::new(Kind::Damaged, format!("'{}' is damaged: {why}", kept.place()))
        };
        match self {
            Self::Segment(pages) => {
                let about = pages.finish().map_err(|flaw| damaged(&flaw))?;
                if let (Some(own), Some(repository)) = (about.head.cluster(), archive.repository())
                    && let Some(why) = repository.claimed()?.and_then(|c| c.cluster.differs(&own))
                {
                    return Err(damaged(&why));
                }
                Ok(())
            }
            Self::History(timeline, text) => history::parse(timeline, &text).map(drop),
            Self::Nothing => Ok(()),
        }
    }
}
