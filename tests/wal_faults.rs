//! Whatever ends the archiving of a file, at whichever step, leaves nothing that looks whole, and the next
//! attempt succeeds.

#![cfg(feature = "s3")]
#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support::bucket;
use std::{
    env, fs,
    io::{self, Read, Write},
    ops::Range,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use crate::support::{
    archived::{Archived, HOWDAH, NAME, told},
    eventually,
    small_disk::SmallDisk,
};
use howdah::{
    base::{
        process::{Signal, signal},
        progress::Silent,
        text::Text,
    },
    recover::{
        Kind, Repository, Result,
        repository::{
            folder::Folder,
            key::Key,
            storage::{Leftover, Object, Overwrite, Space, Storage, Upload},
        },
        wal::{
            Archive, Segment, WalFile, put,
            segment::USUAL_SIZE,
            verify::{Depth, verify},
        },
    },
};

/// Tells the test's second self what to archive, where to, and when to die.
const PATH: &str = "HOWDAH_TEST_PATH";
const REPO: &str = "HOWDAH_TEST_REPO";
const STEP: &str = "HOWDAH_TEST_STEP";

/// When a process dies that archives.
const STEPS: [&str; 5] = [
    "before the temporary file",
    "half of it written",
    "before it is published",
    "published, and the temporary file is still there",
    "published",
];

/// A folder whose writer is killed at one step of one object.
struct Deadly {
    folder: Folder,
    step: usize,
    /// The object is known by this in its name.
    object: &'static str,
}

struct DeadlyUpload {
    inner: Box<dyn Upload>,
    step: usize,
    place: PathBuf,
    content: Vec<u8>,
}

/// As `kill -9` does it.
fn die() -> ! {
    assert!(signal(std::process::id() as i32, Signal::KILL));
    loop {
        std::thread::park();
    }
}

impl Storage for Deadly {
    fn describe(&self) -> Text {
        self.folder.describe()
    }

    fn create(&self, key: &Key, overwrite: Overwrite) -> Result<Box<dyn Upload>> {
        if !key.as_str().contains(self.object) {
            return self.folder.create(key, overwrite);
        }
        if self.step == 0 {
            die();
        }
        let inner = self.folder.create(key, overwrite)?;
        let place = self.folder.root().join(key.as_str());
        Ok(Box::new(DeadlyUpload { inner, step: self.step, place, content: Vec::new() }))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Read + Send>> {
        self.folder.open(key)
    }

    fn open_range(&self, key: &Key, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        self.folder.open_range(key, range)
    }

    fn list(&self, below: &Key) -> Result<Vec<Object>> {
        self.folder.list(below)
    }

    fn children(&self, below: Option<&Key>) -> Result<Vec<String>> {
        self.folder.children(below)
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.folder.stat(key)
    }

    fn remove(&self, key: &Key) -> Result<()> {
        self.folder.remove(key)
    }

    fn leftovers(&self, below: &Key) -> Result<Vec<Leftover>> {
        self.folder.leftovers(below)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.folder.remove_leftover(leftover)
    }

    fn space(&self) -> Result<Option<Space>> {
        self.folder.space()
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.folder.path(key)
    }
}

impl Write for DeadlyUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.step == 1 {
            self.inner.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            self.inner.flush()?;
            die();
        }
        self.content.extend_from_slice(bytes);
        self.inner.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for DeadlyUpload {
    fn finish(self: Box<Self>) -> Result<()> {
        if self.step == 2 {
            die();
        }
        self.inner.finish()?;
        if self.step == 3 {
            // What stands there between the second name and the end of the first.
            let mut temporary = self.place.into_os_string();
            temporary.push(".partial-abcdefgh");
            fs::write(temporary, &self.content).expect("written");
        }
        die()
    }
}

/// The second self: archives until it dies.
fn second_self(path: &Path) {
    let folder = env::var_os(REPO).expect("a repository");
    let (object, step) = env::var(STEP)
        .expect("a step")
        .split_once(' ')
        .map(|(object, step)| (object.to_owned(), step.parse().expect("a number")))
        .expect("an object and a step");
    let object = if object == "claim" { "target.json" } else { "/wal/" };
    let folder = Folder::open(Path::new(&folder)).expect("a folder");
    let storage = Arc::new(Deadly { folder, step, object });
    let repository = Repository::new(storage, NAME).expect("a name");
    let archived = put::put(&repository, path);
    unreachable!("it outlived its end: {archived:?}");
}

/// A finished segment, a third of which does not compress, by its path in a folder of its own.
fn segment(cluster: &Archived) -> PathBuf {
    cluster
        .psql(
            "CREATE TABLE noise AS SELECT sha512(random()::text::bytea) AS a, repeat('x', 100) AS b \
             FROM generate_series(1, 200000)",
        )
        .expect("made");
    // The last one is not full.
    let last: Segment = cluster.switch().parse().expect("a name");
    let full = Segment::numbered(last.timeline, last.number(USUAL_SIZE) - 1, USUAL_SIZE);
    let kept = cluster.archive().find_one(WalFile::Segment(full)).expect("looked");
    let content = cluster.archive().read(&kept.expect("there")).expect("read");
    let path = cluster.folder().join(full.to_string());
    fs::write(&path, content).expect("written");
    cluster.give(&path);
    path
}

fn file(path: &Path) -> WalFile {
    let name = path.file_name().expect("a name").to_string_lossy();
    name.parse().expect("a name of WAL")
}

/// What is in an archive of one segment: nothing, or the whole of it; and nothing else in any case.
fn is_there(repository: &Repository, path: &Path) -> bool {
    let archive = Archive::Repository(repository.clone());
    let listing = archive.list().expect("listed");
    assert_eq!(listing.strangers, []);
    let kept = archive.find_one(file(path)).expect("looked");
    assert_eq!(listing.files.len(), usize::from(kept.is_some()));
    if let Some(kept) = &kept {
        let content = archive.read(kept).expect("whole");
        assert!(content == fs::read(path).expect("read"), "it is what was archived");
    }
    let depth = Depth { sample: 1, ..Depth::default() };
    let report = verify(&archive, depth, &Silent::default()).expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    kept.is_some()
}

fn archive(repository: &str, path: &Path) -> (i32, String) {
    let path = path.to_string_lossy();
    let mut howdah = Command::new(HOWDAH);
    howdah
        .args(["wal", "archive", "--repository", repository, "--name", NAME, &path])
        .env("AWS_ACCESS_KEY_ID", bucket::KEYS.0)
        .env("AWS_SECRET_ACCESS_KEY", bucket::KEYS.1);
    told(&howdah.output().expect("ran"))
}

#[test]
fn a_killed_archiver_leaves_nothing_that_looks_whole() {
    if let Some(path) = env::var_os(PATH) {
        return second_self(Path::new(&path));
    }
    let cluster = Archived::start(&[]);
    let path = segment(&cluster);
    let mut cases = 0;
    for object in ["claim", "segment"] {
        for (step, word) in STEPS.iter().enumerate() {
            let home = tempfile::tempdir().expect("a folder");
            let ended = Command::new(env::current_exe().expect("our own program"))
                .args(["--exact", "wal_faults::a_killed_archiver_leaves_nothing_that_looks_whole"])
                .env(PATH, &path)
                .env(REPO, home.path())
                .env(STEP, format!("{object} {step}"))
                .output()
                .expect("ran");
            assert_eq!(ended.status.signal(), Some(9), "{object}, {word}: {ended:?}");
            let folder = Arc::new(Folder::open(home.path()).expect("opened"));
            let repository = Repository::new(folder, NAME).expect("a name");
            let there = is_there(&repository, &path);
            assert_eq!(there, object == "segment" && step >= 3, "{object}, {word}");
            let left = repository.leftovers().expect("listed").expect("a folder");
            assert_eq!(left.len(), usize::from((1..=3).contains(&step)), "{object}, {word}");

            let place = home.path().to_string_lossy().into_owned();
            assert_eq!(archive(&place, &path), (0, String::new()), "{object}, {word}");
            assert!(is_there(&repository, &path), "{object}, {word}");
            cases += 1;
        }
    }
    println!(
        "{cases} of {cases} kills left nothing that looks whole, and the next attempt succeeded"
    );
}

#[test]
fn a_full_disk_is_an_exit_code_and_the_server_comes_back_to_it() {
    let cluster = Archived::start(&[]);
    let path = segment(&cluster);
    let disk = SmallDisk::mount(1);
    let place = disk.path().to_string_lossy().into_owned();
    let repository = howdah::recover::repository::open(&place, NAME).expect("opened");
    let (code, said) = archive(&place, &path);
    assert!(code == 73 && said.contains("No space left"), "{code}: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!is_there(&repository, &path));
    assert_eq!(repository.leftovers().expect("listed").expect("a folder"), []);
    disk.resize(100);
    assert_eq!(archive(&place, &path), (0, String::new()));
    assert!(is_there(&repository, &path));

    // The server asks again by itself, in order, and nothing is lost meanwhile.
    let disk = SmallDisk::mount(1);
    cluster.give(disk.path());
    let place = disk.path().to_string_lossy().into_owned();
    let repository = howdah::recover::repository::open(&place, NAME).expect("opened");
    let command = format!("{HOWDAH} wal archive --repository {place} --name {NAME} %p");
    cluster.set("archive_command", &command).expect("set");
    for _ in 0..2 {
        cluster
            .psql("INSERT INTO noise TABLE noise LIMIT 30000; SELECT pg_switch_wal()")
            .expect("written");
    }
    let failed = || {
        let asked = cluster.psql("SELECT failed_count > 0 FROM pg_stat_archiver");
        asked.expect("asked").trim() == "t"
    };
    eventually("the archiver to fail", Duration::from_secs(30), failed);
    assert!(cluster.log_tail(20).contains("archive command failed with exit code 73"));
    disk.resize(200);
    let own = || Archive::Repository(repository.clone()).list().expect("listed").files.len();
    // It waits a minute after three attempts; a reload wakes it.
    cluster.wait("what waited in the archive", || {
        cluster.reload().expect("told");
        own() >= 2
    });
    let report = verify(
        &Archive::Repository(repository),
        Depth { all: true, ..Depth::default() },
        &Silent::default(),
    );
    let report = report.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_bucket_that_refuses_or_breaks_off_is_an_exit_code_and_leaves_nothing() {
    let cluster = Archived::start(&[]);
    let path = segment(&cluster);
    let server = bucket::Server::start();
    let network = bucket::Network::before(&server);
    // This server keeps notes on uploads in parts in files whose names hold that of the object: it would have
    // to be shorter than ours. What is below 8 MB goes in one piece.
    let words = bucket::words(network.address)
        .replace("timeout=30s", "timeout=5s")
        .replace("/deep/inside", "");
    let size = fs::metadata(&path).expect("there").len() as i64;
    let through = |keys| {
        let storage = Arc::new(bucket::bucket(&words, keys));
        Repository::new(storage, NAME).expect("a name")
    };

    let refused = put::put(&through((bucket::KEYS.0, "guessed")), &path).expect_err("refused");
    assert_eq!(refused.kind, Kind::Config, "{refused}");
    assert_eq!(server.files(), [""; 0]);

    // While it is looked for, in the middle of the upload, and at its end.
    let repository = through(bucket::KEYS);
    let mut broke = 0;
    for after in [0, 300, size / 16, size / 8, size / 4] {
        network.break_after(after);
        let (code, said) = archive(&words, &path);
        network.heal();
        if code == 0 {
            continue;
        }
        broke += 1;
        assert!((1..=125).contains(&code) && said.lines().count() == 1, "{after}: {code}: {said}");
        assert!(!is_there(&repository, &path), "{after}");
    }
    assert!(broke >= 4, "it broke {broke} times");

    // The server asks again until it succeeds. This bucket may still be at work on what broke off.
    let mut said = Vec::new();
    eventually("an attempt that succeeds", Duration::from_mins(1), || {
        let (code, words) = archive(&words, &path);
        said.push(words);
        assert!(said.len() < 10, "{said:?}");
        code == 0
    });
    assert!(is_there(&repository, &path));
    assert_eq!(archive(&words, &path), (0, String::new()), "the same again");
    assert_eq!(server.parts(), 0);
}
