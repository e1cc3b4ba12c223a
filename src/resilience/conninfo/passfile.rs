//! The passfile: `host:port:database:user:password`, a line each, the first match counts.

use std::{fmt, fs, path::PathBuf};

use super::settings::{Host, Place, Settings};
use crate::base::{paths::others_may_enter, secret::Secret};

/// What the passfile says of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassfileAnswer {
    /// The password of the first line that matches.
    pub password: Option<Secret>,
    /// Why the file was not used although it is there.
    pub ignored: Option<PassfileIgnored>,
}

/// A passfile that is there and was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassfileIgnored {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

impl fmt::Display for PassfileIgnored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password file {} is ignored: {}", self.file.display(), self.reason)
    }
}

impl Settings {
    /// Asks the passfile for the password of this host. The file is read each time, so that a changed
    /// password is seen by the next attempt.
    pub fn ask_passfile(&self, host: &Host) -> PassfileAnswer {
        let Some(file) = &self.passfile else { return PassfileAnswer::default() };
        let ignored = |reason: String| PassfileAnswer {
            password: None,
            ignored: Some(PassfileIgnored { file: file.clone(), reason }),
        };
        let Ok(metadata) = fs::metadata(file) else { return PassfileAnswer::default() };
        if !metadata.is_file() {
            return ignored("it is not a plain file".to_owned());
        }
        if others_may_enter(&metadata) {
            return ignored("others may read it; chmod 0600 it".to_owned());
        }
        match fs::read(file) {
            Err(error) => ignored(error.to_string()),
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let fields =
                    [&self.passfile_name(host), &host.port.to_string(), &self.dbname, &self.user];
                PassfileAnswer { password: find(&text, fields), ignored: None }
            }
        }
    }

    /// The name under which the passfile knows a host.
    fn passfile_name(&self, host: &Host) -> String {
        match &host.place {
            Place::Unix(folder) if *folder == self.default_socket_dir => "localhost".to_owned(),
            _ => host.name(),
        }
    }
}

/// The password of the first line whose four fields match.
fn find(text: &str, wanted: [&String; 4]) -> Option<Secret> {
    text.split('\n').map(|line| line.trim_end_matches('\r')).find_map(|line| {
        if line.starts_with('#') {
            return None;
        }
        let rest = wanted.iter().try_fold(line, |rest, wanted| after_match(rest, wanted))?;
        Some(Secret::new(field(rest).0))
    })
}

/// What follows the first field of `line`, if that field is `*` or `wanted`.
fn after_match<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let (value, rest) = field(line);
    (value == wanted).then_some(rest?)
}

/// The first field of `line` with its escapes undone, and what follows its colon.
fn field(line: &str) -> (String, Option<&str>) {
    let mut value = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (value, Some(&line[at + 1..])),
            // A backslash at the very end stands for itself.
            '\\' => value.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str, host: &str) -> Option<String> {
        let fields = [host, "5432", "db", "joe"].map(str::to_owned);
        let [host, port, db, user] = &fields;
        find(text, [host, port, db, user]).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_match_counts() {
        let file = "#h:*:*:*:no\nh:5433:*:*:other port\nh:5432:*:joe:first\n*:*:*:*:rest\r\n";
        assert_eq!(ask(file, "h").as_deref(), Some("first"));
        assert_eq!(ask(file, "elsewhere").as_deref(), Some("rest"));
        assert_eq!(ask("h:5432:db:joe", "h"), None);
        assert_eq!(ask("", "h"), None);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(ask(r"\:\:1:5432:db:joe:p\:a\\ss:ignored", "::1").as_deref(), Some(r"p:a\ss"));
        assert_eq!(ask(r"h\*:5432:db:joe:x", "h*").as_deref(), Some("x"));
        assert_eq!(ask(r"h:5432:db:joe:end\", "h").as_deref(), Some(r"end\"));
    }
}
