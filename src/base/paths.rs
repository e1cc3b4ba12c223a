//! Folders of configuration and state, by each system's own rules.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Where howdah keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The folder of `config.toml`, `keys.toml`, `themes/` and `profiles/`.
    pub config: PathBuf,
    /// The folder of logs and of running demos.
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
    }
}
