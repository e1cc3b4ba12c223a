//! Each kind of fault is injected for real into a real repository: `verify` finds it, and a restore does not
//! come back from it in silence. What was observed is the table of the README.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{
    data,
    physical::Estate,
    scene::{Copy, Ended, IDENTITY, Scene, change, file, flip, swap},
};
use age::secrecy::ExposeSecret as _;
use howdah::{
    base::digest::sha256,
    cluster::Stop,
    recover::{
        repository::{
            encryption::Recipients,
            manifest::{Method, Role},
        },
        wal::WalFile,
    },
};

/// One kind of fault.
struct Case {
    kind: &'static str,
    /// The level that finds it; 0: before any, by what a manifest says of itself.
    level: u8,
    /// What is said: only the one detector that this fault is for says so. Words for one thing, divided by `|`.
    says: &'static str,
    /// What is damaged.
    of: Of,
    /// Whether a restore would reach it.
    restored: bool,
    /// How `verify` ends.
    exits: i32,
    /// How it is brought about.
    inject: fn(&Scene, &Copy),
}

enum Of {
    /// The logical backup: the shop would be brought back from it.
    Logical,
    /// The newest physical backup, or WAL behind it: the cluster would be, to its last commit.
    Physical,
}

type Inject = fn(&Scene, &Copy);

const fn case(
    kind: &'static str,
    level: u8,
    says: &'static str,
    to: Restore,
    inject: Inject,
) -> Case {
    let (of, restored) = match to {
        Restore::Logical => (Of::Logical, true),
        Restore::Physical => (Of::Physical, true),
        Restore::Unharmed => (Of::Logical, false),
    };
    Case { kind, level, says, of, restored, exits: 65, inject }
}

/// What would bring back what is damaged.
#[derive(Clone, Copy)]
enum Restore {
    Logical,
    Physical,
    /// Of the logical backup, what `restore database` does not read.
    Unharmed,
}
use Restore::{Logical, Physical, Unharmed};

const CASES: &[Case] = &[
    // L1: not the bytes that were written.
    case("bit flipped in a dump", 1, "SHA-256 differs", Logical, |_, c| flip(&c.path(&c.dump()))),
    case("dump cut off", 1, "bytes instead of", Logical, |_, c| {
        change(&c.path(&c.dump()), |bytes| bytes.truncate(bytes.len() * 6 / 10));
    }),
    case("dump empty", 1, "has 0 bytes instead of", Logical, |_, c| {
        change(&c.path(&c.dump()), Vec::clear);
    }),
    case("dump deleted", 1, "is missing", Logical, |_, c| {
        fs::remove_file(c.path(&c.dump())).expect("removed");
    }),
    case("two dumps swapped", 1, "bytes instead of", Logical, |_, c| {
        let other =
            file(&c.logical, |r| matches!(r, Role::Dump { database } if database == "postgres"));
        swap(&c.path(&c.dump()), &c.path(&other));
    }),
    case("roles and tablespaces deleted", 1, "is missing", Unharmed, |_, c| {
        fs::remove_file(c.path(&file(&c.logical, |r| *r == Role::Globals))).expect("removed");
    }),
    case("file that nobody knows", 1, "is not in the manifest", Unharmed, |_, c| {
        fs::copy(c.path(&c.dump()), c.path(&c.dump()).with_extension("copy")).expect("copied");
    }),
    case("bit flipped in a base backup", 1, "SHA-256 differs", Physical, |_, c| {
        flip(&c.path(&file(&c.physical, |r| *r == Role::Base)));
    }),
    case("base backup cut off", 1, "bytes instead of", Physical, |_, c| {
        let base = c.path(&file(&c.physical, |r| *r == Role::Base));
        change(&base, |bytes| bytes.truncate(bytes.len() - 100));
    }),
    case("base backups swapped", 1, "differs|instead of", Physical, |_, c| {
        let base = |m| c.path(&file(m, |r| *r == Role::Base));
        swap(&base(&c.physical), &base(&c.older));
    }),
    // The manifest.
    case("manifest altered", 0, "its own SHA-256 differs", Logical, |_, c| {
        // A number that every check would believe.
        change(&c.manifest(&c.logical), |bytes| {
            let text = String::from_utf8(bytes.clone()).expect("text");
            *bytes = text.replacen("\"rows\": 5000", "\"rows\": 5001", 1).into_bytes();
        });
    }),
    case("manifest that is garbage", 0, "cannot be understood", Physical, |_, c| {
        fs::write(c.manifest(&c.physical), "\u{1b}[2J{]").expect("written");
    }),
    case(
        "manifest of a later version",
        0,
        "a format that this version does not know",
        Logical,
        |_, c| {
            let mut manifest = c.logical.clone();
            manifest.format = 99;
            c.write(&manifest);
        },
    ),
    case("manifest of another backup", 0, "belongs to the backup", Physical, |_, c| {
        fs::copy(c.manifest(&c.older), c.manifest(&c.physical)).expect("copied");
    }),
    case("manifest deleted", 0, "has no manifest", Logical, |_, c| {
        fs::remove_file(c.manifest(&c.logical)).expect("removed");
    }),
    // L2: hashes are right, the content is not: written wrong, by a tool that said all was well.
    case("dump without a table's rows", 2, "it has no rows of shop.orders", Logical, |s, c| {
        c.reseal(&c.logical, &c.dump().role, &s.dumps["--exclude-table-data=shop.orders"]);
    }),
    case("dump without a table", 2, "shop.turnover", Logical, |s, c| {
        c.reseal(&c.logical, &c.dump().role, &s.dumps["--exclude-table=shop.turnover"]);
    }),
    case("dump without large objects", 2, "0 large objects instead of", Logical, |s, c| {
        c.reseal(&c.logical, &c.dump().role, &s.dumps["--no-blobs"]);
    }),
    case("row count that is wrong", 2, "rows of shop.orders instead of", Logical, |_, c| {
        let mut manifest = c.logical.clone();
        let shop = manifest.inventory.databases.iter_mut().find(|d| d.name == data::SHOP);
        let orders = shop.expect("it").relations.iter_mut().find(|r| r.name == "orders");
        orders.expect("it").rows = Some(5001);
        c.write(&manifest);
    }),
    case("dump that was cut when it was written", 2, "ends", Logical, |_, c| {
        let dump = c.content(&c.dump());
        c.reseal(&c.logical, &c.dump().role, &dump[..dump.len() - 100]);
    }),
    case("database without a dump", 2, "there is no dump of the database", Logical, |_, c| {
        let mut manifest = c.logical.clone();
        fs::remove_file(c.path(&c.dump())).expect("removed");
        let dump = c.dump();
        manifest.files.retain(|file| *file != dump);
        c.write(&manifest);
    }),
    case("roles cut when they were written", 2, "no end", Unharmed, |_, c| {
        let globals = file(&c.logical, |r| *r == Role::Globals);
        let text = c.content(&globals);
        c.reseal(&c.logical, &Role::Globals, &text[..text.len() / 2]);
    }),
    // Nothing is damaged, and yet nobody here can bring it back: that is known before it is needed.
    Case {
        exits: 78,
        ..case("sealed for another key than ours", 2, "sealed for", Logical, |_, c| {
            let [theirs, ours] = [(); 2].map(|()| age::x25519::Identity::generate());
            let identity = c.beside(IDENTITY);
            fs::write(&identity, ours.to_string().expose_secret()).expect("written");
            fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).expect("private");
            let theirs = theirs.to_public().to_string();
            let theirs = Recipients::parse([theirs.as_str()]).expect("a key");
            let dump = c.dump();
            let content = c.content(&dump);
            c.reseal_by(
                &c.repository.clone().sealing_for(theirs),
                &c.logical,
                &dump.role,
                &content,
            );
        })
    },
    case("backup without roles", 2, "no file of roles", Unharmed, |_, c| {
        let mut manifest = c.logical.clone();
        let globals = file(&c.logical, |r| *r == Role::Globals);
        fs::remove_file(c.path(&globals)).expect("removed");
        manifest.files.retain(|file| *file != globals);
        c.write(&manifest);
    }),
    case("member of a base backup missing", 2, "is missing", Physical, |_, c| {
        c.repack(|path, _| path != "global/1260");
    }),
    case("member of a base backup too much", 2, "is not in backup_manifest", Physical, |_, c| {
        c.repack(|path, _| {
            // One that nobody needs and everybody would read.
            path != "nothing"
        });
        let base =
            file(&c.repository.manifest(&c.physical.id).expect("read"), |r| *r == Role::Base);
        let mut archive = c.content(&base);
        archive.truncate(archive.len() - 1024);
        let mut more = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_mode(0o600);
        more.append_data(&mut header, "global/9999", &b"more"[..]).expect("appended");
        archive.extend(more.into_inner().expect("whole"));
        c.reseal(&c.physical, &Role::Base, &archive);
    }),
    case("member of a base backup cut", 2, "bytes instead of", Physical, |_, c| {
        c.repack(|path, content| {
            if path == "global/1260" {
                content.truncate(100);
            }
            true
        });
    }),
    case("members of a base backup swapped", 2, "not what PostgreSQL read", Physical, |_, c| {
        // The maps of visible pages of two tables have one size.
        let mut first = Vec::new();
        let mut names = Vec::new();
        c.repack(|path, content| {
            if path.starts_with("base/")
                && content.len() == 8192
                && names.len() < 2
                && content.iter().any(|byte| *byte != 0)
                && first != *content
            {
                names.push(path.to_owned());
                if first.is_empty() {
                    first.clone_from(content);
                    content[5000] ^= 1;
                } else {
                    content.clone_from(&first);
                }
            }
            true
        });
        assert_eq!(names.len(), 2);
    }),
    case("backup_label missing", 2, "backup_label", Physical, |_, c| {
        c.repack(|path, _| path != "backup_label");
    }),
    case("WAL of a base backup missing", 2, "the WAL segment", Physical, |_, c| {
        c.repack(|path, _| {
            !path
                .strip_prefix("pg_wal/")
                .is_some_and(|name| name.len() == 24 && !name.contains('/'))
        });
    }),
    case("files of another base backup", 2, "need different WAL", Physical, |_, c| {
        let mut manifest = c.physical.clone();
        for (own, other) in manifest.files.iter_mut().zip(&c.older.files) {
            fs::copy(c.path(other), c.path(own)).expect("copied");
            own.stored = howdah::recover::repository::sealed::Stored {
                key: own.stored.key.clone(),
                ..other.stored.clone()
            };
        }
        c.write(&manifest);
    }),
    case(
        "backup_manifest altered",
        2,
        "its own checksum differs|backup_manifest",
        Physical,
        |_, c| {
            let listed = file(&c.physical, |r| *r == Role::BackupManifest);
            let mut text = c.content(&listed);
            let at = text.len() / 2;
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            c.reseal(&c.physical, &Role::BackupManifest, &text);
        },
    ),
    case("wrong system identifier", 2, "pg_control is of the cluster", Physical, |_, c| {
        let mut manifest = c.physical.clone();
        manifest.cluster.system_identifier ^= 1;
        c.write(&manifest);
    }),
    // L3: the WAL that leads on.
    case("WAL segment missing", 3, "is missing", Physical, |_, c| {
        fs::remove_file(c.wal(WalFile::Segment(c.segment())).0).expect("removed");
    }),
    case("bit flipped in a WAL segment", 3, "unpacked|SHA-256 differs", Physical, |_, c| {
        flip(&c.wal(WalFile::Segment(c.segment())).0);
    }),
    case("WAL segment cut off", 3, "cannot be unpacked|is cut off", Physical, |_, c| {
        change(&c.wal(WalFile::Segment(c.segment())).0, |bytes| bytes.truncate(bytes.len() / 2));
    }),
    case(
        "WAL segment empty",
        3,
        "cannot be unpacked|is cut off|SHA-256 differs",
        Physical,
        |_, c| {
            change(&c.wal(WalFile::Segment(c.segment())).0, Vec::clear);
        },
    ),
    case("WAL segment too short", 3, "bytes", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes.truncate(1 << 20));
    }),
    case("WAL segment of zeros", 3, "zeros", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes.fill(0));
    }),
    case("WAL segment of another place", 3, "is the segment|place|holds", Physical, |_, c| {
        let (_, other) = c.wal(WalFile::Segment(c.next()));
        c.replace(c.segment(), |bytes| *bytes = other);
    }),
    case("WAL segment of another timeline", 3, "timeline 9", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes[4] = 9);
    }),
    case("WAL segment of another cluster", 3, "it is of the cluster", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes[24] ^= 1);
    }),
    case("header of a WAL page damaged", 3, "page", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes[8192 + 9] ^= 1);
    }),
    case("WAL record with a wrong checksum", 3, "checksum", Physical, |_, c| {
        c.replace(c.segment(), |bytes| bytes[4000] ^= 1);
    }),
    case("WAL segment there twice", 3, "more than once", Physical, |_, c| {
        let (_, mut content) = c.wal(WalFile::Segment(c.segment()));
        content[4000] ^= 1;
        c.put(c.segment(), &content);
    }),
    case("history of a timeline missing", 3, "recovery cannot follow it", Physical, |_, c| {
        fs::remove_file(c.wal(WalFile::History(2)).0).expect("removed");
    }),
    case("history of a timeline damaged", 3, "00000002.history", Physical, |_, c| {
        flip(&c.wal(WalFile::History(2)).0);
    }),
    case(
        "WAL of a copy that was promoted",
        3,
        "a copy of the cluster was promoted",
        Physical,
        |_, c| {
            // The old timeline goes on behind the point where the new one left it: with what the new one wrote.
            let listed = c.archive().list().expect("listed").files;
            let beside = c.wal(WalFile::Segment(c.segment())).0;
            for kept in listed.iter().map(|listed| &listed.kept) {
                let WalFile::Segment(segment) = kept.file else { continue };
                if segment.timeline != 2 {
                    continue;
                }
                let mut content = c.archive().read(kept).expect("read");
                for page in content.chunks_mut(8192).filter(|page| page[0] != 0) {
                    page[4..8].copy_from_slice(&1_u32.to_le_bytes());
                }
                let old = format!("00000001{}", &segment.to_string()[8..]);
                let name = format!("{old}.{}.zst", sha256(&content));
                let packed = zstd::encode_all(content.as_slice(), 1).expect("packed");
                fs::write(beside.with_file_name(name), packed).expect("written");
            }
        },
    ),
];

/// What was seen of one case.
struct Seen {
    code: i32,
    restore: String,
    wrong: Vec<String>,
}

/// Verifies a copy with one fault in it, and tries to bring back what is damaged.
fn observe(case: &Case, scene: &Scene) -> Seen {
    let copy = scene.copy();
    (case.inject)(scene, &copy);
    let mut wrong = Vec::new();
    let damaged = match &case.of {
        Of::Logical => copy.logical.id.to_string(),
        Of::Physical => copy.physical.id.to_string(),
    };
    // A manifest that is none cannot be asked for its own verification.
    let which = if case.level == 0 { "--all" } else { &damaged };
    let (code, said) = scene.run_on(&copy, &["verify", which, "--level", "L3"]);
    let mut complain = |why: &str| wrong.push(format!("{}: {why}\n{said}", case.kind));
    if code != case.exits {
        complain(&format!("verify exits {code}"));
    }
    // `ID: L2 of L3, 1 findings`
    let below =
        if case.level == 1 { "—".to_owned() } else { format!("L{}", case.level.max(1) - 1) };
    // Damage is a finding, with the level that was reached; what cannot be looked at is none.
    if case.level > 0 && code == 65 && !said.starts_with(&format!("{damaged}: {below} of L3")) {
        complain(&format!("{below} should have been reached"));
    }
    let says = |line: &str| case.says.split('|').any(|word| line.contains(word));
    if !said.lines().any(says) {
        complain("it is not said");
    }
    let others: Vec<&str> =
        said.lines().filter(|line| line.starts_with("  ") && !says(line)).collect();
    if !others.is_empty() {
        complain(&format!("something else found it, too: {others:?}"));
    }
    let restore = if case.restored {
        let method = match case.of {
            Of::Logical => Method::Logical,
            Of::Physical => Method::Physical,
        };
        let (ended, said) = scene.restore(&copy, method);
        if ended == Ended::Restored {
            wrong.push(format!("{}: {ended}\n{said}", case.kind));
        }
        ended.to_string()
    } else {
        "not reached by it".to_owned()
    };
    Seen { code, restore, wrong }
}

/// What only a restored cluster shows: pages that are gone, and everything about the backup is right.
const LOST: &[(&str, &str, &str)] = &[
    ("page of a table zeroed", "marks", "pages of it are lost"),
    ("page of an index zeroed", "marks_at_idx", "unexpected zero page|pg_amcheck"),
];

/// Loses a page of each, takes a backup of that, and verifies it up to a drill: lines of the table.
fn lost_pages() -> Vec<String> {
    let estate = Estate::new();
    estate.sql("INSERT INTO marks SELECT generate_series(1, 20000); CREATE INDEX ON marks(at)");
    let mut lines = Vec::new();
    for (kind, relation, says) in LOST {
        // Commits are asynchronous here: only what is flushed counts as visible to everybody.
        estate.sql("CHECKPOINT");
        estate.sql("VACUUM (FREEZE) marks");
        let path = estate.sql(&format!("SELECT pg_relation_filepath('{relation}')"));
        let path = estate.cluster.data_dir().join(path);
        let page = |content: Option<&[u8; 8192]>| {
            estate.cluster.stop(Stop::Fast).expect("stopped");
            let mut before = [0; 8192];
            let file = fs::OpenOptions::new().read(true).write(true).open(&path).expect("opened");
            file.read_exact_at(&mut before, 2 * 8192).expect("read");
            file.write_all_at(content.unwrap_or(&[0; 8192]), 2 * 8192).expect("written");
            estate.cluster.start().expect("started");
            before
        };
        let before = page(None);
        let backup = estate.backup().id.to_string();
        page(Some(&before));
        let (code, said, why) = estate.run(&["verify", &backup, "--level", "L5"]);
        assert!(
            code == 65 && said.starts_with(&format!("{backup}: L4 of L5")),
            "{kind}: {said}{why}"
        );
        let findings: Vec<&str> = said.lines().skip(1).collect();
        let said_so = |line: &&str| says.split('|').any(|word| line.contains(word));
        assert!(findings.iter().all(said_so), "{kind}: {said}");
        let says = says.split('|').next().unwrap_or_default();
        lines.push(format!("| {kind} | L5 | {says} | {code} | told by its checks |\n"));
        // Names tell seconds.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    lines
}

/// So many at a time: most of it is waiting for a server.
const AT_ONCE: usize = 3;

#[test]
fn every_kind_of_fault_is_found_and_none_is_restored_in_silence() {
    let lost = std::thread::spawn(lost_pages);
    let scene = Scene::new(&[], false);
    let repo = scene.cluster.repo();
    let (code, said) = scene.run(&repo, &["verify", "--all", "--level", "L3"], &[]);
    assert_eq!(code, 0, "nothing is wrong yet: {said}");
    let next = AtomicUsize::new(0);
    let seen: Mutex<Vec<Option<Seen>>> = Mutex::new(CASES.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (next, seen, scene) = (&next, &seen, &scene);
            scope.spawn(move || {
                while let Some((at, case)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|at| Some((at, CASES.get(at)?)))
                {
                    let found = observe(case, scene);
                    seen.lock().expect("not poisoned")[at] = Some(found);
                }
            });
        }
    });
    let seen = seen.into_inner().expect("not poisoned");
    let mut text = String::from(
        "| fault | found by | it says | verify exits | restore |\n|---|---|---|---|---|\n",
    );
    let mut wrong = Vec::new();
    for (case, seen) in CASES.iter().zip(seen) {
        let Seen { code, restore, wrong: more } = seen.expect("looked at");
        let says = case.says.split('|').next().unwrap_or_default();
        let level =
            if case.level == 0 { "manifest".to_owned() } else { format!("L{}", case.level) };
        let _ = writeln!(text, "| {} | {level} | {says} | {code} | {restore} |", case.kind);
        wrong.extend(more);
    }
    println!("{text}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    text.extend(lost.join().expect("it ran"));
    println!("{} kinds of fault", CASES.len() + LOST.len());
    support::readme::part("faults", &text);
}
