//! Backups of real clusters, as the library and the program take them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use howdah::{
    base::progress::Silent,
    cluster::{Server, Via},
    recover::{
        Repository,
        backup::{self, Compressor, Kinds, Request, Wish},
        checkup::contents::rows_of,
        repository::{
            self,
            catalogue::State,
            manifest::{BackupId, Level, Manifest, Verification},
        },
        session::{Session, identifier},
        verify::Verifier,
    },
};

use super::{data, database::target, eventually};

pub fn repository(home: &Path) -> Repository {
    repository::open(home.to_str().expect("a path"), "prod").expect("opened")
}

pub fn logical(wish: Wish) -> Request {
    Request { kind: Kinds::Logical { wish, counts: true }, break_lock: false }
}

pub fn physical() -> Request {
    physical_by(Compressor::Server)
}

pub fn physical_by(compressor: Compressor) -> Request {
    let kind = Kinds::Physical { spread: false, spool: None, compressor };
    Request { kind, break_lock: false }
}

pub fn take(request: &Request, server: &Server, repository: &Repository) -> Manifest {
    let settings = target(server, Via::Unix);
    backup::take(request, &settings, repository, &Silent::default()).expect("a backup")
}

/// The rows that a backup has of each table are those that the server counts.
#[track_caller]
pub fn counted_as_by(server: &Server, manifest: &Manifest) {
    for database in &manifest.inventory.databases {
        let settings = target(server, Via::Unix);
        let session = Session::open_database(&settings, &database.name).expect("connected");
        for relation in &database.relations {
            let name = format!("{}.{}", identifier(&relation.schema), identifier(&relation.name));
            let holds_rows = matches!(relation.kind, 'r' | 'm');
            let rows = holds_rows.then(|| rows_of(&session, &name).expect("counted"));
            assert_eq!(relation.rows, rows, "{name}");
        }
    }
}

/// All requests, by a word each.
pub fn requests() -> [(&'static str, Request); 2] {
    [("logical", logical(Wish::Database(Some(data::SHOP.into())))), ("physical", physical())]
}

/// Nothing of a run is left on the server.
pub fn nobody_is_left(server: &Server) {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'howdah 2%'";
    eventually("the sessions are gone", Duration::from_secs(10), || {
        server.psql(count).expect("asked") == "0"
    });
    let slots = server.psql("SELECT count(*) FROM pg_replication_slots").expect("asked");
    assert_eq!(slots, "0", "no slot holds WAL");
}

/// Waits until a session of a run, or of its tool, waits for somebody's lock.
pub fn waiting(server: &Server) {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name LIKE 'howdah 2%' AND wait_event_type = 'Lock'";
    eventually("it waits for the lock", Duration::from_secs(20), || {
        server.psql(count).expect("asked") != "0"
    });
}

/// The one entry of the catalogue is a failure with this word, and nothing else is left in the repository.
pub fn only_a_reason_is_left(repository: &Repository, word: &str) {
    let entries = repository.backups().expect("listed");
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = entries.first().expect("one");
    let why = match &entry.state {
        State::Failed(failed) => failed.why.as_str(),
        _ => "it has not failed",
    };
    assert!(why.contains(word) && why != "it has not failed", "{entry:?}");
    let key = repository.backup_key(&entry.id).expect("a name");
    let objects = repository.storage().list(&key).expect("listed");
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert_eq!(repository.leftovers().expect("listed"), Some(Vec::new()));
    assert_eq!(backup::lock::holder(repository).expect("looked"), None);
}

/// A call of the program, as cron makes it.
pub fn howdah(server: &Server, home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(words)
        .args(["--target", &server.conninfo(Via::Unix), "--name", "prod", "--repository"])
        .arg(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.join(".."))
        .env("HOWDAH_PG_BIN", std::env::var_os("HOWDAH_PG_BIN").unwrap_or_default())
        .env("PGPASSWORD", server.password().expose())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

pub fn verify(repository: &Repository, id: &BackupId, level: Level) -> Verification {
    Verifier::default().verify(repository, id, level, &Silent::default()).expect("looked")
}

pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("written");
}

/// A folder of programs in which one does what the script says; `REAL` is the true one.
pub fn programs(server: &Server, name: &str, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    // The server's account starts its programs from there.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("open");
    let real = server.binaries().folder();
    for entry in fs::read_dir(real).expect("listed").flatten() {
        if entry.file_name() != *name {
            let link = folder.path().join(entry.file_name());
            std::os::unix::fs::symlink(entry.path(), link).expect("linked");
        }
    }
    let path = folder.path().join(name);
    // Client programs may stand elsewhere: then it is found in PATH, where this one is not.
    let real = server.binaries().program(name);
    let text = format!("#!/bin/bash\nREAL='{}'\n{script}\n", real.display());
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("made a program");
    folder
}
