//! Whether a repository can be relied on: may we write, is it private, is there room, can what is there be
//! read back.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rand::distr::{Alphanumeric, SampleString as _};
use serde::Serialize;

use super::{
    Repository,
    catalogue::State,
    key::Key,
    manifest::Manifest,
    sealed::{Sight, Stored},
    storage::{Leftover, Overwrite},
};
use crate::{
    base::{text::Text, units},
    recover::{Fault, Kind, Result, inspection::LAYOUT},
};

/// The object that is written to see whether writing works; a random tail follows.
const PROBE: &str = "probe-";
/// Bytes that a sample reads.
const SAMPLE: u64 = 256 << 20;
/// Names that are quoted of a longer list.
const QUOTED: usize = 3;

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// In words.
    pub detail: Text,
    /// The kind of trouble, where there is one.
    #[serde(skip)]
    pub kind: Option<Kind>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was looked at, and is well.
    Good,
    /// It could not be looked at: nothing is known.
    Unknown,
    /// It works, and should be seen to.
    Warning,
    /// It is not well.
    Bad,
}

impl Finding {
    /// What one look found.
    pub(in crate::recover) fn new(
        what: &'static str,
        verdict: Verdict,
        detail: impl Into<Text>,
    ) -> Self {
        Self { what, verdict, detail: detail.into(), kind: None }
    }

    /// Something is wrong, of this kind.
    pub fn bad(what: &'static str, kind: Kind, detail: impl Into<Text>) -> Self {
        Self { kind: Some(kind), ..Self::new(what, Verdict::Bad, detail) }
    }

    /// What it found, or why it could not look.
    pub(in crate::recover) fn of(what: &'static str, outcome: Result<Self>) -> Self {
        outcome.unwrap_or_else(|fault| Self::bad(what, fault.kind, fault.to_string()))
    }
}

/// Looks at everything; `all` reads every file back instead of a sample.
pub fn check(repository: &Repository, all: bool) -> Vec<Finding> {
    let mut found = vec![
        Finding::of("layout", layout(repository)),
        Finding::of("claim", claim(repository)),
        Finding::of("permissions", permissions(repository)),
        Finding::of("space", space(repository)),
        Finding::of("writing", writing(repository, repository.target())),
    ];
    match repository.backups() {
        Ok(entries) => {
            let mut whole = Vec::new();
            for entry in entries {
                match entry.state {
                    State::Complete { manifest, .. } => whole.push(*manifest),
                    State::Damaged(fault) => {
                        found.push(Finding::bad("backup", fault.kind, fault.to_string()));
                    }
                    State::Failed(_) | State::Unfinished => {}
                }
            }
            found.extend(read_back(repository, &whole, all));
        }
        Err(fault) => found.push(Finding::bad("backups", fault.kind, fault.to_string())),
    }
    found
}

fn layout(repository: &Repository) -> Result<Finding> {
    let names = repository.storage().children(Some(repository.target()))?;
    let ours = |name: &str| LAYOUT.contains(&name);
    let strange: Vec<&str> = names.iter().map(String::as_str).filter(|name| !ours(name)).collect();
    Ok(if names.is_empty() {
        Finding::new("layout", Verdict::Good, "nothing is kept yet")
    } else if strange.is_empty() {
        Finding::new("layout", Verdict::Good, names.join(", "))
    } else {
        Finding::new("layout", Verdict::Warning, format!("not ours: {}", quoted(&strange)))
    })
}

fn claim(repository: &Repository) -> Result<Finding> {
    Ok(match repository.claimed()? {
        Some(claim) => Finding::new(
            "claim",
            Verdict::Good,
            format!(
                "the cluster {}, server version {}{}",
                claim.cluster.system_identifier,
                claim.cluster.version,
                if claim.encrypted { ", encrypted" } else { "" }
            ),
        ),
        None => Finding::new("claim", Verdict::Unknown, "no cluster has claimed it yet"),
    })
}

/// Nobody but the owner may read backups: they hold everything that the server protects.
fn permissions(repository: &Repository) -> Result<Finding> {
    let Some(home) = repository.storage().path(repository.target()) else {
        let detail = "who may read a bucket is not looked at";
        return Ok(Finding::new("permissions", Verdict::Unknown, detail));
    };
    let root = home.parent().unwrap_or(&home).to_owned();
    let mut open = Vec::new();
    let mut owners = Vec::new();
    let mut look = |path: &Path, about: &fs::Metadata| {
        if about.mode() & 0o077 != 0 {
            open.push(format!("{} ({:04o})", path.display(), about.mode() & 0o7777));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            owners.push(format!("{} (uid {})", path.display(), about.uid()));
        }
    };
    let about =
        fs::metadata(&root).map_err(Fault::io(format!("cannot look at '{}'", root.display())))?;
    look(&root, &about);
    walk(home, &mut look)?;
    if !open.is_empty() {
        let detail =
            format!("others may get at {}; chmod -R go-rwx '{}'", quoted(&open), root.display());
        return Ok(Finding::bad("permissions", Kind::Failed, detail));
    }
    if !owners.is_empty() {
        let detail = format!("owned by another account: {}", quoted(&owners));
        return Ok(Finding::new("permissions", Verdict::Warning, detail));
    }
    Ok(Finding::new("permissions", Verdict::Good, "for its owner only"))
}

/// Every file and folder at or below a path.
fn walk(path: PathBuf, look: &mut dyn FnMut(&Path, &fs::Metadata)) -> Result<()> {
    let mut open = vec![path];
    while let Some(path) = open.pop() {
        let cannot = || Fault::io(format!("cannot look at '{}'", path.display()));
        let about = match fs::symlink_metadata(&path) {
            // It is not there yet, or was removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            about => about.map_err(cannot())?,
        };
        look(&path, &about);
        if about.is_dir() {
            for entry in fs::read_dir(&path).map_err(cannot())? {
                open.push(entry.map_err(cannot())?.path());
            }
        }
    }
    Ok(())
}

/// There must be room for the next backup; the largest of the newest three tells how much that is.
fn space(repository: &Repository) -> Result<Finding> {
    let Some(space) = repository.storage().space()? else {
        let detail = "a bucket does not tell how much room it has";
        return Ok(Finding::new("space", Verdict::Unknown, detail));
    };
    let room = format!("{} free of {}", units::bytes(space.free), units::bytes(space.total));
    let backups = repository.backups()?;
    let newest = backups.iter().rev().filter_map(|entry| entry.manifest()).take(3);
    let Some(largest) = newest.map(Manifest::stored_size).max() else {
        let detail = format!("{room}; no backup yet that tells how much is needed");
        return Ok(Finding::new("space", Verdict::Unknown, detail));
    };
    let detail = format!("{room}; a backup takes {}", units::bytes(largest));
    Ok(if space.free < largest {
        Finding::bad("space", Kind::NoSpace, format!("{detail}: the next one will not fit"))
    } else if space.free < largest.saturating_mul(2) {
        Finding::new("space", Verdict::Warning, format!("{detail}: the one after it will not fit"))
    } else {
        Finding::new("space", Verdict::Good, detail)
    })
}

/// Writes an object below a name, reads it back, compares, removes it.
pub fn writing(repository: &Repository, below: &Key) -> Result<Finding> {
    let tail = Alphanumeric.sample_string(&mut rand::rng(), 12);
    let key = below.join(&format!("{PROBE}{tail}"))?;
    let storage = repository.storage();
    let words = format!("howdah wrote this to see whether it can: {tail}\n");
    let mut upload = storage.create(&key, Overwrite::Never)?;
    upload.write_all(words.as_bytes()).map_err(Fault::io(format!("cannot write '{key}'")))?;
    upload.finish()?;
    let mut back = String::new();
    let read = storage.open(&key).and_then(|mut reader| {
        reader.read_to_string(&mut back).map_err(Fault::io(format!("cannot read '{key}'")))
    });
    storage.remove(&key)?;
    read?;
    if back != words {
        let detail = format!("'{key}' came back as something else than what was written");
        return Ok(Finding::bad("writing", Kind::Damaged, detail));
    }
    if storage.stat(&key)?.is_some() {
        let detail = format!("'{key}' is still there after it was removed");
        return Ok(Finding::bad("writing", Kind::Failed, detail));
    }
    Ok(Finding::new("writing", Verdict::Good, "wrote, read back, compared and removed an object"))
}

/// Every file must be there in its size; all of them, or a sample of the newest, are read to the end.
fn read_back(repository: &Repository, backups: &[Manifest], all: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut files, mut read, mut bytes) = (0_u64, 0_u64, 0_u64);
    let mut envelopes = Vec::new();
    for manifest in backups.iter().rev() {
        for file in &manifest.files {
            files += 1;
            if let Err(fault) = there(repository, &file.stored) {
                found.push(Finding::bad("backup", fault.kind, fault.to_string()));
                continue;
            }
            // One that is too large for the sample is left to `--all`, unless it is the only one.
            if !all && read > 0 && bytes.saturating_add(file.stored.size) > SAMPLE {
                continue;
            }
            match repository.check_sealed(&file.stored) {
                Ok(sight) => {
                    read += 1;
                    bytes += file.stored.size;
                    if let Sight::Envelope(why) = sight {
                        envelopes.push(why);
                    }
                }
                Err(fault) => found.push(Finding::bad("backup", fault.kind, fault.to_string())),
            }
        }
    }
    let detail = format!(
        "{read} of {files} files of {} backups read back, {}",
        backups.len(),
        units::bytes(bytes)
    );
    found.push(if files == 0 {
        Finding::new("reading", Verdict::Unknown, "no backup is there to be read back")
    } else {
        Finding::new("reading", if read > 0 { Verdict::Good } else { Verdict::Unknown }, detail)
    });
    if let Some(why) = envelopes.first() {
        let detail = format!("of {} files only size and hash as stored: {why}", envelopes.len());
        found.push(Finding::new("contents", Verdict::Unknown, detail));
    }
    found
}

fn there(repository: &Repository, stored: &Stored) -> Result<()> {
    let wrong = |why: String| Err(Fault::new(Kind::Damaged, format!("'{}' {why}", stored.key)));
    match repository.storage().stat(&stored.key)? {
        None => wrong("is missing".to_owned()),
        Some(object) if object.size != stored.size => {
            wrong(format!("has {} bytes instead of {}", object.size, stored.size))
        }
        Some(_) => Ok(()),
    }
}

impl Repository {
    /// What writers have not finished in this target's part; none where it cannot be listed.
    pub fn leftovers(&self) -> Result<Option<Vec<Leftover>>> {
        if !self.storage().knows_leftovers() {
            return Ok(None);
        }
        self.storage().leftovers(self.target()).map(Some)
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(QUOTED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(QUOTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
