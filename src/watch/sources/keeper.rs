//! The watch on what is kept in files: a backup repository, another engine's, the folder of jobs, what is
//! silenced.
//!
//! How it is read is the caller's affair: this room knows neither manifests nor journals. It sees to it that
//! one that hangs, as a dead network folder does, is a state and not a hang.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};

use super::{
    Reading,
    pace::{Line, Look, keep_asking},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        text::Text,
        units,
    },
    watch::snapshot::{EngineHistory, Job, Problem, Repository, Silence, Source, SourceKind},
};

/// The name of the repository among the sources.
pub const REPOSITORY: &str = "repository";
/// The name of the folder of jobs among the sources.
pub const JOBS: &str = "jobs";
/// The name of the file of silences among the sources.
pub const SILENCES: &str = "silences";
/// One that takes longer is told as silent; its answer counts when it comes.
const PATIENCE: Duration = Duration::from_secs(5);
/// An engine is a program that is started anew each time, and looks through its own repository.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);

/// Reads it, blocking for as long as that takes.
pub type Read<T> = Arc<dyn Fn() -> Result<T, Problem> + Send + Sync>;

/// How what is kept is read.
#[derive(Clone)]
pub enum Reader {
    /// A backup repository.
    Repository(Read<Repository>),
    /// The folder of jobs.
    Jobs(Read<Vec<Job>>),
    /// Another backup engine, by its name among the sources.
    Engine(Text, Read<EngineHistory>),
    /// The file of what is silenced.
    Silences(Read<Vec<Silence>>),
}

/// What it held.
enum Held {
    Repository(Box<Repository>),
    Jobs(Vec<Job>),
    Engine(EngineHistory),
    Silences(Vec<Silence>),
}

impl Reader {
    const fn kind(&self) -> SourceKind {
        match self {
            Self::Repository(_) => SourceKind::Repository,
            Self::Jobs(_) => SourceKind::Jobs,
            Self::Engine(..) => SourceKind::Engine,
            Self::Silences(_) => SourceKind::Silences,
        }
    }

    fn name(&self) -> Text {
        match self {
            Self::Repository(_) => Text::ours(REPOSITORY),
            Self::Jobs(_) => Text::ours(JOBS),
            Self::Engine(name, _) => name.clone(),
            Self::Silences(_) => Text::ours(SILENCES),
        }
    }

    const fn patience(&self) -> Duration {
        match self {
            Self::Repository(_) | Self::Jobs(_) | Self::Silences(_) => PATIENCE,
            Self::Engine(..) => ENGINE_PATIENCE,
        }
    }

    fn read(&self) -> Result<Held, Problem> {
        match self {
            Self::Repository(read) => read().map(Box::new).map(Held::Repository),
            Self::Jobs(read) => read().map(Held::Jobs),
            Self::Engine(_, read) => read().map(Held::Engine),
            Self::Silences(read) => read().map(Held::Silences),
        }
    }
}

/// A place to watch.
#[derive(Clone)]
pub struct Keeper {
    /// Where it is, without secrets.
    pub location: Text,
    /// How often it is read.
    pub period: Duration,
    /// How it is read.
    pub read: Reader,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Reads it every period and sends what it holds.
pub async fn run(keeper: Keeper, clock: Clock, line: Line) {
    let period = keeper.period;
    keep_asking(Watch { keeper, clock, last_good: None, under_way: None }, period, line).await;
}

struct Watch {
    keeper: Keeper,
    clock: Clock,
    last_good: Option<Stamp>,
    /// A reading that was not over in time. Another one is not begun beside it: it would hang, too.
    under_way: Option<JoinHandle<Result<Held, Problem>>>,
}

impl Look for Watch {
    async fn look(&mut self) -> Reading {
        let asked = self.clock.now();
        let mut reading = self.under_way.take().unwrap_or_else(|| {
            let read = self.keeper.read.clone();
            tokio::task::spawn_blocking(move || read.read())
        });
        let patience = self.keeper.read.patience();
        let Ok(answer) = timeout(patience, &mut reading).await else {
            self.under_way = Some(reading);
            let what = format!("{}: no answer for {}", self.keeper.location, units::age(patience));
            let remedy =
                Text::ours("Look at the disk, the network folder or the bucket behind it.");
            return self.failed(Problem { what: what.into(), remedy });
        };
        match answer {
            Ok(Ok(held)) => {
                let now = self.clock.now();
                self.last_good = Some(now);
                let source = self.source(None, Some(now.since(asked)));
                let answered = Reading::answered(source);
                match held {
                    Held::Repository(held) => Reading { repository: Some(*held), ..answered },
                    Held::Jobs(held) => Reading { jobs: Some(held), ..answered },
                    Held::Engine(held) => Reading { engine: Some(held), ..answered },
                    Held::Silences(held) => Reading { silences: Some(held), ..answered },
                }
            }
            Ok(Err(problem)) => self.failed(problem),
            Err(_) => self.failed(Problem {
                what: format!("{} could not be read", self.keeper.location).into(),
                remedy: Text::ours("The log says more."),
            }),
        }
    }
}

impl Watch {
    fn failed(&self, problem: Problem) -> Reading {
        Reading::failed(self.source(Some(problem), None))
    }

    fn source(&self, problem: Option<Problem>, latency: Option<Duration>) -> Source {
        Source {
            name: self.keeper.read.name(),
            kind: self.keeper.read.kind(),
            address: self.keeper.location.clone(),
            period: self.keeper.period,
            last_good: self.last_good,
            problem,
            latency,
            unreadable: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::watch::snapshot::Known;

    fn empty() -> Repository {
        let unknown = || Text::ours("nothing is kept");
        Repository {
            location: Text::ours("/repo"),
            backups: Vec::new(),
            wal: Known::Unknown(unknown()),
            rto: Known::Unknown(unknown()),
            pitr: Known::Unknown(unknown()),
            timeline: Known::Unknown(unknown()),
            proofs: Vec::new(),
            expiry: Known::Unknown(unknown()),
        }
    }

    #[tokio::test]
    async fn a_repository_that_hangs_is_told_and_asked_once() {
        let (out, mut readings) = mpsc::channel(4);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let read: Read<Repository> = Arc::new(move || {
            // Held until the test lets go, as a dead network folder would.
            let _ = held.lock().expect("one at a time").recv();
            Ok(empty())
        });
        let read = Reader::Repository(read);
        let keeper =
            Keeper { location: Text::ours("/repo"), period: Duration::from_millis(10), read };
        let cancel = CancellationToken::new();
        tokio::spawn(run(keeper, Clock::system(), Line::new(out, cancel.clone())));
        let silent = readings.recv().await.expect("a reading");
        assert!(!silent.answered);
        let problem = silent.source.problem.expect("told");
        assert!(problem.what.contains("no answer for 5s"), "{problem:?}");
        release.send(()).expect("it still waits");
        let answered = readings.recv().await.expect("a reading");
        assert!(answered.answered && answered.repository.is_some());
        cancel.cancel();
        drop(release);
    }
}
