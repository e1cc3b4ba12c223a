use std::{path::Path, sync::Mutex, time::Duration};

use super::*;
use crate::{
    base::{clock::Clock, text::Text},
    recover::{
        Fault, Kind,
        physical::timeline::Segment,
        repository::manifest::{FORMAT, Inventory, Method, Origin, WalSpan},
    },
};

const SIZE: u64 = 16 << 20;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a moment")
}

/// An archive with a segment each minute, some of them missing; nothing in it can be read.
#[derive(Default)]
struct Minutes {
    kept: Mutex<Vec<Kept>>,
    asked: Mutex<Vec<String>>,
}

impl Minutes {
    fn with(numbers: impl Iterator<Item = u64>) -> Arc<Self> {
        let minutes = Self::default();
        numbers.for_each(|number| minutes.add(number));
        Arc::new(minutes)
    }

    fn add(&self, number: u64) {
        let name = Segment { timeline: 1, number }.name(SIZE);
        let kept = Kept { name, modified: at(number as i64 * 60) };
        self.kept.lock().expect("not poisoned").push(kept);
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned")).len()
    }
}

impl Archive for Minutes {
    fn once(&self, _: &str, _: &Path) -> Result<String> {
        Err(Fault::new(Kind::Failed, "nothing is fetched"))
    }

    fn describe(&self) -> Text {
        Text::ours("minutes")
    }

    fn files(&self) -> Result<Vec<Kept>> {
        Ok(self.kept.lock().expect("not poisoned").clone())
    }

    fn fetch(&self, name: &str, _: &Path) -> Result<()> {
        self.asked.lock().expect("not poisoned").push(name.to_owned());
        Err(Fault::new(Kind::Unavailable, "it cannot be read"))
    }

    fn command(&self) -> Result<String> {
        Ok(String::new())
    }
}

/// A backup that began and ended within the minute of that number.
fn backup(number: u64) -> Manifest {
    let began = at(number as i64 * 60);
    Manifest {
        format: FORMAT,
        id: BackupId::new(began, Method::Physical),
        method: Method::Physical,
        began,
        ended: at(number as i64 * 60 + 30),
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
        wal: Some(WalSpan {
            timeline: 1,
            start: number * SIZE + 40,
            stop: number * SIZE + 256,
            segment_size: SIZE,
        }),
        inventory: Inventory::default(),
        phases: Vec::new(),
    }
}

#[test]
fn a_gap_ends_a_window_and_the_next_backup_begins_one() {
    let minutes = Minutes::with((10..=20).chain(25..=40));
    let mut lookout = Lookout::new(minutes);
    let backups = [backup(10), backup(15), backup(30)];
    let found = lookout.look(backups.iter(), &BTreeSet::new()).expect("found").clone();
    let pitr = found.pitr.value().expect("known");
    let windows: Vec<_> = pitr.windows.iter().map(|w| w.from.as_second()).collect();
    assert_eq!(windows, [10 * 60 + 30, 30 * 60 + 30]);
    assert_eq!(pitr.gaps, ["000000010000000000000015 is missing"]);
    let line = found.line.value().expect("known");
    let missing: Vec<bool> = line.bases.iter().map(|base| base.missing.is_some()).collect();
    assert_eq!(missing, [true, true, false]);
    assert_eq!(line.points.first().map(|p| (p.at, p.end)), Some((at(600), 11 * SIZE)));
    assert_eq!(line.points.last().map(|p| (p.at, p.end)), Some((at(2400), 41 * SIZE)));
    assert!(line.points.windows(2).all(|two| two[0].end < two[1].end));
}

#[test]
fn what_is_known_is_not_found_again() {
    let minutes = Minutes::with(0..43_200);
    let mut lookout = Lookout::new(Arc::clone(&minutes) as Arc<dyn Archive>);
    let backups: Vec<Manifest> = (0..30).map(|day| backup(day * 1440)).collect();
    let clock = Clock::system();
    let look = |lookout: &mut Lookout| {
        let begun = clock.now();
        lookout.look(backups.iter(), &BTreeSet::new()).expect("found");
        clock.now().since(begun)
    };
    let first = look(&mut lookout);
    assert!(minutes.asked() > 0, "the newest segments are read");
    let again: Vec<Duration> = (0..5).map(|_| look(&mut lookout)).collect();
    assert_eq!(minutes.asked(), 0);
    let line = lookout.found.as_ref().and_then(|(_, found)| found.line.value());
    assert!(line.is_some_and(|line| line.bases.len() == 30 && line.points.len() <= POINTS + 1));
    println!("30 days of a segment a minute: first {first:?}, then {again:?}");
    let most = again.iter().min().expect("five");
    assert!(*most * 4 < first, "first {first:?}, then {again:?}");
    minutes.add(43_200);
    look(&mut lookout);
    assert!(minutes.asked() > 0, "a new segment is looked into");
}
