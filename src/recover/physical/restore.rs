//! A physical restore from its plan to a server that was asked what it reached.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    archive::Archive,
    configure,
    plan::{Into, Plan},
    record::{Record, State},
    recovering::{Launch, Reached, Recovering, judge},
    unpack::{self, make_folder},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        exec::Tool,
        progress::{Cleanup, Observer},
    },
    cluster::{Binaries, folder::Account, guard::Guard, server::end_all},
    recover::{Fault, Kind, Repository, Result, repository::manifest::Phase, session::Session},
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

/// Measures phases, one behind the other.
#[derive(Debug)]
pub struct Stopwatch {
    clock: Clock,
    began: Stamp,
    last: Stamp,
    /// What was measured.
    pub phases: Vec<Phase>,
}

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        let clock = Clock::system();
        let now = clock.now();
        Self { clock, began: now, last: now, phases: Vec::new() }
    }

    /// Ends a phase; returns the seconds since the beginning.
    pub fn lap(&mut self, name: &str) -> f64 {
        let now = self.clock.now();
        let seconds = now.since(self.last).as_secs_f64();
        self.phases.push(Phase { name: name.to_owned(), seconds });
        self.last = now;
        now.since(self.began).as_secs_f64()
    }
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

/// Restores, and leaves the server paused at its target, which was compared with the promise. What fails
/// leaves nothing behind, and puts back what was moved aside.
pub fn run(
    plan: &Plan,
    repository: &Repository,
    archive: &dyn Archive,
    binaries: &Binaries,
    guard: Option<&mut Guard>,
    watch: &mut Stopwatch,
    observer: &dyn Observer,
) -> Result<Restored> {
    let account = Account::for_servers()?;
    let mut work = Work { plan, account, aside: Vec::new() };
    let cleanup = cleanup(plan);
    let step = observer.step("restore a cluster", &cleanup)?;
    match work.go(repository, archive, binaries, guard, watch, observer) {
        Ok(restored) => {
            step.done(json!({ "reached": restored.reached.lsn }))?;
            Ok(restored)
        }
        Err(fault) => {
            let fault = work.undo(fault);
            step.undone(fault.to_string())?;
            Err(fault)
        }
    }
}

/// What a restore leaves when its process is killed.
fn cleanup(plan: &Plan) -> Cleanup {
    let folder = plan.folder.display().to_string();
    let words = Cleanup::words(format!("remove '{folder}' and the server in it"));
    match plan.order.into {
        // What was moved aside would have to come back, too: a person looks at that.
        Into::Place(_) => words,
        Into::Folder(_) | Into::Scratch(_) => words.by(["howdah", "restore", "discard", &folder]),
    }
}

struct Work<'a> {
    plan: &'a Plan,
    account: Option<Account>,
    aside: Vec<(PathBuf, PathBuf)>,
}

impl Work<'_> {
    fn go(
        &mut self,
        repository: &Repository,
        archive: &dyn Archive,
        binaries: &Binaries,
        guard: Option<&mut Guard>,
        watch: &mut Stopwatch,
        observer: &dyn Observer,
    ) -> Result<Restored> {
        let plan = self.plan;
        let account = self.account.clone();
        make_folder(&plan.folder, account.as_ref())?;
        let private = private(&plan.folder, account.as_ref())?;
        if let Some(guard) = guard {
            match &plan.order.into {
                Into::Scratch(folder) => guard.folder(folder)?,
                Into::Folder(folder) => guard.server(folder)?,
                Into::Place(data) => guard.server(data)?,
            }
        }
        let record = self.record(&private, binaries);
        record.write(&plan.folder)?;
        self.move_aside()?;
        let doubt =
            unpack::unpack(repository, &plan.manifest, &plan.places, account.as_ref(), observer)?;
        let control = control(&plan.places.data, binaries, observer)?;
        control.belongs_to(plan)?;
        watch.lap("copy");
        let launch = self.configure(&record, archive, binaries, &control)?;
        let server = launch.start()?;
        let (session, settings) = server.readable(observer)?;
        let first_read = watch.lap("start until the first read");
        let reached = server.caught_up(&session, &plan.aim, observer)?;
        let caught_up = watch.lap("replay until the target");
        judge(&reached, &plan.aim)?;
        let times =
            Times { phases: watch.phases.clone(), first_read, caught_up, first_write: None };
        let aside = self.aside.clone();
        let folder = plan.folder.clone();
        Ok(Restored { server, session, settings, reached, times, record, folder, aside, doubt })
    }

    fn record(&self, private: &Path, binaries: &Binaries) -> Record {
        let plan = self.plan;
        Record {
            state: State::Unfinished,
            backup: plan.manifest.id.clone(),
            system_identifier: plan.manifest.cluster.system_identifier.to_string(),
            target: plan.order.target.clone(),
            began: Clock::system().wall(),
            data: plan.places.data.clone(),
            tablespaces: plan.places.tablespaces.values().cloned().collect(),
            private: private.to_owned(),
            port: plan.order.port,
            binaries: binaries.folder().to_owned(),
            account: self.account.clone(),
            roles: plan.manifest.inventory.roles.clone(),
            in_place: matches!(plan.order.into, Into::Place(_)),
        }
    }

    /// What stands where the cluster shall be gets another name; of a tablespace only what is in it, since
    /// its folder may be a mount point.
    fn move_aside(&mut self) -> Result<()> {
        let Into::Place(data) = &self.plan.order.into else { return Ok(()) };
        let stamp = Clock::system().wall().strftime(".before-%Y%m%dT%H%M%SZ").to_string();
        let mut moves = vec![data.clone()];
        for place in self.plan.places.tablespaces.values() {
            let entries = fs::read_dir(place).map_err(Fault::io(format!(
                "cannot look at the tablespace '{}'",
                place.display()
            )))?;
            let ours = entries.flatten().filter(|entry| {
                let name = entry.file_name();
                name.to_string_lossy().starts_with("PG_")
                    && !name.to_string_lossy().contains(".before-")
            });
            moves.extend(ours.map(|entry| entry.path()));
        }
        for from in moves {
            let mut to = from.clone().into_os_string();
            to.push(&stamp);
            let to = PathBuf::from(to);
            fs::rename(&from, &to)
                .map_err(Fault::io(format!("cannot move '{}' aside", from.display())))?;
            self.aside.push((from, to));
        }
        Ok(())
    }

    fn configure(
        &self,
        record: &Record,
        archive: &dyn Archive,
        binaries: &Binaries,
        control: &Control,
    ) -> Result<Launch> {
        let plan = self.plan;
        let (data, account) = (&plan.places.data, self.account.as_ref());
        let mut launch = Launch {
            data: data.clone(),
            private: record.private.clone(),
            port: plan.order.port,
            account: self.account.clone(),
            binaries: binaries.clone(),
            settings: Vec::new(),
            roles: record.roles.clone(),
        };
        let hba = record.private.join("pg_hba.conf");
        // Only our account may enter the socket's folder.
        configure::write_as(&hba, "local all all trust\n", account)?;
        launch.settings = launch.alone(&hba);
        let mut auto = String::new();
        match plan.order.into {
            Into::Scratch(_) => {
                // A drill runs on settings of its own: those of the cluster may be too large for this
                // machine. Only what recovery needs and what extensions preload comes along.
                let path = record.private.join("postgresql.conf");
                let mut own = control.settings(2);
                for (name, value) in configure::FAST {
                    own += &configure::line(name, value);
                }
                own += &configure::line("shared_preload_libraries", &preload(data, binaries));
                configure::write_as(&path, &own, account)?;
                configure::write_as(&data.join("postgresql.auto.conf"), "", account)?;
                launch
                    .settings
                    .push(("config_file".to_owned(), path.to_string_lossy().into_owned()));
            }
            Into::Folder(_) => {
                auto += &configure::line("port", &plan.order.port.to_string());
                // Two clusters that archive to one place destroy its history.
                auto += &configure::line("archive_mode", "off");
            }
            Into::Place(_) => {}
        }
        if !data.join("postgresql.conf").is_file() && !matches!(plan.order.into, Into::Scratch(_)) {
            configure::write_as(&data.join("postgresql.conf"), &control.settings(1), account)?;
        }
        if !data.join("pg_hba.conf").is_file() {
            configure::write_as(&data.join("pg_hba.conf"), "local all all peer\n", account)?;
        }
        auto += &configure::recovery(&plan.aim, &archive.command()?);
        configure::append(data, &auto, account)?;
        configure::write_as(&data.join("recovery.signal"), "", account)?;
        // A standby's own signal would make it follow its primary.
        let _ = fs::remove_file(data.join("standby.signal"));
        Ok(launch)
    }

    /// Ends what runs, removes what was made, puts back what was moved aside; what cannot be is named.
    fn undo(&self, fault: Fault) -> Fault {
        let plan = self.plan;
        let mut left = Vec::new();
        let in_place = matches!(plan.order.into, Into::Place(_));
        let moved = self.aside.iter().any(|(from, _)| *from == plan.places.data);
        if !in_place {
            end_all(&plan.folder);
        } else if moved {
            end_all(&plan.places.data);
            left.extend(remove(&plan.places.data));
        }
        for (from, to) in self.aside.iter().rev() {
            if *from != plan.places.data && from.exists() {
                left.extend(remove(from));
            }
            if let Err(error) = fs::rename(to, from) {
                left.push(format!(
                    "'{}' is to be named '{}' again ({error})",
                    to.display(),
                    from.display()
                ));
            }
        }
        left.extend(remove(&plan.folder));
        if left.is_empty() {
            return fault;
        }
        let what = format!("{}; left behind: {}", fault.what(), left.join(", "));
        let again = Fault::new(fault.kind, what);
        match fault.advice() {
            Some(advice) => again.remedy(advice.clone()),
            None => again,
        }
    }
}

fn remove(folder: &Path) -> Option<String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Some(format!("'{}' ({error})", folder.display()))
        }
        _ => None,
    }
}

/// The folder of socket and log: below the restored one, or a shorter one when a socket's path would be too
/// long there.
fn private(folder: &Path, account: Option<&Account>) -> Result<PathBuf> {
    // `sun_path` holds 108 bytes on Linux, 104 elsewhere, and "/.s.PGSQL.65535" takes 15.
    let own = folder.join("private");
    if own.as_os_str().len() <= 88 {
        make_folder(&own, account)?;
        return Ok(own);
    }
    Ok(crate::cluster::folder::PrivateFolder::create()?.keep())
}

/// The libraries to preload that are installed here.
fn preload(data: &Path, binaries: &Binaries) -> String {
    let asked = Tool::new(binaries.program("pg_config"))
        .arg("--pkglibdir")
        .run(&crate::base::cancel::Cancel::new(), &mut |_| {});
    let Ok(folder) = asked else { return String::new() };
    let folder = PathBuf::from(String::from_utf8_lossy(&folder).trim());
    let mut libraries = configure::preloaded(data);
    libraries.retain(|library| folder.join(format!("{library}.so")).is_file());
    libraries.join(", ")
}

/// What `pg_controldata` tells of a data folder.
#[derive(Debug)]
struct Control(Vec<(String, String)>);

fn control(data: &Path, binaries: &Binaries, observer: &dyn Observer) -> Result<Control> {
    let printed = Tool::new(binaries.program("pg_controldata"))
        .arg("-D")
        .arg(data)
        .run(observer.cancel(), &mut |_| {})?;
    let text = String::from_utf8_lossy(&printed);
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(Control(
        pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(),
    ))
}

impl Control {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn belongs_to(&self, plan: &Plan) -> Result<()> {
        let wanted = plan.manifest.cluster.system_identifier.to_string();
        let found = self.get("Database system identifier").unwrap_or("none");
        if found == wanted {
            return Ok(());
        }
        let what = format!(
            "the backup {} holds another cluster: system identifier {found} instead of {wanted}",
            plan.manifest.id
        );
        Err(Fault::new(Kind::Damaged, what).remedy("choose another backup"))
    }

    /// The settings that a standby must not set lower than its primary did (PostgreSQL documentation, "Hot
    /// Standby: Administrator's Overview"), `times` as high.
    fn settings(&self, times: u64) -> String {
        let pairs = [
            ("max_connections setting", "max_connections"),
            ("max_worker_processes setting", "max_worker_processes"),
            ("max_wal_senders setting", "max_wal_senders"),
            ("max_prepared_xacts setting", "max_prepared_transactions"),
            ("max_locks_per_xact setting", "max_locks_per_transaction"),
        ];
        let number = |name: &str| self.get(name)?.parse::<u64>().ok();
        let line = |(name, setting): &(&str, &str)| {
            Some(configure::line(setting, &(number(name)? * times).to_string()))
        };
        pairs.iter().filter_map(line).collect()
    }
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
    let binaries = Binaries::at(&record.binaries).ok_or_else(|| {
        let what = format!("there is no server in '{}' any more", record.binaries.display());
        Fault::new(Kind::Unavailable, what)
    })?;
    let launch = Launch {
        data: record.data.clone(),
        private: record.private.clone(),
        port: record.port,
        account: record.account.clone(),
        binaries,
        settings: Vec::new(),
        roles: record.roles.clone(),
    };
    let server = launch.start()?;
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

pub(super) fn attach(record: &Record) -> Result<Recovering> {
    let binaries = Binaries::at(&record.binaries).ok_or_else(|| {
        let what = format!("there is no server in '{}' any more", record.binaries.display());
        Fault::new(Kind::Unavailable, what)
    })?;
    Recovering::attach(Launch {
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
