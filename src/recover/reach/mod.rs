//! Which moments the base backups and the WAL behind them reach, as plain data: windows, gaps, and the line
//! of time that a person picks a moment on.
//!
//! Names are listed each time; what they come to is found once and remembered until a name changes.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Result,
    physical::{
        Archive,
        archive::Kept,
        chain::{Chain, Gap, Shelf},
        plan, survey,
    },
    repository::manifest::{BackupId, Manifest},
};
use crate::base::clock::Timestamp;

/// Points of WAL that the line of time has at most: more would not be told apart on any screen.
const POINTS: usize = 400;

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

/// The line of time: every physical backup with the moments that its WAL reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The backups, oldest first.
    pub bases: Vec<Base>,
    /// How far the WAL had come at which moment, oldest first, thinned out.
    pub points: Vec<Point>,
}

/// A physical backup on the line of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its name.
    pub id: BackupId,
    /// The first moment that can be restored from it: its end.
    pub from: Timestamp,
    /// The last moment that its WAL reaches.
    pub to: Timestamp,
    /// The position at which its replay begins.
    pub start: u64,
    /// Which segment is missing or damaged behind it, if more follows: `NAME is missing`.
    pub missing: Option<String>,
}

/// How far the WAL had come at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When a segment was archived.
    pub at: Timestamp,
    /// The position behind it.
    pub end: u64,
}

/// What the names come to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub wal: Told<Reach>,
    pub pitr: Told<Pitr>,
    pub line: Told<Line>,
    /// Bytes of WAL behind the newest physical backup.
    pub replay: u64,
}

/// Looks again and again, remembering what does not change.
pub(super) struct Lookout {
    archive: Arc<dyn Archive>,
    last_commit: BTreeMap<String, Option<Timestamp>>,
    found: Option<(u64, Found)>,
}

impl Found {
    /// Nothing can be told, for this reason.
    pub fn unknown(why: &str) -> Self {
        let why = || why.to_owned();
        Self {
            wal: Told::Unknown(why()),
            pitr: Told::Unknown(why()),
            line: Told::Unknown(why()),
            replay: 0,
        }
    }
}

impl Lookout {
    pub fn new(archive: Arc<dyn Archive>) -> Self {
        Self { archive, last_commit: BTreeMap::new(), found: None }
    }

    pub fn archive(&self) -> &dyn Archive {
        &*self.archive
    }

    /// What can be reached from these backups, oldest first. Recovery ends in front of a segment that is known to
    /// be damaged, as it does in front of one that is missing.
    pub fn look<'m>(
        &mut self,
        manifests: impl Iterator<Item = &'m Manifest>,
        damaged: &BTreeSet<String>,
    ) -> Result<&Found> {
        let manifests: Vec<&Manifest> = manifests.filter(|m| m.wal.is_some()).collect();
        let mut files = self.archive.files()?;
        files.retain(|kept| !damaged.contains(&kept.name));
        let seen = fingerprint(&manifests, &files);
        let found = match self.found.take() {
            Some((known, found)) if known == seen => found,
            _ => self.find(&manifests, &files, damaged)?,
        };
        Ok(&self.found.insert((seen, found)).1)
    }

    fn find(
        &mut self,
        manifests: &[&Manifest],
        files: &[Kept],
        damaged: &BTreeSet<String>,
    ) -> Result<Found> {
        let chains = self.chains(manifests, files)?;
        let Some((newest, last)) = chains.last() else {
            return Ok(Found {
                wal: Told::Unknown("there is no physical backup that WAL could follow".to_owned()),
                ..Found::unknown("there is no physical backup")
            });
        };
        let ends = self.ends(&chains);
        let wal = match last.archived() {
            Some(archived) => Told::Is(Reach { timeline: last.timeline, end: last.end, archived }),
            None => Told::Unknown("no WAL follows the newest physical backup yet".to_owned()),
        };
        let start = newest.wal.as_ref().map_or(last.end, |wal| wal.start);
        let line = Line { bases: bases(&chains, &ends, damaged), points: points(&chains) };
        Ok(Found {
            wal,
            pitr: Told::Is(windows(&chains, &ends, damaged)),
            line: Told::Is(line),
            replay: last.end.saturating_sub(start),
        })
    }

    /// The WAL that follows each backup.
    fn chains<'m>(
        &self,
        manifests: &[&'m Manifest],
        files: &[Kept],
    ) -> Result<Vec<(&'m Manifest, Chain)>> {
        let mut chains = Vec::new();
        let mut sorted: Option<(u64, Shelf)> = None;
        for manifest in manifests {
            let Some(base) = &manifest.wal else { continue };
            if sorted.as_ref().is_none_or(|(size, _)| *size != base.segment_size) {
                let shelf = Shelf::of_files(&*self.archive, files, base.segment_size)?;
                sorted = Some((base.segment_size, shelf));
            }
            let Some((_, kept)) = &sorted else { continue };
            let newest = kept.timelines_after(base).into_iter().max().unwrap_or(base.timeline);
            if let Ok(chain) = kept.chain(base, newest) {
                chains.push((*manifest, chain));
            }
        }
        Ok(chains)
    }

    /// The last moment that each chain reaches: its last commit. A restore to a later one would not get there.
    fn ends(&mut self, chains: &[(&Manifest, Chain)]) -> Vec<Timestamp> {
        let mut known = BTreeMap::new();
        let mut ends = Vec::new();
        for (manifest, chain) in chains {
            let last = chain.links.last().map(|link| chain.name(link.segment));
            let commit = last.and_then(|name| {
                let at = match self.last_commit.get(&name).or_else(|| known.get(&name)) {
                    Some(at) => *at,
                    None => self.last_commit(manifest, chain),
                };
                known.insert(name, at);
                at
            });
            ends.push(commit.unwrap_or(manifest.ended).max(manifest.ended));
        }
        self.last_commit = known;
        // Where the WAL runs on into the next backup, what that one reaches is reached from here, too: nothing
        // lies between, even when no commit does.
        for at in (1..chains.len()).rev() {
            if runs_on(chains, at - 1) {
                ends[at - 1] = ends[at - 1].max(ends[at]);
            }
        }
        ends
    }

    fn last_commit(&self, manifest: &Manifest, chain: &Chain) -> Option<Timestamp> {
        let binaries = plan::binaries(manifest).ok()?;
        let found = survey::last_commit(chain, &*self.archive, manifest, &binaries).ok()?;
        found.map(|ended| ended.at)
    }
}

fn fingerprint(manifests: &[&Manifest], files: &[Kept]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for manifest in manifests {
        manifest.id.as_str().hash(&mut hasher);
    }
    for file in files {
        (&file.name, file.modified).hash(&mut hasher);
    }
    hasher.finish()
}

/// True when the WAL behind a backup reaches the next one.
fn runs_on(chains: &[(&Manifest, Chain)], at: usize) -> bool {
    let next = chains.get(at + 1).and_then(|(next, _)| next.wal.as_ref());
    let chain = chains.get(at).map(|(_, chain)| chain);
    chain.zip(next).is_some_and(|(chain, next)| chain.end >= next.start)
}

/// Neighbouring backups whose WAL runs on into the next one make one window.
fn windows(chains: &[(&Manifest, Chain)], ends: &[Timestamp], damaged: &BTreeSet<String>) -> Pitr {
    let mut pitr = Pitr { windows: Vec::new(), gaps: Vec::new() };
    let mut from = None;
    for (at, ((manifest, chain), end)) in chains.iter().zip(ends).enumerate() {
        let begin = *from.get_or_insert(manifest.ended);
        if runs_on(chains, at) {
            continue;
        }
        if let Some(gap) = chain.gap {
            pitr.gaps.push(broken_at(chain, gap, damaged));
        }
        pitr.windows.push(Window { from: begin, to: (*end).max(begin) });
        from = None;
    }
    pitr
}

/// Where a chain ends although more follows: `000000010000000000000015 is missing`.
fn broken_at(chain: &Chain, gap: Gap, damaged: &BTreeSet<String>) -> String {
    let name = chain.name(gap.first);
    let how = if damaged.contains(&name) { "damaged" } else { "missing" };
    format!("{name} is {how}")
}

fn bases(
    chains: &[(&Manifest, Chain)],
    ends: &[Timestamp],
    damaged: &BTreeSet<String>,
) -> Vec<Base> {
    let base = |((manifest, chain), end): (&(&Manifest, Chain), &Timestamp)| Base {
        id: manifest.id.clone(),
        from: manifest.ended,
        to: *end,
        start: manifest.wal.as_ref().map_or(chain.end, |wal| wal.start),
        missing: chain.gap.map(|gap| broken_at(chain, gap, damaged)),
    };
    chains.iter().zip(ends).map(base).collect()
}

fn points(chains: &[(&Manifest, Chain)]) -> Vec<Point> {
    let mut all: Vec<Point> = Vec::new();
    for (_, chain) in chains {
        for link in &chain.links {
            let end = (link.segment.number + 1) * chain.segment_size;
            let last = all.last().copied();
            if last.is_none_or(|last| end > last.end) {
                // A file that was archived again, or copied here, is younger than those behind it.
                let at = last.map_or(link.archived, |last| link.archived.max(last.at));
                all.push(Point { at, end });
            }
        }
    }
    let step = all.len().div_ceil(POINTS).max(1);
    let newest = all.len().saturating_sub(1);
    let kept =
        |(nth, point): (usize, Point)| (nth % step == step - 1 || nth == newest).then_some(point);
    all.into_iter().enumerate().filter_map(kept).collect()
}

#[cfg(test)]
mod tests;
