//! From a running tool into the repository: its output is taken on a thread of its own, while its messages,
//! its end and the wish to stop are looked at here.

use std::{
    io::{self, Read, Write},
    process::ChildStdout,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    base::{cancel::Cancel, exec::Tool, text::Text},
    recover::{Fault, Kind, Result, repository::sealed::Sealing},
};

/// The output of a tool, counted while it is read.
pub struct Output<'a> {
    pipe: ChildStdout,
    seen: &'a AtomicU64,
}

impl Output<'_> {
    /// Whether the tool has closed it, without waiting. What stands in it until then is passed over: for tools
    /// that print nothing.
    pub fn over(&self) -> bool {
        let mut waste = [0; 4096];
        loop {
            let mut pipe = [PollFd::new(&self.pipe, PollFlags::IN)];
            match poll(&mut pipe, Some(&Timespec::default())) {
                Ok(0) | Err(Errno::INTR) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
            match rustix::io::read(&self.pipe, &mut waste) {
                Ok(1..) | Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return true,
            }
        }
    }
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(buffer)?;
        self.seen.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads a stream, and keeps what was read.
pub struct Tee<R, W = Sealing> {
    from: R,
    into: W,
    fault: Option<Fault>,
}

impl<R: Read, W: Write> Tee<R, W> {
    pub fn new(from: R, into: W) -> Self {
        Self { from, into, fault: None }
    }

    /// What was kept, when all went well. Who reads a tee cannot tell a stream that breaks from a place that
    /// is full: that is told here.
    pub fn finish<T>(self, read: Result<T>) -> Result<(W, T)> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok((self.into, read?)),
        }
    }
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if let Err(error) = self.into.write_all(buffer.get(..read).unwrap_or_default()) {
            let kind = error.kind();
            self.fault = Some(Fault::io("cannot write to the repository")(error));
            return Err(kind.into());
        }
        Ok(read)
    }
}

/// Runs a tool whose output `take` reads to its end. `look` is called again and again with the bytes read
/// so far and the messages that came since. What `take` made is returned only when the tool, too, says that
/// all went well.
pub fn pump<T: Send>(
    tool: &Tool,
    cancel: &Cancel,
    take: impl FnOnce(Output<'_>) -> Result<T> + Send,
    look: &mut dyn FnMut(u64, &[Text]),
) -> Result<T> {
    let mut running = tool.start(cancel, false)?;
    let Some(pipe) = running.stdout.take() else {
        return Err(Fault::new(Kind::Failed, format!("{} has no output", tool.name())));
    };
    let (seen, broken) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let output = Output { pipe, seen: &seen };
        let reader = scope.spawn(|| {
            let taken = take(output);
            broken.store(taken.is_err(), Ordering::Release);
            taken
        });
        let mut lines: Vec<Text> = Vec::new();
        loop {
            let ended = running.ended();
            running.listen(&mut |line| lines.push(line.clone()));
            look(seen.load(Ordering::Relaxed), &std::mem::take(&mut lines));
            if ended? {
                break;
            }
            if broken.load(Ordering::Acquire) {
                // Nobody takes what it says any more.
                running.end();
            }
            running.pause();
        }
        let finished = running.finish(&mut |line| lines.push(line.clone()));
        // It copies bytes and returns what goes wrong: it does not panic.
        let taken = reader
            .join()
            .unwrap_or_else(|_| Err(Fault::new(Kind::Failed, "the reader of the tool broke")));
        look(seen.load(Ordering::Relaxed), &lines);
        match (taken, finished) {
            (_, Err(error)) if cancel.cancelled() => Err(error.into()),
            // A tool that nobody listens to any more fails, too: the first cause is ours.
            (Err(fault), Err(_)) if fault.kind != Kind::Damaged => Err(fault),
            (_, Err(error)) => Err(error.into()),
            (taken, Ok(())) => taken,
        }
    })
}
