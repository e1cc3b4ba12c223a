//! Frames on their way to the terminal: one write each, and none when nothing changed.

use std::io::{self, Write};

/// Begins a synchronized update: the terminal shows nothing until its end (DEC private mode 2026,
/// <https://github.com/contour-terminal/vt-extensions>). Terminals that do not know it ignore it.
const BEGIN: &[u8] = b"\x1b[?2026h";
/// Ends a synchronized update.
const END: &[u8] = b"\x1b[?2026l";

/// Collects a frame and sends it in one write. The terminal must be non-blocking: what it does not take
/// stays here, and no other frame is begun until it is gone.
#[derive(Debug)]
pub struct FrameWriter<W> {
    out: W,
    frame: Vec<u8>,
    sent: usize,
    committed: bool,
    counts: Counts,
}

/// What has been sent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that changed something.
    pub frames: u64,
    /// Writes made for them.
    pub writes: u64,
    /// Bytes taken by the terminal.
    pub bytes: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Frames for `out`.
    pub const fn new(out: W) -> Self {
        let counts = Counts { frames: 0, writes: 0, bytes: 0 };
        Self { out, frame: Vec::new(), sent: 0, committed: false, counts }
    }

    /// Where the content of the frame goes. Nothing is sent before [`FrameWriter::commit`].
    pub fn content(&mut self) -> &mut Vec<u8> {
        if self.frame.is_empty() {
            self.frame.extend_from_slice(BEGIN);
        }
        &mut self.frame
    }

    /// Sends what was collected, if anything was. Call it only when nothing is [pending].
    ///
    /// [pending]: FrameWriter::is_pending
    pub fn commit(&mut self) -> io::Result<()> {
        if self.frame.len() <= BEGIN.len() {
            self.frame.clear();
            return Ok(());
        }
        self.frame.extend_from_slice(END);
        self.committed = true;
        self.counts.frames += 1;
        self.resume()
    }

    /// True while the terminal has not taken the last frame whole.
    pub const fn is_pending(&self) -> bool {
        self.committed
    }

    /// Sends more of the last frame, as much as the terminal takes.
    pub fn resume(&mut self) -> io::Result<()> {
        while self.committed {
            let rest = self.frame.get(self.sent..).unwrap_or_default();
            self.counts.writes += 1;
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.sent += taken;
                    self.counts.bytes += taken as u64;
                    if self.sent >= self.frame.len() {
                        self.forget();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops what has not been sent.
    pub fn forget(&mut self) {
        self.frame.clear();
        self.sent = 0;
        self.committed = false;
    }

    /// What has been sent since the start.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The terminal itself.
    pub const fn out(&self) -> &W {
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `room` bytes, then none until more room is made.
    struct Slow {
        got: Vec<u8>,
        room: usize,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= taken;
            self.got.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_is_one_write_inside_a_synchronized_update() {
        let mut writer = FrameWriter::new(Slow { got: Vec::new(), room: 1000 });
        writer.content().extend_from_slice(b"one");
        writer.content().extend_from_slice(b"two");
        writer.commit().expect("sent");
        assert_eq!(writer.out().got, b"\x1b[?2026honetwo\x1b[?2026l");
        assert_eq!(writer.counts(), Counts { frames: 1, writes: 1, bytes: 22 });
    }

    #[test]
    fn a_frame_without_content_sends_nothing() {
        let mut writer = FrameWriter::new(Slow { got: Vec::new(), room: 1000 });
        writer.commit().expect("nothing to send");
        let _ = writer.content();
        writer.commit().expect("nothing to send");
        assert_eq!(writer.counts(), Counts::default());
        assert!(writer.out().got.is_empty());
    }

    #[test]
    fn what_a_slow_terminal_does_not_take_stays_pending() {
        let mut writer = FrameWriter::new(Slow { got: Vec::new(), room: 10 });
        writer.content().extend_from_slice(b"content");
        writer.commit().expect("a part is sent");
        assert!(writer.is_pending());
        writer.out.room = 1000;
        writer.resume().expect("the rest is sent");
        assert!(!writer.is_pending());
        assert_eq!(writer.out().got, b"\x1b[?2026hcontent\x1b[?2026l");
    }
}
