//! The header and the table of contents of a dump.

use std::{collections::HashMap, io::BufRead, ops::Range};

use super::input::Input;
use crate::recover::{Fault, Kind, Result};

/// The oldest and the newest version of the format that we read.
pub const VERSIONS: std::ops::RangeInclusive<(u8, u8)> = (1, 12)..=(1, 16);
/// `archCustom` of `pg_backup.h`.
const CUSTOM: u8 = 1;
/// `K_OFFSET_POS_NOT_SET`, `K_OFFSET_POS_SET`, `K_OFFSET_NO_DATA`.
pub(super) const OFFSET_UNKNOWN: u8 = 1;
pub(super) const OFFSET_KNOWN: u8 = 2;
pub(super) const OFFSET_NO_DATA: u8 = 3;

/// What stands in front of the table of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the format: 1.14 is `(1, 14)`.
    pub version: (u8, u8),
    /// How `pg_dump` itself packed the data.
    pub packed: Packed,
    /// The database it is of.
    pub database: String,
    /// Version of the server, as it calls itself.
    pub server: String,
    /// Version of `pg_dump`, as it calls itself.
    pub tool: String,
}

/// How `pg_dump` itself packed the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Not at all (`-Z0`): each row is as COPY wrote it.
    No,
    /// By an algorithm of `pg_dump`'s, whose number this is (1 gzip, 2 lz4, 3 zstd).
    By(u8),
}

/// When an entry is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// With the object that it belongs to: comments, privileges.
    None,
    /// Definitions that data need.
    PreData,
    /// Rows, large objects, positions of sequences.
    Data,
    /// What is built over the data: indexes, constraints, triggers, policies.
    PostData,
}

/// One entry of the table of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this dump: what dependencies and `pg_restore -L` name it by.
    pub id: i32,
    /// Some data were written for it.
    pub has_data: bool,
    /// The catalogue (`tableoid`) and the row in it that it stands for; 0 for none.
    pub catalogue: u32,
    /// See `catalogue`.
    pub oid: u32,
    /// Its name; with the name of its table in front for what belongs to one.
    pub tag: String,
    /// What it is: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`…
    pub desc: String,
    /// When it is restored.
    pub section: Section,
    /// The statements that make it.
    pub definition: String,
    /// The statement that removes it.
    pub drop: String,
    /// The COPY statement of its data.
    pub copy: String,
    /// Its schema; empty where it has none.
    pub namespace: String,
    /// Its tablespace; empty for the database's own.
    pub tablespace: String,
    /// Its table access method; empty for none or the default one.
    pub table_am: String,
    /// Its owner; empty for none.
    pub owner: String,
    /// The entries that it needs.
    pub needs: Vec<i32>,
    /// Where its data begin, if the dump says.
    pub offset: Option<u64>,
    /// Where the flag in front of that offset stands in the dump.
    pub(super) offset_at: u64,
    /// Where the definition stands in the dump, its length in front of it included.
    pub(super) definition_at: Range<u64>,
    /// The dump says that it has no data.
    pub(super) no_data: bool,
}

/// The table of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toc {
    /// What stands in front of it.
    pub header: Header,
    /// Its entries, in the order in which they would be restored.
    pub entries: Vec<Entry>,
    /// Its own bytes, header included, and the sizes of numbers in them.
    pub(super) bytes: Vec<u8>,
    pub(super) integer: usize,
    pub(super) offset: usize,
    by_id: HashMap<i32, usize>,
}

impl Toc {
    /// Reads header and table of contents, and leaves `input` at the first block of data.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for what is no dump, is of another format or version, or is cut off.
    pub fn read<R: BufRead>(input: &mut Input<R>) -> Result<Self> {
        input.keep();
        let header = read_header(input)?;
        let count = input.integer()?;
        if count < 0 {
            return Err(input.damaged("its table of contents has less than no entries"));
        }
        let (mut entries, mut by_id) = (Vec::new(), HashMap::new());
        for at in 0..count as usize {
            let entry = read_entry(input, header.version)?;
            if by_id.insert(entry.id, at).is_some() {
                return Err(input.damaged(&format!("the entry {} is in it twice", entry.id)));
            }
            entries.push(entry);
        }
        let (integer, offset) = (input.integer, input.offset);
        Ok(Self { header, entries, bytes: input.kept(), integer, offset, by_id })
    }

    /// The entry of that number.
    pub fn get(&self, id: i32) -> Option<&Entry> {
        self.by_id.get(&id).and_then(|at| self.entries.get(*at))
    }

    /// The same with more statements behind definitions: what `more` says of each entry. The server runs them
    /// together with the definition.
    #[must_use]
    pub fn with_more(self, more: &dyn Fn(&Entry) -> Option<String>) -> Self {
        let Self { header, mut entries, bytes: old, integer, offset, by_id } = self;
        let (mut bytes, mut copied) = (Vec::with_capacity(old.len()), 0);
        for entry in &mut entries {
            // Within memory: what was kept is not larger than that.
            let (start, end) =
                (entry.definition_at.start as usize, entry.definition_at.end as usize);
            bytes.extend_from_slice(old.get(copied..start).unwrap_or_default());
            let here = bytes.len() as u64;
            if let Some(more) = more(entry) {
                // What is not UTF-8 stays as it was.
                let before = old.get(start + 1 + integer..end).unwrap_or_default();
                bytes.extend(number((before.len() + more.len()) as i64, integer));
                bytes.extend_from_slice(before);
                bytes.extend_from_slice(more.as_bytes());
                entry.definition += &more;
            } else {
                bytes.extend_from_slice(old.get(start..end).unwrap_or_default());
            }
            copied = end;
            entry.definition_at = here..bytes.len() as u64;
            entry.offset_at = entry.offset_at + bytes.len() as u64 - end as u64;
        }
        bytes.extend_from_slice(old.get(copied..).unwrap_or_default());
        Self { header, entries, bytes, integer, offset, by_id }
    }

    /// Tablespaces other than the database's own.
    pub fn tablespaces(&self) -> std::collections::BTreeSet<&str> {
        self.entries.iter().map(|e| e.tablespace.as_str()).filter(|name| !name.is_empty()).collect()
    }
}

impl Entry {
    /// `schema.name`, or the name alone, for people; `TABLE schema.name` of what is said of a table.
    pub fn name(&self) -> String {
        if self.namespace.is_empty() {
            return self.tag.clone();
        }
        let kind = match self.desc.as_str() {
            "COMMENT" | "SECURITY LABEL" | "ACL" => self.kind(),
            _ => "",
        };
        format!("{kind}{}.{}", self.namespace, &self.tag[kind.len()..])
    }

    /// Of `MATERIALIZED VIEW sums` the words before the name. A name in capitals stands in quotes (`fmtId`).
    fn kind(&self) -> &str {
        let words = self.tag.split_inclusive(' ');
        let capital = |word: &&str| {
            word.trim_end().bytes().all(|byte| byte.is_ascii_uppercase()) && word.ends_with(' ')
        };
        let end: usize = words.take_while(capital).map(str::len).sum();
        self.tag.get(..end).unwrap_or_default()
    }

    /// True for an entry whose data must stand somewhere in the dump.
    pub fn awaits_data(&self) -> bool {
        !self.no_data
    }
}

fn read_header<R: BufRead>(input: &mut Input<R>) -> Result<Header> {
    let mut magic = [0; 5];
    input.fill(&mut magic)?;
    if &magic != b"PGDMP" {
        return Err(Fault::new(Kind::Damaged, "this is no dump in pg_dump's custom format"));
    }
    let (major, minor, _revision) = (input.byte()?, input.byte()?, input.byte()?);
    if !VERSIONS.contains(&(major, minor)) {
        let what = format!("the dump is of format version {major}.{minor}");
        let remedy = "this version of howdah reads 1.12 to 1.16 (pg_dump 9.0 to 18)";
        return Err(Fault::new(Kind::Damaged, what).remedy(remedy));
    }
    input.integer = sound_size(input)?;
    input.offset = sound_size(input)?;
    if input.byte()? != CUSTOM {
        return Err(input.damaged("it is in another of pg_dump's formats than custom"));
    }
    let packed = if minor >= 15 { i64::from(input.byte()?) } else { input.integer()? };
    let packed = match (packed, minor) {
        (0, _) => Packed::No,
        (algorithm @ 1..=3, 15..) => Packed::By(algorithm as u8),
        // Before 1.15 the number is gzip's level, -1 for its default.
        (-1..=9, ..15) => Packed::By(1),
        _ => return Err(input.damaged("its data are packed in an unknown way")),
    };
    // When it was made: second, minute, hour, day, month, year, daylight saving time.
    for _ in 0..7 {
        input.integer()?;
    }
    let mut text = || Ok::<_, Fault>(input.text()?.unwrap_or_default());
    let (database, server, tool) = (text()?, text()?, text()?);
    Ok(Header { version: (major, minor), packed, database, server, tool })
}

/// Sizes of integers and offsets: those that machines have.
fn sound_size<R: BufRead>(input: &mut Input<R>) -> Result<usize> {
    match input.byte()? {
        size @ (2 | 4 | 8) => Ok(size.into()),
        size => Err(input.damaged(&format!("a number is said to have {size} bytes"))),
    }
}

fn read_entry<R: BufRead>(input: &mut Input<R>, version: (u8, u8)) -> Result<Entry> {
    let id = small(input)?;
    if id <= 0 {
        return Err(input.damaged(&format!("an entry has the number {id}")));
    }
    let has_data = input.integer()? != 0;
    let (catalogue, oid) = (oid(input)?, oid(input)?);
    let (tag, desc) = (text(input)?, text(input)?);
    let section = match input.integer()? {
        1 => Section::None,
        2 => Section::PreData,
        3 => Section::Data,
        4 => Section::PostData,
        other => return Err(input.damaged(&format!("an entry is of the section {other}"))),
    };
    let begin = input.position();
    let definition = text(input)?;
    let definition_at = begin..input.position();
    let (drop, copy) = (text(input)?, text(input)?);
    let (namespace, tablespace) = (text(input)?, text(input)?);
    let table_am = if version >= (1, 14) { text(input)? } else { String::new() };
    if version >= (1, 16) {
        // `pg_class.relkind`: `desc` says it, too.
        input.integer()?;
    }
    let owner = text(input)?;
    // "WITH OIDS": no version that we restore to has them.
    input.text()?;
    let mut needs = Vec::new();
    while let Some(number) = input.text()? {
        needs.push(number.parse().map_err(|_| input.damaged("a dependency is no number"))?);
    }
    let offset_at = input.position();
    let (flag, offset) = input.data_offset()?;
    if !(OFFSET_UNKNOWN..=OFFSET_NO_DATA).contains(&flag) {
        return Err(input.damaged("an offset is marked in an unknown way"));
    }
    Ok(Entry {
        id,
        has_data,
        catalogue,
        oid,
        tag,
        desc,
        section,
        definition,
        drop,
        copy,
        namespace,
        tablespace,
        table_am,
        owner,
        needs,
        offset: (flag == OFFSET_KNOWN).then_some(offset),
        offset_at,
        definition_at,
        no_data: flag == OFFSET_NO_DATA,
    })
}

/// As the format writes integers: a sign, then the lowest byte first.
pub(super) fn number(value: i64, size: usize) -> Vec<u8> {
    let mut bytes = vec![u8::from(value < 0)];
    // The size was checked when the header was read: at most 8.
    bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes()[..size]);
    bytes
}

fn text<R: BufRead>(input: &mut Input<R>) -> Result<String> {
    Ok(input.text()?.unwrap_or_default())
}

pub(super) fn small<R: BufRead>(input: &mut Input<R>) -> Result<i32> {
    let number = input.integer()?;
    i32::try_from(number).map_err(|_| input.damaged("a number is too large"))
}

fn oid<R: BufRead>(input: &mut Input<R>) -> Result<u32> {
    text(input)?.parse().map_err(|_| input.damaged("an object's number is none"))
}
