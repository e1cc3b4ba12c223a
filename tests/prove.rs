//! A proof is made for real, holds what was measured, and leaves nothing behind.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use crate::support;
use std::{fs, path::Path, process::Command};

use crate::support::{data, physical::Estate};
use howdah::{
    cluster::{Via, guard::remove_sandbox, server::end_all},
    recover::{
        checkup::Verdict as Seen,
        drill::drift,
        physical::guards,
        proof::{Proof, Verdict},
        repository::{self, manifest::Level},
        restore::record::{Record, What},
    },
};

fn proofs(estate: &Estate) -> Vec<Proof> {
    let keys = estate.repository.proofs().expect("listed");
    keys.iter().map(|key| estate.repository.read_json(key).expect("a proof")).collect()
}

#[test]
fn a_proof_is_kept_with_what_was_measured_and_nothing_else_is_left() {
    let estate = Estate::new();
    estate.sql("INSERT INTO marks SELECT generate_series(100, 5000); CREATE INDEX ON marks(at)");
    let manifest = estate.backup();
    let mark = estate.mark();
    estate.switch();
    let archived = fs::read_dir(&estate.archive).expect("listed").count();
    let (code, _, said) = estate.run(&["recoverable"]);
    assert_eq!(code, 3, "no restore was measured yet: {said}");

    let (code, out, said) = estate.run(&["prove"]);
    assert_eq!((code, out.as_str()), (0, ""), "quiet when nothing is wrong: {said}");
    let proof = proofs(&estate).pop().expect("a proof");
    assert_eq!((proof.verdict, proof.level), (Verdict::Proven, Some(Level::L5)), "{proof:#?}");
    let (reached, rto) = (proof.reached.expect("reached"), proof.rto.expect("measured"));
    let last = reached.last_transaction.expect("a commit");
    assert!(Some(last) == proof.promised && last <= mark.at, "{last} {}", mark.at);
    assert!(0.0 < rto.first_read && rto.first_read <= rto.caught_up, "{rto:?}");
    let phases: f64 = rto.phases.iter().map(|phase| phase.seconds).sum();
    let write = rto.first_write.expect("a write");
    assert!(rto.caught_up < write && (phases - write).abs() < 0.01, "{rto:?}");
    assert_eq!(
        proof.settings.get("fsync").map(String::as_str),
        Some("off"),
        "it says that it was fast"
    );
    let amcheck = proof.checks.iter().find(|check| check.name == "pg_amcheck").expect("looked");
    assert_eq!(amcheck.seen, "1 databases read by pg_amcheck");
    let key = estate.repository.proofs().expect("listed").pop().expect("a proof");
    let readable = estate.path("repository").join(key.as_str().replace(".json", ".md"));
    assert!(fs::read_to_string(readable).expect("readable").contains("| first write |"));
    let verified = estate.repository.backup(&manifest.id).expect("an entry");
    assert_eq!(verified.level(), Some(Level::L5));
    assert!(
        !guards::live()
            .iter()
            .any(|live| live.data.to_string_lossy().contains(&*manifest.id.to_string()))
    );
    assert_eq!(
        fs::read_dir(&estate.archive).expect("listed").count(),
        archived,
        "a drill never archives"
    );

    let (code, out, said) = estate.run(&["recoverable"]);
    assert_eq!(code, 0, "{out}{said}");
    assert!(out.contains("no gaps") && out.contains("L5"), "{out}");

    assert!(out.contains("by a drill on fast settings") && out.contains("proofs/"), "{out}");
    let back = estate.path("back");
    let (folder, port) = (back.to_str().expect("text"), "23978");
    let words = ["restore", "cluster", "--latest", "--into", folder, "--port", port, "--apply"];
    let (code, out, said) = estate.run(&words);
    end_all(&back);
    assert_eq!(code, 0, "{out}{said}");
    assert!(out.contains("takes      about ") && out.contains(", by a drill of 20"), "{out}");
    let another = estate.path("another");
    let another = another.to_str().expect("text");
    let words = ["restore", "cluster", "--latest", "--into", another, "--port", port];
    let (_, out, said) = estate.run(&words);
    assert!(out.contains(", by a restore of 20"), "{out}{said}");
    let (code, out, said) = estate.run(&["recoverable"]);
    assert_eq!(code, 0, "{out}{said}");
    assert!(out.contains(" by a restore)") && out.contains("restores/"), "measured: {out}");
    let records = estate.repository.restores().expect("read");
    let [Record { what: What::Cluster { times, .. }, findings, .. }] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert!(times.first_read <= times.caught_up && times.first_write.is_some(), "{times:?}");
    assert_eq!(*findings, [""; 0]);

    let strict = estate.path("strict.toml");
    fs::write(&strict, "[watch]\nrto_target = \"1ms\"\n").expect("written");
    let (code, out, said) = estate.run(&["prove", "--config", strict.to_str().expect("text")]);
    assert_eq!(code, 2, "{out}{said}");
    assert!(out.contains("RTO missed"), "{out}");

    fs::write(estate.path("wrong.sql"), "SELECT 1 WHERE false;\nSELECT id FROM marks LIMIT 2;\n")
        .expect("written");
    let wrong = estate.path("wrong.sql");
    let (code, out, said) = estate.run(&["prove", "--assert", wrong.to_str().expect("text")]);
    assert_eq!(code, 1, "{out}{said}");
    assert!(out.contains("2 rows from: SELECT id FROM marks"), "{out}");
}

#[test]
fn a_logical_backup_is_proven_in_a_cluster_of_its_own() {
    let cluster = support::cluster();
    data::fill(&cluster, false);
    let home = tempfile::tempdir().expect("a folder");
    let repo = home.path().join("repo");
    fs::create_dir(&repo).expect("made");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        let conninfo = cluster.conninfo(Via::Unix);
        command
            .args(words)
            .args(["--name", "prod", "--target", &conninfo, "--repository"])
            .arg(&repo);
        command.env("HOME", home.path()).env("PGPASSWORD", cluster.password().expose());
        let output = command.output().expect("ran");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["backup", "--all"]).0, 0);
    let (code, out, said) = run(&["prove", "--logical", "--json"]);
    assert_eq!(code, 0, "{out}{said}");
    let proof: Proof = serde_json::from_str(&out).expect("a proof");
    assert_eq!((proof.verdict, proof.level), (Verdict::Proven, Some(Level::L5)), "{proof:#?}");
    for name in ["rows", "largest keys", "large objects", "sequences", "roles", "pg_amcheck"] {
        let check = proof.checks.iter().find(|check| check.name == name).expect("made");
        assert_eq!(check.verdict, Seen::Passed, "{check:?}");
    }
    let rows = |name: &str| proof.tables.iter().find(|table| table.name == name).map(|t| t.rows);
    assert_eq!((rows("orders"), rows("no_rows")), (Some(5000), Some(0)));
    let phases: Vec<&str> =
        proof.rto.iter().flat_map(|rto| &rto.phases).map(|phase| &*phase.name).collect();
    assert!(phases.contains(&"roles") && phases.contains(&"copy shop"), "{phases:?}");
    let (_, out, _) = run(&["recoverable"]);
    assert!(out.contains("by a drill") && out.contains("RTO 0:"), "{out}");

    // A DELETE without WHERE, found by nothing but the comparison.
    data::sql(
        &cluster,
        data::SHOP,
        "DELETE FROM shop.order_line; DELETE FROM shop.orders WHERE id < 4000",
    );
    // Names tell seconds.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(run(&["backup", "--all"]).0, 0);
    let (code, out, said) = run(&["verify", "--level", "L5"]);
    assert_eq!(code, 0, "it is what was there: {out}{said}");
    let (code, out, said) = run(&["prove", "--logical"]);
    assert_eq!((code, out.as_str()), (0, ""), "the proof before was of the same: {said}");
    let key = &run(&["recoverable", "--json"]).1;
    assert!(key.contains("\"by\": \"drill\""), "{key}");
    let fewer = proofs_in(&repo).into_iter().find(|proof| {
        let drift = proof.checks.iter().find(|check| check.name == drift::NAME);
        drift.is_some_and(|check| {
            check.findings.iter().any(|f| f.contains("shop.order_line has 0 rows"))
        })
    });
    assert!(fewer.is_some(), "the drill of `verify` told that there are fewer");
}

fn proofs_in(repo: &Path) -> Vec<Proof> {
    let repository = repository::open(&repo.to_string_lossy(), "prod").expect("opened");
    let keys = repository.proofs().expect("listed");
    keys.iter().map(|key| repository.read_json(key).expect("a proof")).collect()
}

#[test]
fn damage_is_proven_too_and_a_kept_drill_can_be_reached() {
    let estate = Estate::new();
    estate.backup();
    for _ in 0..3 {
        estate.mark();
        estate.switch();
    }
    let (code, out, said) = estate.run(&["prove", "--keep", "--verbose"]);
    assert_eq!(code, 0, "{out}{said}");
    let folder =
        out.lines().find_map(|line| line.strip_prefix("remove it: howdah restore discard '"));
    let folder = folder.expect("a folder").trim_end_matches('\'').to_owned();
    let running = || guards::live().iter().any(|live| live.data.starts_with(&folder));
    assert!(running(), "{out}");
    let (code, _, said) = estate.run_plain(&["restore", "discard", &folder]);
    assert_eq!((code, running()), (0, false), "{said}");
    remove_sandbox(folder.as_ref());

    let mut names: Vec<_> =
        fs::read_dir(&estate.archive).expect("listed").flatten().map(|e| e.path()).collect();
    names.sort();
    fs::remove_file(&names[names.len() - 2]).expect("removed");
    let (code, out, said) = estate.run(&["prove"]);
    assert_eq!(code, 65, "{out}{said}");
    let proof = proofs(&estate).pop().expect("a proof");
    assert_eq!((proof.verdict, proof.level), (Verdict::Damaged, Some(Level::L1)), "{proof:#?}");
    assert!(proof.findings[0].contains("is missing"), "{proof:#?}");
    let (code, out, _) = estate.run(&["recoverable"]);
    assert_eq!((code, out.contains("1 GAP")), (1, true), "{out}");
}
