//! Incidents of the archive and of the repository, and their undoing.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{SandboxError, incident::Incident, keeping};
use crate::cluster::Server;

/// The folder of what was done, in the sandbox folder: by it everything can be undone.
const FOLDER: &str = "incidents";

/// Does such an incident to the repository or to the archiver of that server.
pub fn cause(incident: Incident, server: &Server) -> Result<(), SandboxError> {
    let notes = notes(server);
    fs::create_dir_all(&notes)
        .map_err(SandboxError::io(format!("cannot make {}", notes.display())))?;
    let set = |command: &str| Ok(server.set("archive_command", command)?);
    match incident {
        Incident::ArchiveFails => set("echo 'archive: no route to host' >&2; exit 1"),
        Incident::ArchiveHangs => {
            let flag = notes.join(incident.name());
            write(&flag, "")?;
            let flag = flag.to_string_lossy().replace('\'', r"'\''").replace('%', "%%");
            set(&format!("while test -e '{flag}'; do sleep 0.2; done; exit 1"))
        }
        Incident::CorruptBackup => flip(server, incident, &largest_file_of_newest_backup(server)?),
        Incident::CorruptWal => flip(server, incident, &middle_segment(server)?),
        Incident::MissingWal => {
            let note = notes.join(incident.name());
            if note.exists() {
                return Ok(());
            }
            let segment = middle_segment(server)?;
            fs::rename(&segment, aside(server))
                .map_err(SandboxError::io(format!("cannot move {}", segment.display())))?;
            write(&note, &segment.to_string_lossy())
        }
        Incident::DiskFull => fill(&keeping::repository(server.folder())),
        Incident::DropTable => {
            Ok(server.psql("\\connect demo\ndrop table customers cascade").map(|_| ())?)
        }
        _ => Ok(()),
    }
}

/// Undoes all of them, but for a dropped table: that comes back by a restore only.
pub fn undo(server: &Server) -> Result<(), SandboxError> {
    let notes = notes(server);
    if !notes.exists() {
        return Ok(());
    }
    server.set("archive_command", &keeping::archive_command(server.folder())?)?;
    remove(&notes.join(Incident::ArchiveHangs.name()))?;
    remove(&ballast(&keeping::repository(server.folder())))?;
    for incident in [Incident::CorruptBackup, Incident::CorruptWal] {
        let note = notes.join(incident.name());
        if let Ok(path) = fs::read_to_string(&note) {
            // What was expired meanwhile needs no mending.
            if Path::new(&path).exists() {
                flip_middle(Path::new(&path))?;
            }
            remove(&note)?;
        }
    }
    let note = notes.join(Incident::MissingWal.name());
    if let Ok(path) = fs::read_to_string(&note) {
        let aside = aside(server);
        match fs::rename(&aside, &path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SandboxError::io(format!("cannot move {}", aside.display()))(error));
            }
            _ => remove(&note)?,
        }
    }
    Ok(())
}

/// Where a segment is moved to: in the same file system, and in no target's part of the repository.
fn aside(server: &Server) -> PathBuf {
    keeping::repository(server.folder()).join("missing-segment")
}

fn ballast(repository: &Path) -> PathBuf {
    repository.join("ballast")
}

/// Writes until nothing more fits: only into a file system that is the demo's own.
fn fill(repository: &Path) -> Result<(), SandboxError> {
    let own = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    if own(repository) == repository.parent().and_then(own) {
        let why = "the repository has no file system of its own to fill: only root on Linux can mount one";
        return Err(missing(why));
    }
    let path = ballast(repository);
    let cannot = || SandboxError::io(format!("cannot write {}", path.display()));
    let mut file = fs::File::create(&path).map_err(cannot())?;
    let block = vec![0; 1 << 20];
    let mut size = block.len();
    // Ever smaller pieces, so that not a page is left.
    while size >= 512 {
        match file.write(block.get(..size).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
            Err(error) => return Err(cannot()(error)),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn notes(server: &Server) -> PathBuf {
    server.folder().join(FOLDER)
}

/// Flips one bit in the middle of a file, once, and notes which.
fn flip(server: &Server, incident: Incident, path: &Path) -> Result<(), SandboxError> {
    let note = notes(server).join(incident.name());
    if note.exists() {
        return Ok(());
    }
    flip_middle(path)?;
    write(&note, &path.to_string_lossy())
}

fn flip_middle(path: &Path) -> Result<(), SandboxError> {
    let flipped = || -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let at = file.metadata()?.len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1;
        file.write_all_at(&byte, at)
    };
    flipped().map_err(SandboxError::io(format!("cannot damage {}", path.display())))
}

fn largest_file_of_newest_backup(server: &Server) -> Result<PathBuf, SandboxError> {
    let backups = keeping::repository(server.folder()).join(keeping::NAME).join("backups");
    let whole = files(&backups)?.into_iter().filter(|(path, _)| path.ends_with("manifest.json"));
    // Backups are named after their time.
    let newest = whole.filter_map(|(path, _)| path.parent().map(Path::to_owned)).max();
    let newest = newest.ok_or_else(|| missing("there is no backup to damage yet"))?;
    let data = files(&newest)?.into_iter().max_by_key(|(_, size)| *size);
    data.map(|(path, _)| path).ok_or_else(|| missing("the backup has no file"))
}

fn middle_segment(server: &Server) -> Result<PathBuf, SandboxError> {
    let wal = keeping::repository(server.folder()).join(keeping::NAME).join("wal");
    let is_segment = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() > 24
            && name.get(..24).is_some_and(|n| n.bytes().all(|b| b.is_ascii_hexdigit()))
            && !name.contains(".backup")
            && !name.contains(".partial")
    };
    let mut segments: Vec<PathBuf> =
        files(&wal)?.into_iter().map(|(path, _)| path).filter(|path| is_segment(path)).collect();
    segments.sort();
    // Not the last: behind it nothing would be missed.
    if segments.len() < 3 {
        return Err(missing("too few segments are archived yet: one comes every minute"));
    }
    Ok(segments.swap_remove(segments.len() / 2))
}

fn missing(why: &str) -> SandboxError {
    SandboxError::NotYet(why.to_owned())
}

fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>, SandboxError> {
    let cannot = || SandboxError::io(format!("cannot look into {}", folder.display()));
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(cannot())?,
    };
    for entry in entries {
        let entry = entry.map_err(cannot())?;
        let about = entry.metadata().map_err(cannot())?;
        if about.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), about.len()));
        }
    }
    Ok(found)
}

fn write(path: &Path, text: &str) -> Result<(), SandboxError> {
    fs::write(path, text).map_err(SandboxError::io(format!("cannot write {}", path.display())))
}

fn remove(path: &Path) -> Result<(), SandboxError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SandboxError::io(format!("cannot remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}
