//! psql as the oracle: the same connection string, environment and home folder are given to psql and to
//! us, and the same must come of it.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, reason = "a test that cannot ask its oracle has failed")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use howdah::{
    cluster::binaries::Binaries,
    resilience::{
        connect::{ConnectError, connect},
        conninfo::{Environment, Settings},
    },
};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Connected: host, port, and what the server says of the session.
    Session(String),
    /// The server refused.
    Refused,
    /// No session, without a word of the server.
    NoSession,
    /// Refused before anything was connected.
    BadSettings,
}

/// One row that tells where we are and how.
const FACTS: &str = "select concat_ws('|', current_database(), session_user, \
     current_setting('application_name'), (select ssl from pg_stat_ssl where pid = pg_backend_pid()), \
     current_setting('timezone'), current_setting('work_mem'), current_setting('datestyle'))";

/// What both are given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The connection string.
    pub text: &'a str,
    /// Variables of the environment.
    pub variables: &'a [(String, String)],
    /// The home folder.
    pub home: &'a Path,
}

/// psql itself: Debian's /usr/bin/psql is a wrapper that sets PGHOST. It stands beside the server, behind
/// whatever link led there.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let server = Binaries::find().expect("server programs").program("postgres");
        server.canonicalize().expect("a server program").with_file_name("psql")
    })
}

/// What psql makes of it, and its words.
pub fn psql(given: Given<'_>) -> (Outcome, String) {
    let output = Command::new(program())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", given.home)
        .envs(given.variables.iter().map(|(name, value)| (name, value)))
        .args(["-X", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", given.text])
        .args(["-c", r"\echo :HOST|:PORT", "-c", FACTS])
        .stdin(Stdio::null())
        .output()
        .expect("psql is installed");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let outcome = if output.status.success() {
        // White space around a port is shown as it was given.
        let (place, facts) = said.trim_end().split_once('\n').expect("two lines");
        let (host, port) = place.split_once('|').expect("host and port");
        Outcome::Session(format!("{host}|{}|{facts}", port.trim()))
    } else if complained.contains("FATAL:") {
        Outcome::Refused
    } else if complained.contains("for connection option") {
        // Some numbers are read only when the socket is made.
        Outcome::BadSettings
    } else if complained.contains("connection to server") || complained.contains("translate host") {
        Outcome::NoSession
    } else {
        Outcome::BadSettings
    };
    (outcome, complained.into_owned())
}

/// What we make of it, and our words.
pub fn ours(given: Given<'_>) -> (Outcome, String) {
    let mut environment = Environment::bare();
    // Of the process only the user counts.
    environment.user = Environment::current().user;
    environment.home = Some(given.home.to_owned());
    for (name, value) in given.variables {
        environment = environment.with(name, value);
    }
    let settings = match Settings::parse(given.text, &environment) {
        Ok(settings) => settings.calling_itself("psql"),
        Err(error) => return (Outcome::BadSettings, error.to_string()),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let connection = match connect(&settings, Duration::from_secs(20)).await {
            Ok(connection) => connection,
            Err(error) => return (of(&error), format!("{error}; {}", error.remedy())),
        };
        let mut said = format!("{}|{}", connection.host.name(), connection.host.port);
        let row = connection.client.query_one(FACTS, &[]).await.expect("facts");
        let _ = write!(said, "|{}", row.get::<_, String>(0));
        (Outcome::Session(said), String::new())
    })
}

fn of(error: &ConnectError) -> Outcome {
    match error {
        ConnectError::PasswordWrong { .. }
        | ConnectError::NoPgHbaEntry { .. }
        | ConnectError::NotAuthenticated { .. }
        | ConnectError::DatabaseMissing { .. }
        | ConnectError::DatabaseDenied { .. }
        | ConnectError::TooManyConnections { .. }
        | ConnectError::Unready { .. }
        | ConnectError::Server { .. } => Outcome::Refused,
        ConnectError::NoHost(errors)
            if errors.iter().any(|error| of(error) == Outcome::Refused) =>
        {
            Outcome::Refused
        }
        _ => Outcome::NoSession,
    }
}

/// Gives all of it to both and collects where they differ.
#[derive(Default)]
pub struct Comparison {
    cases: usize,
    sessions: usize,
    differences: String,
}

impl Comparison {
    /// One case.
    pub fn compare(&mut self, name: &str, given: Given<'_>) {
        let ((theirs, they_said), (ours, we_said)) = (psql(given), ours(given));
        self.cases += 1;
        self.sessions += usize::from(matches!(theirs, Outcome::Session(_)));
        if theirs != ours {
            let _ = writeln!(
                self.differences,
                "{name}: {:?} {:?}\n  psql: {theirs:?} {}\n  ours: {ours:?} {we_said}",
                given.text,
                given.variables,
                they_said.trim()
            );
        }
    }

    /// Fails when anything differed, or when the table has shrunk below what was promised.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture, and when it fails")]
    pub fn verdict(self, at_least: usize, sessions: usize) {
        println!("{} cases, {} of them sessions", self.cases, self.sessions);
        assert!(self.differences.is_empty(), "\n{}", self.differences);
        assert!(self.cases >= at_least && self.sessions >= sessions, "{}", self.cases);
    }
}
