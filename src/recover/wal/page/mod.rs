//! Page headers of a WAL segment: what can be checked without reading records.
//!
//! Layout: `XLogPageHeaderData` and `XLogLongPageHeaderData` in PostgreSQL's `access/xlog_internal.h`, the
//! same since 9.3. Numbers stand in the byte order of the machine that wrote them.

mod pages;

use std::fmt;

pub use pages::Pages;

use super::segment::{Segment, is_size};
use crate::recover::repository::{claim::Cluster, manifest::lsn};

/// Bytes of a page header; the first page of a segment has a long one.
const SHORT: usize = 24;
const LONG: usize = 40;
/// `XLP_FIRST_IS_CONTRECORD`: the page begins with the rest of a record.
const CONTINUED: u16 = 1;
/// `XLP_LONG_HEADER`.
const HAS_LONG: u16 = 2;
/// `XLP_ALL_FLAGS`.
const ALL_FLAGS: u16 = 0xF;

/// `XLOG_PAGE_MAGIC` of each major version, from its `access/xlog_internal.h`.
const MAGICS: [(u16, u32); 9] = [
    (0xD097, 10),
    (0xD098, 11),
    (0xD101, 12),
    (0xD106, 13),
    (0xD10D, 14),
    (0xD110, 15),
    (0xD113, 16),
    (0xD116, 17),
    (0xD118, 18),
];

/// The major version whose page headers have this magic number; none for one that we do not know.
pub fn major_of(magic: u16) -> Option<u32> {
    MAGICS.iter().find(|(known, _)| *known == magic).map(|(_, major)| *major)
}

/// The magic number of a major version.
pub fn magic_of(major: u32) -> Option<u16> {
    MAGICS.iter().find(|(_, known)| *known == major).map(|(magic, _)| *magic)
}

/// What the first page of a segment says of the cluster that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The magic number of the server's major version.
    pub magic: u16,
    /// The timeline of the first record on the page.
    pub timeline: u32,
    /// The page's own position.
    pub position: u64,
    /// The cluster's system identifier.
    pub system_identifier: u64,
    /// Bytes of a segment.
    pub segment_size: u64,
    /// Bytes of a page.
    pub page_size: u64,
}

impl Head {
    /// The cluster; none where its version is not known.
    pub fn cluster(&self) -> Option<Cluster> {
        Some(Cluster {
            system_identifier: self.system_identifier,
            version: major_of(self.magic)? * 10_000,
            segment_size: Some(self.segment_size),
        })
    }
}

/// What all page headers of a segment say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its first page.
    pub head: Head,
    /// The timeline of its last written page: another one than the first page's in a segment in which a
    /// timeline begins.
    pub last_timeline: u32,
    /// It was ended early (`pg_switch_wal`, `archive_timeout`): bytes up to there.
    pub switched_at: Option<u64>,
}

/// What is wrong with a segment. Positions are offsets into the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing was written into it.
    Zeroed,
    /// It does not begin as a segment of any version that we know.
    NoHeader(u16),
    /// It was written on a machine with the other byte order.
    ByteOrder,
    /// A number in its first page cannot be.
    Impossible(&'static str),
    /// Its length is not that of a segment.
    Size {
        /// What it has.
        is: u64,
        /// What its first page says.
        should: u64,
    },
    /// It is a segment, but of another place.
    Place {
        /// What its first page says.
        is: u64,
        /// What its name says.
        should: u64,
    },
    /// Its pages are of a timeline that its name rules out.
    Timeline {
        /// Where.
        at: u64,
        /// What the page says.
        is: u32,
    },
    /// A page in the middle is not what it should be.
    Page {
        /// Where.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Zeros to the end that no switch record announces: lost while it was copied.
    ZeroTail {
        /// Where they begin.
        at: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeroed => f.write_str("it holds only zeros"),
            Self::NoHeader(magic) => {
                write!(
                    f,
                    "it does not begin like a segment of PostgreSQL 10 to 18 (magic number {magic:04X})"
                )
            }
            Self::ByteOrder => f.write_str("it was written on a machine with the other byte order"),
            Self::Impossible(what) => write!(f, "its first page says an impossible {what}"),
            Self::Size { is, should } => write!(f, "it has {is} bytes instead of {should}"),
            Self::Place { is, should } => {
                write!(f, "it is the segment at {}, its name means {}", lsn(*is), lsn(*should))
            }
            Self::Timeline { at, is } => {
                write!(f, "its page at byte {at} is of timeline {is}, which its name rules out")
            }
            Self::Page { at, why } => write!(f, "its page at byte {at} {why}"),
            Self::ZeroTail { at } => {
                write!(f, "it holds only zeros from byte {at} on, and no switch record says so")
            }
        }
    }
}

/// Reads the long header at the beginning of a segment.
pub fn head(bytes: &[u8]) -> Result<Head, Flaw> {
    let (Some(magic), true) = (u16_at(bytes, 0), bytes.len() >= LONG) else {
        return Err(Flaw::Size { is: bytes.len() as u64, should: super::segment::USUAL_SIZE });
    };
    if major_of(magic).is_none() {
        return Err(match magic {
            0 if pages::all_zero(bytes) => Flaw::Zeroed,
            _ if major_of(magic.swap_bytes()).is_some() => Flaw::ByteOrder,
            _ => Flaw::NoHeader(magic),
        });
    }
    let (segment, page) = (u32_at(bytes, 32), u32_at(bytes, 36));
    let head = Head {
        magic,
        timeline: u32_at(bytes, 4),
        position: u64_at(bytes, 8),
        system_identifier: u64_at(bytes, 24),
        segment_size: u64::from(segment),
        page_size: u64::from(page),
    };
    let info = u16_at(bytes, 2).unwrap_or_default();
    let page_fits = head.page_size.is_power_of_two() && (1024..=65536).contains(&head.page_size);
    let checks = [
        (info & HAS_LONG != 0 && info & !ALL_FLAGS == 0, "flag"),
        (is_size(head.segment_size), "segment size"),
        (page_fits, "page size"),
        (head.timeline > 0, "timeline"),
        (head.position.is_multiple_of(head.segment_size.max(1)), "position"),
    ];
    match checks.iter().find(|(good, _)| !good) {
        Some((_, what)) => Err(Flaw::Impossible(what)),
        None => Ok(head),
    }
}

/// Checks a whole segment against its name: size, place, timeline, and the header of every page.
pub fn check(name: Segment, bytes: &[u8]) -> Result<About, Flaw> {
    let mut pages = Pages::of(name);
    pages.take(bytes);
    pages.finish()
}

/// Checks what the first page says against the name alone, for a segment that was left unfinished.
pub fn check_place(name: Segment, head: &Head) -> Result<(), Flaw> {
    let should = name.start(head.segment_size);
    if head.position != should || !name.fits(head.segment_size) {
        return Err(Flaw::Place { is: head.position, should });
    }
    if head.timeline > name.timeline {
        return Err(Flaw::Timeline { at: 0, is: head.timeline });
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// 0 behind the end: callers have checked the length, and no header has a 0 there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        pages::{RECORD, SWITCH},
        *,
    };

    const SIZE: usize = 1 << 20;
    /// Bytes of a page as PostgreSQL is built everywhere (`XLOG_BLCKSZ`).
    const USUAL_PAGE: u64 = 8192;

    fn name() -> Segment {
        "000000020000000000000003".parse().expect("a name")
    }

    /// A segment with a header on every page and no records.
    fn segment(timeline: u32) -> Vec<u8> {
        let mut bytes = vec![0xAA; SIZE];
        let start = 3 * SIZE as u64;
        for (number, page) in bytes.chunks_mut(USUAL_PAGE as usize).enumerate() {
            let long = number == 0;
            let position = start + number as u64 * USUAL_PAGE;
            page[..SHORT].fill(0);
            page[0..2].copy_from_slice(&0xD110_u16.to_le_bytes());
            page[2..4].copy_from_slice(&(if long { HAS_LONG } else { 0 }).to_le_bytes());
            page[4..8].copy_from_slice(&timeline.to_le_bytes());
            page[8..16].copy_from_slice(&position.to_le_bytes());
            if long {
                page[24..32].copy_from_slice(&7_u64.to_le_bytes());
                page[32..36].copy_from_slice(&(SIZE as u32).to_le_bytes());
                page[36..40].copy_from_slice(&(USUAL_PAGE as u32).to_le_bytes());
            }
        }
        bytes
    }

    /// Ends a segment with a switch record that ends at `end`, and zeros behind its page.
    fn switched(end: usize) -> Vec<u8> {
        let mut bytes = segment(2);
        let page = USUAL_PAGE as usize;
        let mut record = [0; RECORD];
        record[0] = RECORD as u8;
        record[8] = 1;
        record[16] = SWITCH;
        record[20..].copy_from_slice(&[9, 9, 9, 9]);
        bytes[end..].fill(0);
        let (page_start, header) = (end / page * page, SHORT);
        let here = (end - page_start).saturating_sub(header).min(RECORD);
        if !end.is_multiple_of(page) && here < RECORD {
            bytes[page_start - (RECORD - here)..page_start]
                .copy_from_slice(&record[..RECORD - here]);
            bytes[end - here..end].copy_from_slice(&record[RECORD - here..]);
        } else {
            bytes[end - RECORD..end].copy_from_slice(&record);
        }
        bytes
    }

    #[test]
    fn a_sound_segment_says_what_it_is() {
        let about = check(name(), &segment(2)).expect("sound");
        assert_eq!((about.head.system_identifier, about.last_timeline), (7, 2));
        assert_eq!((major_of(about.head.magic), about.switched_at), (Some(15), None));
        assert_eq!(magic_of(15), Some(about.head.magic));
    }

    #[test]
    fn a_switch_record_explains_zeros_wherever_it_stands() {
        // In the middle of a page, at its end, and across the edge of two pages.
        for end in [3 * 8192 + 4096, 4 * 8192, 4 * 8192 + 24 + 8, 4 * 8192 + 24 + 16] {
            let about =
                check(name(), &switched(end)).unwrap_or_else(|flaw| panic!("{end}: {flaw}"));
            assert_eq!(about.switched_at, Some(end as u64));
        }
        let mut cut = segment(2);
        cut[5 * 8192..].fill(0);
        assert_eq!(check(name(), &cut), Err(Flaw::ZeroTail { at: 5 * 8192 }));
        let mut hole = segment(2);
        hole[5 * 8192..6 * 8192].fill(0);
        assert_eq!(check(name(), &hole), Err(Flaw::Page { at: 5 * 8192, why: "holds only zeros" }));
    }

    #[test]
    fn timelines_only_grow_and_never_beyond_the_name() {
        let mut forked = segment(1);
        let half = SIZE / 2;
        forked[half..].copy_from_slice(&segment(2)[half..]);
        assert_eq!(check(name(), &forked).map(|about| about.last_timeline), Ok(2));
        assert_eq!(check(name(), &segment(3)), Err(Flaw::Timeline { at: 0, is: 3 }));
        let mut back = segment(2);
        back[half..].copy_from_slice(&segment(1)[half..]);
        assert_eq!(check(name(), &back), Err(Flaw::Timeline { at: half as u64, is: 1 }));
    }

    #[test]
    fn what_is_no_segment_says_why() {
        assert_eq!(check(name(), &vec![0; SIZE]), Err(Flaw::Zeroed));
        assert!(matches!(check(name(), &[]), Err(Flaw::Size { is: 0, .. })));
        let mut swapped = segment(2);
        swapped.swap(0, 1);
        assert_eq!(check(name(), &swapped), Err(Flaw::ByteOrder));
        let other: Segment = "000000020000000000000004".parse().expect("a name");
        assert!(matches!(check(other, &segment(2)), Err(Flaw::Place { .. })));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_say_what_the_whole_says(
            end in 1_usize..128,
            within in 0_usize..1020,
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            length in prop::option::of(0..SIZE + 9000),
            piece in 1_usize..70_000,
        ) {
            let mut bytes = switched((end * 8192 + within * 8).min(SIZE - 8192));
            if let Some((at, byte)) = damage {
                bytes[at.index(SIZE)] = byte;
            }
            bytes.resize(length.unwrap_or(SIZE), 0);
            let mut pages = Pages::of(name());
            bytes.chunks(piece).for_each(|piece| pages.take(piece));
            prop_assert_eq!(pages.finish(), check(name(), &bytes));
        }

        #[test]
        fn garbage_never_breaks_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..20_000), magic: bool) {
            if magic && bytes.len() > 2 {
                bytes[0..2].copy_from_slice(&0xD110_u16.to_le_bytes());
            }
            prop_assert!(check(name(), &bytes).is_err());
        }

        #[test]
        fn a_changed_header_is_always_found(page in 1_usize..128, byte in 0_usize..20, bit in 0_u8..8) {
            let mut bytes = segment(2);
            bytes[page * 8192 + byte] ^= 1 << bit;
            // Two flags are free to be set.
            let may = byte == 2 && matches!(bit, 2 | 3);
            prop_assert_eq!(check(name(), &bytes).is_ok(), may);
        }
    }
}
