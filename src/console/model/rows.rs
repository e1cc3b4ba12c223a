//! The rows of a pane: what stands in which order. There may be ten thousands of them, of which a screen
//! shows some ten: only places are kept, and names are made for the rows that are asked for.

use super::{Pane, UiState};
use crate::{
    base::text::Text,
    watch::snapshot::{
        Backup, Breaker, BreakerState, EngineHistory, KeptBackup, Known, Pool, PoolKind,
        RunningBackup, Snapshot,
    },
};

/// A row of a pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which thing it shows, the same for as long as the thing exists.
    pub id: Text,
    /// Where the thing stands in the snapshot's own list; for the backup pane see [`backup_at`].
    pub index: usize,
}

/// The rows of a pane, in the order in which they are shown.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    snapshot: &'a Snapshot,
    pane: Pane,
    /// For each row, where its thing stands in the snapshot's own list.
    places: Vec<usize>,
}

/// Rows of the backup pane that are always there: the archiver (index 0) and the repository (index 1).
const BACKUP_FIXED: usize = 2;

/// The rows of a pane in the order in which they are shown: worst first, otherwise as the sources tell
/// them, and only those that hold all words of `filter`, whatever their case.
pub fn rows<'a>(snapshot: &'a Snapshot, pane: Pane, filter: &str) -> Rows<'a> {
    let places = match pane {
        Pane::Pools => {
            ordered(&snapshot.pools, pool_rank, |pool| holds(filter, &[&pool.name, &pool.source]))
        }
        Pane::Breakers => ordered(&snapshot.breakers, breaker_rank, |breaker| {
            holds(filter, &[&breaker.name, &breaker.source, breaker.state.word()])
        }),
        Pane::Alerts => ordered(
            &snapshot.alerts,
            |_| 0,
            |alert| {
                holds(filter, &[alert.severity.word(), &alert.check, &alert.subject, &alert.detail])
            },
        ),
        // The repository stands at the end, because it says least.
        Pane::Backup => [0]
            .into_iter()
            .chain(BACKUP_FIXED..count(snapshot, pane))
            .chain([1])
            .filter(|index| id(snapshot, pane, *index).is_some_and(|id| holds(filter, &[&id])))
            .collect(),
    };
    Rows { snapshot, pane, places }
}

/// How many rows a pane has without a filter.
pub fn count(snapshot: &Snapshot, pane: Pane) -> usize {
    match pane {
        Pane::Pools => snapshot.pools.len(),
        Pane::Breakers => snapshot.breakers.len(),
        Pane::Alerts => snapshot.alerts.len(),
        Pane::Backup => {
            let kept = snapshot.backup.repository.value().map_or(0, |kept| kept.backups.len());
            BACKUP_FIXED + snapshot.backup.engines.len() + snapshot.backup.running.len() + kept
        }
    }
}

impl Rows<'_> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// True when there is none.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The places of `many` rows from the `first` on, as far as there are so many.
    pub fn window(&self, first: usize, many: usize) -> &[usize] {
        let end = first.saturating_add(many).min(self.places.len());
        self.places.get(first..end).unwrap_or_default()
    }

    /// The row that stands there.
    pub fn row(&self, at: usize) -> Option<Row> {
        let index = *self.places.get(at)?;
        Some(Row { id: id(self.snapshot, self.pane, index)?, index })
    }

    /// All rows, with their names.
    pub fn iter(&self) -> impl Iterator<Item = Row> {
        (0..self.len()).filter_map(|at| self.row(at))
    }

    /// Where the selected row stands; the first when the selected thing is gone.
    pub fn selected(&self, state: &UiState) -> usize {
        let wanted = state.selected.get(&self.pane);
        wanted.and_then(|wanted| self.position(wanted)).unwrap_or(0)
    }

    fn position(&self, wanted: &str) -> Option<usize> {
        let named = |source: &Text, name: &Text| {
            wanted
                .strip_prefix(&**source)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| rest == &**name)
        };
        self.places.iter().position(|&index| match self.pane {
            Pane::Pools => {
                self.snapshot.pools.get(index).is_some_and(|pool| named(&pool.source, &pool.name))
            }
            Pane::Breakers => self
                .snapshot
                .breakers
                .get(index)
                .is_some_and(|breaker| named(&breaker.source, &breaker.name)),
            Pane::Alerts => {
                self.snapshot.alerts.get(index).is_some_and(|alert| &*alert.id == wanted)
            }
            Pane::Backup => id(self.snapshot, self.pane, index).is_some_and(|id| &*id == wanted),
        })
    }
}

/// The name of the thing that stands there in the snapshot's own list.
fn id(snapshot: &Snapshot, pane: Pane, index: usize) -> Option<Text> {
    let of = |source: &Text, name: &Text| Text::from(format!("{source}/{name}"));
    match pane {
        Pane::Pools => snapshot.pools.get(index).map(|pool| of(&pool.source, &pool.name)),
        Pane::Breakers => {
            snapshot.breakers.get(index).map(|breaker| of(&breaker.source, &breaker.name))
        }
        Pane::Alerts => snapshot.alerts.get(index).map(|alert| alert.id.clone()),
        Pane::Backup => Some(match backup_at(snapshot, index)? {
            BackupRow::Archiver => Text::ours("archiver"),
            BackupRow::Repository => Text::ours("repository"),
            BackupRow::Engine(name, _) => Text::from(format!("engine/{name}")),
            BackupRow::Running(backup) => Text::from(format!("running/{}", backup.pid)),
            BackupRow::Kept(backup) => Text::from(format!("backup/{}", backup.id)),
        }),
    }
}

/// The thing in a row of the backup pane.
#[derive(Clone, Copy, Debug)]
pub enum BackupRow<'a> {
    /// The server's archiver.
    Archiver,
    /// The repository.
    Repository,
    /// Another backup engine, by its name, and what it keeps.
    Engine(&'a Text, &'a Known<EngineHistory>),
    /// A base backup under way.
    Running(&'a RunningBackup),
    /// A backup in the repository.
    Kept(&'a KeptBackup),
}

/// What a row of the backup pane shows, by its index.
pub fn backup_at(snapshot: &Snapshot, index: usize) -> Option<BackupRow<'_>> {
    let Backup { engines, running, .. } = &snapshot.backup;
    let Some(index) = index.checked_sub(BACKUP_FIXED) else {
        return Some(if index == 0 { BackupRow::Archiver } else { BackupRow::Repository });
    };
    if let Some((name, told)) = engines.get(index) {
        return Some(BackupRow::Engine(name, told));
    }
    let index = index - engines.len();
    if let Some(running) = running.get(index) {
        return Some(BackupRow::Running(running));
    }
    let kept = snapshot.backup.repository.value()?;
    kept.backups.get(index - running.len()).map(BackupRow::Kept)
}

fn ordered<T>(things: &[T], rank: impl Fn(&T) -> u8, shown: impl Fn(&T) -> bool) -> Vec<usize> {
    let mut places: Vec<(u8, usize)> = things
        .iter()
        .enumerate()
        .filter(|(_, thing)| shown(thing))
        .map(|(index, thing)| (rank(thing), index))
        .collect();
    places.sort_unstable();
    places.into_iter().map(|(_, index)| index).collect()
}

fn pool_rank(pool: &Pool) -> u8 {
    // The console's own connection is always in use: that is its work.
    let full = pool.kind != PoolKind::Own && pool.share().unwrap_or(0.0) >= 1.0;
    u8::from(pool.waiting.unwrap_or(0) == 0 && !full)
}

fn breaker_rank(breaker: &Breaker) -> u8 {
    match breaker.state {
        BreakerState::Open | BreakerState::ForcedOpen => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Unknown => 2,
        BreakerState::Disabled | BreakerState::MetricsOnly => 3,
        BreakerState::Closed => 4,
    }
}

fn holds(filter: &str, parts: &[&str]) -> bool {
    if filter.is_empty() {
        return true;
    }
    let all = parts.join(" ").to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| all.contains(word))
}
