//! The UI thread's loop: events in, frames out, and the terminal's own wishes granted.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError},
};

use super::{
    effects::{Notice, Told},
    exit::{ConsoleError, ExitReason},
    ui::{Event, Ui, Wish},
};
use crate::{
    base::text::Text,
    console::{
        model::Tone,
        term::{
            session::Session,
            signals::{self, stop_self},
            tty::Tty,
        },
    },
};

/// Events taken before a frame gets its turn.
const BATCH: usize = 256;

/// Serves events until it is time to leave.
pub fn serve(
    ui: &mut Ui<Tty>,
    session: &Session,
    tty: &Tty,
    events: &Receiver<Event>,
) -> Result<ExitReason, ConsoleError> {
    ui.resize(tty.size());
    loop {
        // A size that nobody told us of: SIGWINCH reaches only the terminal's own session.
        if ui.patience().is_zero() && tty.size() != ui.model.size {
            ui.resize(tty.size());
        }
        ui.draw_if_due()?;
        fail_if_asked();
        let mut next = match events.recv_timeout(ui.patience()) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitReason::EngineStopped),
        };
        let mut left = BATCH;
        while let Some(event) = next {
            for wish in ui.take(event) {
                if let Some(reason) = grant(wish, ui, session, tty, events)? {
                    return Ok(reason);
                }
            }
            left -= 1;
            next = if left == 0 { None } else { events.try_recv().ok() };
        }
    }
}

fn grant(
    wish: Wish,
    ui: &mut Ui<Tty>,
    session: &Session,
    tty: &Tty,
    events: &Receiver<Event>,
) -> Result<Option<ExitReason>, ConsoleError> {
    match wish {
        Wish::Leave(reason) => return Ok(Some(reason)),
        Wish::Measure => ui.resize(tty.size()),
        Wish::Redraw => ui.redraw(),
        Wish::Mouse(on) => session.set_mouse(on)?,
        Wish::Continued => return_to_screen(ui, session, tty)?,
        Wish::Suspend if !signals::can_be_continued() => {
            let text = Text::ours("Suspend: no shell is there that could continue the console");
            ui.take(Event::Told(Told::Notice(Notice { text, tone: Tone::Refusal })));
        }
        Wish::Suspend => {
            session.pause();
            stop_self()?;
            // Stopping takes hold a moment later, and on any thread: only SIGCONT says that it is over.
            loop {
                match events.recv() {
                    Ok(Event::Signal(signals::Event::Continued)) => break,
                    Ok(Event::Signal(signals::Event::Leave(number))) => {
                        return Ok(Some(ExitReason::Signal(number)));
                    }
                    Ok(Event::EngineStopped) | Err(_) => {
                        return Ok(Some(ExitReason::EngineStopped));
                    }
                    Ok(other) => drop(ui.take(other)),
                }
            }
            return_to_screen(ui, session, tty)?;
        }
    }
    Ok(None)
}

fn return_to_screen(ui: &mut Ui<Tty>, session: &Session, tty: &Tty) -> io::Result<()> {
    session.resume()?;
    ui.forget_screen();
    if ui.model.state.mouse {
        session.set_mouse(true)?;
    }
    ui.resize(tty.size());
    Ok(())
}

/// A debug build fails on request, so that tests can see the terminal given back.
#[cfg(debug_assertions)]
fn fail_if_asked() {
    let asked = |name| std::env::var_os(name).is_some();
    assert!(!asked("HOWDAH_TEST_PANIC"), "asked to panic");
    while asked("HOWDAH_TEST_HANG") {
        std::thread::park();
    }
}

#[cfg(not(debug_assertions))]
const fn fail_if_asked() {}
