//! What can be brought back now, as plain data: RPO, RTO, and the moments that can be restored.
//!
//! Cheap enough to be asked every few seconds: names are listed; a manifest, a proof, or the end of the
//! newest segment is read once and remembered by its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{
    Repository, Result,
    measured::{By, Measured},
    physical::{
        Archive,
        archive::Kept,
        chain::{Chain, Shelf},
        plan, survey,
    },
    repository::{
        catalogue::{Entry, State, VERIFIED},
        key::Key,
        manifest::{BackupId, Level, Manifest, Method},
    },
};
use crate::base::{clock::Timestamp, text::Text, units};

/// Measured restores that the spread of the RTO is taken from.
const SPREAD: usize = 5;

/// A figure, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told<T> {
    /// It is known.
    Is(T),
    /// It is not, for this reason.
    Unknown(String),
}

impl<T> Told<T> {
    /// The figure, if it is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

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

/// One window of moments that can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// From here.
    pub from: Timestamp,
    /// To here.
    pub to: Timestamp,
}

/// Which moments can be restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pitr {
    /// The windows, oldest first; between them lies what cannot be reached.
    pub windows: Vec<Window>,
    /// What is missing, each naming the first segment.
    pub gaps: Vec<String>,
}

/// How far the WAL reaches behind the newest physical backup, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Its timeline.
    pub timeline: u32,
    /// The position behind its last segment.
    pub end: u64,
    /// When that segment was archived.
    pub archived: Timestamp,
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
    archive: Option<Arc<dyn Archive>>,
    /// Each with the name of its newest verification.
    entries: BTreeMap<BackupId, (Option<String>, Entry)>,
    /// Proofs and records of restores, by their names; none for what measured nothing.
    measured: BTreeMap<String, Option<Measured>>,
    last_commit: BTreeMap<String, Option<Timestamp>>,
}

impl Reader {
    /// One for a repository and its WAL, where there is any.
    pub fn new(repository: Repository, archive: Option<Arc<dyn Archive>>) -> Self {
        Self {
            repository,
            archive,
            entries: BTreeMap::new(),
            measured: BTreeMap::new(),
            last_commit: BTreeMap::new(),
        }
    }

    /// What can be brought back at this moment.
    pub fn read(&mut self, now: Timestamp) -> Result<Recoverable> {
        self.read_backups()?;
        self.read_measured()?;
        let chains = self.chains()?;
        let newest = self.newest(now);
        let pitr = self.pitr(&chains);
        let rpo = self.rpo(&pitr, now);
        let rto = self.rto(&chains);
        let mut sources = vec![format!("{:?}", self.repository)];
        sources.extend(self.archive.iter().map(|archive| format!("WAL in {}", archive.describe())));
        let (wal, backups) = (self.reach(&chains), self.counts());
        Ok(Recoverable { at: now, rpo, rto, pitr, wal, newest, backups, sources })
    }

    fn reach(&self, chains: &[(Manifest, Chain)]) -> Told<Reach> {
        if self.archive.is_none() {
            return Told::Unknown("no WAL archive is known".to_owned());
        }
        let Some((_, chain)) = chains.last() else {
            return Told::Unknown("there is no physical backup that WAL could follow".to_owned());
        };
        match chain.archived() {
            Some(archived) => {
                Told::Is(Reach { timeline: chain.timeline, end: chain.end, archived })
            }
            None => Told::Unknown("no WAL follows the newest physical backup yet".to_owned()),
        }
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
        let proofs = self.repository.proofs()?;
        let restores = self.repository.storage().list(&self.repository.restores_key()?)?;
        let keys: Vec<Key> =
            proofs.into_iter().chain(restores.into_iter().map(|object| object.key)).collect();
        self.measured.retain(|name, _| keys.iter().any(|key| key.as_str() == name));
        let proofs = self.repository.proofs_key()?;
        for key in keys {
            if self.measured.contains_key(key.as_str()) {
                continue;
            }
            // What cannot be read proves nothing.
            let measured = if key.below(&proofs).is_some() {
                let proof = self.repository.read_json(&key).ok();
                proof.and_then(|proof| Measured::of_proof(key.file(), &proof))
            } else {
                let record = self.repository.read_json(&key).ok();
                record.and_then(|record| Measured::of_restore(&record))
            };
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

    /// The WAL that follows each physical backup, oldest first.
    fn chains(&self) -> Result<Vec<(Manifest, Chain)>> {
        let Some(archive) = &self.archive else { return Ok(Vec::new()) };
        let archive = Sound { archive: &**archive, without: self.damaged() };
        let mut chains = Vec::new();
        let mut sorted: Option<(u64, Shelf)> = None;
        for manifest in self.manifests() {
            let Some(base) = &manifest.wal else { continue };
            if sorted.as_ref().is_none_or(|(size, _)| *size != base.segment_size) {
                sorted = Some((base.segment_size, Shelf::of(&archive, base.segment_size)?));
            }
            let Some((_, kept)) = &sorted else { continue };
            let newest = kept.timelines_after(base).into_iter().max().unwrap_or(base.timeline);
            if let Ok(chain) = kept.chain(base, newest) {
                chains.push((manifest.clone(), chain));
            }
        }
        Ok(chains)
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
            age: since(now, manifest.ended),
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

    fn pitr(&mut self, chains: &[(Manifest, Chain)]) -> Told<Pitr> {
        if self.archive.is_none() {
            return Told::Unknown("no WAL archive is known".to_owned());
        }
        let Some((newest, last)) = chains.last() else {
            return Told::Unknown("there is no physical backup".to_owned());
        };
        let mut pitr = Pitr { windows: Vec::new(), gaps: Vec::new() };
        let damaged = self.damaged();
        let mut from = None;
        for (at, (manifest, chain)) in chains.iter().enumerate() {
            let from = *from.get_or_insert(manifest.ended);
            let next = chains.get(at + 1).and_then(|(next, _)| next.wal.as_ref());
            if next.is_some_and(|next| chain.end >= next.start) {
                continue;
            }
            if let Some(gap) = chain.gap {
                let name = chain.name(gap.first);
                let how = if damaged.contains(&name) { "damaged" } else { "missing" };
                pitr.gaps.push(format!("{name} is {how}"));
            }
            if next.is_some() {
                let to = chain.archived().unwrap_or(manifest.ended).max(from);
                pitr.windows.push(Window { from, to });
            }
        }
        let first = chains
            .iter()
            .rev()
            .take_while(|(_, chain)| chain.end == last.end)
            .last()
            .map_or(newest.ended, |(manifest, _)| manifest.ended);
        let to = self.last_commit(newest, last).unwrap_or(newest.ended).max(first);
        pitr.windows.push(Window { from: first, to });
        Told::Is(pitr)
    }

    /// The last commit in a chain, read from its last segments and remembered by the name of the last.
    fn last_commit(&mut self, manifest: &Manifest, chain: &Chain) -> Option<Timestamp> {
        let name = chain.name(chain.links.last()?.segment);
        if let Some(known) = self.last_commit.get(&name) {
            return *known;
        }
        let archive = self.archive.as_ref()?;
        let binaries = plan::binaries(manifest).ok()?;
        let found = survey::last_commit(chain, &**archive, manifest, &binaries).ok()?;
        let at = found.map(|ended| ended.at);
        self.last_commit = BTreeMap::from([(name, at)]);
        at
    }

    fn rpo(&self, pitr: &Told<Pitr>, now: Timestamp) -> Told<Rpo> {
        let by = |safe_until: Timestamp, source: &str| Rpo {
            at_most: since(now, safe_until),
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
    fn rto(&self, chains: &[(Manifest, Chain)]) -> Told<Rto> {
        let replay = chains.last().map_or(0, |(manifest, chain)| {
            chain.end.saturating_sub(manifest.wal.as_ref().map_or(chain.end, |wal| wal.start))
        });
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

/// An archive without what is known to be damaged in it.
struct Sound<'a> {
    archive: &'a dyn Archive,
    without: BTreeSet<String>,
}

impl Archive for Sound<'_> {
    fn describe(&self) -> Text {
        self.archive.describe()
    }

    fn files(&self) -> Result<Vec<Kept>> {
        let mut files = self.archive.files()?;
        files.retain(|kept| !self.without.contains(&kept.name));
        Ok(files)
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<()> {
        self.archive.fetch(name, to)
    }

    fn command(&self) -> Result<String> {
        self.archive.command()
    }
}

fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

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
            let age = units::age(since(self.at, rto.measured));
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
