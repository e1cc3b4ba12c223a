//! The binary.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    howdah::sandbox::entry::run(&arguments).unwrap_or(ExitCode::SUCCESS)
}
