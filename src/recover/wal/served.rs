//! The archive as a restore to a point in time needs it.

use std::{env, path::Path};

use super::{
    archive::Archive,
    fetch::{Came, fetch},
};
use crate::{
    base::text::Text,
    recover::{
        Fault, Kind, Result,
        physical::archive::{self as needed, quoted_percent, shell_word},
    },
};

impl needed::Archive for Archive {
    fn describe(&self) -> Text {
        match self {
            Self::Repository(repository) => {
                let place = repository.storage().describe();
                format!("{place}/{}", repository.target()).into()
            }
            Self::Folder(folder) => folder.to_string_lossy().as_ref().into(),
        }
    }

    fn files(&self) -> Result<Vec<needed::Kept>> {
        let files = self.list()?.files;
        let kept = |listed: super::archive::Listed| needed::Kept {
            name: listed.kept.file.to_string(),
            modified: listed.at,
        };
        Ok(files.into_iter().map(kept).collect())
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<()> {
        match fetch(self, name.parse()?, to, None)? {
            Came::Archive | Came::Spool => Ok(()),
            Came::NotThere => {
                Err(Fault::new(Kind::Unavailable, format!("'{name}' is not in the archive")))
            }
        }
    }

    fn command(&self) -> Result<String> {
        let program = env::current_exe().map_err(Fault::io("our own program cannot be named"))?;
        let word = |path: &Path| shell_word(&quoted_percent(path));
        let source = match self {
            Self::Folder(folder) => format!("--from-folder {}", word(folder)),
            Self::Repository(repository) => {
                let name = unescaped(repository.target().as_str());
                let place = repository.storage().describe();
                let (place, name) = (word(Path::new(place.as_str())), word(Path::new(&name)));
                format!("--repository {place} --name {name}")
            }
        };
        Ok(format!("{} wal fetch {source} %f \"%p\"", word(&program)))
    }
}

/// A target's name as it was given, from the one that it has in the repository.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (*first, code) {
            bytes.push(byte);
            rest = behind.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::repository::key::escaped;

    #[test]
    fn a_target_keeps_its_name() {
        for name in ["prod", "it's 100% odd", "ä/b"] {
            assert_eq!(unescaped(&escaped(name)), name);
        }
    }
}
