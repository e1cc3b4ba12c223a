//! Files and folders below one place, made by their descriptors: no link is ever followed, so that whoever owns
//! the place cannot lead root elsewhere while it writes there.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Gid, Mode, OFlags, RawMode, Uid, fchmod, fchown, mkdirat, open, openat},
    io::Errno,
};

use crate::{
    base::text::Text,
    cluster::folder::Account,
    recover::{Fault, Kind, Result, base_backup::Destination},
};

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::CREATE
    .union(OFlags::EXCL)
    .union(OFlags::WRONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A place that files are put into.
pub(super) struct Below {
    place: PathBuf,
    top: OwnedFd,
    owner: Option<(Uid, Gid)>,
    /// The folder that was used last, by its path: archives are in the order of folders.
    last: Option<(Vec<u8>, OwnedFd)>,
    file: Option<(File, Text)>,
}

impl Below {
    /// Below a folder that is there; what is made belongs to `account`.
    pub(super) fn of(place: &Path, account: Option<&Account>) -> Result<Self> {
        let top =
            open(place, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty()).map_err(|error| {
                Fault::io(format!("cannot enter '{}'", place.display()))(error.into())
            })?;
        let owner = account.map(|account| (Uid::from_raw(account.uid), Gid::from_raw(account.gid)));
        Ok(Self { place: place.to_owned(), top, owner, last: None, file: None })
    }

    fn shown(&self, path: &[u8]) -> Text {
        let below = Text::foreign(&String::from_utf8_lossy(path));
        Text::foreign(&self.place.join(below.as_str()).to_string_lossy())
    }

    /// Does something in the folder that a path ends in, with the path's last part.
    fn within<T>(
        &mut self,
        path: &[u8],
        act: impl FnOnce(BorrowedFd<'_>, &[u8], Option<(Uid, Gid)>) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let wrong = path
            .split(|byte| *byte == b'/')
            .any(|part| matches!(part, b"" | b"." | b"..") || part.contains(&0));
        if wrong {
            let what = format!("the backup holds '{}', which is no place in it", self.shown(path));
            return Err(Fault::new(Kind::Damaged, what));
        }
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = cut.map_or((&[][..], path), |at| (&path[..at], &path[at + 1..]));
        let done = match &self.last {
            _ if folder.is_empty() => act(self.top.as_fd(), name, self.owner),
            Some((at, last)) if at == folder => act(last.as_fd(), name, self.owner),
            _ => descend(self.top.as_fd(), folder, self.owner).and_then(|found| {
                let done = act(found.as_fd(), name, self.owner);
                self.last = Some((folder.to_owned(), found));
                done
            }),
        };
        done.map_err(|error| match error {
            Errno::EXIST => Fault::new(
                Kind::Damaged,
                format!("'{}' is there already: the backup holds it twice", self.shown(path)),
            ),
            error => Fault::io(format!("cannot make '{}'", self.shown(path)))(error.into()),
        })
    }
}

/// Opens a folder, part by part; what is not there is made.
fn descend(
    top: BorrowedFd<'_>,
    path: &[u8],
    owner: Option<(Uid, Gid)>,
) -> rustix::io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    for part in path.split(|byte| *byte == b'/') {
        at = Some(enter(at.as_ref().map_or(top, AsFd::as_fd), part, owner)?);
    }
    // A path has at least one part.
    at.ok_or(Errno::INVAL)
}

/// Opens one folder in another; a new one belongs to `owner` alone.
fn enter(
    at: BorrowedFd<'_>,
    name: &[u8],
    owner: Option<(Uid, Gid)>,
) -> rustix::io::Result<OwnedFd> {
    match openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    mkdirat(at, name, Mode::RWXU)?;
    let made = openat(at, name, FOLDER, Mode::empty())?;
    own(&made, owner)?;
    Ok(made)
}

fn own(thing: impl AsFd, owner: Option<(Uid, Gid)>) -> rustix::io::Result<()> {
    match owner {
        Some((uid, gid)) => fchown(thing, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The nine permission bits.
fn permissions(mode: u32) -> Mode {
    // Nine bits fit whatever a system's mode is.
    Mode::from_raw_mode((mode & 0o777) as RawMode)
}

impl Destination for Below {
    fn folder(&mut self, path: &[u8], mode: u32) -> Result<()> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if matches!(path, b"" | b".") {
            // The place itself, whose maker has given it its bits.
            return Ok(());
        }
        self.within(path, |at, name, owner| {
            let folder = enter(at, name, owner)?;
            fchmod(folder, permissions(mode))
        })
    }

    fn file(&mut self, path: &[u8], mode: u32) -> Result<()> {
        self.file = None;
        let file = self.within(path, |at, name, owner| {
            let file = openat(at, name, NEW_FILE, Mode::RUSR | Mode::WUSR)?;
            own(&file, owner)?;
            if permissions(mode) != Mode::RUSR | Mode::WUSR {
                fchmod(&file, permissions(mode))?;
            }
            Ok(File::from(file))
        })?;
        self.file = Some((file, self.shown(path)));
        Ok(())
    }

    fn bytes(&mut self, part: &[u8]) -> Result<()> {
        let Some((file, path)) = &mut self.file else {
            return Err(Fault::new(Kind::Failed, "bytes of a file that did not begin"));
        };
        file.write_all(part)
            .map_err(|error: io::Error| Fault::io(format!("cannot write '{path}'"))(error))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn files_and_folders_come_where_they_belong_with_their_permissions() {
        let home = tempfile::tempdir().expect("a folder");
        let mut below = Below::of(home.path(), None).expect("entered");
        below.folder(b"./", 0o755).expect("there");
        below.folder(b"base/", 0o2750).expect("made");
        for (path, mode, parts) in [
            (b"base/1".as_slice(), 0o600, ["ab", "c"]),
            (b"base/2", 0o4640, ["", "x"]),
            (b"global/new/3", 0o600, ["y", ""]),
            (b"PG_VERSION", 0o600, ["1", "5"]),
        ] {
            below.file(path, mode).expect("begun");
            for part in parts {
                below.bytes(part.as_bytes()).expect("written");
            }
        }
        let read = |name: &str| fs::read_to_string(home.path().join(name)).expect("read");
        assert_eq!(
            ["base/1", "base/2", "global/new/3", "PG_VERSION"].map(read),
            ["abc", "x", "y", "15"]
        );
        assert_eq!(
            ["base", "base/1", "base/2", "global/new"].map(|name| mode(&home.path().join(name))),
            [0o750, 0o600, 0o640, 0o700]
        );
    }

    #[test]
    fn nothing_is_written_elsewhere_or_over_what_is_there() {
        let (home, other) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        symlink(other.path(), home.path().join("lead")).expect("linked");
        symlink(other.path().join("new"), home.path().join("file")).expect("linked");
        fs::write(home.path().join("old"), "kept").expect("written");
        let mut below = Below::of(home.path(), None).expect("entered");
        for path in
            ["lead/x", "../x", "a/../../x", "/x", "a//x", "", "file", "old", "x\0", "lead/a/x"]
        {
            let fault = below.file(path.as_bytes(), 0o600).expect_err(path);
            assert!(below.bytes(b"x").is_err(), "{fault}");
        }
        assert!(below.folder(b"lead", 0o777).is_err());
        assert_eq!(fs::read_dir(other.path()).expect("listed").count(), 0);
        assert_eq!(fs::read_to_string(home.path().join("old")).expect("read"), "kept");
        let fault = below.file(b"old", 0o600).expect_err("there");
        assert_eq!(fault.kind, Kind::Damaged, "{fault}");
    }

    #[test]
    fn a_hostile_name_is_shown_harmless() {
        let home = tempfile::tempdir().expect("a folder");
        let mut below = Below::of(home.path(), None).expect("entered");
        let fault =
            below.file(b"..\x1b[2J/x", 0o600).and_then(|()| below.file(b"../\x1b[2J", 0o600));
        let fault = fault.expect_err("no place");
        assert!(!fault.to_string().contains('\x1b'), "{fault}");
    }
}
