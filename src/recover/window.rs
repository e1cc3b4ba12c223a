//! What can be brought back now, as plain data: RPO, RTO, and the moments that can be restored.
//!
//! Cheap enough to be asked every few seconds: names are listed; a manifest, a proof, or the end of the
//! newest segment is read once and remembered by its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{
    Repository, Result,
    measured::{By, Measured},
    physical::Archive,
    proof::Proof,
    reach::{Found, Line, Lookout},
    repository::{
        catalogue::{Entry, State, VERIFIED},
        manifest::{BackupId, Level, Manifest, Method},
    },
    retention::{self, Plan, Policy},
};
use crate::base::{
    clock::{Timestamp, passed},
    units,
};

pub use super::reach::{Pitr, Reach, Told, Window};

/// Measured restores that the spread of the RTO is taken from.
const SPREAD: usize = 5;

/// What would be lost if the machine died now, by the repository alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rpo {
    /// At most this: the age of the last commit that is safe. The server may have committed nothing since.
    pub at_most: Duration,
    /// That commit, or the beginning of a backup.
    pub safe_until: Timestamp,
    /// What keeps it safe.
    pub source: String,
}

/// How long a restore takes until the first write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rto {
    /// The last measurement, scaled to today's size.
    pub expected: Duration,
    /// The fastest and the slowest of the last ones, scaled likewise.
    pub spread: (Duration, Duration),
    /// When it was measured.
    pub measured: Timestamp,
    /// By which kind of restore.
    pub by: By,
    /// Its record, below the target's name in the repository.
    pub source: String,
}

/// The newest backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Newest {
    /// Its name.
    pub id: BackupId,
    /// How it was taken.
    pub method: Method,
    /// When it was whole.
    pub ended: Timestamp,
    /// Its age.
    pub age: Duration,
    /// Its level of proof.
    pub level: Option<Level>,
    /// Bytes of it, unpacked.
    pub bytes: u64,
}

/// Backups by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Whole ones.
    pub complete: usize,
    /// Failed ones.
    pub failed: usize,
    /// Unfinished ones.
    pub unfinished: usize,
    /// Damaged ones.
    pub damaged: usize,
}

/// What can be brought back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recoverable {
    /// When this was found.
    pub at: Timestamp,
    /// What would be lost.
    pub rpo: Told<Rpo>,
    /// How long a restore takes.
    pub rto: Told<Rto>,
    /// Which moments can be restored.
    pub pitr: Told<Pitr>,
    /// How far the WAL reaches.
    pub wal: Told<Reach>,
    /// The newest backup.
    pub newest: Told<Newest>,
    /// Backups in all.
    pub backups: Counts,
    /// Where it was read from.
    pub sources: Vec<String>,
}

/// Reads it again and again, remembering what does not change.
pub struct Reader {
    repository: Repository,
    lookout: Option<Lookout>,
    found: Found,
    /// Each with the name of its newest verification.
    entries: BTreeMap<BackupId, (Option<String>, Entry)>,
    /// Proofs and records of restores, by their names; none for what measured nothing.
    measured: BTreeMap<String, Option<Measured>>,
    /// Proofs that can be understood, by their names.
    proofs: BTreeMap<String, Proof>,
}

impl Reader {
    /// One for a repository and its WAL, where there is any.
    pub fn new(repository: Repository, archive: Option<Arc<dyn Archive>>) -> Self {
        Self {
            repository,
            lookout: archive.map(Lookout::new),
            found: Found::unknown("no WAL archive is known"),
            entries: BTreeMap::new(),
            measured: BTreeMap::new(),
            proofs: BTreeMap::new(),
        }
    }

    /// What can be brought back at this moment.
    pub fn read(&mut self, now: Timestamp) -> Result<Recoverable> {
        self.read_backups()?;
        self.read_measured()?;
        let damaged = self.damaged();
        if let Some(lookout) = &mut self.lookout {
            let manifests = self.entries.values().filter_map(|(_, entry)| entry.manifest());
            self.found = lookout.look(manifests, &damaged)?.clone();
        }
        let newest = self.newest(now);
        let Found { pitr, wal, .. } = self.found.clone();
        let rpo = self.rpo(&pitr, now);
        let rto = self.rto();
        let mut sources = vec![format!("{:?}", self.repository)];
        let archive = self.lookout.as_ref().map(Lookout::archive);
        sources.extend(archive.map(|archive| format!("WAL in {}", archive.describe())));
        let backups = self.counts();
        Ok(Recoverable { at: now, rpo, rto, pitr, wal, newest, backups, sources })
    }

    /// The line of time as it was last read.
    pub const fn line(&self) -> &Told<Line> {
        &self.found.line
    }

    /// The proofs that can be understood, as they were last read, oldest first, each with its name.
    pub fn proofs(&self) -> impl DoubleEndedIterator<Item = (&str, &Proof)> {
        self.proofs.iter().map(|(name, proof)| (name.as_str(), proof))
    }

    /// What would go by a policy at this moment. Lists the WAL that is kept.
    pub fn expiry(&self, policy: Policy, now: Timestamp) -> Result<Plan> {
        let entries: Vec<&Entry> = self.entries().collect();
        retention::plan_with(&self.repository, &entries, policy, now)
    }

    /// The backups as they were last read, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|(_, entry)| entry)
    }

    fn read_backups(&mut self) -> Result<()> {
        let below = self.repository.backups_key()?;
        let names = self.repository.storage().children(Some(&below))?;
        let ids: Vec<BackupId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        self.entries.retain(|id, _| ids.contains(id));
        for id in ids {
            let verified = self.repository.backup_key(&id)?.join(VERIFIED)?;
            let verified = self.repository.storage().children(Some(&verified))?.pop();
            let known = self.entries.get(&id).is_some_and(|(newest, entry)| {
                *newest == verified && matches!(entry.state, State::Complete { .. })
            });
            if !known {
                let entry = self.repository.backup(&id)?;
                self.entries.insert(id, (verified, entry));
            }
        }
        Ok(())
    }

    fn read_measured(&mut self) -> Result<()> {
        let keys = self.repository.measures()?;
        self.measured.retain(|name, _| keys.iter().any(|key| key.as_str() == name));
        self.proofs.retain(|name, _| keys.iter().any(|key| key.file() == name));
        for key in keys {
            if self.measured.contains_key(key.as_str()) {
                continue;
            }
            let (proof, measured) = self.repository.measure(&key);
            self.proofs.extend(proof.map(|proof| (key.file().to_owned(), proof)));
            self.measured.insert(key.as_str().to_owned(), measured);
        }
        Ok(())
    }

    fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.entries().filter_map(Entry::manifest)
    }

    /// Segments in which a verification found something wrong: recovery ends in front of them.
    fn damaged(&self) -> BTreeSet<String> {
        let findings = self.entries().filter_map(|entry| match &entry.state {
            State::Complete { verified: Some(v), .. } if v.reached == Some(Level::L2) => {
                Some(&v.findings)
            }
            _ => None,
        });
        // `NAME: what`, as `wal::verify` tells it.
        let names = findings.flatten().filter_map(|finding| finding.split(':').next());
        names.filter(|name| name.len() == SEGMENT_NAME).map(str::to_owned).collect()
    }

    fn newest(&self, now: Timestamp) -> Told<Newest> {
        let last = self.entries().filter(|entry| entry.manifest().is_some()).last();
        let Some((entry, manifest)) = last.and_then(|entry| Some((entry, entry.manifest()?)))
        else {
            return Told::Unknown("there is no whole backup".to_owned());
        };
        Told::Is(Newest {
            id: manifest.id.clone(),
            method: manifest.method,
            ended: manifest.ended,
            age: passed(manifest.ended, now),
            level: entry.level(),
            bytes: manifest.content_size(),
        })
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries() {
            match entry.state {
                State::Complete { .. } => counts.complete += 1,
                State::Failed(_) => counts.failed += 1,
                State::Unfinished => counts.unfinished += 1,
                State::Damaged(_) => counts.damaged += 1,
            }
        }
        counts
    }

    fn rpo(&self, pitr: &Told<Pitr>, now: Timestamp) -> Told<Rpo> {
        let by = |safe_until: Timestamp, source: &str| Rpo {
            at_most: passed(safe_until, now),
            safe_until,
            source: source.to_owned(),
        };
        let wal =
            pitr.value().and_then(|pitr| pitr.windows.last()).map(|w| by(w.to, "WAL archive"));
        let backup =
            self.manifests().map(|m| m.began).max().map(|began| by(began, "newest backup"));
        match wal.into_iter().chain(backup).min_by_key(|rpo| rpo.at_most) {
            Some(rpo) => Told::Is(rpo),
            None => Told::Unknown("there is neither a backup nor archived WAL".to_owned()),
        }
    }

    /// The newest restores of the kind that a disaster would take: of a physical backup where there is one.
    fn rto(&self) -> Told<Rto> {
        let replay = self.found.replay;
        let mut newest = [Method::Physical, Method::Logical].into_iter().filter_map(|method| {
            let of = |m: &&Manifest| m.method == method;
            Some((method, self.manifests().filter(of).last()?.content_size()))
        });
        let Some((first, size)) = newest.next() else {
            return Told::Unknown("there is no whole backup".to_owned());
        };
        let (mut found, mut size) = (self.measured_of(first), size);
        if let (true, Some((second, other))) = (found.is_empty(), newest.next()) {
            (found, size) = (self.measured_of(second), other);
        }
        let scaled = |m: &Measured| m.scaled(size, replay);
        let times: Vec<Duration> = found.iter().filter_map(|m| scaled(m)).collect();
        let (Some(newest), Some(expected)) = (found.first(), times.first()) else {
            return Told::Unknown("no restore was measured yet: run `howdah prove`".to_owned());
        };
        Told::Is(Rto {
            expected: *expected,
            spread: (
                times.iter().min().copied().unwrap_or(*expected),
                times.iter().max().copied().unwrap_or(*expected),
            ),
            measured: newest.at,
            by: newest.by,
            source: newest.record.clone(),
        })
    }

    /// What was measured of backups of a kind, newest first.
    fn measured_of(&self, method: Method) -> Vec<&Measured> {
        let mut found: Vec<&Measured> =
            self.measured.values().flatten().filter(|m| m.method == method).collect();
        found.sort_by_key(|measured| std::cmp::Reverse(measured.at));
        found.truncate(SPREAD);
        found
    }
}

/// Digits of a segment's name.
const SEGMENT_NAME: usize = 24;

impl Recoverable {
    /// The recoverability line, as the console shows it: what is not known is `—`.
    pub fn line(&self, rpo_target: Duration, rto_target: Duration) -> String {
        let mark = |met: bool| if met { "ok" } else { "MISSED" };
        let rpo = self.rpo.value().map_or("—".to_owned(), |rpo| {
            let met = mark(rpo.at_most <= rpo_target);
            format!("at most {} of {} {met}", units::clock(rpo.at_most), units::clock(rpo_target))
        });
        let rto = self.rto.value().map_or("—".to_owned(), |rto| {
            let met = mark(rto.expected <= rto_target);
            let age = units::age(passed(rto.measured, self.at));
            format!(
                "{} of {} {met} (measured {age} ago by {})",
                units::clock(rto.expected),
                units::clock(rto_target),
                rto.by.words()
            )
        });
        let pitr = self.pitr.value().map_or("—".to_owned(), |pitr| {
            let from = pitr.windows.first().map_or("—".to_owned(), |w| minute(w.from));
            let to = pitr.windows.last().map_or("—".to_owned(), |w| minute(w.to));
            let gaps = match pitr.gaps.len() {
                0 => "no gaps".to_owned(),
                1 => "1 GAP".to_owned(),
                n => format!("{n} GAPS"),
            };
            format!("{from} to {to} {gaps}")
        });
        format!("RPO {rpo}   RTO {rto}   PITR {pitr}")
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
