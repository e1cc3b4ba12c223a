//! Where WAL is kept, as this room needs it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    base::{clock::Timestamp, exec::quoted, text::Text},
    recover::{Fault, Kind, Repository, Result, wal},
};

/// A place with archived WAL. Every method may be called from several threads at once.
pub trait Archive: Send + Sync {
    /// Where it is, without secrets.
    fn describe(&self) -> Text;

    /// Everything that is kept, by the names that PostgreSQL gave. Cheap: nothing is read.
    fn files(&self) -> Result<Vec<Kept>>;

    /// Brings one file, unpacked, to a path.
    fn fetch(&self, name: &str, to: &Path) -> Result<()>;

    /// What the server is given as `restore_command`.
    fn command(&self) -> Result<String>;

    /// The same for a shell, for one file and nothing ahead of it.
    fn once(&self, name: &str, to: &Path) -> Result<String>;
}

/// One kept file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The name that PostgreSQL gave it, such as `000000010000000000000003` or `00000002.history`.
    pub name: String,
    /// When it was archived.
    pub modified: Timestamp,
}

/// A folder into which an archive command copies segments as they are.
#[derive(Clone, Debug)]
pub struct PlainFolder {
    folder: PathBuf,
}

impl PlainFolder {
    /// An existing folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let what = || Fault::io(format!("the WAL archive '{}' cannot be opened", folder.display()));
        let folder = fs::canonicalize(folder).map_err(what())?;
        fs::read_dir(&folder).map_err(what())?;
        Ok(Self { folder })
    }
}

impl Archive for PlainFolder {
    fn describe(&self) -> Text {
        self.folder.to_string_lossy().as_ref().into()
    }

    fn files(&self) -> Result<Vec<Kept>> {
        let cannot = || Fault::io(format!("cannot list '{}'", self.folder.display()));
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(cannot())? {
            let entry = entry.map_err(cannot())?;
            match entry.metadata() {
                Ok(about) if about.is_file() => {
                    let modified = about.modified().ok().and_then(|time| time.try_into().ok());
                    if let (Ok(name), Some(modified)) = (entry.file_name().into_string(), modified)
                    {
                        files.push(Kept { name, modified });
                    }
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(cannot()(error));
                }
                // No file, or gone meanwhile.
                _ => {}
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<()> {
        let from = self.folder.join(name);
        fs::copy(&from, to).map(drop).map_err(Fault::io(format!(
            "cannot copy '{}' to '{}'",
            from.display(),
            to.display()
        )))
    }

    fn command(&self) -> Result<String> {
        let from = format!("{}/%f", quoted_percent(&self.folder));
        Ok(format!("cp {} \"%p\"", quoted(from.as_ref())))
    }

    fn once(&self, name: &str, to: &Path) -> Result<String> {
        let from = self.folder.join(name);
        Ok(format!("cp {} {}", quoted(from.as_ref()), quoted(to.as_ref())))
    }
}

/// The WAL that howdah archived into a repository.
pub struct InRepository {
    archive: wal::Archive,
    fetch: Vec<String>,
}

impl InRepository {
    /// The WAL of a target; `fetch` is the command that brings a file back, without its two arguments.
    pub fn new(repository: Repository, fetch: Vec<String>) -> Self {
        Self { archive: wal::Archive::Repository(repository), fetch }
    }
}

impl Archive for InRepository {
    fn describe(&self) -> Text {
        self.archive.repository().map_or_else(Text::default, |kept| format!("{kept:?}").into())
    }

    fn files(&self) -> Result<Vec<Kept>> {
        let listed = self.archive.list()?.files;
        let kept = listed
            .into_iter()
            .map(|listed| Kept { name: listed.kept.file.to_string(), modified: listed.at });
        Ok(kept.collect())
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<()> {
        let missing = || Fault::new(Kind::Damaged, format!("'{name}' is not in the archive"));
        let file = name.parse().map_err(|_| missing())?;
        let kept = self.archive.find_one(file)?.ok_or_else(missing)?;
        self.archive.copy(&kept, to)
    }

    fn command(&self) -> Result<String> {
        let words: Vec<String> =
            self.fetch.iter().map(|word| quoted(word.replace('%', "%%").as_ref())).collect();
        Ok(format!("{} %f \"%p\"", words.join(" ")))
    }

    fn once(&self, name: &str, to: &Path) -> Result<String> {
        let words: Vec<String> = self.fetch.iter().map(|word| quoted(word.as_ref())).collect();
        Ok(format!("{} --ahead 0 {name} {}", words.join(" "), quoted(to.as_ref())))
    }
}

/// In `restore_command` a percent sign is written twice (PostgreSQL documentation, "Archive Recovery").
pub fn quoted_percent(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_folder_name_stays_one_word() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("a b'; rm 100%");
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("000000010000000000000001"), "x").expect("written");
        let archive = PlainFolder::open(&folder).expect("opened");
        assert_eq!(archive.files().expect("listed")[0].name, "000000010000000000000001");
        let command = archive.command().expect("a command");
        assert!(command.contains(r"'\''; rm 100%%/%f'"), "{command}");
        let ran = command
            .replace("%f", "000000010000000000000001")
            .replace("%p", "there")
            .replace("%%", "%");
        let done =
            std::process::Command::new("sh").args(["-c", &ran]).current_dir(home.path()).status();
        assert!(done.expect("sh").success());
        assert_eq!(fs::read(home.path().join("there")).expect("copied"), b"x");
    }
}
