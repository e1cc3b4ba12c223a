//! A physical restore from its plan to a server that was asked what it reached.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    archive::Archive,
    configure,
    control::Control,
    plan::{Into, Plan},
    record::{Record, State},
    recovering::{Launch, judge},
    restored::{Restored, Times, remove},
    unpack::{self, make_folder},
};
use crate::{
    base::{
        clock::Clock,
        exec::Tool,
        progress::{Cleanup, Observer},
    },
    cluster::{Binaries, folder::Account, guard::Guard, server::end_all},
    recover::{Fault, Repository, Result, stopwatch::Stopwatch},
};

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
        let control = Control::read(&plan.places.data, binaries, observer)?;
        control.belongs_to(&plan.manifest)?;
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
