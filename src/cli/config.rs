//! `howdah config`: where the configuration is and what is in force.

use std::fmt::Write as _;

use super::{Cli, Exit, Failure, args::ConfigCommand, open, say, setup, target};
use crate::base::{config::settings, text::clean};

/// Answers one question about the configuration.
pub fn run(cli: &Cli, what: ConfigCommand) -> Result<Exit, Failure> {
    let text = match what {
        ConfigCommand::Example => settings::example(),
        ConfigCommand::Path => places(cli)?,
        ConfigCommand::Check => check(cli)?,
    };
    say(&clean_lines(&text))?;
    Ok(Exit::Ok)
}

fn places(cli: &Cli) -> Result<String, Failure> {
    let paths = setup::paths()?;
    let file = cli.config.clone().unwrap_or_else(|| paths.config_file());
    // A configuration that cannot be read is no reason not to say where it is.
    let ledger = setup::config(cli).and_then(|config| setup::ledger(cli, &config));
    let ledger = ledger.map_or_else(|_| paths.ledger(), |ledger| ledger.folder().to_owned());
    let mut out = String::new();
    for (what, path) in [
        ("configuration", file),
        ("themes", paths.config.join("themes")),
        ("profiles", paths.config.join("profiles")),
        ("log", paths.log_file()),
        ("ledger", ledger),
        ("jobs", paths.jobs()),
        ("WAL set-ups", paths.setups()),
    ] {
        let note = if path.exists() { "" } else { "  (not there yet)" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{what:<14} {}{note}", path.display());
    }
    Ok(out)
}

/// Every value with its origin; each target is resolved as far as can be told without connecting.
fn check(cli: &Cli) -> Result<String, Failure> {
    let config = setup::config(cli)?;
    open::check_looks(&config)?;
    let mut out = String::new();
    for entry in &config.entries {
        let _ = writeln!(out, "{:<28} {:<32} {}", entry.key, entry.value, entry.origin);
    }
    for name in config.targets.keys() {
        let plan = target::plan(&config, Some(name))?;
        let _ = writeln!(out, "\ntarget {name}: {}", plan.frame.target.address);
        for entry in plan.settings.entries() {
            let _ = writeln!(out, "  {:<26} {:<32} {}", entry.keyword, entry.value, entry.origin);
        }
    }
    Ok(out)
}

fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}
