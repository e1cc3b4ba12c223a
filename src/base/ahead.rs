//! A reader on a thread of its own, a few parts ahead of whoever wants its bytes: unpacking and hashing on one
//! processor while another takes what is unpacked.

use std::{
    io::{self, Read},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

/// Bytes of a part.
const PART: usize = 1 << 20;
/// Parts that wait: what is read before anybody wants it.
const PARTS: usize = 4;

/// What is read ahead. Dropping it ends the thread at its next part.
#[derive(Debug)]
pub struct Ahead {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    at: usize,
}

impl Ahead {
    /// Reads on a thread of its own from now on. An error is told where its bytes would have stood.
    pub fn of(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, parts) = mpsc::sync_channel(PARTS);
        thread::Builder::new().name("ahead".to_owned()).spawn(move || read(reader, &send))?;
        Ok(Self { parts, part: Vec::new(), at: 0 })
    }
}

fn read(reader: impl Read, send: &SyncSender<io::Result<Vec<u8>>>) {
    let mut reader = reader;
    loop {
        let mut part = Vec::with_capacity(PART);
        let read = (&mut reader).take(PART as u64).read_to_end(&mut part);
        let over = part.len() < PART;
        // What was read before an error comes first.
        if !part.is_empty() && send.send(Ok(part)).is_err() {
            return;
        }
        if let Err(error) = read {
            let _ = send.send(Err(error));
            return;
        }
        if over {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.part.len() {
            match self.parts.recv() {
                Ok(part) => (self.part, self.at) = (part?, 0),
                // The end: the thread has sent all.
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let rest = self.part.get(self.at..).unwrap_or_default();
        let taken = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes, then an error.
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("broken"));
            }
            let taken = self.0.min(buffer.len());
            buffer[..taken].fill(7);
            self.0 -= taken;
            Ok(taken)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_then_the_end() {
        let bytes: Vec<u8> = (0..5_000_001_u32).map(|n| n as u8).collect();
        let mut ahead = Ahead::of(io::Cursor::new(bytes.clone())).expect("a thread");
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).expect("read");
        assert!(read == bytes);
        assert_eq!(ahead.read(&mut [0; 8]).expect("the end"), 0);
    }

    #[test]
    fn an_error_comes_behind_the_bytes_before_it() {
        let mut ahead = Ahead::of(Broken(3 * PART + 5)).expect("a thread");
        let mut read = Vec::new();
        let error = ahead.read_to_end(&mut read).expect_err("broken");
        assert_eq!((read.len(), error.to_string().as_str()), (3 * PART + 5, "broken"));
    }

    #[test]
    fn who_stops_reading_waits_for_nobody() {
        drop(Ahead::of(io::repeat(1)).expect("a thread"));
    }
}
