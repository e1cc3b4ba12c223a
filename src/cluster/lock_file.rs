//! `postmaster.pid` and the lock files of sockets, which begin alike: one line each for the process, the data folder,
//! the start, the port, the sockets' folder, the address, the shared memory and the status (PostgreSQL's miscadmin.h,
//! `LOCK_FILE_LINE_*`). A server writes them one by one while it starts, and a killed one leaves them behind.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Its name in a data folder.
const NAME: &str = "postmaster.pid";

/// What stands in one: the word of a server that may be gone by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// The postmaster's process number.
    pub pid: i32,
    /// Its data folder.
    pub data: PathBuf,
    /// Its port, once that is known.
    pub port: Option<u16>,
    /// The number of the small System V segment that keeps two postmasters out of one data folder.
    pub shared_memory: Option<u64>,
    /// `starting`, `stopping`, `ready` or `standby`.
    pub status: Option<String>,
}

impl LockFile {
    /// That of a data folder.
    pub fn in_folder(data: &Path) -> Option<Self> {
        Self::read(&data.join(NAME))
    }

    /// One by its path. None when it is not there or has no process number.
    pub fn read(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok()?;
        let data = lines.next().unwrap_or_default().into();
        let port = lines.nth(1).and_then(|port| port.parse().ok());
        let memory = lines.nth(2).and_then(|line| line.split_whitespace().nth(1));
        let shared_memory = memory.and_then(|number| number.parse().ok());
        let status = lines.next().map(str::to_owned);
        Some(Self { pid, data, port, shared_memory, status })
    }

    /// True when that process says that it takes connections.
    pub fn accepts(&self, pid: i32) -> bool {
        self.pid == pid && matches!(self.status.as_deref(), Some("ready" | "standby"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_far_as_they_are_written() {
        let whole =
            "812\n/srv/my data\n1764282000\n5433\n/tmp\nlocalhost\n   65 98304   \nready   \n";
        let file = LockFile::parse(whole).expect("whole");
        assert_eq!((file.pid, file.port, file.shared_memory), (812, Some(5433), Some(98304)));
        assert_eq!(file.data, Path::new("/srv/my data"));
        assert!(file.accepts(812) && !file.accepts(813));
        let begun = LockFile::parse("812\n/srv/data\n1764282000\n").expect("begun");
        assert_eq!((begun.pid, begun.port, begun.status.as_deref()), (812, None, None));
        assert!(!begun.accepts(812));
        assert_eq!(LockFile::parse("812").map(|file| file.pid), Some(812));
        assert_eq!(LockFile::parse(""), None);
        assert_eq!(LockFile::parse("no number\n"), None);
    }
}
