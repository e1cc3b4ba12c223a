//! Names of WAL files, and the way from one timeline to another.

use crate::recover::{Fault, Kind, Result, repository::manifest::parse_lsn};

/// One segment of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline that its name tells.
    pub timeline: u32,
    /// Its number: its first position divided by the segment size.
    pub number: u64,
}

impl Segment {
    /// The segment that a file name means: timeline, then the number as two groups of eight hex digits
    /// (PostgreSQL documentation, "WAL Internals"). None for what is no segment.
    pub fn parse(name: &str, segment_size: u64) -> Option<Self> {
        if name.len() != 24 || segment_size == 0 {
            return None;
        }
        let part = |range| u64::from_str_radix(name.get(range)?, 16).ok();
        let number =
            part(8..16)?.checked_mul(per_high(segment_size))?.checked_add(part(16..24)?)?;
        Some(Self { timeline: u32::try_from(part(0..8)?).ok()?, number })
    }

    /// Its file name.
    pub fn name(self, segment_size: u64) -> String {
        let per_high = per_high(segment_size);
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / per_high, self.number % per_high)
    }
}

/// Segments in 4 GiB.
fn per_high(segment_size: u64) -> u64 {
    (0x1_0000_0000 / segment_size).max(1)
}

/// The timeline of a history file's name: `00000002.history`.
pub fn history_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".history").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The name of a timeline's history file.
pub fn history_name(timeline: u32) -> String {
    format!("{timeline:08X}.history")
}

/// A timeline as far as a path follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The timeline.
    pub timeline: u32,
    /// Where the path enters it.
    pub begin: u64,
    /// Where the path leaves it; none for the last one.
    pub end: Option<u64>,
}

/// The way through the timelines that ends on `timeline`, oldest first, by its history file. Each line of
/// one is: parent timeline, position where it was left, reason (PostgreSQL documentation, "Timelines").
pub fn path(timeline: u32, history: &str) -> Result<Vec<Stretch>> {
    let mut path = Vec::new();
    let mut begin = 0;
    for line in
        history.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        let parsed =
            words.next().and_then(|word| word.parse().ok()).zip(words.next().and_then(parse_lsn));
        let Some((parent, end)) =
            parsed.filter(|(parent, end)| *parent < timeline && *end >= begin)
        else {
            let what =
                format!("the history file of timeline {timeline} cannot be understood: '{line}'");
            return Err(Fault::new(Kind::Damaged, what));
        };
        path.push(Stretch { timeline: parent, begin, end: Some(end) });
        begin = end;
    }
    path.push(Stretch { timeline, begin, end: None });
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn names_and_segments_mean_each_other_at_any_size() {
        for size in [MB, 16 * MB, 64 * MB, 1024 * MB] {
            for number in [0, 1, 255, 256, 4096, 123_456] {
                let segment = Segment { timeline: 3, number };
                assert_eq!(Segment::parse(&segment.name(size), size), Some(segment));
            }
        }
        assert_eq!(Segment { timeline: 1, number: 256 }.name(16 * MB), "000000010000000100000000");
        assert_eq!(Segment::parse("00000001000000010000000Z", MB), None);
        assert_eq!(Segment::parse("00000002.history", MB), None);
    }

    #[test]
    fn a_history_file_gives_the_way() {
        let way = path(3, "1\t0/3000000\tno recovery target\n\n2\t0/5000060\tbefore x\n")
            .expect("a path");
        let stretch = |timeline, begin, end| Stretch { timeline, begin, end };
        assert_eq!(
            way,
            [
                stretch(1, 0, Some(0x0300_0000)),
                stretch(2, 0x0300_0000, Some(0x0500_0060)),
                stretch(3, 0x0500_0060, None)
            ]
        );
        assert_eq!(path(2, "garbage").expect_err("no history").kind, Kind::Damaged);
        assert!(path(2, "2\t0/3000000").is_err(), "a timeline is not its own parent");
        assert_eq!(history_of("0000000A.history"), Some(10));
        assert_eq!(history_name(10), "0000000A.history");
    }
}
