//! Reads lines one by one, so that a ledger of any size fits.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::{
    LedgerError,
    record::{self, Line},
    tail::{LINES, locked_for_reading},
};

/// What stands in one place of the file.
pub(super) enum Place {
    /// A line that is what its hash says.
    Good(Box<Line>),
    /// A line that is not.
    Bad,
    /// Bytes behind the last line feed: a line that was never finished.
    Torn,
}

/// The lines of a source, each with its bytes, the line feed included.
pub(super) struct Lines<R>(BufReader<R>);

impl<R: Read> Lines<R> {
    pub fn new(source: R) -> Self {
        Self(BufReader::new(source))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<(Vec<u8>, Place)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        match self.0.read_until(b'\n', &mut bytes) {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(_) => {
                let place = match bytes.strip_suffix(b"\n") {
                    None => Place::Torn,
                    Some(line) => {
                        record::unseal(line).map_or(Place::Bad, |line| Place::Good(Box::new(line)))
                    }
                };
                Some(Ok((bytes, place)))
            }
        }
    }
}

/// The lines of a ledger, with nobody writing as long as they are read; none when there is no ledger yet.
pub(super) fn of_folder(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<(Vec<u8>, Place), LedgerError>>, LedgerError> {
    let path = folder.join(LINES);
    let lines = locked_for_reading(folder)?.map(Lines::new);
    Ok(lines.into_iter().flatten().map(move |line| {
        line.map_err(|source| LedgerError::Unreadable { path: path.clone(), source })
    }))
}
