//! Starts a job.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    Card, JobError, JobId, Jobs, State, error,
    room::{CARD, LOG},
    state::Here,
};
use crate::base::{
    ledger::{Target, Who},
    paths::{private_file, private_folder},
    process,
    secret::mask,
    text::Text,
};

/// A job to be started.
#[derive(Clone, Debug)]
pub struct JobSpec {
    what: Text,
    arguments: Vec<OsString>,
    target: Option<Target>,
    why: Option<Text>,
    tag: Option<Text>,
    who: Who,
}

impl JobSpec {
    /// What it does (the ledger's dotted word) and the words that this program is started with again.
    pub fn new(what: impl Into<Text>, arguments: Vec<OsString>, who: Who) -> Self {
        Self { what: what.into(), arguments, target: None, why: None, tag: None, who }
    }

    /// On what.
    #[must_use]
    pub fn on(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Why, as the person said.
    #[must_use]
    pub fn because(self, why: &str) -> Self {
        Self { why: Some(Text::one_line(&mask(why))), ..self }
    }

    /// With a word that it can be found by.
    #[must_use]
    pub fn tagged(self, tag: &str) -> Self {
        Self { tag: Some(Text::one_line(tag)), ..self }
    }
}

/// How long the new process may take to say that it runs, on a machine that is in trouble.
const BEGINNING: Duration = Duration::from_secs(20);

impl Jobs {
    /// Starts this program again as `howdah --job ID` and the words of `spec`, in the present folder and
    /// environment. When this returns, the job has left our session: neither the end of the terminal nor
    /// ours touches it.
    pub fn spawn(&self, spec: &JobSpec) -> Result<JobId, JobError> {
        let program = env::current_exe().map_err(error::io("this program".as_ref()))?;
        self.spawn_program(spec, &program)
    }

    /// As [`Jobs::spawn`] with howdah's program where that is not this one.
    pub fn spawn_program(&self, spec: &JobSpec, program: &Path) -> Result<JobId, JobError> {
        self.spawn_with(spec, |id| {
            let mut command = Command::new(program);
            command.arg("--job").arg(id.as_str()).args(&spec.arguments);
            command
        })
    }

    /// As [`Jobs::spawn`] with another program, which must call [`Jobs::enter`] with the given name.
    pub fn spawn_with(
        &self,
        spec: &JobSpec,
        command: impl FnOnce(&JobId) -> Command,
    ) -> Result<JobId, JobError> {
        let id = self.describe(spec)?;
        let log_path = self.path(&id, LOG);
        let child = private_file(&log_path).and_then(|log| {
            let mut command = command(&id);
            // What ends the group of whoever looks on at a terminal must not end a job that is about to begin.
            command.process_group(0);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            command.spawn()
        });
        let begun = child.map_err(error::io(&log_path)).and_then(|child| self.wait(&id, child));
        if begun.is_err() {
            // Nothing was begun, so nothing is left but this folder; the error says what the log says.
            let _ = fs::remove_dir_all(self.folder.join(id.as_str()));
        }
        begun.map(|()| id)
    }

    fn describe(&self, spec: &JobSpec) -> Result<JobId, JobError> {
        private_folder(&self.folder).map_err(error::io(&self.folder))?;
        let started = self.clock.wall();
        let Here { host, boot } = Here::now();
        let id = loop {
            let id = JobId::new(started);
            let folder = self.folder.join(id.as_str());
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => break id,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error::io(&folder)(error)),
            }
        };
        let words = |words: &OsString| Text::one_line(&mask(&words.to_string_lossy()));
        let folder = env::current_dir().unwrap_or_default();
        let card = Card {
            what: spec.what.clone(),
            arguments: spec.arguments.iter().map(words).collect(),
            folder: folder.to_string_lossy().as_ref().into(),
            target: spec.target.clone(),
            why: spec.why.clone(),
            tag: spec.tag.clone(),
            who: spec.who.clone(),
            host,
            started,
            boot,
            process: None,
        };
        self.write(&id, CARD, &card)?;
        Ok(id)
    }

    /// Waits until the job has said that it runs.
    fn wait(&self, id: &JobId, mut child: Child) -> Result<(), JobError> {
        let mut ended = false;
        let mut begun = false;
        process::wait_until(BEGINNING, || {
            ended = child.try_wait().is_ok_and(|status| status.is_some());
            begun = self.state(id).is_ok_and(|state| state != State::Starting);
            begun || ended
        });
        if !begun {
            // It may still get there; nobody would know of it.
            let _ = child.kill();
            let _ = child.wait();
            let said = fs::read(self.path(id, LOG)).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().next_back().unwrap_or("it said nothing");
            return Err(JobError::NotBegun { said: Text::one_line(last) });
        }
        // Collected when it ends while we still run; otherwise the system does that.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}
