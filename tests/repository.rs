//! The repository: what a folder and a bucket must both keep, what a bucket does when its network fails, and
//! `howdah repo` from outside.

#![cfg(feature = "s3")]
#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{
    fs::Permissions,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use age::secrecy::ExposeSecret as _;
use howdah::{
    base::clock::Timestamp,
    cluster::{Cluster, Options, Via},
    recover::{
        Kind, Repository, Result,
        repository::{
            encryption::Recipients,
            folder::Folder,
            key::Key,
            manifest::{BackupId, FORMAT, File, Inventory, Manifest, Method, Origin, Role},
            sealed::{self, Seal},
            storage::{Overwrite, Storage, Upload},
        },
    },
};

use crate::support::bucket::{KEYS, Network, Server, bucket, words};

fn key(name: &str) -> Key {
    Key::new(name).expect("a name")
}

fn put(storage: &dyn Storage, name: &str, bytes: &[u8], overwrite: Overwrite) -> Result<()> {
    let mut upload = storage.create(&key(name), overwrite)?;
    send(&mut *upload, bytes)?;
    upload.finish()
}

fn send(upload: &mut dyn Upload, bytes: &[u8]) -> Result<()> {
    upload.write_all(bytes).map_err(howdah::recover::Fault::io("cannot write"))
}

fn get(storage: &dyn Storage, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage.open(&key(name)).expect("there").read_to_end(&mut bytes).expect("read");
    bytes
}

/// Bytes that differ from place to place, so that parts in the wrong order are seen.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Small enough for one request, and large enough for three parts.
const SIZES: [usize; 2] = [100, 20 << 20];

fn whole_or_nothing(storage: &dyn Storage) {
    for (size, name) in SIZES.into_iter().zip(["whole/small", "whole/large"]) {
        let content = bytes(size, 1);
        let mut upload = storage.create(&key(name), Overwrite::Never).expect("begun");
        send(&mut *upload, &content).expect("written");
        assert_eq!(storage.stat(&key(name)).expect("looked"), None);
        assert!(storage.open(&key(name)).is_err_and(|fault| fault.kind == Kind::Unavailable));
        assert_eq!(storage.list(&key("whole")).expect("listed").len(), usize::from(size > 100));
        drop(upload);
        assert_eq!(storage.stat(&key(name)).expect("looked"), None, "it was dropped");
        assert_eq!(storage.leftovers(&key("whole")).expect("listed"), []);
        put(storage, name, &content, Overwrite::Never).expect("published");
        assert!(get(storage, name) == content, "what went in comes out");
        assert_eq!(storage.stat(&key(name)).expect("looked").expect("there").size, size as u64);
    }
}

fn never_overwritten(storage: &dyn Storage) {
    for (size, name) in SIZES.into_iter().zip(["once/small", "once/large"]) {
        let (first, second) = (bytes(size, 2), bytes(size, 3));
        // Both begin while there is nothing; who is second is refused.
        let mut early = storage.create(&key(name), Overwrite::Never).expect("begun");
        let mut late = storage.create(&key(name), Overwrite::Never).expect("begun");
        send(&mut *early, &first).expect("written");
        send(&mut *late, &second).expect("written");
        early.finish().expect("published");
        assert_eq!(late.finish().expect_err("too late").kind, Kind::Refused);
        let begun = storage.create(&key(name), Overwrite::Never).map(drop);
        assert_eq!(begun.expect_err("it is there").kind, Kind::Refused);
        assert!(get(storage, name) == first, "the first one stays");
        put(storage, name, &second, Overwrite::Replace).expect("replaced");
        assert!(get(storage, name) == second, "only who says so replaces it");
    }
}

fn found_again(storage: &dyn Storage) {
    for name in ["tree/b/2", "tree/b/1", "tree/a%2F=+@x", "tree/b-c/3", "treehouse/4"] {
        put(storage, name, name.as_bytes(), Overwrite::Never).expect("published");
    }
    let names = |below: &str| -> Vec<String> {
        let objects = storage.list(&key(below)).expect("listed");
        objects.iter().map(|object| object.key.to_string()).collect()
    };
    assert_eq!(names("tree"), ["tree/a%2F=+@x", "tree/b-c/3", "tree/b/1", "tree/b/2"]);
    assert_eq!(names("tree/b"), ["tree/b/1", "tree/b/2"]);
    assert_eq!(names("nothing"), [""; 0]);
    let children = |below: Option<&str>| storage.children(below.map(key).as_ref()).expect("listed");
    assert_eq!(children(Some("tree")), ["a%2F=+@x", "b", "b-c"]);
    assert_eq!(children(Some("nothing")), [""; 0]);
    assert!(children(None).iter().any(|name| name == "treehouse"));
    for (range, expected) in [(1..3, "re"), (0..100, "tree/b/1"), (4..4, "")] {
        let mut text = String::new();
        let mut part = storage.open_range(&key("tree/b/1"), range).expect("there");
        part.read_to_string(&mut text).expect("read");
        assert_eq!(text, expected);
    }
    storage.remove(&key("tree/b/1")).expect("removed");
    storage.remove(&key("tree/b/1")).expect("nothing to remove");
    assert_eq!(storage.stat(&key("tree/b/1")).expect("looked"), None);
    assert_eq!(names("tree/b"), ["tree/b/2"]);
}

/// Several writers at once, each with an object of its own and all with one: that stays whole. How many of
/// them win is up to the place; a folder and S3 itself let one.
fn many_at_once(storage: &dyn Storage) -> usize {
    let outcomes: Vec<Result<()>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..6_u32)
            .map(|seed| {
                scope.spawn(move || {
                    put(storage, &format!("many/{seed}"), &[seed as u8; 10], Overwrite::Never)
                        .expect("its own");
                    put(storage, "many/one", &vec![seed as u8; 50_000], Overwrite::Never)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    let there = get(storage, "many/one");
    assert!(there.len() == 50_000 && there.iter().all(|byte| *byte == there[0]), "one's, whole");
    assert_eq!(storage.list(&key("many")).expect("listed").len(), 7);
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

fn sealed_there(storage: &dyn Storage) {
    let content = bytes(9 << 20, 5);
    let plan = Seal { md5: true, ..Seal::default() };
    let mut sealing = sealed::Sealing::create(storage, &key("sealed/x"), &plan).expect("begun");
    sealing.write_all(&content).expect("written");
    let stored = sealing.finish().expect("published");
    let seen =
        sealed::check(storage, &stored, &howdah::recover::repository::encryption::Keys::default())
            .expect("as it was written");
    assert_eq!(seen, sealed::Sight::Content);
    let sidecar = String::from_utf8(get(storage, "sealed/x.md5")).expect("text");
    assert!(sidecar.ends_with("  x\n") && sidecar.len() == 32 + 4, "{sidecar}");
}

#[test]
fn a_folder_keeps_what_a_storage_promises() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::make(&home.path().join("repo")).expect("made");
    whole_or_nothing(&folder);
    never_overwritten(&folder);
    found_again(&folder);
    assert_eq!(many_at_once(&folder), 1);
    sealed_there(&folder);
    for below in folder.children(None).expect("listed") {
        assert_eq!(folder.leftovers(&key(&below)).expect("listed"), [], "{below}");
    }
    let checked = Command::new("md5sum")
        .args(["-c", "x.md5"])
        .current_dir(folder.root().join("sealed"))
        .output()
        .expect("md5sum runs");
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_bucket_keeps_what_a_storage_promises() {
    let server = Server::start();
    let storage = bucket(&words(server.address), KEYS);
    whole_or_nothing(&storage);
    never_overwritten(&storage);
    found_again(&storage);
    // This server looks and writes in two steps, so more than one may win; S3 itself decides in one.
    assert!(many_at_once(&storage) >= 1);
    sealed_there(&storage);
    assert_eq!(server.parts(), 0, "no upload stays open");
    assert!(server.files().iter().all(|name| name.starts_with("deep/inside/")));
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_in_one_sentence_with_its_remedy() {
    let server = Server::start();
    let good = words(server.address);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address")
    };
    for (words, keys, kind, said) in [
        (good.clone(), ("NOBODY", KEYS.1), Kind::Config, "refuses our credentials"),
        (good.clone(), (KEYS.0, "guessed"), Kind::Config, "refuses our credentials"),
        (good.replace("backups/deep", "other/deep"), KEYS, Kind::Unavailable, "no bucket 'other'"),
        (self::words(closed), KEYS, Kind::Unavailable, "cannot be reached"),
    ] {
        let storage = bucket(&words, keys);
        let mut faults = vec![storage.children(None).expect_err(said)];
        // This server makes a bucket that is written to.
        if !words.contains("other") {
            for overwrite in [Overwrite::Never, Overwrite::Replace] {
                faults.push(put(&storage, "x", b"x", overwrite).expect_err(said));
            }
        }
        for fault in faults {
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.to_string().contains(said) && fault.advice().is_some(), "{fault}");
            assert!(!fault.to_string().contains("guessed"), "{fault}");
        }
    }
    assert_eq!(server.files(), [""; 0]);
}

/// Makes an authority of our own, and a certificate that it signs for 127.0.0.1.
fn authority(home: &Path, name: &str) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

    let openssl = |words: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(words.split_whitespace()).current_dir(home).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {new} -days 9 -subj /CN={name} -keyout {name}.key -out {name}.pem"
    ));
    openssl(&format!("req {new} -subj /CN=s3 -keyout {name}-s3.key -out {name}-s3.csr"));
    std::fs::write(home.join("names"), "subjectAltName=IP:127.0.0.1").expect("written");
    openssl(&format!(
        "x509 -req -in {name}-s3.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 9 \
         -extfile names -out {name}-s3.pem"
    ));
    let own = CertificateDer::from_pem_file(home.join(format!("{name}-s3.pem"))).expect("read");
    let key = PrivateKeyDer::from_pem_file(home.join(format!("{name}-s3.key"))).expect("read");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![own], key))
        .expect("a server's settings");
    std::sync::Arc::new(config).into()
}

#[test]
fn a_bucket_behind_tls_is_trusted_by_an_authority_of_ones_own_and_by_no_other() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(Some(authority(home.path(), "ours")));
    let plain = words(server.address).replace("http://", "https://");
    let trusting = |file: &str| format!("{plain}&ca_file={}", home.path().join(file).display());
    let storage = bucket(&trusting("ours.pem"), KEYS);
    for (size, name) in SIZES.into_iter().zip(["tls/small", "tls/large"]) {
        let content = bytes(size, 4);
        put(&storage, name, &content, Overwrite::Never).expect("published");
        assert!(get(&storage, name) == content, "what went in comes out");
    }
    assert_eq!(storage.list(&key("tls")).expect("listed").len(), 2);

    authority(home.path(), "theirs");
    for words in [plain.clone(), trusting("theirs.pem")] {
        let fault = bucket(&words, KEYS).children(None).expect_err("not trusted");
        assert_eq!(fault.kind, Kind::Config, "{fault}");
        assert!(fault.to_string().contains("no trusted authority signed"), "{fault}");
        assert!(fault.advice().is_some_and(|advice| advice.contains("ca_file=")), "{fault}");
        let written = put(&bucket(&words, KEYS), "x", b"x", Overwrite::Replace);
        assert_eq!(written.expect_err("not trusted").kind, Kind::Config);
    }
    // The name in the certificate counts, too.
    let elsewhere = trusting("ours.pem").replace("127.0.0.1", "localhost");
    let fault = bucket(&elsewhere, KEYS).children(None).expect_err("another name");
    assert!(fault.to_string().contains("certificate"), "{fault}");

    std::fs::write(home.path().join("garbage.pem"), "no certificate").expect("written");
    let keys = [("AWS_ACCESS_KEY_ID", KEYS.0), ("AWS_SECRET_ACCESS_KEY", KEYS.1)];
    for (file, code, said) in [
        ("ours.pem", 0, "ok       writing"),
        ("theirs.pem", 78, "no trusted authority"),
        ("garbage.pem", 78, "garbage.pem"),
        ("missing.pem", 78, "missing.pem"),
    ] {
        let words = ["repo", "init", "--repository", &trusting(file), "--name", "prod"];
        let (found, out, err) = howdah(home.path(), &keys, &words);
        assert_eq!(found, code, "{file}: {out}{err}");
        assert!((out + &err).contains(said), "{file}: {err}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests measure with the real clock")]
fn a_server_that_hangs_is_told_within_its_time_and_a_slow_one_is_waited_for() {
    let server = Server::start();
    let network = Network::before(&server);
    let words = words(network.address).replace("timeout=30s", "timeout=2s");
    let storage = bucket(&words, KEYS);
    network.hold_back(Duration::from_millis(300));
    put(&storage, "slow", b"words", Overwrite::Never).expect("slow, and well");
    assert_eq!(get(&storage, "slow"), b"words");
    network.hold_back(Duration::from_mins(1));
    let start = Instant::now();
    let fault = storage.stat(&key("slow")).expect_err("it hangs");
    assert_eq!(fault.kind, Kind::Unavailable);
    assert!(fault.to_string().contains("did not answer within 2.0s"), "{fault}");
    // Two seconds for an answer, and as long again for what is repeated.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_goes_away_in_the_middle_leaves_nothing_that_looks_whole() {
    let server = Server::start();
    let network = Network::before(&server);
    let storage = bucket(&words(network.address), KEYS);
    let content = bytes(20 << 20, 7);
    // In the first part, between parts, in the last one; and in a small object.
    for (at, size) in [(1 << 20, 20 << 20), (9 << 20, 20 << 20), (18 << 20, 20 << 20), (600, 5000)]
    {
        network.break_after(at);
        let fault = put(&storage, "cut", &content[..size], Overwrite::Never).expect_err("cut");
        assert_eq!(fault.kind, Kind::Unavailable, "{fault}");
        network.heal();
        assert_eq!(storage.stat(&key("cut")).expect("looked"), None);
        assert_eq!(storage.list(&key("cut")).expect("listed"), []);
    }
    put(&storage, "cut", &content, Overwrite::Never).expect("it is back");
    assert!(get(&storage, "cut") == content);
}

/// A call with a home of its own: exit code, standard output, standard error.
fn howdah(home: &Path, variables: &[(&str, &str)], words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("USER", "somebody")
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_folder_is_made_claimed_checked_and_described() {
    let home = tempfile::tempdir().expect("a folder");
    let place = home.path().join("a repo's \"own\" place");
    let repository = place.to_str().expect("UTF-8");
    let with = |variables: &[(&str, &str)], words: &[&str]| {
        let place = ["--repository", repository, "--name", "prod"];
        howdah(home.path(), variables, &[&["repo"], words, &place[..]].concat())
    };
    let call = |words: &[&str]| with(&[], words);
    let (code, _, err) = call(&["check"]);
    assert_eq!(code, 69, "{err}");
    let (code, out, err) = call(&["init"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let mode = std::fs::metadata(&place).expect("made").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);

    // A template would give both of them one identifier.
    let other = Options { template: None, ..support::options() };
    let (one, two) = (support::cluster(), Cluster::start(&other).expect("a cluster"));
    let claim = |cluster: &Cluster| {
        let variables = [("PGPASSWORD", cluster.password().expose())];
        with(&variables, &["init", "--target", &cluster.conninfo(Via::Tcp)])
    };
    let (code, out, err) = claim(&one);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("the cluster "), "{out}");
    let (code, _, err) = claim(&two);
    assert_eq!(code, 77, "{err}");
    assert!(err.contains("belongs to the cluster") && err.contains("--name"), "{err}");

    let (code, out, _) = call(&["check"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("ok       writing") && out.contains("unknown  reading"), "{out}");
    let (code, out, _) = call(&["info", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, info["backups"].as_array().map(Vec::len)), (0, Some(0)));

    // A writer that was killed, long ago and just now.
    let folder = place.join("prod/wal");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("private");
    for (name, age) in [("old", "3 days ago"), ("new", "now")] {
        let path = folder.join(format!("{name}.partial-abcdefgh"));
        std::fs::write(&path, "half").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("private");
        let touched = Command::new("touch").args(["-d", age]).arg(&path).status();
        assert!(touched.expect("touch runs").success());
    }
    let (code, out, _) = call(&["check", "--clean"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("prod/wal/old was not finished: 4 B, 3d0h old; is removed now"), "{out}");
    let (_, out, _) = call(&["check"]);
    assert!(!out.contains("wal/old") && out.contains("wal/new was not finished"), "{out}");

    let (_, ledger, _) = howdah(home.path(), &[], &["ledger", "show"]);
    for act in ["repo.init", "repo.clean"] {
        assert!(ledger.contains(act), "{ledger}");
    }

    std::fs::set_permissions(&folder, Permissions::from_mode(0o750)).expect("opened up");
    let (code, out, _) = call(&["check"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("BAD      permissions  others may get at"), "{out}");
}

#[test]
fn a_bucket_is_checked_with_credentials_of_the_environment_or_a_profile() {
    let server = Server::start();
    let home = tempfile::tempdir().expect("a folder");
    let words = words(server.address);
    let call = |variables: &[(&str, &str)], repository: &str| {
        let words = ["repo", "init", "--repository", repository, "--name", "prod"];
        howdah(home.path(), variables, &words)
    };
    let (code, _, err) = call(&[], &words);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("no credentials") && err.contains("AWS_ACCESS_KEY_ID"), "{err}");
    let keys = [("AWS_ACCESS_KEY_ID", KEYS.0), ("AWS_SECRET_ACCESS_KEY", KEYS.1)];
    let (code, out, err) = call(&keys, &words);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("ok       writing"), "{out}");
    assert!(out.contains("unknown  permissions") && out.contains("unknown  space"), "{out}");

    std::fs::create_dir(home.path().join(".aws")).expect("made");
    let profile =
        format!("[ours]\naws_access_key_id = {}\naws_secret_access_key = {}\n", KEYS.0, KEYS.1);
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("written");
    let (code, out, err) = call(&[], &format!("{words}&profile=ours"));
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = call(&[], &format!("{words}&profile=theirs"));
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("no whole profile 'theirs'"), "{err}");
    let (code, _, err) = call(&[], "s3://backups?secret_access_key=hunter2");
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("holds no credentials") && !err.contains("hunter2"), "{err}");
    assert_eq!(server.files(), [""; 0], "the test object is gone");
}

/// A whole backup of two files, as one of the tools would have left it.
fn backup(repository: &Repository) -> Manifest {
    let at: Timestamp = "2026-11-25T02:00:00Z".parse().expect("a time");
    let id = BackupId::new(at, Method::Logical);
    let home = repository.backup_key(&id).expect("a name");
    let file = |name: &str, role: Role, length: usize| {
        let mut sealing = repository.seal(&home.join(name).expect("a name")).expect("begun");
        sealing.write_all(&bytes(length, 11)).expect("written");
        File { role, stored: sealing.finish().expect("published") }
    };
    let dump = Role::Dump { database: "shop".to_owned() };
    let manifest = Manifest {
        format: FORMAT,
        method: Method::Logical,
        began: at,
        ended: at,
        howdah: "test".to_owned(),
        tool: "test".to_owned(),
        cluster: Origin {
            system_identifier: 42,
            version: 150_018,
            timeline: 1,
            host: "here".to_owned(),
            data_directory: None,
            standby: false,
        },
        files: vec![file("globals.zst", Role::Globals, 500), file("shop.zst", dump, 100_000)],
        wal: None,
        inventory: Inventory::default(),
        phases: Vec::new(),
        id,
    };
    let key = home.join("manifest.json").expect("a name");
    repository.write_json(&key, &manifest, Overwrite::Never).expect("written");
    manifest
}

#[test]
fn a_check_reads_back_what_it_can_and_says_what_it_cannot() {
    let home = tempfile::tempdir().expect("a folder");
    let place = home.path().join("repo");
    let location = place.to_str().expect("UTF-8");
    let identity = age::x25519::Identity::generate();
    let public = identity.to_public().to_string();
    let secret = home.path().join("identity");
    std::fs::write(&secret, identity.to_string().expose_secret()).expect("written");
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("private");
    let repository = howdah::recover::repository::make(location, "prod")
        .expect("made")
        .sealing_for(Recipients::parse([public.as_str()]).expect("a key"))
        .with_md5(true);
    let manifest = backup(&repository);
    let call = |words: &[&str], variables: &[(&str, &str)]| {
        let place = ["--repository", location, "--name", "prod"];
        howdah(home.path(), variables, &[&["repo"], words, &place[..]].concat())
    };
    let (code, out, err) = call(&["check", "--all"], &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("2 of 2 files of 1 backups read back"), "{out}");
    assert!(out.contains("unknown  contents     of 2 files only size and hash as stored"), "{out}");
    assert!(out.contains(&format!("sealed for {public}; no identity given")), "{out}");
    let identity = [("HOWDAH_RECOVER_IDENTITY", secret.to_str().expect("UTF-8"))];
    let (code, out, _) = call(&["check", "--all"], &identity);
    assert!(code == 0 && !out.contains("contents"), "{out}");
    let (_, out, _) = call(&["info"], &[]);
    assert!(out.contains("20261125T020000Z-logical") && out.contains("not verified"), "{out}");

    // One bit, then the whole file: found with and without the identity.
    let path = place.join(manifest.files[1].stored.key.as_str());
    let mut raw = std::fs::read(&path).expect("read");
    raw[1000] ^= 4;
    std::fs::write(&path, &raw).expect("damaged");
    for variables in [&identity[..], &[]] {
        let (code, out, _) = call(&["check", "--all"], variables);
        assert_eq!(code, 65, "{out}");
        assert!(out.contains("BAD      backup") && out.contains("shop.zst"), "{out}");
    }
    std::fs::remove_file(&path).expect("removed");
    let (code, out, _) = call(&["check", "--json"], &[]);
    assert_eq!(code, 65, "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let details = json["findings"].as_array().expect("findings").iter();
    let missing = |finding: &serde_json::Value| {
        finding["detail"].as_str().is_some_and(|detail| detail.contains("shop.zst' is missing"))
    };
    assert_eq!(details.filter(|finding| missing(finding)).count(), 1, "{out}");
}
