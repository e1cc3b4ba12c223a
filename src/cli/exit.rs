//! How the process ends.

use std::{fmt, process::ExitCode};

/// The exit codes. 0 to 3 are those of monitoring plug-ins, so that `howdah status` is one; the others
/// are those of BSD's `sysexits.h`. A console that is ended by a signal exits with 128 and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; `status`: nothing is wrong.
    Ok,
    /// 1: `status`: a warning; elsewhere: it failed, and standard error says why.
    Failure,
    /// 2: `status`: something is critical.
    Critical,
    /// 3: `status`: the server did not answer, so nothing is known.
    Unknown,
    /// 64: the call's words are off.
    Usage,
    /// 65: what is kept is damaged: a wrong hash, a gap in the WAL, an altered ledger, a file that cannot be understood.
    Damaged,
    /// 69: something that is needed is not there: server binaries, a server, a repository, a running demo.
    Unavailable,
    /// 73: there is no room to write.
    CannotCreate,
    /// 75: its end was wished for; what had begun was put away.
    Cancelled,
    /// 77: it would not be safe, so nothing was begun.
    Refused,
    /// 78: the configuration, or the connection string, is wrong.
    Config,
    /// Another code, of a signal.
    Code(u8),
}

impl Exit {
    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
            Self::Usage => 64,
            Self::Damaged => 65,
            Self::Unavailable => 69,
            Self::CannotCreate => 73,
            Self::Cancelled => 75,
            Self::Refused => 77,
            Self::Config => 78,
            Self::Code(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What went wrong, in words, and how the process ends for it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    what: String,
}

impl Failure {
    /// A failure in words.
    pub fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self { exit, what: crate::base::text::clean(&what.to_string()).into_owned() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
