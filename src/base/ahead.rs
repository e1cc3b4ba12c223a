//! A reader on a thread of its own, a few parts ahead of whoever wants its bytes: unpacking and hashing on one
//! processor while another takes what is unpacked.

use std::{
    io::{self, Read},
    sync::mpsc::{self, Receiver, Sender, SyncSender},
    thread,
};

/// Bytes of a part: a few of them stay in a processor's own cache, and memory that is touched for the first
/// time costs more than handing over.
const PART: usize = 1 << 17;
/// Parts that wait: what is read before anybody wants it.
const PARTS: usize = 2;

/// What is read ahead. Dropping it ends the thread at its next part.
#[derive(Debug)]
pub struct Ahead {
    parts: Receiver<io::Result<Part>>,
    /// Parts that were used up go back, to be filled again.
    spent: Sender<Vec<u8>>,
    part: Part,
    at: usize,
    over: bool,
}

/// Some bytes: the first `length` of a buffer.
#[derive(Debug, Default)]
struct Part {
    buffer: Vec<u8>,
    length: usize,
}

impl Ahead {
    /// Reads on a thread of its own from now on. An error is told where its bytes would have stood.
    pub fn of(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, parts) = mpsc::sync_channel(PARTS);
        let (spent, spare) = mpsc::channel();
        let read = move || read(reader, &send, &spare);
        thread::Builder::new().name("ahead".to_owned()).spawn(read)?;
        Ok(Self { parts, spent, part: Part::default(), at: 0, over: false })
    }
}

fn read(mut reader: impl Read, send: &SyncSender<io::Result<Part>>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = spare.try_recv().unwrap_or_else(|_| vec![0; PART]);
        let (length, error) = fill(&mut reader, &mut buffer);
        let over = length == 0;
        // What was read before an error comes first. Nothing is the end, and said as such.
        let told = (!over || error.is_none()).then(|| send.send(Ok(Part { buffer, length })));
        if matches!(told, Some(Err(_))) {
            return;
        }
        if let Some(error) = error {
            let _ = send.send(Err(error));
            return;
        }
        if over {
            return;
        }
    }
}

/// Reads until a buffer is full, at the end, or at an error.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut length = 0;
    while let Some(room @ [_, ..]) = buffer.get_mut(length..) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(error)),
        }
    }
    (length, None)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.part.length && !self.over {
            let next = match self.parts.recv() {
                Ok(part) => part?,
                Err(mpsc::RecvError) => {
                    return Err(io::Error::other("what reads ahead ended before the end"));
                }
            };
            self.over = next.length == 0;
            let spent = std::mem::replace(&mut self.part, next).buffer;
            self.at = 0;
            if !spent.is_empty() {
                // Behind the end nobody fills it again.
                let _ = self.spent.send(spent);
            }
        }
        let rest = self.part.buffer.get(self.at..self.part.length).unwrap_or_default();
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
    fn a_reader_that_breaks_down_is_no_end() {
        struct Panics(usize);
        impl Read for Panics {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(self.0 > 0, "as it should");
                self.0 -= 1;
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let mut read = Vec::new();
        let broken = Ahead::of(Panics(2)).expect("a thread").read_to_end(&mut read);
        assert!(broken.is_err(), "{} bytes looked like all", read.len());
    }

    #[test]
    fn who_stops_reading_waits_for_nobody() {
        drop(Ahead::of(io::repeat(1)).expect("a thread"));
    }
}
