//! A day on which engines beside our own repository take backups.

use howdah::watch::snapshot::{BackupState, EngineHistory, KeptBackup, Known, Snapshot};

use super::{
    good::healthy,
    parts::{secs, wall_ago},
};

/// Two engines beside our own repository: one at work since a failure, one that cannot be asked.
pub fn engines() -> Snapshot {
    let mut s = healthy();
    let whole = || BackupState::Complete { level: None, wrong: None };
    let backup = |id: &str, kind: &str, ago: i64, state| KeptBackup {
        id: id.into(),
        method: kind.into(),
        began: wall_ago(ago),
        duration: Some(secs(240)),
        size: Some(2_190_433_320),
        verified: None,
        state,
    };
    let why = "archive timed out: WAL segment 00000003000000090000002F was not archived before the 60000ms timeout";
    let failed = BackupState::Failed { why: why.into(), cancelled: false };
    let history = EngineHistory {
        name: "pgBackRest main".into(),
        backups: vec![
            backup("20261122-010001F_20261123-010002I", "incr", 29_700, failed),
            backup("20261122-010001F", "full", 116_100, whole()),
        ],
        complaints: Vec::new(),
    };
    let silent = "'barman' is not installed: install barman-cli";
    s.backup.engines = vec![
        ("pgBackRest main".into(), Known::Is(history)),
        ("Barman db1".into(), Known::Unknown(silent.into())),
    ];
    s
}
