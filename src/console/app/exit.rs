//! How the console ends.

use std::{io, path::PathBuf};

use crate::console::theme::ThemeError;

/// Why the console was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The person left.
    Quit,
    /// A signal of this number asked for it.
    Signal(i32),
    /// The terminal is gone.
    TerminalGone,
    /// The engine ended; nothing would ever change again.
    EngineStopped,
}

impl ExitReason {
    /// The exit code of the process: 0; 128 and the signal's number, as shells have it; 129 for a lost
    /// terminal, which is what SIGHUP says; 1.
    pub const fn code(self) -> u8 {
        match self {
            Self::Quit => 0,
            Self::Signal(number) => 128_u8.wrapping_add(number as u8),
            Self::TerminalGone => 129,
            Self::EngineStopped => 1,
        }
    }
}

/// Why the console could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Standard output is not a terminal.
    #[error("the console needs a terminal, and standard output is not one")]
    NoTerminal,
    /// The terminal cannot place a cursor.
    #[error("the console needs a terminal that can place its cursor, and TERM names none")]
    Dumb,
    /// The terminal or the system refused something.
    #[error("the terminal cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The theme cannot be used.
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// A defect of the console.
    #[error("the console failed: {what}{}", log.as_ref().map(|path| format!("; the log is {}", path.display())).unwrap_or_default())]
    Panicked {
        /// The words of the panic.
        what: String,
        /// Where the log is.
        log: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(ExitReason::Quit.code(), 0);
        assert_eq!(ExitReason::Signal(15).code(), 143);
        assert_eq!(ExitReason::TerminalGone.code(), ExitReason::Signal(1).code());
        assert_ne!(ExitReason::EngineStopped.code(), 0);
    }
}
