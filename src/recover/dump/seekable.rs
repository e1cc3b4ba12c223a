//! A dump that came through a pipe, written so that `pg_restore` can jump in it.
//!
//! Into a pipe `pg_dump` writes no offsets: each worker of `pg_restore -j` then looks for its table from the
//! front, piece by piece, and an unpacked dump has one piece for each row. Here the offsets are filled in,
//! and short pieces are put together.

use std::{
    collections::HashMap,
    io::{BufRead, Seek, SeekFrom, Write},
};

use super::{
    blocks::{self, LARGE_OBJECTS, ROWS, Sink, Tally},
    input::Input,
    toc::{Entry, OFFSET_KNOWN, OFFSET_NO_DATA, Packed, Toc, number},
};
use crate::recover::{Fault, Kind, Result};

/// Pieces are put together up to this many bytes: libpq sends in steps of some kilobytes, so larger ones
/// bring nothing.
const PIECE: usize = 1 << 16;

/// Copies the dump of `input`, whose table of contents was read, to `output`. Data of entries for which
/// `wanted` is false stay behind; their entries stay, so that `pg_restore -L` must leave them out. Returns
/// what was counted on the way, unwanted data included.
pub fn write<R: BufRead, W: Write + Seek>(
    input: &mut Input<R>,
    toc: &Toc,
    output: W,
    wanted: &dyn Fn(&Entry) -> bool,
) -> Result<Tally> {
    let mut writer = Writer {
        output,
        toc,
        wanted,
        position: toc.bytes.len() as u64,
        piece: Vec::with_capacity(PIECE),
        writing: false,
        offsets: HashMap::new(),
        tally: Tally::default(),
    };
    writer.raw(&toc.bytes)?;
    blocks::walk(input, toc, &mut writer)?;
    writer.patch()
}

struct Writer<'a, W> {
    output: W,
    toc: &'a Toc,
    wanted: &'a dyn Fn(&Entry) -> bool,
    position: u64,
    piece: Vec<u8>,
    writing: bool,
    offsets: HashMap<i32, u64>,
    tally: Tally,
}

impl<W: Write + Seek> Writer<'_, W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(cannot_write)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        self.raw(bytes)
    }

    fn integer(&mut self, value: i64) -> Result<()> {
        self.put(&number(value, self.toc.integer))
    }

    fn flush_piece(&mut self) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let mut piece = std::mem::take(&mut self.piece);
        self.integer(piece.len() as i64)?;
        self.put(&piece)?;
        piece.clear();
        self.piece = piece;
        Ok(())
    }

    /// Fills in where the data stand.
    fn patch(mut self) -> Result<Tally> {
        for entry in &self.toc.entries {
            let known = self.offsets.get(&entry.id);
            if entry.offset.is_none() && known.is_none() {
                continue;
            }
            let mut field = [0; 9];
            field[0] = if known.is_some() { OFFSET_KNOWN } else { OFFSET_NO_DATA };
            field[1..].copy_from_slice(&known.copied().unwrap_or(0).to_le_bytes());
            self.output.seek(SeekFrom::Start(entry.offset_at)).map_err(cannot_write)?;
            // The size was checked when the header was read: at most 8.
            let field = &field[..=self.toc.offset];
            self.output.write_all(field).map_err(cannot_write)?;
        }
        self.output.flush().map_err(cannot_write)?;
        Ok(self.tally)
    }
}

impl<W: Write + Seek> Sink for Writer<'_, W> {
    fn begin(&mut self, entry: &Entry, large_objects: bool) -> Result<()> {
        self.tally.begin(entry, large_objects)?;
        self.writing = (self.wanted)(entry);
        if self.writing {
            self.offsets.insert(entry.id, self.position);
            self.put(&[if large_objects { LARGE_OBJECTS } else { ROWS }])?;
            self.integer(entry.id.into())?;
        }
        Ok(())
    }

    fn object(&mut self, oid: u32) -> Result<()> {
        self.tally.object(oid)?;
        if self.writing { self.integer((oid as i32).into()) } else { Ok(()) }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.toc.header.packed == Packed::No {
            self.tally.bytes(bytes)?;
        }
        if !self.writing {
            return Ok(());
        }
        if self.piece.len() + bytes.len() > PIECE {
            self.flush_piece()?;
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn object_end(&mut self) -> Result<()> {
        self.tally.object_end()?;
        if !self.writing {
            return Ok(());
        }
        self.flush_piece()?;
        self.integer(0)
    }

    fn end(&mut self) -> Result<()> {
        self.tally.end()?;
        if !self.writing {
            return Ok(());
        }
        self.flush_piece()?;
        // Behind the last piece of rows, and behind the last large object.
        self.integer(0)
    }
}

fn cannot_write(error: std::io::Error) -> Fault {
    let fault = Fault::io("cannot unpack the dump")(error);
    if fault.kind == Kind::NoSpace {
        return Fault::new(Kind::NoSpace, fault.what().clone())
            .remedy("choose another folder for unpacking with --work");
    }
    fault
}
