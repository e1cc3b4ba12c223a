//! The postmaster behind a socket or a port of this machine, and what its processes do, as the system tells:
//! also of a server that answers nobody.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lock_file::LockFile;
use crate::base::process::{self, Identity, Process, Signal};

/// Where servers put their sockets when nobody says otherwise: PostgreSQL's own place, and Debian's.
const USUAL: [&str; 2] = ["/tmp", "/var/run/postgresql"];

/// A postmaster of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postmaster {
    /// Its process.
    pub process: Identity,
    /// Its data folder.
    pub data: PathBuf,
    /// Its port.
    pub port: u16,
}

/// What its processes do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The postmaster's own state letter, as `ps` shows it.
    pub state: char,
    /// The processes under it.
    pub children: usize,
    /// Processes that a signal has stopped, the postmaster counted in.
    pub stopped: usize,
    /// Processes that a debugger holds.
    pub traced: usize,
    /// Processes that wait for a disk and cannot be interrupted.
    pub waiting_for_disk: usize,
}

impl Postmaster {
    /// The one that listens on that socket: its lock file, `SOCKET.lock`, tells.
    pub fn behind_socket(socket: &Path) -> Option<Self> {
        let mut lock = socket.as_os_str().to_owned();
        lock.push(".lock");
        Self::of_file(LockFile::read(Path::new(&lock))?)
    }

    /// The one that listens on that TCP port, as far as this account may see it.
    pub fn on_port(port: u16) -> Option<Self> {
        let socket = format!(".s.PGSQL.{port}");
        let usual =
            USUAL.iter().filter_map(|dir| Self::behind_socket(&Path::new(dir).join(&socket)));
        let named = process::all().into_iter().filter(Process::alive).filter_map(|process| {
            let folder = data_folder(&process.command)?;
            Self::of_file(LockFile::in_folder(&folder)?)
        });
        usual.chain(named).find(|found| found.port == port)
    }

    fn of_file(LockFile { pid, data, port, .. }: LockFile) -> Option<Self> {
        let process =
            process::find(pid).filter(|process| process.alive() && is_server(&process.command))?;
        Some(Self { process: Identity { pid, started: process.started }, data, port: port? })
    }

    /// What its processes do; none when it is gone.
    pub fn condition(&self) -> Option<Condition> {
        let postmaster = process::find(self.process.pid)?;
        let family = self.family();
        let count = |state: char| family.iter().filter(|process| process.state == state).count();
        Some(Condition {
            state: postmaster.state,
            children: family.len().saturating_sub(1),
            stopped: count('T'),
            traced: count('t'),
            waiting_for_disk: count('D'),
        })
    }

    /// Lets all go on that a signal has stopped, children first: the postmaster must not see a child as hung.
    /// How many were signalled, and how many could not be.
    pub fn wake(&self) -> (usize, usize) {
        let mut told = (0, 0);
        for process in self.family().iter().rev().filter(|process| process.state == 'T') {
            let identity = Identity { pid: process.pid, started: process.started.clone() };
            if identity.signal(Signal::CONT) {
                told.0 += 1;
            } else {
                told.1 += 1;
            }
        }
        told
    }

    /// The postmaster and all under it, parents first.
    fn family(&self) -> Vec<Process> {
        if !self.process.alive() {
            return Vec::new();
        }
        let mut pids = vec![self.process.pid];
        pids.extend(process::descendants(self.process.pid));
        pids.into_iter().filter_map(process::find).collect()
    }
}

/// A number in an old lock file may belong to anybody by now.
fn is_server(command: &str) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    program.ends_with("postgres") || program.ends_with("postmaster")
}

/// The folder that `-D` names on a server's command line.
fn data_folder(command: &str) -> Option<PathBuf> {
    if !is_server(command) {
        return None;
    }
    let mut words = command.split(' ').skip(1);
    words.find(|word| *word == "-D")?;
    words.next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_of_somebody_else_is_no_postmaster() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = std::process::id();
        let socket = folder.path().join(".s.PGSQL.5432");
        fs::write(
            folder.path().join(".s.PGSQL.5432.lock"),
            format!("{own}\n/data\n1\n5432\n/tmp\n"),
        )
        .expect("written");
        assert_eq!(Postmaster::behind_socket(&socket), None, "this test is no server");
        assert_eq!(Postmaster::behind_socket(&folder.path().join("none")), None);
    }

    #[test]
    fn a_servers_command_line_names_its_folder() {
        let found = data_folder("/usr/lib/postgresql/15/bin/postgres -D /srv/data -c a=b");
        assert_eq!(found, Some(PathBuf::from("/srv/data")));
        assert_eq!(data_folder("/usr/bin/vi -D /srv/data"), None);
        assert_eq!(data_folder("postgres: checkpointer"), None);
    }
}
