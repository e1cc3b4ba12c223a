//! Damage in a repository is found and named, by hashes or by structure.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{fs, path::Path};

use crate::support::{
    cluster, data,
    taking::{flip, logical, physical, repository, take, verify},
};
use howdah::{
    base::progress::Silent,
    recover::{
        Kind,
        backup::Wish,
        repository::{
            manifest::{Database, Level, Manifest},
            storage::Overwrite,
        },
        verify::Verifier,
    },
};

/// A way to damage a file.
type Damage = fn(&Path);

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("read");
    fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
}

fn empty(path: &Path) {
    fs::write(path, b"").expect("written");
}

fn delete(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn double(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    bytes.extend_from_within(..);
    fs::write(path, bytes).expect("written");
}

fn stray(path: &Path) {
    fs::write(path.with_extension("old"), b"x").expect("written");
}

const DAMAGES: [(&str, Damage); 6] = [
    ("flip", flip),
    ("cut", cut),
    ("empty", empty),
    ("delete", delete),
    ("double", double),
    ("stray", stray),
];

#[test]
fn damage_of_each_kind_of_file_is_found_and_named() {
    let cluster = cluster();
    data::fill(&cluster, true);
    let mut cases = 0;
    for (word, request) in [("logical", logical(Wish::All)), ("physical", physical())] {
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(home.path());
        let manifest = take(&request, &cluster, &repository);
        let sound = verify(&repository, &manifest.id, Level::L2);
        assert_eq!((sound.findings, sound.reached), (Vec::new(), Some(Level::L2)), "{word}");
        assert_eq!(repository.backup(&manifest.id).expect("there").level(), Some(Level::L2));
        for file in &manifest.files {
            let path = repository.storage().path(&file.stored.key).expect("a folder has paths");
            let kept = fs::read(&path).expect("read");
            for (damage, act) in DAMAGES {
                act(&path);
                let found = verify(&repository, &manifest.id, Level::L1);
                assert_eq!(found.reached, None, "{damage} of {}", file.stored.key);
                let named = path.file_stem().expect("a name").to_string_lossy().into_owned();
                assert!(found.findings.iter().any(|f| f.contains(&named)), "{found:?}");
                let _ = fs::remove_file(path.with_extension("old"));
                fs::write(&path, &kept).expect("mended");
                cases += 1;
            }
        }
        // Two files change places.
        let paths: Vec<_> = manifest
            .files
            .iter()
            .take(2)
            .map(|file| repository.storage().path(&file.stored.key).expect("a path"))
            .collect();
        let aside = home.path().join("aside");
        for (from, to) in [(&paths[0], &aside), (&paths[1], &paths[0]), (&aside, &paths[1])] {
            fs::rename(from, to).expect("moved");
        }
        assert!(!verify(&repository, &manifest.id, Level::L1).findings.is_empty());
        for (from, to) in [(&paths[0], &aside), (&paths[1], &paths[0]), (&aside, &paths[1])] {
            fs::rename(from, to).expect("moved");
        }
        // The manifest itself.
        let key = repository.backup_key(&manifest.id).and_then(|key| key.join("manifest.json"));
        let path = repository.storage().path(&key.expect("a name")).expect("a path");
        let kept = fs::read(&path).expect("read");
        for act in [cut as Damage, empty] {
            act(&path);
            let fault = Verifier::default()
                .verify(&repository, &manifest.id, Level::L1, &Silent::default())
                .map_err(|fault| fault.kind);
            // A missing line break at the end is no damage.
            if fault.is_ok() {
                let text = fs::read(&path).expect("read");
                assert!(kept.starts_with(&text) && kept.len() - text.len() == 1);
            } else {
                assert_eq!(fault, Err(Kind::Damaged));
            }
            fs::write(&path, &kept).expect("mended");
            cases += 1;
        }
    }
    println!("{cases} damages found");
}

/// A backup whose files are as they were written, but not what the cluster had: what hashes cannot see.
#[test]
fn what_was_written_wrong_is_found_by_structure_alone() {
    let cluster = cluster();
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repository = repository(home.path());
    for (request, changes) in [
        (
            logical(Wish::Database(Some(data::SHOP.into()))),
            &[
                (rows_changed as fn(&mut Manifest), "instead of"),
                (table_added, "lacks shop.unheard"),
                (objects_changed, "large objects"),
                (database_added, "no dump of the database"),
            ][..],
        ),
        (physical(), &[(wal_changed as fn(&mut Manifest), "different WAL")][..]),
    ] {
        let manifest = take(&request, &cluster, &repository);
        let key = repository.backup_key(&manifest.id).and_then(|key| key.join("manifest.json"));
        let key = key.expect("a name");
        for (change, word) in changes {
            let mut changed = manifest.clone();
            change(&mut changed);
            repository.write_json(&key, &changed, Overwrite::Replace).expect("written");
            let found = verify(&repository, &manifest.id, Level::L2);
            assert_eq!(found.reached, Some(Level::L1), "{word}");
            assert!(found.findings.iter().any(|f| f.contains(word)), "{word}: {found:?}");
        }
    }
}

fn rows_changed(manifest: &mut Manifest) {
    for relation in &mut manifest.inventory.databases[0].relations {
        if relation.name == "orders" {
            relation.rows = Some(4999);
        }
    }
}

fn table_added(manifest: &mut Manifest) {
    let relations = &mut manifest.inventory.databases[0].relations;
    let mut more = relations.iter().find(|r| r.name == "orders").expect("there").clone();
    more.name = "unheard".into();
    relations.push(more);
}

fn objects_changed(manifest: &mut Manifest) {
    manifest.inventory.databases[0].large_objects += 1;
}

fn database_added(manifest: &mut Manifest) {
    manifest.inventory.databases.push(Database { name: "more".into(), ..Database::default() });
}

fn wal_changed(manifest: &mut Manifest) {
    manifest.wal.as_mut().expect("WAL").stop += 1;
}
