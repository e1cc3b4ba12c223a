//! How much of a dump is done: learned from the last one, or a rough guess by the tables' sizes.

use std::collections::BTreeMap;

use crate::{
    base::{
        clock::{Clock, Stamp},
        text::clean,
    },
    recover::repository::manifest::{Database, Manifest, Role},
};

/// The name of the phase in which a database's large objects are dumped.
pub(super) fn large_objects_phase(database: &str) -> String {
    format!("large objects of {database}")
}

/// Seconds of each table, read off the messages of `pg_dump -v` as they come.
#[derive(Debug)]
pub(super) struct Times {
    clock: Clock,
    present: Option<(Part, Stamp)>,
    /// By `schema.name`, cleaned as messages are.
    pub tables: BTreeMap<String, f64>,
    pub large_objects: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Table(String),
    LargeObjects,
}

impl Times {
    pub fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), present: None, tables: BTreeMap::new(), large_objects: None }
    }

    /// Hears a message: `pg_dump: dumping contents of table "shop.orders"`, names as they are, not quoted.
    pub fn hear(&mut self, line: &str) {
        let table = line
            .split_once("dumping contents of table \"")
            .and_then(|(_, rest)| rest.strip_suffix('"'));
        let part = match table {
            Some(table) => Part::Table(table.to_owned()),
            None if line.contains("saving large objects") => Part::LargeObjects,
            None => return,
        };
        // `pg_dump` 17 and later tells of each group of large objects.
        if self.present.as_ref().is_some_and(|(present, _)| *present == part) {
            return;
        }
        self.close();
        self.present = Some((part, self.clock.now()));
    }

    /// The dump has ended.
    pub fn close(&mut self) {
        let Some((part, since)) = self.present.take() else { return };
        let seconds = self.clock.now().since(since).as_secs_f64();
        match part {
            Part::Table(name) => *self.tables.entry(name).or_default() += seconds,
            Part::LargeObjects => *self.large_objects.get_or_insert_default() += seconds,
        }
    }

    fn running(&self) -> Option<(&Part, f64)> {
        let (part, since) = self.present.as_ref()?;
        Some((part, self.clock.now().since(*since).as_secs_f64()))
    }
}

/// The name of a table as messages have it.
pub(super) fn told_as(schema: &str, name: &str) -> String {
    clean(&format!("{schema}.{name}")).into_owned()
}

/// What a dump of one database is expected to take.
pub(super) enum Expected {
    /// By the seconds of the last one.
    Learned { tables: BTreeMap<String, f64>, large_objects: f64, content: u64 },
    /// By the sizes of the tables: text is longer than what it is stored as, or shorter.
    Rough { content: u64 },
}

/// Before this part is done the rest of a dump is not told from it.
const FIRST_WORD: f64 = 0.03;

impl Expected {
    /// From the last backup, where it has this database with times.
    pub fn of(database: &Database, previous: Option<&Manifest>) -> Self {
        Self::learned(database, previous).unwrap_or_else(|| {
            let tables = database.relations.iter().map(|relation| relation.size);
            Self::Rough { content: tables.sum() }
        })
    }

    fn learned(database: &Database, previous: Option<&Manifest>) -> Option<Self> {
        let previous = previous?;
        let before = previous.inventory.databases.iter().find(|d| d.name == database.name)?;
        let file = previous.files.iter().find(
            |file| matches!(&file.role, Role::Dump { database: name } if *name == database.name),
        )?;
        let known: BTreeMap<String, (f64, u64)> = before
            .relations
            .iter()
            .filter_map(|r| Some((told_as(&r.schema, &r.name), (r.seconds?, r.size))))
            .collect();
        let (seconds, bytes) = known
            .values()
            .fold((0.0, 0), |(seconds, bytes), (s, size)| (seconds + s, bytes + size));
        if seconds <= 0.0 {
            return None;
        }
        // A table that has grown takes longer; a new one takes what its size would have taken.
        let tables = database.relations.iter().filter(|relation| relation.kind != 'S').map(|now| {
            let name = told_as(&now.schema, &now.name);
            let expected = match known.get(&name) {
                Some((s, size)) if *size > 0 => s * now.size as f64 / *size as f64,
                Some((s, _)) => *s,
                None => seconds * now.size as f64 / bytes.max(1) as f64,
            };
            (name, expected)
        });
        let phase = large_objects_phase(&database.name);
        let phase = previous.phases.iter().find(|of| of.name == phase);
        Some(Self::Learned {
            tables: tables.collect(),
            large_objects: phase.map_or(0.0, |phase| phase.seconds),
            content: file.stored.content_size,
        })
    }

    /// The whole of the dump in bytes, as it looks after `done` bytes: so that the share that is done is the
    /// share of the time that has passed.
    pub fn total(&self, done: u64, times: &Times) -> u64 {
        match self {
            Self::Rough { content } => *content,
            Self::Learned { tables, large_objects, content } => {
                let share = share(tables, *large_objects, times);
                if share < FIRST_WORD {
                    return *content;
                }
                (done as f64 / share) as u64
            }
        }
    }

    /// What to say of the total.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Rough { .. } => "the total is rough: nothing like this was dumped here before",
            Self::Learned { .. } => "the total is learned from the last backup",
        }
    }
}

fn share(tables: &BTreeMap<String, f64>, large_objects: f64, times: &Times) -> f64 {
    let whole = tables.values().sum::<f64>() + large_objects;
    if whole <= 0.0 {
        return 0.0;
    }
    let expected = |name: &String| tables.get(name).copied().unwrap_or(0.0);
    let mut passed: f64 = times.tables.keys().map(expected).sum();
    if times.large_objects.is_some() {
        passed += large_objects;
    }
    passed += match times.running() {
        Some((Part::Table(name), seconds)) => seconds.min(expected(name)),
        Some((Part::LargeObjects, seconds)) => seconds.min(large_objects),
        None => 0.0,
    };
    (passed / whole).min(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_are_read_off_the_messages() {
        let clock = Clock::test();
        let mut times = Times::new(&clock);
        for (line, wait) in [
            ("pg_dump: reading extensions", 5),
            ("pg_dump: dumping contents of table \"shop.a \"b\"\"", 3),
            ("pg_dump: dumping contents of table \"shop.c\"", 2),
            ("pg_dump: saving large objects \"1..2\"", 1),
            ("pg_dump: saving large objects \"1..2\"", 1),
        ] {
            times.hear(line);
            clock.advance(Duration::from_secs(wait));
        }
        times.close();
        let want = [("shop.a \"b\"".to_owned(), 3.0), ("shop.c".to_owned(), 2.0)];
        assert_eq!(times.tables, BTreeMap::from(want));
        assert_eq!(times.large_objects, Some(2.0));
    }

    #[test]
    fn the_share_that_is_done_follows_the_seconds_of_the_last_time() {
        let clock = Clock::test();
        let mut times = Times::new(&clock);
        let tables = BTreeMap::from([("s.quick".to_owned(), 1.0), ("s.slow".to_owned(), 3.0)]);
        let expected = Expected::Learned { tables, large_objects: 0.0, content: 1000 };
        assert_eq!(expected.total(0, &times), 1000, "before anything is known");
        times.hear("dumping contents of table \"s.quick\"");
        clock.advance(Duration::from_secs(9));
        assert_eq!(expected.total(500, &times), 2000, "no table counts for more than its share");
        times.hear("dumping contents of table \"s.slow\"");
        clock.advance(Duration::from_secs(1));
        assert_eq!(expected.total(600, &times), 1200);
    }
}
