//! What can go wrong on the way back, in words with a remedy.

use std::{error::Error, fmt, io};

use crate::{
    base::{
        exec::ExecError,
        progress::{Cancelled, Unrecorded},
        text::Text,
    },
    cluster::ClusterError,
    resilience::connect::ConnectError,
};

/// The result of everything in this room.
pub type Result<T> = std::result::Result<T, Fault>;

/// What a caller can do about it; each has an exit code of its own on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The words of the call are off.
    Usage,
    /// A setting is wrong or missing.
    Config,
    /// Something that is needed is not there: a server, a tool, a repository.
    Unavailable,
    /// It would not be safe, so it was not begun: a live cluster in the way, another run going on.
    Refused,
    /// What is kept is not what was written: a wrong hash, a gap, a file that cannot be read.
    Damaged,
    /// There is no room for it.
    NoSpace,
    /// Its end was wished for; what it had begun was put away.
    Cancelled,
    /// It failed for another reason.
    Failed,
}

/// What went wrong: the thing it happened to, and the remedy where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What a caller can do about it.
    pub kind: Kind,
    what: Text,
    remedy: Option<Text>,
}

impl Fault {
    /// A fault in words. They are cleaned: they may quote foreign text.
    pub fn new(kind: Kind, what: impl Into<Text>) -> Self {
        Self { kind, what: what.into(), remedy: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<Text>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The same with what was tried in front.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        Self { what: format!("{what}: {}", self.what).into(), ..self }
    }

    /// A fault on its way through a reader or a writer, such as one of a bucket; it comes out again behind
    /// [`Fault::io`].
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// The fault that was sent through readers or writers by [`Fault::into_io`], or the wish to end that one of
    /// them heard, whatever is wrapped around it.
    pub fn inside(error: &io::Error) -> Option<Self> {
        let mut cause: &(dyn Error + 'static) = error.get_ref()?;
        loop {
            if let Some(fault) = cause.downcast_ref::<Self>() {
                return Some(fault.clone());
            }
            if let Some(cancelled) = cause.downcast_ref::<Cancelled>() {
                return Some(Self::new(Kind::Cancelled, cancelled.to_string()));
            }
            cause = match cause.downcast_ref::<io::Error>() {
                // Its own source is that of the error inside.
                Some(error) => error.get_ref()?,
                None => cause.source()?,
            };
        }
    }

    /// For `map_err`: the system's error, with what was tried. A full disk and a read-only one are told as
    /// such.
    pub fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            if let Some(fault) = Self::inside(&error) {
                return fault;
            }
            use io::ErrorKind::{
                NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
            };
            let fault = |kind| Self::new(kind, format!("{what}: {error}"));
            match error.kind() {
                StorageFull | QuotaExceeded => {
                    fault(Kind::NoSpace).remedy("free some space there, or choose another place")
                }
                ReadOnlyFilesystem => {
                    fault(Kind::Unavailable).remedy("mount it writable, or choose another place")
                }
                PermissionDenied => {
                    fault(Kind::Unavailable).remedy("run as the account that owns it")
                }
                NotFound => fault(Kind::Unavailable),
                _ => fault(Kind::Failed),
            }
        }
    }

    /// What went wrong, without the remedy.
    pub fn what(&self) -> &Text {
        &self.what
    }

    /// What to do about it, if that is known.
    pub fn advice(&self) -> Option<&Text> {
        self.remedy.as_ref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}; {remedy}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

impl Error for Fault {}

impl From<ExecError> for Fault {
    fn from(error: ExecError) -> Self {
        let kind = match &error {
            ExecError::NotStarted { missing: true, program, .. } => {
                let remedy = format!(
                    "install PostgreSQL's client and server programs, or set HOWDAH_PG_BIN to the folder of '{program}'"
                );
                return Self::new(Kind::Unavailable, error.to_string()).remedy(remedy);
            }
            ExecError::Cancelled { .. } => Kind::Cancelled,
            ExecError::Failed { messages, .. }
                if messages.iter().any(|m| m.contains("No space left on device")) =>
            {
                Kind::NoSpace
            }
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Unrecorded> for Fault {
    fn from(error: Unrecorded) -> Self {
        Self::io(format!("the step '{}' cannot be recorded, so it was not begun", error.step))(
            error.source,
        )
    }
}

impl From<ClusterError> for Fault {
    fn from(error: ClusterError) -> Self {
        let kind = match &error {
            ClusterError::NoBinaries { .. }
            | ClusterError::WrongBinaries(_)
            | ClusterError::OtherVersion { .. } => Kind::Unavailable,
            ClusterError::PortTaken(_) => Kind::Refused,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        Self::new(Kind::Unavailable, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one() {
        let full = Fault::io("cannot write 'x'")(io::ErrorKind::StorageFull.into());
        assert_eq!(full.kind, Kind::NoSpace);
        assert!(full.to_string().starts_with("cannot write 'x': "), "{full}");
        assert!(full.advice().is_some());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("on its way")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn a_fault_and_a_wish_to_end_come_out_of_whatever_is_wrapped_around_them() {
        let fault = Fault::new(Kind::Unavailable, "the bucket is gone");
        let wished = io::Error::other(Cancelled("reading"));
        for (sent, kind) in [(fault.into_io(), Kind::Unavailable), (wished, Kind::Cancelled)] {
            let inner = Fault::inside(&sent).expect("directly");
            assert_eq!(inner.kind, kind);
            // As tar tells what it met on its way.
            let wrapped = io::Error::other(Wrapped(sent));
            assert_eq!(Fault::inside(&wrapped), Some(inner));
        }
        assert_eq!(Fault::inside(&io::Error::other("words")), None);
        assert_eq!(Fault::inside(&io::ErrorKind::NotFound.into()), None);
    }

    #[test]
    fn foreign_words_are_cleaned() {
        let fault =
            Fault::new(Kind::Failed, "table \"\x1b[31mx\" is gone".to_owned()).during("restore");
        assert_eq!(fault.to_string(), "restore: table \"^[[31mx\" is gone");
    }
}
