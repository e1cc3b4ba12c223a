//! Which target a call means: defined once, taken by every subcommand that has one.

use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

use super::{Exit, Failure};

/// The target of a call, as a word or as `--target`; `None` means what the configuration or the environment says.
/// It stands behind the other words of a subcommand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TargetArgs(Option<String>);

/// The two ways to say it.
#[derive(Args)]
struct Ways {
    /// A target of the configuration, a connection URL, or a keyword string
    #[arg(id = "target_word", value_name = "TARGET")]
    word: Option<String>,
    /// The same as the word TARGET
    #[arg(id = "target", long, short, value_name = "TARGET")]
    option: Option<String>,
}

impl TargetArgs {
    /// The one that was named, when two places of a call may name one.
    ///
    /// # Errors
    /// Both do, and they differ.
    pub fn or<'a>(&'a self, other: &'a Self) -> Result<&'a Self, Failure> {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) if one != two => {
                let what =
                    format!("two targets are named, '{one}' and '{two}': one of them must go");
                Err(Failure::new(Exit::Usage, what))
            }
            (Some(_), _) => Ok(self),
            (None, _) => Ok(other),
        }
    }
}

impl From<Option<&str>> for TargetArgs {
    fn from(words: Option<&str>) -> Self {
        Self(words.map(str::to_owned))
    }
}

impl Deref for TargetArgs {
    type Target = Option<String>;

    fn deref(&self) -> &Option<String> {
        &self.0
    }
}

impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let Ways { word, option } = Ways::from_arg_matches(matches)?;
        let conflict = |why| Error::raw(ErrorKind::ArgumentConflict, format!("{why}\n"));
        Self(word).or(&Self(option)).cloned().map_err(conflict)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TargetArgs {
    fn augment_args(command: Command) -> Command {
        Ways::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Ways::augment_args_for_update(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Command};

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["howdah"], words].concat())
    }

    #[test]
    fn a_target_is_a_word_or_an_option() {
        for words in
            [["prod"].as_slice(), &["-t", "prod"], &["--target", "prod"], &["prod", "-t", "prod"]]
        {
            assert_eq!(
                parse(words).expect("a target").target.as_deref(),
                Some("prod"),
                "{words:?}"
            );
            let cli = parse(&[&["status"], words].concat()).expect("a target");
            let Some(Command::Status(status)) = cli.command else { panic!("{words:?}") };
            assert_eq!(status.target.as_deref(), Some("prod"), "{words:?}");
            let cli = parse(&[&["recoverable"], words].concat()).expect("a target");
            let Some(Command::Recoverable(args)) = cli.command else { panic!("{words:?}") };
            assert_eq!(args.place.target.as_deref(), Some("prod"), "{words:?}");
        }
    }

    #[test]
    fn two_different_targets_are_refused() {
        for words in [["prod", "-t", "test"].as_slice(), &["wal", "status", "prod", "-t", "test"]] {
            let error = parse(words).expect_err("two targets").to_string();
            assert!(error.contains("'prod'") && error.contains("'test'"), "{error}");
        }
    }

    /// Whoever has learned one way anywhere has learned it for all.
    #[test]
    fn each_subcommand_that_knows_one_way_knows_the_other() {
        fn walk(command: &clap::Command, path: &str, seen: &mut usize) {
            let options = command.get_arguments().filter(|arg| arg.get_id() == "target").count();
            let words = command.get_arguments().filter(|arg| arg.get_id() == "target_word").count();
            // The ledger's `--target` chooses lines; it reaches no server.
            if path != " howdah ledger show" {
                assert_eq!(options, words, "{path}");
                *seen += words;
            }
            command.get_subcommands().for_each(|below| {
                walk(below, &format!("{path} {}", below.get_name()), seen);
            });
        }
        let mut whole = crate::cli::late::whole::<Cli>();
        whole.build();
        let mut seen = 0;
        walk(&whole, " howdah", &mut seen);
        assert!(seen > 30, "{seen}");
    }
}
