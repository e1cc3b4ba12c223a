//! Fingerprints: SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.

use std::{
    fmt::Write as _,
    io::{self, Read},
};

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 and the length of bytes that come piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    state: Sha256,
    length: u64,
}

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// How many bytes came.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The fingerprint of all of them.
    pub fn finish(self) -> String {
        hex(&self.state.finalize())
    }
}

/// Hashes what is read through it.
#[derive(Debug)]
pub struct Hashing<R> {
    from: R,
    seen: Hasher,
}

impl<R> Hashing<R> {
    /// Around a reader of which nothing was read yet.
    pub fn of(from: R) -> Self {
        Self { from, seen: Hasher::default() }
    }

    /// What was seen.
    pub fn seen(self) -> Hasher {
        self.seen
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.seen.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// A short name for a plan, by what it says: the first twelve digits of the SHA-256 of its JSON. Not meant to
/// withstand forgery, only to tell that nothing has changed.
pub fn mark(plan: &serde_json::Value) -> String {
    sha256(plan.to_string().as_bytes())[..12].to_owned()
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_that_of_sha256sum() {
        // FIPS 180-4, example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
        let mut hasher = Hasher::default();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!((hasher.length(), hasher.finish().as_str()), (3, expected));
    }
}
