//! Subcommands that are described when they are called. The console needs none of them, and the words of all
//! would cost its first frame a part of its time, and its memory a part of the program.

use std::{
    ops::Deref,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{ArgMatches, Args, Command, CommandFactory, Error, FromArgMatches, Subcommand};

/// What a subcommand takes. Boxed, so that the largest does not make room for itself in all.
#[derive(Debug)]
pub struct Late<T>(Box<T>);

impl<T> Deref for Late<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

fn late(command: Command, describe: fn(Command) -> Command) -> Command {
    if AT_ONCE.load(Ordering::Relaxed) { describe(command) } else { command.defer(describe) }
}

/// What a command takes, under the words with which it was announced.
fn described(command: Command, describe: fn(Command) -> Command) -> Command {
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    let described = describe(command).about(about.unwrap_or_default());
    match long {
        Some(long) => described.long_about(long),
        None => described.long_about(None),
    }
}

/// Set for who prints the words of all.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// The whole command line, with all subcommands described.
pub fn whole<C: CommandFactory>() -> Command {
    AT_ONCE.store(true, Ordering::Relaxed);
    C::command()
}

impl<T: FromArgMatches> FromArgMatches for Late<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(|taken| Self(Box::new(taken)))
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(|taken| Self(Box::new(taken)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Late<T> {
    fn augment_args(command: Command) -> Command {
        late(command, |command| described(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        late(command, |command| described(command, T::augment_args_for_update))
    }
}

impl<T: Subcommand> Subcommand for Late<T> {
    fn augment_subcommands(command: Command) -> Command {
        late(command, |command| described(command, T::augment_subcommands))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        late(command, |command| described(command, T::augment_subcommands_for_update))
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}
