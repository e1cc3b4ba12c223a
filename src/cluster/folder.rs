//! A private temporary folder, owned by the account that the server runs as.

use std::{
    env, fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::ClusterError;

/// An account to run the server as, when we are root: PostgreSQL refuses to run as root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user number.
    pub uid: u32,
    /// Its group number.
    pub gid: u32,
}

impl Account {
    /// The account that servers must run as: none when ours will do, else `postgres` or `nobody`.
    pub fn for_servers() -> Result<Option<Self>, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(Self::named)
            .map(Some)
            .ok_or(ClusterError::NoAccount)
    }

    fn named(name: &str) -> Option<Self> {
        let number = |which: &str| -> Option<u32> {
            let output = Command::new("id").args([which, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        let (uid, gid) = (number("-u")?, number("-g")?);
        (uid != 0).then(|| Self { name: name.to_owned(), uid, gid })
    }
}

/// A command that runs as `account`, in `folder`, untouched by the caller's `PG*` variables and
/// speaking English, so that its messages can be recognised.
pub fn command(program: &Path, account: Option<&Account>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.as_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir(folder);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// A folder that only its owner may enter (0700), with a path short enough for a unix socket. It is
/// removed on drop unless kept.
#[derive(Debug)]
pub struct PrivateFolder {
    dir: TempDir,
    account: Option<Account>,
}

/// `sun_path` holds 104 bytes on macOS and BSD, 108 on Linux, one of them for the closing NUL.
const SOCKET_PATH_MAX: usize = 103;
const SOCKET_NAME_MAX: usize = "/.s.PGSQL.65535".len();
/// What every sandbox folder is called, up to its random tail.
pub const PREFIX: &str = "howdah-";

impl PrivateFolder {
    /// Makes one in the system's temporary folder, or in `/tmp` when the path would be too long.
    pub fn create() -> Result<Self, ClusterError> {
        let usual = env::temp_dir();
        let parent = [usual.clone(), PathBuf::from("/tmp")]
            .into_iter()
            .find(|parent| {
                // The random tail has six characters, after a slash.
                let folder = parent.as_os_str().len() + 1 + PREFIX.len() + 6;
                folder + SOCKET_NAME_MAX <= SOCKET_PATH_MAX && parent.is_dir()
            })
            .ok_or(ClusterError::PathTooLong(usual))?;
        let account = Account::for_servers()?;
        let made = ClusterError::io(format!("cannot make a folder in {}", parent.display()));
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(made)?;
        let folder = Self { dir, account };
        folder.give(folder.path())?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Who owns it, when that is not us.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Leaves it where it is.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Gives a file or folder in it to the account that the server runs as.
    pub fn give(&self, path: &Path) -> Result<(), ClusterError> {
        let Some(account) = &self.account else { return Ok(()) };
        chown(path, Some(account.uid), Some(account.gid))
            .map_err(ClusterError::io(format!("cannot give {} away", path.display())))
    }

    /// Copies a folder tree into it (as `name`), owned by the account that the server runs as.
    pub fn copy_in(&self, source: &Path, name: &str) -> Result<PathBuf, ClusterError> {
        let target = self.path().join(name);
        copy_tree(source, &target, &|path| self.give(path))?;
        Ok(target)
    }
}

/// Copies a tree of folders and plain files with their modes, telling `made` of each.
pub(super) fn copy_tree(
    source: &Path,
    target: &Path,
    made: &dyn Fn(&Path) -> Result<(), ClusterError>,
) -> Result<(), ClusterError> {
    let failed = || ClusterError::io(format!("cannot copy {}", source.display()));
    let about = fs::symlink_metadata(source).map_err(failed())?;
    if about.is_dir() {
        fs::create_dir(target).map_err(failed())?;
        fs::set_permissions(target, about.permissions()).map_err(failed())?;
        for entry in fs::read_dir(source).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            copy_tree(&entry.path(), &target.join(entry.file_name()), made)?;
        }
    } else {
        fs::copy(source, target).map_err(failed())?;
    }
    made(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_folder_is_private_short_and_goes_away() {
        let folder = PrivateFolder::create().expect("a folder");
        let about = fs::metadata(folder.path()).expect("it exists");
        assert_eq!(about.mode() & 0o7777, 0o700);
        let owner = folder.account().map_or(rustix::process::geteuid().as_raw(), |a| a.uid);
        assert_eq!(about.uid(), owner);
        assert_ne!(about.uid(), 0, "a server cannot run in root's folder");
        let socket = folder.path().join(".s.PGSQL.65535");
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MAX);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_tree_is_copied_with_its_modes() {
        let source = tempfile::tempdir().expect("source");
        fs::create_dir(source.path().join("a")).expect("folder");
        fs::write(source.path().join("a/b"), "text").expect("file");
        fs::set_permissions(source.path().join("a/b"), fs::Permissions::from_mode(0o600))
            .expect("mode");
        let folder = PrivateFolder::create().expect("a folder");
        let copy = folder.copy_in(source.path(), "copy").expect("copied");
        assert_eq!(fs::read_to_string(copy.join("a/b")).expect("read"), "text");
        assert_eq!(fs::metadata(copy.join("a/b")).expect("there").mode() & 0o777, 0o600);
    }
}
