//! Where ways are walked: a home of its own on a shop that is shared, with what can happen there.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Mutex};

use howdah::{
    base::{
        clock::Clock,
        process::{self, Signal},
    },
    guide::run::{Runs, Seen as Run},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    SOON,
    shop::{Shop, Sitting},
};
use crate::support::eventually;

/// Tables that are lost on the way; made by [`bank`].
const LOST: [&str; 3] = ["dropped", "emptied", "deleted"];
pub const ROWS: i64 = 500;

/// A shop with load and with what can be lost.
pub fn bank() -> Shop {
    let shop = Shop::open(true);
    for table in LOST {
        shop.sql(&format!(
            "create table lost_{table} as select * from customers order by id limit {ROWS}; \
             alter table lost_{table} add primary key (id)"
        ));
    }
    shop.demo.cluster().psql("create table stock (id text primary key, n int)").expect("made");
    // It knows them by name and file.
    shop.said(&["backup", "run", "--physical", "--quiet"]);
    shop
}

/// Where a way is walked: a home of its own, on a shop that is shared.
pub struct Stage<'a> {
    pub shop: &'a Shop,
    pub home: TempDir,
    /// A word of its own.
    pub tag: String,
    sittings: Vec<Sitting>,
    before: Mutex<i64>,
    /// Jobs that died whose leftovers were put away.
    pub tidied: Mutex<BTreeSet<String>>,
}

impl Stage<'_> {
    /// A stage whose words of its own are these.
    pub fn new(shop: &Shop, tag: String) -> Stage<'_> {
        let home = tempfile::tempdir().expect("a folder");
        Stage {
            shop,
            home,
            tag,
            sittings: Vec::new(),
            before: Mutex::default(),
            tidied: Mutex::default(),
        }
    }

    /// The newest run of this home.
    pub fn run(&self) -> Run {
        let folder = self.home.path().join(".local/state/howdah/guides");
        let runs = Runs::at(&folder, &Clock::system());
        let id = runs.find("last").expect("a run");
        runs.look(&id).expect("readable")
    }

    /// What is known in the run.
    pub fn value(&self, name: &str) -> String {
        self.run().state.values.get(name).unwrap_or_default()
    }

    pub fn remember(&self, number: i64) {
        *self.before.lock().expect("whole") = number;
    }

    pub fn remembered(&self) -> i64 {
        *self.before.lock().expect("whole")
    }

    pub fn archived(&self) -> i64 {
        let sql = "select archived_count from pg_stat_archiver";
        self.shop.sql(sql).parse().expect("a number")
    }

    pub fn breaker(&self, name: &str) -> Value {
        let mut list = self.shop.json(&["breaker", "list", "--only", name, "--json"]);
        list["breakers"][0].take()
    }

    /// A session of that name; it sits until the stage is gone.
    pub fn sits(&mut self, name: &str, first: &str, then: &str) {
        let sitting = self.shop.sits(&format!("{name}-{}", self.tag), first, then);
        self.sittings.push(sitting);
    }

    pub fn sessions(&self, name: &str, more: &str) -> i64 {
        let sql = format!(
            "select count(*) from pg_stat_activity where application_name = '{name}-{}' {more}",
            self.tag
        );
        self.shop.sql(&sql).parse().expect("a number")
    }

    /// The root does that, and somebody waits for what it holds.
    pub fn pile(&mut self, then: &str) {
        let own = format!("update stock set n = n + 1 where id = '{}'", self.tag);
        let own_row = format!("insert into stock values ('{}', 0)", self.tag);
        self.shop.demo.cluster().psql(&own_row).expect("filled");
        self.sits("root", &format!("begin; {own}"), then);
        self.sits("victim", "select 1", &own);
        eventually("the victim waits", SOON, || {
            self.sessions("victim", "and wait_event_type = 'Lock'") == 1
        });
    }
}

/// A cluster that was brought back and stays is put away.
impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let folder = self.home.path().join(".local/state/howdah/guides");
        let runs = Runs::at(&folder, &Clock::system());
        for run in runs.list().into_iter().flatten().flatten() {
            let Some(scratch) = run.card.values.get("scratch") else { continue };
            let scratch = PathBuf::from(scratch);
            let pid = fs::read_to_string(scratch.join("data/postmaster.pid")).unwrap_or_default();
            if let Some(pid) = pid.lines().next().and_then(|pid| pid.parse().ok()) {
                process::signal(pid, Signal::QUIT);
                process::wait_gone(&[pid], SOON);
            }
            let _ = fs::remove_dir_all(scratch);
        }
    }
}
