//! The settings of a restored cluster.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, chown},
    path::Path,
};

use super::target::Aim;
use crate::{
    cluster::folder::Account,
    recover::{Fault, Result},
};

/// Settings that make a drill fast, at the price of what a crash of the machine would do: a scratch cluster
/// is thrown away. Replay was 5 times as fast with them.
pub const FAST: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("autovacuum", "off"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
];

/// Between these lines of `postgresql.auto.conf` stands what recovery needs, until it has ended.
const BEGIN: &str = "# howdah: recovery, removed when it has ended";
const END: &str = "# howdah: end of recovery";

/// One line of a configuration file.
pub fn line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\\', r"\\").replace('\'', "''"))
}

/// What recovery needs to go to one moment and wait there.
pub fn recovery(aim: &Aim, restore_command: &str) -> String {
    let mut text = format!("{BEGIN}\n");
    text += &line("restore_command", restore_command);
    for (name, value) in &aim.settings {
        text += &line(name, value);
    }
    text += &line("recovery_target_timeline", &aim.timeline.to_string());
    // It stops there and is asked what it reached, before it may go on.
    text += &line("recovery_target_action", "pause");
    text += &line("hot_standby", "on");
    text += &line("primary_conninfo", "");
    text += &line("primary_slot_name", "");
    text += END;
    text.push('\n');
    text
}

/// Adds to `postgresql.auto.conf`, which is read last.
pub fn append(data: &Path, text: &str, account: Option<&Account>) -> Result<()> {
    let path = data.join("postgresql.auto.conf");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let newline = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    write_as(&path, &format!("{before}{newline}{text}"), account)
}

/// Takes out again what recovery needed.
pub fn end_recovery(data: &Path, account: Option<&Account>) -> Result<()> {
    let path = data.join("postgresql.auto.conf");
    let text = fs::read_to_string(&path)
        .map_err(Fault::io(format!("cannot read '{}'", path.display())))?;
    write_as(&path, &without_recovery(&text), account)
}

fn without_recovery(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        inside |= line == BEGIN;
        if !inside {
            kept += line;
            kept.push('\n');
        }
        inside &= line != END;
    }
    kept
}

/// Writes a small file for the server's account alone, whole or not at all.
pub fn write_as(path: &Path, text: &str, account: Option<&Account>) -> Result<()> {
    let cannot = || Fault::io(format!("cannot write '{}'", path.display()));
    let draft = path.with_extension("howdah-draft");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(cannot())?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot())?;
    if let Some(account) = account {
        chown(&draft, Some(account.uid), Some(account.gid)).map_err(cannot())?;
    }
    fs::rename(&draft, path).map_err(cannot())
}

/// The libraries that the cluster preloads, by its own configuration files: the last word counts.
pub fn preloaded(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["postgresql.conf", "postgresql.auto.conf"] {
        let text = fs::read_to_string(data.join(name)).unwrap_or_default();
        for line in text.lines() {
            let Some(rest) = line.trim_start().strip_prefix("shared_preload_libraries") else {
                continue;
            };
            let value =
                rest.trim_start().trim_start_matches('=').split('#').next().unwrap_or_default();
            let words =
                value.split([',', '\'', '"', ' ']).map(str::trim).filter(|word| !word.is_empty());
            found = words.map(str::to_owned).collect();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_comes_and_goes_and_the_rest_stays() {
        let aim = Aim {
            settings: vec![("recovery_target_name", "it's".into())],
            promise: None,
            told: None,
            least: 0,
            timeline: 2,
            left_out: 0,
            replay: 0,
        };
        let text = recovery(&aim, "cp '/a b/%f' \"%p\"");
        assert!(text.contains("recovery_target_name = 'it''s'\n"), "{text}");
        assert!(text.contains("recovery_target_timeline = '2'\n"), "{text}");
        let whole = format!("work_mem = '4MB'\n{text}port = '1'\n");
        assert_eq!(without_recovery(&whole), "work_mem = '4MB'\nport = '1'\n");
    }

    #[test]
    fn preloaded_libraries_are_read_where_they_stand_last() {
        let home = tempfile::tempdir().expect("a folder");
        assert!(preloaded(home.path()).is_empty());
        let text = "#shared_preload_libraries = 'no'\nshared_preload_libraries = 'a, b' # c\n";
        fs::write(home.path().join("postgresql.conf"), text).expect("written");
        assert_eq!(preloaded(home.path()), ["a", "b"]);
        let auto = "shared_preload_libraries = 'pg_stat_statements'\n";
        fs::write(home.path().join("postgresql.auto.conf"), auto).expect("written");
        assert_eq!(preloaded(home.path()), ["pg_stat_statements"]);
    }
}
