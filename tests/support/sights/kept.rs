//! What a repository keeps: backups, the line of time, proofs, and jobs.

use howdah::{
    base::clock::Timestamp,
    watch::snapshot::{
        BackupState, BaseBackup, Expiry, Job, JobState, KeptBackup, KeptProof, KeptWal, Known,
        Pitr, ProofVerdict, Repository, Rto, Timeline, WalPoint,
    },
};

use super::parts::{secs, text, wall_ago};

pub(super) fn kept(id: &str, ago: i64, took: u64, size: u64, state: BackupState) -> KeptBackup {
    let method = id.rsplit('-').next().unwrap_or_default();
    KeptBackup {
        id: text(id),
        method: text(method),
        began: wall_ago(ago),
        duration: Some(secs(took)),
        size: Some(size),
        verified: matches!(state, BackupState::Complete { level: Some(_), .. })
            .then(|| wall_ago(ago - 3600)),
        state,
    }
}

/// The line of time of two weeks: a base backup each night, and WAL every 50 minutes up to the last commit.
pub(super) fn line_of_time() -> Timeline {
    let night = |ago: i64| wall_ago(26_047 - 72 + ago * 86_400);
    let position =
        |at: Timestamp| 0xA_0000_0000 + (at.as_second() - night(13).as_second()) as u64 * 4096;
    let bases = (0..14)
        .rev()
        .map(|days| BaseBackup {
            id: text(&format!("202611{:02}T020000Z-physical", 23 - days)),
            from: night(days),
            to: wall_ago(42),
            start: position(night(days)),
            missing: None,
        })
        .collect();
    let wal = (0..400)
        .map(|n| wall_ago(42 + 3000 * (399 - n)))
        .filter(|at| *at >= night(13))
        .map(|at| WalPoint { at, end: position(at) + (16 << 20) })
        .collect();
    Timeline { bases, wal }
}

pub(super) fn proof(ago: i64, of: &str, verdict: ProofVerdict, rto: u64) -> KeptProof {
    KeptProof {
        name: text(&format!("{ago}.json")),
        backup: text(of),
        at: wall_ago(ago),
        verdict,
        level: Some(5),
        rto: Some(secs(rto)),
        rpo: Some(secs(61)),
        drill: true,
        findings: Vec::new(),
    }
}

/// A job that was started so long ago.
pub fn job(id: &str, what: &str, ago: i64, state: JobState) -> Job {
    Job {
        id: text(id),
        what: text(what),
        command: text("howdah backup run --physical --target prod-eu"),
        who: text("ada@db1"),
        started: wall_ago(ago),
        ended: (!state.runs()).then(|| wall_ago(ago - 74)),
        state,
        progress: None,
        step: Some(text("publish the manifest")),
        last_word: Some(wall_ago(2)),
        lease: None,
        left: Vec::new(),
    }
}

pub(super) fn repository() -> Repository {
    let complete = |level| BackupState::Complete { level, wrong: None };
    Repository {
        location: text("/mnt/backup/howdah"),
        backups: vec![
            kept("20261123T020000Z-physical", 26_047, 72, 4_402_341_478, complete(Some(5))),
            kept("20261122T140000Z-logical", 69_247, 41, 1_102_341_478, complete(Some(2))),
            kept("20261122T020000Z-physical", 112_447, 75, 4_398_341_478, complete(None)),
            KeptBackup {
                size: None,
                ..kept(
                    "20261121T020000Z-physical",
                    198_847,
                    31,
                    0,
                    BackupState::Failed { why: text("no space left on device"), cancelled: false },
                )
            },
        ],
        wal: Known::Is(KeptWal { timeline: 3, end: 0xA_2D00_0000, at: wall_ago(42) }),
        rto: Known::Is(Rto {
            expected: secs(190),
            measured: wall_ago(180_000),
            source: text("a drill: proofs/20261123T020000.000000Z.json"),
        }),
        pitr: Known::Is(Pitr { from: wall_ago(14 * 86_400), to: wall_ago(42), gaps: 0 }),
        timeline: Known::Is(line_of_time()),
        proofs: vec![
            proof(22_000, "20261123T020000Z-physical", ProofVerdict::Proven, 190),
            proof(108_000, "20261122T020000Z-physical", ProofVerdict::TargetMissed, 4_210),
            KeptProof {
                rto: None,
                findings: vec![text(
                    "the server did not come up: could not locate a valid checkpoint record",
                )],
                ..proof(194_000, "20261121T020000Z-physical", ProofVerdict::Failed, 0)
            },
        ],
        expiry: Known::Is(Expiry {
            days: 30,
            at_least: 3,
            going: vec![text("20261020T020000Z-physical"), text("20261021T020000Z-physical")],
            wal: Some(576),
            freed: 18_004_341_478,
            at: wall_ago(30),
        }),
    }
}
