//! The disks that a server of this machine lies on, and those of our own folders.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::look::{Folders, Seen, Space};
use crate::base::{disk::room, units::bytes};

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What it is known by: the first that lies on it, as alerts name it.
    pub name: String,
    /// What lies on it.
    pub holds: Vec<String>,
    /// The server lies on it.
    pub server: bool,
    /// Its size in bytes.
    pub size: u64,
    /// What an ordinary account may still write to it, in bytes.
    pub free: u64,
    /// How many of a hundred bytes are used.
    pub used_percent: u64,
    /// What is free, in words.
    pub room: String,
    /// What lies on it, in words.
    pub contents: String,
}

/// What could be seen of disks.
#[derive(Debug)]
pub struct Disks {
    /// The server's first, the fullest first of each.
    pub all: Vec<Disk>,
    /// Why those of the server cannot be seen, if they cannot.
    pub unseen: Option<String>,
}

/// The disks of a server that is `here`, or why they cannot be seen; and those of our own folders.
pub fn of(here: bool, space: &Space, own: &[(&'static str, PathBuf)]) -> Disks {
    let mut found: Vec<(u64, Disk)> = Vec::new();
    let unseen = match (here, &space.folders) {
        (false, _) => {
            Some("it runs on another machine: its free room cannot be seen from here".to_owned())
        }
        (true, Seen::Blind(why)) => {
            Some(format!("its folders are not told ({why}): grant pg_read_all_settings"))
        }
        (true, Seen::Is(folders)) => {
            for (what, folder) in parts(folders) {
                add(&mut found, &what, &folder, true);
            }
            let data = folders.data.first().map_or("", String::as_str);
            found.is_empty().then(|| {
                format!("'{data}' may not be looked at by this account: look as root, or as the server's own")
            })
        }
    };
    for (what, folder) in own {
        add(&mut found, what, folder, false);
    }
    let mut all: Vec<Disk> = found.into_iter().map(|(_, disk)| disk).collect();
    all.sort_by_key(|disk| std::cmp::Reverse((disk.server, disk.used_percent)));
    Disks { all, unseen }
}

/// The server's folders, each with what it is.
fn parts(folders: &Folders) -> Vec<(String, PathBuf)> {
    let data = folders.data.first().map(PathBuf::from).unwrap_or_default();
    let mut parts =
        vec![("data".to_owned(), data.clone()), ("pg_wal".to_owned(), data.join("pg_wal"))];
    // An absolute path stays what it is.
    parts.extend(folders.log.iter().map(|log| ("log".to_owned(), data.join(log))));
    let more = folders.data.iter().skip(1);
    parts.extend(more.map(|folder| (format!("tablespace {folder}"), PathBuf::from(folder))));
    parts
}

/// Takes a folder: on a disk of its own, or on one that is known.
fn add(found: &mut Vec<(u64, Disk)>, what: &str, folder: &Path, server: bool) {
    let Ok(room) = room(folder) else { return };
    if let Some((_, disk)) = found.iter_mut().find(|(device, _)| *device == room.device) {
        disk.holds.push(what.to_owned());
        disk.contents = disk.holds.join(", ");
        return;
    }
    let disk = Disk {
        name: what.to_owned(),
        holds: vec![what.to_owned()],
        server,
        size: room.size,
        free: room.free,
        used_percent: room.used_percent() as u64,
        room: format!("{} of {}", bytes(room.free), bytes(room.size)),
        contents: what.to_owned(),
    };
    found.push((room.device, disk));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_disk_are_told_together_and_what_is_gone_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut found = Vec::new();
        add(&mut found, "data", folder.path(), true);
        add(&mut found, "log", Path::new("/does/not/exist"), true);
        add(&mut found, "state", folder.path(), false);
        let [(_, disk)] = found.as_slice() else { panic!("one disk: {found:?}") };
        assert_eq!((disk.name.as_str(), disk.server), ("data", true));
        assert_eq!(disk.holds, ["data", "state"]);
        assert!(disk.size >= disk.free && disk.used_percent <= 100, "{disk:?}");
    }
}
