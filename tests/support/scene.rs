//! A repository with everything in it, made once by the program itself and copied for each case, and ways to
//! damage a copy.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use howdah::{
    base::digest::sha256,
    cluster::{Stop, Via, free_port, server::end_all},
    recover::{
        Repository, repository,
        repository::{
            manifest::{File, Manifest, Method, Role},
            storage::Overwrite,
        },
        wal::{Archive, Segment, WalFile},
    },
};
use tempfile::TempDir;

use super::{
    archived::{Archived, HOWDAH, NAME},
    data, options, physical,
};

/// The name of an identity beside a copy.
pub const IDENTITY: &str = "identity";

/// A cluster with two timelines, and its repository: two physical backups and a logical one, WAL before and
/// after a promotion.
pub struct Scene {
    pub cluster: Archived,
    /// Dumps of the shop that lack something, by the argument of `pg_dump` that leaves it out.
    pub dumps: BTreeMap<&'static str, Vec<u8>>,
    home: TempDir,
}

/// One copy of the repository.
pub struct Copy {
    pub repo: PathBuf,
    pub repository: Repository,
    /// The newest logical backup.
    pub logical: Manifest,
    /// The newest physical backup.
    pub physical: Manifest,
    /// The physical backup before it.
    pub older: Manifest,
    home: TempDir,
}

impl Scene {
    /// Makes all of it; with `tablespace` the base backups have an archive for one.
    pub fn new(environment: &[(&str, &str)], tablespace: bool) -> Self {
        let mut own = options();
        own.settings.clear();
        let cluster = Archived::start_with(&own, &[]);
        fs::set_permissions(cluster.repo(), fs::Permissions::from_mode(0o700)).expect("closed");
        data::fill(&cluster, tablespace);
        let lacking =
            ["--exclude-table-data=shop.orders", "--exclude-table=shop.turnover", "--no-blobs"];
        let dumps = lacking.map(|argument| (argument, dumped(&cluster, argument)));
        let home = tempfile::tempdir().expect("a folder");
        let scene = Self { cluster, dumps: BTreeMap::from(dumps), home };
        for kind in ["--physical", "--all", "--physical"] {
            let (code, said) = scene.run(&scene.cluster.repo(), &["backup", kind], environment);
            assert_eq!(code, 0, "{said}");
            scene.commit();
        }
        scene.commit();
        scene.promote();
        scene.commit();
        scene.commit();
        scene
    }

    /// Commits something and archives the segment that it is in.
    pub fn commit(&self) -> String {
        let sql = "CREATE TABLE IF NOT EXISTS marks (n int); \
                   INSERT INTO marks SELECT generate_series(1, 2000)";
        self.cluster.psql(sql).expect("inserted");
        self.cluster.switch()
    }

    /// A failover: the cluster comes back as a standby, and is promoted.
    fn promote(&self) {
        let cluster = &self.cluster;
        cluster.stop(Stop::Fast).expect("stopped");
        let signal = cluster.data_dir().join("standby.signal");
        fs::write(&signal, "").expect("written");
        physical::give(&signal);
        cluster.set("restore_command", &cluster.restore_command()).expect("set");
        cluster.start().expect("started");
        cluster.psql("SELECT pg_promote()").expect("promoted");
        cluster.wait_recovered();
        cluster.wait_archived("00000002.history");
    }

    /// Calls the program for a repository.
    pub fn run(&self, repo: &Path, words: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
        let mut command = self.command(repo, words);
        command.envs(environment.iter().copied());
        super::archived::told(&command.output().expect("ran"))
    }

    /// The same for a copy, with the identity that lies beside it.
    pub fn run_on(&self, copy: &Copy, words: &[&str]) -> (i32, String) {
        let environment = copy.environment();
        let environment: Vec<_> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
        self.run(&copy.repo, words, &environment)
    }

    /// The same, not run yet.
    pub fn command(&self, repo: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(HOWDAH);
        command
            .args(words)
            .args(["--target", &self.cluster.conninfo(Via::Unix), "--name", NAME, "--repository"])
            .arg(repo)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("PGPASSWORD", self.cluster.password().expose());
        command
    }

    /// The repository itself, as if it were a copy.
    pub fn original(&self) -> Copy {
        Self::of(self.cluster.repo(), tempfile::tempdir().expect("a folder"))
    }

    /// A copy of the repository as it is.
    pub fn copy(&self) -> Copy {
        let home = tempfile::tempdir().expect("a folder");
        // The account of a restored server has to reach it, too.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("open");
        let repo = home.path().join("repo");
        let copied = Command::new("cp").arg("-a").arg(self.cluster.repo()).arg(&repo).status();
        assert!(copied.expect("cp").success());
        Self::of(repo, home)
    }

    fn of(repo: PathBuf, home: TempDir) -> Copy {
        let repository = repository::open(&repo.to_string_lossy(), NAME).expect("opened");
        let manifests: Vec<Manifest> = repository
            .backups()
            .expect("listed")
            .iter()
            .filter_map(|entry| entry.manifest().cloned())
            .collect();
        let of = |method| manifests.iter().filter(move |m| m.method == method).rev();
        let logical = of(Method::Logical).next().expect("a logical one").clone();
        let mut physical = of(Method::Physical);
        let (physical, older) = (physical.next().expect("one"), physical.next().expect("another"));
        let (physical, older) = (physical.clone(), older.clone());
        Copy { repo, repository, logical, physical, older, home }
    }
}

impl Copy {
    /// A place beside the repository, on the same file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What is set for calls about it: an identity, if one was laid beside it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let identity = self.beside(IDENTITY);
        let shown = identity.to_string_lossy().into_owned();
        identity.exists().then_some(("HOWDAH_RECOVER_IDENTITY", shown)).into_iter().collect()
    }

    /// Where a file of a backup stands.
    pub fn path(&self, file: &File) -> PathBuf {
        self.repo.join(file.stored.key.as_str())
    }

    /// Where the manifest of a backup stands.
    pub fn manifest(&self, manifest: &Manifest) -> PathBuf {
        let key = self.repository.backup_key(&manifest.id).expect("a key");
        self.repo.join(key.join("manifest.json").expect("a key").as_str())
    }

    /// Writes a manifest anew, with its fingerprint: as if it had been written so at first.
    pub fn write(&self, manifest: &Manifest) {
        let key = self.repository.backup_key(&manifest.id).expect("a key");
        let key = key.join("manifest.json").expect("a key");
        self.repository.write_json(&key, manifest, Overwrite::Replace).expect("written");
    }

    /// The dump of the shop.
    pub fn dump(&self) -> File {
        file(
            &self.logical,
            |role| matches!(role, Role::Dump { database } if database == data::SHOP),
        )
    }

    /// The content of a file, unpacked.
    pub fn content(&self, file: &File) -> Vec<u8> {
        let mut content = Vec::new();
        let mut stored = self.repository.unseal(&file.stored).expect("opened");
        stored.read_to_end(&mut content).expect("read");
        content
    }

    /// Replaces the content of a backup's file, hashes and manifest included: as if it had been written so.
    pub fn reseal(&self, manifest: &Manifest, role: &Role, content: &[u8]) {
        self.reseal_by(&self.repository, manifest, role, content);
    }

    /// The same for whom that repository seals.
    pub fn reseal_by(&self, by: &Repository, manifest: &Manifest, role: &Role, content: &[u8]) {
        let mut manifest = manifest.clone();
        let file = manifest.files.iter_mut().find(|file| file.role == *role).expect("a file");
        fs::remove_file(self.path(file)).expect("removed");
        let mut sealing = by.seal(&file.stored.key).expect("begun");
        sealing.write_all(content).expect("written");
        file.stored = sealing.finish().expect("sealed");
        self.write(&manifest);
    }

    /// Packs the newest physical backup's base again, without what `change` refuses, and with what it changed.
    pub fn repack(&self, mut change: impl FnMut(&str, &mut Vec<u8>) -> bool) {
        let base = file(&self.physical, |role| *role == Role::Base);
        let packed = self.content(&base);
        let mut archive = tar::Archive::new(packed.as_slice());
        let mut builder = tar::Builder::new(Vec::new());
        for entry in archive.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut header = entry.header().clone();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("read");
            if change(&path, &mut content) {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_slice()).expect("appended");
            }
        }
        self.reseal(&self.physical, &Role::Base, &builder.into_inner().expect("whole"));
    }

    /// The archive.
    pub fn archive(&self) -> Archive {
        Archive::Repository(self.repository.clone())
    }

    /// A segment of the first timeline behind the newest physical backup; more follow it.
    pub fn segment(&self) -> Segment {
        let wal = self.physical.wal.as_ref().expect("WAL");
        Segment::at(wal.timeline, wal.stop, wal.segment_size).next(wal.segment_size)
    }

    /// The segment behind that.
    pub fn next(&self) -> Segment {
        self.segment().next(self.physical.wal.as_ref().expect("WAL").segment_size)
    }

    /// Where a file of the archive stands, and its content.
    pub fn wal(&self, file: WalFile) -> (PathBuf, Vec<u8>) {
        let archive = self.archive();
        let kept = archive.find_one(file).expect("looked").expect("there");
        (self.repo.join(kept.place().as_str()), archive.read(&kept).expect("read"))
    }

    /// Archives content under a segment's name, unchecked, with a right fingerprint.
    pub fn put(&self, segment: Segment, content: &[u8]) {
        let (old, _) = self.wal(WalFile::Segment(segment));
        let packed = zstd::encode_all(content, 1).expect("packed");
        let name = format!("{segment}.{}.zst", sha256(content));
        fs::write(old.with_file_name(name), packed).expect("written");
    }

    /// Replaces a segment, with a right fingerprint.
    pub fn replace(&self, segment: Segment, change: impl FnOnce(&mut Vec<u8>)) {
        let (old, mut content) = self.wal(WalFile::Segment(segment));
        change(&mut content);
        let beside = old.with_extension("old");
        fs::rename(&old, &beside).expect("moved");
        let packed = zstd::encode_all(content.as_slice(), 1).expect("packed");
        let name = format!("{segment}.{}.zst", sha256(&content));
        fs::write(old.with_file_name(name), packed).expect("written");
        fs::remove_file(beside).expect("removed");
    }
}

fn dumped(cluster: &Archived, argument: &str) -> Vec<u8> {
    let output = cluster
        .program("pg_dump")
        .args(["-Fc", "-Z0", "-d", data::SHOP, argument])
        .output()
        .expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Scene {
    /// Tries to bring back a whole copy from one backup: the shop into a database of its own, or the cluster
    /// to its last commit. How that ended, and what was said.
    pub fn restore(&self, copy: &Copy, method: Method) -> (Ended, String) {
        let port = free_port().expect("a port");
        let (into, port) = (format!("back_{port}"), port.to_string());
        let folder = copy.beside("back");
        let id = match method {
            Method::Logical => copy.logical.id.to_string(),
            Method::Physical => copy.physical.id.to_string(),
        };
        let mut words = vec!["restore"];
        match method {
            Method::Logical => {
                words.extend(["database", "--database", data::SHOP, "--into", &into]);
                words.extend(["--confirm", &into]);
            }
            Method::Physical => {
                words.extend(["cluster", "--latest", "--port", &port, "--into"]);
                words.push(folder.to_str().expect("text"));
            }
        }
        words.extend(["--backup", &id, "--apply"]);
        let (code, said) = self.run_on(copy, &words);
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{into}'");
        let there = folder.exists() || self.cluster.psql(&count).expect("asked") == "1";
        self.cluster.psql(&format!("DROP DATABASE IF EXISTS {into}")).expect("dropped");
        end_all(&folder);
        let ended = match (code, there) {
            (0, _) => Ended::Restored,
            (code, true) => Ended::Told(code),
            (code, false) => Ended::Refused(code),
        };
        (ended, said)
    }
}

/// How a restore ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Without a word that anything is wrong.
    Restored,
    /// Something came back, and it is told that it is not what was backed up; the exit code.
    Told(i32),
    /// Nothing came back; the exit code.
    Refused(i32),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored => f.write_str("RESTORED"),
            Self::Told(code) => write!(f, "told, {code}"),
            Self::Refused(code) => write!(f, "refused, {code}"),
        }
    }
}

/// The file of a backup with such a role.
pub fn file(manifest: &Manifest, fits: impl Fn(&Role) -> bool) -> File {
    manifest.files.iter().find(|file| fits(&file.role)).expect("a file").clone()
}

/// Flips one bit in the middle of a file.
pub fn flip(path: &Path) {
    change(path, |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 4;
    });
}

/// Changes the bytes of a file.
pub fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    how(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// Two files change places.
pub fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).expect("moved");
    fs::rename(other, one).expect("moved");
    fs::rename(&aside, other).expect("moved");
}
