//! What can be started from the console: a command of howdah's that runs as a job.

use super::{Model, RecoveryRow};
use crate::base::{clock::Stamp, text::Text};

/// How howdah is called for the target that is shown, in words of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calling {
    /// For all commands: the configuration, and who acts.
    pub common: Vec<String>,
    /// Which target, and where its backups are.
    pub place: Vec<String>,
}

/// Something that is done to backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Take a backup of the data folder.
    Physical,
    /// Take a backup of the database as statements and rows.
    Logical,
    /// Verify the selected backup.
    Verify,
    /// Restore the selected backup into a scratch cluster, look at it and measure.
    Prove,
}

impl Errand {
    /// What the question calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Physical => "Back up the data folder now",
            Self::Logical => "Back up the database now",
            Self::Verify => "Verify this backup",
            Self::Prove => "Prove this backup",
        }
    }

    /// What it does and what it costs, in a sentence or two.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Physical => {
                "Reads the whole data folder from the server and keeps it in the repository. Writers go on; \
                 the server's disk and network are busy meanwhile."
            }
            Self::Logical => {
                "Dumps the target's database into the repository. Writers go on; schema changes wait for it."
            }
            Self::Verify => {
                "Reads the backup back from the repository. The server has no part in it."
            }
            Self::Prove => {
                "Restores the backup into a scratch cluster on this machine, looks at it, measures, and \
                 throws it away. Takes room for the data and a processor; the server has no part in it."
            }
        }
    }

    /// True when it is done to a backup that has to be selected.
    pub const fn wants_backup(self) -> bool {
        matches!(self, Self::Verify | Self::Prove)
    }

    /// The words of its command, without the program.
    pub fn words(self, calling: &Calling, backup: &str) -> Vec<String> {
        let own: &[&str] = match self {
            Self::Physical => &["backup", "run", "--physical"],
            Self::Logical => &["backup", "run", "--logical"],
            Self::Verify => &["verify", backup],
            Self::Prove => &["prove", "--backup", backup],
        };
        let own = own.iter().map(|word| (*word).to_owned());
        calling.common.iter().cloned().chain(own).chain(calling.place.iter().cloned()).collect()
    }
}

impl Model {
    /// The command that an errand would run now, without the program; else why there is none.
    pub fn words(&self, errand: Errand) -> Result<Vec<String>, Text> {
        if let Some(why) = self.snapshot.backup.repository.reason() {
            return Err(why.clone());
        }
        let id = match self.state.recovery.backup(&self.snapshot) {
            _ if !errand.wants_backup() => "",
            Some(RecoveryRow::Backup(backup)) if backup.is_whole() => &*backup.id,
            Some(RecoveryRow::Other(engine, _)) => {
                let ways = "`howdah engine verify`, `howdah engine restore`";
                return Err(format!("{engine} keeps it: {ways}").into());
            }
            Some(_) => return Err(Text::ours("the selected backup is not whole")),
            None => return Err(Text::ours("there is no backup")),
        };
        Ok(errand.words(&self.calling, id))
    }
}

/// A question that waits for its answer: whether that is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked about.
    pub errand: Errand,
    /// The words of the command that would run, without the program.
    pub words: Vec<String>,
    /// Since when it is asked: keys that were typed before it could be read are no answer.
    pub since: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_place() {
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let calling = Calling { common: words("--config c.toml"), place: words("--target prod") };
        assert_eq!(
            Errand::Verify.words(&calling, "ID"),
            words("--config c.toml verify ID --target prod")
        );
        assert_eq!(Errand::Physical.words(&Calling::default(), ""), words("backup run --physical"));
    }
}
