//! Gaps between archived segments, found by their names alone.
//!
//! A segment that is missing between two others stops every recovery before it, and PostgreSQL promotes there
//! in silence when it was asked for the latest. Neither pgBackRest's `check` nor its `verify` sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backup, Report};
use crate::recover::physical::timeline::Segment;

/// A segment by its name: 24 hexadecimal digits, eight each of timeline, log and segment (PostgreSQL docs,
/// "WAL Internals").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archived {
    /// The archive that it is in, such as `15-1`: one for each cluster that was ever in the stanza.
    archive: String,
    name: String,
}

impl Archived {
    /// A file of an archive by its path, `ARCHIVE/LOG/SEGMENT-SHA1[.gz]`; none when it is no segment.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (archive, file) = (path.split('/').next()?, path.rsplit('/').next()?);
        let (name, rest) = (file.get(..24)?, file.get(24..)?);
        let hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A `.partial` or `.backup` file is no segment: those have a `.` in this place.
        (hex && (rest.is_empty() || rest.starts_with('-')))
            .then(|| Self { archive: archive.to_owned(), name: name.to_owned() })
    }
}

/// The size of segments, by their names: a log of 4 GiB holds 256 of 16 MB, 64 of 64 MB. Names do not tell it,
/// so it is the largest size at which all numbers seen fit into a log. Between 1 MB and 1 GB, as
/// `initdb --wal-segsize` allows.
fn segment_size(names: &BTreeSet<&str>) -> u64 {
    let last = |name: &&str| name.get(16..).and_then(|low| u64::from_str_radix(low, 16).ok());
    let highest = names.iter().filter_map(last).max().unwrap_or(0);
    let of_log = highest.saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX);
    (1 << 32) / of_log.clamp(4, 4096)
}

/// Judges the gaps of an archive. After the beginning of the newest whole backup, and inside of any backup,
/// a gap is damage. An older one may be what a retention of archives leaves on purpose: it is noted.
pub(super) fn judge(files: &[Archived], backups: &[Backup], report: &mut Report) {
    let mut archives: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        archives.entry(&file.archive).or_default().insert(&file.name);
    }
    for (archive, names) in archives {
        let size = segment_size(&names);
        let spans: Vec<(Segment, Segment)> = backups
            .iter()
            .filter(|backup| backup.whole())
            .filter_map(|backup| backup.wal.as_ref())
            .filter_map(|wal| Segment::parse(&wal.first, size).zip(Segment::parse(&wal.last, size)))
            .collect();
        let newest = spans.iter().map(|span| span.0).max();
        let segments: Vec<Segment> =
            names.iter().filter_map(|name| Segment::parse(name, size)).collect();
        for pair in segments.windows(2) {
            let [before, after] = pair else { continue };
            // Where a timeline begins is told by its history file, not by the names of segments.
            if before.timeline != after.timeline || before.number + 1 == after.number {
                continue;
            }
            let what = format!(
                "WAL of {archive}: what lies between {} and {} is missing",
                before.name(size),
                after.name(size)
            );
            let inside = spans.iter().any(|(first, last)| before < last && after > first);
            if inside || newest.is_none_or(|newest| *after > newest) {
                report.findings.push(format!("{what}: recovery ends there").into());
            } else {
                let why = "backups before it recover up to there only";
                report.notes.push(format!("{what}: {why}").into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::engines::{Engine, Span, State};

    fn archived(names: &[&str]) -> Vec<Archived> {
        names.iter().filter_map(|name| Archived::of(&format!("15-1/x/{name}-0a1b.gz"))).collect()
    }

    fn backup(first: &str, last: &str) -> Backup {
        let wal = Some(Span { first: first.into(), last: last.into() });
        Backup { wal, ..Backup::named(Engine::PgBackRest, "b", State::Whole) }
    }

    fn judged(names: &[&str], backups: &[Backup]) -> (usize, usize) {
        let mut report = Report::default();
        judge(&archived(names), backups, &mut report);
        (report.findings.len(), report.notes.len())
    }

    #[test]
    fn only_segments_count() {
        let is = |name: &str| Archived::of(&format!("15-1/0000000100000000/{name}")).is_some();
        assert!(is("0000000100000000000000D6-53e3fd5e.gz") && is("0000000100000000000000D6-53e3"));
        assert!(!is("000000010000000000000002.00000028.backup") && !is("00000002.history"));
        assert!(!is("0000000100000000000000D6.partial-53e3") && !is("é00000010000000000000002é"));
    }

    #[test]
    fn a_gap_is_found_within_a_log_and_between_two() {
        let newest = [backup("000000010000000000000001", "000000010000000000000001")];
        let (a, b, c) =
            ("0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000");
        assert_eq!(judged(&[a, b, c], &newest), (0, 0), "a log of 16 MB segments ends with FF");
        assert_eq!(judged(&[a, c], &newest), (1, 0), "FF is missing");
        let large = ["00000001000000000000003F", "000000010000000100000000"];
        assert_eq!(judged(&large, &newest), (0, 0), "a log of 64 MB segments ends with 3F");
        assert_eq!(judged(&[a, b, "000000010000000100000001"], &newest), (1, 0), "00 is missing");
        assert_eq!(judged(&[a, b, "000000020000000100000005"], &newest), (0, 0), "a new timeline");
    }

    #[test]
    fn an_old_gap_outside_of_backups_is_what_retention_leaves() {
        let names = [
            "000000010000000000000001",
            "000000010000000000000002",
            "000000010000000000000006",
            "000000010000000000000007",
        ];
        let old = backup("000000010000000000000001", "000000010000000000000002");
        let new = backup("000000010000000000000006", "000000010000000000000006");
        assert_eq!(judged(&names, &[new.clone(), old.clone()]), (0, 1));
        assert_eq!(judged(&names, &[old]), (1, 0), "after the newest backup");
        let wide = backup("000000010000000000000002", "000000010000000000000006");
        assert_eq!(judged(&names, &[new, wide]), (1, 0), "inside of a backup");
        assert_eq!(judged(&names, &[]), (1, 0));
    }
}
