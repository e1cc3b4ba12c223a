//! Names of WAL files, and the arithmetic between names and positions.
//!
//! A segment is named by its timeline and its number, each as hexadecimal digits (PostgreSQL documentation,
//! "WAL Internals"): `TTTTTTTTHHHHHHHHLLLLLLLL`, where the number is `H * (4 GiB / segment size) + L`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::recover::{Fault, Kind};

/// What `initdb` chooses when nobody asks for another size.
pub const USUAL_SIZE: u64 = 16 << 20;

/// A size that a segment can have: a power of two between 1 MiB and 1 GiB (`initdb --wal-segsize`).
pub fn is_size(bytes: u64) -> bool {
    bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes)
}

/// A segment's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Segment {
    /// Its timeline.
    pub timeline: u32,
    high: u32,
    low: u32,
}

impl Segment {
    /// The segment of a timeline in which a position stands.
    pub fn at(timeline: u32, position: u64, size: u64) -> Self {
        Self::numbered(timeline, position / size, size)
    }

    /// The segment of a timeline by its number.
    pub fn numbered(timeline: u32, number: u64, size: u64) -> Self {
        let per_high = 0x1_0000_0000 / size;
        Self { timeline, high: (number / per_high) as u32, low: (number % per_high) as u32 }
    }

    /// Its number, counted from position 0.
    pub fn number(self, size: u64) -> u64 {
        u64::from(self.high) * (0x1_0000_0000 / size) + u64::from(self.low)
    }

    /// The position of its first byte.
    pub fn start(self, size: u64) -> u64 {
        (u64::from(self.high) << 32) + u64::from(self.low) * size
    }

    /// The position behind its last byte.
    pub fn end(self, size: u64) -> u64 {
        self.start(size).saturating_add(size)
    }

    /// The one behind it on the same timeline.
    #[must_use]
    pub fn next(self, size: u64) -> Self {
        Self::numbered(self.timeline, self.number(size) + 1, size)
    }

    /// True when a cluster with segments of that size can have one of this name.
    pub fn fits(self, size: u64) -> bool {
        u64::from(self.low) < 0x1_0000_0000 / size
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:08X}{:08X}{:08X}", self.timeline, self.high, self.low))
    }
}

impl FromStr for Segment {
    type Err = Fault;
    fn from_str(name: &str) -> Result<Self, Fault> {
        let part = |at: usize| hex8(name.get(at..at + 8)?);
        let parsed = (name.len() == 24).then(|| Some((part(0)?, part(8)?, part(16)?))).flatten();
        match parsed {
            Some((timeline, high, low)) if timeline > 0 => Ok(Self { timeline, high, low }),
            _ => Err(unknown(name)),
        }
    }
}

impl TryFrom<String> for Segment {
    type Error = Fault;
    fn try_from(name: String) -> Result<Self, Fault> {
        name.parse()
    }
}

impl From<Segment> for String {
    fn from(segment: Segment) -> Self {
        segment.to_string()
    }
}

/// A file that PostgreSQL hands to its `archive_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalFile {
    /// A finished segment.
    Segment(Segment),
    /// The last segment of a timeline that was left: `.partial`. Recovery never asks for it.
    Partial(Segment),
    /// Where a timeline comes from: `.history`.
    History(u32),
    /// A backup began in this segment, so many bytes into it: `.backup`.
    Backup(Segment, u32),
}

/// The beginning of each `.backup`, as `pg_backup_stop` writes it.
pub(super) const LABEL: &[u8] = b"START WAL LOCATION: ";

impl WalFile {
    /// Its timeline.
    pub fn timeline(self) -> u32 {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::Backup(segment, _) => {
                segment.timeline
            }
            Self::History(timeline) => timeline,
        }
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Segment(segment) => segment.to_string(),
            Self::Partial(segment) => format!("{segment}.partial"),
            Self::History(timeline) => format!("{timeline:08X}.history"),
            Self::Backup(segment, offset) => format!("{segment}.{offset:08X}.backup"),
        };
        f.pad(&name)
    }
}

impl FromStr for WalFile {
    type Err = Fault;
    fn from_str(name: &str) -> Result<Self, Fault> {
        if let Some(stem) = name.strip_suffix(".history") {
            // Timeline 1 has no history; the server asks for it all the same.
            let timeline = hex8(stem).filter(|timeline| *timeline > 0);
            return timeline.map(Self::History).ok_or_else(|| unknown(name));
        }
        if let Some(stem) = name.strip_suffix(".partial") {
            return stem.parse().map(Self::Partial);
        }
        if let Some(stem) = name.strip_suffix(".backup") {
            let parts = stem.split_once('.').and_then(|(segment, offset)| {
                Some(Self::Backup(segment.parse().ok()?, hex8(offset)?))
            });
            return parts.ok_or_else(|| unknown(name));
        }
        name.parse().map(Self::Segment)
    }
}

/// Eight hexadecimal digits as PostgreSQL writes them: in capitals.
fn hex8(digits: &str) -> Option<u32> {
    let good = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    let fits = digits.len() == 8 && digits.bytes().all(good);
    fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn unknown(name: &str) -> Fault {
    Fault::new(Kind::Usage, format!("'{name}' is not the name of a WAL file"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_postgresql() {
        for name in [
            "000000010000000000000001",
            "00000002.history",
            "0000000100000000000000A1.partial",
            "0000000100000000000000A1.00000028.backup",
        ] {
            assert_eq!(name.parse::<WalFile>().expect("a name").to_string(), name);
        }
        for name in [
            "",
            "00000000.history",
            "00000000000000000000000A",
            "00000001000000000000000a",
            "00000001000000000000000",
            "RECOVERYXLOG",
            "000000010000000000000001.x",
            "../000000010000000000000001",
            "000000010000000000000001.28.backup",
            "+0000001000000000000000A",
        ] {
            assert!(name.parse::<WalFile>().is_err(), "{name}");
        }
    }

    #[test]
    fn four_gigabytes_end_a_group_whatever_the_size() {
        let last: Segment = "0000000300000002000000FF".parse().expect("a name");
        assert_eq!(last.end(USUAL_SIZE), 0x3_0000_0000);
        assert_eq!(last.next(USUAL_SIZE).to_string(), "000000030000000300000000");
        // 64 MiB: 64 to a group (initdb --wal-segsize=64).
        let last: Segment = "00000001000000000000003F".parse().expect("a name");
        assert_eq!(last.next(64 << 20).to_string(), "000000010000000100000000");
        assert!(last.fits(64 << 20) && !last.fits(128 << 20));
    }

    proptest! {
        #[test]
        fn positions_and_names_agree(timeline in 1_u32.., position: u64, power in 20_u32..=30) {
            let size = 1_u64 << power;
            let segment = Segment::at(timeline, position, size);
            prop_assert!(segment.fits(size));
            prop_assert!(segment.start(size) <= position && position - segment.start(size) < size);
            prop_assert_eq!(segment.to_string().parse::<Segment>().expect("a name"), segment);
            prop_assert_eq!(Segment::numbered(timeline, segment.number(size), size), segment);
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".*") {
            if let Ok(file) = text.parse::<WalFile>() {
                prop_assert_eq!(file.to_string(), text);
            }
        }
    }
}
