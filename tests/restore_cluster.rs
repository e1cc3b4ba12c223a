//! A cluster comes back as it was at one moment, or says why not.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::support::{
    mischief::Mischief,
    physical::{Estate, Mark, silent},
    small_disk::SmallDisk,
};
use howdah::{
    base::{cancel::Cancel, exec::Tool, process, progress::Observer},
    cluster::{Stop, folder::Account, guard::remove_sandbox},
    recover::{
        Kind, Result,
        physical::{
            Order, Plan, Target, guards,
            plan::{self, Into},
            record::{Record, State},
            restore,
            restored::Restored,
        },
        repository::manifest::{Manifest, Role},
        stopwatch::Stopwatch,
    },
};

struct Gone(Option<Restored>, std::path::PathBuf);

impl Gone {
    fn rows(&self) -> i64 {
        let restored = self.0.as_ref().expect("restored");
        restored.session.one("SELECT count(*) FROM marks", &[]).expect("counted").get(0)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        drop(self.0.take());
        remove_sandbox(&self.1);
    }
}

fn planned(
    estate: &Estate,
    manifest: &Manifest,
    target: Target,
    timeline: Option<u32>,
) -> Result<Plan> {
    planned_in(&estate.path(""), estate, manifest, target, timeline)
}

fn planned_in(
    home: &Path,
    estate: &Estate,
    manifest: &Manifest,
    target: Target,
    timeline: Option<u32>,
) -> Result<Plan> {
    let folder = home.join(format!("howdah-{}", rand::random::<u32>()));
    let order = Order { target, timeline, into: Into::Scratch(folder), port: 5432 };
    let binaries = plan::binaries(manifest).expect("programs");
    Plan::make(order, manifest.clone(), &estate.wal(), &binaries, &silent())
}

fn restored(
    estate: &Estate,
    manifest: &Manifest,
    target: Target,
    timeline: Option<u32>,
) -> Result<Gone> {
    carried_out(planned(estate, manifest, target, timeline)?, estate, &silent())
}

fn carried_out(plan: Plan, estate: &Estate, observer: &dyn Observer) -> Result<Gone> {
    let binaries = plan::binaries(&plan.manifest).expect("programs");
    let mut watch = Stopwatch::start();
    let restored = restore::run(
        &plan,
        &estate.repository,
        &estate.wal(),
        &binaries,
        None,
        &mut watch,
        observer,
    )?;
    Ok(Gone(Some(restored), plan.folder))
}

fn targets(mark: &Mark) -> [Target; 3] {
    [
        Target::Time(mark.at),
        Target::Xid { xid: mark.xid, exclusive: false },
        Target::Lsn { at: mark.lsn, exclusive: true },
    ]
}

#[test]
fn every_kind_of_target_is_reached_exactly() {
    let estate = Estate::new();
    estate.mark();
    let manifest = estate.backup();
    let first = estate.mark();
    estate.sql("SELECT pg_create_restore_point('before the accident')");
    let second = estate.mark();
    estate.mark();
    estate.switch();
    for target in targets(&first) {
        let gone = restored(&estate, &manifest, target.clone(), None).expect("restored");
        assert_eq!(gone.rows(), first.rows, "{target}");
    }
    let named = Target::Name("before the accident".into());
    assert_eq!(restored(&estate, &manifest, named, None).expect("restored").rows(), first.rows);
    let without = Target::Xid { xid: second.xid, exclusive: true };
    assert_eq!(restored(&estate, &manifest, without, None).expect("restored").rows(), first.rows);
    let mut latest = restored(&estate, &manifest, Target::Latest, None).expect("restored");
    assert_eq!(latest.rows(), 4);
    let restored = latest.0.as_mut().expect("restored");
    assert!(restored.reached.paused, "it waits at its target");
    restored.promote(&mut Stopwatch::start()).expect("promoted");
    restored.session.run("INSERT INTO marks VALUES (99)").expect("it takes writes");
    assert_eq!(
        restored.session.one("SHOW archive_mode", &[]).expect("asked").get::<_, String>(0),
        "off"
    );
}

#[test]
fn after_a_promotion_the_way_leads_over_two_timelines() {
    let estate = Estate::new();
    let manifest = estate.backup();
    let before = estate.mark();
    estate.switch();
    // A failover: the cluster is stopped, and comes back as a standby that is promoted.
    estate.cluster.stop(Stop::Fast).expect("stopped");
    let signal = estate.cluster.data_dir().join("standby.signal");
    fs::write(&signal, "").expect("written");
    support::physical::give(&signal);
    estate
        .cluster
        .set("restore_command", &format!("cp '{}/%f' '%p'", estate.archive.display()))
        .expect("set");
    estate.cluster.start().expect("started");
    estate.sql("SELECT pg_promote()");
    let after = estate.mark();
    estate.switch();
    let gone = restored(&estate, &manifest, Target::Latest, None).expect("restored");
    assert_eq!(gone.rows(), after.rows, "the newest timeline");
    drop(gone);
    let old = planned(&estate, &manifest, Target::Latest, Some(1)).expect("planned");
    assert_eq!(old.aim.promise.expect("a commit").xid, before.xid, "the old one ends there");
    let fault = planned(&estate, &manifest, Target::Latest, Some(7)).expect_err("unknown");
    assert_eq!(fault.kind, Kind::Refused, "{fault}");
    // A drill that archived would look like this: two histories behind one fork.
    let next = |at: &Path| at.join("000000010000000000000009");
    let any = estate.archive.join(manifest_segment(&estate));
    fs::copy(any, next(&estate.archive)).expect("copied");
    let fault = planned(&estate, &manifest, Target::Latest, None).expect_err("two histories");
    assert!(fault.to_string().contains("--timeline"), "{fault}");
}

fn manifest_segment(estate: &Estate) -> String {
    let mut names: Vec<String> = segments(&estate.archive);
    names.remove(0)
}

fn segments(archive: &Path) -> Vec<String> {
    let entries = fs::read_dir(archive).expect("listed");
    let names =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let mut names: Vec<String> = names.filter(|name| name.len() == 24).collect();
    names.sort();
    names
}

#[test]
fn a_tablespace_comes_back_below_the_new_folder_and_the_live_one_stays() {
    let estate = Estate::new();
    let space = estate.path("space");
    fs::create_dir(&space).expect("made");
    support::physical::give(&space);
    estate.sql(&format!("CREATE TABLESPACE fast LOCATION '{}'", space.display()));
    estate.sql("CREATE TABLE there(id int) TABLESPACE fast; INSERT INTO there SELECT generate_series(1, 1000); CREATE UNLOGGED TABLE gone(id int)");
    let manifest = estate.backup();
    estate.sql("INSERT INTO there VALUES (0)");
    estate.switch();
    let plan = planned(&estate, &manifest, Target::Latest, None).expect("planned");
    assert_eq!(plan.unlogged, ["postgres: public.gone"]);
    let gone = restored(&estate, &manifest, Target::Latest, None).expect("restored");
    let restored = gone.0.as_ref().expect("restored");
    let ask = |sql: &str| restored.session.one(sql, &[]).expect("asked");
    assert_eq!(ask("SELECT count(*) FROM there").get::<_, i64>(0), 1001);
    let place: String =
        ask("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'").get(0);
    assert!(Path::new(&place).starts_with(&gone.1), "{place}");
    estate.sql("DELETE FROM there");
    assert_eq!(ask("SELECT count(*) FROM there").get::<_, i64>(0), 1001, "they share nothing");
}

/// One thing that is wrong, and how it is brought about in a copy of archive, manifest and target.
type Fault = (&'static str, fn(&Estate, &mut Manifest, &Path, &mut Target));

/// Each of these lets plain PostgreSQL end recovery early, or not at all; most of them with exit code 0.
const FAULTS: &[Fault] = &[
    ("segment missing", |_, _, archive, _| fs::remove_file(third(archive)).expect("removed")),
    ("byte flipped in a segment", |_, _, archive, _| {
        damage(&third(archive), |bytes| bytes[60] ^= 0x40);
    }),
    ("segment filled with zeros", |_, _, archive, _| {
        damage(&third(archive), |bytes| bytes.fill(0));
    }),
    ("segment cut short", |_, _, archive, _| {
        damage(&third(archive), |bytes| bytes.truncate(1 << 20));
    }),
    ("segment empty", |_, _, archive, _| damage(&third(archive), Vec::clear)),
    ("segment of another place", |_, _, archive, _| {
        fs::copy(archive.join(&segments(archive)[1]), third(archive)).map(drop).expect("copied");
    }),
    ("segment of another timeline", |_, _, archive, _| {
        damage(&third(archive), |bytes| bytes[4] = 9);
    }),
    ("segment of another cluster", |_, _, archive, _| {
        damage(&third(archive), |bytes| bytes[24] ^= 1);
    }),
    ("time after the last commit", |_, _, _, target| {
        *target = Target::Time("2100-01-01T00:00:00Z".parse().expect("a time"));
    }),
    ("time before the backup", |_, _, _, target| {
        *target = Target::Time("2000-01-01T00:00:00Z".parse().expect("a time"));
    }),
    ("position behind the WAL", |_, _, _, target| {
        *target = Target::Lsn { at: u64::MAX / 2, exclusive: false }
    }),
    ("restore point that is none", |_, _, _, target| *target = Target::Name("nowhere".into())),
    ("transaction that is none", |_, _, _, target| {
        *target = Target::Xid { xid: 4_000_000_000, exclusive: false }
    }),
    ("backup_label missing", |estate, manifest, _, _| {
        repack(estate, manifest, |folder| {
            fs::remove_file(folder.join("backup_label")).expect("removed");
        });
    }),
    ("another base backup's files", |estate, manifest, _, _| {
        std::thread::sleep(Duration::from_secs(1));
        let other = estate.backup();
        manifest.files = other.files;
    }),
    ("bit flipped in the base", |estate, manifest, _, _| {
        damage(&object(estate, manifest), |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
    }),
    ("base cut short", |estate, manifest, _, _| {
        damage(&object(estate, manifest), |bytes| bytes.truncate(bytes.len() / 2));
    }),
    ("base missing", |estate, manifest, _, _| {
        fs::remove_file(object(estate, manifest)).expect("removed");
    }),
    ("manifest of another cluster", |_, manifest, archive, target| {
        manifest.cluster.system_identifier ^= 1;
        // Even where no WAL tells.
        for name in segments(archive) {
            fs::remove_file(archive.join(name)).expect("removed");
        }
        *target = Target::Latest;
    }),
];

fn third(archive: &Path) -> PathBuf {
    let names = segments(archive);
    archive.join(&names[names.len() - 3])
}

fn damage(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    how(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn object(estate: &Estate, manifest: &Manifest) -> PathBuf {
    let base = manifest.files.iter().find(|file| file.role == Role::Base).expect("a base");
    estate.path("repository").join(base.stored.key.as_str())
}

/// Unpacks the base, changes it, and packs it again, hashes and all.
fn repack(estate: &Estate, manifest: &mut Manifest, change: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    let tar = tempfile::NamedTempFile::new().expect("a file");
    let zstd = fs::File::open(object(estate, manifest)).expect("opened");
    let mut unpacked = zstd::Decoder::new(zstd).expect("packed");
    std::io::copy(&mut unpacked, &mut tar.as_file()).expect("unpacked");
    let run = |words: &[&str]| {
        let tool = Tool::new("tar").args(words).arg(tar.path()).arg("-C").arg(folder.path());
        let tool = if words[0] == "-cf" { tool.arg(".") } else { tool };
        tool.run(&Cancel::new(), &mut |_| {}).expect("tar");
    };
    run(&["-xf"]);
    change(folder.path());
    run(&["-cf"]);
    let sealed = estate.seal(&manifest.id, "changed.tar", Role::Base, tar.path());
    *manifest.files.iter_mut().find(|file| file.role == Role::Base).expect("a base") = sealed;
}

#[test]
fn no_restore_is_silently_short() {
    let mut estate = Estate::new();
    let whole = estate.backup();
    for _ in 0..5 {
        estate.mark();
        estate.switch();
    }
    let base = fs::read(object(&estate, &whole)).expect("read");
    let archive = estate.archive.clone();
    let mut table = Vec::new();
    for (at, (name, inject)) in FAULTS.iter().enumerate() {
        let copy = estate.path(&format!("archive-{at}"));
        fs::create_dir(&copy).expect("made");
        for name in segments(&archive) {
            fs::copy(archive.join(&name), copy.join(&name)).expect("copied");
        }
        estate.archive = copy.clone();
        let (mut manifest, mut target) = (whole.clone(), Target::Latest);
        inject(&estate, &mut manifest, &copy, &mut target);
        let outcome = match restored(&estate, &manifest, target, None) {
            Ok(gone) => format!("RESTORED {} of 5 rows", gone.rows()),
            Err(fault) => format!("{:?}: {fault}", fault.kind),
        };
        table.push((*name, outcome));
        fs::write(object(&estate, &whole), &base).expect("mended");
        fs::remove_dir_all(&copy).expect("removed");
    }
    estate.archive = archive;
    for (name, outcome) in &table {
        println!("{name:<30} {outcome}");
    }
    let silent: Vec<_> =
        table.iter().filter(|(_, outcome)| outcome.starts_with("RESTORED")).collect();
    assert!(silent.is_empty(), "{silent:#?}");
    println!("{} of {} refused or reported", table.len() - silent.len(), table.len());
    let left =
        restored(&estate, &whole, Target::Latest, None).expect("nothing wrong, nothing refused");
    assert_eq!(left.rows(), 5);
}

#[test]
fn a_disk_that_is_or_gets_too_small_is_told_and_leaves_nothing() {
    let estate = Estate::new();
    let manifest = estate.backup();
    for _ in 0..3 {
        estate.mark();
        estate.switch();
    }
    let disk = Arc::new(SmallDisk::mount(200));
    let plan = || planned_in(disk.path(), &estate, &manifest, Target::Latest, None);
    let fault = plan().expect_err("too small");
    assert!(
        fault.kind == Kind::NoSpace && fault.to_string().contains("free some space"),
        "{fault}"
    );
    let (mut failed, mut whole) = (0, 0);
    for megabytes in (8..).step_by(16) {
        disk.resize(4000);
        let plan = plan().expect("there is room");
        let shrinks = Arc::clone(&disk);
        // From here on it has less than it promised.
        let act = move || shrinks.resize(megabytes);
        let mischief = Mischief::new(Cancel::new(), 0, act);
        match carried_out(plan, &estate, &mischief) {
            Ok(gone) => {
                assert_eq!(gone.rows(), 3, "{megabytes} MB");
                whole += 1;
            }
            Err(fault) => {
                assert!(failed > 0 || fault.kind == Kind::NoSpace, "{megabytes} MB: {fault}");
                failed += 1;
            }
        }
        let left = fs::read_dir(disk.path()).expect("listed").flatten();
        assert_eq!(left.map(|entry| entry.path()).collect::<Vec<_>>(), [""; 0].map(PathBuf::from));
        let on_it = |live: &guards::Live| live.data.starts_with(disk.path());
        assert!(!guards::live().iter().any(on_it), "{megabytes} MB: nothing runs on");
        if whole == 2 {
            break;
        }
    }
    println!("{failed} restores onto a disk that got too small were told, and left nothing");
    assert!(failed > 2, "{failed}");
}

#[test]
fn nothing_live_is_touched_and_a_plan_changes_nothing() {
    let estate = Estate::new();
    estate.backup();
    let mark = estate.mark();
    estate.mark();
    estate.switch();
    let (data, port) = (estate.cluster.data_dir(), estate.cluster.port().to_string());
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let into = |folder: &Path, port: &str| {
        estate.run(&[
            "restore",
            "cluster",
            "--latest",
            "--into",
            &text(folder),
            "--port",
            port,
            "--apply",
        ])
    };
    let (code, _, said) = into(&data.join("new"), "23999");
    assert_eq!(code, 77, "{said}");
    assert!(said.contains("running cluster"), "{said}");
    let (code, _, said) = into(&estate.path("new"), &port);
    assert_eq!((code, said.contains("in use")), (77, true), "{said}");
    let (code, _, said) = into(&estate.archive, "23999");
    assert_eq!((code, said.contains("not empty")), (77, true), "{said}");
    let (code, _, said) = estate.run(&[
        "restore",
        "cluster",
        "--latest",
        "--in-place",
        &text(&data),
        "--apply",
        "--confirm",
        "test/0000",
    ]);
    assert_eq!((code, said.contains("is running")), (77, true), "{said}");
    let at = mark.at.to_string();
    let new = text(&estate.path("new"));
    let (code, plan, said) =
        estate.run(&["restore", "cluster", "--to-time", &at, "--into", &new, "--port", "23999"]);
    assert_eq!(code, 0, "{said}");
    assert!(plan.contains("1 later commit that is in the archive"), "{plan}");
    assert!(plan.contains("takes      not known"), "{plan}");
    assert!(plan.contains("Nothing was touched"), "{plan}");
    assert!(!estate.path("new").exists());
    assert_eq!(estate.sql("SELECT count(*) FROM marks"), "2");

    // Root can read its own files, and the server, which never runs as root, cannot.
    if let Some(account) = Account::for_servers().expect("an account") {
        chown(&estate.archive, Some(0), Some(0)).expect("taken away");
        fs::set_permissions(&estate.archive, fs::Permissions::from_mode(0o700)).expect("shut");
        let (code, _, said) = into(&estate.path("new"), "23999");
        assert_eq!(code, 78, "{said}");
        let who = format!("the server would run as '{}'", account.name);
        assert!(said.contains(&who) && said.contains("Permission denied"), "{said}");
        assert!(!estate.path("new").exists());
        let (code, _, said) = estate.run(&["prove"]);
        assert_eq!((code, said.contains(&who)), (78, true), "{said}");
    }
}

#[test]
fn a_restored_cluster_is_inspected_then_promoted_and_never_archives() {
    let estate = Estate::new();
    estate.backup();
    let mark = estate.mark();
    estate.mark();
    estate.switch();
    let folder = estate.path("new");
    let new = folder.to_str().expect("text");
    let port = (24_000 + std::process::id() % 6_000).to_string();
    let at = mark.at.to_string();
    let words = [
        "restore",
        "cluster",
        "--to-time",
        &at,
        "--into",
        new,
        "--port",
        &port,
        "--inspect",
        "--apply",
    ];
    let (code, out, said) = estate.run(&words);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("restore promote"), "{out}");
    assert_eq!(Record::read(&folder).expect("a record").state, State::Inspecting);
    let ask = |host: &Path, sql: &str| {
        let words = format!("host={} port={port} user=postgres dbname=postgres", host.display());
        let tool = Tool::new(estate.cluster.binaries().program("psql"))
            .args(["-qXAtd", &words, "-c", sql]);
        let out =
            tool.secret("PGPASSWORD", estate.cluster.password()).run(&Cancel::new(), &mut |_| {});
        String::from_utf8(out.expect("asked")).expect("text").trim().to_owned()
    };
    let private = folder.join("private");
    assert_eq!(ask(&private, "SELECT count(*), pg_is_in_recovery() FROM marks"), "1|t");
    let before = fs::read_dir(&estate.archive).expect("listed").count();
    let (code, _, said) = estate.run_plain(&["restore", "promote", new]);
    assert_eq!(code, 0, "{said}");
    // From now on with its own settings: socket and password are those of the cluster it is of.
    let host = estate.cluster.folder();
    assert_eq!(ask(host, "INSERT INTO marks VALUES (77); SELECT count(*) FROM marks"), "2");
    assert_eq!(ask(host, "SHOW archive_mode"), "off");
    assert_eq!(ask(host, "SHOW recovery_target_time"), "");
    assert_eq!(ask(host, "SELECT pg_switch_wal() IS NOT NULL"), "t");
    assert_eq!(
        fs::read_dir(&estate.archive).expect("listed").count(),
        before,
        "nothing is archived"
    );
    let (code, _, said) = estate.run_plain(&["restore", "discard", new]);
    assert_eq!(code, 77, "a promoted one may be in use: {said}");
    howdah::cluster::server::end_all(&folder);
}

#[test]
fn in_place_the_old_folder_is_kept() {
    let estate = Estate::new();
    estate.backup();
    let mark = estate.mark();
    estate.mark();
    estate.switch();
    let identifier: u64 =
        estate.sql("SELECT system_identifier FROM pg_control_system()").parse().expect("a number");
    estate.cluster.stop(Stop::Fast).expect("stopped");
    let data = estate.cluster.data_dir();
    let (place, at) = (data.to_str().expect("text"), mark.at.to_string());
    let confirmed = format!("test/…{:04}", identifier % 10_000);
    let words = |confirm: &'_ str| -> Vec<String> {
        let words = [
            "restore",
            "cluster",
            "--to-time",
            &at,
            "--in-place",
            place,
            "--apply",
            "--confirm",
            confirm,
        ];
        words.into_iter().map(str::to_owned).collect()
    };
    let run = |words: &[String]| estate.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, _, said) = run(&words("test/12345"));
    assert_eq!(code, 77, "{said}");
    let config = estate.path("two.toml");
    fs::write(&config, "[target.test]\ntwo_people = true\n").expect("written");
    let for_two = |more: &[&str]| -> Vec<String> {
        let config = config.to_str().expect("text");
        let base = words(&confirmed).into_iter();
        let common = ["--config", config, "--as", "anna"].into_iter();
        base.chain(common.chain(more.iter().copied()).map(str::to_owned)).collect()
    };
    for (second, why) in
        [(&[][..], "asks for two people"), (&["--second", "anna"], "another person")]
    {
        let (code, _, said) = run(&for_two(second));
        assert_eq!((code, said.contains(why)), (77, true), "{said}");
    }
    let (code, out, said) = run(&for_two(&["--break-glass", "nobody answers the phone"]));
    assert_eq!(code, 0, "{said}{out}");
    assert!(said.contains("THE GLASS IS BROKEN: 'test' asks for two people, and anna"), "{said}");
    let (_, ledger, said) = estate.run_plain(&["ledger", "show"]);
    assert!(ledger.contains("second.break-glass"), "{said}{ledger}");
    assert!(out.contains("undo "), "{out}");
    assert_eq!(estate.sql("SELECT count(*) FROM marks"), "1");
    let beside = fs::read_dir(estate.cluster.folder()).expect("listed").flatten();
    let kept: Vec<_> =
        beside.filter(|e| e.file_name().to_string_lossy().starts_with("data.before-")).collect();
    assert_eq!(kept.len(), 1, "moved aside, not removed");
    assert!(kept[0].path().join("PG_VERSION").exists());
}

#[test]
fn a_killed_restore_leaves_nothing_running_and_says_what_it_is() {
    let estate = Estate::new();
    estate.backup();
    estate.mark();
    estate.switch();
    let folder = estate.path("new");
    let new = folder.to_str().expect("text");
    let words = [
        "restore",
        "cluster",
        "--latest",
        "--into",
        new,
        "--port",
        "23998",
        "--inspect",
        "--apply",
    ];
    let mut child =
        estate.howdah(&words).stdout(std::process::Stdio::null()).spawn().expect("started");
    support::eventually("the server was started", Duration::from_mins(1), || {
        folder.join("data/postmaster.pid").exists() || !process::alive(child.id() as i32)
    });
    child.kill().expect("killed");
    child.wait().expect("collected");
    let running = || guards::live().iter().any(|live| live.data.starts_with(&folder));
    support::eventually("the guard ended it", Duration::from_secs(20), || !running());
    let state = Record::read(&folder).expect("a record").state;
    // It may have come as far as its target in this moment.
    assert!(matches!(state, State::Unfinished | State::Inspecting), "{state:?}");
    let (code, _, said) = estate.run_plain(&["restore", "discard", new]);
    assert_eq!(code, 0, "{said}");
    assert!(!folder.exists());
}
