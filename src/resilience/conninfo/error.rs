//! What can be wrong with connection settings before anything is connected.

use std::path::PathBuf;

use super::settings::Origin;
use crate::base::text::Text;

/// Settings that cannot be used, and why. No variant carries a password: pieces of the connection
/// string that may hold one are told by their position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// A keyword that libpq does not know either.
    #[error("there is no connection option {given:?}{}", did_you_mean(*.nearest))]
    UnknownKeyword {
        /// As it was written.
        given: Text,
        /// The known keyword that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A keyword, or a value of it, that libpq knows and we do not honour.
    #[error("{keyword}={value}{} is not supported: {reason}", from(.origin))]
    Refused {
        /// The keyword.
        keyword: &'static str,
        /// What was asked for; `...` where it may be secret.
        value: Text,
        /// Who asked for it.
        origin: Origin,
        /// Why it is refused and what to do instead.
        reason: &'static str,
    },
    /// A value that the keyword does not take.
    #[error("{keyword}={value:?}{} is not valid: expected {expected}", from(.origin))]
    BadValue {
        /// The keyword.
        keyword: &'static str,
        /// As it was written.
        value: Text,
        /// Who gave it.
        origin: Origin,
        /// What would be valid.
        expected: &'static str,
    },
    /// Two settings that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// A keyword string or URL that cannot be read.
    #[error("the connection string cannot be read: {0}")]
    Syntax(String),
    /// The service is in none of the service files.
    #[error("there is no service {name:?} in {}", paths(.files))]
    NoService {
        /// The service asked for.
        name: Text,
        /// The files that were read.
        files: Vec<PathBuf>,
    },
    /// A service file that cannot be read.
    #[error("service file {}, line {line}: {problem}", .file.display())]
    ServiceFile {
        /// The file.
        file: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The name of the operating-system user, which is the default of `user`, is not known.
    #[error("the name of the operating-system user is not known; give user=... or PGUSER")]
    NoUser,
}

/// The connection string is in front of the person; any other origin must be told.
fn from(origin: &Origin) -> String {
    if *origin == Origin::String { String::new() } else { format!(" (from {origin})") }
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

fn paths(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "any service file, because none exists (~/.pg_service.conf, PGSERVICEFILE)".into();
    }
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" or ")
}
