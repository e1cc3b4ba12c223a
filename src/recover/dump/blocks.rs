//! The data of a dump, read once from front to end.

use std::{collections::BTreeMap, io::BufRead};

use super::{
    input::Input,
    toc::{Entry, Toc, small},
};
use crate::recover::Result;

/// `BLK_DATA` and `BLK_BLOBS` of `pg_backup_archiver.h`.
pub(super) const ROWS: u8 = 1;
pub(super) const LARGE_OBJECTS: u8 = 3;
/// Pieces are as long as a row, or a large object's read: 1 GB is PostgreSQL's limit of a value, and COPY's
/// text of it may be longer.
const PIECE_LIMIT: u64 = 8 << 30;

/// Who is told what stands in the blocks.
pub trait Sink {
    /// The data of an entry begin. `large_objects` are those of a `BLOBS` entry, each announced by
    /// [`Sink::object`].
    fn begin(&mut self, entry: &Entry, large_objects: bool) -> Result<()>;
    /// A large object begins.
    fn object(&mut self, oid: u32) -> Result<()>;
    /// Some bytes, as the dump has them: rows as COPY wrote them when `pg_dump` did not pack them. Where one
    /// call ends means nothing.
    fn bytes(&mut self, bytes: &[u8]) -> Result<()>;
    /// The present large object ends.
    fn object_end(&mut self) -> Result<()>;
    /// The data of the entry end.
    fn end(&mut self) -> Result<()>;
}

/// Reads all data behind the table of contents.
///
/// # Errors
/// [`Kind::Damaged`](crate::recover::Kind) when a block is cut off, belongs to no entry or comes twice, and when an entry's
/// data are missing.
pub fn walk<R: BufRead>(input: &mut Input<R>, toc: &Toc, sink: &mut dyn Sink) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    while let Some(kind) = input.next_or_end()? {
        let id = small(input)?;
        let entry = toc
            .get(id)
            .ok_or_else(|| input.damaged(&format!("a block belongs to the unknown entry {id}")))?;
        if !seen.insert(id) {
            return Err(input.damaged(&format!("the data of '{}' come twice", entry.name())));
        }
        match kind {
            ROWS => {
                sink.begin(entry, false)?;
                pieces(input, sink)?;
            }
            LARGE_OBJECTS => {
                sink.begin(entry, true)?;
                loop {
                    let oid = input.integer()?;
                    if oid == 0 {
                        break;
                    }
                    // Written as a signed number: half of all numbers come below zero.
                    sink.object(oid as u32)?;
                    pieces(input, sink)?;
                    sink.object_end()?;
                }
            }
            other => return Err(input.damaged(&format!("a block is of the unknown kind {other}"))),
        }
        sink.end()?;
    }
    match toc.entries.iter().find(|entry| entry.awaits_data() && !seen.contains(&entry.id)) {
        None => Ok(()),
        Some(entry) => Err(input.damaged(&format!(
            "the data of {} '{}' are missing",
            entry.desc,
            entry.name()
        ))),
    }
}

fn pieces<R: BufRead>(input: &mut Input<R>, sink: &mut dyn Sink) -> Result<()> {
    loop {
        let length = input.integer()?;
        if length == 0 {
            return Ok(());
        }
        match u64::try_from(length) {
            Ok(length) if length <= PIECE_LIMIT => {
                input.hand_over(length, |bytes| sink.bytes(bytes))?;
            }
            _ => return Err(input.damaged("a piece of data is too long")),
        }
    }
}

/// What a dump holds, counted while it is read: rows and bytes for each table, large objects. Rows are
/// counted only in a dump that `pg_dump` did not pack and whose rows are COPY's (not `--inserts`).
///
/// COPY writes one line for each row, and `pg_dump` the line `\.` behind the last one (`dumpTableData_copy` of
/// pg_dump.c): a table without that line was not dumped to its end, see [`Count::ended`].
#[derive(Debug, Default)]
pub struct Tally {
    /// By the number of the `TABLE DATA` entry.
    pub tables: BTreeMap<i32, Count>,
    /// Large objects that were seen.
    pub large_objects: u64,
    now: Option<(i32, Count, Line)>,
}

/// What was counted of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Rows.
    pub rows: u64,
    /// Bytes, as the dump has them.
    pub bytes: u64,
    /// The line that ends them was there.
    pub ended: bool,
}

/// Where in the text of COPY the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Begin,
    Backslash,
    Within,
    /// Behind `\.`: what follows is no row.
    Over,
}

impl Sink for Tally {
    fn begin(&mut self, entry: &Entry, large_objects: bool) -> Result<()> {
        if !large_objects {
            self.now = Some((entry.id, Count::default(), Line::Begin));
        }
        Ok(())
    }

    fn object(&mut self, _: u32) -> Result<()> {
        self.large_objects += 1;
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some((_, count, line)) = &mut self.now {
            count.bytes += bytes.len() as u64;
            count.rows += rows(bytes, line);
        }
        Ok(())
    }

    fn object_end(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some((id, count, line)) = self.now.take() {
            self.tables.insert(id, Count { ended: line == Line::Over, ..count });
        }
        Ok(())
    }
}

/// Rows that end in these bytes. A line break within a value is written as `\n` by COPY, so each one ends a
/// row, until the line that is `\.`.
fn rows(mut bytes: &[u8], line: &mut Line) -> u64 {
    let mut rows = 0;
    while let Some((&first, rest)) = bytes.split_first() {
        match (*line, first) {
            (Line::Over, _) => return rows,
            (Line::Begin, b'\\') => *line = Line::Backslash,
            (Line::Backslash, b'.') => *line = Line::Over,
            (_, b'\n') => {
                rows += 1;
                *line = Line::Begin;
            }
            _ => {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    *line = Line::Within;
                    return rows;
                };
                rows += 1;
                *line = Line::Begin;
                bytes = bytes.get(end + 1..).unwrap_or_default();
                continue;
            }
        }
        bytes = rest;
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_counted_however_they_are_cut(
            lines in prop::collection::vec("(\\\\N|[a-z\\t]{0,6}|\\\\\\\\\\.|a\\\\\\.)", 0..20),
            cut in 1_usize..9,
        ) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>() + "\\.\n\n\n";
            let mut line = Line::Begin;
            let counted: u64 = text.as_bytes().chunks(cut).map(|part| rows(part, &mut line)).sum();
            prop_assert_eq!(counted, lines.len() as u64);
        }
    }
}
