//! A segment is handed over whole and checked, or not at all: fetched ahead, damaged, cut off, asked for twice.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    env, fs,
    fs::File,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use crate::support::{
    archived::{HOWDAH, NAME, told},
    eventually,
};
use howdah::recover::{
    Repository, repository,
    wal::{
        Archive, Segment,
        fetch::{Came, fetch},
        put::put,
        spool::Spool,
    },
};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process_group},
};
use tempfile::TempDir;

/// Bytes of a segment, and of a page.
const SIZE: usize = 1 << 20;
const PAGE: usize = 8192;
/// What `wal fetch` ends with for damage: EX_DATAERR, beyond what a server takes for "not there".
const DAMAGED: i32 = 128 + 65;

/// A segment of PostgreSQL 15 with a header on every page, and bytes between them that do not compress well.
fn segment(number: u64) -> Vec<u8> {
    let mut noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes: Vec<u8> = (0..SIZE)
        .map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            // Half of each byte.
            (noise & 0x0F) as u8
        })
        .collect();
    for (at, page) in bytes.chunks_mut(PAGE).enumerate() {
        let first = at == 0;
        page[..24].fill(0);
        page[0..2].copy_from_slice(&0xD110_u16.to_le_bytes());
        page[2..4].copy_from_slice(&(if first { 2_u16 } else { 0 }).to_le_bytes());
        page[4..8].copy_from_slice(&1_u32.to_le_bytes());
        let position = number * SIZE as u64 + (at * PAGE) as u64;
        page[8..16].copy_from_slice(&position.to_le_bytes());
        if first {
            page[24..32].copy_from_slice(&7_u64.to_le_bytes());
            page[32..36].copy_from_slice(&(SIZE as u32).to_le_bytes());
            page[36..40].copy_from_slice(&(PAGE as u32).to_le_bytes());
        }
    }
    bytes
}

/// An archive with segments 1 to `count`, and a folder that they are fetched to.
struct Scene {
    home: TempDir,
    repository: Repository,
}

impl Scene {
    fn with(count: u64) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        for folder in ["repo", "wal", "in"] {
            fs::create_dir(home.path().join(folder)).expect("made");
        }
        let place = home.path().join("repo");
        let repository = repository::open(place.to_str().expect("a path"), NAME).expect("opened");
        for number in 1..=count {
            let path = home.path().join("in").join(name(number));
            fs::write(&path, segment(number)).expect("written");
            put(&repository, &path).expect("archived");
        }
        Self { home, repository }
    }

    fn target(&self) -> PathBuf {
        self.home.path().join("wal/RECOVERYXLOG")
    }

    fn spool(&self) -> PathBuf {
        self.home.path().join("wal/howdah-spool")
    }

    fn fetch(&self, number: u64, more: &[&str]) -> Command {
        self.fetch_file(&name(number), more)
    }

    fn fetch_file(&self, file: &str, more: &[&str]) -> Command {
        let mut command = Command::new(HOWDAH);
        command
            .args(["wal", "fetch", "--name", NAME, "--repository"])
            .arg(self.home.path().join("repo"))
            .args(more)
            .arg(file)
            .arg(self.target())
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    fn fetched(&self, number: u64) -> Output {
        self.fetched_file(&name(number))
    }

    fn fetched_file(&self, file: &str) -> Output {
        self.fetch_file(file, &[]).output().expect("ran")
    }

    /// Fetches one that is there, whole.
    fn good(&self, number: u64) {
        assert_eq!(told(&self.fetched(number)), (0, String::new()), "{number}");
        self.has(number);
    }

    fn has(&self, number: u64) {
        let there = fs::read(self.target()).expect("there");
        assert!(there == segment(number), "what came is not segment {number}");
    }

    /// The file of a segment in the archive.
    fn stored(&self, number: u64) -> PathBuf {
        let archive = Archive::Repository(self.repository.clone());
        let file = name(number).parse().expect("a name");
        let kept = archive.find_one(file).expect("looked").expect("there");
        self.home.path().join("repo").join(kept.place().as_str())
    }

    /// The file of a segment in the spool, as soon as it is there.
    fn spooled(&self, number: u64) -> PathBuf {
        let find = || {
            let names = names(&self.spool()).into_iter();
            names.filter(|n| n.starts_with(&name(number))).find(|n| !n.contains("partial"))
        };
        eventually("the segment in the spool", Duration::from_secs(20), || find().is_some());
        self.spool().join(find().expect("there"))
    }

    /// What stands beside the target, without the spool.
    fn beside(&self) -> Vec<String> {
        let mut names = names(&self.home.path().join("wal"));
        names.retain(|name| name != "howdah-spool");
        names
    }
}

fn name(number: u64) -> String {
    Segment::numbered(1, number, SIZE as u64).to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).expect("damaged");
}

#[test]
fn segments_come_one_after_the_other_most_of_them_ahead() {
    let scene = Scene::with(20);
    scene.good(1);
    let eight = || {
        eventually("eight of them, and the lock", Duration::from_secs(20), || {
            let names = names(&scene.spool());
            names.len() == 8 + 1 && names.iter().all(|name| !name.contains("partial"))
        });
    };
    eight();
    // So it looks when recovery ends before the archive does.
    assert_eq!(told(&scene.fetched_file("00000002.history")), (1, String::new()));
    assert!(!scene.spool().exists(), "at the end of recovery it is gone");
    scene.good(1);
    eight();
    for number in 2..=20 {
        scene.good(number);
    }
    assert_eq!(told(&scene.fetched(21)), (1, String::new()));
    assert!(!scene.spool().exists(), "at the end of the archive it is gone");
    assert_eq!(scene.beside(), ["RECOVERYXLOG"]);
}

#[test]
fn what_is_damaged_in_the_spool_comes_from_the_archive() {
    let scene = Scene::with(6);
    scene.good(1);
    flip(&scene.spooled(2));
    let cut = scene.spooled(3);
    fs::write(&cut, &fs::read(&cut).expect("read")[..SIZE / 2]).expect("cut off");
    fs::write(scene.spooled(4), "").expect("emptied");
    // Sound, and of another segment.
    fs::copy(scene.spooled(6), scene.spooled(5)).expect("mixed up");
    for number in 2..=6 {
        scene.good(number);
    }
}

#[test]
fn what_is_damaged_in_the_archive_is_neither_fetched_ahead_nor_handed_over() {
    let scene = Scene::with(5);
    flip(&scene.stored(3));
    scene.good(1);
    scene.spooled(2);
    scene.good(2);
    let (code, said) = told(&scene.fetched(3));
    assert!(code == DAMAGED && said.contains(&name(3)), "{code}: {said}");
    scene.has(2);
    assert_eq!(scene.beside(), ["RECOVERYXLOG"]);
    let whole = |spooled: &&String| !spooled.contains("partial");
    let spooled = names(&scene.spool());
    assert!(
        spooled.iter().filter(whole).all(|spooled| !spooled.starts_with(&name(3))),
        "{spooled:?}"
    );
}

#[test]
fn asked_for_twice_at_once_it_comes_whole_to_both() {
    let scene = Scene::with(12);
    for number in 1..=12 {
        let start = || {
            let mut command =
                scene.fetch(number, &["--ahead", if number % 2 == 0 { "0" } else { "3" }]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started")
        };
        let both: Vec<Child> = (0..2).map(|_| start()).collect();
        for one in both {
            assert_eq!(told(&one.wait_with_output().expect("ended")), (0, String::new()));
            scene.has(number);
        }
    }
    assert_eq!(scene.beside(), ["RECOVERYXLOG"]);
}

#[test]
fn what_was_just_fetched_ahead_costs_no_look_at_the_archive_and_what_is_older_does() {
    let scene = Scene::with(4);
    scene.good(1);
    for number in 2..=4 {
        scene.spooled(number);
    }
    let (there, away) = (scene.home.path().join("repo"), scene.home.path().join("away"));
    let archive = Archive::Repository(scene.repository.clone());
    let spool = Spool::new(&scene.spool(), 0);
    let fetch = |number| {
        let file = name(number).parse().expect("a name");
        fetch(&archive, file, &scene.target(), Some(&spool))
    };
    fs::rename(&there, &away).expect("the archive is out of reach");
    assert_eq!(fetch(2).expect("fetched"), Came::Spool);
    scene.has(2);
    // Another recovery may have left it: the archive may have something else by now.
    let old = File::options().write(true).open(scene.spooled(3)).expect("there");
    let put = old.metadata().and_then(|about| about.modified()).expect("a moment");
    old.set_modified(put - Duration::from_mins(10)).expect("aged");
    assert_ne!(fetch(3).ok(), Some(Came::Spool), "nobody can say that the archive still has it");
    fs::rename(&away, &there).expect("back");
    assert_eq!(fetch(3).expect("fetched"), Came::Spool);
    // Two of one name are for the archive to tell apart.
    let other = scene.spooled(4).with_file_name(format!("{}.{}.00000000", name(4), "0".repeat(64)));
    fs::copy(scene.spooled(4), other).expect("doubled");
    assert_eq!(fetch(4).expect("fetched"), Came::Spool);
    scene.has(4);
}

/// A flat archive whose segment is a pipe: its bytes come when the test says so.
struct Slow {
    scene: Scene,
    archive: PathBuf,
    pipe: PathBuf,
}

impl Slow {
    fn new() -> Self {
        let scene = Scene::with(0);
        let archive = scene.home.path().join("flat");
        fs::create_dir(&archive).expect("made");
        let pipe = archive.join(name(1));
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        Self { scene, archive, pipe }
    }

    fn fetch(&self) -> Child {
        let mut command = Command::new(HOWDAH);
        command
            .args(["wal", "fetch", "--from-folder"])
            .arg(&self.archive)
            .arg(name(1))
            .arg(self.scene.target())
            .env("HOME", self.scene.home.path())
            .stderr(Stdio::piped())
            .process_group(0);
        command.spawn().expect("started")
    }

    /// The first half, and the pipe for the rest.
    fn half(&self) -> File {
        let mut pipe = File::options().write(true).open(&self.pipe).expect("somebody reads");
        pipe.write_all(&segment(1)[..SIZE / 2]).expect("written");
        pipe
    }
}

#[test]
fn cut_off_or_killed_in_the_middle_it_leaves_nothing_that_looks_whole() {
    let slow = Slow::new();
    let fetch = slow.fetch();
    drop(slow.half());
    let (code, said) = told(&fetch.wait_with_output().expect("ended"));
    assert!(code == DAMAGED && said.contains("bytes instead of"), "{code}: {said}");
    assert_eq!(slow.scene.beside(), [""; 0]);

    let mut killed = slow.fetch();
    let rest = slow.half();
    let partial = slow.scene.target().with_file_name("RECOVERYXLOG.howdah-partial");
    eventually("a part of it", Duration::from_secs(20), || {
        fs::metadata(&partial).is_ok_and(|about| about.len() > 0)
    });
    let group = Pid::from_raw(killed.id() as i32).expect("a process");
    kill_process_group(group, Signal::KILL).expect("killed");
    killed.wait().expect("ended");
    drop(rest);
    assert!(!slow.scene.target().exists());

    fs::remove_file(&slow.pipe).expect("removed");
    fs::write(&slow.pipe, segment(1)).expect("whole");
    let again = slow.fetch().wait_with_output().expect("ended");
    assert_eq!(told(&again), (0, String::new()));
    slow.scene.has(1);
    assert_eq!(slow.scene.beside(), ["RECOVERYXLOG"], "what was left was written over");
}

#[test]
fn one_on_its_way_is_waited_for_as_long_as_it_grows() {
    let scene = Scene::with(2);
    let spool = Spool::new(&scene.spool(), 3);
    fs::create_dir(scene.spool()).expect("made");
    let archive = Archive::Repository(scene.repository.clone());
    let stem = |number| {
        let stored = scene.stored(number);
        let name = stored.file_name().expect("a name").to_string_lossy().into_owned();
        scene.spool().join(name.strip_suffix(".zst").expect("packed"))
    };
    let begin = |number: u64| {
        let path = PathBuf::from(format!("{}.howdah-partial", stem(number).display()));
        let file = File::create(&path).expect("made");
        flock(&file, FlockOperation::LockExclusive).expect("locked");
        (path, file)
    };
    let fetch = |number| {
        let file = name(number).parse().expect("a name");
        fetch(&archive, file, &scene.target(), Some(&spool)).expect("fetched")
    };

    let (path, mut file) = begin(1);
    thread::scope(|scope| {
        let fetched = scope.spawn(|| fetch(1));
        for part in segment(1).chunks(SIZE / 4) {
            thread::sleep(Duration::from_millis(30));
            file.write_all(part).expect("written");
        }
        let whole = format!("{}.{:08x}", stem(1).display(), crc32c::crc32c(&segment(1)));
        fs::rename(path, whole).expect("published");
        assert_eq!(fetched.join().expect("a thread"), Came::Spool);
    });
    scene.has(1);

    // Whoever fetches it has stopped.
    let _held = begin(2);
    assert_eq!(fetch(2), Came::Archive);
    scene.has(2);
}

#[test]
fn a_spool_on_another_file_system_is_copied_from() {
    let Some(elsewhere) = other_file_system() else { return };
    let scene = Scene::with(4);
    let spool = elsewhere.path().join("spool");
    let more = ["--spool", spool.to_str().expect("a path")];
    let fetch = |number| told(&scene.fetch(number, &more).output().expect("ran"));
    assert_eq!(fetch(1), (0, String::new()));
    eventually("the segments in the spool", Duration::from_secs(20), || {
        names(&spool)
            .iter()
            .any(|spooled| spooled.starts_with(&name(4)) && !spooled.contains("partial"))
    });
    for number in 2..=4 {
        assert_eq!(fetch(number), (0, String::new()));
        scene.has(number);
        assert!(names(&spool).iter().all(|spooled| !spooled.starts_with(&name(number))));
    }
    assert_eq!(scene.beside(), ["RECOVERYXLOG"]);
}

/// A folder on another file system than that of temporary files, where the machine has one.
fn other_file_system() -> Option<TempDir> {
    use std::os::unix::fs::MetadataExt as _;
    let shm = Path::new("/dev/shm");
    let (one, other) = (fs::metadata(env::temp_dir()).ok()?, fs::metadata(shm).ok()?);
    (one.dev() != other.dev()).then(|| tempfile::tempdir_in(shm).ok()).flatten()
}
