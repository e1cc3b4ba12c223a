//! Runs the console on threads of its own and watches over them.
//!
//! Whatever happens to the UI thread, the caller gets an answer: the thread that called [`run`] waits for
//! it, hears of signals and of a lost terminal from others, and gives the terminal back itself when the
//! UI thread does not.

use std::{
    any::Any,
    env, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use tokio::sync::{mpsc as queue, watch};
use tokio_util::sync::CancellationToken;

pub use super::exit::{ConsoleError, ExitReason};
use super::{
    effects::{Port, Told},
    paint::{Looks, painter},
    serve::serve,
    ui::{Event, Facts, Ui},
};
use crate::{
    base::{clock::Clock, text::clean},
    console::{
        input::keymap::Keymap,
        model::{Calling, Model},
        term::{
            input,
            session::{self, Session, THREAD_PREFIX},
            signals::{self, Signals},
            tty::Tty,
            watchdog,
        },
    },
    watch::snapshot::Snapshot,
};

/// How long the UI thread may take to leave by itself.
const GRACE: Duration = Duration::from_millis(500);
/// How often the input thread looks whether it is still needed.
const ROUND: Duration = Duration::from_secs(30);

/// What the console needs.
pub struct ConsoleParams {
    /// The newest snapshot, always. The console ends when the sender is dropped.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What the engine has to say in passing.
    pub notices: queue::UnboundedReceiver<Told>,
    /// What the engine does for the console.
    pub port: Box<dyn Port>,
    /// The clock that ages are read from.
    pub clock: Clock,
    /// How it looks.
    pub looks: Looks,
    /// Which key means which command.
    pub keys: Keymap,
    /// How howdah is called for the target that is shown.
    pub calling: Calling,
    /// The mouse is on from the start.
    pub mouse: bool,
    /// The way to the terminal garbles reports of the mouse, as Mosh does: it is never on.
    pub mouse_garbled: bool,
    /// Where the log is, to be named when the console fails.
    pub log: Option<PathBuf>,
}

/// What the threads report to who waits for them.
enum Report {
    /// The UI thread, or another one by its panic, is done.
    Done(Result<ExitReason, ConsoleError>),
    /// The console must end soon, with or without the UI thread.
    MustEnd(ExitReason),
}

/// Finds out whether the console can open here, before anything is begun for it: on a terminal that knows
/// how to place a cursor.
pub fn check_terminal() -> Result<(), ConsoleError> {
    terminal().map(drop)
}

fn terminal() -> Result<Tty, ConsoleError> {
    let tty = Tty::open().map_err(|error| match error.kind() {
        io::ErrorKind::NotConnected => ConsoleError::NoTerminal,
        _ => ConsoleError::Io(error),
    })?;
    // terminfo's name for one that knows nothing, which is also what a terminal without a name is.
    match env::var_os("TERM") {
        Some(name) if !name.is_empty() && name != "dumb" => Ok(tty),
        _ => Err(ConsoleError::Dumb),
    }
}

/// Runs the console until it is left, and returns with the terminal given back. Returns within a
/// second after a signal, or after the terminal has gone.
///
/// Blocks; do not call it on a thread that a runtime needs. From here on SIGTERM, SIGHUP, SIGINT, SIGQUIT
/// and SIGTSTP no longer act by themselves, even after the return.
pub fn run(params: ConsoleParams) -> Result<ExitReason, ConsoleError> {
    let tty = terminal()?;
    let offered = params.looks.themes.offered(params.looks.depth);
    let themes = offered.into_iter().map(str::to_owned).collect();
    let theme = params.looks.theme.clone();
    let render = painter(params.looks)?;
    let (reports, done) = mpsc::channel();
    let (events, inbox) = mpsc::channel();
    let threads = Threads { reports, log: params.log.clone(), over: Over::default() };
    // Ends the helpers when this function is left, on whatever way.
    let _over = threads.over.clone().guard();

    let facts = Facts { snapshots: params.snapshots.clone(), told: Arc::default() };
    threads.bridge(params.snapshots, params.notices, Arc::clone(&facts.told), events.clone())?;
    let session = Session::enter(tty.clone())?;
    threads.watchdog(tty.clone())?;
    threads.input(events)?;

    let mut model = Model { size: tty.size(), keys: params.keys, ..Model::default() };
    model.themes = themes;
    model.state.theme = theme;
    model.calling = params.calling;
    model.mouse_garbled = params.mouse_garbled;
    model.state.mouse = params.mouse && !params.mouse_garbled;
    if model.state.mouse {
        session.set_mouse(true)?;
    }
    let mut ui = Ui::new(model, tty.clone(), render, params.port, facts, params.clock)?;
    threads.spawn("ui", move |reports| {
        let result = serve(&mut ui, &session, &tty, &inbox);
        drop(session);
        let _ = reports.send(Report::Done(lost_terminal(result, &tty)));
    })?;

    let result = match done.recv() {
        Ok(Report::Done(result)) => result,
        Ok(Report::MustEnd(reason)) => {
            if done.recv_timeout(GRACE).is_err() {
                tracing::warn!(?reason, "the UI thread did not leave in time");
            }
            Ok(reason)
        }
        // Every thread holds a sender; without one there is nobody to wait for.
        Err(mpsc::RecvError) => Ok(ExitReason::EngineStopped),
    };
    session::give_back();
    result
}

/// An error on a terminal that is gone is not the error to tell.
fn lost_terminal(
    result: Result<ExitReason, ConsoleError>,
    tty: &Tty,
) -> Result<ExitReason, ConsoleError> {
    match result {
        Err(ConsoleError::Io(error)) if tty.wait_gone(Duration::ZERO) => {
            tracing::info!(%error, "the terminal is gone");
            Ok(ExitReason::TerminalGone)
        }
        result => result,
    }
}

/// Tells the helpers that they are no longer needed.
#[derive(Clone, Debug, Default)]
struct Over {
    flag: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Over {
    fn guard(self) -> impl Drop {
        struct Guard(Over);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.flag.store(true, Ordering::Relaxed);
                self.0.token.cancel();
            }
        }
        Guard(self)
    }
}

struct Threads {
    reports: Sender<Report>,
    log: Option<PathBuf>,
    over: Over,
}

impl Threads {
    /// Runs `work` on a thread of its own; a panic there ends the console.
    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce(&Sender<Report>) + Send + 'static,
    ) -> io::Result<()> {
        let reports = self.reports.clone();
        let log = self.log.clone();
        let guarded = move || {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(&reports))) {
                let _ = reports.send(Report::Done(Err(panicked(payload.as_ref(), log))));
            }
        };
        thread::Builder::new().name(format!("{THREAD_PREFIX}-{name}")).spawn(guarded)?;
        Ok(())
    }

    /// Facts, notices and signals, from the world of tasks. Returns once signals are heard.
    fn bridge(
        &self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut notices: queue::UnboundedReceiver<Told>,
        told: Arc<AtomicBool>,
        events: Sender<Event>,
    ) -> io::Result<()> {
        let (ready, heard) = mpsc::channel();
        let over = self.over.token.clone();
        self.spawn("bridge", move |reports| {
            let made = tokio::runtime::Builder::new_current_thread().enable_io().build();
            let runtime = match made {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let mut signals = match Signals::listen() {
                    Ok(signals) => signals,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(()));
                loop {
                    let event = tokio::select! {
                        biased;
                        () = over.cancelled() => return,
                        signal = signals.next() => {
                            if let signals::Event::Leave(number) = signal {
                                let _ = reports.send(Report::MustEnd(ExitReason::Signal(number)));
                            }
                            Event::Signal(signal)
                        }
                        Some(told) = notices.recv() => Event::Told(told),
                        changed = snapshots.changed() => match changed {
                            Err(_) => {
                                let _ = events.send(Event::EngineStopped);
                                let _ = reports.send(Report::MustEnd(ExitReason::EngineStopped));
                                return;
                            }
                            Ok(()) if told.swap(true, Ordering::AcqRel) => continue,
                            Ok(()) => Event::Facts,
                        },
                    };
                    // Nobody listens any more once the UI thread has left.
                    if events.send(event).is_err() {
                        return;
                    }
                }
            });
        })?;
        heard.recv().map_err(io::Error::other)?
    }

    fn watchdog(&self, tty: Tty) -> io::Result<()> {
        let over = Arc::clone(&self.over.flag);
        self.spawn("watchdog", move |reports| {
            if watchdog::watch(&tty, &over) {
                let _ = reports.send(Report::MustEnd(ExitReason::TerminalGone));
            }
        })
    }

    fn input(&self, events: Sender<Event>) -> io::Result<()> {
        let over = Arc::clone(&self.over.flag);
        self.spawn("input", move |reports| {
            while !over.load(Ordering::Relaxed) {
                match input::read(ROUND) {
                    Ok(None) => {}
                    Ok(Some(input)) => {
                        if events.send(Event::Input(input)).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        return drop(reports.send(Report::Done(Err(error.into()))));
                    }
                }
            }
        })
    }
}

fn panicked(payload: &(dyn Any + Send), log: Option<PathBuf>) -> ConsoleError {
    ConsoleError::Panicked { what: clean(session::message(payload)).into_owned(), log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_log_and_carries_no_escape() {
        let payload: Box<dyn Any + Send> = Box::new("bad \u{1b}[2J".to_owned());
        let error = panicked(payload.as_ref(), Some("/state/howdah.log".into()));
        assert_eq!(
            error.to_string(),
            "the console failed: bad ^[[2J; the log is /state/howdah.log"
        );
    }
}
