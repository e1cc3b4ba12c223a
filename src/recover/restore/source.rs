//! Which backup, and its dump: unpacked with both hashes checked.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use tempfile::TempDir;

use crate::{
    base::{
        progress::{Counter, Observer},
        units,
    },
    recover::{
        Fault, Kind, Repository, Result,
        dump::{Entry, Input, Tally, Toc, seekable},
        repository::{
            manifest::{BackupId, Database, Manifest, Method, Role},
            sealed::Stored,
        },
    },
};

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest one that holds what is asked for.
    Newest,
    /// That one.
    Named(BackupId),
}

impl FromStr for Which {
    type Err = Fault;
    fn from_str(words: &str) -> Result<Self> {
        if words == "newest" { Ok(Self::Newest) } else { Ok(Self::Named(words.parse()?)) }
    }
}

/// The dump of one database in one backup.
#[derive(Clone, Debug)]
pub struct Source {
    /// The backup.
    pub manifest: Manifest,
    /// The database that was dumped.
    pub database: String,
    /// The dump in the repository.
    pub stored: Stored,
}

impl Source {
    /// Finds the dump of a database.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when no whole backup holds one.
    pub fn find(repository: &Repository, which: &Which, database: &str) -> Result<Self> {
        let manifests = match which {
            Which::Named(id) => vec![repository.manifest(id)?],
            Which::Newest => {
                let entries = repository.backups()?;
                entries.iter().rev().filter_map(|entry| entry.manifest().cloned()).collect()
            }
        };
        let mut known = Vec::new();
        for manifest in manifests.into_iter().filter(|m| m.method == Method::Logical) {
            for file in &manifest.files {
                let Role::Dump { database: dumped } = &file.role else { continue };
                if dumped == database {
                    let stored = file.stored.clone();
                    return Ok(Self { database: database.to_owned(), stored, manifest });
                }
                if !known.contains(dumped) {
                    known.push(dumped.clone());
                }
            }
        }
        let of = match which {
            Which::Newest => "no logical backup holds".to_owned(),
            Which::Named(id) => format!("the backup {id} does not hold"),
        };
        let remedy = if known.is_empty() {
            "`howdah backup list` shows what there is".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        Err(Fault::new(Kind::Unavailable, format!("{of} the database '{database}'")).remedy(remedy))
    }

    /// What the backup knows of the database besides its dump.
    pub fn inventory(&self) -> Option<&Database> {
        self.manifest.inventory.databases.iter().find(|known| known.name == self.database)
    }

    /// The table of contents alone: quick, and good for a plan. Nothing is checked by hash yet.
    pub fn contents(&self, repository: &Repository) -> Result<Toc> {
        let packed = repository.unseal(&self.stored)?;
        Toc::read(&mut Input::new(BufReader::with_capacity(1 << 16, packed)))
    }

    /// Unpacks the dump into a new private folder below `work`, with offsets filled in, and returns only when
    /// sizes and both hashes were right. Data of entries that are not `wanted` are read and checked, but stay
    /// behind.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when anything is not as it was written, [`Kind::NoSpace`] when it does not fit.
    pub fn unpack(
        &self,
        repository: &Repository,
        work: &Path,
        wanted: &dyn Fn(&Toc, &Entry) -> bool,
        observer: &dyn Observer,
    ) -> Result<Unpacked> {
        self.unpack_with(repository, work, wanted, &|_| None, observer)
    }

    /// The same with more statements behind definitions: what `more` says of each entry.
    pub fn unpack_with(
        &self,
        repository: &Repository,
        work: &Path,
        wanted: &dyn Fn(&Toc, &Entry) -> bool,
        more: &dyn Fn(&Entry) -> Option<String>,
        observer: &dyn Observer,
    ) -> Result<Unpacked> {
        let folder = tempfile::Builder::new()
            .prefix("howdah-restore-")
            .tempdir_in(work)
            .map_err(Fault::io(format!("cannot unpack into '{}'", work.display())))?;
        let path = folder.path().join("dump");
        let cannot = || Fault::io(format!("cannot write '{}'", path.display()));
        let file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(cannot())?;
        let counter = Counter::new("unpacking", self.stored.content_size, observer);
        let content = counter.read(repository.unseal(&self.stored)?);
        let mut input = Input::new(BufReader::with_capacity(1 << 18, content));
        let toc = Toc::read(&mut input)?.with_more(more);
        let mut output = BufWriter::with_capacity(1 << 18, &file);
        let tally = seekable::write(&mut input, &toc, &mut output, &|entry| wanted(&toc, entry))?;
        output.flush().map_err(cannot())?;
        drop(output);
        let bytes = file.metadata().map_err(cannot())?.len();
        Ok(Unpacked { folder, path, toc, tally, bytes })
    }

    /// Refuses when the unpacked dump will not fit into `work`.
    pub fn check_room(&self, work: &Path) -> Result<()> {
        let about = rustix::fs::statvfs(work).map_err(|error| {
            Fault::io(format!("cannot look at '{}'", work.display()))(error.into())
        })?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        let needed = self.stored.content_size;
        if free >= needed {
            return Ok(());
        }
        let (free, needed) = (units::bytes(free), units::bytes(needed));
        let what =
            format!("unpacking takes {needed} in '{}', where {free} are free", work.display());
        Err(Fault::new(Kind::NoSpace, what).remedy("choose another folder with --work"))
    }
}

/// A dump that was unpacked and checked; removed on drop.
#[derive(Debug)]
pub struct Unpacked {
    // Removes the folder when it is dropped.
    folder: TempDir,
    /// The file for `pg_restore`.
    pub path: PathBuf,
    /// Its table of contents.
    pub toc: Toc,
    /// What was counted on the way, unwanted data included.
    pub tally: Tally,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Unpacked {
    /// A list of entries for `pg_restore --use-list`, as a file beside the dump.
    pub fn list(&self, ids: impl IntoIterator<Item = i32>) -> Result<PathBuf> {
        let path = self.folder.path().join("list");
        let mut text = String::new();
        for id in ids {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id};");
        }
        std::fs::write(&path, text).map_err(Fault::io("cannot write the list of entries"))?;
        Ok(path)
    }

    /// The private folder that it stands in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
