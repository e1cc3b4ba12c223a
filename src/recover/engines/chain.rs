//! Gaps between archived segments, found by their names alone.
//!
//! A segment that is missing between two others stops every recovery before it, and PostgreSQL promotes there
//! in silence when it was asked for the latest. Neither pgBackRest's `check` nor its `verify` sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backup, Report};

/// A segment by its name: 24 hexadecimal digits, eight each of timeline, log and segment (PostgreSQL docs,
/// "WAL Internals").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Archived {
    /// The archive that it is in, such as `15-1`: one for each cluster that was ever in the stanza.
    archive: String,
    segment: Segment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    timeline: u32,
    log: u32,
    number: u32,
}

impl Segment {
    fn parse(name: &str) -> Option<Self> {
        let hex = |range| u32::from_str_radix(name.get(range)?, 16).ok();
        let digits = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits
            .then(|| Some(Self { timeline: hex(0..8)?, log: hex(8..16)?, number: hex(16..24)? }))
            .flatten()
    }

    fn name(self) -> String {
        format!("{:08X}{:08X}{:08X}", self.timeline, self.log, self.number)
    }
}

impl Archived {
    /// A file of an archive by its path, `ARCHIVE/LOG/SEGMENT-SHA1[.gz]`; none when it is no segment.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (archive, file) = (path.split('/').next()?, path.rsplit('/').next()?);
        // A `.partial` or `.backup` file is no segment: those have a `.` in this place.
        let segment = Segment::parse(file.get(..24)?)?;
        let rest = file.get(24..)?;
        (rest.is_empty() || rest.starts_with('-'))
            .then(|| Self { archive: archive.to_owned(), segment })
    }
}

/// The last segment number of a log: 255 for segments of 16 MB, fewer for larger ones. Names do not tell the
/// size, so it is the power of two that holds all numbers seen.
fn last_of_log(segments: &BTreeSet<Segment>) -> u32 {
    let seen = segments.iter().map(|segment| segment.number).max().unwrap_or(0);
    seen.checked_add(1).and_then(u32::checked_next_power_of_two).map_or(u32::MAX, |next| next - 1)
}

/// Pairs of segments of one timeline between which others are missing.
fn gaps(segments: &BTreeSet<Segment>) -> Vec<(Segment, Segment)> {
    let last = last_of_log(segments);
    let follows = |a: Segment, b: Segment| {
        (a.log == b.log && a.number.checked_add(1) == Some(b.number))
            || (a.log.checked_add(1) == Some(b.log) && a.number == last && b.number == 0)
    };
    let pairs = segments.iter().zip(segments.iter().skip(1)).map(|(a, b)| (*a, *b));
    // Where a timeline begins is told by its history file, not by the names of segments.
    pairs.filter(|(a, b)| a.timeline == b.timeline && !follows(*a, *b)).collect()
}

/// Judges the gaps of an archive. After the beginning of the newest whole backup, and inside of any backup,
/// a gap is damage. An older one may be what a retention of archives leaves on purpose: it is noted.
pub(super) fn judge(files: &[Archived], backups: &[Backup], report: &mut Report) {
    let mut archives: BTreeMap<&str, BTreeSet<Segment>> = BTreeMap::new();
    for file in files {
        archives.entry(&file.archive).or_default().insert(file.segment);
    }
    let spans: Vec<(Segment, Segment)> = backups
        .iter()
        .filter(|backup| backup.whole())
        .filter_map(|backup| backup.wal.as_ref())
        .filter_map(|wal| Segment::parse(&wal.first).zip(Segment::parse(&wal.last)))
        .collect();
    let newest = spans.iter().map(|span| span.0).max();
    for (archive, segments) in archives {
        for (before, after) in gaps(&segments) {
            let what = format!(
                "WAL of {archive}: what lies between {} and {} is missing",
                before.name(),
                after.name()
            );
            let inside = spans.iter().any(|(first, last)| before < *last && after > *first);
            if inside || newest.is_none_or(|newest| after > newest) {
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
