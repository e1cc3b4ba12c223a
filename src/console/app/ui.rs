//! The model and the screen that it is drawn on: takes events, updates, draws.
//!
//! It never waits for the terminal: a frame that the terminal does not take stays pending, no other is
//! begun, and keys, facts and signals go on being answered.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ratatui::{
    Terminal,
    buffer::Buffer,
    layout::{Position, Rect},
};
use tokio::sync::watch;

use super::{
    effects::{self, Effect, Port, Told},
    exit::ExitReason,
    pace::Pace,
    update::{Msg, update},
};
use crate::{
    base::clock::{Clock, Stamp, Timestamp},
    console::{
        model::{Model, Room},
        term::{backend::FrameBackend, input::Input, signals},
    },
    watch::snapshot::Snapshot,
};

/// What is shown ages by the second.
const TICK: Duration = Duration::from_secs(1);
/// How much later than a second after facts the next ones are waited for: they make the frame that shows
/// the next second. One by the clock just before them would be a frame for nothing.
const LATE: Duration = Duration::from_millis(100);
/// How often a terminal that did not take a frame whole is offered the rest.
const RETRY: Duration = Duration::from_millis(20);

/// The moment that a frame shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For ages.
    pub stamp: Stamp,
    /// For people.
    pub wall: Timestamp,
}

/// Draws a frame.
pub type Render = Box<dyn FnMut(&Model, Moment, Rect, &mut Buffer) -> Drawn + Send>;

/// What came of drawing a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// How much it had room for.
    pub room: Room,
    /// Where the cursor of a line being typed stands.
    pub cursor: Option<Position>,
    /// Where the hidden cursor rests: on the selected row, because screen readers follow it.
    pub rest: Option<Position>,
}

/// Something for the UI thread.
#[derive(Debug)]
pub enum Event {
    /// From the terminal.
    Input(Input),
    /// There is a newer snapshot in the channel.
    Facts,
    /// The engine says something.
    Told(Told),
    /// A signal.
    Signal(signals::Event),
    /// The engine is gone: nothing will ever change again.
    EngineStopped,
}

/// The newest snapshot, and whether the UI thread was told of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The channel.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Set by who sends [`Event::Facts`], cleared by who takes it: one event stands for many snapshots.
    pub told: Arc<AtomicBool>,
}

/// What the loop has to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Leave.
    Leave(ExitReason),
    /// Stop by job control.
    Suspend,
    /// The process runs again.
    Continued,
    /// Look up the size of the terminal.
    Measure,
    /// Draw everything again.
    Redraw,
    /// Mouse reports on or off.
    Mouse(bool),
}

/// The model, the screen it is drawn on, and the way to the engine.
pub struct Ui<W: Write> {
    /// What is shown.
    pub model: Model,
    terminal: Terminal<FrameBackend<W>>,
    render: Render,
    port: Box<dyn Port>,
    facts: Facts,
    clock: Clock,
    dirty: bool,
    whole: bool,
    pace: Pace,
    drawn: Option<Stamp>,
    /// Facts have come since the last frame but one: more will.
    fed: bool,
}

impl<W: Write> Ui<W> {
    /// Draws `model` on `out`.
    pub fn new(
        mut model: Model,
        out: W,
        render: Render,
        port: Box<dyn Port>,
        mut facts: Facts,
        clock: Clock,
    ) -> io::Result<Self> {
        let terminal = Terminal::new(FrameBackend::new(out, model.size))?;
        let snapshot = Arc::clone(&facts.snapshots.borrow_and_update());
        model.snapshot = Arc::clone(&snapshot);
        model.latest = snapshot;
        Ok(Self {
            model,
            terminal,
            render,
            port,
            facts,
            clock,
            dirty: true,
            whole: true,
            pace: Pace::default(),
            drawn: None,
            fed: false,
        })
    }

    /// Takes an event; what concerns the terminal or the loop comes back.
    pub fn take(&mut self, event: Event) -> Vec<Wish> {
        let msg = match event {
            Event::Input(Input::Key(key)) => Msg::Key(key),
            Event::Input(Input::Paste(text)) => Msg::Paste(text),
            Event::Input(Input::Wheel(down)) => Msg::Wheel(down),
            Event::Input(Input::Resized) => return vec![Wish::Measure],
            Event::Told(told) => Msg::Told(told),
            Event::Facts => {
                self.facts.told.store(false, Ordering::Release);
                self.fed = true;
                Msg::Snapshot(Arc::clone(&self.facts.snapshots.borrow_and_update()))
            }
            Event::Signal(signals::Event::Leave(number)) => {
                return vec![Wish::Leave(ExitReason::Signal(number))];
            }
            Event::Signal(signals::Event::Stop) => return vec![Wish::Suspend],
            Event::Signal(signals::Event::Continued) => return vec![Wish::Continued],
            Event::EngineStopped => return vec![Wish::Leave(ExitReason::EngineStopped)],
        };
        self.update(msg)
    }

    fn update(&mut self, msg: Msg) -> Vec<Wish> {
        self.dirty = true;
        let effects = update(&mut self.model, msg, self.clock.now());
        effects.into_iter().filter_map(|effect| self.pass(&effect)).collect()
    }

    fn pass(&mut self, effect: &Effect) -> Option<Wish> {
        match effect {
            Effect::Quit => Some(Wish::Leave(ExitReason::Quit)),
            Effect::Redraw => Some(Wish::Redraw),
            Effect::Suspend => Some(Wish::Suspend),
            Effect::Mouse(on) => Some(Wish::Mouse(*on)),
            _ => {
                effects::pass(effect, self.port.as_mut());
                None
            }
        }
    }

    /// How long there is nothing to do unless an event comes.
    pub fn patience(&self) -> Duration {
        if self.terminal.backend().frames().is_pending() {
            return RETRY;
        }
        let now = self.clock.now();
        if self.dirty {
            return self.pace.wait(now);
        }
        let Some(drawn) = self.drawn else { return Duration::ZERO };
        let due = if self.fed { TICK + LATE } else { TICK };
        due.saturating_sub(now.since(drawn))
    }

    /// Draws if something may have changed, the last frame is out, and it is time.
    pub fn draw_if_due(&mut self) -> io::Result<()> {
        self.terminal.backend_mut().frames_mut().resume()?;
        if !self.patience().is_zero() {
            return Ok(());
        }
        if !self.dirty {
            self.fed = false;
            self.update(Msg::Tick);
        }
        self.draw()
    }

    fn draw(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.whole) {
            // Not `clear`: that would ask the terminal where its cursor is.
            let (columns, rows) = self.model.size;
            self.terminal.resize(Rect::new(0, 0, columns, rows))?;
        }
        let moment = Moment { stamp: self.clock.now(), wall: self.clock.wall() };
        let (model, render) = (&self.model, &mut self.render);
        let mut drawn = Drawn::default();
        self.terminal.draw(|frame| {
            let area = frame.area();
            drawn = render(model, moment, area, frame.buffer_mut());
            if let Some(cursor) = drawn.cursor.filter(|at| area.contains(*at)) {
                frame.set_cursor_position(cursor);
            }
        })?;
        if let Some(rest) = drawn.rest.filter(|_| drawn.cursor.is_none()) {
            self.terminal.backend_mut().rest(rest)?;
        }
        self.model.room = drawn.room;
        self.dirty = false;
        self.pace.drawn(moment.stamp);
        self.drawn = Some(moment.stamp);
        self.terminal.backend_mut().frames_mut().commit()
    }

    /// The terminal has this size; everything is drawn again in the next frame.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.terminal.backend_mut().set_size(size);
        self.update(Msg::Resized(size.0, size.1));
        self.redraw();
    }

    /// Others have used the screen, or left it: nothing of what we know of it holds.
    pub fn forget_screen(&mut self) {
        let backend = self.terminal.backend_mut();
        backend.frames_mut().forget();
        backend.cursor_was_hidden();
        self.redraw();
    }

    /// The next frame is drawn whole.
    pub const fn redraw(&mut self) {
        self.dirty = true;
        self.whole = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::text::Text,
        console::{app::pace::FRAME, command, input::keymap::KeySettings, model::GuideWish},
        watch::{silences, snapshot::Target},
    };

    /// A terminal that takes `room` bytes and then no more until it is given more room.
    #[derive(Clone, Default)]
    struct Slow(Arc<std::sync::Mutex<(usize, Vec<u8>)>>);

    impl Slow {
        fn with_room(room: usize) -> Self {
            let slow = Self::default();
            slow.give(room);
            slow
        }

        fn give(&self, room: usize) {
            self.0.lock().expect("not poisoned").0 = room;
        }

        fn got(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().expect("not poisoned").1).into_owned()
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut inner = self.0.lock().expect("not poisoned");
            let taken = bytes.len().min(inner.0);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            inner.0 -= taken;
            inner.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Calls(Arc<std::sync::Mutex<Vec<String>>>);

    impl Port for Calls {
        fn retry_now(&mut self) {
            self.0.lock().expect("not poisoned").push("retry".into());
        }
        fn acknowledge(&mut self, alert: &Text) {
            self.0.lock().expect("not poisoned").push(format!("acknowledge {alert}"));
        }
        fn silence(&mut self, wish: &silences::Wish) {
            self.0.lock().expect("not poisoned").push(format!("silence {}", wish.about()));
        }
        fn end_silence(&mut self, id: &Text) {
            self.0.lock().expect("not poisoned").push(format!("end {id}"));
        }
        fn incident(&mut self, name: &'static str) {
            self.0.lock().expect("not poisoned").push(format!("incident {name}"));
        }
        fn save_theme(&mut self, name: &str) {
            self.0.lock().expect("not poisoned").push(format!("theme {name}"));
        }
        fn guide(&mut self, wish: &GuideWish) {
            self.0.lock().expect("not poisoned").push(format!("guide {wish:?}"));
        }
        fn run(&mut self, words: &[String]) {
            self.0.lock().expect("not poisoned").push(format!("run {}", words.join(" ")));
        }
    }

    struct Bench {
        ui: Ui<Slow>,
        slow: Slow,
        clock: Clock,
        calls: Calls,
        sender: watch::Sender<Arc<Snapshot>>,
    }

    fn bench(room: usize) -> Bench {
        let (sender, snapshots) = watch::channel(named("first"));
        let (slow, clock, calls) = (Slow::with_room(room), Clock::test(), Calls::default());
        let keys = command::keymap(&KeySettings::new()).expect("the presets are sound");
        let model = Model { size: (30, 4), keys, ..Model::default() };
        let render: Render = Box::new(|model, _, _, buffer| {
            buffer.set_string(0, 0, &*model.snapshot.target.name, ratatui::style::Style::new());
            Drawn::default()
        });
        let facts = Facts { snapshots, told: Arc::default() };
        let ui =
            Ui::new(model, slow.clone(), render, Box::new(calls.clone()), facts, clock.clone())
                .expect("made");
        Bench { ui, slow, clock, calls, sender }
    }

    fn named(name: &'static str) -> Arc<Snapshot> {
        let target = Target { name: Text::ours(name), ..Target::default() };
        Arc::new(Snapshot { target, ..Snapshot::default() })
    }

    fn key(text: &str) -> Event {
        Event::Input(Input::Key(text.parse().expect("a key")))
    }

    #[test]
    fn a_terminal_that_stops_taking_bytes_stops_nothing_else() {
        let mut bench = bench(10);
        bench.ui.draw_if_due().expect("a part is sent");
        for name in ["second", "third"] {
            bench.sender.send_replace(named(name));
            assert!(bench.ui.take(Event::Facts).is_empty());
            bench.clock.advance(Duration::from_secs(1));
            bench.ui.draw_if_due().expect("nothing is sent");
        }
        assert_eq!(&*bench.ui.model.snapshot.target.name, "third");
        assert!(bench.ui.take(key("r")).is_empty());
        assert_eq!(*bench.calls.0.lock().expect("not poisoned"), ["retry"]);
        let signal = Event::Signal(signals::Event::Leave(15));
        assert_eq!(bench.ui.take(signal), [Wish::Leave(ExitReason::Signal(15))]);
        assert_eq!(bench.slow.got().len(), 10);

        bench.slow.give(10_000);
        bench.ui.draw_if_due().expect("the rest is sent");
        bench.ui.draw_if_due().expect("and the newest");
        let mut screen = vt100::Parser::default();
        screen.process(bench.slow.got().as_bytes());
        assert_eq!(screen.screen().contents(), "third", "the frame between was never drawn");
        assert!(!bench.slow.got().contains("second"));
    }

    #[test]
    fn an_unchanged_second_sends_nothing() {
        let mut bench = bench(usize::MAX);
        bench.ui.draw_if_due().expect("drawn");
        let first = bench.slow.got().len();
        for _ in 0..5 {
            bench.clock.advance(TICK);
            bench.ui.draw_if_due().expect("drawn");
        }
        assert_eq!(bench.slow.got().len(), first);
        assert_eq!(bench.ui.terminal.backend().frames().counts().frames, 1);
    }

    #[test]
    fn facts_right_after_the_first_frame_do_not_wait_and_a_storm_of_them_does() {
        let mut bench = bench(usize::MAX);
        bench.ui.draw_if_due().expect("drawn");
        bench.sender.send_replace(named("second"));
        bench.ui.take(Event::Facts);
        bench.ui.draw_if_due().expect("drawn");
        assert!(bench.slow.got().contains("second"), "the first facts wait for nothing");

        let frames = |bench: &Bench| bench.ui.terminal.backend().frames().counts().frames;
        let before = frames(&bench);
        for millis in 0..1000 {
            let name = if millis % 2 == 0 { "even" } else { "odd" };
            bench.sender.send_replace(named(name));
            bench.ui.take(Event::Facts);
            bench.ui.draw_if_due().expect("drawn or not yet");
            bench.clock.advance(Duration::from_millis(1));
        }
        let drawn = frames(&bench) - before;
        assert!((25..=32).contains(&drawn), "{drawn} frames a second");
    }

    #[test]
    fn a_redraw_repaints_and_a_resize_follows() {
        let mut bench = bench(usize::MAX);
        bench.ui.draw_if_due().expect("drawn");
        bench.ui.redraw();
        bench.clock.advance(FRAME);
        bench.ui.draw_if_due().expect("drawn");
        assert_eq!(bench.slow.got().matches("first").count(), 2);
        bench.ui.resize((5, 1));
        bench.clock.advance(FRAME);
        bench.ui.draw_if_due().expect("drawn");
        assert_eq!(bench.slow.got().matches("first").count(), 3);
        bench.ui.resize((1, 1));
        bench.clock.advance(FRAME);
        bench.ui.draw_if_due().expect("drawn");
    }

    #[test]
    fn quit_leaves_and_control_z_suspends() {
        let mut bench = bench(usize::MAX);
        assert_eq!(bench.ui.take(key("q")), [Wish::Leave(ExitReason::Quit)]);
        assert_eq!(bench.ui.take(key("ctrl-c")), [Wish::Leave(ExitReason::Quit)]);
        assert_eq!(bench.ui.take(key("ctrl-z")), [Wish::Suspend]);
        assert_eq!(bench.ui.take(key("m")), [Wish::Mouse(true)]);
    }
}
