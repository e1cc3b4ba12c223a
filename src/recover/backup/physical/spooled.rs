//! By way of a folder: `pg_basebackup` writes archives there, and each is taken while it still grows.

use std::{
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::json;

use super::{
    cleanup,
    growing::{Folder, Growing},
    shown::Shown,
};
use crate::{
    base::{digest::Hashing, exec::Tool, paths::private_folder, text::Text},
    recover::{
        Fault, Kind, Repository, Result,
        backup::{
            preflight,
            pump::{Output, Tee, pump},
            run::Run,
            sweep::SPOOL,
        },
        base_backup::{Members, label::tablespace_map},
        physical::plan::free,
        repository::{
            key::Key,
            manifest::{File, Role},
            sealed::{Compression, Stored},
        },
    },
};

/// A level that costs less than it saves on any wire, and the one that this side would take.
const SERVER_ZSTD: &str = "--compress=server-zstd:level=1";
/// How much of an archive is read at once.
const PART: usize = 1 << 18;

/// The folder of a run, which goes when this does.
pub(super) struct Spool {
    folder: PathBuf,
    /// The folder above is ours, too, and goes when it is empty.
    ours: bool,
}

impl Spool {
    /// A folder where `needed` bytes are free: below the one that is wished, else in the repository.
    pub fn of(run: &Run<'_>, wanted: Option<&Path>, needed: u64) -> Result<Self> {
        let folder = if let Some(folder) = wanted {
            folder.to_owned()
        } else {
            let key = run.repository.target().join(SPOOL)?;
            run.repository.storage().path(&key).ok_or_else(|| {
                let what = "the archives of this backup need a folder on their way, and the repository is none";
                Fault::new(Kind::Config, what).remedy("give one with --spool")
            })?
        };
        private_folder(&folder)
            .map_err(Fault::io(format!("cannot make the spool folder '{}'", folder.display())))?;
        let spool = Self { folder: folder.join(run.id.as_str()), ours: wanted.is_none() };
        let free = free(&folder)?;
        let place = Text::from(folder.to_string_lossy().as_ref());
        preflight::enough(&place, Some(free), needed, "for archives on their way")?;
        Ok(spool)
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let (true, Some(above)) = (self.ours, self.folder.parent()) {
            // Not empty is no error.
            let _ = fs::remove_dir(above);
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is swept by the next run.
        let _ = self.remove();
    }
}

/// Runs `pg_basebackup`, and keeps what it writes; `packed`: compressed by the server, and kept as it comes.
pub(super) fn take(
    run: &Run<'_>,
    tool: &Tool,
    spool: &Spool,
    packed: bool,
) -> Result<(Vec<File>, Members)> {
    let folder = &spool.folder;
    let tool =
        tool.clone().args(packed.then_some(SERVER_ZSTD)).args(["--no-sync", "-D"]).arg(folder);
    let what = "copy the data folder and the tablespaces";
    run.step("base", what, &cleanup(run, Some(folder)), || {
        let unpacked = AtomicU64::new(0);
        let keeping = Keeping {
            repository: run.repository,
            home: run.repository.backup_key(&run.id)?,
            threads: run.threads,
            folder,
            packed,
            unpacked: &unpacked,
        };
        let mut shown = Shown::default();
        let (files, members) =
            pump(&tool, run.observer.cancel(), |output| keeping.all(&output), &mut |_, lines| {
                let progress = shown.progress(unpacked.load(Ordering::Relaxed), lines);
                run.observer.progress(&progress);
            })
            .map_err(|fault| shown.explain(fault))?;
        let bytes: u64 = files.iter().map(|file| file.stored.size).sum();
        let content: u64 = files.iter().map(|file| file.stored.content_size).sum();
        let by = if packed { "the server" } else { "this side" };
        Ok(((files, members), json!({ "bytes": bytes, "unpacked": content, "compressed_by": by })))
    })
}

/// Takes archives out of the folder while they come.
struct Keeping<'a> {
    repository: &'a Repository,
    /// What the names of the backup's files begin with.
    home: Key,
    /// Threads that compress.
    threads: u32,
    folder: &'a Path,
    packed: bool,
    /// Bytes that were read, unpacked.
    unpacked: &'a AtomicU64,
}

impl Keeping<'_> {
    /// Until the tool has ended.
    fn all(&self, tool: &Output<'_>) -> Result<(Vec<File>, Members)> {
        let cannot =
            || Fault::io(format!("cannot read the spool folder '{}'", self.folder.display()));
        let (mut members, mut kept) = (Members::default(), Vec::new());
        let ended = || tool.over();
        let mut archives = Folder::new(self.folder, &ended);
        while let Some(archive) = archives.next().map_err(cannot())? {
            let stem = archive.name.split('.').next().unwrap_or_default();
            let oid: Option<u32> = stem.parse().ok();
            if oid.is_none() && stem != "base" {
                let what = format!("pg_basebackup left '{}', which is not known", archive.name);
                return Err(Fault::new(Kind::Failed, what));
            }
            kept.push((oid, self.one(archive, oid, &mut members)?));
        }
        members.manifest = match fs::read(self.folder.join("backup_manifest")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            manifest => Some(manifest.map_err(cannot())?),
        };
        Ok((named(kept, &members)?, members))
    }

    /// Seals one archive while it is read.
    fn one(&self, archive: Growing<'_>, oid: Option<u32>, members: &mut Members) -> Result<Stored> {
        let stem = oid.map_or_else(|| "base".to_owned(), |oid| format!("tablespace-{oid}"));
        let key = self.home.join(&format!("{stem}.tar.zst"))?;
        if !self.packed {
            let into = self.repository.seal_as(&key, Compression::Zstd, self.threads)?;
            let mut tee = Tee::new(BufReader::with_capacity(PART, archive), into);
            let read = members.read(Counted { from: &mut tee, count: self.unpacked }, oid);
            return tee.finish(read)?.0.finish();
        }
        let mut tee = Tee::new(archive, self.repository.seal_packed(&key)?);
        let cannot = Fault::io(format!("cannot unpack '{key}'"));
        let unpacking = zstd::Decoder::new(&mut tee).map_err(cannot)?;
        let mut content = Hashing::of(Counted { from: unpacking, count: self.unpacked });
        let read = members.read(&mut content, oid);
        let seen = content.seen();
        let (sealing, ()) = tee.finish(read)?;
        sealing.finish(seen)
    }
}

/// The files, the data folder's first. Where a tablespace stood is told by the data folder, which comes last.
fn named(kept: Vec<(Option<u32>, Stored)>, members: &Members) -> Result<Vec<File>> {
    let map = members.tablespace_map.as_deref().unwrap_or_default();
    let map = tablespace_map(&String::from_utf8_lossy(map));
    let role = |oid| -> Result<Role> {
        let Some(oid) = oid else { return Ok(Role::Base) };
        let place = map.iter().find(|(number, _)| *number == oid).map(|(_, place)| place.clone());
        let location = place.ok_or_else(|| {
            Fault::new(Kind::Damaged, format!("tablespace_map does not name {oid}"))
        })?;
        Ok(Role::Tablespace { oid, location })
    };
    let mut files = Vec::new();
    for (oid, stored) in kept {
        files.push(File { role: role(oid)?, stored });
    }
    files.sort_by_key(|file| file.role != Role::Base);
    Ok(files)
}

/// Counts what is read.
struct Counted<'a, R> {
    from: R,
    count: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
