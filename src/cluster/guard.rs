//! The guard: a child process that outlives its owner just long enough to put everything away.
//!
//! A console that is killed cannot clean up. The guard holds one end of a pipe whose other end only
//! the owner has; when the owner is gone, for whatever reason, the kernel closes it, and the guard ends
//! the demo applications and the server and removes the folder.

use std::{
    fs,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{ClusterError, folder::PREFIX, server};
use crate::base::process::{self, Identity, Signal};

/// The hidden subcommand under which the binary becomes a guard.
pub const SUBCOMMAND: &str = "sandbox-guard";
/// How long applications may take to end by themselves: their own pipe is closed, too.
const GRACE: Duration = Duration::from_secs(1);

/// What a guard is told, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// A sandbox folder, with the server in it.
    Folder(PathBuf),
    /// A server to end; its folder stays.
    Server(PathBuf),
    /// A file that stands elsewhere.
    File(PathBuf),
    /// A process to end.
    Process(Identity),
    /// Leave everything as it is, and go.
    Release,
}

/// A running guard, as its owner sees it. Dropping it is the same as dying: it puts away what it was told.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts `program` (this binary) as a guard.
    pub fn start(program: &Path) -> Result<Self, ClusterError> {
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .current_dir("/")
            // A group of its own: what the terminal sends to the owner's is not meant for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ClusterError::io(format!("cannot run {}", program.display())))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Has it put away a sandbox folder and the server in it.
    pub fn folder(&mut self, path: &Path) -> Result<(), ClusterError> {
        self.order(&Order::Folder(path.to_owned()))
    }

    /// Has it end the server that works in a folder, or in the folder's `data`, and leave the folder.
    pub fn server(&mut self, path: &Path) -> Result<(), ClusterError> {
        self.order(&Order::Server(path.to_owned()))
    }

    /// Has it remove a file.
    pub fn file(&mut self, path: &Path) -> Result<(), ClusterError> {
        self.order(&Order::File(path.to_owned()))
    }

    /// Has it end a process.
    pub fn process(&mut self, process: Identity) -> Result<(), ClusterError> {
        self.order(&Order::Process(process))
    }

    /// Sends it away: everything stays as it is.
    pub fn release(mut self) -> Result<(), ClusterError> {
        self.order(&Order::Release)
    }

    fn order(&mut self, order: &Order) -> Result<(), ClusterError> {
        let lost = || ClusterError::io("the sandbox's guard is gone");
        let pipe = self.pipe.as_mut().ok_or(io::Error::from(io::ErrorKind::BrokenPipe));
        let mut line = serde_json::to_string(order).map_err(io::Error::from).map_err(lost())?;
        line.push('\n');
        pipe.and_then(|pipe| pipe.write_all(line.as_bytes())).map_err(lost())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It ends by itself once everything is away. A failure means that it was collected already.
        let _ = self.child.wait();
    }
}

/// What the guard process does: reads orders until its owner is gone, then puts everything away.
pub fn guard_main() -> ExitCode {
    // Signals that end a session or a terminal must not end the guard before its work is done.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
        return ExitCode::FAILURE;
    };
    let entered = runtime.enter();
    let ignored = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::quit(),
        SignalKind::pipe(),
    ]
    .map(signal);
    drop(entered);

    let mut duties = Duties::default();
    for line in io::stdin().lock().lines() {
        match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
            Some(Order::Release) => return ExitCode::SUCCESS,
            Some(order) => duties.add(order),
            // The owner writes nothing else: a torn line means that it died while writing.
            None => break,
        }
    }
    duties.put_away();
    drop(ignored);
    ExitCode::SUCCESS
}

#[derive(Debug, Default)]
struct Duties {
    folders: Vec<PathBuf>,
    servers: Vec<PathBuf>,
    files: Vec<PathBuf>,
    processes: Vec<Identity>,
}

impl Duties {
    fn add(&mut self, order: Order) {
        match order {
            Order::Folder(path) => self.folders.push(path),
            Order::Server(path) => self.servers.push(path),
            Order::File(path) => self.files.push(path),
            Order::Process(process) => self.processes.push(process),
            Order::Release => {}
        }
    }

    fn put_away(&self) {
        end_processes(&self.processes);
        self.servers.iter().for_each(|folder| server::end_all(folder));
        self.folders.iter().for_each(|folder| remove_sandbox(folder));
        for file in &self.files {
            // The owner may have removed it already.
            let _ = fs::remove_file(file);
        }
    }
}

/// Ends processes that should be ending by themselves: waits a second, then kills.
pub fn end_processes(processes: &[Identity]) {
    for process in processes {
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
    }
    let gone = || !processes.iter().any(Identity::alive);
    if !process::wait_until(GRACE, gone) {
        for process in processes {
            process.signal(Signal::KILL);
        }
        process::wait_until(GRACE, gone);
    }
}

/// Ends the server of a sandbox folder and removes the folder. Refuses what is not named like one.
pub fn remove_sandbox(folder: &Path) {
    let named_right = folder
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(PREFIX) && folder.is_absolute());
    if !named_right {
        return;
    }
    // A program that was just starting may add a file while we remove: once more, then.
    for _ in 0..5 {
        server::end_all(folder);
        unmount_below(folder);
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => return,
        }
    }
}

/// Takes away every file system that is mounted below a sandbox folder.
pub fn unmount_below(folder: &Path) {
    // The fields of proc(5)'s `mounts`: device, place, kind, ... A sandbox's own names hold no blanks.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for place in places.filter(|place| place.starts_with(folder) && *place != folder) {
        #[cfg(target_os = "linux")]
        // Whoever still works in it sees it until he ends; one that is gone already needs nothing.
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_like_a_sandbox_is_removed() {
        let parent = tempfile::tempdir().expect("folder");
        let other = parent.path().join("precious");
        let sandbox = parent.path().join("howdah-abc123");
        for folder in [&other, &sandbox] {
            fs::create_dir(folder).expect("made");
            remove_sandbox(folder);
        }
        assert!(other.exists());
        assert!(!sandbox.exists());
    }

    #[test]
    fn a_process_that_does_not_end_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut line = String::new();
        io::BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("ready");
        let identity = Identity::of(child.id() as i32).expect("alive");
        end_processes(std::slice::from_ref(&identity));
        assert!(!identity.alive());
        child.wait().expect("collected");
    }
}
