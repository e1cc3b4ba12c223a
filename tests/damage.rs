//! Every way to damage a file, on every kind of file that a repository has: what is damaged is found and
//! named, never restored in silence, and nothing older is lost with it.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    archived::NAME,
    scene::{Copy, Ended, Scene, change, file, flip, swap},
};
use howdah::recover::{
    repository::manifest::{Method, Role},
    wal::WalFile,
};

/// A kind of file: where one of it stands, and another one that it may change places with.
type Kind = (&'static str, Option<Method>, fn(&Copy) -> (PathBuf, PathBuf));

/// What a restore reads is tried by a restore from a backup of that kind.
const KINDS: &[Kind] = &[
    ("manifest", Some(Method::Physical), |c| (c.manifest(&c.physical), c.manifest(&c.older))),
    ("manifest of a logical backup", Some(Method::Logical), |c| {
        (c.manifest(&c.logical), c.manifest(&c.physical))
    }),
    ("dump", Some(Method::Logical), |c| {
        let other = |r: &Role| matches!(r, Role::Dump { database } if database == "postgres");
        (c.path(&c.dump()), c.path(&file(&c.logical, other)))
    }),
    ("roles", None, |c| (c.path(&file(&c.logical, |r| *r == Role::Globals)), c.path(&c.dump()))),
    ("base", Some(Method::Physical), |c| both(c, |r| *r == Role::Base)),
    ("tablespace", Some(Method::Physical), |c| {
        // Nothing was written into it between the two backups: theirs are the same.
        let listed = c.path(&file(&c.physical, |r| *r == Role::BackupManifest));
        (c.path(&file(&c.physical, |r| matches!(r, Role::Tablespace { .. }))), listed)
    }),
    ("backup_manifest", Some(Method::Physical), |c| both(c, |r| *r == Role::BackupManifest)),
    ("MD5 beside a file", None, |c| {
        let (one, other) = both(c, |r| *r == Role::Base);
        let beside = |path: PathBuf| PathBuf::from(format!("{}.md5", path.display()));
        // Of two base backups both may be right: that of another file is not.
        let _ = other;
        let listed = c.path(&file(&c.physical, |r| *r == Role::BackupManifest));
        (beside(one), beside(listed))
    }),
    ("verification", None, |c| {
        let one = |m: &_| only(&c.manifest(m).with_file_name("verified"), "json");
        (one(&c.physical), one(&c.older))
    }),
    ("WAL segment", Some(Method::Physical), |c| {
        let place = |segment| c.wal(WalFile::Segment(segment)).0;
        (place(c.segment()), place(c.next()))
    }),
    ("history of a timeline", Some(Method::Physical), |c| {
        (c.wal(WalFile::History(2)).0, c.wal(WalFile::Segment(c.segment())).0)
    }),
    ("label of a base backup", None, |c| {
        let files = c.archive().list().expect("listed").files;
        let label = files.iter().find(|listed| matches!(listed.kept.file, WalFile::Backup(..)));
        let place = c.wal(label.expect("one").kept.file).0;
        (place, c.wal(WalFile::Segment(c.segment())).0)
    }),
    ("what WAL was verified", None, |c| {
        let folder = below(c, "wal/verified");
        (only(&folder, "json"), below(c, "target.json"))
    }),
    ("whose it is", None, |c| (below(c, "target.json"), c.manifest(&c.older))),
    ("proof", None, |c| {
        let folder = below(c, "proofs");
        (only(&folder, "json"), only(&below(c, "restores"), "json"))
    }),
    ("proof in words", None, |c| {
        let folder = below(c, "proofs");
        (only(&folder, "md"), only(&folder, "json"))
    }),
    ("record of a restore", None, |c| {
        (only(&below(c, "restores"), "json"), only(&below(c, "proofs"), "json"))
    }),
    ("reason of a failed backup", None, |c| {
        let backups = below(c, "backups");
        let entries = fs::read_dir(backups).expect("listed").flatten();
        let failed = entries.map(|e| e.path().join("failed.json")).find(|path| path.exists());
        (failed.expect("a failed one"), c.manifest(&c.older))
    }),
];

/// A file of the newest physical backup, and the same of the one before.
fn both(copy: &Copy, fits: fn(&Role) -> bool) -> (PathBuf, PathBuf) {
    (copy.path(&file(&copy.physical, fits)), copy.path(&file(&copy.older, fits)))
}

fn below(copy: &Copy, name: &str) -> PathBuf {
    copy.repo.join(NAME).join(name)
}

/// The first file with that extension in a folder.
fn only(folder: &Path, extension: &str) -> PathBuf {
    let entries = fs::read_dir(folder).expect("listed").flatten().map(|entry| entry.path());
    let mut fits: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    fits.sort();
    fits.swap_remove(0)
}

const DAMAGES: [&str; 6] = ["bit flipped", "cut off", "emptied", "deleted", "swapped", "doubled"];

fn damage(which: &str, path: &Path, other: &Path) {
    match which {
        "bit flipped" => flip(path),
        "cut off" => change(path, |bytes| bytes.truncate(bytes.len() / 2)),
        "emptied" => change(path, Vec::clear),
        "deleted" => fs::remove_file(path).expect("removed"),
        "swapped" => swap(path, other),
        "doubled" => {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            fs::copy(path, path.with_file_name(format!("copy-of-{name}"))).expect("copied");
        }
        _ => unreachable!("{which}"),
    }
}

/// What is younger than a minute may be half of what is being written.
fn age(folder: &Path) {
    let hour_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    for entry in fs::read_dir(folder).expect("listed").flatten() {
        let file = fs::File::options().append(true).open(entry.path()).expect("opened");
        file.set_modified(hour_ago).expect("aged");
    }
}

/// What came of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// `verify` named the file, and no restore passed over it.
    Named,
    /// Nothing is said: nothing that was kept is missing, or whatever reads it makes it anew.
    Harmless,
}

/// What may be deleted without a word: the record of something that was looked at, which is looked at again.
const MADE_ANEW: &[(&str, &str)] = &[
    ("verification", "deleted"),
    ("what WAL was verified", "deleted"),
    ("record of a restore", "deleted"),
    ("whose it is", "deleted"),
    // For people: the manifest says all of it, and no recovery asks for it.
    ("label of a base backup", "deleted"),
    // A backup that has neither manifest nor reason is one that was killed: named, not missed.
];

fn observe(scene: &Scene, kind: &Kind, which: &str) -> Result<Outcome, String> {
    let (name, method, place) = *kind;
    let copy = scene.copy();
    let (path, other) = place(&copy);
    damage(which, &path, &other);
    age(&below(&copy, "proofs"));
    let (code, said) = scene.run(&copy.repo, &["verify", "--all", "--level", "L3"], &[]);
    let case = format!("{name}, {which}");
    // Nothing older is lost: the backup before is as whole as it was.
    let older = said.lines().find(|line| line.starts_with(&format!("{}: ", copy.older.id)));
    let swapped =
        which == "swapped" && other.starts_with(copy.manifest(&copy.older).parent().expect("it"));
    let whole = |line: &str| line.ends_with(": L3") || line.contains(": L2 of L3");
    if !swapped && !older.is_some_and(whole) {
        return Err(format!("{case}: the older backup is not whole any more\n{said}"));
    }
    if code == 0 {
        return if MADE_ANEW.contains(&(name, which)) {
            Ok(Outcome::Harmless)
        } else {
            Err(format!("{case}: not found\n{said}"))
        };
    }
    let file = path.file_name().expect("a name").to_string_lossy();
    // WAL is named by its segment, not by its object; a backup without manifest by its own name.
    let stem = file.split('.').next().unwrap_or_default();
    let backup = path.parent().and_then(Path::file_name).expect("a folder").to_string_lossy();
    if code != 65 || !(said.contains(&*file) || said.contains(stem) || said.contains(&*backup)) {
        return Err(format!("{case}: exit code {code}, or not named\n{said}"));
    }
    // What is emptied is cut off, for a restore, and what is swapped is another one's.
    if let Some(method) = method.filter(|_| ["bit flipped", "cut off", "deleted"].contains(&which))
    {
        let (ended, words) = scene.restore(&copy, method);
        if ended == Ended::Restored {
            return Err(format!("{case}: RESTORED\n{said}\n{words}"));
        }
    }
    Ok(Outcome::Named)
}

/// So many at a time: most of it is waiting for a server.
const AT_ONCE: usize = 3;

#[test]
fn each_damage_to_each_kind_of_file_is_named_and_nothing_older_is_lost() {
    let scene = Scene::new(&[("HOWDAH_RECOVER_MD5", "true")], true);
    let repo = scene.cluster.repo();
    let run = |words: &[&str]| scene.run(&repo, words, &[]);
    assert_eq!(run(&["backup", "--database", "nowhere"]).0, 64, "one that fails");
    let (code, said) = run(&["repo", "init"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&["prove"]);
    assert_eq!(code, 0, "{said}");
    let (ended, said) = scene.restore(&scene.original(), Method::Logical);
    assert_eq!(ended, Ended::Restored, "{said}");
    let (code, said) = run(&["verify", "--all", "--level", "L3"]);
    assert_eq!(code, 0, "nothing is wrong yet: {said}");

    let cases: Vec<(&Kind, &str)> =
        KINDS.iter().flat_map(|kind| DAMAGES.map(|which| (kind, which))).collect();
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (next, seen, scene, cases) = (&next, &seen, &scene, &cases);
            scope.spawn(move || {
                while let Some((kind, which)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = observe(scene, kind, which);
                    seen.lock().expect("not poisoned").push(outcome);
                }
            });
        }
    });
    let seen = seen.into_inner().expect("not poisoned");
    let wrong: Vec<&String> = seen.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{wrong:#?}", wrong.len(), cases.len());
    let count = |which| seen.iter().filter(|outcome| **outcome == Ok(which)).count();
    let line = format!(
        "{} damages: {} ways ({}) on {} kinds of file. {} named by `howdah verify --all --level L3`, with exit code 65; \
         {} are deletions of what is made anew, or asked for by nobody. None restored in silence, nothing older lost.\n",
        cases.len(),
        DAMAGES.len(),
        DAMAGES.join(", "),
        KINDS.len(),
        count(Outcome::Named),
        count(Outcome::Harmless),
    );
    println!("{line}");
    support::readme::part("damage", &line);
}
