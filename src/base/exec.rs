//! Runs a tool: in a process group of its own, with its messages read line by line, and an end that can be
//! wished for.
//!
//! A tool that is cancelled gets SIGINT, then SIGTERM, then SIGKILL, each to its whole group: `pg_dump -j`
//! and `pg_basebackup -X stream` leave children behind when only they themselves are killed.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{self, BufRead, BufReader, Read},
    os::unix::{
        ffi::OsStrExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    cancel::Cancel,
    clock::{Clock, Stamp},
    secret::Secret,
    text::Text,
};

/// How long a cancelled tool may take after SIGINT, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How often a running tool is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a tool that has closed its messages usually takes until it has ended.
const LAST_BREATH: Duration = Duration::from_millis(1);
/// Lines of a tool's messages that are kept for an error.
const KEPT_LINES: usize = 200;

/// A tool and its arguments, ready to run. It inherits none of the caller's `PG*` variables and speaks
/// English, so that its messages can be recognised.
#[derive(Clone)]
pub struct Tool {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: PathBuf,
    account: Option<(u32, u32)>,
    inherits: bool,
    good: Vec<i32>,
}

impl Tool {
    /// A program by its path, or by its name to be found in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: PathBuf::from("/"),
            account: None,
            inherits: false,
            good: vec![0],
        }
    }

    /// One more argument. Everybody on the machine can read it: never a secret.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// One more variable, with a secret: only this account and root can read a process's environment.
    #[must_use]
    pub fn secret(self, name: &str, value: &Secret) -> Self {
        self.env(name, value.expose())
    }

    /// Where it runs; `/` otherwise.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Runs it as another account (user and group number): only root can.
    #[must_use]
    pub fn as_account(mut self, account: Option<(u32, u32)>) -> Self {
        self.account = account;
        self
    }

    /// It keeps the caller's `PG*` variables and its folder, as howdah called by howdah has to.
    #[must_use]
    pub fn inheriting(mut self) -> Self {
        self.inherits = true;
        self
    }

    /// Exit codes that are no failure; 0 alone otherwise.
    #[must_use]
    pub fn good(mut self, codes: &[i32]) -> Self {
        codes.clone_into(&mut self.good);
        self
    }

    /// The tool's name without its folder.
    pub fn name(&self) -> Text {
        self.program
            .file_name()
            .unwrap_or(self.program.as_os_str())
            .to_string_lossy()
            .as_ref()
            .into()
    }

    /// The command line as a person would type it, for plans and records. Variables are not in it.
    pub fn command_line(&self) -> Text {
        let mut line = quoted(self.program.as_os_str());
        for argument in &self.arguments {
            line.push(' ');
            line += &quoted(argument);
        }
        line.into()
    }

    /// Starts it with its standard output as a pipe (and its standard input, when `feed`). Read the output
    /// to its end, then call [`Running::finish`].
    pub fn start(&self, cancel: &Cancel, feed: bool) -> Result<Running, ExecError> {
        let mut command = Command::new(&self.program);
        if !self.inherits {
            command.current_dir(&self.folder);
            for (name, _) in std::env::vars_os() {
                if name.as_bytes().starts_with(b"PG") {
                    command.env_remove(name);
                }
            }
        }
        command
            .args(&self.arguments)
            .env("LC_ALL", "C")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(if feed { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().map_err(|source| ExecError::NotStarted {
            program: self.program.to_string_lossy().as_ref().into(),
            missing: source.kind() == io::ErrorKind::NotFound,
            source,
        })?;
        let (say, messages) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || read_lines(stderr, &say));
        }
        Ok(Running {
            name: self.name(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            messages,
            waiting: Vec::new(),
            closed: false,
            kept: Vec::new(),
            child,
            cancel: cancel.clone(),
            clock: Clock::system(),
            asked: None,
            ended: None,
            good: self.good.clone(),
        })
    }

    /// Runs it to its end and returns what it printed. `heard` is told each line of its messages.
    ///
    /// # Errors
    /// [`ExecError::Failed`] when it ends with a code that is not a good one.
    pub fn run(&self, cancel: &Cancel, heard: &mut dyn FnMut(&Text)) -> Result<Vec<u8>, ExecError> {
        let (printed, ended) = self.run_out(cancel, heard)?;
        ended.map(|()| printed)
    }

    /// As [`Tool::run`], but what it printed is told of a failed one, too.
    ///
    /// # Errors
    /// When it cannot be started or talked to; how it ended stands beside what it printed.
    pub fn run_out(
        &self,
        cancel: &Cancel,
        heard: &mut dyn FnMut(&Text),
    ) -> Result<(Vec<u8>, Result<(), ExecError>), ExecError> {
        let mut running = self.start(cancel, false)?;
        let mut stdout = running.stdout.take();
        let reader = thread::spawn(move || {
            let mut out = Vec::new();
            stdout.as_mut().map_or(Ok(0), |pipe| pipe.read_to_end(&mut out)).map(|_| out)
        });
        let ended = running.finish(heard);
        // The reader only reads a pipe into memory: it does not panic.
        let printed = reader
            .join()
            .unwrap_or_else(|_| Ok(Vec::new()))
            .map_err(|source| ExecError::Pipe { program: self.name(), source })?;
        Ok((printed, ended))
    }

    /// Runs it and reads what it prints as it comes, here, while another thread looks for its end and for the wish
    /// to stop. Returns what `read` made of it, and how the tool ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn read<T>(
        &self,
        cancel: &Cancel,
        read: impl FnOnce(ChildStdout) -> T,
    ) -> Result<(T, Result<(), ExecError>), ExecError> {
        let mut running = self.start(cancel, false)?;
        let gone =
            || ExecError::Pipe { program: self.name(), source: io::ErrorKind::BrokenPipe.into() };
        let stdout = running.stdout.take().ok_or_else(gone)?;
        thread::scope(|scope| {
            let end = scope.spawn(move || running.finish(&mut |_| {}));
            let made = read(stdout);
            // It waits and signals: it does not panic.
            Ok((made, end.join().unwrap_or_else(|_| Err(gone()))))
        })
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables stay out: PGPASSWORD is among them.
        write!(f, "Tool({})", self.command_line())
    }
}

/// A running tool. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Running {
    name: Text,
    /// What it reads, when it was started so. Drop it to let the tool see the end.
    pub stdin: Option<ChildStdin>,
    /// What it prints.
    pub stdout: Option<ChildStdout>,
    messages: mpsc::Receiver<String>,
    /// Lines that came while its end was waited for, and were not handed over yet.
    waiting: Vec<String>,
    /// It says nothing any more.
    closed: bool,
    kept: Vec<Text>,
    child: Child,
    cancel: Cancel,
    clock: Clock,
    asked: Option<(Signal, Stamp)>,
    ended: Option<ExitStatus>,
    good: Vec<i32>,
}

impl Running {
    /// Its process number, which is also its group's.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Hands over the lines of its messages that came since the last call, without waiting.
    pub fn listen(&mut self, heard: &mut dyn FnMut(&Text)) {
        let waiting = std::mem::take(&mut self.waiting);
        for line in waiting.into_iter().chain(self.messages.try_iter()) {
            let line = Text::from(line);
            heard(&line);
            if self.kept.len() == KEPT_LINES {
                self.kept.remove(0);
            }
            self.kept.push(line);
        }
    }

    /// True once it has ended. Passes the wish to stop on to it, harder each time.
    pub fn ended(&mut self) -> Result<bool, ExecError> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().map_err(|source| self.pipe(source))?;
        }
        if self.ended.is_none() && self.cancel.cancelled() {
            self.press();
        }
        Ok(self.ended.is_some())
    }

    /// Waits a little before it is looked at again, and no longer than until it closes its messages: as a rule
    /// it ends with that.
    pub fn pause(&mut self) {
        if self.closed {
            thread::sleep(LOOK);
            return;
        }
        let began = self.clock.now();
        loop {
            let left = LOOK.saturating_sub(self.clock.now().since(began));
            match self.messages.recv_timeout(left) {
                Ok(line) => self.waiting.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => return,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.closed = true;
                    thread::sleep(LAST_BREATH);
                    return;
                }
            }
        }
    }

    /// Waits for its end. Its output must have been read, or be read meanwhile by another thread.
    ///
    /// # Errors
    /// [`ExecError::Cancelled`] when the end was wished for, [`ExecError::Failed`] with its last messages
    /// when its exit code is not 0.
    pub fn finish(mut self, heard: &mut dyn FnMut(&Text)) -> Result<(), ExecError> {
        drop(self.stdin.take());
        while !self.ended()? {
            self.listen(heard);
            self.pause();
        }
        // What it left behind in its group would hold the pipes open, and sessions on the server.
        self.signal(Signal::KILL);
        while let Ok(line) = self.messages.recv_timeout(GRACE) {
            self.waiting.push(line);
        }
        self.listen(heard);
        let Some(status) = self.ended else { return Ok(()) };
        if status.code().is_some_and(|code| self.good.contains(&code)) {
            return Ok(());
        }
        if self.asked.is_some() {
            return Err(ExecError::Cancelled { program: self.name.clone() });
        }
        Err(ExecError::Failed {
            program: self.name.clone(),
            code: status.code(),
            signal: status.signal(),
            messages: std::mem::take(&mut self.kept),
        })
    }

    /// Ends it now, without waiting for a wish: SIGINT, SIGTERM, SIGKILL.
    pub fn end(&mut self) {
        while matches!(self.ended(), Ok(false)) {
            self.press();
            thread::sleep(LOOK);
        }
    }

    fn press(&mut self) {
        let now = self.clock.now();
        let next = match self.asked {
            None => Signal::INT,
            Some((Signal::INT, at)) if now.since(at) >= GRACE => Signal::TERM,
            Some((Signal::TERM, at)) if now.since(at) >= GRACE => Signal::KILL,
            Some(_) => return,
        };
        self.asked = Some((next, now));
        self.signal(next);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.pid()) {
            // It may have ended by itself in this very moment.
            let _ = kill_process_group(group, signal);
        }
    }

    fn pipe(&self, source: io::Error) -> ExecError {
        ExecError::Pipe { program: self.name.clone(), source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            // It was just killed: this does not take long.
            let _ = self.child.wait();
        }
    }
}

/// Tools separate progress reports by carriage returns when they think that a person looks on.
fn read_lines(stderr: impl Read, say: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0) {
        for part in line.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|part| !part.is_empty())
        {
            if say.send(String::from_utf8_lossy(part).into_owned()).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// A word as a shell would have to be given it.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It could not be started.
    #[error("cannot run '{program}': {source}")]
    NotStarted {
        /// Its path or name.
        program: Text,
        /// There is no such program.
        missing: bool,
        /// What the system said.
        source: io::Error,
    },
    /// Its pipes broke, or it cannot be waited for.
    #[error("'{program}' cannot be talked to: {source}")]
    Pipe {
        /// Its name.
        program: Text,
        /// What the system said.
        source: io::Error,
    },
    /// It ended because its end was wished for.
    #[error("{program} was cancelled")]
    Cancelled {
        /// Its name.
        program: Text,
    },
    /// It ended with a code that means failure, or by a signal.
    #[error("{program} failed ({}): {}", ending(*code, *signal), last(messages))]
    Failed {
        /// Its name.
        program: Text,
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its last messages, oldest first.
        messages: Vec<Text>,
    },
}

fn ending(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// The messages that tell most: those that call themselves errors, else the last few.
fn last(messages: &[Text]) -> String {
    let bad = |m: &&Text| m.contains("error:") || m.contains("FATAL") || m.contains("ERROR");
    let mut told: Vec<&str> = messages.iter().filter(bad).map(Text::as_str).collect();
    if told.is_empty() {
        told = messages.iter().rev().take(3).rev().map(Text::as_str).collect();
    }
    if told.is_empty() {
        return "it said nothing".to_owned();
    }
    told.truncate(3);
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::new("sh").args(["-c", script])
    }

    fn run(tool: &Tool, cancel: &Cancel) -> (Result<Vec<u8>, ExecError>, Vec<String>) {
        let mut heard = Vec::new();
        let result = tool.run(cancel, &mut |line| heard.push(line.to_string()));
        (result, heard)
    }

    #[test]
    fn output_and_messages_are_kept_apart() {
        let (out, heard) = run(&shell("echo out; printf 'a\\rb\\n\\033[31m' >&2"), &Cancel::new());
        assert_eq!(out.expect("ran"), b"out\n");
        assert_eq!(heard, ["a", "b", "^[[31m"], "control characters are made visible");
    }

    #[test]
    fn a_tool_that_closes_its_messages_is_waited_for_all_the_same() {
        let (out, heard) =
            run(&shell("echo said >&2; exec 2>&-; sleep 0.1; echo out"), &Cancel::new());
        assert_eq!(out.expect("ran"), b"out\n");
        assert_eq!(heard, ["said"]);
    }

    #[test]
    fn a_tool_that_is_silent_while_it_is_read_hears_the_wish_to_stop() {
        let cancel = Cancel::new();
        let read = shell("echo one; exec sleep 60").read(&cancel, |stdout| {
            let mut lines = BufReader::new(stdout).lines();
            let first = lines.next().and_then(Result::ok);
            cancel.cancel();
            (first, lines.count())
        });
        let (heard, ended) = read.expect("started");
        assert_eq!(heard, (Some("one".to_owned()), 0));
        assert!(matches!(ended, Err(ExecError::Cancelled { .. })), "{ended:?}");
        let (heard, ended) =
            shell("echo two; exit 3").read(&Cancel::new(), io::read_to_string).expect("started");
        assert_eq!(heard.expect("read"), "two\n");
        assert!(matches!(ended, Err(ExecError::Failed { code: Some(3), .. })), "{ended:?}");
    }

    #[test]
    fn a_failure_tells_what_the_tool_said() {
        let (result, _) =
            run(&shell("echo fine >&2; echo 'x: error: no space' >&2; exit 3"), &Cancel::new());
        let error = result.expect_err("failed").to_string();
        assert_eq!(error, "sh failed (exit code 3): x: error: no space");
        let missing = Tool::new("/nowhere/pg_dump").run(&Cancel::new(), &mut |_| {});
        assert!(matches!(missing, Err(ExecError::NotStarted { missing: true, .. })));
    }

    #[test]
    fn a_wish_to_stop_ends_the_whole_group() {
        let cancel = Cancel::new();
        let mut running = shell("sleep 60 & echo $!; wait").start(&cancel, false).expect("started");
        let mut line = String::new();
        let stdout = running.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a process number");
        let child: i32 = line.trim().parse().expect("a number");
        cancel.cancel();
        let error = running.finish(&mut |_| {}).expect_err("cancelled");
        assert!(matches!(error, ExecError::Cancelled { .. }), "{error}");
        assert!(crate::base::process::wait_gone(&[child], Duration::from_secs(5)));
    }

    #[test]
    fn a_tool_that_ignores_the_wish_is_pressed_harder() {
        let mut running =
            shell("trap '' INT TERM; sleep 60").start(&Cancel::new(), false).expect("started");
        running.asked = Some((Signal::TERM, Clock::system().now().minus(GRACE)));
        running.end();
        assert!(running.ended().expect("looked at"));
    }

    #[test]
    fn the_command_line_can_be_typed_and_holds_no_variable() {
        let tool = Tool::new("/usr/bin/pg_dump")
            .args(["-f", "a b'c"])
            .secret("PGPASSWORD", &Secret::new("hush"));
        assert_eq!(&*tool.command_line(), r"/usr/bin/pg_dump -f 'a b'\''c'");
        assert!(!format!("{tool:?}").contains("hush"));
        let (out, _) = run(
            &shell("echo $PGPASSWORD").secret("PGPASSWORD", &Secret::new("hush")),
            &Cancel::new(),
        );
        assert_eq!(out.expect("ran"), b"hush\n");
    }
}
