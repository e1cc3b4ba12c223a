//! All ways through all guides that come with howdah: what happened before, what is answered, and what must be true
//! in the real cluster at the end.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use howdah::{
    base::clock::Clock,
    guide::{library, spec::Guide},
    sandbox::Incident,
};

use super::{
    SOON,
    person::Say,
    shop::Shop,
    stage::{ROWS, Stage, bank},
};
use crate::support::{eventually, pty::Robot};

/// One way through a guide.
pub struct Way {
    pub guide: &'static str,
    pub name: &'static str,
    /// Ways of one lane follow each other; lanes go side by side.
    pub lane: Lane,
    /// What happens before.
    prepare: fn(&mut Stage<'_>),
    /// The answers that are not the usual ones, by words of their pages' lines.
    says: fn(&Stage<'_>) -> Vec<(&'static str, Say)>,
    /// What must be true at the end.
    holds: fn(&Stage<'_>),
}

/// What may not happen at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Changes how the server archives.
    Archive,
    /// Takes WAL away, and backups.
    Backups,
    Dropped,
    Deleted,
    Cluster,
    Breaker,
    Locks,
    Disk,
    Rollout,
    /// Pauses what leads to the server.
    Paused,
    /// Freezes the server.
    Frozen,
}

impl Lane {
    /// Those that leave the archive alone.
    const BANK: [Self; 7] = [
        Self::Dropped,
        Self::Deleted,
        Self::Cluster,
        Self::Breaker,
        Self::Rollout,
        Self::Locks,
        Self::Disk,
    ];
}

impl Way {
    /// Sets the stage: what the way is walked for has happened.
    pub fn stage<'a>(&self, shop: &'a Shop) -> Stage<'a> {
        let tag = format!("{}-{}", self.guide, self.name);
        let mut stage = Stage::new(shop, tag);
        (self.prepare)(&mut stage);
        stage
    }

    /// What the person knows.
    pub fn says(&self, stage: &Stage<'_>) -> Vec<(&'static str, Say)> {
        (self.says)(stage)
    }

    /// Fails unless the real cluster is as it must be at the end.
    pub fn holds(&self, stage: &Stage<'_>) {
        (self.holds)(stage);
    }

    /// Begins its guide, on the shelf of the console.
    pub fn pick(&self, robot: &mut Robot) {
        let all = library::guides(Path::new("/nowhere")).expect("all good");
        let at = all.iter().position(|guide| guide.id == self.guide).expect("one of ours");
        for _ in 0..at {
            robot.send("\x1b[B");
        }
        robot.send("\r");
    }

    /// The guide.
    pub fn spec(&self) -> Guide {
        library::guide(Path::new("/nowhere"), self.guide).expect("one of ours")
    }
}

fn choose(words: &str) -> Say {
    Say::Choose(words.to_owned())
}

/// It is known, such as that the demo's repository belongs to the server's account.
const KNOWN: Say = Say::LeaveOut("it is known");

/// A table was lost so.
fn lost(stage: &Stage<'_>, how: &str) -> Vec<(&'static str, Say)> {
    let (what, table) = match stage.tag.as_str() {
        "restore-dropped" => (how, "dropped"),
        "restore-emptied" => (how, "emptied"),
        _ => (how, "deleted"),
    };
    vec![
        ("What was lost?", choose(what)),
        ("Which table?", Say::Type(format!("public.lost_{table}"))),
    ]
}

/// The server archives with howdah, and has archived something since.
fn archives(stage: &Stage<'_>) {
    let command = stage.shop.sql("show archive_command");
    assert!(command.contains("wal archive"), "{command}");
    assert!(stage.archived() > stage.remembered(), "nothing was archived since");
}

fn archive_fails(stage: &mut Stage<'_>) {
    stage.shop.demo.inject(Incident::ArchiveFails).expect("it fails");
    stage.remember(stage.archived());
}

fn backups(stage: &Stage<'_>) -> i64 {
    let list = stage.shop.json(&["backup", "list", "--json"]);
    let list = list.as_array().expect("a list").iter();
    list.filter(|backup| backup["state"] == "complete").count() as i64
}

/// Holds a breaker, so that it has to be given back; remembers how often its mode was changed then.
fn held(stage: &mut Stage<'_>) {
    let sign = ["--apply", "--confirm", "api-1", "--reason", "forgotten"];
    stage.shop.said(&[&["breaker", "set", "api-1", "forced-open"][..], &sign].concat());
    free(stage, "api-1");
}

fn free(stage: &mut Stage<'_>, breaker: &str) {
    stage.remember(stage.breaker(breaker)["mode_changes"].as_i64().expect("a number"));
}

/// Its mode was changed so often, no oftener, and its rules decide again.
fn given_back(stage: &Stage<'_>, changes: i64) {
    let breaker = stage.breaker("api-1");
    assert_eq!(breaker["mode"], "auto", "{breaker}");
    assert_eq!(breaker["mode_changes"], stage.remembered() + changes, "{breaker}");
}

fn nothing(_: &mut Stage<'_>) {}

/// PgBouncer serves its clients.
fn served(stage: &Stage<'_>) {
    let list = stage.shop.json(&["pgbouncer", "list", "--only", "app", "--json"]);
    assert_eq!(list["databases"][0]["state"], "served", "{list}");
}

/// A segment between the newest physical backup and now is gone from the repository.
fn lose_wal(stage: &mut Stage<'_>) {
    eventually("one in the midst of the archive goes", SOON, || {
        stage.shop.sql("select txid_current(); select pg_switch_wal()");
        stage.shop.demo.inject(Incident::MissingWal).is_ok()
    });
    stage.remember(backups(stage));
}

/// Nothing was begun: what there is to do is done elsewhere.
fn untouched(stage: &Stage<'_>) {
    assert!(stage.run().state.acts.is_empty());
}

/// All of them, in the order of their lanes.
pub const WAYS: &[Way] = &[
    Way {
        guide: "wal-check",
        name: "all",
        lane: Lane::Backups,
        prepare: |stage| stage.remember(stage.archived()),
        // The demo's own archive command is not the one that the set-up would write.
        says: |_| vec![("Is archiving set up", KNOWN)],
        holds: |stage| {
            assert!(stage.archived() > stage.remembered());
            let told = ["witness", "kept", "findings"].map(|fact| stage.value(fact));
            assert_eq!(told, ["server", "true", "0"]);
        },
    },
    Way {
        guide: "archiver-failing",
        name: "full",
        lane: Lane::Archive,
        prepare: |stage| stage.remember(backups(stage)),
        says: |_| {
            vec![
                ("What waits, and what fails?", KNOWN),
                ("Is the repository well?", KNOWN),
                ("Could the server's account", KNOWN),
                ("What is to be done?", choose("The repository is full")),
            ]
        },
        // All are young: all stay.
        holds: |stage| assert_eq!(backups(stage), stage.remembered()),
    },
    Way {
        guide: "archiver-failing",
        name: "settings",
        lane: Lane::Archive,
        prepare: archive_fails,
        says: |_| {
            vec![
                ("What waits, and what fails?", KNOWN),
                ("Is the repository well?", KNOWN),
                ("Could the server's account", KNOWN),
                ("What is to be done?", choose("Its settings are wrong")),
            ]
        },
        holds: archives,
    },
    Way {
        guide: "wal-setup",
        name: "all",
        lane: Lane::Archive,
        prepare: |stage| {
            stage.remember(stage.archived());
            stage.shop.sql("alter system set archive_timeout = '50min'");
            stage.shop.sql("select pg_reload_conf()");
        },
        says: |_| vec![("Restart the server", KNOWN)],
        holds: |stage| {
            archives(stage);
            assert_eq!(stage.value("kept"), "true");
            assert_ne!(stage.shop.sql("show archive_timeout"), "50min");
        },
    },
    Way {
        guide: "wal-setup",
        name: "unchanged",
        lane: Lane::Archive,
        prepare: |stage| stage.remember(stage.archived()),
        says: |_| vec![("Restart the server", KNOWN)],
        holds: |stage| {
            archives(stage);
            assert_eq!(stage.value("to_change"), "0");
            let run = stage.run();
            let steps = &run.card.guide.steps;
            let acts: Vec<_> =
                run.state.acts.iter().map(|act| steps[act.step].id.as_str()).collect();
            // One that a killed console left is begun once more.
            assert!(!acts.is_empty() && acts.iter().all(|id| *id == "canary"), "{acts:?}");
        },
    },
    Way {
        guide: "backup-failing",
        name: "logical",
        lane: Lane::Backups,
        prepare: |stage| stage.remember(backups(stage)),
        says: |_| {
            vec![
                ("What became of the newest", KNOWN),
                ("Is the repository well?", KNOWN),
                ("Does the repository lack room?", choose("Yes")),
                ("Which kind of backup?", choose("Logical")),
            ]
        },
        holds: |stage| assert_eq!(backups(stage), stage.remembered() + 1, "one more, and only one"),
    },
    Way {
        guide: "wal-check",
        name: "gap",
        lane: Lane::Backups,
        prepare: lose_wal,
        says: |_| {
            vec![
                ("Is archiving set up", KNOWN),
                ("Is everything between", KNOWN),
                ("Is something missing", choose("Yes")),
                ("What would be lost if", KNOWN),
            ]
        },
        holds: |stage| {
            assert_eq!(stage.value("findings"), "1", "the gap was found");
            assert_eq!(backups(stage), stage.remembered() + 1, "a new beginning");
        },
    },
    Way {
        guide: "restore",
        name: "dropped",
        lane: Lane::Dropped,
        prepare: |stage| drop(stage.shop.sql("drop table lost_dropped")),
        says: |stage| lost(stage, "A table was dropped"),
        holds: |stage| assert_eq!(stage.shop.rows("lost_dropped"), Some(ROWS)),
    },
    Way {
        guide: "restore",
        name: "database",
        lane: Lane::Dropped,
        prepare: nothing,
        says: |_| vec![("What was lost?", choose("A database"))],
        holds: |stage| {
            let sql = "\\connect demo_back\nselect count(*) from customers";
            assert_eq!(stage.shop.demo.cluster().psql(sql).expect("there"), "5000");
        },
    },
    Way {
        guide: "restore",
        name: "deleted",
        lane: Lane::Deleted,
        prepare: |stage| {
            stage.shop.sql(
                "delete from lost_deleted where id <= (select min(id) from lost_deleted) + 99",
            );
            assert!(stage.shop.rows("lost_deleted") < Some(ROWS));
            stage.shop.sql(
                "insert into lost_deleted \
                 select id - 100, 'new', 'new', since from lost_deleted order by id limit 1",
            );
        },
        says: |stage| lost(stage, "Rows of a table"),
        holds: |stage| {
            assert_eq!(stage.shop.rows("lost_deleted"), Some(ROWS));
            let new = stage.shop.sql("select count(*) from lost_deleted where name = 'new'");
            assert_eq!(new, "1", "what came since stays");
        },
    },
    Way {
        guide: "restore",
        name: "emptied",
        lane: Lane::Deleted,
        prepare: |stage| drop(stage.shop.sql("truncate lost_emptied")),
        says: |stage| lost(stage, "A table was emptied"),
        holds: |stage| assert_eq!(stage.shop.rows("lost_emptied"), Some(ROWS)),
    },
    Way {
        guide: "restore",
        name: "cluster",
        lane: Lane::Cluster,
        prepare: |stage| drop(stage.shop.said(&["wal", "canary", "--json"])),
        says: |_| vec![("What was lost?", choose("The whole cluster"))],
        holds: |stage| {
            let data = PathBuf::from(stage.value("folder")).join("data");
            assert!(data.join("postmaster.pid").exists(), "it runs");
            assert!(!data.join("recovery.signal").exists(), "it takes writes");
        },
    },
    Way {
        guide: "breaker",
        name: "auto",
        lane: Lane::Breaker,
        prepare: held,
        says: |_| {
            vec![
                ("Which breaker?", choose("api-1")),
                ("What is to be done about", choose("Give it back")),
            ]
        },
        holds: |stage| given_back(stage, 1),
    },
    Way {
        guide: "breaker",
        name: "disabled",
        lane: Lane::Breaker,
        prepare: |stage| free(stage, "api-1"),
        says: |_| {
            vec![
                ("Which breaker?", choose("api-1")),
                ("What is to be done about", choose("Let every call pass")),
            ]
        },
        holds: |stage| given_back(stage, 2),
    },
    Way {
        guide: "breaker",
        name: "forced",
        lane: Lane::Breaker,
        prepare: |stage| free(stage, "api-1"),
        says: |_| {
            vec![
                ("Which breaker?", choose("api-1")),
                ("What is to be done about", choose("Refuse every call")),
            ]
        },
        holds: |stage| given_back(stage, 2),
    },
    Way {
        guide: "breaker-rollout",
        name: "back",
        lane: Lane::Rollout,
        prepare: |stage| free(stage, "api-2"),
        says: |_| {
            vec![("Which breaker?", choose("api-2")), ("Does it stay, or go back?", choose("Back"))]
        },
        holds: |stage| {
            let breaker = stage.breaker("api-2");
            assert_eq!(breaker["mode"], "disabled", "{breaker}");
            assert_eq!(breaker["mode_changes"], stage.remembered() + 3, "{breaker}");
        },
    },
    Way {
        guide: "lock-pile-up",
        name: "end",
        lane: Lane::Locks,
        prepare: |stage| stage.pile("select 1"),
        says: |_| {
            vec![
                ("Which session do the others", choose("root-lock-pile-up-end")),
                ("What is to be done about", choose("End it")),
            ]
        },
        holds: |stage| {
            assert_eq!(stage.sessions("root", ""), 0, "it was ended");
            assert_eq!(stage.sessions("victim", "and wait_event_type = 'Lock'"), 0);
        },
    },
    Way {
        guide: "lock-pile-up",
        name: "cancel",
        lane: Lane::Locks,
        prepare: |stage| stage.pile("select pg_sleep(600)"),
        says: |_| {
            vec![
                ("Which session do the others", choose("root-lock-pile-up-cancel")),
                ("What is to be done about", choose("Cancel its")),
            ]
        },
        holds: |stage| {
            assert_eq!(stage.sessions("root", "and state = 'active'"), 0, "it was cancelled");
            assert_eq!(stage.sessions("victim", "and wait_event_type = 'Lock'"), 0);
        },
    },
    Way {
        guide: "connection-wait",
        name: "end",
        lane: Lane::Locks,
        prepare: |stage| stage.sits("sleeper", "begin; select 1", "select 1"),
        says: |_| {
            vec![
                ("What do the connections do?", KNOWN),
                ("Is a session to be stopped?", choose("End a session")),
                ("Which one?", choose("sleeper-connection-wait-end")),
            ]
        },
        holds: |stage| assert_eq!(stage.sessions("sleeper", ""), 0),
    },
    Way {
        guide: "connection-wait",
        name: "cancel",
        lane: Lane::Locks,
        prepare: |stage| stage.sits("sleeper", "begin", "select pg_sleep(600)"),
        says: |_| {
            vec![
                ("What do the connections do?", KNOWN),
                ("Is a session to be stopped?", choose("Cancel a statement")),
                ("Which one?", choose("sleeper-connection-wait-cancel")),
            ]
        },
        holds: |stage| assert_eq!(stage.sessions("sleeper", "and state = 'active'"), 0),
    },
    Way {
        guide: "hold-callers",
        name: "pause",
        lane: Lane::Paused,
        prepare: nothing,
        says: |_| vec![("Which database", choose("app")), ("or serve it again?", choose("Pause"))],
        holds: served,
    },
    Way {
        guide: "disk-filling",
        name: "slot",
        lane: Lane::Disk,
        prepare: |stage| {
            stage.shop.sql("select pg_create_physical_replication_slot('gone_standby', true)");
        },
        says: |_| {
            vec![("Who keeps the room?", choose("A slot")), ("Which slot?", choose("gone_standby"))]
        },
        holds: |stage| {
            let left = "select count(*) from pg_replication_slots where slot_name = 'gone_standby'";
            assert_eq!(stage.shop.sql(left), "0");
        },
    },
    Way {
        guide: "disk-filling",
        name: "archiver",
        lane: Lane::Disk,
        prepare: nothing,
        says: |_| vec![("Who keeps the room?", choose("The archiver"))],
        holds: untouched,
    },
    Way {
        guide: "disk-filling",
        name: "repository",
        lane: Lane::Disk,
        prepare: nothing,
        says: |_| {
            vec![
                ("Which disk?", choose("holds data")),
                ("Who keeps the room?", choose("The repository")),
            ]
        },
        holds: untouched,
    },
    Way {
        guide: "disk-filling",
        name: "query",
        lane: Lane::Disk,
        prepare: |stage| stage.sits("sorter", "begin", "select pg_sleep(600)"),
        says: |_| {
            vec![
                ("Who keeps the room?", choose("Temporary files")),
                ("Which session?", choose("sorter-disk-filling-query")),
            ]
        },
        holds: |stage| assert_eq!(stage.sessions("sorter", "and state = 'active'"), 0),
    },
    Way {
        guide: "disk-filling",
        name: "other",
        lane: Lane::Disk,
        prepare: nothing,
        says: |_| vec![("Who keeps the room?", choose("Logs, dead rows"))],
        holds: untouched,
    },
    Way {
        guide: "hung-server",
        name: "breaker",
        lane: Lane::Frozen,
        prepare: |stage| free(stage, "api-1"),
        says: |_| {
            vec![
                ("What is to be done first?", choose("Spare it: a breaker")),
                ("Which breaker?", choose("api-1")),
            ]
        },
        holds: |stage| given_back(stage, 2),
    },
    Way {
        guide: "hung-server",
        name: "pause",
        lane: Lane::Paused,
        prepare: nothing,
        says: |_| {
            vec![
                ("What is to be done first?", choose("Spare it: PgBouncer")),
                ("Which database", choose("app")),
            ]
        },
        holds: served,
    },
    Way {
        guide: "hung-server",
        name: "wake",
        lane: Lane::Frozen,
        prepare: |stage| stage.shop.demo.inject(Incident::Hang).expect("frozen"),
        says: |_| vec![("What is to be done first?", choose("Let it go on"))],
        holds: |stage| assert_eq!(stage.shop.sql("select 1"), "1"),
    },
];

/// Walks all ways, lane beside lane, on five shops; fails when a guide has no way, or when a step was met on none.
/// Tests that do so take turns: one of them is work enough for a machine.
pub fn walk_all(walk: &(dyn Fn(&Way, &Stage<'_>) + Sync)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let guides = library::guides(Path::new("/nowhere")).expect("all good");
    for guide in &guides {
        let known = WAYS.iter().any(|way| way.guide == guide.id);
        assert!(known, "the guide '{}' has no way in tests/support/guides/ways.rs", guide.id);
    }
    let met: Mutex<BTreeSet<(&str, usize)>> = Mutex::default();
    let lanes = |shop: &Shop, lanes: &[Lane]| {
        thread::scope(|scope| {
            for lane in lanes {
                scope.spawn(|| {
                    for way in WAYS.iter().filter(|way| way.lane == *lane) {
                        let (clock, stage) = (Clock::system(), way.stage(shop));
                        let began = clock.now();
                        walk(way, &stage);
                        let took = clock.now().since(began);
                        println!("{:?}: {} {} took {took:.0?}", way.lane, way.guide, way.name);
                        way.holds(&stage);
                        super::record::nothing_was_done_twice(way, &stage);
                        let answers = stage.run().state.answers;
                        let steps = answers.iter().map(|answer| (way.guide, answer.step));
                        met.lock().expect("whole").extend(steps);
                    }
                });
            }
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| lanes(&Shop::open(false), &[Lane::Archive]));
        scope.spawn(|| lanes(&Shop::open(false), &[Lane::Backups]));
        scope.spawn(|| lanes(&bank(), &Lane::BANK));
        scope.spawn(|| lanes(&Shop::behind_bouncer(), &[Lane::Paused]));
        scope.spawn(|| lanes(&Shop::behind_bouncer(), &[Lane::Frozen]));
    });
    let met = met.into_inner().expect("whole");
    for guide in &guides {
        for (at, step) in guide.steps.iter().enumerate() {
            let walked = met.contains(&(guide.id.as_str(), at));
            assert!(walked, "no way leads over the step '{}' of '{}'", step.id, guide.id);
        }
    }
}
