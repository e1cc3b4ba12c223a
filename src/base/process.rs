//! What runs on this machine, as far as we must know: read from `/proc` where there is one,
//! else from `ps`.

use std::{fs, path::Path, process::Command, time::Duration};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde::{Deserialize, Serialize};

use super::clock::Clock;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// When it started, in words of the system's own: with `pid` it tells a process from a later one
    /// with the same number.
    pub started: String,
    /// Its state letter: `R`, `S`, `T` (stopped), `Z` (dead, not yet reaped), ...
    pub state: char,
    /// Its command line, arguments separated by blanks.
    pub command: String,
}

impl Process {
    /// False for a zombie: it runs no more, whoever has not noticed.
    pub fn alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// One certain process: a later one with the same number is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it started, as [`Process::started`].
    pub started: String,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        find(pid).map(|process| Self { pid, started: process.started })
    }

    /// Our own.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id() as i32)
    }

    /// True while that very process runs.
    pub fn alive(&self) -> bool {
        find(self.pid).is_some_and(|p| p.alive() && p.started == self.started)
    }

    /// Sends it a signal; false when it has ended or is not ours.
    pub fn signal(&self, with: Signal) -> bool {
        self.alive() && signal(self.pid, with)
    }
}

/// Which start of the machine this is: numbers and start times of processes are told apart only within
/// one. `None` where the system does not say.
pub fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The name of this machine, as the system has it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Every process that we may see.
pub fn all() -> Vec<Process> {
    if Path::new("/proc/self/stat").exists() { from_proc() } else { from_ps(&["-A"]) }
}

/// The process of that number.
pub fn find(pid: i32) -> Option<Process> {
    if Path::new("/proc/self/stat").exists() {
        read_proc(pid)
    } else {
        from_ps(&["-p", &pid.to_string()]).pop()
    }
}

/// True while the process runs; a zombie does not.
pub fn alive(pid: i32) -> bool {
    find(pid).is_some_and(|process| process.alive())
}

/// The living descendants of `pid`, parents before their children, `pid` not included.
pub fn descendants(pid: i32) -> Vec<i32> {
    let table = all();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(table.iter().filter(|p| p.parent == parent && p.alive()).map(|p| p.pid));
        next += 1;
    }
    found.split_off(1)
}

/// Sends a signal; false when there is no such process or when it is not ours.
pub fn signal(pid: i32, signal: Signal) -> bool {
    // 0 and negative numbers mean whole groups, 1 the system itself: never ours.
    pid > 1 && Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Waits until all of `pids` have ended; false when `limit` passed first.
pub fn wait_gone(pids: &[i32], limit: Duration) -> bool {
    wait_until(limit, || !pids.iter().any(|&pid| alive(pid)))
}

/// Waits until `done`, asking every few milliseconds; false when `limit` passed first.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let clock = Clock::system();
    let end = clock.now().plus(limit);
    loop {
        if done() {
            return true;
        }
        if clock.now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn from_proc() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read_proc)
        .collect()
}

fn read_proc(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&arguments).replace('\0', " ").trim_end().to_owned();
    parse_stat(&stat, command)
}

/// Fields 1, 3, 4 and 22 of proc(5)'s `stat`; the name in field 2 may itself hold blanks and brackets.
fn parse_stat(stat: &str, command: String) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: (*fields.get(19)?).to_owned(),
        command,
    })
}

fn from_ps(selection: &[&str]) -> Vec<Process> {
    let listing = Command::new("ps")
        .args(selection)
        .args(["-ww", "-o", "pid=,ppid=,stat=,lstart=,command="])
        .env("LC_ALL", "C")
        .output();
    let Ok(listing) = listing else { return Vec::new() };
    String::from_utf8_lossy(&listing.stdout).lines().filter_map(parse_ps).collect()
}

/// `pid ppid stat`, five words of start time (`Mon Nov 23 19:20:10 2026`), and the command.
fn parse_ps(line: &str) -> Option<Process> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(Process {
        pid: words.first()?.parse().ok()?,
        parent: words.get(1)?.parse().ok()?,
        state: words.get(2)?.chars().next()?,
        started: words.get(3..8)?.join(" "),
        command: words.get(8..)?.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_read() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        let process = parse_stat(stat, "x".into()).expect("parsed");
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'S'));
        assert_eq!(process.started, "98765");
    }

    #[test]
    fn a_line_of_ps_is_read() {
        let line = "  501     1 Ss   Mon Nov 23 19:20:10 2026 /usr/bin/postgres -D /tmp/x";
        let process = parse_ps(line).expect("parsed");
        assert_eq!((process.pid, process.parent, process.state), (501, 1, 'S'));
        assert_eq!(process.started, "Mon Nov 23 19:20:10 2026");
        assert_eq!(process.command, "/usr/bin/postgres -D /tmp/x");
    }

    #[test]
    fn a_child_is_a_descendant_until_it_ends_even_unreaped() {
        let own = std::process::id() as i32;
        let mut child =
            Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().expect("sleep");
        let pid = child.id() as i32;
        assert!(descendants(own).contains(&pid));
        assert!(signal(pid, Signal::KILL));
        assert!(wait_gone(&[pid], Duration::from_secs(5)), "a zombie counts as gone");
        assert!(!descendants(own).contains(&pid));
        child.wait().expect("reaped");
    }

    #[test]
    fn a_later_process_with_the_same_number_is_another() {
        let own = Identity::own().expect("we run");
        assert!(own.alive());
        let earlier = Identity { started: "long ago".into(), ..own };
        assert!(!earlier.alive());
        assert!(!earlier.signal(Signal::KILL), "or this test would end here");
    }

    #[test]
    fn groups_and_init_are_never_signalled() {
        for pid in [-1, 0, 1] {
            assert!(!signal(pid, Signal::CONT));
        }
    }
}
