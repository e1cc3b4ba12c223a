//! A server seen from outside: whether it accepts and answers, and what this machine knows of its processes.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::{
    base::{clock::Clock, text::Text},
    cluster::postmaster::{Condition, Postmaster},
    resilience::{
        connect::{ConnectError, Stage, connect, is_here},
        conninfo::{Host, Settings, TargetSession},
    },
};

/// How long a server may take to answer before it counts as silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is the matter with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It answers.
    Well,
    /// It answers that it has no slot free.
    Full,
    /// It answers that it starts, stops or recovers.
    Unready,
    /// It answers, and does not let us in.
    Refuses,
    /// It accepts and does not answer: a signal has stopped its processes.
    Stopped,
    /// It accepts and does not answer: its processes wait for a disk.
    Disk,
    /// It accepts and does not answer, and nobody here can tell why.
    Hung,
    /// Nobody listens there.
    Down,
    /// Nothing comes back from there.
    Unreachable,
}

impl Verdict {
    /// What that means.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Well => "it answers",
            Self::Full => "it answers: no connection slot is free",
            Self::Unready => "it answers: it starts, stops or recovers",
            Self::Refuses => "it answers, and does not let us in",
            Self::Stopped => "hung: a signal has stopped its processes",
            Self::Disk => "hung: its processes wait for a disk",
            Self::Hung => "hung: it accepts connections and answers nobody",
            Self::Down => "down: nobody listens there",
            Self::Unreachable => "out of reach: nothing comes back from there",
        }
    }

    /// The first act that cannot make it worse.
    pub const fn first_act(self) -> &'static str {
        match self {
            Self::Well => "none is needed",
            Self::Full => "end idle sessions: the guide 'connection-wait'",
            Self::Unready => "wait, and read its log: recovery takes its time",
            Self::Refuses => "read what it says: a rule, a password, a database",
            Self::Stopped => "let it go on: howdah server wake",
            Self::Disk => {
                "look at its disk and its machine (dmesg, iostat); spare it: fewer callers, no restart"
            }
            Self::Hung => {
                "spare it: open breakers, pause PgBouncer; look at its machine: CPU, memory, disk"
            }
            Self::Down => {
                "read the end of its log before you start it: a full disk, a killed process, a restart?"
            }
            Self::Unreachable => {
                "is it the network? Look from another machine, and at the machine's own console"
            }
        }
    }
}

/// What is known of a server from outside.
#[derive(Debug, Serialize)]
pub struct Outside {
    /// Where it is.
    pub host: Text,
    /// What is the matter.
    pub verdict: Verdict,
    /// It takes connections.
    pub accepts: bool,
    /// It answers.
    pub answers: bool,
    /// After how many seconds it did.
    pub seconds: Option<f64>,
    /// What connecting or asking said.
    pub why: Option<Text>,
    /// It runs on this machine.
    pub local: bool,
    /// Its postmaster, if it runs here and may be seen.
    pub postmaster: Option<Local>,
}

/// A postmaster of this machine.
#[derive(Debug, Serialize)]
pub struct Local {
    /// Its number.
    pub pid: i32,
    /// Its data folder.
    pub data: String,
    /// What its processes do.
    #[serde(flatten)]
    pub condition: Condition,
    /// Itself.
    #[serde(skip)]
    pub itself: Postmaster,
}

/// Looks at each host of the settings, one after the other.
pub async fn look(settings: &Settings) -> Vec<Outside> {
    let mut all = Vec::new();
    for host in &settings.hosts {
        all.push(look_at(settings, host).await);
    }
    all
}

async fn look_at(settings: &Settings, host: &Host) -> Outside {
    let mut alone = settings.clone().calling_itself("howdah");
    alone.hosts = vec![host.clone()];
    alone.target = TargetSession::Any;
    let clock = Clock::system();
    let began = clock.now();
    let asked = ask(&alone).await;
    // In milliseconds: a person reads it.
    let took = clock.now().since(began).as_millis() as f64 / 1e3;
    let local = is_here(host).await;
    let postmaster = if local { postmaster(host) } else { None };
    let (accepts, answers) = match &asked {
        Ok(()) => (true, true),
        Err(Silent::Asked) => (true, false),
        Err(Silent::Connecting(error)) => heard(error),
    };
    Outside {
        host: Text::from(host.to_string()),
        verdict: verdict(&asked, postmaster.as_ref().map(|found| &found.condition)),
        accepts,
        answers,
        seconds: answers.then_some(took),
        why: match asked {
            Ok(()) => None,
            Err(Silent::Asked) => Some(Text::ours("it let us in, and did not answer a query")),
            Err(Silent::Connecting(error)) => Some(error.to_string().into()),
        },
        local,
        postmaster,
    }
}

/// Why a server did not answer.
enum Silent {
    Connecting(ConnectError),
    Asked,
}

async fn ask(settings: &Settings) -> Result<(), Silent> {
    let connection = connect(settings, PATIENCE).await.map_err(Silent::Connecting)?;
    let asked = timeout(PATIENCE, connection.client.simple_query("SELECT 1")).await;
    asked.ok().and_then(Result::ok).map(|_| ()).ok_or(Silent::Asked)
}

/// Whether it accepted, and whether it answered.
const fn heard(error: &ConnectError) -> (bool, bool) {
    match error {
        ConnectError::TimedOut { stage: Stage::Resolve | Stage::Connect, .. }
        | ConnectError::Unresolved { .. }
        | ConnectError::Refused { .. }
        | ConnectError::NoSocket { .. }
        | ConnectError::SocketDenied { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::NoHost(_) => (false, false),
        ConnectError::TimedOut { .. } | ConnectError::Dropped { .. } => (true, false),
        _ => (true, true),
    }
}

fn verdict(asked: &Result<(), Silent>, condition: Option<&Condition>) -> Verdict {
    // A full queue of connections looks like a machine that is gone: its processes tell more.
    let silent = |else_: Verdict| match condition {
        Some(Condition { stopped: 1.., .. }) => Verdict::Stopped,
        Some(Condition { state: 'D', .. }) => Verdict::Disk,
        Some(_) if else_ == Verdict::Unreachable => Verdict::Hung,
        _ => else_,
    };
    match asked {
        Ok(()) => Verdict::Well,
        Err(Silent::Asked) => silent(Verdict::Hung),
        Err(Silent::Connecting(error)) => match error {
            ConnectError::TooManyConnections { .. } => Verdict::Full,
            ConnectError::Unready { .. } => Verdict::Unready,
            ConnectError::Refused { .. } | ConnectError::NoSocket { .. } => Verdict::Down,
            error => match heard(error) {
                (_, true) => Verdict::Refuses,
                (true, false) => silent(Verdict::Hung),
                (false, false) => silent(Verdict::Unreachable),
            },
        },
    }
}

fn postmaster(host: &Host) -> Option<Local> {
    let itself = match host.socket() {
        Some(socket) => Postmaster::behind_socket(&socket),
        None => Postmaster::on_port(host.port),
    }?;
    let condition = itself.condition()?;
    let data = itself.data.to_string_lossy().into_owned();
    Some(Local { pid: itself.process.pid, data, condition, itself })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_told_by_its_processes() {
        let late = |stage| {
            Err(Silent::Connecting(ConnectError::TimedOut {
                host: "h".into(),
                stage,
                after: PATIENCE,
            }))
        };
        let condition = |state, stopped| Condition { state, stopped, ..Condition::default() };
        let of = |stage, condition: Option<Condition>| verdict(&late(stage), condition.as_ref());
        assert_eq!(of(Stage::Startup, None), Verdict::Hung);
        assert_eq!(of(Stage::Startup, Some(condition('T', 7))), Verdict::Stopped);
        assert_eq!(of(Stage::Startup, Some(condition('D', 0))), Verdict::Disk);
        assert_eq!(of(Stage::Connect, None), Verdict::Unreachable);
        assert_eq!(of(Stage::Connect, Some(condition('S', 0))), Verdict::Hung, "its queue is full");
        let full = ConnectError::Refused { host: "h".into() };
        assert_eq!(verdict(&Err(Silent::Connecting(full)), None), Verdict::Down);
        assert_eq!(verdict(&Ok(()), Some(&condition('T', 1))), Verdict::Well);
    }
}
