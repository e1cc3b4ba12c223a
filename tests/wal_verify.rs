//! Whatever is wrong with an archive is found and named, with what is lost.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    archived::{Archived, NAME, told},
    options,
};
use howdah::{
    base::progress::Silent,
    recover::{
        repository::manifest::WalSpan,
        wal::{
            Archive, Segment, WalFile, chain, covers,
            verify::{Depth, Report, Wrong, verify},
        },
    },
};

/// Six archived segments with a commit in each, as they are and as `cp` would keep them.
struct Six {
    cluster: Archived,
    names: Vec<String>,
}

impl Six {
    fn new() -> Self {
        let mut own = options();
        own.template = None;
        own.settings.clear();
        let cluster = Archived::start_with(&own, &[]);
        cluster.psql("CREATE TABLE marks (n int)").expect("made");
        let mark = |number: u32| {
            // Enough for a page or two, so that a record can be damaged without touching a header.
            let sql = format!("INSERT INTO marks SELECT {number} FROM generate_series(1, 2000)");
            cluster.psql(&sql).expect("inserted");
            cluster.switch()
        };
        let names: Vec<String> = (1..=6).map(mark).collect();
        Self { cluster, names }
    }

    /// A copy of the segments in a flat folder.
    fn plain(&self, folder: &Path) -> Archive {
        for name in &self.names {
            fs::write(folder.join(name), self.content(name)).expect("written");
        }
        Archive::folder(folder).expect("opened")
    }

    fn content(&self, name: &str) -> Vec<u8> {
        let archive = self.cluster.archive();
        let file: WalFile = name.parse().expect("a name");
        archive.read(&archive.find_one(file).expect("looked").expect("there")).expect("read")
    }

    fn object(&self, name: &str) -> PathBuf {
        let file: WalFile = name.parse().expect("a name");
        let kept = self.cluster.archive().find_one(file).expect("looked").expect("there");
        self.cluster.repo().join(kept.place().as_str())
    }
}

fn run(archive: &Archive, all: bool) -> Report {
    verify(archive, Depth { all, sample: 1, ..Depth::default() }, &Silent::default()).expect("ran")
}

/// What was found: kinds and subjects.
fn found(report: &Report) -> Vec<(Wrong, String)> {
    report.findings.iter().map(|f| (f.wrong, f.subject.to_string())).collect()
}

#[test]
fn each_fault_in_a_plain_folder_is_found_by_its_own_detector() {
    let six = Six::new();
    let name = six.names[2].clone();
    let neighbour = six.names[3].clone();
    type Damage = Box<dyn Fn(&Path, Vec<u8>)>;
    let write = |change: fn(&mut Vec<u8>)| -> Damage {
        Box::new(move |path, mut content| {
            change(&mut content);
            fs::write(path, content).expect("written");
        })
    };
    let other = six.content(&neighbour);
    let cases: Vec<(&str, Wrong, Damage)> = vec![
        ("missing", Wrong::Gap, Box::new(|path, _| fs::remove_file(path).expect("removed"))),
        ("zeroed", Wrong::Zeroed, write(|content| content.fill(0))),
        ("cut", Wrong::Size, write(|content| content.truncate(content.len() / 2))),
        ("empty", Wrong::Size, write(Vec::clear)),
        (
            "swapped",
            Wrong::Place,
            Box::new(move |path, _| fs::write(path, &other).expect("written")),
        ),
        ("timeline", Wrong::Timeline, write(|content| content[4] = 9)),
        ("header of a page", Wrong::Page, write(|content| content[8192 + 9] ^= 1)),
        ("another cluster", Wrong::Foreign, write(|content| content[24] ^= 1)),
        (
            "another version",
            Wrong::Foreign,
            write(|content| {
                // PostgreSQL 14's or 15's, on every page that has a header.
                let own = content[0];
                let other = if own == 0x10 { 0x0D } else { 0x10 };
                for page in content.chunks_mut(8192).filter(|page| page[0] == own) {
                    page[0] = other;
                }
            }),
        ),
        // Only the records' own checksums tell.
        ("bit of a record", Wrong::Record, write(|content| content[8192 + 3000] ^= 1)),
        (
            "zeros in the middle of a page",
            Wrong::Record,
            write(|content| {
                content[8192 + 1000..8192 + 5000].fill(0);
            }),
        ),
        ("lost tail", Wrong::Zeroed, write(|content| content[16384..].fill(0))),
    ];
    for (what, wrong, damage) in cases {
        let home = tempfile::tempdir().expect("a folder");
        let archive = six.plain(home.path());
        assert_eq!(found(&run(&archive, true)), [], "sound before: {what}");
        let path = home.path().join(&name);
        damage(&path, fs::read(&path).expect("read"));
        let report = run(&archive, true);
        assert_eq!(found(&report), [(wrong, name.clone())], "{what}");
        let lost = report.findings[0].lost.as_ref().expect("a window");
        let segment: Segment = name.parse().expect("a name");
        let size = report.chain.segment_size;
        assert_eq!((lost.start, lost.end), (segment.start(size), segment.end(size)), "{what}");
        let (after, before) = (lost.after.expect("a commit"), lost.before.expect("a commit"));
        assert!(after < before, "{what}: {after} {before}");
    }
}

#[test]
fn names_that_lie_are_found() {
    let six = Six::new();
    let home = tempfile::tempdir().expect("a folder");
    let archive = six.plain(home.path());
    // What no recovery asks for, as it is and as it should not be.
    let label = format!("{}.00000028.backup", six.names[1]);
    let partial = format!("{}.partial", six.names[2]);
    let beside = |words: &str, segment: &str| {
        fs::write(home.path().join(&label), words).expect("written");
        fs::write(home.path().join(&partial), six.content(segment)).expect("written");
        found(&run(&archive, true))
    };
    assert_eq!(beside("START WAL LOCATION: 0/2000028\n", &six.names[2]), []);
    let want = [&label, &partial].map(|name| (Wrong::Beside, name.clone()));
    assert_eq!(beside("nonsense\n", &six.names[3]), want);
    for name in [&label, &partial] {
        fs::remove_file(home.path().join(name)).expect("removed");
    }

    fs::write(home.path().join("000000010000000000000003.tmp"), "x").expect("written");
    fs::write(home.path().join("00000002.history"), "nonsense\n").expect("written");
    let report = run(&archive, true);
    let want = [
        (Wrong::Stranger, "000000010000000000000003.tmp".to_owned()),
        (Wrong::History, "00000002.history".to_owned()),
    ];
    assert_eq!(found(&report), want);

    // A copy of the cluster was promoted at the third segment, and archives here.
    let segment: Segment = six.names[2].parse().expect("a name");
    let size = report.chain.segment_size;
    let at = howdah::recover::repository::manifest::lsn(segment.start(size) + 200);
    fs::remove_file(home.path().join("000000010000000000000003.tmp")).expect("removed");
    fs::write(home.path().join("00000002.history"), format!("1\t{at}\tx\n")).expect("written");
    // Archived after it.
    let last = six.names.last().expect("one");
    fs::write(home.path().join(last), six.content(last)).expect("written");
    let report = run(&archive, true);
    assert_eq!(found(&report), [(Wrong::Unexpected, "00000002.history".to_owned())]);
}

#[test]
fn in_the_repository_fingerprints_tell_and_what_was_sound_is_not_read_again() {
    let six = Six::new();
    let archive = six.cluster.archive();
    let first = run(&archive, false);
    assert_eq!(found(&first), []);
    assert!(first.read >= 6 && first.records == first.read, "{first:?}");
    let again = run(&archive, false);
    assert_eq!((again.read, again.remembered), (0, first.read));
    let range = &again.chain.timelines[0].ranges[0];
    assert!(range.first_commit < range.last_commit, "commits are remembered: {range:?}");

    // Packed anew with one bit changed in a record: everything but the fingerprint fits, with records unread.
    let name = &six.names[2];
    let mut content = six.content(name);
    content[8192 + 3000] ^= 1;
    fs::write(six.object(name), zstd::bulk::compress(&content, 1).expect("packed"))
        .expect("written");
    // It was touched: that is enough for reading it again, and no other.
    let only_names = Depth { all: false, sample: 0, ..Depth::default() };
    let report = verify(&archive, only_names, &Silent::default()).expect("ran");
    assert_eq!((report.read, report.remembered), (1, first.read - 1));
    assert_eq!(found(&report), [(Wrong::Fingerprint, name.clone())]);
    assert_eq!(found(&run(&archive, true)), [(Wrong::Fingerprint, name.clone())]);

    // Twice under one name, each whole.
    let packed = zstd::bulk::compress(&content, 1).expect("packed");
    let hash = howdah::base::digest::sha256(&content);
    let folder = six.object(name).parent().expect("a folder").to_owned();
    fs::write(folder.join(format!("{name}.{hash}.zst")), packed).expect("written");
    assert!(found(&run(&archive, false)).contains(&(Wrong::Twice, name.clone())));
}

#[test]
fn the_command_names_what_is_lost_and_exits_with_65() {
    let six = Six::new();
    let repo = six.cluster.repo().to_string_lossy().into_owned();
    let words = ["wal", "verify", "--repository", &repo, "--name", NAME];
    let (code, said) = told(&six.cluster.howdah(&words));
    assert!(code == 0 && said.contains("whole: no gap, nothing damaged"), "{said}");
    fs::remove_file(six.object(&six.names[3])).expect("removed");
    let (code, said) = told(&six.cluster.howdah(&words));
    assert_eq!(code, 65, "{said}");
    let expected = format!("  {} is missing; lost: timeline 1", six.names[3]);
    assert!(said.contains(&expected), "{said}");
    let (code, said) = told(&six.cluster.howdah(&[&words[..], &["--json"]].concat()));
    let document: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, document["findings"][0]["wrong"].as_str()), (65, Some("gap")));

    let chain = chain(&six.cluster.repository()).expect("read");
    let position = |index: usize| {
        six.names[index].parse::<Segment>().expect("a name").start(chain.segment_size)
    };
    let span = |start, stop| WalSpan { timeline: 1, start, stop, segment_size: chain.segment_size };
    assert_eq!(covers(&chain, &span(position(0), position(3))), []);
    let missing = covers(&chain, &span(position(0), position(5)));
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].start, missing[0].end), (position(3), position(4)));
    assert_eq!(chain.reach(1, position(0)), position(3));
}
