//! Restores that really ran, drills and real ones, as measures of the RTO.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    Result,
    proof::{Proof, Verdict},
    repository::{
        Repository,
        key::Key,
        manifest::{Method, Phase},
    },
    restore::record::{Record, What},
    wal::segment::USUAL_SIZE,
};
use crate::base::{clock::Timestamp, units};

/// Which kind of restore was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// One into a scratch cluster, on fast settings: a real one takes longer.
    Drill,
    /// A real one.
    Restore,
}

impl By {
    /// In words, with an article.
    pub fn words(self) -> &'static str {
        match self {
            Self::Drill => "a drill",
            Self::Restore => "a restore",
        }
    }
}

/// One restore that ran to its first write, and was found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// When it began.
    pub at: Timestamp,
    /// Of which kind.
    pub by: By,
    /// Its record, below the target's name.
    pub record: String,
    /// Which kind of backup it was made from.
    pub method: Method,
    phases: Vec<Phase>,
    /// Seconds until the first write.
    whole: f64,
    /// Bytes of the backup, unpacked.
    bytes: u64,
    /// Bytes of WAL that were replayed.
    replayed: u64,
}

impl Measured {
    /// What a proof measured; none when nothing came back.
    pub fn of_proof(file: &str, proof: &Proof) -> Option<Self> {
        let good = matches!(proof.verdict, Verdict::Proven | Verdict::TargetMissed);
        let times = proof.rto.as_ref().filter(|_| good)?;
        Some(Self {
            at: proof.at,
            by: By::Drill,
            record: format!("proofs/{file}"),
            method: proof.backup.method(),
            phases: times.phases.clone(),
            whole: times.first_write?,
            bytes: proof.bytes,
            replayed: proof.replayed,
        })
    }

    /// What a real restore measured; none for what brings back only a part, or was not found right.
    pub fn of_restore(record: &Record) -> Option<Self> {
        if !record.findings.is_empty() {
            return None;
        }
        let (method, whole, replayed) = match &record.what {
            What::Cluster { times, replayed, .. } => {
                (Method::Physical, times.first_write?, *replayed)
            }
            // Whoever waits for the database waits until it is checked.
            What::Database { .. } => (Method::Logical, record.duration().as_secs_f64(), 0),
            What::Tables { .. } | What::CopyBack { .. } => return None,
        };
        Some(Self {
            at: record.began,
            by: By::Restore,
            record: format!("restores/{}.json", record.id),
            method,
            phases: record.phases.clone(),
            whole,
            bytes: record.bytes,
            replayed,
        })
    }

    /// How long it would take with today's sizes: copying grows with the backup, replaying with the WAL behind
    /// it, the rest not at all. Of a logical backup everything grows with it. WAL is fetched and read by
    /// segments: what was replayed of the first one says nothing of how a longer replay grows.
    pub fn scaled(&self, bytes: u64, replay: u64) -> Option<Duration> {
        let ratio = |now: u64, then: u64| if then == 0 { 1.0 } else { now as f64 / then as f64 };
        let phase = |name: &str| -> f64 {
            let named = self.phases.iter().filter(|phase| phase.name.starts_with(name));
            named.map(|phase| phase.seconds).sum()
        };
        let (copy, run) = match self.method {
            Method::Physical => (phase("copy"), phase("replay") + phase("check the WAL")),
            Method::Logical => (self.whole - phase("start"), 0.0),
        };
        let rest = (self.whole - copy - run).max(0.0);
        let grown = ratio(replay.max(USUAL_SIZE), self.replayed.max(USUAL_SIZE));
        let seconds = rest + copy * ratio(bytes, self.bytes) + run * grown;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// How long a restore will take, by one that ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// Until the first write.
    pub seconds: f64,
    /// By which kind of restore.
    pub by: By,
    /// When that one began.
    pub at: Timestamp,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = units::span(Duration::from_secs_f64(self.seconds));
        write!(f, "about {time}, by {} of {}", self.by.words(), self.at.strftime("%Y-%m-%d"))
    }
}

impl Repository {
    /// How long it will take to restore a backup of that kind with so many bytes, and so many of WAL behind it:
    /// by the newest restore of one that was measured.
    pub fn expected(&self, method: Method, bytes: u64, replay: u64) -> Result<Option<Expected>> {
        let mut measured = self.measures()?.into_iter().filter_map(|key| self.measure(&key).1);
        Ok(measured.find(|measured| measured.method == method).and_then(|measured| {
            let seconds = measured.scaled(bytes, replay)?.as_secs_f64();
            Some(Expected { seconds, by: measured.by, at: measured.at })
        }))
    }

    /// The names of proofs and of records of restores, newest first.
    pub(super) fn measures(&self) -> Result<Vec<Key>> {
        let restores = self.storage().list(&self.restores_key()?)?;
        let mut keys = self.proofs()?;
        keys.extend(restores.into_iter().map(|object| object.key));
        // Both are named after the moment when they began.
        keys.sort_by(|one, other| other.file().cmp(one.file()));
        Ok(keys)
    }

    /// What stands under one of these names: the proof, if it is one, and what it or the restore measured. What
    /// cannot be read proves nothing.
    pub(super) fn measure(&self, key: &Key) -> (Option<Proof>, Option<Measured>) {
        if self.proofs_key().is_ok_and(|proofs| key.below(&proofs).is_some()) {
            let proof: Option<Proof> = self.read_json(key).ok();
            let measured = proof.as_ref().and_then(|proof| Measured::of_proof(key.file(), proof));
            return (proof, measured);
        }
        let record = self.read_json(key).ok();
        (None, record.and_then(|record| Measured::of_restore(&record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_is_scaled() {
        let phase = |name: &str, seconds| Phase { name: name.to_owned(), seconds };
        let measured = Measured {
            at: Timestamp::UNIX_EPOCH,
            by: By::Restore,
            record: String::new(),
            method: Method::Physical,
            phases: vec![
                phase("check the WAL", 1.0),
                phase("copy", 10.0),
                phase("start until the first read", 2.0),
                phase("replay until the target", 3.0),
                phase("promote until the first write", 1.0),
            ],
            whole: 17.0,
            bytes: 100,
            replayed: 5 * USUAL_SIZE,
        };
        let of = |m: &Measured, bytes, segments| {
            m.scaled(bytes, segments * USUAL_SIZE).expect("a time").as_secs()
        };
        assert_eq!(of(&measured, 100, 5), 17);
        assert_eq!(of(&measured, 200, 5), 27);
        assert_eq!(of(&measured, 100, 10), 21);
        let hardly = Measured { replayed: 96, ..measured.clone() };
        assert_eq!((of(&hardly, 100, 1), of(&hardly, 100, 2)), (17, 21), "a part of one segment");
        let logical = Measured {
            method: Method::Logical,
            phases: vec![phase("start a server", 2.0), phase("copy", 15.0)],
            ..measured
        };
        assert_eq!(of(&logical, 200, 5), 32);
    }
}
