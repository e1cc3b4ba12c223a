//! A proof is made for real, holds what was measured, and leaves nothing behind.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

mod support;

use std::fs;

use howdah::{
    cluster::guard::remove_sandbox,
    recover::{
        physical::guards,
        proof::{Proof, Verdict},
        repository::manifest::Level,
    },
};
use support::physical::Estate;

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
