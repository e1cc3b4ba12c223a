//! WAL-G: `backup-list --json --detail` and `wal-verify integrity timeline --json`, read by their documented
//! and published form. They were never run here, because WAL-G is not to be had from Debian.
//!
//! Log positions are decimal integers. That a backup is a delta is told by its name alone:
//! `base_SEGMENT_D_SEGMENT-OF-ITS-PARENT`.

use serde::Deserialize;

use super::{
    Access, Backup, Engine, Extent, History, Report, Result, Span, State, access::LIST_LIMIT,
    not_understood, read_json,
};
use crate::{
    base::{cancel::Cancel, clock::Timestamp, exec::Tool, text::Text},
    recover::repository::manifest::lsn,
};

const ENGINE: Engine = Engine::WalG;

/// A command of WAL-G with its configuration.
pub(super) fn tool(access: &Access, command: &str) -> Tool {
    access.tool("wal-g").arg(command).args(access.config_argument("--config="))
}

pub(super) fn history(access: &Access, cancel: &Cancel) -> Result<History> {
    let list = tool(access, "backup-list").args(["--json", "--detail"]);
    let answer = access.ask(&list, Some(LIST_LIMIT), cancel)?;
    if let Some(refusal) = answer.refusal() {
        return Err(refusal);
    }
    // Without any backup it prints nothing, and says so in its messages.
    let none = |line: &Text| line.contains("No backups found");
    if answer.stdout.is_empty() && answer.messages.iter().any(none) {
        return Ok(History::default());
    }
    parse_list(&answer.stdout)
}

pub(super) fn verify(access: &Access, cancel: &Cancel) -> Result<Report> {
    let verify = tool(access, "wal-verify").args(["integrity", "timeline", "--json"]);
    let answer = access.ask(&verify, None, cancel)?;
    if answer.stdout.is_empty()
        && let Some(refusal) = answer.refusal()
    {
        return Err(refusal);
    }
    parse_verify(&answer.stdout)
}

#[derive(Deserialize)]
struct Listed {
    backup_name: String,
    wal_file_name: String,
    start_time: Timestamp,
    finish_time: Timestamp,
    start_lsn: u64,
    finish_lsn: u64,
    system_identifier: Option<u64>,
    uncompressed_size: u64,
    compressed_size: u64,
}

/// Reads `backup-list --json --detail`.
///
/// # Errors
/// [`crate::recover::Kind::Damaged`] when it is not what WAL-G prints.
pub fn parse_list(text: &[u8]) -> Result<History> {
    let listed: Vec<Listed> = read_json(ENGINE, "backup-list", text)?;
    let by_segment = |segment: &str| {
        listed.iter().find(|backup| backup.wal_file_name == segment).map(|b| &b.backup_name)
    };
    let mut history = History::default();
    for backup in &listed {
        let parent = backup.backup_name.split_once("_D_").map(|(_, segment)| segment);
        let extent = if parent.is_some() { Extent::Incremental } else { Extent::Full };
        history.backups.push(Backup {
            extent: Some(extent),
            began: Some(backup.start_time),
            ended: Some(backup.finish_time),
            stored: Some(backup.compressed_size),
            cluster: Some(backup.uncompressed_size),
            lsn: Some(Span {
                first: lsn(backup.start_lsn).into(),
                last: lsn(backup.finish_lsn).into(),
            }),
            system_identifier: backup.system_identifier,
            parent: parent.and_then(by_segment).map(|name| name.as_str().into()),
            // Its list holds what has a sentinel, which is written last.
            ..Backup::named(ENGINE, backup.backup_name.as_str(), State::Whole)
        });
    }
    history.sort();
    Ok(history)
}

#[derive(Deserialize)]
struct Verified {
    integrity: Checked<Vec<Stretch>>,
    timeline: Checked<Timelines>,
}

#[derive(Deserialize)]
struct Checked<T> {
    status: String,
    details: T,
}

#[derive(Deserialize)]
struct Stretch {
    start_segment: String,
    end_segment: String,
    segments_count: u64,
    status: String,
}

#[derive(Deserialize)]
struct Timelines {
    current_timeline_id: u32,
    highest_storage_timeline_id: u32,
}

/// Reads `wal-verify integrity timeline --json`. Segments that are on their way are no finding, unless WAL-G
/// calls the whole a failure.
///
/// # Errors
/// [`crate::recover::Kind::Damaged`] when it is not what WAL-G prints.
pub fn parse_verify(text: &[u8]) -> Result<Report> {
    let verified: Verified = read_json(ENGINE, "wal-verify", text)?;
    let mut report = Report::default();
    for stretch in &verified.integrity.details {
        let told = format!(
            "{} segments of WAL, {} to {}: {}",
            stretch.segments_count, stretch.start_segment, stretch.end_segment, stretch.status
        );
        match stretch.status.as_str() {
            "FOUND" | "MISSING_UPLOADING" | "MISSING_DELAYED" => report.notes.push(told.into()),
            _ => report.findings.push(told.into()),
        }
    }
    let Timelines { current_timeline_id: current, highest_storage_timeline_id: highest } =
        verified.timeline.details;
    for (what, status) in [
        ("integrity".to_owned(), &verified.integrity.status),
        (format!("timeline {current}, {highest} in the storage"), &verified.timeline.status),
    ] {
        match status.as_str() {
            "OK" => {}
            "WARNING" => report.notes.push(format!("{what}: WARNING").into()),
            "FAILURE" => report.findings.push(format!("{what}: FAILURE").into()),
            other => {
                let why = format!("'{other}' is no status of it");
                return Err(not_understood(ENGINE, "wal-verify", why));
            }
        }
    }
    if report.findings.is_empty() && !report.notes.iter().any(|note| note.contains("FOUND")) {
        report.findings.push(Text::ours("nothing was verified: no segment was found"));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = include_str!("../../../tests/fixtures/engines/walg_backup-list_detail.json");
    const VERIFY: &str = include_str!("../../../tests/fixtures/engines/walg_wal-verify.json");

    #[test]
    fn a_delta_is_told_by_its_name_and_positions_are_decimal() {
        let history = parse_list(LIST.as_bytes()).expect("read");
        let [delta, full] = history.backups.as_slice() else { panic!("two: {history:?}") };
        assert_eq!((delta.extent, full.extent), (Some(Extent::Incremental), Some(Extent::Full)));
        assert_eq!(delta.parent.as_ref(), Some(&full.id));
        assert_eq!(full.lsn.as_ref().map(|lsn| &*lsn.first), Some("A/420B0028"));
        assert_eq!(full.system_identifier, Some(7_576_000_000_000_000_001));
        assert_eq!(full.duration().map(|took| took.as_secs()), Some(310));
        assert!(parse_list(&LIST.as_bytes()[1..]).is_err());
        let fault = parse_list(LIST.replace("start_lsn", "lsn").as_bytes()).expect_err("missing");
        assert!(fault.to_string().contains("start_lsn"), "{fault}");
        assert_eq!(parse_list(b"[]").expect("none"), History::default());
    }

    #[test]
    fn what_is_lost_is_a_finding_and_what_is_on_its_way_is_not() {
        let report = parse_verify(VERIFY.as_bytes()).expect("read");
        assert_eq!(report.findings.len(), 2, "{report:?}");
        assert!(report.findings[0].contains("0000000400000004000000F1"));
        let late = VERIFY.replace("MISSING_LOST", "MISSING_DELAYED").replace("FAILURE", "WARNING");
        assert_eq!(parse_verify(late.as_bytes()).expect("read").findings, Vec::<Text>::new());
        let unknown = VERIFY.replace("FAILURE", "FINE");
        assert!(parse_verify(unknown.as_bytes()).is_err());
        let nothing = late.replace("\"FOUND\"", "\"MISSING_UPLOADING\"");
        assert_eq!(parse_verify(nothing.as_bytes()).expect("read").findings.len(), 1);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(
            at in 0..LIST.len(), bytes in prop::collection::vec(any::<u8>(), 0..8), text in ".*",
        ) {
            let mut list = LIST.as_bytes().to_vec();
            let end = (at + bytes.len()).min(list.len());
            list.splice(at..end, bytes);
            let _ = parse_list(&list);
            prop_assert!(parse_verify(text.as_bytes()).is_err());
        }
    }
}
