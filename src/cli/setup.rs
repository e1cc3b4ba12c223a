//! What every subcommand begins with: folders, configuration, log, runtime.

use std::{collections::BTreeMap, env, path::Path};

use super::{Cli, Exit, Failure};
use crate::{
    base::{
        clock::Clock,
        config::{self, Config, Layers, Origin},
        ledger::{Ledger, Who},
        log,
        paths::Paths,
    },
    jobs::Jobs,
};

/// The folders of this user.
pub fn paths() -> Result<Paths, Failure> {
    Paths::of_user().ok_or_else(|| {
        Failure::new(
            Exit::Config,
            "no home folder is known; set HOME, or name a file with --config",
        )
    })
}

/// The configuration in force, the flags of this call included. The theme that was last chosen in
/// the console counts where nobody configured one.
pub fn config(cli: &Cli) -> Result<Config, Failure> {
    config_of(cli, cli.config.as_deref())
}

/// The same by another file than this call names.
pub fn config_of(cli: &Cli, file: Option<&Path>) -> Result<Config, Failure> {
    let paths = paths()?;
    let named = file.map(Path::to_owned);
    let flags = [
        ("console.theme", &cli.theme),
        ("console.color", &cli.color),
        ("console.glyphs", &cli.glyphs),
    ];
    let layers = Layers {
        file_named: named.is_some(),
        file: Some(named.unwrap_or_else(|| paths.config_file())),
        variables: variables(),
        flags: flags.into_iter().filter_map(|(key, v)| Some((key, v.clone()?))).collect(),
    };
    let mut config = config::load(&layers).map_err(|error| Failure::new(Exit::Config, error))?;
    if let Some(entry) = config.entries.iter_mut().find(|e| e.key == "console.theme")
        && entry.origin == Origin::Default
        && let Ok(theme) = std::fs::read_to_string(paths.chosen_theme())
    {
        theme.trim().clone_into(&mut config.theme);
        config.theme.clone_into(&mut entry.value);
        entry.origin = Origin::File(paths.chosen_theme());
    }
    Ok(config)
}

/// Variables with our prefix that are no settings: where the server binaries are, who acts, and what tests
/// ask of a debug build.
const NOT_SETTINGS: [&str; 3] = ["HOWDAH_PG_BIN", "HOWDAH_ACTOR", "HOWDAH_TEST_"];

fn variables() -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("HOWDAH_"))
        .filter(|(name, _)| !NOT_SETTINGS.iter().any(|other| name.starts_with(other)))
        .collect()
}

/// Opens the log. A log that cannot be written is said, and no reason to stay out of an incident.
pub fn open_log(config: &Config) -> Option<std::path::PathBuf> {
    let file = paths().ok()?.log_file();
    match log::to_file(&file, &config.log_level) {
        Ok(()) => Some(file),
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "howdah: no log: '{}' cannot be written: {error}",
                file.display()
            );
            None
        }
    }
}

/// Who acts: what the machine says, and the name given by `--as` or HOWDAH_ACTOR.
pub fn who(cli: &Cli) -> Who {
    Who::current(actor(cli).as_deref())
}

/// What who acts calls themselves.
pub fn actor(cli: &Cli) -> Option<String> {
    cli.actor.clone().or_else(|| env::var("HOWDAH_ACTOR").ok())
}

/// The ledger, in the name of who acts.
pub fn ledger(cli: &Cli, config: &Config) -> Result<Ledger, Failure> {
    Ok(ledger_of(config, who(cli))?.in_job(cli.job.as_deref()))
}

/// The ledger, in somebody's name.
pub fn ledger_of(config: &Config, who: Who) -> Result<Ledger, Failure> {
    let folder = match &config.ledger_folder {
        Some(folder) if folder.is_relative() => {
            let what = format!(
                "ledger.folder = '{}': a path from the root is expected, or there would be one for \
                 each folder that howdah is called in",
                folder.display()
            );
            return Err(Failure::new(Exit::Config, what));
        }
        Some(folder) => folder.clone(),
        None => paths()?.ledger(),
    };
    Ok(Ledger::new(&folder, who, &Clock::system()))
}

/// The jobs of this user.
pub fn jobs() -> Result<Jobs, Failure> {
    Ok(Jobs::at(&paths()?.jobs(), &Clock::system()))
}

/// The engine's runtime. One thread is enough: large answers are read on threads of their own, and a second
/// one would only be woken to find nothing to do.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("engine")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("no runtime: {error}")))
}
