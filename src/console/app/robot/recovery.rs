//! The way out, from the Recovery screen.

use super::*;
use crate::watch::snapshot::{
    Backup, BackupState, BaseBackup, KeptBackup, Known, Repository, Timeline,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a moment")
}

fn backup(id: &str, state: BackupState) -> KeptBackup {
    KeptBackup {
        id: id.into(),
        method: "physical".into(),
        began: at(100),
        duration: None,
        size: None,
        verified: None,
        state,
    }
}

/// A backup that failed, one that is whole, and behind its WAL a gap.
fn damaged() -> Snapshot {
    let unknown = || Text::ours("nobody looked");
    let base = |id: &str, from, to, missing: Option<&str>| BaseBackup {
        id: id.into(),
        from: at(from),
        to: at(to),
        start: 0,
        missing: missing.map(Text::from),
    };
    let failed = BackupState::Failed { why: "disk full".into(), cancelled: false };
    let repository = Repository {
        location: "/repo".into(),
        backups: vec![
            backup("failed", failed),
            backup("whole", BackupState::Complete { level: None, wrong: None }),
        ],
        wal: Known::Unknown(unknown()),
        rto: Known::Unknown(unknown()),
        pitr: Known::Unknown(unknown()),
        timeline: Known::Is(Timeline {
            bases: vec![
                base("whole", 1_000, 2_000, Some("A is missing")),
                base("later", 3_000, 4_000, None),
            ],
            wal: Vec::new(),
        }),
        proofs: Vec::new(),
        expiry: Known::Unknown(unknown()),
    };
    let backup = Backup { repository: Known::Is(repository), ..estate().backup };
    Snapshot { backup, ..estate() }
}

#[test]
fn the_way_out_answers_what_the_cursor_stands_on() {
    let mut robot = Robot::new();
    let guide = |id: &str, check: &str| Offered {
        id: id.into(),
        title: id.into(),
        about: Text::default(),
        answers: vec![check.into()],
        subject: Vec::new(),
        walked: None,
    };
    let guides =
        vec![guide("mend", "lag"), guide("again", "backup_failed"), guide("look", "pitr_gap")];
    let shelf = Shelf { guides, ..Shelf::default() };
    robot.tell(Msg::Told(Told::Shelf(Arc::new(shelf))));
    robot.tell(Msg::Snapshot(Arc::new(damaged())));
    let mut begun = |keys: &str, moment: Option<i64>| {
        robot.press("3");
        robot.press(keys);
        robot.model.state.recovery.moment = moment.map(at);
        robot.effects.clear();
        robot.press("w");
        match robot.effects.as_slice() {
            [Effect::Guide(GuideWish::Begin(id, _))] => id.to_string(),
            other => panic!("{other:?}, {}", robot.toast()),
        }
    };
    assert_eq!(begun("g", None), "again", "a backup that failed");
    assert_eq!(begun("j", None), "mend", "one that is whole: the worst alert");
    assert_eq!(begun("j", Some(2_500)), "look", "a gap");
    assert_eq!(begun("j", Some(3_500)), "mend", "a moment that can be restored");
}
