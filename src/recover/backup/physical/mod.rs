//! Physical backups: `pg_basebackup`, as tar, with the WAL that makes it consistent.
//!
//! A cluster without tablespaces streams straight into the repository. One with tablespaces has an archive
//! for each, which `pg_basebackup` can only write as files: they stand in a spool folder on their way.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    inventory::{self, Members as Extensions},
    preflight,
    pump::{Tee, pump},
    run::Run,
    sweep::SPOOL,
    tools::Program,
};
use crate::{
    base::{
        exec::Tool,
        paths::private_folder,
        progress::{Cleanup, Progress},
        text::Text,
    },
    recover::{
        Fault, Kind, Result,
        base_backup::{BaseManifest, Members, compare, label::tablespace_map},
        libpq::connecting,
        repository::{
            manifest::{File, Inventory, Role, WalSpan},
            sealed::{Compression, Stored},
        },
        session::Session,
    },
};

/// What was taken.
pub(super) struct Taken {
    pub files: Vec<File>,
    pub wal: WalSpan,
    pub inventory: Inventory,
    pub tool: String,
}

/// A level that costs less than it saves on any wire.
const SERVER_ZSTD: &str = "--compress=server-zstd:level=1";

/// Takes the cluster. `session` stays open: it holds the WAL in place.
pub(super) fn take(
    run: &Run<'_>,
    session: &Session,
    spread: bool,
    spool: Option<&Path>,
    size: u64,
) -> Result<Taken> {
    let program = Program::find("pg_basebackup", session.version)?;
    program.fits(session.version)?;
    let segment: i64 = session
        .one("SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'", &[])?
        .get(0);
    let segment = segment.unsigned_abs();
    hold_wal(run, session)?;
    let tool = connecting(program.tool(), &run.settings, session.host(), None)
        .args(["-Ft", "-X", "fetch", "--manifest-checksums=SHA256", "--no-password", "-P", "-v"])
        .arg(format!("--checkpoint={}", if spread { "spread" } else { "fast" }))
        .arg(format!("--label={}", label(run)));
    let tablespaces = inventory::cluster(session)?.tablespaces;
    let (mut files, members) = if tablespaces.is_empty() {
        streamed(run, &tool)?
    } else {
        let packed = program.major >= 15 && packs(session)?;
        spooled(run, tool, &place(run, spool, size)?, packed)?
    };
    let manifest = members.manifest.as_deref().ok_or_else(|| {
        Fault::new(
            Kind::Damaged,
            "pg_basebackup said that all is well, but left no backup_manifest",
        )
    })?;
    let wal = checked(run, manifest, &members, segment)?;
    let key = run.repository.backup_key(&run.id)?.join("backup_manifest")?;
    let stored =
        run.step("backup_manifest", "keep backup_manifest", &run.files_cleanup(), || {
            let mut sealing = run.repository.seal_as(&key, Compression::None, 0)?;
            sealing.write_all(manifest).map_err(Fault::io(format!("cannot write '{key}'")))?;
            Ok((sealing.finish()?, json!({})))
        })?;
    files.push(File { role: Role::BackupManifest, stored });
    let inventory = inventory(run, session)?;
    Ok(Taken { files, wal, inventory, tool: program.says })
}

/// True for a server that compresses a base backup by zstd: from 15 on, where it was built with that. Of those
/// that were, `wal_compression` knows the word, too.
fn packs(session: &Session) -> Result<bool> {
    let sql = "SELECT coalesce(bool_or('zstd' = ANY (enumvals)), false) FROM pg_settings \
               WHERE name = 'wal_compression'";
    Ok(session.version >= 150_000 && session.one(sql, &[])?.get(0))
}

fn label(run: &Run<'_>) -> String {
    format!("howdah {}", run.id)
}

/// Keeps the server from recycling WAL that the backup needs: by a slot that ends with our session.
fn hold_wal(run: &Run<'_>, session: &Session) -> Result<()> {
    if session.version >= 140_000 {
        session.run("SET idle_session_timeout = 0")?;
    }
    let slot = format!("howdah_{}", run.id.as_str().to_lowercase().replace('-', "_"));
    let made =
        session.query("SELECT pg_create_physical_replication_slot($1, true, true)", &[&slot]);
    if let Err(fault) = made {
        let what =
            format!("no slot holds the WAL of this backup, so wal_keep_size must suffice: {fault}");
        run.observer.note(&what.into());
    }
    Ok(())
}

fn streamed(run: &Run<'_>, tool: &Tool) -> Result<(Vec<File>, Members)> {
    let key = run.repository.backup_key(&run.id)?.join("base.tar.zst")?;
    let tool = tool.clone().args(["-D", "-"]);
    run.step("base", "copy the data folder", &cleanup(run, None), || {
        let sealing = run.repository.seal_as(&key, Compression::Zstd, run.threads)?;
        let mut shown = Shown::default();
        let (sealing, members) = pump(
            &tool,
            run.observer.cancel(),
            |output| {
                let mut tee = Tee::new(output, sealing);
                let mut members = Members::default();
                let read = members.read(&mut tee, None);
                tee.finish(read.map(|()| members))
            },
            &mut |bytes, lines| run.observer.progress(&shown.progress(bytes, lines)),
        )?;
        let stored = sealing.finish()?;
        let details = json!({ "bytes": stored.size, "unpacked": stored.content_size });
        Ok(((vec![File { role: Role::Base, stored }], members), details))
    })
}

/// What a killed run leaves behind here: more than files.
fn cleanup(run: &Run<'_>, spool: Option<&Path>) -> Cleanup {
    let mut what = run.files_cleanup().what.as_str().to_owned();
    if let Some(spool) = spool {
        what += &format!("; the folder '{}', too", spool.display());
    }
    Cleanup::words(what)
}

/// What `pg_basebackup -P` says: `41956/41956 kB (100%), 2/2 tablespaces`.
#[derive(Default)]
struct Shown {
    done: u64,
    total: Option<u64>,
}

impl Shown {
    fn progress(&mut self, streamed: u64, lines: &[Text]) -> Progress {
        for line in lines {
            if let Some((done, total)) = told(line) {
                (self.done, self.total) = (done * 1024, Some(total * 1024));
            }
        }
        let done = streamed.max(self.done);
        if done == 0 {
            return Progress::bytes("waiting for the checkpoint", 0, None)
                .with_note("silence is normal until the server has written its checkpoint");
        }
        Progress::bytes("copying the data folder", done, self.total)
    }
}

fn told(line: &str) -> Option<(u64, u64)> {
    let (figures, _) = line.split_once(" kB")?;
    let (done, total) = figures.trim().split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// The spool folder of this run, where there is certainly room.
fn place(run: &Run<'_>, wanted: Option<&Path>, size: u64) -> Result<Spool> {
    let folder = if let Some(folder) = wanted {
        folder.to_owned()
    } else {
        let key = run.repository.target().join(SPOOL)?;
        run.repository.storage().path(&key).ok_or_else(|| {
            let what = "the cluster has tablespaces, and their archives need a folder on their way";
            Fault::new(Kind::Config, what).remedy("give one with --spool")
        })?
    };
    private_folder(&folder)
        .map_err(Fault::io(format!("cannot make the spool folder '{}'", folder.display())))?;
    let about = rustix::fs::statvfs(&folder).map_err(|error| {
        Fault::io(format!("cannot look at '{}'", folder.display()))(error.into())
    })?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let place = Text::from(folder.to_string_lossy().as_ref());
    preflight::enough(&place, Some(free), size, "for archives on their way")?;
    Ok(Spool { folder: folder.join(run.id.as_str()), ours: wanted.is_none() })
}

/// A folder that goes when this does.
struct Spool {
    folder: PathBuf,
    /// The folder above is ours, too, and goes when it is empty.
    ours: bool,
}

impl Spool {
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

fn spooled(run: &Run<'_>, tool: Tool, spool: &Spool, packed: bool) -> Result<(Vec<File>, Members)> {
    let folder = &spool.folder;
    let tool = tool.args(["--no-sync", "-D"]).arg(folder);
    let tool = if packed { tool.arg(SERVER_ZSTD) } else { tool };
    run.step(
        "base",
        "copy the data folder and the tablespaces",
        &cleanup(run, Some(folder)),
        || {
            let mut shown = Shown::default();
            let nothing = |mut output: super::pump::Output<'_>| {
                io::copy(&mut output, &mut io::sink()).map_err(Fault::io("pg_basebackup's output"))
            };
            pump(&tool, run.observer.cancel(), nothing, &mut |_, lines| {
                run.observer.progress(&shown.progress(0, lines));
            })?;
            Ok(((), json!({})))
        },
    )?;
    run.step("keep", "keep the archives", &cleanup(run, Some(folder)), || {
        let kept = keep_all(run, folder)?;
        Ok((kept, json!({})))
    })
}

fn keep_all(run: &Run<'_>, spool: &Path) -> Result<(Vec<File>, Members)> {
    let cannot = || Fault::io(format!("cannot read the spool folder '{}'", spool.display()));
    let mut members = Members::default();
    let mut names = Vec::new();
    for entry in fs::read_dir(spool).map_err(cannot())? {
        names.push(entry.map_err(cannot())?.file_name().to_string_lossy().into_owned());
    }
    // The map of tablespaces is in the base archive, which therefore comes first.
    names.sort_by_key(|name| (!name.starts_with("base."), name.clone()));
    let (mut files, mut done) = (Vec::new(), 0);
    for name in names {
        let path = spool.join(&name);
        if name == "backup_manifest" {
            members.manifest = Some(fs::read(&path).map_err(cannot())?);
            continue;
        }
        let stem = name.split('.').next().unwrap_or_default();
        let oid: Option<u32> = stem.parse().ok();
        if oid.is_none() && stem != "base" {
            let what = format!("pg_basebackup left '{name}', which is not known");
            return Err(Fault::new(Kind::Failed, what));
        }
        let stored = keep(run, &path, oid, &mut members, &mut done)?;
        let map = members.tablespace_map.clone().unwrap_or_default();
        let map = tablespace_map(&String::from_utf8_lossy(&map));
        let role = match oid {
            None => Role::Base,
            Some(oid) => Role::Tablespace {
                oid,
                location: map
                    .into_iter()
                    .find(|(number, _)| *number == oid)
                    .map(|(_, at)| at)
                    .ok_or_else(|| {
                        Fault::new(Kind::Damaged, format!("tablespace_map does not name {oid}"))
                    })?,
            },
        };
        files.push(File { role, stored });
        fs::remove_file(&path).map_err(cannot())?;
    }
    Ok((files, members))
}

/// Seals one archive of the spool folder.
fn keep(
    run: &Run<'_>,
    path: &Path,
    oid: Option<u32>,
    members: &mut Members,
    done: &mut u64,
) -> Result<Stored> {
    run.go_on()?;
    let stem = oid.map_or_else(|| "base".to_owned(), |oid| format!("tablespace-{oid}"));
    let key = run.repository.backup_key(&run.id)?.join(&format!("{stem}.tar.zst"))?;
    let cannot = || Fault::io(format!("cannot read '{}'", path.display()));
    let raw = fs::File::open(path).map_err(cannot())?;
    let from: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "zst") {
        Box::new(zstd::Decoder::new(raw).map_err(cannot())?)
    } else {
        Box::new(raw)
    };
    let into = run.repository.seal_as(&key, Compression::Zstd, run.threads)?;
    let from = Watched { from: BufReader::with_capacity(1 << 18, from), run, done };
    let mut tee = Tee::new(from, into);
    let read = members.read(&mut tee, oid);
    run.go_on()?;
    tee.finish(read)?.0.finish()
}

/// Tells how far the archives are, and stops when that is wished.
struct Watched<'a, R> {
    from: R,
    run: &'a Run<'a>,
    done: &'a mut u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.run.observer.cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let read = self.from.read(buffer)?;
        *self.done += read as u64;
        self.run.observer.progress(&Progress::bytes("keeping the archives", *self.done, None));
        Ok(read)
    }
}

/// Compares what was streamed with what PostgreSQL says that it read, and reads off the WAL that is needed.
fn checked(run: &Run<'_>, manifest: &[u8], members: &Members, segment: u64) -> Result<WalSpan> {
    let manifest = BaseManifest::parse(manifest)?;
    let wrong = compare(&manifest, members, segment);
    if let Some(first) = wrong.first() {
        let what = format!("the base backup is not whole, {} findings: {first}", wrong.len());
        return Err(Fault::new(Kind::Damaged, what));
    }
    let told = members.label()?;
    if told.label != label(run) {
        let what =
            format!("backup_label belongs to another backup: '{}'", Text::foreign(&told.label));
        return Err(Fault::new(Kind::Damaged, what));
    }
    let stop = manifest.wal.last().map_or(told.start, |range| range.end);
    Ok(WalSpan { timeline: told.timeline, start: told.start, stop, segment_size: segment })
}

/// What is in every database that lets us in. Rows are not counted: a physical backup has no snapshot.
fn inventory(run: &Run<'_>, session: &Session) -> Result<Inventory> {
    let mut inventory = inventory::cluster(session)?;
    let open =
        session.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1", &[])?;
    for row in open {
        run.go_on()?;
        let name: String = row.get(0);
        let found = Session::open_database(&run.settings, &name)
            .and_then(|session| inventory::database(&session, Extensions::Included));
        match found {
            Ok(found) => inventory.databases.push(found.database),
            Err(fault) => {
                let what = format!("the inventory is without {}: {fault}", Text::foreign(&name));
                run.observer.note(&what.into());
            }
        }
    }
    Ok(inventory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_silence_before_it_is_explained() {
        let mut shown = Shown::default();
        let waiting =
            shown.progress(0, &["pg_basebackup: waiting for checkpoint to complete".into()]);
        assert!(waiting.note.is_some_and(|note| note.contains("silence is normal")));
        let running = shown.progress(5000, &[" 8732/41943 kB (20%), 0/2 tablespaces".into()]);
        assert_eq!((running.done, running.total), (8732 * 1024, Some(41943 * 1024)));
        assert_eq!(told("pg_basebackup: write-ahead log start point: 0/2"), None);
    }
}
