//! How bytes are kept: hashed, compressed, encrypted, hashed again as stored, and on the way back checked
//! twice.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use age::stream::StreamWriter;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::{
    encryption::{Keys, Outcome, Recipients},
    key::Key,
    storage::{Overwrite, Storage, Upload},
};
use crate::{
    base::{
        ahead::Ahead,
        digest::{Hasher, hex},
        text::Text,
    },
    recover::{Fault, Kind, Result},
};

/// How an object is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As it is.
    None,
    /// zstd.
    #[default]
    Zstd,
}

/// With zstd's own checksum. Fast enough never to be the bottleneck beside one of PostgreSQL's tools, and smaller than gzip's
/// default.
const ZSTD_LEVEL: i32 = 1;

/// From this size on, in bytes, an object is unpacked on a thread of its own and its content hashed on another,
/// while it is used: two hashes, zstd and what is done with it are too much for one processor.
const AHEAD: u64 = 32 << 20;

/// How something new is sealed.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    /// How it is packed.
    pub compression: Compression,
    /// Threads that compress beside the caller's; 0 for none.
    pub threads: u32,
    /// For whom it is encrypted; for nobody when empty.
    pub recipients: Recipients,
    /// `NAME.md5` is written beside it, for `md5sum -c`.
    pub md5: bool,
}

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
    /// The public keys for which it was encrypted; empty when it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}

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

/// Reads what a [`Stored`] describes, decrypted and unpacked. The end of it is reached only if everything
/// was as it was written: sizes and both hashes; else reading fails with [`io::ErrorKind::InvalidData`]. What
/// was read before that may be used only after the end was seen.
///
/// # Errors
/// [`Kind::Config`] when it is encrypted and no key fits.
pub fn open(storage: &dyn Storage, stored: &Stored, keys: &Keys) -> Result<Box<dyn Read + Send>> {
    let raw = Raw::open(storage, stored)?;
    match raw.content(stored, keys)? {
        Content::Readable(content) => Ok(content),
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

/// For `map_err` behind [`open`]: damage is told as damage.
pub fn unreadable(key: &Key, error: &io::Error) -> Fault {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    if let Some(fault) = Fault::inside(error) {
        return fault.clone();
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

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;
    use proptest::prelude::*;

    use super::*;
    use crate::recover::repository::folder::Folder;

    /// An identity, in a file of its own.
    struct Holder {
        keys: Keys,
        recipients: Recipients,
        _file: tempfile::NamedTempFile,
    }

    fn holder() -> Holder {
        let identity = age::x25519::Identity::generate();
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(identity.to_string().expose_secret().as_bytes()).expect("written");
        let recipients = Recipients::parse([identity.to_public().to_string().as_str()]);
        Holder {
            keys: Keys::of_file(file.path()),
            recipients: recipients.expect("a key"),
            _file: file,
        }
    }

    fn seal(folder: &Folder, bytes: &[u8], seal: &Seal) -> Stored {
        let key = Key::new("a/x.zst").expect("a name");
        let mut sealing = Sealing::create(folder, &key, seal).expect("begun");
        sealing.write_all(bytes).expect("written");
        sealing.finish().expect("published")
    }

    fn read(folder: &Folder, stored: &Stored, keys: &Keys) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match open(folder, stored, keys)?.read_to_end(&mut bytes) {
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
            encrypted in any::<bool>(),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            how in 0_u8..3,
        ) {
            let home = tempfile::tempdir().expect("a folder");
            let folder = Folder::open(home.path()).expect("opened");
            let compression = if packed { Compression::Zstd } else { Compression::None };
            let holder = holder();
            let recipients = if encrypted { holder.recipients } else { Recipients::default() };
            let stored = seal(&folder, &bytes, &Seal { compression, threads: 2, recipients, md5: true });
            prop_assert_eq!(&read(&folder, &stored, &holder.keys).expect("sound"), &bytes);
            prop_assert_eq!(check(&folder, &stored, &holder.keys).expect("sound"), Sight::Content);
            let path = folder.path(&stored.key).expect("a path");
            let mut raw = std::fs::read(&path).expect("read");
            let at = at.index(raw.len());
            match how {
                0 => raw.truncate(at),
                1 => raw[at] ^= 1 << bit,
                _ => raw.push(bit),
            }
            std::fs::write(&path, raw).expect("damaged");
            // A header for another key cannot be told from a damaged one before the stored hash is known:
            // that is what a check is for.
            let fault = read(&folder, &stored, &holder.keys).expect_err("damaged");
            prop_assert_eq!(fault.kind, Kind::Damaged, "{}", fault);
            for keys in [&holder.keys, &Keys::default()] {
                let fault = check(&folder, &stored, keys).expect_err("damaged");
                prop_assert_eq!(fault.kind, Kind::Damaged, "{}", fault);
            }
        }
    }

    #[test]
    fn every_recipient_opens_it_and_for_others_only_the_envelope_is_checked() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let (one, two, other) = (holder(), holder(), holder());
        let names = [one.recipients.names(), two.recipients.names()].concat();
        let recipients = Recipients::parse(names.iter().map(String::as_str)).expect("keys");
        // More than one block of age, and exactly two of them.
        for length in [200_000, 131_072] {
            let bytes = vec![7; length];
            let (compression, recipients) = (Compression::None, recipients.clone());
            let plan = Seal { compression, recipients, ..Seal::default() };
            let stored = seal(&folder, &bytes, &plan);
            assert_eq!(stored.recipients, names);
            for keys in [&one.keys, &two.keys] {
                assert_eq!(read(&folder, &stored, keys).expect("opened"), bytes);
            }
            for (keys, word) in [(&Keys::default(), "no identity given"), (&other.keys, "holds")] {
                let fault = read(&folder, &stored, keys).expect_err("sealed");
                assert_eq!(fault.kind, Kind::Config);
                let words = [word, &names[0], "sealed for"];
                assert!(words.iter().all(|word| fault.to_string().contains(word)), "{fault}");
                let Sight::Envelope(why) = check(&folder, &stored, keys).expect("whole") else {
                    panic!("the content cannot have been looked at");
                };
                assert!(why.contains(word), "{why}");
            }
            folder.remove(&stored.key).expect("removed");
        }
    }

    #[test]
    fn what_comes_packed_is_kept_as_it_comes_and_read_as_what_it_holds() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let holder = holder();
        let bytes: Vec<u8> = (0..400_000_u32).map(|n| (n / 7) as u8).collect();
        // As a server writes it: without zstd's checksum.
        let packed = zstd::encode_all(bytes.as_slice(), 1).expect("packed");
        for (name, recipients) in
            [("open", Recipients::default()), ("encrypted", holder.recipients.clone())]
        {
            let key = Key::new(name).expect("a name");
            let plan = Seal { recipients, md5: true, ..Seal::default() };
            let mut sealing = SealingPacked::create(&folder, &key, &plan).expect("begun");
            sealing.write_all(&packed).expect("written");
            let mut content = Hasher::default();
            content.update(&bytes);
            let stored = sealing.finish(content).expect("published");
            assert_eq!(stored.compression, Compression::Zstd);
            assert_eq!(read(&folder, &stored, &holder.keys).expect("sound"), bytes, "{name}");
            let kept = std::fs::read(folder.path(&key).expect("a path")).expect("read");
            assert_eq!(kept == packed, name == "open");
        }
    }

    #[test]
    fn what_is_sealed_for_others_than_the_manifest_says_is_damage() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let (one, two) = (holder(), holder());
        let plan = Seal { recipients: one.recipients.clone(), ..Seal::default() };
        let mut stored = seal(&folder, b"words", &plan);
        stored.recipients = two.recipients.names();
        assert_eq!(check(&folder, &stored, &two.keys).expect_err("damage").kind, Kind::Damaged);
        // Said to be sealed, and is not; and the other way round.
        stored.recipients.clear();
        assert_eq!(check(&folder, &stored, &one.keys).expect_err("damage").kind, Kind::Damaged);
        folder.remove(&stored.key).expect("removed");
        let mut plain = seal(&folder, b"words", &Seal::default());
        plain.recipients = one.recipients.names();
        assert_eq!(check(&folder, &plain, &one.keys).expect_err("damage").kind, Kind::Damaged);
    }

    #[test]
    fn an_object_dropped_on_the_way_leaves_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let (key, above) = (Key::new("a/x").expect("a name"), Key::new("a").expect("a name"));
        for recipients in [Recipients::default(), holder().recipients] {
            let plan = Seal { recipients, md5: true, ..Seal::default() };
            let mut sealing = Sealing::create(&folder, &key, &plan).expect("begun");
            sealing.write_all(b"half").expect("written");
            drop(sealing);
            assert_eq!(folder.list(&above).expect("listed"), []);
            assert_eq!(folder.leftovers(&above).expect("listed"), []);
        }
    }
}
