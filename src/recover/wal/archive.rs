//! Where archived WAL stands: in the repository, or in a plain folder that something like `cp` fills.
//!
//! In the repository a file's name holds the fingerprint of its content, so that a listing tells both
//! without reading, and no folder holds more than 256 segments:
//!
//! ```text
//! TARGET/wal/00000002/00000002.history.SHA256.zst
//! TARGET/wal/00000002/0000000200000000000000/NAME.SHA256.zst     NAME: 24 digits, of which the folder
//!                                                                has the first 22; .partial and .backup, too;
//!                                                                .zst.age where the repository encrypts
//! ```

use std::{
    fs,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use super::segment::WalFile;
use crate::{
    base::{clock::Timestamp, digest::Hasher, text::Text},
    recover::{
        Fault, Kind, Repository, Result,
        repository::{key::Key, sealed::unreadable},
    },
};

/// No file of an archive is larger than the largest segment.
pub(super) const LIMIT: u64 = 1 << 30;
/// Bytes that are taken at once.
const PART: usize = 1 << 16;
/// Digits of a segment's name that its folder has: what is left makes at most 256.
const FOLDER_DIGITS: usize = 22;
const PACKED: &str = ".zst";
/// Behind that, when it is encrypted.
const ENCRYPTED: &str = ".age";

/// An archive of WAL.
#[derive(Clone, Debug)]
pub enum Archive {
    /// Ours.
    Repository(Repository),
    /// A flat folder with the files as PostgreSQL names them.
    Folder(PathBuf),
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub file: WalFile,
    /// The fingerprint of its content, where the archive keeps one.
    pub sha256: Option<String>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Object(Key),
    Path(PathBuf),
}

impl Kept {
    /// Where it stands, for messages.
    pub fn place(&self) -> Text {
        match &self.place {
            Place::Object(key) => key.as_str().into(),
            Place::Path(path) => path.to_string_lossy().as_ref().into(),
        }
    }

    /// The path of a file that can be read as it is.
    pub fn plain_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Object(_) => None,
            Place::Path(path) => Some(path),
        }
    }
}

/// A file of an archive, and what is known of it without reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The file.
    pub kept: Kept,
    /// Bytes that it takes.
    pub size: u64,
    /// When it was archived, by the clock of the place.
    pub at: Timestamp,
}

/// Everything in an archive.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Its files, by name.
    pub files: Vec<Listed>,
    /// What is in its place and has no name of its kind.
    pub strangers: Vec<Text>,
}

impl Archive {
    /// A flat folder.
    pub fn folder(path: &Path) -> Result<Self> {
        let what = || Fault::io(format!("the archive '{}' cannot be opened", path.display()));
        fs::read_dir(path).map_err(what())?;
        Ok(Self::Folder(path.to_owned()))
    }

    /// The repository, if it is one.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Repository(repository) => Some(repository),
            Self::Folder(_) => None,
        }
    }

    /// What is kept under a name: nothing, one file, or several with different content.
    pub fn find(&self, file: WalFile) -> Result<Vec<Kept>> {
        match self {
            Self::Repository(repository) => {
                let folder = folder_of(repository, file)?;
                let names = repository.storage().children(Some(&folder))?;
                let wanted = file.to_string();
                let ours = names.iter().filter(|name| name.starts_with(&wanted));
                let mut kept = Vec::new();
                for name in ours {
                    let found = parse(name).filter(|(found, _)| *found == file);
                    if let Some((file, sha256)) = found {
                        let place = Place::Object(folder.join(name)?);
                        let sha256 = Some(sha256);
                        // The same content may be there as it is and encrypted.
                        if !kept.iter().any(|other: &Kept| other.sha256 == sha256) {
                            kept.push(Kept { file, sha256, place });
                        }
                    }
                }
                Ok(kept)
            }
            Self::Folder(folder) => {
                let path = folder.join(file.to_string());
                let there = path.try_exists();
                let there =
                    there.map_err(Fault::io(format!("cannot look at '{}'", path.display())))?;
                let place = Place::Path(path);
                Ok(there.then_some(Kept { file, sha256: None, place }).into_iter().collect())
            }
        }
    }

    /// The one file of a name.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when there are several with different content: nobody can tell which one is true.
    pub fn find_one(&self, file: WalFile) -> Result<Option<Kept>> {
        let mut kept = self.find(file)?;
        if kept.len() > 1 {
            let what =
                format!("{file} is in the archive {} times, each with other content", kept.len());
            return Err(Fault::new(Kind::Damaged, what).remedy("`howdah wal verify` names them"));
        }
        Ok(kept.pop())
    }

    /// Everything in it, in the order of names.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        match self {
            Self::Repository(repository) => list_repository(repository, &mut listing)?,
            Self::Folder(folder) => list_folder(folder, &mut listing)?,
        }
        listing.files.sort_by_key(|listed| listed.kept.file.to_string());
        Ok(listing)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it cannot be unpacked, or is not what its fingerprint says.
    pub fn read(&self, kept: &Kept) -> Result<Vec<u8>> {
        let mut content = Vec::with_capacity(super::segment::USUAL_SIZE as usize + 1);
        let mut reader = self.open(kept)?;
        reader.read_to_end(&mut content).map_err(cannot_read(kept))?;
        Ok(content)
    }

    /// Copies the content of a file to a path, which must not be relied upon before this returns.
    pub fn copy(&self, kept: &Kept, to: &Path) -> Result<()> {
        let cannot = || Fault::io(format!("cannot write '{}'", to.display()));
        let mut file = fs::File::create(to).map_err(cannot())?;
        each_part(kept, self.open(kept)?, &mut |part| file.write_all(part).map_err(cannot()))
    }

    /// The content of a file, to be read bit by bit. Its end is reached only when its fingerprint is right; an
    /// error of its reader holds the [`Fault`].
    pub fn open(&self, kept: &Kept) -> Result<Content> {
        let packed = match (self, &kept.place) {
            (Self::Repository(repository), Place::Object(key)) => {
                let stored = if key.file().ends_with(ENCRYPTED) {
                    repository.open_envelope(key)?
                } else {
                    repository.storage().open(key)?
                };
                Packed::Zstd(
                    zstd::Decoder::new(stored).map_err(|error| unreadable(key, &error))?,
                    key.clone(),
                )
            }
            (_, place) => {
                let path = match place {
                    Place::Path(path) => path.clone(),
                    Place::Object(key) => PathBuf::from(key.as_str()),
                };
                let file = fs::File::open(&path)
                    .map_err(Fault::io(format!("cannot read '{}'", path.display())))?;
                Packed::Not(file, path)
            }
        };
        Ok(Content {
            packed,
            left: LIMIT + 1,
            place: kept.place(),
            sha256: kept.sha256.clone(),
            seen: Hasher::default(),
        })
    }
}

/// Hands what [`Archive::open`] has opened over part by part, to its end.
pub(super) fn each_part(
    kept: &Kept,
    mut content: impl Read,
    into: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; PART];
    loop {
        let length = content.read(&mut buffer).map_err(cannot_read(kept))?;
        let part = buffer.get(..length).unwrap_or_default();
        if part.is_empty() {
            return Ok(());
        }
        into(part)?;
    }
}

/// For `map_err` behind what [`Archive::open`] has opened: the fault that its reader told.
fn cannot_read(kept: &Kept) -> impl FnOnce(io::Error) -> Fault {
    Fault::io(format!("cannot read '{}'", kept.place()))
}

/// The content of an archived file; see [`Archive::open`].
pub struct Content {
    packed: Packed,
    /// Bytes that may still come.
    left: u64,
    place: Text,
    /// What it has to be, until that was found true.
    sha256: Option<String>,
    seen: Hasher,
}

enum Packed {
    Not(fs::File, PathBuf),
    Zstd(zstd::Decoder<'static, io::BufReader<Box<dyn Read + Send>>>, Key),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let read = match &mut self.packed {
            Packed::Not(file, path) => file.read(part).map_err(|error| {
                Fault::io(format!("cannot read '{}'", path.display()))(error).into_io()
            }),
            Packed::Zstd(unpacked, key) => {
                unpacked.read(part).map_err(|error| unreadable(key, &error).into_io())
            }
        }?;
        self.left -= read as u64;
        if self.sha256.is_some() {
            self.seen.update(part.get(..read).unwrap_or_default());
        }
        if read == 0
            && !buffer.is_empty()
            && let Some(expected) = self.sha256.take()
            && std::mem::take(&mut self.seen).finish() != expected
        {
            let what = format!("'{}' is not what was archived: its SHA-256 differs", self.place);
            return Err(Fault::new(Kind::Damaged, what).into_io());
        }
        Ok(read)
    }
}

/// The folder of a file in a repository.
fn folder_of(repository: &Repository, file: WalFile) -> Result<Key> {
    let timeline = repository.wal_key()?.join(&format!("{:08X}", file.timeline()))?;
    match file {
        WalFile::History(_) => Ok(timeline),
        WalFile::Segment(segment) | WalFile::Partial(segment) | WalFile::Backup(segment, _) => {
            let name = segment.to_string();
            timeline.join(name.get(..FOLDER_DIGITS).unwrap_or(&name))
        }
    }
}

/// The object that keeps a file with this content.
pub(super) fn key_of(repository: &Repository, file: WalFile, sha256: &str) -> Result<Key> {
    let encrypted = if repository.encrypts() { ENCRYPTED } else { "" };
    folder_of(repository, file)?.join(&format!("{file}.{sha256}{PACKED}{encrypted}"))
}

/// Reads an object's name.
fn parse(name: &str) -> Option<(WalFile, String)> {
    let name = name.strip_suffix(ENCRYPTED).unwrap_or(name);
    let (file, sha256) = name.strip_suffix(PACKED)?.rsplit_once('.')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = sha256.len() == 64 && sha256.bytes().all(hex);
    fits.then(|| Some((file.parse().ok()?, sha256.to_owned()))).flatten()
}

fn list_repository(repository: &Repository, listing: &mut Listing) -> Result<()> {
    let root = repository.wal_key()?;
    for object in repository.storage().list(&root)? {
        let inside = object.key.below(&root).unwrap_or_default();
        // What does not stand below a timeline is ours, and no WAL.
        let timeline = inside.split('/').next().unwrap_or_default();
        if timeline.len() != 8 || !timeline.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let known = parse(object.key.file()).filter(|(file, _)| {
            folder_of(repository, *file)
                .is_ok_and(|folder| object.key.below(&folder) == Some(object.key.file()))
        });
        match known {
            Some((file, sha256)) => listing.files.push(Listed {
                kept: Kept { file, sha256: Some(sha256), place: Place::Object(object.key) },
                size: object.size,
                at: object.modified,
            }),
            None => listing.strangers.push(object.key.as_str().into()),
        }
    }
    Ok(())
}

fn list_folder(folder: &Path, listing: &mut Listing) -> Result<()> {
    let cannot = || Fault::io(format!("cannot list '{}'", folder.display()));
    for entry in fs::read_dir(folder).map_err(cannot())? {
        let entry = entry.map_err(cannot())?;
        let about = match entry.metadata() {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about.map_err(cannot())?,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let at = about.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        match name.parse::<WalFile>() {
            Ok(file) if about.is_file() => listing.files.push(Listed {
                kept: Kept { file, sha256: None, place: Place::Path(entry.path()) },
                size: about.len(),
                at: at.unwrap_or_default(),
            }),
            _ if about.is_dir() => {}
            _ => listing.strangers.push(name.into()),
        }
    }
    Ok(())
}
