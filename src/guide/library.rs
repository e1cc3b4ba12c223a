//! The guides that come with howdah, and a person's own in `CONFIG/guides/`, which stand before them.

use std::{fs, io, path::Path};

use super::{GuideError, error::io as io_error, spec::Guide};

/// Those that come with howdah.
const OURS: [&str; 12] = [
    include_str!("../../assets/guides/restore.toml"),
    include_str!("../../assets/guides/wal-check.toml"),
    include_str!("../../assets/guides/wal-setup.toml"),
    include_str!("../../assets/guides/breaker.toml"),
    include_str!("../../assets/guides/breaker-rollout.toml"),
    include_str!("../../assets/guides/backup-failing.toml"),
    include_str!("../../assets/guides/archiver-failing.toml"),
    include_str!("../../assets/guides/lock-pile-up.toml"),
    include_str!("../../assets/guides/connection-wait.toml"),
    include_str!("../../assets/guides/hung-server.toml"),
    include_str!("../../assets/guides/disk-filling.toml"),
    include_str!("../../assets/guides/hold-callers.toml"),
];

/// All guides, ours first.
///
/// # Errors
/// The first file that is no guide, by its name.
pub fn guides(own: &Path) -> Result<Vec<Guide>, GuideError> {
    let mut guides = OURS.iter().map(|text| Guide::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut files = match fs::read_dir(own) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error(own)(error)),
    };
    files.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        let guide = Guide::parse(&text)
            .map_err(|error| GuideError::Garbled { path, why: error.to_string() })?;
        match guides.iter_mut().find(|ours| ours.id == guide.id) {
            Some(ours) => *ours = guide,
            None => guides.push(guide),
        }
    }
    Ok(guides)
}

/// The guide of that name.
pub fn guide(own: &Path, id: &str) -> Result<Guide, GuideError> {
    let mut guides = guides(own)?;
    if let Some(at) = guides.iter().position(|guide| guide.id == id) {
        return Ok(guides.swap_remove(at));
    }
    let known: Vec<String> = guides.into_iter().map(|guide| guide.id).collect();
    Err(GuideError::Unknown { word: id.into(), known: known.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_keep_the_rules_and_a_persons_own_stands_before_them() {
        let own = tempfile::tempdir().expect("a folder");
        let ours = guides(&own.path().join("none")).expect("all good");
        assert_eq!(ours.len(), OURS.len());
        let text = OURS[0].replacen("title = ", "title = 'Mine'\n# ", 1);
        fs::write(own.path().join("a.toml"), text).expect("written");
        assert_eq!(guide(own.path(), &ours[0].id).expect("there").title, "Mine");
        fs::write(own.path().join("b.toml"), "id = 3").expect("written");
        assert!(guides(own.path()).expect_err("bad").to_string().contains("b.toml"));
        assert!(
            guide(&own.path().join("none"), "x").expect_err("none").to_string().contains("restore")
        );
    }
}
