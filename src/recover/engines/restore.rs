//! A restore by an engine: the plan, then the deed.
//!
//! Barman 3.4 puts tablespaces where they were unless it is told otherwise, over those of a live cluster and
//! without a word. So it is not left to the engines where they write: see [`guards`].
//!
//! A plan names its folder, its backup and its command; nothing is written before [`Plan::apply`]. A restored
//! cluster must never write to the archive that it came from: pgBackRest is told `--archive-mode=off`, Barman
//! sets `archive_command` to `false` by itself.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;

use super::{Access, Backup, Engine, Fault, History, Kind, Result, barman, pgbackrest};
use crate::{
    base::{
        cancel::Cancel,
        clock::Timestamp,
        exec::Tool,
        progress::{Cleanup, Observer, Progress},
        text::Text,
    },
    recover::physical::guards,
};

/// What is to be restored, and to where.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The new data folder: empty, or not there yet.
    pub into: PathBuf,
    /// The moment to recover to; else as far as the archive reaches.
    pub until: Option<Timestamp>,
    /// The backup to begin with; else the newest whole one, of those that had ended by then.
    pub backup: Option<String>,
}

/// A restore that can be made.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// By whom.
    pub engine: Engine,
    /// The backup that it begins with.
    pub backup: Backup,
    /// The new data folder.
    pub into: PathBuf,
    /// Below it tablespaces are put, each by its name.
    pub tablespaces: PathBuf,
    /// The moment it will recover to.
    pub until: Option<Timestamp>,
    /// The account that the engine runs as, when that is not ours.
    pub account: Option<Text>,
    /// The command, as a person would type it.
    pub command: Text,
    /// What to know and to do afterwards.
    pub then: Vec<Text>,
    #[serde(skip)]
    tool: Tool,
    #[serde(skip)]
    access: Access,
}

/// Plans a restore. Nothing is written.
///
/// # Errors
/// [`Kind::Refused`] when the ground is not clear ([`guards::free_folder`]), [`Kind::Unavailable`] when no backup
/// will do, [`Kind::Usage`] when the wanted one is not known.
pub fn plan(access: &Access, wish: &Wish, cancel: &Cancel) -> Result<Plan> {
    let live = guards::live();
    let into = guards::free_folder(&wish.into, &live)?;
    let tablespaces = guards::free_folder(&beside(&into), &live)?;
    let backup = choose(&access.history(cancel)?, wish)?.clone();
    let mut then = Vec::new();
    let tool = match access.engine {
        Engine::PgBackRest => pgbackrest_tool(access, wish, &backup, &into, &tablespaces),
        Engine::Barman => {
            let detail = barman::detail(access, &backup.id, cancel)?;
            let Some(spaces) = detail.tablespaces else {
                let what = "Barman does not tell the backup's tablespaces, and would put them where they were";
                return Err(Fault::new(Kind::Refused, what));
            };
            let names: Vec<String> = spaces.into_iter().map(|space| space.name).collect();
            then.push(Text::ours("Barman sets archive_command to false in it"));
            barman_tool(access, wish, &backup, &names, (&into, &tablespaces))?
        }
        engine => {
            let what = format!(
                "{engine} is not driven to restore: its list does not tell a backup's tablespaces, and it puts them where they were"
            );
            return Err(Fault::new(Kind::Refused, what).remedy(
                "restore by hand with `wal-g backup-fetch` and a restore specification that moves them",
            ));
        }
    };
    then.extend(afterwards(access, wish, &into, &tablespaces));
    Ok(Plan {
        engine: access.engine,
        backup,
        until: wish.until,
        account: access.account.as_ref().map(|account| account.name.clone()),
        command: tool.command_line(),
        then,
        into,
        tablespaces,
        tool,
        access: access.clone(),
    })
}

/// Where the tablespaces of a data folder are put: `FOLDER.tablespaces`.
fn beside(into: &Path) -> PathBuf {
    let mut name = OsString::from(into);
    name.push(".tablespaces");
    PathBuf::from(name)
}

fn choose<'a>(history: &'a History, wish: &Wish) -> Result<&'a Backup> {
    if let Some(id) = &wish.backup {
        let found = history.backups.iter().find(|backup| &*backup.id == id.as_str());
        let Some(found) = found else {
            return Err(Fault::new(Kind::Usage, format!("there is no backup '{id}'"))
                .remedy("`howdah engine list` shows those there are"));
        };
        let early = wish.until.zip(found.ended).is_some_and(|(until, ended)| ended > until);
        if !found.whole() || early {
            let why = if early {
                "it ended after that moment".to_owned()
            } else {
                found.state.to_string()
            };
            return Err(Fault::new(Kind::Refused, format!("backup {id} will not do: {why}")));
        }
        return Ok(found);
    }
    let in_time = |backup: &&Backup| match wish.until {
        None => true,
        // When it is not known that it had ended by then, it is not taken.
        Some(until) => backup.ended.is_some_and(|ended| ended <= until),
    };
    history.backups.iter().filter(|backup| backup.whole()).find(in_time).ok_or_else(|| {
        let what = match wish.until {
            None => "there is no whole backup".to_owned(),
            Some(until) => format!("no whole backup had ended by {until}"),
        };
        Fault::new(Kind::Unavailable, what).remedy("`howdah engine list` shows those there are")
    })
}

fn pgbackrest_tool(
    access: &Access,
    wish: &Wish,
    backup: &Backup,
    into: &Path,
    tablespaces: &Path,
) -> Tool {
    let tool = pgbackrest::tool(access, "restore")
        .arg(format!("--set={}", backup.id))
        .arg(joined("--pg1-path=", into))
        .arg(joined("--tablespace-map-all=", tablespaces))
        .arg("--archive-mode=off");
    match wish.until {
        None => tool.arg("--type=default"),
        Some(until) => tool
            .arg("--type=time")
            .arg(format!("--target={}", moment(until)))
            .arg("--target-action=pause"),
    }
}

fn barman_tool(
    access: &Access,
    wish: &Wish,
    backup: &Backup,
    names: &[String],
    (into, tablespaces): (&Path, &Path),
) -> Result<Tool> {
    let mut tool = barman::tool(access, "recover");
    for name in names {
        // It is `NAME:PLACE` to Barman, and a step out of the folder to the system.
        if name.contains([':', '/']) || name == ".." {
            let what = format!("Barman cannot be told where to put the tablespace '{name}'");
            return Err(Fault::new(Kind::Refused, what));
        }
        let place = tablespaces.join(name);
        tool = tool.arg("--tablespace").arg(joined(&format!("{name}:"), &place));
    }
    if let Some(until) = wish.until {
        tool = tool.args(["--target-time", &moment(until), "--target-action", "pause"]);
    }
    Ok(tool.args([&access.name, &*backup.id]).arg(into))
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

/// A moment as `recovery_target_time` takes it.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

fn afterwards(access: &Access, wish: &Wish, into: &Path, tablespaces: &Path) -> Vec<Text> {
    let mut then = Vec::new();
    if access.account.as_ref().is_some_and(|account| account.name.as_str() == "barman") {
        let (into, spaces) = (into.display(), tablespaces.display());
        then.push(
            format!("give it to the server's account: chown -R postgres: '{into}' '{spaces}'")
                .into(),
        );
    }
    then.push(Text::ours("give it a port and a socket folder of its own before it is started"));
    then.push(match wish.until {
        None => Text::ours("it recovers as far as the archive reaches, then opens for writing"),
        Some(until) => format!(
            "it recovers to {until} and pauses there, readable; pg_wal_replay_resume() opens it for writing"
        )
        .into(),
    });
    then
}

impl Plan {
    /// Does it. When it fails, or its end is wished for, the folders are emptied again.
    ///
    /// # Errors
    /// What [`guards::free_folder`] refuses by now; [`Kind::Failed`] when the engine fails, or when what it left is
    /// no data folder whose tablespaces stand where they should.
    pub fn apply(&self, observer: &dyn Observer) -> Result<()> {
        // Time has passed since the plan was made.
        let live = guards::live();
        guards::free_folder(&self.into, &live)?;
        guards::free_folder(&self.tablespaces, &live)?;
        let folders = [&self.into, &self.tablespaces];
        let command = ["rm", "-rf"].map(Text::ours).into_iter();
        let command = command.chain(folders.map(|folder| folder.to_string_lossy().as_ref().into()));
        let cleanup = Cleanup::words("remove what was restored so far").by(command);
        let step = observer.step(format!("restore with {}", self.engine), &cleanup)?;
        let new = folders.map(|folder| !folder.exists());
        let made = folders.iter().try_for_each(|folder| self.make(folder));
        match made.and_then(|()| self.run(observer)).and_then(|()| self.inspect()) {
            Ok(()) => Ok(step.done(json!({ "backup": self.backup.id, "into": self.into }))?),
            Err(fault) => {
                let mut folders = folders.iter().zip(new);
                folders.try_for_each(|(folder, new)| put_away(folder, new)).map_err(|left| {
                    Fault::new(fault.kind, format!("{}; and {}", fault.what(), left.what()))
                })?;
                step.undone(fault.what().clone())?;
                Err(fault)
            }
        }
    }

    /// Makes a folder that belongs to the engine's account alone.
    fn make(&self, folder: &Path) -> Result<()> {
        let cannot = || Fault::io(format!("cannot make '{}'", folder.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot())?;
        match &self.access.account {
            Some(account) => {
                chown(folder, Some(account.ids.0), Some(account.ids.1)).map_err(cannot())
            }
            None => Ok(()),
        }
    }

    fn run(&self, observer: &dyn Observer) -> Result<()> {
        let phase = format!("{} restores {}", self.engine, self.backup.id);
        let silent = "it tells nothing of its progress: silence is normal";
        observer.progress(&Progress::bytes(phase, 0, self.backup.cluster).with_note(silent));
        let mut heard = |line: &Text| observer.note(line);
        let answer = self.access.ask_aloud(&self.tool, None, observer.cancel(), &mut heard)?;
        if self.engine == Engine::Barman {
            let said = barman::complaints(&barman::own_words(&answer)?);
            if let Some(first) = said.first() {
                return Err(Fault::new(Kind::Failed, format!("Barman: {first}")));
            }
        }
        // An engine that was told to stop may end in peace.
        if observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, format!("{} was cancelled", self.engine)));
        }
        match answer.refusal() {
            Some(mut refusal) => {
                // It was there, and did not do it.
                refusal.kind = Kind::Failed;
                Err(refusal)
            }
            None => Ok(()),
        }
    }

    /// Looks at what the engine has left, whatever it said.
    fn inspect(&self) -> Result<()> {
        let failed = |what: String| Fault::new(Kind::Failed, what);
        let into = &self.into;
        for name in ["PG_VERSION", "global/pg_control", "backup_label"] {
            if !into.join(name).exists() {
                let engine = self.engine;
                return Err(failed(format!(
                    "{engine} has left no '{name}' in '{}'",
                    into.display()
                )));
            }
        }
        let links = into.join("pg_tblspc");
        for entry in fs::read_dir(&links).map_err(Fault::io(format!("no '{}'", links.display())))? {
            let path = entry.map_err(Fault::io(format!("no '{}'", links.display())))?.path();
            let place =
                path.canonicalize().map_err(Fault::io(format!("no '{}'", path.display())))?;
            if !place.starts_with(&self.tablespaces) && !place.starts_with(into) {
                let what = format!("a tablespace was put into '{}'", place.display());
                return Err(failed(what).remedy("see whether the cluster there is unharmed"));
            }
        }
        Ok(())
    }
}

/// Empties a folder that was empty before, and removes it if it was not there. Links are not followed.
fn put_away(folder: &Path, new: bool) -> Result<()> {
    let cannot = || Fault::io(format!("'{}' could not be emptied", folder.display()));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(cannot())?,
    };
    for entry in entries {
        let entry = entry.map_err(cannot())?;
        if entry.file_type().map_err(cannot())?.is_dir() {
            fs::remove_dir_all(entry.path()).map_err(cannot())?;
        } else {
            fs::remove_file(entry.path()).map_err(cannot())?;
        }
    }
    if new { fs::remove_dir(folder).map_err(cannot()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::engines::State;

    fn backup(id: &str, ended: Option<i64>, state: State) -> Backup {
        let ended = ended.map(|at| Timestamp::from_second(at).expect("a moment"));
        Backup { ended, ..Backup::named(Engine::PgBackRest, id, state) }
    }

    fn wish(until: Option<i64>, backup: Option<&str>) -> Wish {
        let until = until.map(|at| Timestamp::from_second(at).expect("a moment"));
        Wish { into: PathBuf::from("/new"), until, backup: backup.map(str::to_owned) }
    }

    #[test]
    fn the_newest_whole_backup_that_had_ended_by_then_is_chosen() {
        let failed = State::Failed { reason: Text::ours("x") };
        let backups = vec![
            backup("d", Some(400), failed),
            backup("c", None, State::Whole),
            backup("b", Some(200), State::Whole),
            backup("a", Some(100), State::Whole),
        ];
        let history = History { backups, complaints: Vec::new() };
        let chosen = |until, id| choose(&history, &wish(until, id)).map(|b| b.id.to_string());
        let refused = |until, id| chosen(until, id).expect_err("refused").kind;
        assert_eq!(chosen(None, None).expect("one"), "c");
        assert_eq!(chosen(Some(500), None).expect("one"), "b", "c may have ended later");
        assert_eq!(chosen(Some(199), None).expect("one"), "a");
        assert_eq!(chosen(None, Some("a")).expect("one"), "a");
        assert_eq!(refused(Some(99), None), Kind::Unavailable);
        assert_eq!(refused(None, Some("d")), Kind::Refused);
        assert_eq!(refused(Some(150), Some("b")), Kind::Refused);
        assert_eq!(refused(None, Some("e")), Kind::Usage);
    }

    #[test]
    fn commands_move_every_tablespace_and_cut_the_archive_off() {
        let access = Access {
            engine: Engine::PgBackRest,
            name: "main".into(),
            config: Some("/etc/b r.conf".into()),
            account: None,
        };
        let wish = wish(Some(1_795_441_299), None);
        let (into, spaces) = (Path::new("/new"), beside(Path::new("/new")));
        let base = backup("20261123-134119F", None, State::Whole);
        let line = pgbackrest_tool(&access, &wish, &base, into, &spaces).command_line();
        assert_eq!(
            &*line,
            "pgbackrest '--config=/etc/b r.conf' --stanza=main --log-level-console=off \
             --log-level-stderr=warn --no-log-timestamp restore --set=20261123-134119F --pg1-path=/new \
             --tablespace-map-all=/new.tablespaces --archive-mode=off --type=time \
             '--target=2026-11-23 13:41:39.000000+00' --target-action=pause"
        );
        let access = Access { engine: Engine::Barman, config: None, ..access };
        let base = backup("20261123T134631", None, State::Whole);
        let names = |name: &str| [name.to_owned()];
        let tool = barman_tool(&access, &wish, &base, &names("ts 1"), (into, &spaces));
        assert_eq!(
            &*tool.expect("a command").command_line(),
            "barman -f json recover --tablespace 'ts 1:/new.tablespaces/ts 1' --target-time \
             '2026-11-23 13:41:39.000000+00' --target-action pause main 20261123T134631 /new"
        );
        for name in ["a:b", "../x", ".."] {
            let tool = barman_tool(&access, &wish, &base, &names(name), (into, &spaces));
            assert_eq!(tool.expect_err("refused").kind, Kind::Refused);
        }
    }
}
