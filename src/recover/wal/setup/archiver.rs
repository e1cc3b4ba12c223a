//! The command that the server runs for each file that it archives.

use std::path::PathBuf;

use crate::{
    base::exec::quoted,
    recover::{Fault, Kind, Result},
};

/// How the server calls us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archiver {
    program: PathBuf,
    config: Option<PathBuf>,
    repository: String,
    name: String,
}

impl Archiver {
    /// The command of this program, archiving under that name into that repository; with a configuration
    /// where that is to say for whom WAL is encrypted. Paths are those of the server's machine.
    ///
    /// # Errors
    /// [`Kind::Usage`] for what cannot stand in a setting: `ALTER SYSTEM` takes one line.
    pub fn new(
        program: PathBuf,
        config: Option<PathBuf>,
        repository: &str,
        name: &str,
    ) -> Result<Self> {
        let archiver =
            Self { program, config, repository: repository.to_owned(), name: name.to_owned() };
        if archiver.words("archive", &[]).contains(['\n', '\r', '\0']) {
            let what = "a line feed cannot stand in archive_command";
            return Err(Fault::new(Kind::Usage, what));
        }
        Ok(archiver)
    }

    /// As it stands in `archive_command`: for a shell, with `%` doubled but for the server's own `%p`.
    pub fn archive_command(&self) -> String {
        format!("{} %p", self.words("archive", &[]).replace('%', "%%"))
    }

    /// The same program, called the same way, but for a trial with these further words.
    pub(super) fn trial_command(&self, more: &[String]) -> String {
        self.words("trial", more)
    }

    fn words(&self, what: &str, more: &[String]) -> String {
        let mut words = vec![quoted(self.program.as_os_str()), "wal".into(), what.into()];
        if let Some(config) = &self.config {
            words.extend(["--config".into(), quoted(config.as_os_str())]);
        }
        for (option, value) in [("--repository", &self.repository), ("--name", &self.name)] {
            words.extend([option.into(), quoted(value.as_ref())]);
        }
        words.extend(more.iter().map(|word| quoted(word.as_ref())));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_paths_survive_the_shell_and_the_server() {
        let program = PathBuf::from("/opt/100% it's/howdah");
        let archiver = Archiver::new(program, None, "/var/b k", "prod").expect("a command");
        assert_eq!(
            archiver.archive_command(),
            r"'/opt/100%% it'\''s/howdah' wal archive --repository '/var/b k' --name prod %p"
        );
        assert!(archiver.trial_command(&[]).starts_with(r"'/opt/100% it'\''s/howdah' wal trial "));
        let keys = Some(PathBuf::from("/etc/howdah.toml"));
        let archiver = Archiver::new("h".into(), keys, "s3://b/p?region=r&x=y", "prod");
        assert_eq!(
            archiver.expect("a command").archive_command(),
            "h wal archive --config /etc/howdah.toml --repository 's3://b/p?region=r&x=y' --name prod %p"
        );
        assert!(Archiver::new("h".into(), None, "/a\nb", "prod").is_err());
    }
}
