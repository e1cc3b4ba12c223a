//! The terminal device, through a descriptor of our own.
//!
//! Opening it anew gives us an open file description that nobody shares: we may make it non-blocking
//! without the shell's own becoming so.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    termios::{self, OptionalActions, Termios},
};

/// The size taken when the terminal says nothing or 0x0, as some serial lines and emulators do.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// The terminal on standard output. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tty(Arc<OwnedFd>);

/// What waiting for the terminal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It takes bytes.
    Writable,
    /// It takes none yet.
    Busy,
    /// It is gone.
    Gone,
}

impl Tty {
    /// Opens the terminal that standard output is connected to.
    ///
    /// Fails with [`io::ErrorKind::NotConnected`] when that is not a terminal.
    pub fn open() -> io::Result<Self> {
        let stdout = rustix::stdio::stdout();
        if !termios::isatty(stdout) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // After `su` the device may belong to somebody else, in a container it may have no name;
        // /dev/tty is open to everybody.
        let named = termios::ttyname(stdout, Vec::new())
            .map_err(io::Error::from)
            .and_then(|name| Self::open_path(Path::new(&*name.to_string_lossy())));
        named.or_else(|_| Self::open_path(Path::new("/dev/tty")))
    }

    /// Opens the terminal device at `path`.
    pub fn open_path(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self(Arc::new(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        match termios::tcgetwinsize(&*self.0) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => USUAL_SIZE,
        }
    }

    /// The line settings.
    pub fn settings(&self) -> io::Result<Termios> {
        Ok(termios::tcgetattr(&*self.0)?)
    }

    /// Sets the line settings at once, without waiting for output to drain: it may never.
    pub fn set(&self, settings: &Termios) -> io::Result<()> {
        Ok(termios::tcsetattr(&*self.0, OptionalActions::Now, settings)?)
    }

    /// Waits at most `patience` for the terminal to take bytes.
    pub fn ready(&self, patience: Duration) -> Readiness {
        let found = self.poll(PollFlags::OUT, patience);
        if is_gone(found) {
            Readiness::Gone
        } else if found.contains(PollFlags::OUT) {
            Readiness::Writable
        } else {
            Readiness::Busy
        }
    }

    /// Waits at most `patience` for the terminal to go away; true when it did.
    pub fn wait_gone(&self, patience: Duration) -> bool {
        is_gone(self.poll(PollFlags::empty(), patience))
    }

    fn poll(&self, events: PollFlags, patience: Duration) -> PollFlags {
        let mut fds = [PollFd::new(&*self.0, events)];
        // A patience that does not fit waits for ever; an interrupted wait counts as a short one.
        let patience = Timespec::try_from(patience).ok();
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::empty(),
        }
    }

    /// Writes `bytes` as far as the terminal takes them within `patience`; true when it took all.
    pub fn write_patiently(&self, mut bytes: &[u8], patience: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(10);
        let mut steps = patience.as_millis() / STEP.as_millis();
        while !bytes.is_empty() {
            match rustix::io::write(&*self.0, bytes) {
                Ok(0) => return false,
                Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if steps > 0 => {
                    steps -= 1;
                    if self.ready(STEP) == Readiness::Gone {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }
}

fn is_gone(found: PollFlags) -> bool {
    found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

impl AsFd for Tty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl io::Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&*self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
