//! The binary: parse, run, map the result to an exit code; nothing else.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    howdah::sandbox::entry::run(&arguments).unwrap_or_else(|| howdah::cli::run(&arguments))
}
