//! A cluster that archives its WAL with the program under test.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use howdah::{
    base::process::wait_until,
    cluster::{
        Binaries, Cluster, Options, Stop,
        folder::{Account, PrivateFolder, command},
    },
    recover::{Repository, repository, wal::Archive},
};

use super::options;

/// The program under test.
pub const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");
/// What every target is called.
pub const NAME: &str = "prod";

/// A cluster with an archive.
pub struct Archived {
    cluster: Cluster,
    account: Option<Account>,
}

impl Deref for Archived {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Archived {
    /// Starts one that archives into a repository of its own.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(&options(), settings)
    }

    /// The same; without a template it has a system identifier of its own.
    pub fn start_with(base: &Options, settings: &[(&str, &str)]) -> Self {
        let folder = PrivateFolder::create().expect("a folder");
        let account = folder.account().cloned();
        for name in ["repo", "plain"] {
            fs::create_dir(folder.path().join(name)).expect("made");
            folder.give(&folder.path().join(name)).expect("given");
        }
        let archive_command = archive_command(&folder.path().join("repo"));
        let mut all = vec![
            ("archive_mode".to_owned(), "on".to_owned()),
            ("archive_command".to_owned(), archive_command),
        ];
        all.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let options = Options { settings: all, ..base.clone() };
        let binaries = options.binaries.clone().map_or_else(Binaries::find, Ok).expect("programs");
        let cluster = Cluster::start_in(folder, binaries, &options).expect("a cluster");
        Self { cluster, account }
    }

    /// The account that the server runs as, when it is not ours.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Gives a file or folder to that account.
    pub fn give(&self, path: &Path) {
        if let Some(account) = &self.account {
            chown(path, Some(account.uid), Some(account.gid)).expect("given");
        }
    }

    /// An `archive_command` into its repository.
    pub fn archive_command(&self) -> String {
        archive_command(&self.repo())
    }

    /// The repository's folder.
    pub fn repo(&self) -> PathBuf {
        self.folder().join("repo")
    }

    /// Its part of the repository.
    pub fn repository(&self) -> Repository {
        repository::open(&self.repo().to_string_lossy(), NAME).expect("opened")
    }

    /// The archive in it.
    pub fn archive(&self) -> Archive {
        Archive::Repository(self.repository())
    }

    /// A `restore_command` from it.
    pub fn restore_command(&self) -> String {
        let repo = self.repo();
        format!("{HOWDAH} wal fetch --repository {} --name {NAME} %f %p", repo.display())
    }

    /// Ends the present segment and waits until it is archived; returns its name.
    pub fn switch(&self) -> String {
        let name = self
            .psql("CHECKPOINT; SELECT pg_walfile_name(pg_switch_wal())")
            .expect("switched")
            .trim()
            .to_owned();
        self.wait_archived(&name);
        name
    }

    /// Waits until a file is archived.
    pub fn wait_archived(&self, name: &str) {
        let (archive, file) = (self.archive(), name.parse().expect("a name"));
        let there = || archive.find(file).expect("looked").len() == 1;
        self.wait(&format!("{name} in the archive"), there);
    }

    /// Waits until `done`; a test that waited in vain fails with the server's log.
    pub fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        assert!(
            wait_until(Duration::from_mins(1), done),
            "{what}: not within a minute; the server says:\n{}",
            self.log_tail(20)
        );
    }

    /// A program of the server's, run as its account in the sandbox folder.
    pub fn program(&self, name: &str) -> Command {
        let mut command =
            command(&self.binaries().program(name), self.account.as_ref(), self.folder());
        command
            .env("PGPASSWORD", self.password().expose())
            .env("PGHOST", self.folder())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", "postgres");
        command
    }

    /// Howdah, run as the server's account and with its programs.
    pub fn howdah(&self, words: &[&str]) -> Output {
        self.howdah_call(words).output().expect("ran")
    }

    /// The same, still to be run.
    pub fn howdah_call(&self, words: &[&str]) -> Command {
        let mut command = command(Path::new(HOWDAH), self.account.as_ref(), self.folder());
        command
            .env("HOME", self.folder())
            .env("HOWDAH_PG_BIN", self.binaries().folder())
            .args(words);
        command
    }

    /// Takes a copy of the data folder under that name.
    pub fn base_backup(&self, name: &str) {
        let output = self
            .program("pg_basebackup")
            .args(["-c", "fast", "-X", "none", "--no-sync", "-D", name])
            .output()
            .expect("ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops the server and puts a copy in place of its data folder, to recover from the archive.
    pub fn put_back(&self, name: &str, signal: &str) {
        self.stop(Stop::Fast).expect("stopped");
        let data = self.data_dir();
        fs::rename(&data, self.folder().join(format!("before-{name}"))).expect("moved");
        fs::rename(self.folder().join(name), &data).expect("moved");
        fs::write(data.join(signal), "").expect("written");
        self.set("restore_command", &self.restore_command()).expect("set");
    }

    /// Waits until recovery has ended.
    pub fn wait_recovered(&self) {
        self.wait("recovery to end", || {
            self.psql("SELECT pg_is_in_recovery()").is_ok_and(|says| says.trim() == "f")
        });
    }
}

fn archive_command(repo: &Path) -> String {
    format!("{HOWDAH} wal archive --repository {} --name {NAME} %p", repo.display())
}

/// What it said, and its exit code.
pub fn told(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}
