//! The format's bytes, integers, texts and offsets.

use std::io::{self, BufRead, Read as _};

use crate::recover::{Fault, Kind, Result};

/// No text in a table of contents is longer: PostgreSQL's own limit of a value is 1 GB.
const TEXT_LIMIT: u64 = 1 << 30;

/// Reads a dump from front to end and knows where it is.
#[derive(Debug)]
pub struct Input<R> {
    inner: R,
    position: u64,
    /// Bytes of an integer, and of an offset: the header says.
    pub(super) integer: usize,
    pub(super) offset: usize,
    /// What was read since [`Input::keep`] was called.
    kept: Option<Vec<u8>>,
}

impl<R: BufRead> Input<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, position: 0, integer: 4, offset: 8, kept: None }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// From now on everything that is read is kept, too.
    pub(super) fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was kept.
    pub(super) fn kept(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    /// Fills the buffer.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_exact(buffer).map_err(|error| self.wrong(&error))?;
        self.took(buffer);
        Ok(())
    }

    /// The next byte; none at the end.
    pub(super) fn next_or_end(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.inner.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.took(&byte);
                    return Ok(Some(byte[0]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.wrong(&error)),
            }
        }
    }

    /// Hands the next `length` bytes over in the parts in which they stand in the buffer: they are not copied,
    /// and not kept.
    pub(super) fn hand_over(
        &mut self,
        length: u64,
        mut to: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut left = length;
        while left > 0 {
            let buffered = match self.inner.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.wrong(&error)),
                Ok([]) => return Err(self.wrong(&io::ErrorKind::UnexpectedEof.into())),
                Ok(buffered) => buffered,
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let part = buffered.get(..most).unwrap_or(buffered);
            to(part)?;
            let taken = part.len();
            self.inner.consume(taken);
            self.position += taken as u64;
            left -= taken as u64;
        }
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.fill(&mut byte)?;
        Ok(byte[0])
    }

    /// A sign byte, then the value, lowest byte first.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let mut bytes = [0; 9];
        let size = self.integer;
        // The header's sizes were checked: at most 8.
        let bytes = &mut bytes[..=size];
        self.fill(bytes)?;
        let value = little_endian(&bytes[1..]);
        let value = i64::try_from(value).map_err(|_| self.damaged("a number is too large"))?;
        Ok(if bytes[0] == 0 { value } else { -value })
    }

    /// A length, then that many bytes; none for a length below zero. What is not UTF-8 is shown with
    /// replacement characters: nothing is ever written from here.
    pub(super) fn text(&mut self) -> Result<Option<String>> {
        let Ok(length) = u64::try_from(self.integer()?) else { return Ok(None) };
        if length > TEXT_LIMIT {
            return Err(self.damaged("a text is too long"));
        }
        let mut bytes = Vec::new();
        // Read as it comes, not reserved ahead: the length may be a lie.
        let read = (&mut self.inner)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|error| self.wrong(&error))?;
        self.took(&bytes);
        if read as u64 != length {
            return Err(self.damaged("it ends within a text"));
        }
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }

    /// A flag, then the offset, lowest byte first.
    pub(super) fn data_offset(&mut self) -> Result<(u8, u64)> {
        let flag = self.byte()?;
        let mut bytes = [0; 8];
        let size = self.offset;
        // The header's sizes were checked: at most 8.
        let bytes = &mut bytes[..size];
        self.fill(bytes)?;
        Ok((flag, little_endian(bytes)))
    }

    fn took(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
    }

    /// The dump is not what it should be at the present place.
    pub(super) fn damaged(&self, why: &str) -> Fault {
        Fault::new(Kind::Damaged, format!("the dump is damaged near byte {}: {why}", self.position))
    }

    fn wrong(&self, error: &io::Error) -> Fault {
        if let Some(fault) = Fault::inside(error) {
            return fault;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ if error.raw_os_error().is_none() => self.damaged(&error.to_string()),
            _ => Fault::new(Kind::Unavailable, format!("cannot read the dump: {error}")),
        }
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
