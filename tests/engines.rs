//! Other backup engines, as they really run: pgBackRest and Barman on clusters of the test's own.

#![expect(clippy::expect_used, clippy::panic, reason = "clippy sees tests only in test functions")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use crate::support::{eventually, options};
use howdah::cluster::{Cluster, Options, Stop, Via, folder};
use serde_json::Value;

/// A cluster with a folder beside its data, and howdah's configuration for it.
struct Place {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Place {
    /// A cluster that may be entered through its socket without a password, as engines on the same machine are.
    fn new(settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let cluster = Cluster::start(&Options { settings, ..options() }).expect("a cluster");
        cluster
            .write_hba("local all all trust\nlocal replication all trust\nhost all all all scram-sha-256\n")
            .expect("rules");
        cluster.reload().expect("reloaded");
        Self { cluster, home: tempfile::tempdir().expect("a folder") }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.cluster.folder().join(name)
    }

    /// A file or folder of the server's account, which the engines run as here.
    fn give(&self, path: &Path) {
        let owner = fs::metadata(self.cluster.folder()).expect("there");
        chown(path, Some(owner.uid()), Some(owner.gid())).expect("given");
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir(&path).expect("made");
        self.give(&path);
        path
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).expect("written");
        self.give(&path);
        path
    }

    /// A program as the server's account.
    fn command(&self, program: &str, words: &[&str]) -> Command {
        let owner = fs::metadata(self.cluster.folder()).expect("there");
        let account = folder::Account { name: String::new(), uid: owner.uid(), gid: owner.gid() };
        let root = rustix::process::geteuid().is_root();
        let account = root.then_some(&account);
        let mut command = folder::command(Path::new(program), account, self.cluster.folder());
        command.args(words).env("HOME", self.cluster.folder()).stdin(Stdio::null());
        command
    }

    fn tool(&self, program: &str, words: &[&str]) {
        let Output { status, stdout, stderr } =
            self.command(program, words).output().expect("it runs");
        let said = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(status.success(), "{program} {words:?}: {said:?}");
    }

    fn configure(&self, text: &str) {
        let folder = self.home.path().join(".config/howdah");
        fs::create_dir_all(&folder).expect("made");
        let head = "default_target = 'main'\n[target.main]\nengine_account = 'postgres'\n";
        fs::write(folder.join("config.toml"), format!("{head}{text}")).expect("written");
    }

    /// howdah's exit code, standard output, standard error.
    fn howdah(&self, words: &[&str]) -> (i32, String, String) {
        self.run(&[&["engine"], words].concat(), &[])
    }

    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_howdah"))
            .args(words)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", path)
            .envs(variables.iter().copied())
            .output()
            .expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (status.code().expect("it was not killed"), text(stdout), text(stderr))
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.howdah(&[words, &["--json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("JSON: {out}{err}")))
    }
}

/// Files below a folder whose path holds `part`.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path, part));
        } else if path.to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes one byte in the middle of a file.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(file, bytes).expect("written");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn pgbackrest_is_listed_checked_verified_and_restored() {
    let place = Place::new(&[("archive_mode", "on"), ("archive_command", "false")]);
    let config = place.at("pgbackrest.conf");
    let folder = place.cluster.folder().display().to_string();
    for name in ["repo", "lock", "spool"] {
        place.folder(name);
    }
    let (data, port) = (place.cluster.data_dir(), place.cluster.port());
    place.file(
        "pgbackrest.conf",
        &format!(
            "[global]\nrepo1-path={folder}/repo\nrepo1-retention-full=9\nlock-path={folder}/lock\n\
             spool-path={folder}/spool\nlog-level-file=off\nlog-level-console=warn\ncompress-level=1\njob-retry=0\n\
             [main]\npg1-path={}\npg1-port={port}\npg1-socket-path={folder}\npg1-user=postgres\n",
            data.display()
        ),
    );
    let config = config.display().to_string();
    let ours = [format!("--config={config}"), "--stanza=main".to_owned()];
    let pgbackrest = |words: &[&str]| {
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        place.tool("pgbackrest", &[&ours[..], words].concat());
    };
    let url = place.cluster.conninfo(Via::Unix);
    place.configure(&format!(
        "url = \"{url}\"\npgbackrest = 'main'\npgbackrest_config = '{config}'\n"
    ));

    let (code, out, err) = place.howdah(&["list"]);
    assert_eq!(code, 69, "{out}");
    assert!(err.contains("missing stanza path"), "{err}");

    // An archive that does not work is found by the check, in pgBackRest's own words.
    pgbackrest(&["stanza-create"]);
    let (code, out, err) = place.howdah(&["check"]);
    assert_eq!(code, 65, "{err}");
    assert!(out.contains("archive_command"), "{out}");
    let archive = format!("pgbackrest --config={config} --stanza=main archive-push %p");
    place.cluster.set("archive_command", &archive).expect("set");
    let (code, out, err) = place.howdah(&["check"]);
    assert_eq!(code, 0, "{out}{err}");

    // A tablespace, which a restore must not write to.
    let space = place.folder("space");
    let sql = format!("CREATE TABLESPACE hot LOCATION '{}'", space.display());
    place.cluster.psql(&sql).expect("made");
    place.cluster.psql("CREATE TABLE kept TABLESPACE hot AS SELECT 1 AS n").expect("made");
    pgbackrest(&["backup", "--type=full", "--start-fast"]);
    place.cluster.psql("INSERT INTO kept VALUES (2)").expect("inserted");
    pgbackrest(&["backup", "--type=incr", "--start-fast"]);
    let system: String = place
        .cluster
        .psql("SELECT system_identifier FROM pg_control_system()")
        .expect("asked")
        .trim()
        .to_owned();

    let (code, listed) = place.json(&["list"]);
    assert_eq!(code, 0, "{listed}");
    let backups = listed["backups"].as_array().expect("backups");
    assert_eq!(backups.len(), 2);
    for (backup, extent) in backups.iter().zip(["incremental", "full"]) {
        assert_eq!(backup["engine"], "pgBackRest");
        assert_eq!(backup["extent"], extent);
        assert_eq!(backup["state"]["is"], "whole");
        assert_eq!(backup["system_identifier"], *system);
    }
    let password = place.cluster.password().expose().to_owned();
    let out = place.run(&["status", "main"], &[("PGPASSWORD", &password)]).1;
    let told = out.lines().any(|line| {
        line.starts_with("backups   incr ") && line.ends_with("ago, in pgBackRest main")
    });
    assert!(told && out.contains("source    pgBackRest main      ok"), "{out}");
    let (code, out, err) = place.howdah(&["verify"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("pgBackRest main: nothing is wrong"), "{out}");

    // The plan touches nothing; what is live is refused, by whatever way it is named.
    let into = place.at("restored");
    let target = into.display().to_string();
    let (code, out, err) = place.howdah(&["restore", "--into", &target]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("--archive-mode=off") && out.contains("--tablespace-map-all="), "{out}");
    assert!(!into.exists());
    symlink(&space, place.at("alias")).expect("linked");
    for live in [data.clone(), data.join("new"), space.clone(), place.at("alias/new")] {
        let live = live.display().to_string();
        let (code, _, err) = place.howdah(&["restore", "--into", &live, "--apply"]);
        assert_eq!(code, 77, "{live}: {err}");
    }
    let before = files(&space, "");
    let (code, out, err) =
        place.howdah(&["restore", "--into", &target, "--apply", "--why", "test"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(files(&space, ""), before, "the live tablespace is untouched");
    assert!(!files(&place.at("restored.tablespaces"), "PG_").is_empty(), "moved");
    assert_eq!(fs::metadata(&into).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(place.howdah(&["restore", "--into", &target]).0, 77, "it is not empty any more");

    // It comes up with both rows, and its archive is off.
    let port = format!("-c port={} -c unix_socket_directories={folder}", place.cluster.port() + 1);
    let pg_ctl = place.cluster.binaries().program("pg_ctl").display().to_string();
    let log = place.at("restored.log").display().to_string();
    place.tool(&pg_ctl, &["-D", &target, "-l", &log, "-o", &port, "-w", "start"]);
    let port = (place.cluster.port() + 1).to_string();
    let psql = place.cluster.binaries().program("psql").display().to_string();
    let sql = "SELECT count(*) || current_setting('archive_mode') FROM kept";
    let words = ["-h", &folder, "-p", &port, "-U", "postgres", "-Atc", sql, "postgres"];
    let said = place.command(&psql, &words).output().expect("it runs").stdout;
    place.tool(&pg_ctl, &["-D", &target, "-m", "immediate", "-w", "stop"]);
    assert_eq!(String::from_utf8_lossy(&said).trim(), "2off");

    // A gap in the archive, which pgBackRest itself does not see.
    place.cluster.psql("SELECT pg_switch_wal()").expect("switched");
    pgbackrest(&["check"]);
    pgbackrest(&["check"]);
    let segments = files(&place.at("repo/archive/main"), ".gz");
    let missing = &segments[segments.len() - 2];
    let aside = place.at("aside");
    fs::rename(missing, &aside).expect("moved");
    let (code, out, _) = place.howdah(&["verify"]);
    assert_eq!(code, 65, "{out}");
    assert!(out.contains("is missing: recovery ends there"), "{out}");
    fs::rename(&aside, missing).expect("moved back");
    assert_eq!(place.howdah(&["verify"]).0, 0);

    // Damage, for which it ends with 0.
    let damaged = files(&place.at("repo/backup/main"), "pg_data/base/1/");
    flip(
        damaged.iter().find(|file| file.to_string_lossy().ends_with("/1259.gz")).expect("pg_class"),
    );
    let (code, report) = place.json(&["verify"]);
    assert_eq!(code, 65, "{report}");
    let findings = report[0]["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 2, "both backups need that file: {report}");
    assert!(findings[0].as_str().expect("text").contains("checksum invalid: 1"), "{report}");
    // A restore of it fails, and leaves nothing.
    let target = place.at("again").display().to_string();
    let (code, _, err) = place.howdah(&["restore", "--into", &target, "--apply"]);
    assert_eq!(code, 1, "{err}");
    assert!(!Path::new(&target).exists() && !place.at("again.tablespaces").exists());
}

/// A process of the test's own that is killed with it.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Terminated, it ends `pg_receivewal` with it; killed, it would leave it behind.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn barman_is_listed_checked_verified_and_restored() {
    let place = Place::new(&[("wal_level", "replica"), ("max_wal_senders", "8")]);
    let folder = place.cluster.folder().display().to_string();
    let port = place.cluster.port();
    // What we start the server by may stand alone; it knows where it is from.
    let bin = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let bin = place.cluster.psql(bin).expect("asked").trim().to_owned();
    place.folder("barman");
    let space = place.folder("space");
    let conninfo = format!("host={folder} port={port} user=postgres dbname=postgres");
    let config = place.file(
        "barman.conf",
        &format!(
            "[barman]\nbarman_user = postgres\nbarman_home = {folder}/barman\nlog_file = {folder}/barman.log\n\
             configuration_files_directory = {folder}/none.d\npath_prefix = {bin}\n\
             [main]\ndescription = main\nconninfo = {conninfo}\nstreaming_conninfo = {conninfo}\n\
             backup_method = postgres\nstreaming_archiver = on\nslot_name = barman\ncreate_slot = auto\n"
        ),
    );
    let config = config.display().to_string();
    place.configure(&format!("barman = 'main'\nbarman_config = '{config}'\n"));
    let sql = format!("CREATE TABLESPACE hot LOCATION '{}'", space.display());
    place.cluster.psql(&sql).expect("made");
    place.cluster.psql("CREATE TABLE kept TABLESPACE hot AS SELECT 1 AS n").expect("made");

    place.tool("barman", &["-c", &config, "receive-wal", "--create-slot", "main"]);
    let mut receive = place.command("barman", &["-c", &config, "receive-wal", "main"]);
    let receive = receive.stdout(Stdio::null()).stderr(Stdio::null());
    let receiver = Kept(receive.spawn().expect("it runs"));
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    eventually("barman receives WAL", Duration::from_mins(1), || {
        place.cluster.psql(streaming).is_ok_and(|count| count.trim() == "1")
    });
    place.tool("barman", &["-c", &config, "switch-wal", "--force", "--archive", "main"]);
    let (code, out, err) = place.howdah(&["check"]);
    assert_eq!(code, 0, "{out}{err}");
    place.tool("barman", &["-c", &config, "backup", "main", "--wait", "--immediate-checkpoint"]);

    let (code, listed) = place.json(&["list"]);
    assert_eq!(code, 0, "{listed}");
    let backups = listed["backups"].as_array().expect("backups");
    assert_eq!(backups.len(), 1);
    assert_eq!(backups[0]["state"]["is"], "whole");
    assert!(backups[0]["began"].is_string() && backups[0]["wal"]["first"].is_string(), "{listed}");
    let (code, out, err) = place.howdah(&["verify"]);
    assert_eq!(code, 0, "{out}{err}");

    // Barman 3.4 would overwrite the live tablespace if it were not told otherwise.
    let before: Vec<_> =
        files(&space, "").iter().map(|file| fs::metadata(file).expect("there").ino()).collect();
    let into = place.at("restored");
    let target = into.display().to_string();
    let (code, out, err) = place.howdah(&["restore", "--into", &target, "--apply"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("--tablespace hot:"), "{out}");
    let after: Vec<_> =
        files(&space, "").iter().map(|file| fs::metadata(file).expect("there").ino()).collect();
    assert_eq!(after, before, "the live tablespace is untouched");
    assert!(!files(&place.at("restored.tablespaces/hot"), "PG_").is_empty(), "moved");

    // Damage and a receiver that has ended are found.
    let held = files(&place.at("barman/main/base"), "data/base/1/1259");
    flip(held.iter().find(|file| file.ends_with("1259")).expect("pg_class"));
    let (code, out, err) = place.howdah(&["verify"]);
    assert_eq!(code, 65, "{err}");
    assert!(out.contains("checksum mismatch"), "{out}");
    drop(receiver);
    let (code, out, _) = place.howdah(&["check"]);
    assert_eq!(code, 65);
    assert!(out.contains("receive wal running: FAILED"), "{out}");
    place.cluster.stop(Stop::Immediate).expect("stopped");
}

#[test]
fn what_cannot_be_asked_is_said_with_its_code() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("c.toml");
    let howdah = |words: &[&str], text: &str| {
        fs::write(&config, text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_howdah"))
            .arg("--config")
            .arg(&config)
            .arg("engine")
            .args(words)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("it runs");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code().expect("it was not killed"), err)
    };
    let base = "default_target = 'main'\n[target.main]\nurl = 'host=nowhere'\n";
    let with = |more: &str| format!("{base}{more}\n");
    for (words, text, code, hint) in [
        (&["list"][..], String::new(), 78, "no target is named"),
        (&["list", "-t", "other"], with(""), 78, "'other'"),
        (&["list"], with(""), 78, "neither a repository nor a backup engine"),
        (&["check"], with(""), 78, "target.main.pgbackrest"),
        (&["check", "--engine", "barman"], with("walg = '/w.json'"), 78, "no barman"),
        (&["check"], with("walg = '/w.json'"), 69, "WAL-G has no check of its own"),
        (&["list"], with("walg = '/w.json'"), 69, "WAL-G is not installed here"),
        (&["check", "--engine", "pgdump"], with(""), 64, "pgbackrest"),
        (&["restore", "--into", "/a/../b"], with("pgbackrest = 'x'"), 64, "'..'"),
        (&["restore", "--into", "/etc"], with("pgbackrest = 'x'"), 77, "not empty"),
        (
            &["restore", "--into", "/nowhere/new"],
            with("pgbackrest = 'x'\nbarman = 'x'\nengine_account = 'postgres'"),
            64,
            "--engine",
        ),
    ] {
        let (got, err) = howdah(words, &text);
        assert_eq!(got, code, "{words:?}: {err}");
        assert!(err.contains(hint), "{words:?}: {err}");
    }
    if rustix::process::geteuid().is_root() {
        let (code, err) =
            howdah(&["list"], &with("barman = 'x'\nengine_account = 'nobody-of-ours'"));
        assert_eq!(code, 78, "{err}");
        assert!(err.contains("nobody-of-ours"), "{err}");
    }
}
