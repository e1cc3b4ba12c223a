//! A robot at a real pseudo-terminal: starts a program, reads the screen as a terminal shows it, presses
//! keys, sends signals, waits for conditions.

use std::{
    io::{Read as _, Write},
    num::NonZeroU16,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr},
};
use tempfile::TempDir;

/// How long a wait may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program in a pseudo-terminal.
pub struct Robot {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keyboard: Option<Box<dyn Write + Send>>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    settings_before: String,
    home: TempDir,
}

/// What came out of the program.
#[derive(Default)]
pub struct Seen {
    parser: vt100::Parser,
    /// Every byte so far.
    pub raw: Vec<u8>,
    stop: bool,
    stopped: bool,
}

impl Seen {
    /// The screen as a terminal shows it.
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The words on the screen.
    pub fn text(&self) -> String {
        self.screen().contents()
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
    Instant::now()
}

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("a size above zero")
}

fn pty_size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Robot {
    /// Starts `program` in a terminal of 80x24 cells. `env` is added to a bare environment with a home
    /// folder of its own, so that nothing of the user's is read or written.
    pub fn start(program: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_at((80, 24), program, args, env)
    }

    /// The same in a terminal of that many columns and rows.
    pub fn start_at(
        (columns, rows): (u16, u16),
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let home = tempfile::tempdir().expect("a home folder");
        let pair = native_pty_system().openpty(pty_size(columns, rows)).expect("a pseudo-terminal");
        let settings_before = format!("{:?}", pair.master.get_termios().expect("line settings"));
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for (name, value) in
            [("PATH", env!("PATH")), ("TERM", "xterm-256color"), ("LANG", "C.UTF-8")]
        {
            command.env(name, value);
        }
        command.env("HOME", home.path());
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        let seen = Arc::new((Mutex::new(Seen { parser, ..Seen::default() }), Condvar::new()));
        read_on(pair.master.try_clone_reader().expect("a reader"), Arc::clone(&seen));
        let keyboard = Some(pair.master.take_writer().expect("a writer"));
        Self { child, master: Some(pair.master), keyboard, seen, settings_before, home }
    }

    /// The home folder of the program.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn master(&self) -> &(dyn MasterPty + Send) {
        self.master.as_deref().expect("the terminal is open")
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        let raw = self.child.process_id().expect("a running process");
        Pid::from_raw(raw as i32).expect("a process id")
    }

    /// Types `bytes`.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let keyboard = self.keyboard.as_mut().expect("the terminal is open");
        keyboard.write_all(bytes.as_ref()).expect("typed");
        keyboard.flush().expect("typed");
        self
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// Changes the size of the window.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen.0.lock().expect("not poisoned").parser.set_size(cells(rows), cells(columns));
        self.master().resize(pty_size(columns, rows)).expect("resized");
    }

    /// Looks at what came so far.
    pub fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.0.lock().expect("not poisoned"))
    }

    /// Waits until what came fulfils `condition`; returns how long it took.
    #[track_caller]
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Duration {
        self.wait_within(PATIENCE, what, condition)
    }

    /// The same with another patience.
    #[track_caller]
    pub fn wait_within(
        &self,
        patience: Duration,
        what: &str,
        condition: impl Fn(&Seen) -> bool,
    ) -> Duration {
        let start = now();
        let (seen, changed) = &*self.seen;
        let guard = seen.lock().expect("not poisoned");
        let (guard, timeout) = changed
            .wait_timeout_while(guard, patience, |seen| !condition(seen))
            .expect("not poisoned");
        assert!(!timeout.timed_out(), "waited in vain for {what}; the screen:\n{}", guard.text());
        start.elapsed()
    }

    /// Waits until the words stand on the screen; returns how long it took.
    pub fn wait_for(&self, words: &str) -> Duration {
        self.wait_until(words, |seen| seen.text().contains(words))
    }

    /// Stops reading, as a terminal does that is stuck.
    pub fn stop_reading(&self) {
        self.seen.0.lock().expect("not poisoned").stop = true;
        // The reader notices when a byte comes, whether the program still writes or not.
        let device = self.device();
        rustix::io::write(device, b"\0").expect("written");
        self.wait_until("the reader to stop", |seen| seen.stopped);
    }

    /// Sets the terminal to raw mode from outside, as a shell does for its own line.
    pub fn meddle(&self) {
        let device = self.device();
        let mut settings = tcgetattr(&device).expect("line settings");
        settings.make_raw();
        tcsetattr(&device, OptionalActions::Now, &settings).expect("set");
    }

    fn device(&self) -> OwnedFd {
        let name = self.master().tty_name().expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        rustix::fs::open(name, flags, Mode::empty()).expect("the device")
    }

    /// Reads again after [`Robot::stop_reading`].
    pub fn read_again(&self) {
        {
            let mut seen = self.seen.0.lock().expect("not poisoned");
            (seen.stop, seen.stopped) = (false, false);
        }
        read_on(self.master().try_clone_reader().expect("a reader"), Arc::clone(&self.seen));
    }

    /// Closes the terminal, as a lost connection does. Needs [`Robot::stop_reading`] before.
    ///
    /// The keyboard types a line feed and an end of file when it is dropped, which no lost connection does. The
    /// program is frozen meanwhile, and what it has not read is thrown away.
    pub fn close(&mut self) {
        let pid = self.pid();
        let frozen = kill_process(pid, Signal::STOP).is_ok();
        if frozen && cfg!(target_os = "linux") {
            let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
            wait_until("the program to be frozen", || {
                let stat = std::fs::read_to_string(&stat).unwrap_or_default();
                stat.rsplit_once(')')
                    .is_none_or(|(_, rest)| rest.trim_start().starts_with(['T', 'Z']))
            });
        }
        let device = self.device();
        self.keyboard = None;
        thread::sleep(Duration::from_millis(50));
        let _ = tcflush(&device, QueueSelector::IFlush);
        drop(device);
        self.master = None;
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::CONT);
    }

    /// True while the program runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for the end of the program; its exit code and how long it took.
    pub fn wait_exit(&mut self) -> (u32, Duration) {
        wait_exit(self.child.as_mut())
    }

    /// What the program logged.
    pub fn log(&self) -> String {
        let folder = self.home().join(".local/state/howdah");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
        logs.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    }

    /// True when the line settings are those from before the program started.
    pub fn settings_are_back(&self) -> bool {
        self.settings() == self.settings_before
    }

    fn settings(&self) -> String {
        format!("{:?}", self.master().get_termios().expect("line settings"))
    }

    /// Fails unless the terminal is as it was before the program started.
    pub fn assert_given_back(&self) {
        assert_eq!(self.settings(), self.settings_before, "the line settings differ");
        self.wait_until("the alternate screen to be left", |seen| {
            let raw = String::from_utf8_lossy(&seen.raw);
            let left = raw.rfind("\x1b[?1049l");
            left.is_some() && left > raw.rfind("\x1b[?1049h")
        });
        self.look(|seen| {
            let screen = seen.screen();
            assert!(!screen.hide_cursor(), "the cursor is hidden");
            assert!(!screen.bracketed_paste(), "bracketed paste is on");
            assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
            let raw = String::from_utf8_lossy(&seen.raw);
            for mode in [2026, 1000, 1002, 1003, 1004, 1006, 2004, 1049] {
                assert_mode(&raw, mode, false);
            }
            assert_mode(&raw, 25, true);
        });
    }
}

/// The last word on a private mode must be this one.
fn assert_mode(raw: &str, mode: u16, on: bool) {
    let set = raw.rfind(&format!("\x1b[?{mode}h"));
    let reset = raw.rfind(&format!("\x1b[?{mode}l"));
    assert_eq!(set > reset, on, "mode {mode}");
    assert!(set.is_some() || reset.is_some(), "mode {mode} was never named");
}

/// Waits for the end of a process; its exit code and how long it took.
pub fn wait_exit(child: &mut (dyn Child + Send + Sync)) -> (u32, Duration) {
    let start = now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            assert_eq!(status.signal(), None, "it was killed");
            return (status.exit_code(), now() - start);
        }
        assert!(now() - start < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds; how long that took.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = now();
    while !condition() {
        assert!(now() - start < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
    now() - start
}

fn read_on(mut reader: Box<dyn std::io::Read + Send>, seen: Arc<(Mutex<Seen>, Condvar)>) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            let read = reader.read(&mut chunk).unwrap_or(0);
            let mut guard = seen.0.lock().expect("not poisoned");
            guard.parser.process(&chunk[..read]);
            guard.raw.extend_from_slice(&chunk[..read]);
            let over = read == 0 || guard.stop;
            if over {
                guard.stopped = true;
                drop(reader);
                seen.1.notify_all();
                return;
            }
            seen.1.notify_all();
        }
    });
}

impl Drop for Robot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
