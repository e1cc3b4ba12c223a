//! Clusters that archive their WAL, physical backups of them, and marks to return to.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use howdah::{
    base::{
        cancel::Cancel,
        clock::{Clock, Timestamp},
        exec::Tool,
        progress::Silent,
    },
    cluster::{Cluster, Via, folder::Account},
    recover::{
        Repository, libpq,
        physical::archive::PlainFolder,
        repository::{
            folder::Folder,
            manifest::{
                BackupId, Database, FORMAT, File, Inventory, Manifest, Method, Origin, Relation,
                Role, WalSpan, parse_lsn,
            },
            storage::Overwrite,
        },
    },
    resilience::conninfo::{Environment, Settings},
};
use tempfile::TempDir;

/// A cluster with small segments that archives by `cp`, and a repository beside it.
pub struct Estate {
    /// The cluster.
    pub cluster: Cluster,
    /// Where it archives.
    pub archive: PathBuf,
    /// Where its backups are.
    pub repository: Repository,
    home: TempDir,
}

/// A moment that a test can return to.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The largest number in `marks` then: in a fresh table, its rows.
    pub rows: i64,
    /// Just after its commit.
    pub at: Timestamp,
    /// The transaction.
    pub xid: u32,
    /// The position behind it.
    pub lsn: u64,
}

impl Estate {
    /// A fresh one, with an empty table `marks`.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("open");
        let archive = home.path().join("archive");
        fs::create_dir(&archive).expect("made");
        give(&archive);
        let command = format!("test ! -f '{0}/%f' && cp '%p' '{0}/%f'", archive.display());
        let cluster = super::cluster_with(&[
            ("archive_mode", "on"),
            ("archive_command", &command),
            ("wal_level", "replica"),
            ("max_wal_senders", "4"),
            ("track_commit_timestamp", "on"),
            ("autovacuum", "off"),
        ]);
        let folder = Folder::make(&home.path().join("repository")).expect("a repository");
        let repository = Repository::new(Arc::new(folder), "test").expect("a target");
        let estate = Self { cluster, archive, repository, home };
        estate.sql(
            "CREATE TABLE marks(id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())",
        );
        estate
    }

    /// A path beside everything.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs SQL on the cluster.
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.psql(sql).expect("run")
    }

    /// The archive.
    pub fn wal(&self) -> PlainFolder {
        PlainFolder::open(&self.archive).expect("an archive")
    }

    /// Commits one more row.
    pub fn mark(&self) -> Mark {
        let sql = "WITH new AS (INSERT INTO marks SELECT coalesce(max(id), 0) + 1 FROM marks RETURNING id) \
                   SELECT id, pg_current_xact_id() FROM new; \
                   SELECT pg_current_wal_insert_lsn(), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let said = self.sql(sql);
        let words: Vec<&str> = said.split(['|', '\n']).collect();
        let mark = Mark {
            rows: words[0].parse().expect("a number"),
            xid: words[1].parse().expect("a number"),
            lsn: parse_lsn(words[2]).expect("a position"),
            at: words[3].parse().expect("a time"),
        };
        // So that times in between exist.
        std::thread::sleep(Duration::from_millis(5));
        mark
    }

    /// Ends the segment and waits until it is archived.
    pub fn switch(&self) {
        let name = self.sql("SELECT pg_walfile_name(pg_switch_wal())");
        let archived = self.archive.join(&name);
        super::eventually("the segment is archived", Duration::from_secs(20), || archived.exists());
        // `cp` makes the name first and the content after it.
        super::eventually("it is whole", Duration::from_secs(20), || {
            fs::metadata(&archived).is_ok_and(|about| about.len() == 16 << 20)
                && self.sql("SELECT last_archived_wal FROM pg_stat_archiver") >= name
        });
    }

    /// The settings to connect as superuser.
    pub fn settings(&self) -> Settings {
        let words = self.cluster.conninfo(Via::Unix);
        let mut settings = Settings::parse(&words, &Environment::bare()).expect("settings");
        settings.password = Some(self.cluster.password().clone());
        settings
    }

    /// A call of the program that restores, with this repository and this archive.
    pub fn howdah(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command
            .args(words)
            .arg("--repository")
            .arg(self.path("repository"))
            .args(["--name", "test"]);
        command.arg("--wal-folder").arg(&self.archive).env("HOME", self.home.path());
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOWDAH_ACTOR"] {
            command.env_remove(name);
        }
        command
    }

    /// The same for what needs neither.
    pub fn run_plain(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.args(words).env("HOME", self.home.path()).env_remove("XDG_CONFIG_HOME");
        outcome(command.env_remove("XDG_STATE_HOME"))
    }

    /// Runs one: its exit code, what it printed, and what went wrong.
    pub fn run(&self, words: &[&str]) -> (i32, String, String) {
        outcome(&mut self.howdah(words))
    }

    /// Takes a physical backup by `pg_basebackup`, as the backup room lays it out.
    pub fn backup(&self) -> Manifest {
        let clock = Clock::system();
        let began = clock.wall();
        let id = BackupId::new(began, Method::Physical);
        let out = tempfile::tempdir().expect("a folder");
        let settings = self.settings();
        let tool = Tool::new(self.cluster.binaries().program("pg_basebackup"))
            .args(["-Ft", "-X", "fetch", "-c", "fast", "-D"])
            .arg(out.path());
        libpq::connecting(tool, &settings, &settings.hosts[0], None)
            .run(&Cancel::new(), &mut |_| {})
            .expect("a base backup");
        let mut files = Vec::new();
        for entry in fs::read_dir(out.path()).expect("listed") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
            let role = match name.as_str() {
                "base.tar" => Role::Base,
                "pg_wal.tar" => Role::Wal,
                "backup_manifest" => Role::BackupManifest,
                other => {
                    let oid: u32 = other.trim_end_matches(".tar").parse().expect("a number");
                    let location = self.sql(&format!("SELECT pg_tablespace_location({oid})"));
                    Role::Tablespace { oid, location }
                }
            };
            files.push(self.seal(&id, &name, role, &path));
        }
        let label = Tool::new("tar")
            .args(["-xOf"])
            .arg(out.path().join("base.tar"))
            .arg("backup_label")
            .run(&Cancel::new(), &mut |_| {})
            .expect("a label");
        let label = String::from_utf8(label).expect("text");
        let start = label.split_whitespace().nth(3).and_then(parse_lsn).expect("a start");
        let said = fs::read_to_string(out.path().join("backup_manifest")).expect("a manifest");
        let stop = said.split("\"End-LSN\": \"").nth(1).and_then(|rest| rest.split('"').next());
        let manifest = Manifest {
            format: FORMAT,
            id,
            method: Method::Physical,
            began,
            ended: clock.wall(),
            howdah: "test".into(),
            tool: "pg_basebackup".into(),
            cluster: self.origin(),
            files,
            wal: Some(WalSpan {
                timeline: self.origin().timeline,
                start,
                stop: stop.and_then(parse_lsn).expect("an end"),
                segment_size: 16 << 20,
            }),
            inventory: self.inventory(),
            phases: Vec::new(),
        };
        self.keep(&manifest);
        manifest
    }

    /// Writes a manifest, in place of one that is there.
    pub fn keep(&self, manifest: &Manifest) {
        let key = self
            .repository
            .backup_key(&manifest.id)
            .expect("a key")
            .join("manifest.json")
            .expect("a key");
        self.repository.write_json(&key, manifest, Overwrite::Replace).expect("kept");
    }

    /// Packs one file of a backup.
    pub fn seal(&self, id: &BackupId, name: &str, role: Role, path: &Path) -> File {
        let key = self
            .repository
            .backup_key(id)
            .expect("a key")
            .join(&format!("{name}.zst"))
            .expect("a key");
        let mut sealing = self.repository.seal(&key).expect("begun");
        sealing.write_all(&fs::read(path).expect("read")).expect("written");
        File { role, stored: sealing.finish().expect("sealed") }
    }

    fn origin(&self) -> Origin {
        let one = |sql: &str| self.sql(sql);
        Origin {
            system_identifier: one("SELECT system_identifier FROM pg_control_system()")
                .parse()
                .expect("a number"),
            version: one("SHOW server_version_num").parse().expect("a number"),
            timeline: u32::from_str_radix(
                &one("SELECT pg_walfile_name(pg_current_wal_lsn())")[..8],
                16,
            )
            .expect("hex"),
            host: "local".into(),
            data_directory: Some(one("SHOW data_directory")),
            standby: false,
        }
    }

    fn inventory(&self) -> Inventory {
        let lines = |sql: &str| self.sql(sql).lines().map(str::to_owned).collect::<Vec<_>>();
        let relations = lines(
            "SELECT concat_ws('|', n.nspname, c.relname, c.relkind, c.oid, c.relpersistence = 'u') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'm', 'S') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
        );
        let relation = |line: &String| {
            let words: Vec<&str> = line.split('|').collect();
            Relation {
                schema: words[0].into(),
                name: words[1].into(),
                kind: words[2].chars().next().expect("a kind"),
                oid: words[3].parse().expect("a number"),
                unlogged: words[4] == "t",
                ..Relation::default()
            }
        };
        Inventory {
            roles: lines("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"),
            tablespaces: std::collections::BTreeMap::new(),
            databases: vec![Database {
                name: "postgres".into(),
                relations: relations.iter().map(relation).collect(),
                ..Database::default()
            }],
        }
    }
}

/// Gives a path to the account of servers.
pub fn give(path: &Path) {
    if let Some(account) = Account::for_servers().expect("an account") {
        chown(path, Some(account.uid), Some(account.gid)).expect("given");
    }
}

/// An observer that says nothing.
pub fn silent() -> Silent {
    Silent::default()
}

fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}
