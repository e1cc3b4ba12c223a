//! What was unpacked, held against PostgreSQL's own list of what it sent.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use super::unpack::Places;
use crate::{
    base::digest::Hasher,
    recover::{
        Fault, Kind, Repository, Result,
        base_backup::{BaseManifest, Members, compare},
        repository::{
            manifest::{Level, Manifest, Role},
            sealed,
        },
    },
};

/// How much is read at once.
const PART: usize = 1 << 20;
/// At most so many differences are named.
const SHOWN: usize = 5;

/// Compares names and sizes of everything that was unpacked with `backup_manifest`; fingerprints, too, of a
/// backup that nobody has verified since it was taken: of a verified one the bytes are known to be the same.
/// Returns why it could not be compared: a backup whose list is lost may still be the only one.
///
/// # Errors
/// [`Kind::Damaged`] when something is there that PostgreSQL did not send, or the other way round.
pub(super) fn with_list(
    repository: &Repository,
    manifest: &Manifest,
    places: &Places,
) -> Result<Option<Fault>> {
    let listed = match list(repository, manifest) {
        Err(fault) if fault.kind == Kind::Damaged => {
            return Ok(Some(fault.during("what was restored was not compared with what was sent")));
        }
        listed => listed?,
    };
    let Some(wal) = &manifest.wal else { return Ok(None) };
    let hash = repository.backup(&manifest.id)?.level() < Some(Level::L2);
    let mut found = Vec::new();
    walk(&places.data, "", &mut found)?;
    for (oid, place) in &places.tablespaces {
        walk(place, &format!("pg_tblspc/{oid}/"), &mut found)?;
    }
    // What stands beside a tablespace in its place is not of this backup.
    found.retain(|(name, _)| !name.contains(".before-"));
    let members = members(found, &listed, hash)?;
    let mut wrong = compare(&listed, &members, wal.segment_size);
    if wrong.is_empty() {
        return Ok(None);
    }
    let more = wrong.len().saturating_sub(SHOWN);
    wrong.truncate(SHOWN);
    let mut what = format!("the backup {} holds something else: {}", manifest.id, wrong.join("; "));
    if more > 0 {
        what += &format!("; and {more} more");
    }
    Err(Fault::new(Kind::Damaged, what).remedy("choose another backup"))
}

fn list(repository: &Repository, manifest: &Manifest) -> Result<BaseManifest> {
    let file = manifest.files.iter().find(|file| file.role == Role::BackupManifest);
    let Some(file) = file else {
        return Err(Fault::new(Kind::Damaged, "the backup has no backup_manifest"));
    };
    let mut text = Vec::new();
    let read = repository.unseal(&file.stored).and_then(|mut content| {
        content.read_to_end(&mut text).map_err(|error| sealed::unreadable(&file.stored.key, &error))
    });
    match read {
        Err(fault) if fault.kind == Kind::Unavailable => {
            Err(Fault::new(Kind::Damaged, fault.what().clone()))
        }
        read => read.and_then(|_| BaseManifest::parse(&text)),
    }
}

/// Every file below a folder, by its name with `prefix` in front.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let cannot = || Fault::io(format!("cannot look into '{}'", folder.display()));
    for entry in fs::read_dir(folder).map_err(cannot())? {
        let entry = entry.map_err(cannot())?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(cannot())?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found)?;
        } else if entry.file_type().map_err(cannot())?.is_file() {
            found.push((name, entry.path()));
        }
    }
    Ok(())
}

/// The files as a base backup's members. Without `hash` each has the fingerprint that it should have.
fn members(found: Vec<(String, PathBuf)>, listed: &BaseManifest, hash: bool) -> Result<Members> {
    let members = Mutex::new(Ok(Members::default()));
    let queue = Mutex::new(found);
    let lock = |m: &Mutex<_>| -> Option<(String, PathBuf)> {
        let mut queue: std::sync::MutexGuard<'_, Vec<(String, PathBuf)>> =
            m.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        queue.pop()
    };
    let work = || {
        while let Some((name, path)) = lock(&queue) {
            let looked = look(&name, &path, listed, hash);
            let mut all = members.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *all, looked) {
                (Ok(members), Ok(member)) => take(members, name, member),
                (Ok(_), Err(fault)) => *all = Err(fault),
                (Err(_), _) => break,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
        work();
    });
    members.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Member {
    size: u64,
    sha256: String,
    label: Option<Vec<u8>>,
}

fn look(name: &str, path: &Path, listed: &BaseManifest, hash: bool) -> Result<Member> {
    let cannot = || Fault::io(format!("cannot read '{}'", path.display()));
    let size = fs::metadata(path).map_err(cannot())?.len();
    let wanted = listed.files.get(name.as_bytes()).and_then(|entry| entry.sha256.clone());
    let sha256 = match wanted {
        Some(_) if hash => fingerprint(path).map_err(cannot())?,
        wanted => wanted.unwrap_or_default(),
    };
    let label = (name == "backup_label").then(|| fs::read(path)).transpose().map_err(cannot())?;
    Ok(Member { size, sha256, label })
}

fn take(members: &mut Members, name: String, member: Member) {
    let segment = name.strip_prefix("pg_wal/").filter(|name| {
        name.len() == 24 && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    });
    if let Some(segment) = segment {
        members.wal.insert(segment.to_owned(), member.size);
    } else if name != "backup_manifest" {
        if member.label.is_some() {
            members.label = member.label;
        }
        members.files.insert(name.into_bytes(), (member.size, member.sha256));
    }
}

fn fingerprint(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; PART]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
