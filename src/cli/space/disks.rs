//! The disks that a server of this machine lies on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::look::{Seen, Space};
use crate::resilience::conninfo::{Host, Place};

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What of the server lies on it.
    pub holds: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// What an ordinary account may still write to it, in bytes.
    pub free: u64,
    /// How many of a hundred bytes are used.
    pub used_percent: u64,
}

/// The disks, the fullest first; or why they cannot be seen.
pub fn of(host: &Host, space: &Space) -> Result<Vec<Disk>, String> {
    if !is_here(&host.place) {
        return Err("it runs on another machine: its free room cannot be seen from here".to_owned());
    }
    let folders = match &space.folders {
        Seen::Is(folders) => folders,
        Seen::Blind(why) => {
            return Err(format!("its folders are not told ({why}): grant pg_read_all_settings"));
        }
    };
    let data = folders.data.first().map(PathBuf::from).unwrap_or_default();
    let mut parts =
        vec![("data".to_owned(), data.clone()), ("pg_wal".to_owned(), data.join("pg_wal"))];
    // An absolute path stays what it is.
    parts.extend(folders.log.iter().map(|log| ("log".to_owned(), data.join(log))));
    let more = folders.data.iter().skip(1);
    parts.extend(more.map(|folder| (format!("tablespace {folder}"), PathBuf::from(folder))));
    let mut disks: BTreeMap<u64, Disk> = BTreeMap::new();
    for (what, folder) in parts {
        let Some((device, disk)) = disk(&folder) else { continue };
        disks.entry(device).or_insert(disk).holds.push(what);
    }
    if disks.is_empty() {
        return Err(format!(
            "'{}' may not be looked at by this account: look as root, or as the server's own",
            data.display()
        ));
    }
    let mut disks: Vec<Disk> = disks.into_values().collect();
    disks.sort_by_key(|disk| std::cmp::Reverse(disk.used_percent));
    Ok(disks)
}

/// A socket, or the loopback address. Another address may be a proxy's.
fn is_here(place: &Place) -> bool {
    match place {
        Place::Unix(_) => true,
        Place::Tcp { address: Some(address), .. } => address.is_loopback(),
        Place::Tcp { name: Some(name), .. } => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        Place::Tcp { .. } => false,
    }
}

fn disk(folder: &Path) -> Option<(u64, Disk)> {
    use std::os::unix::fs::MetadataExt as _;
    // Below a symbolic link the disk is another one.
    let folder = fs::canonicalize(folder).ok()?;
    let device = fs::metadata(&folder).ok()?.dev();
    let about = rustix::fs::statvfs(&folder).ok()?;
    let (size, free) = (about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize);
    let used = (about.f_blocks - about.f_bfree) * about.f_frsize;
    // As df counts: what is kept for root is neither used nor free.
    let used_percent = (used * 100).checked_div(used + free).unwrap_or(0);
    Some((device, Disk { holds: Vec::new(), size, free, used_percent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_a_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, disk) = disk(folder.path()).expect("seen");
        assert!(disk.size >= disk.free && disk.used_percent <= 100, "{disk:?}");
        assert_eq!(super::disk(Path::new("/does/not/exist")), None);
    }

    #[test]
    fn a_name_is_no_proof_of_this_machine() {
        let tcp = |name: &str| Place::Tcp { name: Some(name.to_owned()), address: None };
        assert!(is_here(&tcp("127.0.0.1")) && is_here(&tcp("localhost")));
        assert!(!is_here(&tcp("db.example")));
    }
}
