//! How much room a file system has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The room of the file system below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which file system it is, for as long as it is mounted.
    pub device: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What an ordinary account may still write, in bytes.
    pub free: u64,
    /// What is written, in bytes.
    pub used: u64,
}

impl Room {
    /// How many of a hundred bytes are used, as df counts: what is kept for root is neither used nor free.
    pub fn used_percent(&self) -> f64 {
        let all = self.used.saturating_add(self.free);
        if all == 0 { 0.0 } else { 100.0 * self.used as f64 / all as f64 }
    }
}

/// The room below a folder, behind symbolic links. A network folder whose server is gone lets this wait for
/// ever: call it where that hurts nobody.
pub fn room(folder: &Path) -> io::Result<Room> {
    use std::os::unix::fs::MetadataExt as _;
    let folder: PathBuf = fs::canonicalize(folder)?;
    let device = fs::metadata(&folder)?.dev();
    let about = rustix::fs::statvfs(&folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    Ok(Room {
        device,
        size: bytes(about.f_blocks),
        free: bytes(about.f_bavail),
        used: bytes(about.f_blocks.saturating_sub(about.f_bfree)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_a_file_system_and_a_link_on_that_of_its_goal() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |path: &Path| room(path).expect("seen");
        let here = of(folder.path());
        assert!(here.size >= here.free && (0.0..=100.0).contains(&here.used_percent()), "{here:?}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev", &link).expect("a link");
        assert_eq!(of(&link).device, of(Path::new("/dev")).device);
        let gone = room(Path::new("/does/not/exist")).expect_err("gone");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_kept_for_root_is_neither_used_nor_free() {
        let room = Room { device: 1, size: 100, free: 20, used: 60 };
        assert!((room.used_percent() - 75.0).abs() < 1e-9);
        assert!(Room { free: 0, used: 0, ..room }.used_percent().abs() < 1e-9, "proc has no bytes");
    }
}
