//! What a backup cannot be taken with is told in one line with what to do about it, and nothing that was kept is
//! lost by it.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{fs, path::Path, process::Command};

use crate::support::{
    archived::Archived,
    cluster, data,
    database::target,
    small_disk::SmallDisk,
    taking::{howdah, logical, repository, run, take, verify, waiting},
};
use howdah::{
    cluster::{Cluster, Stop, Via},
    recover::{
        Repository,
        backup::Wish,
        repository::{
            catalogue::{Entry, State},
            manifest::{BackupId, Failed, Level, Method},
            storage::Overwrite,
        },
        session::Session,
    },
};

/// One way to take each kind.
const KINDS: [[&str; 2]; 2] = [["backup", "--all"], ["backup", "--physical"]];

/// A cluster, and a backup of it that is older than what goes wrong.
struct Estate<C> {
    cluster: C,
    older: BackupId,
}

impl Estate<Cluster> {
    fn with(home: &Path) -> Self {
        let cluster = cluster();
        data::fill(&cluster, false);
        let wish = logical(Wish::Database(Some(data::EMPTY.into())));
        let older = take(&wish, &cluster, &repository(home)).id;
        Self { cluster, older }
    }
}

impl<C> Estate<C> {
    /// What was there is as whole as it was, and nothing else is.
    #[track_caller]
    fn is_kept(&self, repository: &Repository) {
        let entries = repository.backups().expect("listed");
        let whole: Vec<_> = entries.iter().filter_map(Entry::manifest).map(|m| &m.id).collect();
        assert_eq!(whole, [&self.older]);
        assert_eq!(verify(repository, &self.older, Level::L2).findings, [""; 0]);
        assert_eq!(repository.leftovers().expect("listed"), Some(Vec::new()));
    }
}

/// It ends with this code and one line that says all of this.
#[track_caller]
fn refused(mut call: Command, code: i32, says: &[&str]) {
    let (ended, out, said) = run(&mut call);
    assert_eq!((ended, out.as_str(), said.lines().count()), (code, "", 1), "{out}{said}");
    for word in says {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
}

#[test]
fn a_wrong_password_is_told_as_one() {
    let home = tempfile::tempdir().expect("a folder");
    let estate = Estate::with(home.path());
    for words in KINDS {
        let mut call = howdah(&estate.cluster, home.path(), &words);
        call.env("PGPASSWORD", "not this one");
        refused(call, 69, &["password"]);
    }
    estate.is_kept(&repository(home.path()));
}

#[test]
fn a_repository_that_is_mounted_read_only_is_told_as_one() {
    let disk = SmallDisk::mount(200);
    let estate = Estate::with(disk.path());
    let repository = repository(disk.path());
    disk.read_only(true);
    for words in KINDS {
        let call = howdah(&estate.cluster, disk.path(), &words);
        refused(call, 69, &["Read-only file system", "mount it writable"]);
    }
    disk.read_only(false);
    estate.is_kept(&repository);
    assert_eq!(run(&mut howdah(&estate.cluster, disk.path(), &KINDS[0])).0, 0);
}

#[test]
fn a_clock_behind_the_newest_backup_is_told_as_one() {
    let home = tempfile::tempdir().expect("a folder");
    let estate = Estate::with(home.path());
    let repository = repository(home.path());
    // The clock of whoever took it was ahead, or ours is behind: that is the same.
    let later = "2099-12-31T02:00:00Z".parse().expect("a time");
    let id = BackupId::new(later, Method::Physical);
    let failed = Failed {
        id: id.clone(),
        method: Method::Physical,
        began: later,
        ended: later,
        why: "it was cancelled".into(),
        step: "base".into(),
        cancelled: true,
    };
    let folder = repository.backup_key(&id).expect("a name");
    let key = folder.join("failed.json").expect("a name");
    repository.write_json(&key, &failed, Overwrite::Never).expect("written");
    for words in KINDS {
        let call = howdah(&estate.cluster, home.path(), &words);
        refused(call, 77, &[id.as_str(), "clock", "move its folder out"]);
    }
    estate.is_kept(&repository);
    let told = repository.backups().expect("listed");
    let told = told.iter().filter(|entry| matches!(entry.state, State::Failed(_))).count();
    assert_eq!(told, 1 + KINDS.len(), "each stands in history");
    // As the remedy says.
    let place = repository.storage().path(&folder).expect("a folder");
    fs::rename(place, home.path().join("moved out")).expect("moved");
    assert_eq!(run(&mut howdah(&estate.cluster, home.path(), &KINDS[0])).0, 0);
}

#[test]
fn a_damaged_page_of_the_cluster_is_told_by_its_file() {
    let cluster = Archived::start(&[]);
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    let older = take(&logical(Wish::Database(Some(data::EMPTY.into()))), &cluster, &repository).id;
    let session = Session::open_database(&target(&cluster, Via::Unix), data::SHOP).expect("asked");
    let sql = "SELECT pg_relation_filepath('shop.order_line')";
    let file: String = session.one(sql, &[]).expect("asked").get(0);
    drop(session);
    cluster.stop(Stop::Fast).expect("stopped");
    // It may have been made with checksums already, as 18 does.
    let _ = cluster.program("pg_checksums").args(["--enable", "-D", "data"]).output();
    let path = cluster.data_dir().join(&file);
    let mut bytes = fs::read(&path).expect("read");
    bytes[8192 + 5000] ^= 1;
    fs::write(&path, bytes).expect("written");
    cluster.start().expect("started");
    assert_eq!(cluster.psql("SHOW data_checksums").expect("asked"), "on");
    let estate = Estate { cluster, older };
    for compressor in ["server", "client"] {
        let words = ["backup", "--physical", "--compress", compressor];
        let call = howdah(&estate.cluster, home.path(), &words);
        refused(call, 65, &["the cluster itself is damaged", &file, "block 1", "REINDEX"]);
    }
    estate.is_kept(&repository);
}

#[test]
fn of_two_at_once_the_second_says_who_the_first_is() {
    let home = tempfile::tempdir().expect("a folder");
    let estate = Estate::with(home.path());
    // The first waits for a table that somebody has locked.
    let holder = data::locked(&estate.cluster, data::SHOP, "shop.orders");
    let mut first = howdah(&estate.cluster, home.path(), &["backup", "--database", data::SHOP]);
    let mut first = first.spawn().expect("started");
    waiting(&estate.cluster);
    let who = format!("process {}", first.id());
    for words in KINDS {
        let call = howdah(&estate.cluster, home.path(), &words);
        refused(call, 77, &["another run is at work", &who]);
    }
    drop(holder);
    assert!(first.wait().expect("ended").success(), "the first goes on as if nobody had come");
    let entries = repository(home.path()).backups().expect("listed");
    let whole: Vec<_> = entries.iter().filter_map(Entry::manifest).map(|m| &m.id).collect();
    assert_eq!((whole.len(), entries.len()), (2, 2), "{entries:?}");
    for id in whole {
        assert_eq!(verify(&repository(home.path()), id, Level::L2).findings, [""; 0]);
    }
}
