//! A server in a sandbox folder: start, stop, kill, hang, resume, ask.
//!
//! Everything is found from the folder itself, so that a second process (the one that injects an
//! incident, or the guard) can do the same as the one that made the sandbox.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    ClusterError,
    binaries::Binaries,
    folder::{Account, command},
    lock_file::LockFile,
};
use crate::base::{
    process::{self, Signal},
    secret::Secret,
};

/// The superuser of every sandbox cluster.
pub const SUPERUSER: &str = "postgres";
/// The only address that a sandbox listens on.
pub const HOST: &str = "127.0.0.1";
/// Where the settings of a sandbox stand, in its data folder; included last, so that they win.
pub(super) const SETTINGS_FILE: &str = "howdah.conf";
/// What a sandbox is, next to its data folder.
const RECORD_FILE: &str = "sandbox.json";
pub(super) const PASSWORD_FILE: &str = "password";
const LOG_FILE: &str = "log";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How a server is stopped (the modes of `pg_ctl stop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ends every session, writes a checkpoint.
    Fast,
    /// Leaves at once; the next start recovers.
    Immediate,
}

/// The way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Its unix socket.
    Unix,
    /// Loopback TCP.
    Tcp,
}

/// A server in a sandbox folder, running or not.
#[derive(Clone, Debug)]
pub struct Server {
    pub(super) folder: PathBuf,
    pub(super) binaries: Binaries,
    pub(super) account: Option<Account>,
    pub(super) port: u16,
    pub(super) password: Secret,
}

/// [`RECORD_FILE`].
#[derive(Serialize, Deserialize)]
struct Record {
    binaries: PathBuf,
    account: Option<Account>,
    port: u16,
}

impl Server {
    /// The server of an existing sandbox folder.
    pub fn open(folder: &Path) -> Result<Self, ClusterError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path)
                .map_err(ClusterError::io(format!("cannot read {}", path.display())))
        };
        let damaged = |why: String| ClusterError::Damaged {
            what: folder.join(RECORD_FILE).display().to_string(),
            why,
        };
        let record: Record = serde_json::from_str(&read(RECORD_FILE)?)
            .map_err(|error| damaged(error.to_string()))?;
        let binaries = Binaries::at(&record.binaries)
            .ok_or_else(|| damaged(format!("no server in {}", record.binaries.display())))?;
        Ok(Self {
            folder: folder.to_owned(),
            binaries,
            account: record.account,
            port: record.port,
            password: Secret::new(read(PASSWORD_FILE)?.trim()),
        })
    }

    /// Writes down what [`Server::open`] reads.
    pub(super) fn record(&self) -> Result<(), ClusterError> {
        let record = Record {
            binaries: self.binaries.folder().to_owned(),
            account: self.account.clone(),
            port: self.port,
        };
        let path = self.folder.join(RECORD_FILE);
        let text = serde_json::to_string(&record)
            .map_err(|error| ClusterError::io("cannot describe the sandbox")(error.into()))?;
        write_private(&path, &text)
    }

    /// The sandbox folder: `data`, `log`, the unix socket, and what else belongs to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server programs it runs on.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The port, for TCP and as part of the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// A keyword string for libpq and for us, as superuser, without the password.
    pub fn conninfo(&self, via: Via) -> String {
        let host = match via {
            Via::Unix => self.folder.display().to_string(),
            Via::Tcp => HOST.to_owned(),
        };
        let host = host.replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user={SUPERUSER} dbname=postgres sslmode=disable", self.port)
    }

    /// A URL over TCP, as superuser, with the password: for tests and for the environment, never for
    /// an argument list.
    pub fn url(&self) -> Secret {
        let password = self.password.expose();
        Secret::new(format!(
            "postgresql://{SUPERUSER}:{password}@{HOST}:{}/postgres?sslmode=disable",
            self.port
        ))
    }

    /// Settings for the driver, as superuser.
    pub fn settings(&self, via: Via) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        match via {
            Via::Unix => config.host_path(&self.folder),
            Via::Tcp => config.host(HOST),
        };
        config
            .port(self.port)
            .user(SUPERUSER)
            .dbname("postgres")
            .password(self.password.expose())
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        config
    }

    /// The postmaster's process number, while it runs.
    pub fn postmaster(&self) -> Option<i32> {
        let pid = LockFile::in_folder(&self.data_dir())?.pid;
        let process = process::find(pid)?;
        let ours = process.command.contains(&*self.data_dir().to_string_lossy());
        (process.alive() && ours).then_some(pid)
    }

    /// True while a postmaster runs, hung or not.
    pub fn running(&self) -> bool {
        self.postmaster().is_some()
    }

    /// The postmaster and everything under it; empty when it does not run.
    pub fn pids(&self) -> Vec<i32> {
        let Some(postmaster) = self.postmaster() else { return Vec::new() };
        let mut pids = vec![postmaster];
        pids.extend(process::descendants(postmaster));
        pids
    }

    /// Starts the server and waits until it takes connections; nothing when it already runs.
    ///
    /// # Errors
    /// [`ClusterError::PortTaken`] when another program has its port; else what the server logged.
    pub fn start(&self) -> Result<(), ClusterError> {
        if self.running() {
            return Ok(());
        }
        let log_path = self.folder.join(LOG_FILE);
        let cannot = || ClusterError::io(format!("cannot write {}", log_path.display()));
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).mode(0o600).open(&log_path).map_err(cannot())?;
        let before = log.metadata().map_err(cannot())?.len();
        let program = self.binaries.program("postgres");
        let mut child = command(&program, self.account.as_ref(), &self.folder)
            .arg("-D")
            .arg(self.data_dir())
            // A group of its own: Ctrl-C in the terminal is not meant for the server.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot())?)
            .stderr(log)
            .spawn()
            .map_err(ClusterError::io(format!("cannot run {}", program.display())))?;
        let pid = child.id() as i32;
        // Whoever ends the server, its parent must collect it.
        std::thread::Builder::new()
            .name("postmaster-reaper".into())
            .spawn(move || child.wait())
            .map_err(ClusterError::io("cannot start a thread"))?;

        let mut ended = false;
        let ready = process::wait_until(START_LIMIT, || {
            ended = !process::alive(pid);
            ended || self.accepts(pid)
        });
        if ready && !ended {
            return Ok(());
        }
        let said = self.log_from(before);
        if said.contains("Address already in use") {
            return Err(ClusterError::PortTaken(self.port));
        }
        if ended {
            return Err(ClusterError::Failed { program: "postgres".into(), output: said });
        }
        process::signal(pid, Signal::KILL);
        Err(ClusterError::Timeout { what: "starting the server".into(), limit: START_LIMIT })
    }

    fn accepts(&self, pid: i32) -> bool {
        LockFile::in_folder(&self.data_dir()).is_some_and(|file| file.accepts(pid))
    }

    /// Stops the server and waits for its end; a hung one is let go first. Nothing when it does not run.
    pub fn stop(&self, how: Stop) -> Result<(), ClusterError> {
        let Some(postmaster) = self.postmaster() else { return Ok(()) };
        self.resume();
        process::signal(
            postmaster,
            match how {
                Stop::Fast => Signal::INT,
                Stop::Immediate => Signal::QUIT,
            },
        );
        if process::wait_gone(&[postmaster], STOP_LIMIT) {
            Ok(())
        } else {
            Err(ClusterError::Timeout { what: "stopping the server".into(), limit: STOP_LIMIT })
        }
    }

    /// Stops it fast and starts it again.
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.stop(Stop::Fast)?;
        self.start()
    }

    /// Kills the whole server at once, as a power cut or the out-of-memory killer would: SIGKILL to the
    /// postmaster and to everything under it.
    pub fn kill(&self) -> Result<(), ClusterError> {
        let pids = self.pids();
        if pids.is_empty() {
            return Err(ClusterError::NotRunning);
        }
        for &pid in &pids {
            process::signal(pid, Signal::KILL);
        }
        if process::wait_gone(&pids, KILL_LIMIT) {
            Ok(())
        } else {
            Err(ClusterError::Timeout { what: "killing the server".into(), limit: KILL_LIMIT })
        }
    }

    /// Freezes the server (SIGSTOP): connections stay, the kernel still accepts new ones, and nobody
    /// ever answers.
    pub fn hang(&self) -> Result<(), ClusterError> {
        let postmaster = self.postmaster().ok_or(ClusterError::NotRunning)?;
        // First the postmaster, so that no child is added any more.
        process::signal(postmaster, Signal::STOP);
        for pid in process::descendants(postmaster) {
            process::signal(pid, Signal::STOP);
        }
        Ok(())
    }

    /// Lets a frozen server go on (SIGCONT). Nothing when it does not run or was not frozen.
    pub fn resume(&self) {
        for pid in self.pids().into_iter().rev() {
            process::signal(pid, Signal::CONT);
        }
    }

    /// Runs statements with psql as superuser over the unix socket, stops at the first error, and
    /// returns the bare values: columns separated by `|`, rows by line breaks.
    pub fn psql(&self, sql: &str) -> Result<String, ClusterError> {
        let program = self.binaries.program("psql");
        let cannot = || ClusterError::io(format!("cannot run {}", program.display()));
        let mut child = command(&program, None, Path::new("/"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.conninfo(Via::Unix))
            .args(["-f", "-"])
            .env("PGPASSWORD", self.password.expose())
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot())?;
        if let Some(mut stdin) = child.stdin.take() {
            // A psql that could not connect reads nothing: its own message is the better one.
            match stdin.write_all(sql.as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(cannot()(error));
                }
                _ => {}
            }
        }
        let output = child.wait_with_output().map_err(cannot())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
        } else {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(ClusterError::Failed { program: "psql".into(), output })
        }
    }

    /// A shell command that stops it and removes the sandbox folder.
    pub fn stop_command(&self) -> String {
        let quoted = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"));
        let (pg_ctl, data) = (self.binaries.program("pg_ctl"), self.data_dir());
        let stop = format!("{} -D {} -m fast stop", quoted(&pg_ctl), quoted(&data));
        let stop = match &self.account {
            None => stop,
            Some(account) => {
                format!("su -s /bin/sh {} -c \"{stop}\"", account.name)
            }
        };
        format!("{stop}; rm -r {}", quoted(&self.folder))
    }

    /// Changes a server setting for good. A running server reads it at once; some settings need
    /// [`Server::restart`].
    pub fn set(&self, name: &str, value: &str) -> Result<(), ClusterError> {
        let path = self.data_dir().join(SETTINGS_FILE);
        let line = setting(name, value);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(ClusterError::io(format!("cannot write {}", path.display())))?;
        self.reload()
    }

    /// Replaces the host-based authentication rules (`pg_hba.conf`); a running server reads them at once.
    pub fn write_hba(&self, rules: &str) -> Result<(), ClusterError> {
        let path = self.data_dir().join("pg_hba.conf");
        fs::write(&path, rules)
            .map_err(ClusterError::io(format!("cannot write {}", path.display())))?;
        self.reload()
    }

    /// Has a running server read its configuration, and waits until it says that it does.
    pub fn reload(&self) -> Result<(), ClusterError> {
        let Some(postmaster) = self.postmaster() else { return Ok(()) };
        let before = fs::metadata(self.folder.join(LOG_FILE)).map_or(0, |log| log.len());
        process::signal(postmaster, Signal::HUP);
        let heard = || self.log_from(before).contains("reloading configuration files");
        if process::wait_until(KILL_LIMIT, heard) {
            Ok(())
        } else {
            Err(ClusterError::Timeout { what: "reloading".into(), limit: KILL_LIMIT })
        }
    }

    /// The last `lines` lines of the server's log.
    pub fn log_tail(&self, lines: usize) -> String {
        // A log line is seldom longer than 1 kB, and a whole log may be long.
        let length = fs::metadata(self.folder.join(LOG_FILE)).map_or(0, |log| log.len());
        let text = self.log_from(length.saturating_sub(1024 * lines as u64));
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn log_from(&self, offset: u64) -> String {
        let mut bytes = Vec::new();
        // A log that cannot be read has nothing to tell; the caller reports what failed.
        let _ = File::open(self.folder.join(LOG_FILE)).and_then(|mut log| {
            log.seek(SeekFrom::Start(offset))?;
            log.read_to_end(&mut bytes)
        });
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// Ends every server process of a sandbox folder, whatever state it is in, and gives back what the
/// kernel still holds for it. The folder stays.
pub fn end_all(folder: &Path) {
    let mine = || -> Vec<i32> {
        let found = process::all().into_iter().filter(|p| p.alive() && belongs(p, folder));
        found.map(|process| process.pid).collect()
    };
    let shared_memory =
        LockFile::in_folder(&folder.join("data")).and_then(|file| file.shared_memory);
    let pids = mine();
    for &pid in &pids {
        process::signal(pid, Signal::QUIT);
        process::signal(pid, Signal::CONT);
    }
    // An immediate stop takes milliseconds; who needs longer is stuck.
    if !process::wait_gone(&pids, Duration::from_secs(3)) || !mine().is_empty() {
        let left = mine();
        for &pid in &left {
            process::signal(pid, Signal::KILL);
        }
        process::wait_gone(&left, KILL_LIMIT);
    }
    if let Some(id) = shared_memory {
        // Already gone after an orderly end: then ipcrm has nothing to do and says so to nobody.
        let _ = command(Path::new("ipcrm"), None, Path::new("/"))
            .args(["-m", &id.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// True for a server process that works in that folder: the postmaster and initdb name it on their
/// command line, the others stand in it.
fn belongs(process: &process::Process, folder: &Path) -> bool {
    let program = process.command.split_whitespace().next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().trim_end_matches(':');
    matches!(program, "postgres" | "postmaster" | "initdb")
        && (process.command.contains(&*folder.join("data").to_string_lossy())
            || fs::read_link(format!("/proc/{}/cwd", process.pid))
                .is_ok_and(|place| place.starts_with(folder)))
}

/// One line of a configuration file.
pub(super) fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\\', r"\\").replace('\'', "''"))
}

/// Writes a file that only we may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ClusterError::io(format!("cannot write {}", path.display())))
}
