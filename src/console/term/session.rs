//! Taking the terminal and giving it back, whatever happens in between.
//!
//! What must be put back is kept in one place for the whole process, so that a panic, a signal or a
//! supervisor can do it from any thread, without waiting for anybody.

use std::{
    io, panic,
    sync::{Mutex, Once, PoisonError},
    thread,
    time::Duration,
};

use rustix::termios::Termios;

use super::tty::Tty;

/// Alternate screen, bracketed paste, cursor hidden.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?2004h\x1b[?25l";
/// Every mode that we, or a library below us, may have set, reset: synchronized update, mouse (four
/// modes), focus events, bracketed paste, colours and attributes, cursor, alternate screen.
const GIVE_BACK: &[u8] = b"\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1004l\
    \x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";
/// Ends an escape sequence that was cut off in the middle (CAN, ECMA-48 and DEC STD 070).
const CANCEL: &[u8] = b"\x18";
/// Mouse buttons and wheel, in the form that knows no upper limit of columns.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// How long a terminal may take to accept the few bytes that give it back.
const PATIENCE: Duration = Duration::from_millis(150);

/// Threads whose panic ends the console have names that begin so.
pub const THREAD_PREFIX: &str = "console";

/// What to put back; `None` while the terminal is not ours.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

#[derive(Debug)]
struct Taken {
    tty: Tty,
    before: Termios,
}

/// The terminal is ours for as long as this lives.
#[derive(Debug)]
pub struct Session {
    tty: Tty,
    before: Termios,
}

impl Session {
    /// Takes the terminal: its settings are remembered, then raw mode, alternate screen, bracketed paste
    /// and a hidden cursor are set.
    pub fn enter(tty: Tty) -> io::Result<Self> {
        install_panic_hook();
        let before = tty.settings()?;
        let session = Self { tty, before };
        session.take()?;
        Ok(session)
    }

    fn take(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        // Remembered before anything is changed: from here on everything is put back.
        *taken() = Some(Taken { tty: self.tty.clone(), before: self.before.clone() });
        let result = self.set_patiently(&raw).and_then(|()| self.send(TAKE));
        if result.is_err() {
            give_back();
        }
        result
    }

    /// Right after SIGCONT the shell may still be about to make us the foreground job.
    fn set_patiently(&self, settings: &Termios) -> io::Result<()> {
        let mut tries = 10;
        loop {
            match self.tty.set(settings) {
                Err(_) if tries > 0 => {
                    tries -= 1;
                    thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // A terminal that takes nothing now may take it later: the loop draws all again on demand.
        if self.tty.write_patiently(bytes, PATIENCE) {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Gives the terminal back for a while, such as around a stop by job control.
    pub fn pause(&self) {
        give_back();
    }

    /// Takes the terminal again, after [`Session::pause`] or after somebody else may have used it, as a
    /// shell does when we were stopped without warning. What is put back in the end stays what it was at
    /// first: what one finds now may be a shell's own raw mode.
    pub fn resume(&self) -> io::Result<()> {
        self.take()
    }

    /// Lets the terminal report the mouse, or no longer.
    pub fn set_mouse(&self, on: bool) -> io::Result<()> {
        self.send(if on { MOUSE_ON } else { MOUSE_OFF })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back if it is ours. May be called from any thread, any number of times; never
/// waits for the terminal longer than a moment.
pub fn give_back() {
    let Some(taken) = taken().take() else { return };
    // In the middle of a frame the terminal may be inside an escape sequence.
    let _ = taken.tty.write_patiently(&[CANCEL, GIVE_BACK].concat(), PATIENCE);
    if let Err(error) = taken.tty.set(&taken.before) {
        tracing::warn!(%error, "the terminal's settings could not be put back");
    }
}

fn taken() -> std::sync::MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A panic is logged first, then the terminal is given back if the console itself panicked. While the
/// terminal is ours nothing is printed: a task of the engine that panics must not garble the screen.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let current = thread::current();
            let name = current.name().unwrap_or("unnamed");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(thread = name, place, "panic: {}", message(info.payload()));
            let ours = taken().is_some();
            if name.starts_with(THREAD_PREFIX) {
                give_back();
            } else if !ours {
                previous(info);
            }
        }));
    });
}

/// The words of a panic.
pub fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}
