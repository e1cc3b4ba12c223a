//! The demo's repository: howdah itself archives the server's WAL, takes backups of both kinds and proves
//! one, for real, while the console is already up.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{SandboxError, small_disk};
use crate::{
    base::{
        cancel::Cancel,
        exec::{Tool, quoted},
    },
    cluster::{
        Server, Via,
        folder::{Account, PrivateFolder},
        guard,
    },
};

/// What the demo's target is called in its repository.
pub const NAME: &str = "demo";
/// The repository, in the sandbox folder.
const FOLDER: &str = "repository";
/// The copy of our own program, where one is needed.
const PROGRAM: &str = "howdah";
/// The server's `archive_command`, to be found again after an incident.
const COMMAND: &str = "archive_command";
/// What the commands said.
const LOG: &str = "keeping.log";
/// A new physical backup is taken so often, and what is no longer needed for the newest ones is removed.
const AGAIN: Duration = Duration::from_mins(30);
/// How often everything that is kept is looked at: whoever damages it sees that on the screen in half a
/// minute.
const INSPECT: Duration = Duration::from_secs(15);
/// How often the end is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// The repository of a sandbox folder.
pub fn repository(sandbox: &Path) -> PathBuf {
    sandbox.join(FOLDER)
}

/// What howdah runs as for the server.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// Our own program, where the server's account may run it.
    program: PathBuf,
    sandbox: PathBuf,
}

impl Keeper {
    /// Makes the repository's folder for the server's account, on a small disk of its own where one is wanted
    /// and can be had, and sees to it that this account can run our program.
    pub fn prepare(
        sandbox: &PrivateFolder,
        program: &Path,
        own_disk: bool,
    ) -> Result<Self, SandboxError> {
        let place = repository(sandbox.path());
        let cannot = |what: &Path| SandboxError::io(format!("cannot make {}", what.display()));
        fs::create_dir(&place).map_err(cannot(&place))?;
        if own_disk {
            small_disk::mount(&place);
        }
        sandbox.give(&place)?;
        let mut program = program.to_owned();
        let version = Tool::new(&program).arg("--version").as_account(ids(sandbox.account()));
        if version.run(&Cancel::new(), &mut |_| {}).is_err() {
            // A build folder below somebody's home is closed to it.
            let copy = sandbox.path().join(PROGRAM);
            fs::copy(&program, &copy).map_err(cannot(&copy))?;
            sandbox.give(&copy)?;
            program = copy;
        }
        let keeper = Self { program, sandbox: sandbox.path().to_owned() };
        let note = sandbox.path().join(COMMAND);
        fs::write(&note, keeper.archive_command()).map_err(cannot(&note))?;
        Ok(keeper)
    }

    /// The server's `archive_command`.
    pub fn archive_command(&self) -> String {
        // For the shell, and `%` doubled for the server.
        let quoted = |path: &Path| quoted(path.as_os_str()).replace('%', "%%");
        let (program, place) = (quoted(&self.program), quoted(&repository(&self.sandbox)));
        format!("{program} wal archive --repository {place} --name {NAME} %p")
    }
}

/// The `archive_command` that the server of a sandbox was given at first.
pub fn archive_command(sandbox: &Path) -> Result<String, SandboxError> {
    let note = sandbox.join(COMMAND);
    fs::read_to_string(&note).map_err(SandboxError::io(format!("cannot read {}", note.display())))
}

fn ids(account: Option<&Account>) -> Option<(u32, u32)> {
    account.map(|account| (account.uid, account.gid))
}

/// Keeps backups in the background. Dropping it ends what runs.
#[derive(Debug)]
pub struct Keeping {
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
    kept: bool,
}

impl Keeping {
    /// Begins: a physical backup, a logical one, a proof; then a physical one every half hour, and a look at
    /// everything that is kept in between.
    pub fn start(
        keeper: Keeper,
        server: &Server,
        account: Option<Account>,
    ) -> Result<Self, SandboxError> {
        let cancel = Cancel::new();
        let keeper = Work { keeper, server: server.clone(), account, cancel: cancel.clone() };
        let thread = thread::Builder::new()
            .name("keeping".into())
            .spawn(move || keeper.keep())
            .map_err(SandboxError::io("cannot start a thread"))?;
        let folder = server.folder().to_owned();
        Ok(Self { cancel, thread: Some(thread), folder, kept: false })
    }

    /// Ends what runs and leaves the repository where it is.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported already.
            let _ = thread.join();
        }
        if !self.kept {
            // A folder with a file system of its own in it cannot be removed.
            guard::unmount_below(&self.folder);
        }
    }
}

struct Work {
    keeper: Keeper,
    server: Server,
    account: Option<Account>,
    cancel: Cancel,
}

impl Work {
    fn keep(&self) {
        for words in
            [&["backup", "run", "--physical"][..], &["backup", "run", "--logical"], &["prove"]]
        {
            self.run(words);
        }
        let mut since = Duration::ZERO;
        while self.pause(INSPECT) {
            self.run(&["verify", "--all", "--level", "L3", "--quiet"]);
            since += INSPECT;
            if since < AGAIN {
                continue;
            }
            since = Duration::ZERO;
            self.run(&["backup", "run", "--physical"]);
            let expire =
                ["backup", "expire", "--keep-days", "0", "--keep-at-least", "2", "--apply"];
            self.run(&expire);
        }
    }

    /// Waits; false when the end was wished for.
    fn pause(&self, limit: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while waited < limit && !self.cancel.cancelled() {
            thread::sleep(LOOK);
            waited += LOOK;
        }
        !self.cancel.cancelled()
    }

    /// Runs our own program as the server's account. What it says goes to the log; its failures stand in
    /// the repository's history, where the console shows them.
    fn run(&self, words: &[&str]) {
        if self.cancel.cancelled() {
            return;
        }
        let folder = self.server.folder();
        let tool = Tool::new(&self.keeper.program).args(words);
        // The demo's own database, not the superuser's.
        let target =
            format!("{} dbname={}", self.server.conninfo(Via::Unix), super::demo::DATABASE);
        let tool = tool.args(["--target", &target]);
        let tool = tool
            .arg("--repository")
            .arg(repository(folder))
            .args(["--name", NAME])
            // Nothing of the user's own configuration and state.
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("HOWDAH_PG_BIN", self.server.binaries().folder())
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .secret("PGPASSWORD", self.server.password())
            .as_account(ids(self.account.as_ref()))
            .within(folder);
        let mut said = String::new();
        let result = tool.run(&self.cancel, &mut |line| {
            said += line;
            said.push('\n');
        });
        if let Err(error) = result {
            said += &format!("{error}\n");
        }
        let log = folder.join(LOG);
        let written =
            fs::OpenOptions::new().create(true).append(true).open(&log).and_then(|mut file| {
                std::io::Write::write_all(&mut file, format!("$ {words:?}\n{said}").as_bytes())
            });
        if let Err(error) = written {
            tracing::warn!(%error, file = %log.display(), "cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_folder_does_not_break_the_archive_command() {
        let keeper = Keeper {
            program: PathBuf::from("/opt/50%/howdah"),
            sandbox: PathBuf::from("/tmp/it's 100% odd"),
        };
        let command = keeper.archive_command();
        let wanted =
            r"/opt/50%%/howdah wal archive --repository '/tmp/it'\''s 100%% odd/repository' ";
        assert!(command.starts_with(wanted), "{command}");
        assert!(command.ends_with("--name demo %p"), "{command}");
    }
}
