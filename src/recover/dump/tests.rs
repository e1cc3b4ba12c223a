//! Written dumps of each version, read back; and garbage, refused.

use std::io::{self, BufReader, Cursor, Read};

use proptest::prelude::*;

use super::{
    Count, Input, Section, Tally, Toc, seekable,
    toc::{OFFSET_NO_DATA, OFFSET_UNKNOWN},
    walk,
};
use crate::recover::{
    Fault, Kind,
    repository::manifest::{Database, Relation},
    verify::structure::compare_dump,
};

/// Writes a dump as `pg_dump` of a certain version does into a pipe.
struct Writer {
    bytes: Vec<u8>,
    minor: u8,
    integer: usize,
}

impl Writer {
    fn new(minor: u8, integer: u8, offset: u8, entries: i64) -> Self {
        let mut it = Self { bytes: b"PGDMP".to_vec(), minor, integer: integer.into() };
        it.bytes.extend([1, minor, 0, integer, offset, 1]);
        if minor >= 15 {
            it.bytes.push(0);
        } else {
            it.int(0);
        }
        (0..7).for_each(|part| it.int(part));
        for text in ["app", "15.18", "15.18"] {
            it.text(Some(text));
        }
        it.int(entries);
        it
    }

    fn int(&mut self, value: i64) {
        self.bytes.push(u8::from(value < 0));
        let size = self.integer;
        self.bytes.extend(&value.unsigned_abs().to_le_bytes()[..size]);
    }

    fn text(&mut self, text: Option<&str>) {
        self.int(text.map_or(-1, |text| text.len() as i64));
        self.bytes.extend(text.unwrap_or_default().bytes());
    }

    fn entry(&mut self, id: i64, desc: &str, section: i64, flag: u8, offset: usize) {
        self.int(id);
        self.int(i64::from(flag == OFFSET_UNKNOWN));
        self.text(Some("1259"));
        self.text(Some("16384"));
        self.text(Some("orders"));
        self.text(Some(desc));
        self.int(section);
        for text in [Some("CREATE"), Some("DROP"), Some("COPY o FROM stdin;"), Some("shop"), None] {
            self.text(text);
        }
        if self.minor >= 14 {
            self.text(Some("heap"));
        }
        if self.minor >= 16 {
            self.int(114);
        }
        self.text(Some("owner"));
        self.text(Some("false"));
        self.text(Some("1"));
        self.text(None);
        self.bytes.push(flag);
        self.bytes.extend(vec![0; offset]);
    }

    fn pieces(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.text(Some(piece));
        }
        self.int(0);
    }
}

/// A table with rows and a large object with a number above 2^31.
fn dump(minor: u8, integer: u8, offset: u8) -> Vec<u8> {
    dump_of(minor, integer, offset, &["1\ta\n", "2\tb\n", "\\.\n\n\n"])
}

/// The same with these pieces of rows.
fn dump_of(minor: u8, integer: u8, offset: u8, rows: &[&str]) -> Vec<u8> {
    let mut it = Writer::new(minor, integer, offset, 3);
    it.entry(1, "TABLE", 2, OFFSET_NO_DATA, offset.into());
    it.entry(2, "TABLE DATA", 3, OFFSET_UNKNOWN, offset.into());
    it.entry(3, "BLOBS", 3, OFFSET_UNKNOWN, offset.into());
    it.bytes.push(1);
    it.int(2);
    it.pieces(rows);
    it.bytes.push(3);
    it.int(3);
    it.int((3_000_000_000_u32 as i32).into());
    it.pieces(&["large", " object"]);
    it.int(0);
    it.bytes
}

fn read(bytes: &[u8]) -> crate::recover::Result<(Toc, Tally)> {
    let mut input = Input::new(bytes);
    let toc = Toc::read(&mut input)?;
    let mut tally = Tally::default();
    walk(&mut input, &toc, &mut tally)?;
    Ok((toc, tally))
}

#[test]
fn each_version_is_read_and_made_seekable() {
    for minor in 12..=16 {
        for (integer, offset) in [(4, 8), (8, 8), (4, 4)] {
            let bytes = dump(minor, integer, offset);
            let (toc, tally) = read(&bytes).expect("sound");
            let table = toc.get(1).expect("the table");
            assert_eq!((table.name().as_str(), table.section), ("shop.orders", Section::PreData));
            assert_eq!((table.owner.as_str(), table.needs.as_slice()), ("owner", &[1][..]));
            assert_eq!(table.table_am, if minor >= 14 { "heap" } else { "" });
            assert_eq!((tally.tables[&2].rows, tally.large_objects), (2, 1));

            let mut out = Cursor::new(Vec::new());
            let mut input = Input::new(&*bytes);
            let toc = Toc::read(&mut input).expect("sound");
            seekable::write(&mut input, &toc, &mut out, &|_| true).expect("written");
            let out = out.into_inner();
            assert!(out.len() < bytes.len(), "three pieces became one");
            let (again, tally) = read(&out).expect("sound");
            assert_eq!((tally.tables[&2].rows, tally.large_objects), (2, 1));
            for (id, kind) in [(2, 1), (3, 3)] {
                let at = again.get(id).and_then(|entry| entry.offset).expect("filled in");
                assert_eq!(out[at as usize], kind, "a block of this kind begins there");
            }
        }
    }
}

#[test]
fn more_statements_stand_behind_definitions_and_everything_else_where_it_was() {
    for (minor, integer, offset) in [(12, 4, 8), (14, 4, 8), (16, 8, 8), (15, 2, 4)] {
        let bytes = dump(minor, integer, offset);
        let mut input = Input::new(Cursor::new(&bytes));
        let before = Toc::read(&mut input).expect("sound");
        let more = |entry: &super::Entry| (entry.desc == "TABLE").then(|| ";\nREVOKE ü".to_owned());
        let toc = before.clone().with_more(&more);
        let mut out = Cursor::new(Vec::new());
        let tally = seekable::write(&mut input, &toc, &mut out, &|_| true).expect("written");
        let (after, counted) = read(&out.into_inner()).expect("sound");
        assert_eq!(counted.tables, tally.tables);
        assert!(before.entries.iter().any(|entry| entry.desc == "TABLE"));
        for (old, new) in before.entries.iter().zip(&after.entries) {
            let told = old.definition.clone() + &more(old).unwrap_or_default();
            assert_eq!((&told, &old.copy, &old.owner), (&new.definition, &new.copy, &new.owner));
            assert_eq!(old.awaits_data(), new.offset.is_some(), "{}", new.desc);
        }
    }
}

#[test]
fn what_is_not_wanted_stays_behind() {
    let bytes = dump(14, 4, 8);
    let mut out = Cursor::new(Vec::new());
    let mut input = Input::new(&*bytes);
    let toc = Toc::read(&mut input).expect("sound");
    let tally = seekable::write(&mut input, &toc, &mut out, &|entry| entry.id == 2).expect("ok");
    assert_eq!(tally.large_objects, 1, "it was read all the same");
    let out = out.into_inner();
    assert!(!out.windows(5).any(|part| part == b"large"));
    assert!(out.windows(3).any(|part| part == b"1\ta"));
}

#[test]
fn missing_and_repeated_data_are_damage() {
    let whole = dump(14, 4, 8);
    for cut in 0..whole.len() {
        let fault = read(&whole[..cut]).expect_err("cut off");
        assert_eq!(fault.kind, Kind::Damaged, "at {cut}: {fault}");
    }
    let mut twice = whole.clone();
    twice.extend_from_slice(&whole[whole.len() - 60..]);
    assert!(read(&twice).is_err());
}

#[test]
fn rows_without_the_line_that_ends_them_are_not_all() {
    let orders = Relation {
        schema: "shop".to_owned(),
        name: "orders".to_owned(),
        kind: 'r',
        ..Relation::default()
    };
    let inventory = Database { relations: vec![orders], large_objects: 1, ..Database::default() };
    let end = "\\.\n\n\n";
    for (rows, told) in [
        (&["1\ta\n", end][..], None),
        (&[end], None),
        (&["1\ta\n"], Some("break off after 1")),
        // Not the end, but how COPY writes a value that looks like it.
        (&["1\ta\n", "\\\\.\n", "\n\n"], Some("break off after 4")),
        (&["1\ta\n", "2"], Some("break off after 1")),
        (&[], Some("break off after 0")),
    ] {
        let (toc, tally) = read(&dump_of(14, 4, 8, rows)).expect("sound blocks");
        let findings = compare_dump(&toc, &tally, &inventory);
        assert_eq!(findings.len(), usize::from(told.is_some()), "{rows:?}: {findings:?}");
        assert!(told.is_none_or(|told| findings[0].contains(told)), "{findings:?}");
    }
}

/// Content that a bucket breaks off after so many bytes.
struct BrokenOff(Vec<u8>, usize);

impl Read for BrokenOff {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = &self.0[self.1..self.0.len().min(self.1 + buffer.len())];
        if part.is_empty() {
            return Err(Fault::new(Kind::Unavailable, "the bucket is gone").into_io());
        }
        buffer[..part.len()].copy_from_slice(part);
        self.1 += part.len();
        Ok(part.len())
    }
}

#[test]
fn a_storage_that_goes_away_is_not_told_as_damage() {
    let whole = dump(14, 4, 8);
    for length in 0..whole.len() {
        let broken = BrokenOff(whole[..length].to_vec(), 0);
        let mut input = Input::new(BufReader::with_capacity(64, broken));
        let read =
            Toc::read(&mut input).and_then(|toc| walk(&mut input, &toc, &mut Tally::default()));
        let fault = read.expect_err("it is gone");
        assert_eq!((fault.kind, fault.what().as_str()), (Kind::Unavailable, "the bucket is gone"));
    }
}

#[test]
fn a_later_version_is_refused_by_its_number() {
    let fault = read(&dump(17, 4, 8)).expect_err("unknown");
    assert!(fault.to_string().contains("1.17"), "{fault}");
}

proptest! {
    #[test]
    fn rows_are_the_same_whatever_stands_in_the_buffer_at_once(
        lines in prop::collection::vec("(\\\\N|[a-z\t]{0,90}|\\\\\\\\\\.|a\\\\\\.)", 0..20),
        pieces in prop::collection::vec(1_usize..100, 1..8),
        room in 1_usize..200,
        minor in 12_u8..=16,
    ) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>() + "\\.\n\n\n";
        let (mut rest, mut cut) = (text.as_str(), Vec::new());
        for length in pieces.iter().cycle() {
            let (piece, more) = rest.split_at(rest.len().min(*length));
            if piece.is_empty() {
                break;
            }
            cut.push(piece);
            rest = more;
        }
        let bytes = dump_of(minor, 4, 8, &cut);
        let mut input = Input::new(BufReader::with_capacity(room, &*bytes));
        let toc = Toc::read(&mut input).expect("sound");
        let mut tally = Tally::default();
        walk(&mut input, &toc, &mut tally).expect("sound");
        let (rows, bytes) = (lines.len() as u64, text.len() as u64);
        prop_assert_eq!(tally.tables[&2], Count { rows, bytes, ended: true });
        prop_assert_eq!(tally.large_objects, 1);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        prop_assert!(read(&bytes).is_err());
        let headed = [b"PGDMP\x01\x0e\0\x04\x08\x01".as_slice(), &bytes].concat();
        let _ = read(&headed);
        let mut changed = dump(14, 4, 8);
        let at = at.index(changed.len());
        changed[at] = with;
        let _ = read(&changed);
    }
}
