//! A folder as storage: temporary name, flush, publish under its name, flush of the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown},
    path::{Path, PathBuf},
};

use rand::distr::{Alphanumeric, SampleString};

use super::{
    key::Key,
    storage::{Leftover, Object, Overwrite, Space, Storage, Upload},
};
use crate::{
    base::{clock::Timestamp, digest, paths, process, text::Text},
    recover::{Fault, Kind, Result},
};

/// Behind the name of what is still being written, in front of whose it is: `MACHINE-PROCESS-RANDOM`.
const PARTIAL: &str = ".partial-";
/// Digits of the fingerprint that stands for the machine's name.
const MACHINE: usize = 8;

/// A folder on this machine, or mounted here.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// Whose it is, when we are root and it is not root's: what we make in it belongs to them. Else the
    /// server's account could not archive beside what an administrator has left there.
    owner: Option<(u32, u32)>,
}

impl Folder {
    /// An existing folder.
    pub fn open(root: &Path) -> Result<Self> {
        let about = fs::metadata(root)
            .map_err(Fault::io(format!("the repository '{}' cannot be opened", root.display())))?;
        if !about.is_dir() {
            return Err(Fault::new(Kind::Config, format!("'{}' is not a folder", root.display())));
        }
        let owner = (about.uid(), about.gid());
        let given = rustix::process::geteuid().is_root() && owner.0 != 0;
        Ok(Self { root: root.to_owned(), owner: given.then_some(owner) })
    }

    /// Makes the folder, for its owner only; one that exists stays as it is.
    pub fn make(root: &Path) -> Result<Self> {
        make_folder(root, None)?;
        Self::open(root)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn place(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn key_of(&self, path: &Path) -> Option<Key> {
        Key::new(path.strip_prefix(&self.root).ok()?.to_str()?).ok()
    }
}

/// Tells of every plain file below a folder.
fn walk(folder: &Path, found: &mut dyn FnMut(PathBuf, &fs::Metadata)) -> Result<()> {
    let cannot = || Fault::io(format!("cannot list '{}'", folder.display()));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(cannot())?,
    };
    for entry in entries {
        let path = entry.map_err(cannot())?.path();
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_dir() => walk(&path, found)?,
            Ok(about) if about.is_file() => found(path, &about),
            // Other kinds are not ours, and what was removed meanwhile is not there.
            _ => {}
        }
    }
    Ok(())
}

impl Storage for Folder {
    fn describe(&self) -> Text {
        self.root.to_string_lossy().as_ref().into()
    }

    fn create(&self, key: &Key, overwrite: Overwrite) -> Result<Box<dyn Upload>> {
        let place = self.place(key);
        if overwrite == Overwrite::Never && place.exists() {
            return Err(exists(&place));
        }
        if let Some(parent) = place.parent() {
            make_folder(parent, self.owner)?;
        }
        let tail = Alphanumeric.sample_string(&mut rand::rng(), 8);
        let mut draft = place.clone().into_os_string();
        draft.push(format!("{PARTIAL}{}-{}-{tail}", machine(), std::process::id()));
        let draft = PathBuf::from(draft);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(Fault::io(format!("cannot write '{}'", draft.display())))?;
        if let Some((uid, gid)) = self.owner {
            // What a file system does not give away stays ours.
            let _ = fchown(&file, Some(uid), Some(gid));
        }
        Ok(Box::new(Draft { place, temporary: draft, file, overwrite, published: false }))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Read + Send>> {
        let place = self.place(key);
        let file =
            File::open(&place).map_err(Fault::io(format!("cannot read '{}'", place.display())))?;
        Ok(Box::new(file))
    }

    fn open_range(&self, key: &Key, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let place = self.place(key);
        let cannot = || Fault::io(format!("cannot read '{}'", place.display()));
        let mut file = File::open(&place).map_err(cannot())?;
        file.seek(SeekFrom::Start(range.start)).map_err(cannot())?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn list(&self, below: &Key) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        walk(&self.place(below), &mut |path, about| {
            let partial = path.to_string_lossy().contains(PARTIAL);
            if let (Some(key), false) = (self.key_of(&path), partial) {
                objects.push(Object { key, size: about.len(), modified: modified(about) });
            }
        })?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn children(&self, below: Option<&Key>) -> Result<Vec<String>> {
        let folder = below.map_or_else(|| self.root.clone(), |key| self.place(key));
        let cannot = || Fault::io(format!("cannot list '{}'", folder.display()));
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(cannot())?,
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry.map_err(cannot())?.file_name().into_string()
                && !name.contains(PARTIAL)
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let place = self.place(key);
        match fs::metadata(&place) {
            Ok(about) if about.is_file() => {
                Ok(Some(Object { key: key.clone(), size: about.len(), modified: modified(&about) }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::io(format!("cannot look at '{}'", place.display()))(error)),
        }
    }

    fn remove(&self, key: &Key) -> Result<()> {
        let place = self.place(key);
        remove_file(&place)?;
        // Folders that have become empty go, too; one that has not says so.
        for parent in place.ancestors().skip(1).take_while(|parent| *parent != self.root) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn leftovers(&self, below: &Key) -> Result<Vec<Leftover>> {
        let mut found = Vec::new();
        walk(&self.place(below), &mut |path, about| {
            let Some((place, tail)) = path.to_str().and_then(|path| path.rsplit_once(PARTIAL))
            else {
                return;
            };
            if let Some(key) = self.key_of(Path::new(place)) {
                found.push(Leftover {
                    key,
                    handle: path.to_string_lossy().into_owned(),
                    size: Some(about.len()),
                    modified: Some(modified(about)),
                    ended: has_ended(tail),
                });
            }
        })?;
        found.sort_by(|a: &Leftover, b| a.handle.cmp(&b.handle));
        Ok(found)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        remove_file(Path::new(&leftover.handle))
    }

    fn space(&self) -> Result<Option<Space>> {
        let about = rustix::fs::statvfs(&self.root).map_err(|error| {
            Fault::io(format!("cannot look at '{}'", self.root.display()))(error.into())
        })?;
        let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
        Ok(Some(Space { free: bytes(about.f_bavail), total: bytes(about.f_blocks) }))
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        Some(self.place(key))
    }
}

/// This machine, as far as a file name has room for it.
fn machine() -> String {
    let name = digest::sha256(process::host().as_bytes());
    name.get(..MACHINE).unwrap_or(&name).to_owned()
}

/// True when the tail of a temporary name tells of a process of this machine, and there is none of that number
/// any more. One that has the number by now is taken for the writer.
fn has_ended(tail: &str) -> bool {
    let Some((on, rest)) = tail.split_once('-') else { return false };
    let pid = rest.split_once('-').and_then(|(pid, _)| pid.parse().ok());
    on == machine() && pid.is_some_and(|pid| !process::alive(pid))
}

/// A file under its temporary name.
struct Draft {
    place: PathBuf,
    temporary: PathBuf,
    file: File,
    overwrite: Overwrite,
    published: bool,
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Upload for Draft {
    fn finish(mut self: Box<Self>) -> Result<()> {
        let cannot = || Fault::io(format!("cannot publish '{}'", self.place.display()));
        self.file.sync_all().map_err(cannot())?;
        match self.overwrite {
            Overwrite::Replace => fs::rename(&self.temporary, &self.place).map_err(cannot())?,
            // A second name is refused where one stands; a rename would not be.
            Overwrite::Never => match fs::hard_link(&self.temporary, &self.place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(exists(&self.place));
                }
                linked => {
                    linked.map_err(cannot())?;
                    remove_file(&self.temporary)?;
                }
            },
        }
        self.published = true;
        sync_folder(self.place.parent().unwrap_or(Path::new("/")))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is found again as a leftover.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn exists(place: &Path) -> Fault {
    Fault::new(Kind::Refused, format!("'{}' exists already", place.display()))
}

fn modified(about: &fs::Metadata) -> Timestamp {
    about.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_default()
}

fn remove_file(place: &Path) -> Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Fault::io(format!("cannot remove '{}'", place.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Makes a folder and its parents for their owner only, and flushes the folder above each new one.
fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent, owner)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Fault::io(format!("cannot make the folder '{}'", path.display()))(error));
        }
        Ok(()) if owner.is_some() => {
            let (uid, gid) = owner.unzip();
            // What a file system does not give away stays ours.
            let _ = chown(path, uid, gid);
        }
        _ => {}
    }
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Flushes a folder.
fn sync_folder(path: &Path) -> Result<()> {
    paths::sync_folder(path)
        .map_err(Fault::io(format!("cannot flush the folder '{}'", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).expect("a name")
    }

    fn put(folder: &Folder, name: &str, bytes: &[u8], overwrite: Overwrite) -> Result<()> {
        let mut upload = folder.create(&key(name), overwrite)?;
        upload.write_all(bytes).expect("written");
        upload.finish()
    }

    #[test]
    fn an_object_appears_whole_private_and_once() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::make(&home.path().join("repo")).expect("made");
        let mut upload = folder.create(&key("a/b/c"), Overwrite::Never).expect("begun");
        upload.write_all(b"half").expect("written");
        assert_eq!(folder.stat(&key("a/b/c")).expect("looked"), None);
        assert_eq!(folder.list(&key("a")).expect("listed"), []);
        assert_eq!(folder.leftovers(&key("a")).expect("listed").len(), 1);
        drop(upload);
        assert_eq!(folder.leftovers(&key("a")).expect("listed"), []);

        put(&folder, "a/b/c", b"whole", Overwrite::Never).expect("published");
        let refused = put(&folder, "a/b/c", b"other", Overwrite::Never).expect_err("it is there");
        assert_eq!(refused.kind, Kind::Refused);
        put(&folder, "a/b/c", b"newer", Overwrite::Replace).expect("replaced");
        let mut text = String::new();
        folder.open(&key("a/b/c")).expect("there").read_to_string(&mut text).expect("read");
        assert_eq!(text, "newer");
        let mut part = String::new();
        folder
            .open_range(&key("a/b/c"), 1..3)
            .expect("there")
            .read_to_string(&mut part)
            .expect("read");
        assert_eq!(part, "ew");
        let mode = |path: &str| {
            fs::metadata(folder.root().join(path)).expect("there").permissions().mode() & 0o777
        };
        assert_eq!((mode("a"), mode("a/b"), mode("a/b/c")), (0o700, 0o700, 0o600));
        assert_eq!(folder.children(Some(&key("a"))).expect("listed"), ["b"]);
        folder.remove(&key("a/b/c")).expect("removed");
        assert_eq!(folder.children(None).expect("listed"), [""; 0], "empty folders go, too");
    }

    #[test]
    fn two_writers_of_one_name_publish_one() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let first = folder.create(&key("a/x"), Overwrite::Never).expect("begun");
        let second = folder.create(&key("a/x"), Overwrite::Never).expect("begun");
        first.finish().expect("published");
        assert_eq!(second.finish().expect_err("too late").kind, Kind::Refused);
        assert_eq!(folder.leftovers(&key("a")).expect("listed"), []);
    }

    #[test]
    fn what_root_leaves_belongs_to_the_folders_owner() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().expect("a folder");
        chown(home.path(), Some(65_534), Some(65_534)).expect("given away");
        let folder = Folder::open(home.path()).expect("opened");
        let key = Key::new("a/b/c").expect("a key");
        let upload = folder.create(&key, Overwrite::Never).expect("begun");
        upload.finish().expect("published");
        for path in ["a", "a/b", "a/b/c"] {
            let about = fs::metadata(home.path().join(path)).expect("there");
            assert_eq!((about.uid(), about.gid()), (65_534, 65_534), "{path}");
        }
    }
}
