//! Ends a job, harder each time.

use std::{collections::BTreeMap, time::Duration};

use super::{Card, JobError, JobId, Jobs, State, room::CARD};
use crate::base::process::{self, Identity, Signal};

/// How long a job may take to end, each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After SIGINT: the tools that it runs are ended, and what is half-made is removed.
    pub interrupt: Duration,
    /// After SIGTERM.
    pub terminate: Duration,
    /// After SIGKILL, of the job and of all that it has started. Then it can only be waiting inside the
    /// kernel, for a disk or a network file system.
    pub kill: Duration,
}

impl Default for Patience {
    /// A minute, because half-made files may be many; then 15 seconds; then 5.
    fn default() -> Self {
        Self {
            interrupt: Duration::from_mins(1),
            terminate: Duration::from_secs(15),
            kill: Duration::from_secs(5),
        }
    }
}

/// How hard a job had to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was over already.
    Over,
    /// SIGINT was enough.
    Interrupted,
    /// SIGTERM was.
    Terminated,
    /// It was killed: what its open steps have left is still to be put away.
    Killed,
}

impl Jobs {
    /// Ends a job: SIGINT to its process, which ends its tools and cleans up; then SIGTERM; then SIGKILL
    /// to the process and to all that descend from it.
    pub fn cancel(&self, id: &JobId, patience: Patience) -> Result<Stage, JobError> {
        match self.state(id)? {
            State::Unknown { why } => return Err(JobError::OutOfReach { id: id.clone(), why }),
            state if state.over() => return Ok(Stage::Over),
            _ => {}
        }
        let card: Option<Card> = self.read(id, CARD)?;
        let Some(leader) = card.and_then(|card| card.process) else {
            let why = "it has not begun yet; ask again in a moment".into();
            return Err(JobError::OutOfReach { id: id.clone(), why });
        };
        let mut family = Family::default();
        for (signal, limit, stage) in [
            (Signal::INT, patience.interrupt, Stage::Interrupted),
            (Signal::TERM, patience.terminate, Stage::Terminated),
        ] {
            family.look(&leader);
            leader.signal(signal);
            // A stopped process hears nothing.
            leader.signal(Signal::CONT);
            if process::wait_until(limit, || !leader.alive()) {
                return Ok(stage);
            }
        }
        family.look(&leader);
        leader.signal(Signal::KILL);
        family.kill();
        if process::wait_until(patience.kill, || !leader.alive() && family.gone()) {
            Ok(Stage::Killed)
        } else {
            Err(JobError::Unkillable(id.clone()))
        }
    }
}

/// All that descends from a job, remembered from while it still did: when its parent has ended, nobody can
/// tell any more whose child it was.
#[derive(Default)]
struct Family(BTreeMap<i32, Identity>);

impl Family {
    fn look(&mut self, leader: &Identity) {
        let found = process::descendants(leader.pid).into_iter();
        self.0.extend(found.filter_map(|pid| Some((pid, Identity::of(pid)?))));
    }

    fn kill(&self) {
        for member in self.0.values() {
            member.signal(Signal::KILL);
        }
    }

    fn gone(&self) -> bool {
        !self.0.values().any(Identity::alive)
    }
}
