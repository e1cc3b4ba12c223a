//! How bytes are kept: hashed, compressed, hashed again as stored, and on the way back checked twice.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{
    key::Key,
    storage::{Overwrite, Storage, Upload},
};
use crate::{
    base::digest::Hasher,
    recover::{Fault, Kind, Result},
};

/// How an object is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As it is.
    None,
    /// zstd at this level, with its own checksum.
    #[default]
    Zstd,
}

/// Fast enough never to be the bottleneck beside one of PostgreSQL's tools, and smaller than gzip's
/// default.
const ZSTD_LEVEL: i32 = 1;

/// One stored file: what a manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The name of the object.
    pub key: Key,
    /// Its size as stored, in bytes.
    pub size: u64,
    /// SHA-256 of what is stored: checked without unpacking, by `sha256sum`, too.
    pub sha256: String,
    /// How it is packed.
    pub compression: Compression,
    /// Size of what was packed, in bytes.
    pub content_size: u64,
    /// SHA-256 of what was packed.
    pub content_sha256: String,
}

/// Writes an object through compression, hashing both sides of it. Dropped without
/// [`Sealing::finish`], it leaves nothing behind.
pub struct Sealing {
    key: Key,
    compression: Compression,
    content: Hasher,
    packer: Packer,
}

enum Packer {
    Plain(Hashed),
    Zstd(Box<zstd::Encoder<'static, Hashed>>),
}

struct Hashed {
    upload: Box<dyn Upload>,
    stored: Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes)?;
        self.stored.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}

impl Sealing {
    /// Begins an object that is not there yet. `threads` compress beside the caller's; 0 for none.
    pub fn create(
        storage: &dyn Storage,
        key: &Key,
        compression: Compression,
        threads: u32,
    ) -> Result<Self> {
        let upload = storage.create(key, Overwrite::Never)?;
        let hashed = Hashed { upload, stored: Hasher::default() };
        let packer = match compression {
            Compression::None => Packer::Plain(hashed),
            Compression::Zstd => Packer::Zstd(Box::new(
                encoder(hashed, threads).map_err(Fault::io(format!("cannot compress '{key}'")))?,
            )),
        };
        Ok(Self { key: key.clone(), compression, content: Hasher::default(), packer })
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> u64 {
        self.content.length()
    }

    /// Publishes the object.
    pub fn finish(self) -> Result<Stored> {
        let hashed = match self.packer {
            Packer::Plain(hashed) => hashed,
            Packer::Zstd(encoder) => {
                encoder.finish().map_err(Fault::io(format!("cannot write '{}'", self.key)))?
            }
        };
        let (size, sha256) = (hashed.stored.length(), hashed.stored.finish());
        hashed.upload.finish()?;
        Ok(Stored {
            key: self.key,
            size,
            sha256,
            compression: self.compression,
            content_size: self.content.length(),
            content_sha256: self.content.finish(),
        })
    }
}

fn encoder(hashed: Hashed, threads: u32) -> io::Result<zstd::Encoder<'static, Hashed>> {
    let mut encoder = zstd::Encoder::new(hashed, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    if threads > 0 {
        encoder.multithread(threads)?;
    }
    Ok(encoder)
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.packer {
            Packer::Plain(hashed) => hashed.write(bytes)?,
            Packer::Zstd(encoder) => encoder.write(bytes)?,
        };
        self.content.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Packer::Plain(hashed) => hashed.flush(),
            Packer::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Reads what a [`Stored`] describes, unpacked. The end of it is reached only if everything was as it was
/// written: sizes and both hashes; else reading fails with [`io::ErrorKind::InvalidData`]. What was read
/// before that may be used only after the end was seen.
pub fn open(storage: &dyn Storage, stored: &Stored) -> Result<Box<dyn Read + Send>> {
    let raw = Checked::new(
        storage.open(&stored.key)?,
        format!("'{}' as stored", stored.key),
        stored.size,
        &stored.sha256,
    );
    let unpacked: Box<dyn Read + Send> = match stored.compression {
        Compression::None => Box::new(raw),
        Compression::Zstd => Box::new(
            zstd::Decoder::new(raw)
                .map_err(Fault::io(format!("cannot unpack '{}'", stored.key)))?,
        ),
    };
    Ok(Box::new(Checked::new(
        unpacked,
        format!("the content of '{}'", stored.key),
        stored.content_size,
        &stored.content_sha256,
    )))
}

/// Reads an object to its end, for nothing but its hashes.
///
/// # Errors
/// [`Kind::Damaged`] when it is not as it was written.
pub fn check(storage: &dyn Storage, stored: &Stored) -> Result<()> {
    match io::copy(&mut open(storage, stored)?, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(&stored.key, &error)),
    }
}

/// For `map_err` behind [`open`]: damage is told as damage.
pub fn unreadable(key: &Key, error: &io::Error) -> Fault {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error.kind() {
        InvalidData => Fault::new(Kind::Damaged, error.to_string()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recover::repository::folder::Folder;

    fn seal(folder: &Folder, bytes: &[u8], compression: Compression) -> Stored {
        let key = Key::new("a/x.zst").expect("a name");
        let mut sealing = Sealing::create(folder, &key, compression, 2).expect("begun");
        sealing.write_all(bytes).expect("written");
        sealing.finish().expect("published")
    }

    fn read(folder: &Folder, stored: &Stored) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match open(folder, stored)?.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(unreadable(&stored.key, &error)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_goes_in_comes_out_and_any_damage_is_found(
            bytes in prop::collection::vec(any::<u8>(), 1..5000),
            packed in any::<bool>(),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            cut in any::<bool>(),
        ) {
            let home = tempfile::tempdir().expect("a folder");
            let folder = Folder::open(home.path()).expect("opened");
            let compression = if packed { Compression::Zstd } else { Compression::None };
            let stored = seal(&folder, &bytes, compression);
            prop_assert_eq!(&read(&folder, &stored).expect("sound"), &bytes);
            let path = folder.path(&stored.key).expect("a path");
            let mut raw = std::fs::read(&path).expect("read");
            let at = at.index(raw.len());
            if cut { raw.truncate(at) } else { raw[at] ^= 1 << bit }
            std::fs::write(&path, raw).expect("damaged");
            let fault = read(&folder, &stored).expect_err("damaged");
            prop_assert_eq!(fault.kind, Kind::Damaged, "{}", fault);
            prop_assert!(check(&folder, &stored).is_err());
        }
    }

    #[test]
    fn an_object_dropped_on_the_way_leaves_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let key = Key::new("x").expect("a name");
        let mut sealing = Sealing::create(&folder, &key, Compression::Zstd, 0).expect("begun");
        sealing.write_all(b"half").expect("written");
        drop(sealing);
        assert_eq!(folder.list(&Key::new("a").expect("a name")).expect("listed"), []);
        assert_eq!(folder.leftovers().expect("listed"), []);
    }
}
