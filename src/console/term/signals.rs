//! Signals, as events.

use rustix::process::{Signal, getpgrp, getpid, getsid, kill_process};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that the console answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Leave: the number of SIGTERM, SIGHUP, SIGINT or SIGQUIT.
    Leave(i32),
    /// SIGTSTP: give the terminal back and stop.
    Stop,
    /// SIGCONT: we run again, and the terminal may have been used by others.
    Continued,
}

/// The signals that the console answers. From its making on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    hangup: Stream,
    interrupt: Stream,
    quit: Stream,
    stop: Stream,
    resume: Stream,
}

impl Signals {
    /// Begins to listen. Must be called inside a tokio runtime with I/O.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            stop: signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
        })
    }

    /// The next one. Dropping the future loses none.
    pub async fn next(&mut self) -> Event {
        let leave = |kind: SignalKind| Event::Leave(kind.as_raw_value());
        tokio::select! {
            biased;
            _ = self.terminate.recv() => leave(SignalKind::terminate()),
            _ = self.hangup.recv() => leave(SignalKind::hangup()),
            _ = self.interrupt.recv() => leave(SignalKind::interrupt()),
            _ = self.quit.recv() => leave(SignalKind::quit()),
            _ = self.stop.recv() => Event::Stop,
            _ = self.resume.recv() => Event::Continued,
        }
    }
}

/// True when a shell with job control started us, so that somebody can continue us after a stop. Such a
/// shell gives each job a process group of its own; a group with the session leader in it is orphaned
/// (POSIX.1-2024, 3.264), as under `ssh -t host howdah`, and would stay stopped for ever.
pub fn can_be_continued() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Stops this process as job control does; returns when it is continued. SIGSTOP, because SIGTSTP is ours.
pub fn stop_self() -> std::io::Result<()> {
    Ok(kill_process(getpid(), Signal::STOP)?)
}
