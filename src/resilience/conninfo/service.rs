//! Service files: named groups of settings, as in `~/.pg_service.conf`.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{environment::Environment, error::ConninfoError, options};
use crate::base::text::Text;

/// What a service says, in its order; of two values for a keyword the first counts.
type Group = Vec<(&'static str, String)>;

/// The settings of service `name` and the file that holds them. The user's file (PGSERVICEFILE, else
/// `~/.pg_service.conf`) is read before the system's (`pg_service.conf` in PGSYSCONFDIR).
pub(super) fn load(
    name: &str,
    environment: &Environment,
) -> Result<(PathBuf, Group), ConninfoError> {
    let mut files = Vec::new();
    match environment.get("PGSERVICEFILE") {
        // A file that somebody names must be there.
        Some(file) => files.push((PathBuf::from(file), true)),
        None => files
            .extend(environment.home.as_ref().map(|home| (home.join(".pg_service.conf"), false))),
    }
    let system = match environment.get("PGSYSCONFDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => environment.system_dirs.clone(),
    };
    files.extend(system.iter().map(|folder| (folder.join("pg_service.conf"), false)));

    let mut read = Vec::new();
    for (file, required) in files {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !required => continue,
            Err(error) => return Err(problem(&file, 0, &error.to_string())),
        };
        if let Some(settings) = group(&text, name, &file)? {
            return Ok((file, settings));
        }
        read.push(file);
    }
    Err(ConninfoError::NoService { name: Text::foreign(name), files: read })
}

/// The settings of group `[name]`; `None` when the file has no such group. Other groups are not
/// looked into, as in libpq.
fn group(text: &str, name: &str, file: &Path) -> Result<Option<Group>, ConninfoError> {
    let mut found: Option<Group> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if header.strip_prefix(name).is_some_and(|rest| rest.starts_with(']')) {
                found = Some(Vec::new());
            }
            continue;
        }
        let Some(settings) = &mut found else { continue };
        let number = number + 1;
        if line.starts_with("ldap") {
            return Err(problem(file, number, "looking up settings in LDAP is not supported"));
        }
        // White space around "=" belongs to the keyword and the value.
        let (keyword, value) =
            line.split_once('=').ok_or_else(|| problem(file, number, "there is no \"=\" in it"))?;
        if keyword == "service" {
            return Err(problem(file, number, "a service cannot refer to another service"));
        }
        let known =
            options::find(keyword).ok_or_else(|| problem(file, number, &unknown(keyword)))?;
        settings.push((known.name, value.to_owned()));
    }
    Ok(found)
}

fn unknown(keyword: &str) -> String {
    let error = ConninfoError::UnknownKeyword {
        given: Text::foreign(keyword),
        nearest: options::nearest(keyword.trim()),
    };
    error.to_string()
}

fn problem(file: &Path, line: usize, problem: &str) -> ConninfoError {
    ConninfoError::ServiceFile { file: file.to_owned(), line, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# a comment\n[a]\nhost=h1\nport=1\nport=2\n\n  [b]  \n bogus line\n[c\n";

    fn read(name: &str) -> Result<Option<Group>, ConninfoError> {
        group(FILE, name, Path::new("f"))
    }

    #[test]
    fn only_the_asked_group_is_read() {
        let a = read("a").expect("readable").expect("there");
        assert_eq!(a, [("host", "h1".into()), ("port", "1".into()), ("port", "2".into())]);
        assert_eq!(read("c"), Ok(None));
        assert!(matches!(read("b"), Err(ConninfoError::ServiceFile { line: 8, .. })));
    }

    #[test]
    fn nesting_and_unknown_keywords_are_errors() {
        for (text, says) in [
            ("[s]\nservice=x", "another service"),
            ("[s]\nhots=x", "did you mean host?"),
            ("[s]\nhost = x", "did you mean host?"),
            ("[s]\nldap://x", "LDAP"),
        ] {
            let error = group(text, "s", Path::new("f")).expect_err(text).to_string();
            assert!(error.contains(says) && error.contains("line 2"), "{error}");
        }
    }
}
