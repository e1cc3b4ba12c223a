//! What can be done to a running demo, for game days and for tests.

use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    str::FromStr,
    time::Duration,
};

use super::{
    SandboxError, damage,
    running::{DemoHandle, Endpoint, Registry},
};
use crate::{
    base::{secret::Secret, text},
    cluster::Stop,
};

/// An incident, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// An orderly stop of the server.
    Stop,
    /// The whole server killed at once.
    Kill,
    /// The server frozen: it holds its connections and answers nobody.
    Hang,
    /// The server back: let go if it was frozen, started if it was down.
    Resume,
    /// An application that holds all its connections.
    PoolExhausted,
    /// A session that holds a lock which everybody waits for.
    LongLock,
    /// Queries that take long, by themselves.
    SlowQueries,
    /// An archive command that fails.
    ArchiveFails,
    /// An archive command that never ends, and so never fails.
    ArchiveHangs,
    /// One flipped bit in the newest backup.
    CorruptBackup,
    /// One flipped bit in an archived WAL segment.
    CorruptWal,
    /// An archived WAL segment that is gone.
    MissingWal,
    /// A table that somebody dropped.
    DropTable,
    /// A repository without room.
    DiskFull,
    /// Everything undone, but for a dropped table.
    Clear,
}

/// How long an application may take to begin or end an incident.
const APP_LIMIT: Duration = Duration::from_secs(5);

impl Incident {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Stop,
        Self::Kill,
        Self::Hang,
        Self::Resume,
        Self::PoolExhausted,
        Self::LongLock,
        Self::SlowQueries,
        Self::ArchiveFails,
        Self::ArchiveHangs,
        Self::CorruptBackup,
        Self::CorruptWal,
        Self::MissingWal,
        Self::DropTable,
        Self::DiskFull,
        Self::Clear,
    ];

    /// The name by which it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Resume => "resume",
            Self::PoolExhausted => "pool-exhausted",
            Self::LongLock => "long-lock",
            Self::SlowQueries => "slow-queries",
            Self::ArchiveFails => "archive-fails",
            Self::ArchiveHangs => "archive-hangs",
            Self::CorruptBackup => "corrupt-backup",
            Self::CorruptWal => "corrupt-wal",
            Self::MissingWal => "missing-wal",
            Self::DropTable => "drop-table",
            Self::DiskFull => "disk-full",
            Self::Clear => "clear",
        }
    }

    /// What it does, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Stop => "stop the server in good order",
            Self::Kill => "kill the server and all its processes, as a power cut would",
            Self::Hang => "freeze the server: connections stay, nobody answers",
            Self::Resume => "bring the server back: let it go on, or start it",
            Self::PoolExhausted => "let api-2 borrow all its connections and keep them",
            Self::LongLock => "hold a lock that every transaction waits for",
            Self::SlowQueries => "make a part of the load's queries slow",
            Self::ArchiveFails => "let the archive command fail",
            Self::ArchiveHangs => {
                "let the archive command hang: it never fails, and never archives"
            }
            Self::CorruptBackup => "flip one bit in the newest backup",
            Self::CorruptWal => "flip one bit in an archived WAL segment",
            Self::MissingWal => "take an archived WAL segment away",
            Self::DropTable => "drop the table customers; a restore brings it back",
            Self::DiskFull => "fill the repository's disk (needs root on Linux)",
            Self::Clear => "undo every incident, but for a dropped table",
        }
    }

    /// Does it to that demo, and returns when it is done: a stopped server is down, a resumed one
    /// takes connections, an application has begun.
    pub fn inject(self, demo: &DemoHandle) -> Result<(), SandboxError> {
        let server = demo.server()?;
        match self {
            Self::Stop => Ok(server.stop(Stop::Fast)?),
            Self::Kill => Ok(server.kill()?),
            Self::Hang => Ok(server.hang()?),
            Self::Resume => {
                server.resume();
                Ok(server.start()?)
            }
            // The smaller pool, so that the other application shows the difference.
            Self::PoolExhausted => ask(demo.apps.last(), self, &demo.token),
            Self::LongLock => ask(demo.apps.first(), self, &demo.token),
            Self::SlowQueries => {
                demo.apps.iter().try_for_each(|app| ask(Some(app), self, &demo.token))
            }
            Self::ArchiveFails
            | Self::ArchiveHangs
            | Self::CorruptBackup
            | Self::CorruptWal
            | Self::MissingWal
            | Self::DropTable
            | Self::DiskFull => damage::cause(self, &server),
            Self::Clear => {
                server.resume();
                server.start()?;
                damage::undo(&server)?;
                demo.apps.iter().try_for_each(|app| ask(Some(app), self, &demo.token))
            }
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Incident {
    type Err = SandboxError;
    fn from_str(name: &str) -> Result<Self, SandboxError> {
        Self::ALL.into_iter().find(|incident| incident.name() == name).ok_or_else(|| {
            SandboxError::UnknownIncident {
                name: text::clean(name).into_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            }
        })
    }
}

/// Does `incident` to the demo that was started last on this machine by this user.
pub fn inject_running(incident: Incident) -> Result<DemoHandle, SandboxError> {
    let demo = Registry::usual()?.newest()?;
    incident.inject(&demo)?;
    Ok(demo)
}

fn ask(app: Option<&Endpoint>, incident: Incident, token: &Secret) -> Result<(), SandboxError> {
    let app = app.ok_or_else(|| SandboxError::App {
        name: "-".into(),
        why: "this demo runs without applications".into(),
    })?;
    let failed = |why: String| SandboxError::App { name: app.name.clone(), why };
    let answer = post(app, incident, token).map_err(|error| failed(error.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(failed(text::clean(body).into_owned())),
    }
}

/// One HTTP/1.1 request, by hand: an asynchronous client would be a lot of machinery for it.
fn post(app: &Endpoint, incident: Incident, token: &Secret) -> std::io::Result<String> {
    let host = app.url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let address: SocketAddr =
        host.parse().map_err(|_| std::io::Error::other(format!("no address in {}", app.url)))?;
    let mut stream = TcpStream::connect_timeout(&address, APP_LIMIT)?;
    stream.set_read_timeout(Some(APP_LIMIT))?;
    stream.set_write_timeout(Some(APP_LIMIT))?;
    write!(
        stream,
        "POST /incident/{incident} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        token.expose()
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_incident() {
        for incident in Incident::ALL {
            assert_eq!(incident.name().parse::<Incident>().expect("known"), incident);
            assert!(!incident.description().is_empty());
        }
        let error = "hnag\x1b[2J".parse::<Incident>().expect_err("unknown").to_string();
        assert!(error.contains("hang") && !error.contains('\x1b'), "{error}");
    }
}
