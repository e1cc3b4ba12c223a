//! The binary.

#[cfg(feature = "console")]
mod probe;

#[cfg(feature = "console")]
fn main() -> std::process::ExitCode {
    probe::main()
}

#[cfg(not(feature = "console"))]
fn main() {}
