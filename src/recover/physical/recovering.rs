//! The server of a restored cluster, from its start to its first write: asked, and not believed.

use std::{
    fs::{self, OpenOptions},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::target::Aim;
use crate::{
    base::{
        clock::Timestamp,
        process::{self, Signal},
        progress::{Observer, Progress},
        text::Text,
    },
    cluster::{
        Binaries, LockFile,
        folder::{Account, command},
    },
    recover::{
        Fault, Kind, Result,
        repository::manifest::{lsn, parse_lsn},
        session::Session,
    },
    resilience::conninfo::{Environment, Settings},
};

/// How often the server is asked.
const LOOK: Duration = Duration::from_millis(10);
/// How long an orderly stop may take before it is hastened.
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// How a restored cluster is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The data folder.
    pub data: PathBuf,
    /// A folder that only the server's account may enter, for socket and log.
    pub private: PathBuf,
    /// The port: of the socket's name, while nobody else may connect.
    pub port: u16,
    /// The account of the server, when that is not ours.
    pub account: Option<Account>,
    /// Its programs.
    pub binaries: Binaries,
    /// Settings of the command line, which win over every file.
    pub settings: Vec<(String, String)>,
    /// Roles that may be superusers, to be tried in order.
    pub roles: Vec<String>,
}

/// A server that we started.
#[derive(Debug)]
pub struct Recovering {
    launch: Launch,
    pid: i32,
    log_from: u64,
}

/// What a server says that it reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// The position up to which WAL was replayed.
    pub lsn: String,
    /// When the last transaction that it replayed ended, by the clock of the server that wrote it.
    pub last_transaction: Option<Timestamp>,
    /// It waits there, and nothing was written yet.
    pub paused: bool,
}

impl Launch {
    /// Settings with which nobody but us gets in, whatever the cluster's own files say.
    pub fn alone(&self, hba: &Path) -> Vec<(String, String)> {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            own("listen_addresses", ""),
            own("port", &self.port.to_string()),
            own("unix_socket_directories", &self.private.to_string_lossy()),
            own("unix_socket_permissions", "0700"),
            own("hba_file", &hba.to_string_lossy()),
            own("ssl", "off"),
            own("logging_collector", "off"),
            own("log_destination", "stderr"),
            own("log_line_prefix", "%m [%p] "),
            own("lc_messages", "C"),
            own("external_pid_file", ""),
            own("archive_mode", "off"),
            own("restart_after_crash", "off"),
        ]
    }

    /// Starts the server.
    pub fn start(self) -> Result<Recovering> {
        let path = self.log();
        let cannot = || Fault::io(format!("cannot write '{}'", path.display()));
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).mode(0o600).open(&path).map_err(cannot())?;
        let log_from = log.metadata().map_err(cannot())?.len();
        let program = self.binaries.program("postgres");
        let mut start = command(&program, self.account.as_ref(), &self.data);
        start.arg("-D").arg(&self.data);
        for (name, value) in &self.settings {
            start.arg("-c").arg(format!("{name}={value}"));
        }
        let mut child = start
            // A group of its own: Ctrl-C in the terminal is not meant for the server.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot())?)
            .stderr(log)
            .spawn()
            .map_err(Fault::io(format!("cannot run '{}'", program.display())))?;
        let pid = child.id() as i32;
        // Whoever ends the server, its parent must collect it.
        thread::spawn(move || child.wait());
        Ok(Recovering { launch: self, pid, log_from })
    }

    /// Where its messages go.
    pub fn log(&self) -> PathBuf {
        self.private.join("log")
    }

    /// Connection settings as a role, to a database.
    pub fn conninfo(&self, role: &str, database: &str) -> Result<Settings> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
        let words = format!(
            "host={} port={} user={} dbname={} sslmode=disable",
            quoted(&self.private.to_string_lossy()),
            self.port,
            quoted(role),
            quoted(database)
        );
        Settings::parse(&words, &Environment::bare())
            .map_err(|error| Fault::new(Kind::Failed, error.to_string()))
    }

    /// A session as superuser, with the settings that made it: the server must take connections.
    pub fn superuser(&self) -> Result<(Session, Settings)> {
        let mut last = None;
        let usual = ["postgres".to_owned()];
        for role in usual.iter().chain(self.roles.iter().filter(|role| *role != "postgres")) {
            for database in ["postgres", "template1"] {
                let settings = self.conninfo(role, database)?;
                match Session::open(&settings) {
                    Ok(session) => {
                        let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
                        if session.one(sql, &[])?.get(0) {
                            return Ok((session, settings));
                        }
                        break;
                    }
                    Err(fault) => last = Some(fault),
                }
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(Kind::Failed, "no superuser of the backup is known")))
    }
}

impl Recovering {
    /// One that runs already, of another process of ours.
    pub fn attach(launch: Launch) -> Result<Self> {
        let pid = postmaster(&launch.data).ok_or_else(|| {
            let what = format!("no server runs in '{}'", launch.data.display());
            Fault::new(Kind::Unavailable, what)
        })?;
        Ok(Self { launch, pid, log_from: 0 })
    }

    /// How it was started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The postmaster's process number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it takes connections: until the backup is consistent.
    pub fn readable(&self, observer: &dyn Observer) -> Result<(Session, Settings)> {
        let note = "the server replays WAL until the backup is consistent: silence is normal";
        observer
            .progress(&Progress::bytes("starting the server", 0, None).with_note(Text::ours(note)));
        while !self.accepts() {
            self.still_there(observer, "before it could be read")?;
            thread::sleep(LOOK);
        }
        self.launch.superuser().map_err(|fault| self.explained(fault))
    }

    /// Waits until it takes connections, whoever may make one.
    pub fn ready(&self, observer: &dyn Observer) -> Result<()> {
        while !self.accepts() {
            self.still_there(observer, "before it took connections")?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until it stands still at its target.
    pub fn caught_up(
        &self,
        session: &Session,
        aim: &Aim,
        observer: &dyn Observer,
    ) -> Result<Reached> {
        let begin = aim.least.saturating_sub(aim.replay);
        loop {
            self.still_there(observer, "on its way to the target")?;
            let reached = self.reached(session).map_err(|fault| {
                // Its end is the better explanation, once it is seen.
                process::wait_gone(&[self.pid], Duration::from_secs(2));
                self.explained(fault)
            })?;
            let at = parse_lsn(&reached.lsn).unwrap_or_default();
            let progress =
                Progress::bytes("replaying WAL", at.saturating_sub(begin), Some(aim.replay));
            observer.progress(&progress);
            let recovering: bool = session.one("SELECT pg_is_in_recovery()", &[])?.get(0);
            if reached.paused || !recovering {
                return Ok(reached);
            }
            thread::sleep(LOOK);
        }
    }

    /// What it says that it reached.
    pub fn reached(&self, session: &Session) -> Result<Reached> {
        // PostgreSQL 14 tells a wish to pause from a pause.
        let paused = if session.version >= 140_000 {
            "pg_get_wal_replay_pause_state() = 'paused'"
        } else {
            "pg_is_wal_replay_paused()"
        };
        let sql = format!(
            "SELECT coalesce(pg_last_wal_replay_lsn()::text, '0/0'), \
             to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
             CASE WHEN pg_is_in_recovery() THEN {paused} ELSE false END"
        );
        let row = session.one(&sql, &[])?;
        let at: Option<String> = row.get(1);
        Ok(Reached {
            lsn: row.get(0),
            last_transaction: at.and_then(|at| at.parse().ok()),
            paused: row.get(2),
        })
    }

    /// How many tables recovery holds locked, by database. Stopped inside a transaction that has locked them, as
    /// just before the commit of a `DROP TABLE`, it keeps them locked: who reads them waits until recovery ends
    /// (PostgreSQL documentation, "Handling Query Conflicts").
    pub fn locked(&self, session: &Session) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT d.datname::text, count(*) FROM pg_locks l \
                   JOIN pg_database d ON d.oid = l.database \
                   JOIN pg_stat_activity a ON a.pid = l.pid \
                   WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted \
                   AND a.backend_type = 'startup' GROUP BY 1 ORDER BY 1";
        Ok(session.query(sql, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Ends recovery and waits until the server takes writes; returns once one was committed.
    pub fn promote(&self, session: &Session) -> Result<()> {
        if session.one("SELECT pg_is_in_recovery()", &[])?.get(0) {
            session.run("SELECT pg_promote(false)").map_err(|fault| self.explained(fault))?;
            // A paused recovery looks for that once a second (`recoveryPausesHere` in xlogrecovery.c), and
            // is woken by this; refused when it has looked already.
            let _ = session.run("SELECT pg_wal_replay_resume()");
        }
        while session.one("SELECT pg_is_in_recovery()", &[])?.get(0) {
            if !process::alive(self.pid) {
                return Err(self.died("while it was promoted"));
            }
            thread::sleep(LOOK);
        }
        // A transaction number is given only to what writes; its commit is flushed like any other.
        session.run("SET synchronous_commit = on").and_then(|()| {
            let write =
                if session.version >= 130_000 { "pg_current_xact_id" } else { "txid_current" };
            session.run(&format!("SELECT {write}()"))
        })
    }

    /// Stops it in order; a hung one is killed.
    pub fn stop(&self) {
        process::signal(self.pid, Signal::INT);
        if !process::wait_gone(&[self.pid], STOP_LIMIT) {
            process::signal(self.pid, Signal::QUIT);
            if !process::wait_gone(&[self.pid], Duration::from_secs(10)) {
                let pids = [vec![self.pid], process::descendants(self.pid)].concat();
                for pid in &pids {
                    process::signal(*pid, Signal::KILL);
                }
                process::wait_gone(&pids, Duration::from_secs(10));
            }
        }
    }

    fn accepts(&self) -> bool {
        LockFile::in_folder(&self.launch.data).is_some_and(|file| file.accepts(self.pid))
    }

    fn still_there(&self, observer: &dyn Observer, when: &str) -> Result<()> {
        if observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the restore was cancelled"));
        }
        if process::alive(self.pid) { Ok(()) } else { Err(self.died(when)) }
    }

    fn died(&self, when: &str) -> Fault {
        let said = self.telling();
        let said = if said.is_empty() { "it logged nothing".to_owned() } else { said.join("; ") };
        Fault::new(Kind::Failed, format!("the server ended {when}: {said}"))
    }

    fn explained(&self, fault: Fault) -> Fault {
        if process::alive(self.pid) { fault } else { self.died("by itself") }
    }

    /// The lines of its log that tell why it ended, oldest first.
    pub fn telling(&self) -> Vec<String> {
        let log = fs::read(self.launch.log()).unwrap_or_default();
        let log = log.get(self.log_from as usize..).unwrap_or_default();
        let text = String::from_utf8_lossy(log);
        let bad = |line: &&str| {
            // Hints of the server may tell to remove backup_label, which corrupts: they are left out.
            ["FATAL:", "PANIC:", "ERROR:", "invalid", "restore_command"]
                .iter()
                .any(|w| line.contains(w))
                && !line.contains("HINT:")
        };
        let lines: Vec<String> =
            text.lines().filter(bad).map(|line| Text::foreign(line).to_string()).collect();
        lines[lines.len().saturating_sub(4)..].to_vec()
    }
}

/// The postmaster of a data folder, while it runs.
pub fn postmaster(data: &Path) -> Option<i32> {
    let pid = LockFile::in_folder(data)?.pid;
    let process = process::find(pid)?;
    let here = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place == data);
    let named = process.command.contains(&*data.to_string_lossy());
    (process.alive() && (here || named)).then_some(pid)
}

/// Compares what was reached with what was promised.
///
/// # Errors
/// [`Kind::Damaged`] when it is not the same: the server came up, and rows are missing.
pub fn judge(reached: &Reached, aim: &Aim) -> Result<()> {
    let short = |why: String| {
        Err(Fault::new(Kind::Damaged, format!("the server did not come where it should: {why}")))
    };
    let at = parse_lsn(&reached.lsn).unwrap_or_default();
    if at < aim.least {
        return short(format!("it stands at {}, before {}", reached.lsn, lsn(aim.least)));
    }
    let Some(told) = &aim.told else { return Ok(()) };
    if reached.last_transaction == Some(told.at) {
        return Ok(());
    }
    let last = reached.last_transaction.map_or("none".to_owned(), |at| at.to_string());
    short(format!("its last transaction is of {last}, promised was that of {}", told.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::physical::survey::Ended;

    #[test]
    fn a_short_restore_is_never_good() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let ended = |second, lsn| Ended { xid: 5, lsn, at: at(second), committed: true };
        let aim = Aim {
            settings: vec![],
            promise: Some(ended(100, 0x0300_0000)),
            told: Some(ended(100, 0x0300_0000)),
            least: 0x0300_0000,
            timeline: 1,
            left_out: 0,
            replay: 0,
        };
        let reached = |lsn: &str, second| Reached {
            lsn: lsn.to_owned(),
            last_transaction: Some(at(second)),
            paused: true,
        };
        assert!(judge(&reached("0/3000028", 100), &aim).is_ok());
        for (lsn, second) in [("0/2000000", 100), ("0/3000028", 99), ("0/3000028", 101)] {
            let fault = judge(&reached(lsn, second), &aim).expect_err("short, or too far");
            assert_eq!(fault.kind, Kind::Damaged);
        }
    }
}
