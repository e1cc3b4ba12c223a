//! A demo application as its owner sees it: a child process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    base::{process::Identity, secret::Secret},
    cluster::{guard, server::HOST},
    sandbox::{SandboxError, running::Endpoint},
};

/// The hidden subcommand under which the binary becomes a demo application.
pub const SUBCOMMAND: &str = "demo-app";
/// How long it may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What an application is told on its standard input, secrets written out: a pipe that nobody else
/// can read, unlike an argument list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppOptions {
    /// Its name.
    pub name: String,
    /// Where its database is, without the password.
    pub conninfo: String,
    /// The password.
    #[serde(serialize_with = "exposed")]
    pub password: Secret,
    /// Connections in its pool at most.
    pub pool_size: usize,
    /// Transactions a second, on average; 0 for none.
    pub rate: f64,
    /// The socket file at which its circuit breaker is controlled.
    pub control: PathBuf,
    /// What it wants to see before it gets itself into trouble.
    #[serde(serialize_with = "exposed")]
    pub token: Secret,
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// What an application says on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    pub(super) port: u16,
}

/// A running application. Dropping it ends it.
#[derive(Debug)]
pub struct AppProcess {
    name: String,
    child: Child,
    // It lives as long as this is open.
    pipe: Option<ChildStdin>,
    said: Option<ChildStdout>,
    identity: Option<Identity>,
}

impl AppProcess {
    /// Starts `program` (this binary) as a demo application that writes its complaints to `log`.
    pub fn start(program: &Path, options: &AppOptions, log: Stdio) -> Result<Self, SandboxError> {
        let name = options.name.clone();
        let failed = || SandboxError::io(format!("cannot start the demo application {name}"));
        let mut line = serde_json::to_string(options).map_err(|error| failed()(error.into()))?;
        line.push('\n');
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed())?;
        let (mut pipe, said) = (child.stdin.take(), child.stdout.take());
        let told = pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(line.as_bytes()));
        let identity = Identity::of(child.id() as i32);
        // Owned before anything can fail, so that it is ended then.
        let app = Self { name: name.clone(), child, pipe, said, identity };
        told.map_err(failed())?;
        Ok(app)
    }

    /// The process, unless it ended at once.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.clone()
    }

    /// Waits until the application says where it serves its metrics.
    pub fn endpoint(&mut self) -> Result<Endpoint, SandboxError> {
        let failed = |why: &str| SandboxError::App { name: self.name.clone(), why: why.into() };
        let said = self.said.take().ok_or_else(|| failed("it was asked before"))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // One short line; what else it might write is not for us.
            let read = BufReader::new(said.take(1024)).read_line(&mut line);
            // Nobody waits any more: then nobody needs the answer.
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver
            .recv_timeout(START_LIMIT)
            .map_err(|_| failed("it does not say where it listens"))?
            .map_err(|error| failed(&error.to_string()))?;
        let Listening { port } = serde_json::from_str(&line)
            .map_err(|_| failed("it ended at once; its log in the sandbox folder tells why"))?;
        let url = format!("http://{HOST}:{port}/metrics");
        Ok(Endpoint { name: self.name.clone(), url })
    }
}

impl Drop for AppProcess {
    fn drop(&mut self) {
        // The end of its input ends it; who does not hear is killed.
        drop(self.pipe.take());
        if let Some(identity) = &self.identity {
            guard::end_processes(std::slice::from_ref(identity));
        }
        // Collected already: then there is nothing to do.
        let _ = self.child.wait();
    }
}
