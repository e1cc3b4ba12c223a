//! Archives one file: `archive_command`.
//!
//! PostgreSQL asks again until it is told success, keeps the segment meanwhile, and after success may recycle
//! it at once: so success is told only when the file is checked, written, flushed and published, and the same
//! file may come twice (PostgreSQL documentation, "Setting Up WAL Archiving").

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    thread,
};

use super::{
    archive::{Archive, LIMIT, key_of},
    history,
    page::{self, About},
    segment::{LABEL, Segment, WalFile},
};
use crate::{
    base::digest::sha256,
    recover::{Fault, Kind, Repository, Result, repository::storage::Overwrite},
};

/// As with everything that is sealed: fast enough never to be the bottleneck.
const ZSTD_LEVEL: i32 = 1;

/// A file that is safe in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// What it is.
    pub file: WalFile,
    /// The fingerprint of its content.
    pub sha256: String,
    /// The same content was there already.
    pub already: bool,
}

/// Archives the file at that path, under its own name.
///
/// # Errors
/// [`Kind::Damaged`] when it is not what its name says; [`Kind::Refused`] when it is of another cluster, or
/// another content is there under its name.
pub fn put(repository: &Repository, path: &Path) -> Result<Put> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file: WalFile = name.parse()?;
    let content = read(path)?;
    check(repository, file, &content, path)?;
    put_content(repository, file, &content)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || Fault::io(format!("cannot read '{}'", path.display()));
    let source = fs::File::open(path).map_err(cannot())?;
    let size = source.metadata().map_err(cannot())?.len();
    if size > LIMIT {
        let what = format!("'{}' has {size} bytes: too many for a file of WAL", path.display());
        return Err(Fault::new(Kind::Damaged, what));
    }
    let mut content = Vec::with_capacity(size as usize + 1);
    source.take(LIMIT + 1).read_to_end(&mut content).map_err(cannot())?;
    Ok(content)
}

/// Checks a file's content against its name, the server that hands it over, and the archive's cluster.
fn check(repository: &Repository, file: WalFile, content: &[u8], path: &Path) -> Result<()> {
    let flawed =
        |flaw: page::Flaw| Fault::new(Kind::Damaged, format!("{file} is not archived: {flaw}"));
    let head = match file {
        WalFile::Segment(segment) => {
            let about = page::check(segment, content).map_err(flawed)?;
            check_fork(repository, segment, &about, path)?;
            about.head
        }
        WalFile::Partial(segment) => {
            let head = page::head(content).map_err(flawed)?;
            page::check_place(segment, &head).map_err(flawed)?;
            head
        }
        WalFile::History(timeline) => return history::parse(timeline, content).map(|_| ()),
        WalFile::Backup(..) if content.starts_with(LABEL) => return Ok(()),
        WalFile::Backup(..) => {
            let what = format!("{file} is not archived: it is no backup history file");
            return Err(Fault::new(Kind::Damaged, what));
        }
    };
    let Some(own) = head.cluster() else { return Err(flawed(page::Flaw::NoHeader(head.magic))) };
    if let Some(server) = server_major(path).filter(|server| *server != own.major()) {
        let what = format!(
            "{file} is not archived: it is of PostgreSQL {}, the server {server}",
            own.major()
        );
        return Err(Fault::new(Kind::Damaged, what));
    }
    repository.claim(&own).map(drop).map_err(|fault| fault.during(&format!("{file} is refused")))
}

/// A segment all of whose pages are of an older timeline can only be the one in which its own timeline
/// begins; its history, which is archived first, says so.
fn check_fork(repository: &Repository, segment: Segment, about: &About, path: &Path) -> Result<()> {
    if about.last_timeline == segment.timeline {
        return Ok(());
    }
    let history = WalFile::History(segment.timeline);
    // The server has it beside the segment; the archive may be one that we cannot decrypt.
    let text = if let Ok(text) = fs::read(path.with_file_name(history.to_string())) {
        Some(text)
    } else {
        let archive = Archive::Repository(repository.clone());
        archive.find_one(history)?.map(|kept| archive.read(&kept)).transpose()?
    };
    let begins_here = match text {
        None => false,
        Some(text) => history::parse(segment.timeline, &text)?.last().is_some_and(|left| {
            Segment::at(segment.timeline, left.at, about.head.segment_size) == segment
                && left.timeline == about.last_timeline
        }),
    };
    if begins_here {
        return Ok(());
    }
    let flaw = page::Flaw::Timeline { at: 0, is: about.last_timeline };
    Err(Fault::new(Kind::Damaged, format!("{segment} is not archived: {flaw}")))
}

/// The major version of the server whose `pg_wal` this path is in, by the file `PG_VERSION` of its data
/// folder; none for a path elsewhere.
fn server_major(path: &Path) -> Option<u32> {
    let data = path.parent()?.parent()?;
    let text = fs::read_to_string(data.join("PG_VERSION")).ok()?;
    text.trim().parse().ok()
}

/// Publishes checked content under its name.
fn put_content(repository: &Repository, file: WalFile, content: &[u8]) -> Result<Put> {
    // Both take about as long, and neither needs the other.
    let (sha256, packed) = thread::scope(|scope| {
        let packing = scope.spawn(|| pack(content));
        (sha256(content), packing.join())
    });
    let packed = packed
        .unwrap_or_else(|_| Err(std::io::Error::other("the compressor ended early")))
        .map_err(Fault::io(format!("cannot compress {file}")))?;

    let archive = Archive::Repository(repository.clone());
    let same = |other: &str| other == sha256;
    let before = archive.find(file)?;
    if let Some(other) = before.iter().filter_map(|kept| kept.sha256.as_deref()).find(|s| !same(s))
    {
        return Err(conflict(file, other, &sha256));
    }
    // Written again even when it is there: whoever wrote it may have been killed before it was flushed, and
    // it may have been damaged since.
    let already = !before.is_empty();
    let key = key_of(repository, file, &sha256)?;
    let overwrite = if already { Overwrite::Replace } else { Overwrite::Never };
    let packed = repository.enveloped(&key, packed)?;
    let mut upload = repository.storage().create(&key, overwrite)?;
    upload.write_all(&packed).map_err(Fault::io(format!("cannot write '{key}'")))?;
    match upload.finish() {
        // The same content, published meanwhile by another one: it flushed it before it did.
        Err(fault) if fault.kind == Kind::Refused => {}
        finished => finished?,
    }
    // Two clusters that were once the same may archive different content under one name at once.
    let after = archive.find(file)?;
    if let Some(other) = after.iter().filter_map(|kept| kept.sha256.as_deref()).find(|s| !same(s)) {
        repository.storage().remove(&key)?;
        return Err(conflict(file, other, &sha256));
    }
    Ok(Put { file, sha256, already })
}

fn pack(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    packer.include_checksum(true)?;
    packer.compress(content)
}

fn conflict(file: WalFile, there: &str, ours: &str) -> Fault {
    let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    let what = format!(
        "{file} is refused: it is in the archive with other content ({}…, not {}…)",
        short(there),
        short(ours)
    );
    Fault::new(Kind::Refused, what).remedy(
        "another server archives here, too: stop one of them, or give it a name of its own (--name)",
    )
}
