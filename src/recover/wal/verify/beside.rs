//! What stands in an archive for people, and no recovery asks for: the label of each base backup, and the last
//! segment of a timeline that was left.

use super::{Finding, Wrong};
use crate::recover::{
    Fault, Kind, Result,
    wal::{
        archive::{Archive, Kept},
        page,
        segment::{LABEL, Segment, WalFile},
    },
};

/// Reads one of them. `None` when nothing is wrong with it.
pub(super) fn look(archive: &Archive, kept: &Kept) -> Result<Option<Finding>> {
    let wrong = match archive.read(kept).and_then(|content| sound(kept.file, &content)) {
        Ok(()) => return Ok(None),
        Err(fault) if fault.kind == Kind::Damaged => fault,
        // Sealed for another key: segments that are to be read tell that, and these are in nobody's way.
        Err(fault) if fault.kind == Kind::Config => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let (subject, what) = (kept.file.to_string().into(), wrong.what().clone());
    Ok(Some(Finding { wrong: Wrong::Beside, subject, what, lost: None }))
}

/// The segment that it is about.
pub(super) fn about(file: WalFile) -> Option<Segment> {
    match file {
        WalFile::Partial(segment) | WalFile::Backup(segment, _) => Some(segment),
        WalFile::Segment(_) | WalFile::History(_) => None,
    }
}

fn sound(file: WalFile, content: &[u8]) -> Result<()> {
    let damaged = |why: String| Err(Fault::new(Kind::Damaged, why));
    match file {
        WalFile::Backup(..) if !content.starts_with(LABEL) => {
            damaged("it is no label of a base backup".to_owned())
        }
        WalFile::Partial(segment) => page::head(content)
            .and_then(|head| page::check_place(segment, &head))
            .or_else(|flaw| damaged(flaw.to_string())),
        _ => Ok(()),
    }
}
