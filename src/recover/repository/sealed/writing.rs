//! On the way in: content is hashed, compressed, encrypted, and hashed again as it is stored.

use std::io::{self, Write};

use age::stream::StreamWriter;
use md5::{Digest as _, Md5};

use super::{Compression, Seal, Stored};
use crate::{
    base::digest::{Hasher, hex},
    recover::{
        Fault, Result,
        repository::{
            key::Key,
            storage::{Overwrite, Storage, Upload},
        },
    },
};

/// With zstd's own checksum. Fast enough never to be the bottleneck beside one of PostgreSQL's tools, and smaller than gzip's
/// default.
const ZSTD_LEVEL: i32 = 1;

/// Writes an object through compression and encryption, hashing both sides of it. Dropped without
/// [`Sealing::finish`], it leaves nothing behind.
pub struct Sealing {
    key: Key,
    compression: Compression,
    recipients: Vec<String>,
    content: Hasher,
    packer: Packer,
}

enum Packer {
    Plain(Box<Envelope>),
    Zstd(Box<zstd::Encoder<'static, Envelope>>),
}

enum Envelope {
    Open(Box<Hashed>),
    Age(Box<StreamWriter<Hashed>>),
}

impl Envelope {
    fn close(self) -> io::Result<Hashed> {
        match self {
            Self::Open(hashed) => Ok(*hashed),
            Self::Age(writer) => writer.finish(),
        }
    }
}

impl Write for Envelope {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(hashed) => hashed.write(bytes),
            Self::Age(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(hashed) => hashed.flush(),
            Self::Age(writer) => writer.flush(),
        }
    }
}

struct Hashed {
    upload: Box<dyn Upload>,
    stored: Hasher,
    sidecar: Option<Sidecar>,
}

/// The MD5 of what is stored, and the object that it goes into.
struct Sidecar {
    upload: Box<dyn Upload>,
    state: Md5,
}

impl Sidecar {
    fn begin(storage: &dyn Storage, key: &Key) -> Result<Self> {
        let beside = Key::new(&format!("{key}.md5"))?;
        let upload = storage.create(&beside, Overwrite::Never)?;
        Ok(Self { upload, state: Md5::new() })
    }

    fn finish(mut self, key: &Key) -> Result<()> {
        writeln!(self.upload, "{}  {}", hex(&self.state.finalize()), key.file())
            .map_err(Fault::io(format!("cannot write '{key}.md5'")))?;
        self.upload.finish()
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes)?;
        let taken = bytes.get(..written).unwrap_or_default();
        self.stored.update(taken);
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.state.update(taken);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}

impl Sealing {
    /// Begins an object that is not there yet.
    pub fn create(storage: &dyn Storage, key: &Key, seal: &Seal) -> Result<Self> {
        let upload = storage.create(key, Overwrite::Never)?;
        let sidecar = if seal.md5 { Some(Sidecar::begin(storage, key)?) } else { None };
        let hashed = Hashed { upload, stored: Hasher::default(), sidecar };
        let envelope = if seal.recipients.is_empty() {
            Envelope::Open(Box::new(hashed))
        } else {
            Envelope::Age(Box::new(seal.recipients.encrypt(key, hashed)?))
        };
        let packer = match seal.compression {
            Compression::None => Packer::Plain(Box::new(envelope)),
            Compression::Zstd => Packer::Zstd(Box::new(
                encoder(envelope, seal.threads)
                    .map_err(Fault::io(format!("cannot compress '{key}'")))?,
            )),
        };
        Ok(Self {
            key: key.clone(),
            compression: seal.compression,
            recipients: seal.recipients.names(),
            content: Hasher::default(),
            packer,
        })
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> u64 {
        self.content.length()
    }

    /// Publishes the object.
    pub fn finish(self) -> Result<Stored> {
        let packed = match self.packer {
            Packer::Plain(envelope) => Ok(*envelope),
            Packer::Zstd(encoder) => encoder.finish(),
        };
        let hashed = packed
            .and_then(Envelope::close)
            .map_err(Fault::io(format!("cannot write '{}'", self.key)))?;
        let (size, sha256) = (hashed.stored.length(), hashed.stored.finish());
        hashed.upload.finish()?;
        if let Some(sidecar) = hashed.sidecar {
            sidecar.finish(&self.key)?;
        }
        Ok(Stored {
            key: self.key,
            size,
            sha256,
            compression: self.compression,
            content_size: self.content.length(),
            content_sha256: self.content.finish(),
            recipients: self.recipients,
        })
    }
}

/// An object whose bytes come packed by zstd, from elsewhere: they are kept as they come. Dropped without
/// [`SealingPacked::finish`], it leaves nothing behind.
pub struct SealingPacked(Sealing);

impl SealingPacked {
    /// Begins an object that is not there yet, whatever packing the seal says.
    pub fn create(storage: &dyn Storage, key: &Key, seal: &Seal) -> Result<Self> {
        let seal = Seal { compression: Compression::None, ..seal.clone() };
        Ok(Self(Sealing::create(storage, key, &seal)?))
    }

    /// Publishes it. `content` saw what its bytes unpack to.
    pub fn finish(self, content: Hasher) -> Result<Stored> {
        let stored = self.0.finish()?;
        let (content_size, content_sha256) = (content.length(), content.finish());
        Ok(Stored { compression: Compression::Zstd, content_size, content_sha256, ..stored })
    }
}

impl Write for SealingPacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn encoder(envelope: Envelope, threads: u32) -> io::Result<zstd::Encoder<'static, Envelope>> {
    let mut encoder = zstd::Encoder::new(envelope, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    if threads > 0 {
        encoder.multithread(threads)?;
    }
    Ok(encoder)
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.packer {
            Packer::Plain(envelope) => envelope.write(bytes)?,
            Packer::Zstd(encoder) => encoder.write(bytes)?,
        };
        self.content.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Packer::Plain(envelope) => envelope.flush(),
            Packer::Zstd(encoder) => encoder.flush(),
        }
    }
}
