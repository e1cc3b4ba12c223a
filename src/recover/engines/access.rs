//! Which engines a target has, and how each is called.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{Engine, Fault, History, Kind, Report, Result, barman, pgbackrest, walg};
use crate::base::{
    cancel::Cancel,
    clock::Clock,
    config::EngineConfig,
    exec::{ExecError, Tool},
    text::Text,
};

/// How long a list may take: a repository may be in a bucket far away.
pub(super) const LIST_LIMIT: Duration = Duration::from_mins(1);
/// How long a check may take. pgBackRest waits up to its `archive-timeout`, a minute, for a segment.
pub(super) const CHECK_LIMIT: Duration = Duration::from_mins(5);
/// No list is longer: a backup takes some hundred bytes of JSON.
const OUTPUT_LIMIT: u64 = 256 << 20;
/// Lines of its messages that are kept.
const KEPT_LINES: usize = 10_000;
/// How often a running engine is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// An account that an engine runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// Its name.
    pub name: Text,
    /// User and group number.
    pub ids: (u32, u32),
    /// Its home folder, where `.pgpass` and keys are looked for.
    pub home: PathBuf,
}

impl RunAs {
    /// An account by its name, as getent(1) knows it.
    fn named(name: &str) -> Result<Self> {
        let unknown = || {
            Fault::new(
                Kind::Config,
                format!("there is no account '{name}' to run a backup engine as"),
            )
            .remedy("set target.NAME.engine_account to the account that owns its repository")
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(unknown());
        }
        let output = Command::new("getent")
            .args(["passwd", name])
            .stdin(Stdio::null())
            .output()
            .map_err(Fault::io("cannot run 'getent'"))?;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let fields: Vec<&str> = line.trim_end().split(':').collect();
        match fields.as_slice() {
            [name, _, uid, gid, _, home, _] => Ok(Self {
                name: (*name).into(),
                ids: (uid.parse().map_err(|_| unknown())?, gid.parse().map_err(|_| unknown())?),
                home: PathBuf::from(home),
            }),
            _ => Err(unknown()),
        }
    }
}

/// The way to one engine of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Which engine.
    pub engine: Engine,
    /// What it calls the target: pgBackRest's stanza, Barman's server. Of WAL-G its configuration file.
    pub name: String,
    /// Its configuration file, if it is not the usual one.
    pub config: Option<PathBuf>,
    /// The account it runs as; none when ours will do.
    pub account: Option<RunAs>,
}

impl Access {
    /// The engines that a target's configuration names, none when it names none.
    ///
    /// # Errors
    /// [`Kind::Config`] when the account that one is to run as does not exist.
    pub fn all(config: &EngineConfig) -> Result<Vec<Self>> {
        let engines = [
            (Engine::PgBackRest, &config.pgbackrest, &config.pgbackrest_config),
            (Engine::Barman, &config.barman, &config.barman_config),
            (Engine::WalG, &config.walg, &config.walg),
        ];
        let mut found = Vec::new();
        for (engine, name, file) in engines {
            let Some(name) = name.clone() else { continue };
            found.push(Self {
                engine,
                name,
                config: file.as_ref().map(PathBuf::from),
                account: account(engine, config.account.as_deref())?,
            });
        }
        Ok(found)
    }

    /// What it keeps.
    pub fn history(&self, cancel: &Cancel) -> Result<History> {
        let mut history = match self.engine {
            Engine::PgBackRest => pgbackrest::history(self, cancel),
            Engine::Barman => barman::history(self, cancel),
            Engine::WalG => walg::history(self, cancel),
            Engine::Howdah => Ok(History::default()),
        }?;
        history.sort();
        Ok(history)
    }

    /// Whether it works now: its own check.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the engine has none, as WAL-G.
    pub fn check(&self, cancel: &Cancel) -> Result<Report> {
        match self.engine {
            Engine::PgBackRest => pgbackrest::check(self, cancel),
            Engine::Barman => barman::check(self, cancel),
            Engine::WalG | Engine::Howdah => {
                let what = format!("{} has no check of its own", self.engine);
                Err(Fault::new(Kind::Unavailable, what).remedy("use `howdah engine verify`"))
            }
        }
    }

    /// Whether what it keeps is still what it wrote: its own verification, read for what it says. It reads
    /// the whole repository and may take hours.
    pub fn verify(&self, cancel: &Cancel) -> Result<Report> {
        match self.engine {
            Engine::PgBackRest => pgbackrest::verify(self, cancel),
            Engine::Barman => barman::verify(self, cancel),
            Engine::WalG => walg::verify(self, cancel),
            Engine::Howdah => {
                let what = "our own backups are verified by `howdah verify`";
                Err(Fault::new(Kind::Usage, what))
            }
        }
    }

    /// A program of the engine, as its account, in `/`.
    pub(super) fn tool(&self, program: &str) -> Tool {
        let tool = Tool::new(program).as_account(self.account.as_ref().map(|account| account.ids));
        match &self.account {
            Some(account) => tool.env("HOME", &account.home).env("USER", &*account.name),
            None => tool,
        }
    }

    /// Runs a tool of the engine to its end, or to its deadline.
    pub(super) fn ask(
        &self,
        tool: &Tool,
        limit: Option<Duration>,
        cancel: &Cancel,
    ) -> Result<Answer> {
        self.ask_aloud(tool, limit, cancel, &mut |_| {})
    }

    /// The same; `heard` is told each line of its messages as it comes.
    pub(super) fn ask_aloud(
        &self,
        tool: &Tool,
        limit: Option<Duration>,
        cancel: &Cancel,
        heard: &mut dyn FnMut(&Text),
    ) -> Result<Answer> {
        let clock = Clock::system();
        let until = limit.map(|limit| clock.now().plus(limit));
        let mut running = tool.start(cancel, false).map_err(|error| self.fault(error))?;
        let stdout = running.stdout.take();
        let reader = thread::spawn(move || {
            let mut out = Vec::new();
            stdout.map_or(Ok(0), |pipe| pipe.take(OUTPUT_LIMIT).read_to_end(&mut out)).map(|_| out)
        });
        let mut messages = Vec::new();
        let mut heard = |line: &Text| {
            heard(line);
            if messages.len() < KEPT_LINES {
                messages.push(line.clone());
            }
        };
        while !running.ended().map_err(|error| self.fault(error))? {
            running.listen(&mut heard);
            if until.is_some_and(|until| clock.now() > until) {
                running.end();
                let limit = limit.unwrap_or_default().as_secs();
                let what = format!("{} gave no answer within {limit} s", self.engine);
                return Err(Fault::new(Kind::Unavailable, what)
                    .remedy(format!("run it by hand: {}", tool.command_line())));
            }
            thread::sleep(LOOK);
        }
        let code = match running.finish(&mut heard) {
            Ok(()) => 0,
            Err(ExecError::Failed { code: Some(code), .. }) => code,
            Err(error) => return Err(self.fault(error)),
        };
        // The reader only reads a pipe into memory: it does not panic.
        let stdout = reader
            .join()
            .unwrap_or_else(|_| Ok(Vec::new()))
            .map_err(Fault::io(format!("the output of {} is lost", self.engine)))?;
        Ok(Answer { engine: self.engine, command: tool.command_line(), code, stdout, messages })
    }

    fn fault(&self, error: ExecError) -> Fault {
        match error {
            ExecError::NotStarted { missing: true, program, .. } => {
                let what =
                    format!("{} is not installed here: there is no '{program}'", self.engine);
                Fault::new(Kind::Unavailable, what)
                    .remedy(format!("install {}, or run howdah where it is", self.engine))
            }
            ExecError::NotStarted { source, .. } => {
                Fault::io(format!("cannot run {}", self.engine))(source)
            }
            error => error.into(),
        }
    }

    /// The configuration file as an argument of that form.
    pub(super) fn config_argument(&self, form: &str) -> Option<String> {
        let path: &Path = self.config.as_deref()?;
        Some(format!("{form}{}", path.display()))
    }
}

/// The account that an engine runs as: the configured one, else the one that its packages run it as. Only
/// root can become another.
fn account(engine: Engine, configured: Option<&str>) -> Result<Option<RunAs>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let usual = if engine == Engine::Barman { "barman" } else { "postgres" };
    RunAs::named(configured.unwrap_or(usual)).map(Some)
}

/// What an engine answered.
#[derive(Debug)]
pub(super) struct Answer {
    engine: Engine,
    /// The call, as a person would type it.
    pub command: Text,
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// The lines of its messages.
    pub messages: Vec<Text>,
}

impl Answer {
    /// The lines of its messages that are errors, with their continuation; all of them when none says so.
    pub fn errors(&self) -> Vec<Text> {
        let bad = |line: &&Text| line.contains("ERROR");
        let found: Vec<Text> = self.messages.iter().filter(bad).cloned().collect();
        if found.is_empty() { self.messages.clone() } else { found }
    }

    /// The refusal that it is, when its exit code or its messages say so.
    pub fn refusal(&self) -> Option<Fault> {
        if self.code == 0 && !self.messages.iter().any(|line| line.contains("ERROR")) {
            return None;
        }
        let said: Vec<Text> = self.errors();
        let said = said.iter().take(3).map(Text::as_str).collect::<Vec<_>>().join("; ");
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        let what = format!("{} failed (exit code {}): {said}", self.engine, self.code);
        Some(
            Fault::new(Kind::Unavailable, what).remedy(format!("run it by hand: {}", self.command)),
        )
    }
}
