//! Where a restore may write, and where never.
//!
//! Barman 3.4 restores tablespaces where they were unless it is told otherwise, over those of a live cluster
//! and without a word. So it is not left to the engines: a restore writes only where nothing is yet, outside
//! of every data folder and every tablespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Fault, Kind, Result};

/// The place a restore is to write to, with links resolved.
///
/// # Errors
/// [`Kind::Refused`] when something stands there, or when it lies in a data folder or in a tablespace, of a
/// running cluster or of any other.
pub fn clear(path: &Path) -> Result<PathBuf> {
    if !path.is_absolute() {
        let what = format!("'{}' is no absolute path", path.display());
        return Err(Fault::new(Kind::Usage, what).remedy("give the whole path from '/' on"));
    }
    let place = resolved(path)?;
    match fs::read_dir(&place).map(|mut entries| entries.next().is_some()) {
        Ok(false) => {}
        Ok(true) => return Err(refused(&place, "it is not empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused(&place, "it is no folder"));
        }
        Err(error) => return Err(cannot_see(&place)(error)),
    }
    for above in place.ancestors().skip(1) {
        if let Some(what) = belongs_to_a_cluster(above)? {
            return Err(refused(&place, &format!("'{}' is {what}", above.display())));
        }
    }
    Ok(place)
}

/// The path with all links in it resolved, as far as it exists.
fn resolved(path: &Path) -> Result<PathBuf> {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        match above.canonicalize() {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, name| path.join(name))),
            // A dangling link is not followed to a place that nobody has looked at.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && fs::symlink_metadata(above).is_err() =>
            {
                let Some(name) = above.file_name() else {
                    return Err(refused(path, "'..' stands behind a folder that does not exist"));
                };
                missing.push(name.to_owned());
            }
            Err(error) => return Err(cannot_see(above)(error)),
        }
    }
    Err(refused(path, "no part of it exists"))
}

/// What a folder is, when a server's files are in it: a data folder has a `PG_VERSION`, a tablespace a folder
/// such as `PG_15_202209061` (PostgreSQL docs, "Database File Layout").
fn belongs_to_a_cluster(folder: &Path) -> Result<Option<&'static str>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // What does not exist yet has nothing in it. What we may not read, no restore of ours can write.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(cannot_see(folder)(error)),
    };
    for entry in entries {
        let name = entry.map_err(cannot_see(folder))?.file_name();
        let name = name.to_string_lossy();
        if name == "PG_VERSION" {
            return Ok(Some("a data folder"));
        }
        let numbers = name.strip_prefix("PG_").and_then(|rest| rest.split_once('_'));
        let number =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if numbers.is_some_and(|(version, catalogue)| number(version) && number(catalogue)) {
            return Ok(Some("a tablespace"));
        }
    }
    Ok(None)
}

fn cannot_see(path: &Path) -> impl FnOnce(io::Error) -> Fault {
    Fault::io(format!("'{}' cannot be looked at", path.display()))
}

fn refused(path: &Path, why: &str) -> Fault {
    Fault::new(Kind::Refused, format!("nothing is restored into '{}': {why}", path.display()))
        .remedy("name a folder that is empty, or does not exist, outside of every cluster")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn kind(path: &Path) -> Option<Kind> {
        clear(path).err().map(|fault| fault.kind)
    }

    #[test]
    fn only_empty_ground_outside_of_clusters_is_clear() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |name: &str| home.path().join(name);
        for folder in ["empty", "full/x", "data/base/1", "space/PG_15_202209061/5", "link"] {
            fs::create_dir_all(at(folder)).expect("made");
        }
        fs::write(at("data/PG_VERSION"), "15\n").expect("written");
        fs::write(at("file"), "").expect("written");
        assert_eq!(kind(&at("empty")), None);
        assert_eq!(kind(&at("new/deep/er")), None);
        for name in ["full", "file", "data", "data/new", "data/base/1", "space", "space/new/er"] {
            assert_eq!(kind(&at(name)), Some(Kind::Refused), "{name}");
        }
        // The same places by another way.
        symlink(at("data"), at("link/data")).expect("linked");
        symlink(at("space"), at("link/space")).expect("linked");
        symlink(at("nowhere"), at("link/dangling")).expect("linked");
        assert_eq!(kind(&at("link/data/new")), Some(Kind::Refused));
        assert_eq!(kind(&at("link/space/new")), Some(Kind::Refused));
        assert!(kind(&at("link/dangling")).is_some());
        assert!(kind(&at("new/../data/x")).is_some());
        assert_eq!(kind(&at("empty/../data/x")), Some(Kind::Refused));
        assert_eq!(kind(Path::new("relative")), Some(Kind::Usage));
    }
}
