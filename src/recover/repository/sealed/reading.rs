//! On the way back: what is stored is hashed, decrypted, unpacked, and hashed again.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Compression, Stored};
use crate::{
    base::{ahead::Ahead, digest::Hasher, text::Text},
    recover::{
        Fault, Kind, Result,
        repository::{
            encryption::{Keys, Outcome},
            key::Key,
            storage::Storage,
        },
    },
};

/// From this size on, in bytes, an object is unpacked on a thread of its own and its content hashed on another,
/// while it is used: two hashes, zstd and what is done with it are too much for one processor.
const AHEAD: u64 = 32 << 20;

/// Reads what a [`Stored`] describes, decrypted and unpacked. The end of it is reached only if everything
/// was as it was written: sizes and both hashes; else reading fails with a fault, which [`Fault::io`] and
/// [`Fault::inside`] bring out again. What was read before that may be used only after the end was seen.
///
/// # Errors
/// [`Kind::Config`] when it is encrypted and no key fits.
pub fn open(storage: &dyn Storage, stored: &Stored, keys: &Keys) -> Result<Box<dyn Read + Send>> {
    let raw = Raw::open(storage, stored)?;
    match raw.content(stored, keys)? {
        Content::Readable(content) => Ok(Box::new(Named { content, key: stored.key.clone() })),
        Content::NoKey(why) => Err(Fault::new(Kind::Config, format!("'{}' is {why}", stored.key))
            .remedy("let recover.identity name the file with the private key")),
    }
}

/// How deep a check could look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sight {
    /// The content was read to its end, and is what was written.
    Content,
    /// Size and hash as stored are right. The content is encrypted, and could not be looked at: why.
    Envelope(Text),
}

/// Reads an object to its end, for nothing but its hashes.
///
/// # Errors
/// [`Kind::Damaged`] when it is not as it was written.
pub fn check(storage: &dyn Storage, stored: &Stored, keys: &Keys) -> Result<Sight> {
    let raw = Raw::open(storage, stored)?;
    let content = match raw.content(stored, keys) {
        // A header that cannot be understood is best told by what it is: bytes that were not written so.
        Err(fault) if fault.kind == Kind::Damaged => {
            raw.drain(&stored.key)?;
            return Err(fault);
        }
        content => content?,
    };
    match content {
        Content::Readable(mut content) => {
            io::copy(&mut content, &mut io::sink())
                .map_err(|error| unreadable(&stored.key, &error))?;
            Ok(Sight::Content)
        }
        Content::NoKey(why) => {
            raw.drain(&stored.key)?;
            Ok(Sight::Envelope(why))
        }
    }
}

/// The bytes as they are stored. Clones read on where the last one stopped.
#[derive(Clone)]
struct Raw(Arc<Mutex<Checked<Box<dyn Read + Send>>>>);

enum Content {
    Readable(Box<dyn Read + Send>),
    NoKey(Text),
}

impl Raw {
    fn open(storage: &dyn Storage, stored: &Stored) -> Result<Self> {
        let checked = Checked::new(
            storage.open(&stored.key)?,
            format!("'{}' as stored", stored.key),
            stored.size,
            &stored.sha256,
        );
        Ok(Self(Arc::new(Mutex::new(checked))))
    }

    fn content(&self, stored: &Stored, keys: &Keys) -> Result<Content> {
        let opened: Box<dyn Read + Send> = if stored.recipients.is_empty() {
            Box::new(self.clone())
        } else {
            match keys.decrypt(&stored.key, &stored.recipients, self.clone())? {
                Outcome::Opened(reader) => Box::new(reader),
                Outcome::NoKey(why) => return Ok(Content::NoKey(why)),
            }
        };
        let unpacked: Box<dyn Read + Send> = match stored.compression {
            Compression::None => opened,
            Compression::Zstd => Box::new(
                zstd::Decoder::new(opened)
                    .map_err(Fault::io(format!("cannot unpack '{}'", stored.key)))?,
            ),
        };
        let large = stored.content_size >= AHEAD;
        let ahead = |reader: Box<dyn Read + Send>| -> Result<Box<dyn Read + Send>> {
            if !large {
                return Ok(reader);
            }
            Ok(Box::new(Ahead::of(reader).map_err(Fault::io("no thread to unpack on"))?))
        };
        // Decryption stops at its last block: what stands behind that, and whether all of it was right,
        // shows only at the end of the stored bytes.
        let content = Checked::new(
            ahead(unpacked)?,
            format!("the content of '{}'", stored.key),
            stored.content_size,
            &stored.content_sha256,
        );
        Ok(Content::Readable(ahead(Box::new(ToTheEnd { content, raw: self.clone() }))?))
    }

    fn drain(mut self, key: &Key) -> Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop).map_err(|error| unreadable(key, &error))
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

/// Content whose end is reached only when the stored bytes are at their end, too.
struct ToTheEnd<R> {
    content: R,
    raw: Raw,
}

impl<R: Read> Read for ToTheEnd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            io::copy(&mut self.raw, &mut io::sink())?;
        }
        Ok(read)
    }
}

/// Content that tells what is wrong with it by its name.
struct Named {
    content: Box<dyn Read + Send>,
    key: Key,
}

impl Read for Named {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => unreadable(&self.key, &error).into_io(),
        })
    }
}

/// For `map_err` behind what decrypts or unpacks an object: damage is told as damage.
pub(in crate::recover) fn unreadable(key: &Key, error: &io::Error) -> Fault {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    if let Some(fault) = Fault::inside(error) {
        return fault;
    }
    match error.kind() {
        // Our own verdict names the object; age and zstd do not.
        InvalidData if error.to_string().contains(key.as_str()) => {
            Fault::new(Kind::Damaged, error.to_string())
        }
        InvalidData => Fault::new(Kind::Damaged, format!("'{key}' cannot be unpacked: {error}")),
        UnexpectedEof => Fault::new(Kind::Damaged, format!("'{key}' is cut off: {error}")),
        // zstd tells its own findings as `Other`.
        _ if error.raw_os_error().is_none() => {
            Fault::new(Kind::Damaged, format!("'{key}' cannot be unpacked: {error}"))
        }
        _ => Fault::new(Kind::Unavailable, format!("cannot read '{key}': {error}")),
    }
}

/// A reader whose end is reached only when length and hash are right.
struct Checked<R> {
    inner: R,
    what: String,
    size: u64,
    sha256: String,
    seen: Hasher,
    done: bool,
}

impl<R: Read> Checked<R> {
    fn new(inner: R, what: String, size: u64, sha256: &str) -> Self {
        let sha256 = sha256.to_owned();
        Self { inner, what, size, sha256, seen: Hasher::default(), done: false }
    }

    fn verdict(&self) -> io::Result<()> {
        let wrong = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let seen = self.seen.length();
        if seen != self.size {
            return wrong(format!("{} has {seen} bytes instead of {}", self.what, self.size));
        }
        if self.seen.clone().finish() != self.sha256 {
            return wrong(format!("{} is not what was written: its SHA-256 differs", self.what));
        }
        Ok(())
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read > 0 {
            self.seen.update(buffer.get(..read).unwrap_or_default());
        } else if !buffer.is_empty() && !self.done {
            self.verdict()?;
            self.done = true;
        }
        Ok(read)
    }
}
