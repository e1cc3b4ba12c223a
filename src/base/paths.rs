//! Folders of configuration and state, by each system's own rules.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Where howdah keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The folder of `config.toml`, `keys.toml`, `themes/` and `profiles/`.
    pub config: PathBuf,
    /// The folder of logs, of the ledger, of jobs and of running demos.
    pub state: PathBuf,
}

impl Paths {
    /// The folders of this user: `~/.config/howdah` and `~/.local/state/howdah` on Linux. `None`
    /// without a home.
    pub fn of_user() -> Option<Self> {
        let dirs = directories::ProjectDirs::from("", "", "howdah")?;
        let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
        Some(Self { config: dirs.config_dir().to_owned(), state: state.to_owned() })
    }

    /// The configuration file that is read when none is named.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Where the theme stands that was last chosen in the console.
    pub fn chosen_theme(&self) -> PathBuf {
        self.state.join("theme")
    }

    /// The folder of the ledger.
    pub fn ledger(&self) -> PathBuf {
        self.state.join("ledger")
    }

    /// The folder of the jobs.
    pub fn jobs(&self) -> PathBuf {
        self.state.join("jobs")
    }

    /// The folder of a person's own guides.
    pub fn guides(&self) -> PathBuf {
        self.config.join("guides")
    }

    /// The folder of the runs of guides.
    pub fn runs(&self) -> PathBuf {
        self.state.join("guides")
    }

    /// The folder of what `wal setup` changed, one file for each cluster.
    pub fn setups(&self) -> PathBuf {
        self.state.join("wal-setup")
    }

    /// The folder of what is silenced, one file for each target.
    pub fn silences(&self) -> PathBuf {
        self.state.join("silences")
    }

    /// The log.
    pub fn log_file(&self) -> PathBuf {
        self.state.join("howdah.log")
    }
}

/// Makes a folder and its parents that only its owner may enter (0700). One that exists stays as it
/// is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file that only its owner may read (0600), for appending. The mode of one that exists is
/// tightened.
pub fn private_file(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A file's next text, safe on disk under a temporary name beside it (0600), not yet in its place. Dropping
/// it removes it.
#[derive(Debug)]
#[must_use = "a draft that is dropped is removed"]
pub struct Draft {
    place: PathBuf,
    temporary: PathBuf,
}

impl Draft {
    /// Writes and fsyncs the draft.
    pub fn write(place: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        // Two processes that write the same file must not share a draft.
        name.push(format!(".{}.partial", std::process::id()));
        let draft = Self { place: place.to_owned(), temporary: place.with_file_name(name) };
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.create(true).write(true).truncate(true).mode(0o600).open(&draft.temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }

    /// Puts it in place of the file that stood there, and makes that safe, too.
    pub fn publish(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.place)?;
        sync_folder_of(&self.place)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After publishing nothing stands there; otherwise a full disk may have been the reason.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a file of ours (0600), whole or not at all, and durably.
pub fn write_private(place: &Path, bytes: &[u8]) -> io::Result<()> {
    Draft::write(place, bytes)?.publish()
}

/// Makes the names in a file's folder safe: a file that was made, renamed or removed.
pub fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

/// Makes the names in a folder safe: without it a new one may be gone after a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// True when somebody else than its owner may do anything with a file: a secret in it is none.
pub fn others_may_enter(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_is_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        private_folder(&inner).expect("made");
        let file = inner.join("log");
        fs::write(&file, "x").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opened up");
        private_file(&file).expect("opened");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        assert!(!others_may_enter(&fs::metadata(&file).expect("there")));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("opened up");
        assert!(others_may_enter(&fs::metadata(&file).expect("there")));
    }

    #[test]
    fn a_draft_takes_its_place_whole_or_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("head");
        write_private(&place, b"old").expect("written");
        drop(Draft::write(&place, b"new").expect("a draft"));
        assert_eq!(fs::read(&place).expect("there"), b"old");
        Draft::write(&place, b"new").expect("a draft").publish().expect("published");
        assert_eq!(fs::read(&place).expect("there"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft is left");
    }
}
