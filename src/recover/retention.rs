//! Which backups may go, which WAL with them, and why the others stay.
//!
//! Only whole backups count, and only they are removed; what failed leaves history when it is old. The plan
//! is made of plain data; nothing goes before somebody has seen it.

use std::{borrow::Borrow, fmt, time::Duration};

use super::{
    Repository, Result,
    backup::{lock::Lock, remove_backup},
    repository::{
        catalogue::{Entry, State},
        key::Key,
        manifest::{BackupId, Level, Method, lsn},
        storage::Object,
    },
};
use crate::base::{
    clock::{Clock, Timestamp},
    progress::{Cleanup, Observer},
};

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Every backup of the last so many days stays, and every moment of them stays reachable.
    pub days: u32,
    /// The newest so many of each kind stay, however old.
    pub at_least: usize,
}

/// What the checklist of recovery asks for: 30 days of daily backups.
impl Default for Policy {
    fn default() -> Self {
        Self { days: 30, at_least: 3 }
    }
}

/// What is to become of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The backup.
    pub id: BackupId,
    /// Why it stays; none when it goes.
    pub stays: Option<Stays>,
    /// Bytes that it takes.
    pub size: u64,
}

/// Why a backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is not older than the policy's days.
    Young,
    /// It is among the newest of its kind.
    AmongNewest,
    /// The policy's days begin in its reach: moments after it need it.
    WindowBegins,
    /// No newer one of its kind was proven as far.
    NewestProven,
    /// It is not known to be whole: a person must look.
    Unclear,
    /// It is being written, or the next backup puts it away.
    Unfinished,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Young => "not old enough",
            Self::AmongNewest => "among the newest of its kind",
            Self::WindowBegins => "the days to keep begin in its reach",
            Self::NewestProven => "the newest that is proven as far",
            Self::Unclear => "its manifest cannot be understood: look at it",
            Self::Unfinished => "unfinished",
        })
    }
}

/// From where on WAL is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalNeed {
    /// The oldest position that a kept physical backup begins to recover at.
    pub from: u64,
    /// Bytes in a segment.
    pub segment_size: u64,
}

impl WalNeed {
    /// The number of the first segment that is needed.
    pub fn segment(&self) -> u64 {
        self.from / self.segment_size.max(1)
    }

    /// True for an archived file (by its last name) that no kept backup needs: a segment, whole or partial,
    /// or a backup's history, before the first one, on whatever timeline. Histories of timelines stay.
    pub fn passes(&self, file: &str) -> bool {
        let digits = file.get(..24).filter(|name| {
            name.bytes().all(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(&c))
                && file.as_bytes().get(24).is_none_or(|next| *next == b'.')
        });
        let number = |text: Option<&str>| u64::from_str_radix(text?, 16).ok();
        let Some(name) = digits else { return false };
        let (Some(log), Some(low)) = (number(name.get(8..16)), number(name.get(16..24))) else {
            return false;
        };
        let per_log = (1_u64 << 32) / self.segment_size.max(1);
        log.saturating_mul(per_log).saturating_add(low) < self.segment()
    }
}

impl fmt::Display for WalNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lsn(self.from))
    }
}

/// What stays and what goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every backup, oldest first.
    pub items: Vec<Item>,
    /// WAL from here on is needed; none when no physical backup is kept: then no WAL goes.
    pub wal_needed_from: Option<WalNeed>,
    /// The archived WAL that goes.
    pub wal: Vec<Object>,
}

impl Plan {
    /// The backups that go.
    pub fn going(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.stays.is_none())
    }

    /// Bytes that become free.
    pub fn freed(&self) -> u64 {
        let wal: u64 = self.wal.iter().map(|object| object.size).sum();
        self.going().map(|item| item.size).sum::<u64>() + wal
    }
}

/// Decides by the catalogue alone.
pub fn plan<E: Borrow<Entry>>(entries: &[E], policy: Policy, now: Timestamp) -> Plan {
    let days = Duration::from_hours(24 * u64::from(policy.days));
    let oldest = now.saturating_sub(days).unwrap_or(Timestamp::MIN);
    let mut plan = Plan::default();
    for entry in entries.iter().map(Borrow::borrow) {
        let (stays, size) = match &entry.state {
            State::Complete { manifest, .. } => {
                (whole(entry, entries, policy, oldest), manifest.stored_size())
            }
            State::Failed(failed) => ((failed.began >= oldest).then_some(Stays::Young), 0),
            State::Unfinished => (Some(Stays::Unfinished), 0),
            State::Damaged(_) => (Some(Stays::Unclear), 0),
        };
        plan.items.push(Item { id: entry.id.clone(), stays, size });
    }
    // Of a backup that nobody can read nobody knows the WAL: none goes.
    if plan.items.iter().any(|item| item.stays == Some(Stays::Unclear)) {
        return plan;
    }
    let kept = entries.iter().zip(&plan.items).filter(|(_, item)| item.stays.is_some());
    let needs = kept.filter_map(|(entry, _)| entry.borrow().manifest()?.wal.as_ref());
    plan.wal_needed_from = needs
        .map(|wal| WalNeed { from: wal.start, segment_size: wal.segment_size })
        .min_by_key(|need| need.from);
    plan
}

/// Why a whole backup stays; none when it may go.
fn whole<E: Borrow<Entry>>(
    entry: &Entry,
    all: &[E],
    policy: Policy,
    oldest: Timestamp,
) -> Option<Stays> {
    let manifest = entry.manifest()?;
    let method = manifest.method;
    if manifest.began >= oldest {
        return Some(Stays::Young);
    }
    // A backup with something found wrong in it stands for nothing.
    let newer: Vec<&Entry> =
        all.iter().map(Borrow::borrow).filter(|o| sound(o, method) && after(o, entry)).collect();
    if !sound(entry, method) {
        // Unless it is all there is.
        return newer.is_empty().then_some(Stays::AmongNewest);
    }
    if newer.len() < policy.at_least {
        return Some(Stays::AmongNewest);
    }
    if let Some(level) = entry.level()
        && !newer.iter().any(|other| other.level() >= Some(level))
    {
        return Some(Stays::NewestProven);
    }
    // Of the backups before the days to keep the newest reaches into them, by its WAL.
    let ended_before = |other: &Entry| other.manifest().is_some_and(|m| m.ended < oldest);
    let reaches = method == Method::Physical && !newer.iter().any(|other| ended_before(other));
    reaches.then_some(Stays::WindowBegins)
}

fn sound(entry: &Entry, method: Method) -> bool {
    match &entry.state {
        State::Complete { manifest, verified } => {
            manifest.method == method && verified.as_ref().is_none_or(|v| v.findings.is_empty())
        }
        _ => false,
    }
}

fn after(one: &Entry, other: &Entry) -> bool {
    let key = |entry: &Entry| entry.manifest().map(|m| (m.began, m.id.clone()));
    key(one) > key(other)
}

/// The plan for a target, with the WAL of its archive.
pub fn plan_for(repository: &Repository, policy: Policy, now: Timestamp) -> Result<Plan> {
    plan_with(repository, &repository.backups()?, policy, now)
}

/// The same for a catalogue that was read already.
pub fn plan_with<E: Borrow<Entry>>(
    repository: &Repository,
    entries: &[E],
    policy: Policy,
    now: Timestamp,
) -> Result<Plan> {
    let mut plan = plan(entries, policy, now);
    if let Some(need) = plan.wal_needed_from {
        let archived = repository.storage().list(&repository.wal_key()?)?;
        plan.wal = archived.into_iter().filter(|object| need.passes(object.key.file())).collect();
    }
    Ok(plan)
}

/// Does what [`plan_for`] says, made anew with the lock in hand; returns what was done.
///
/// # Errors
/// [`Kind::Refused`](crate::recover::Kind) while a backup is at work.
pub fn apply(
    repository: &Repository,
    policy: Policy,
    break_lock: bool,
    observer: &dyn Observer,
) -> Result<Plan> {
    let clock = Clock::system();
    let _lock = Lock::take(repository, "expire", break_lock, &clock)?;
    let plan = plan_for(repository, policy, clock.wall())?;
    for item in plan.going() {
        let cleanup =
            Cleanup::words(format!("remove what is left of {}: run expire again", item.id));
        let step = observer.step(format!("remove the backup {}", item.id), &cleanup)?;
        remove_backup(repository, &item.id)?;
        step.done(serde_json::json!({ "bytes": item.size }))?;
    }
    if !plan.wal.is_empty() {
        let cleanup = Cleanup::words("remove the other segments: run expire again");
        let step = observer.step("remove WAL that no backup needs", &cleanup)?;
        let keys: Vec<&Key> = plan.wal.iter().map(|object| &object.key).collect();
        for key in &keys {
            repository.storage().remove(key)?;
        }
        step.done(serde_json::json!({ "files": keys.len() }))?;
    }
    Ok(plan)
}

/// The newest whole backup that is proven at a level or above.
pub fn newest_proven(entries: &[Entry], level: Level) -> Option<&Entry> {
    entries
        .iter()
        .filter(|entry| entry.level() >= Some(level))
        .max_by_key(|entry| entry.manifest().map(|manifest| (manifest.began, manifest.id.clone())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recover::{
        Fault, Kind,
        repository::manifest::{
            FORMAT, Failed, Inventory, Manifest, Origin, Verification, WalSpan,
        },
    };

    const SEGMENT: u64 = 16 << 20;

    #[derive(Clone, Debug)]
    struct Shape {
        age_hours: i64,
        physical: bool,
        level: Option<Level>,
        findings: bool,
        state: u8,
    }

    fn now() -> Timestamp {
        "2026-11-25T02:00:00Z".parse().expect("a time")
    }

    fn entry(shape: &Shape) -> Entry {
        let began = now() - jiff::SignedDuration::from_hours(shape.age_hours);
        let method = if shape.physical { Method::Physical } else { Method::Logical };
        let id = BackupId::new(began, method);
        // WAL grows with time: 10 segments an hour.
        let start = (2_000_000 - shape.age_hours as u64 * 10) * SEGMENT + 40;
        let wal = shape.physical.then_some(WalSpan {
            timeline: 1,
            start,
            stop: start + 100,
            segment_size: SEGMENT,
        });
        let state = match shape.state {
            0 => State::Failed(Failed {
                id: id.clone(),
                method,
                began,
                ended: began,
                why: "x".into(),
                step: "dump".into(),
                cancelled: false,
            }),
            1 => State::Unfinished,
            2 => State::Damaged(Fault::new(Kind::Damaged, "x")),
            _ => State::Complete {
                manifest: Box::new(Manifest {
                    format: FORMAT,
                    id: id.clone(),
                    method,
                    began,
                    ended: began,
                    howdah: String::new(),
                    tool: String::new(),
                    cluster: Origin {
                        system_identifier: 1,
                        version: 150_018,
                        timeline: 1,
                        host: String::new(),
                        data_directory: None,
                        standby: false,
                    },
                    files: Vec::new(),
                    wal,
                    inventory: Inventory::default(),
                    phases: Vec::new(),
                }),
                verified: shape.level.map(|level| Verification {
                    id: id.clone(),
                    at: began,
                    reached: Some(level),
                    asked: level,
                    findings: if shape.findings { vec!["x".into()] } else { Vec::new() },
                }),
            },
        };
        Entry { id, state }
    }

    fn shape() -> impl Strategy<Value = Shape> {
        let level = prop::option::of(prop::sample::select(vec![Level::L1, Level::L2, Level::L4]));
        (0_i64..2000, any::<bool>(), level, prop::bool::weighted(0.2), 0_u8..12).prop_map(
            |(age_hours, physical, level, findings, state)| Shape {
                age_hours,
                physical,
                level,
                findings,
                state,
            },
        )
    }

    fn entries(shapes: &[Shape]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = shapes.iter().map(entry).collect();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries.dedup_by(|a, b| a.id == b.id);
        entries
    }

    proptest! {
        #[test]
        fn nothing_that_is_needed_ever_goes(
            shapes in prop::collection::vec(shape(), 0..30),
            days in 0_u32..60,
            at_least in 0_usize..5,
        ) {
            let entries = entries(&shapes);
            let policy = Policy { days, at_least };
            let plan = plan(&entries, policy, now());
            prop_assert_eq!(plan.items.len(), entries.len(), "each is spoken of");
            let oldest = now() - jiff::SignedDuration::from_hours(i64::from(days) * 24);
            let kept: Vec<&Entry> = entries
                .iter()
                .zip(&plan.items)
                .filter(|(_, item)| item.stays.is_some())
                .map(|(entry, _)| entry)
                .collect();
            for (entry, item) in entries.iter().zip(&plan.items) {
                match &entry.state {
                    State::Unfinished | State::Damaged(_) => prop_assert!(item.stays.is_some()),
                    State::Complete { manifest, .. } if manifest.began >= oldest => {
                        prop_assert!(item.stays.is_some());
                    }
                    _ => {}
                }
            }
            for method in [Method::Logical, Method::Physical] {
                let of = |list: &[&Entry]| list.iter().filter(|e| sound(e, method)).count();
                let all: Vec<&Entry> = entries.iter().collect();
                prop_assert!(of(&kept) >= at_least.min(of(&all)), "enough sound ones stay");
                // The highest level of proof is never lost, nor the newest of it.
                let best = all.iter().filter(|e| sound(e, method)).filter_map(|e| e.level()).max();
                if let Some(best) = best {
                    let newest = all.iter().rev().find(|e| sound(e, method) && e.level() == Some(best));
                    prop_assert!(newest.is_some_and(|newest| kept.contains(newest)));
                }
            }
            // Each moment of the days to keep that could be reached can be reached still.
            let physical = |list: &[&Entry]| -> Vec<Timestamp> {
                list.iter().filter(|e| sound(e, Method::Physical)).filter_map(|e| Some(e.manifest()?.ended)).collect()
            };
            let all: Vec<&Entry> = entries.iter().collect();
            for hour in 0..i64::from(days) * 24 {
                let moment = oldest + jiff::SignedDuration::from_hours(hour);
                let reach = |ends: &[Timestamp]| ends.iter().any(|end| *end < moment);
                prop_assert_eq!(reach(&physical(&all)), reach(&physical(&kept)), "{}", moment);
            }
            // WAL: whatever a kept backup needs does not pass.
            for wal in kept.iter().filter_map(|entry| entry.manifest()?.wal.as_ref()) {
                for position in [wal.start, wal.stop, wal.stop + 100 * SEGMENT] {
                    let number = position / SEGMENT;
                    let name = format!("00000001{:08X}{:08X}", number / 256, number % 256);
                    prop_assert!(!plan.wal_needed_from.is_some_and(|need| need.passes(&name)));
                }
            }
        }
    }

    #[test]
    fn segments_before_the_first_one_needed_go_and_nothing_else() {
        let need = WalNeed { from: 0x1_0500_0028, segment_size: SEGMENT };
        for gone in [
            "000000010000000100000004",
            "0000000300000000000000FF.abc.zst",
            "000000010000000100000004.partial",
            "000000010000000000000002.00000028.backup",
        ] {
            assert!(need.passes(gone), "{gone}");
        }
        for kept in [
            "000000010000000100000005",
            "000000010000000200000000.abc.zst",
            "00000002.history",
            "00000002.history.abc.zst",
            "cluster.json",
            "target.json",
            "000000010000000100000004x",
            "",
        ] {
            assert!(!need.passes(kept), "{kept}");
        }
    }

    #[test]
    fn a_backup_that_cannot_be_understood_holds_all_wal() {
        let whole = Shape { age_hours: 1, physical: true, level: None, findings: false, state: 9 };
        let unclear = Shape { age_hours: 2, state: 2, ..whole.clone() };
        let policy = Policy::default();
        assert!(
            plan(&entries(std::slice::from_ref(&whole)), policy, now()).wal_needed_from.is_some()
        );
        assert_eq!(plan(&entries(&[whole, unclear]), policy, now()).wal_needed_from, None);
    }
}
