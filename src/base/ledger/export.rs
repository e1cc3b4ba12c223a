//! A part of the ledger for others: its lines as they stand, behind a header that says what they are
//! chained to and where they end.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    LedgerError, Selection, Verdict,
    lines::{self, Lines, Place},
    record::Record,
    tail::{Head, LINES},
    verify::Check,
};
use crate::base::{clock::Clock, clock::Timestamp};

/// The form of bundles that this program writes and reads.
const VERSION: u32 = 1;

/// The first line of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the bundle.
    pub howdah_ledger: u32,
    /// When it was made.
    pub exported: Timestamp,
    /// What stands before its first line.
    pub before: Head,
    /// Its last line.
    pub last: Head,
    /// The ledger's last line at that time.
    pub head: Option<Head>,
}

/// Writes the lines of the selected time to `out`: all between the first act that is in it and the last,
/// whatever the target, so that the chain stays whole. Returns the header and the verdict on the whole
/// ledger; a faulty one is exported as it is.
pub fn export(
    folder: &Path,
    selection: &Selection,
    clock: &Clock,
    out: &mut dyn Write,
) -> Result<(Header, Verdict), LedgerError> {
    let whole = Selection { target: None, ..selection.clone() };
    let (mut check, mut offset) = (Check::from(Head::origin()), 0);
    let mut part: Option<Part> = None;
    let head = {
        let lines = lines::of_folder(folder)?;
        let head = Head::read(folder);
        check.expect(head.as_ref());
        for line in lines {
            let (bytes, place) = line?;
            offset += bytes.len() as u64;
            if let Place::Good(line) = &place
                && whole.takes(&line.record)
            {
                let last = Head { seq: line.record.seq, hash: line.hash.clone() };
                let from = offset - bytes.len() as u64;
                part.get_or_insert_with(|| Part::beginning(from, &line.record)).end(offset, last);
            }
            check.see(place);
        }
        head
    };
    let header = Header {
        howdah_ledger: VERSION,
        exported: clock.wall(),
        before: part.as_ref().map_or_else(Head::origin, |part| part.before.clone()),
        last: part.as_ref().map_or_else(Head::origin, |part| part.last.clone()),
        head: head.clone(),
    };
    let first = serde_json::to_string(&header)? + "\n";
    out.write_all(first.as_bytes()).map_err(LedgerError::Export)?;
    if let Some(part) = part {
        part.copy(&folder.join(LINES), out)?;
    }
    out.flush().map_err(LedgerError::Export)?;
    Ok((header, check.against(head.as_ref())))
}

/// The bytes of the file that are exported.
struct Part {
    from: u64,
    to: u64,
    before: Head,
    last: Head,
}

impl Part {
    fn beginning(from: u64, first: &Record) -> Self {
        let before = Head { seq: first.seq.saturating_sub(1), hash: first.prev.clone() };
        Self { from, to: from, last: before.clone(), before }
    }

    fn end(&mut self, to: u64, last: Head) {
        (self.to, self.last) = (to, last);
    }

    /// Lines are only ever added, so the bytes are still those that were read.
    fn copy(&self, path: &Path, out: &mut dyn Write) -> Result<(), LedgerError> {
        let unreadable = |source| LedgerError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(self.from)).map_err(unreadable)?;
        std::io::copy(&mut file.take(self.to - self.from), out).map_err(LedgerError::Export)?;
        Ok(())
    }
}

/// Verifies a bundle by what its header says.
pub fn verify_bundle(source: impl Read) -> Result<(Header, Verdict), LedgerError> {
    let mut reader = BufReader::new(source);
    let mut first = Vec::new();
    reader.read_until(b'\n', &mut first).map_err(LedgerError::Bundle)?;
    let header: Header =
        serde_json::from_slice(&first).map_err(|why| LedgerError::NotABundle(why.to_string()))?;
    if header.howdah_ledger != VERSION {
        let why = format!("its form is {}, this program knows {VERSION}", header.howdah_ledger);
        return Err(LedgerError::NotABundle(why));
    }
    let mut check = Check::from(header.before.clone());
    check.expect(Some(&header.last));
    for line in Lines::new(reader) {
        check.see(line.map_err(LedgerError::Bundle)?.1);
    }
    let verdict = check.against(Some(&header.last));
    Ok((header, verdict))
}
