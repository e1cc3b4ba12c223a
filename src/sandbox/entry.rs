//! The hidden subcommands under which this binary becomes one of a sandbox's helpers.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    process::ExitCode,
};

use super::{Demo, DemoOptions, app, running::Registry};
use crate::cluster::guard;

/// Owns a demo until its standard input ends: for tests of what happens when an owner dies.
/// Its one argument is the folder for the note.
pub const HOLD: &str = "demo-hold";

/// Becomes the helper that the arguments (program name first) call for; none when they call for none.
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    match arguments.get(1)?.to_str()? {
        guard::SUBCOMMAND => Some(guard::guard_main()),
        app::SUBCOMMAND => Some(app::app_main()),
        HOLD => Some(match hold(arguments.get(2)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Nobody may be listening; the exit code tells it, too.
                let _ = writeln!(io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        }),
        _ => None,
    }
}

/// Writes the sandbox folder and the helpers' process numbers on one line, then waits.
fn hold(registry: Option<&OsString>) -> Result<(), Box<dyn std::error::Error>> {
    let registry = registry.map(|folder| Registry::at(folder.into()));
    let demo = Demo::start(&DemoOptions { registry, ..DemoOptions::default() })?;
    let line = serde_json::json!({
        "folder": demo.handle().folder,
        "helpers": demo.helpers(),
        "server": demo.cluster().pids(),
    });
    writeln!(io::stdout(), "{line}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
