//! A restored cluster, from the moment that it waits at its target: it is let go, or thrown away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    configure,
    record::{Record, State},
    recovering::{Launch, Reached, Recovering},
};
use crate::{
    base::progress::Observer,
    cluster::{Binaries, server::end_all},
    recover::{
        Fault, Kind, Result, repository::manifest::Phase, session::Session, stopwatch::Stopwatch,
    },
    resilience::conninfo::Settings,
};

/// How long a restore took, in seconds since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Each phase, in order.
    pub phases: Vec<Phase>,
    /// Until the first answer of the server.
    pub first_read: f64,
    /// Until it stood at its target.
    pub caught_up: f64,
    /// Until the first committed write; none while it is only read.
    pub first_write: Option<f64>,
}

/// A restored cluster whose server runs, for us alone.
#[derive(Debug)]
pub struct Restored {
    /// The server.
    pub server: Recovering,
    /// A session as superuser.
    pub session: Session,
    /// The settings that made it.
    pub settings: Settings,
    /// What it reached.
    pub reached: Reached,
    /// How long it took.
    pub times: Times,
    /// Its record, as it stands in its folder.
    pub record: Record,
    /// The folder of everything.
    pub folder: PathBuf,
    /// What was moved aside: from, to.
    pub aside: Vec<(PathBuf, PathBuf)>,
    /// Why it was not compared with what PostgreSQL sent, if it was not.
    pub doubt: Option<Fault>,
}

impl Restored {
    /// Ends recovery: the cluster takes writes, for us alone still.
    pub fn promote(&mut self, watch: &mut Stopwatch) -> Result<()> {
        self.server.promote(&self.session)?;
        self.times.first_write = Some(watch.lap("promote until the first write"));
        self.times.phases.clone_from(&watch.phases);
        configure::end_recovery(&self.record.data, self.record.account.as_ref())
    }

    /// Notes how far it is.
    pub fn note(&mut self, state: State) -> Result<()> {
        self.record.state = state;
        self.record.write(&self.folder)
    }

    /// Starts the server again with the cluster's own settings, for everybody whom they let in.
    pub fn open(self, observer: &dyn Observer) -> Result<Recovering> {
        drop(self.session);
        self.server.stop();
        open(&self.record, observer)
    }
}

/// Starts a restored cluster with its own settings and waits until it takes connections.
fn open(record: &Record, observer: &dyn Observer) -> Result<Recovering> {
    let server = launch(record)?.start()?;
    server.ready(observer)?;
    Ok(server)
}

/// Lets go a cluster that waits at its target: it is promoted, and opened with its own settings.
pub fn promote(folder: &Path, observer: &dyn Observer) -> Result<Recovering> {
    let mut record = Record::read(folder)?;
    if record.state != State::Inspecting {
        let what =
            format!("'{}' does not wait at its target: it is {:?}", folder.display(), record.state);
        return Err(Fault::new(Kind::Refused, what));
    }
    let server = attach(&record)?;
    let (session, _) = server.launch().superuser()?;
    server.promote(&session)?;
    drop(session);
    configure::end_recovery(&record.data, record.account.as_ref())?;
    server.stop();
    record.state = State::Done;
    record.write(folder)?;
    open(&record, observer)
}

/// The server of a restored folder, which runs already.
pub(super) fn attach(record: &Record) -> Result<Recovering> {
    Recovering::attach(launch(record)?)
}

/// How the server of a restored folder is started, with the settings of its cluster.
fn launch(record: &Record) -> Result<Launch> {
    let binaries = Binaries::at(&record.binaries).ok_or_else(|| {
        let what = format!("there is no server in '{}' any more", record.binaries.display());
        Fault::new(Kind::Unavailable, what)
    })?;
    Ok(Launch {
        data: record.data.clone(),
        private: record.private.clone(),
        port: record.port,
        account: record.account.clone(),
        binaries,
        settings: Vec::new(),
        roles: record.roles.clone(),
    })
}

/// Ends the server of a restored folder and removes everything in it.
///
/// # Errors
/// [`Kind::Refused`] for a cluster that was promoted, or restored in place: it may be somebody's.
pub fn discard(folder: &Path) -> Result<()> {
    let record = Record::read(folder)?;
    if record.state == State::Done || record.in_place {
        let what = format!(
            "'{}' is a cluster in use: it was promoted, or stands in place of another",
            folder.display()
        );
        return Err(
            Fault::new(Kind::Refused, what).remedy("stop it and remove the folder yourself")
        );
    }
    end_all(folder);
    if !record.private.starts_with(folder) {
        remove(&record.private);
    }
    match remove(folder) {
        None => Ok(()),
        Some(left) => Err(Fault::new(Kind::Failed, format!("cannot be removed: {left}"))),
    }
}

/// Removes a folder; where that fails, which and why.
pub(super) fn remove(folder: &Path) -> Option<String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Some(format!("'{}' ({error})", folder.display()))
        }
        _ => None,
    }
}
