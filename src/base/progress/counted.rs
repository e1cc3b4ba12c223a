//! A reader that tells how far it is, and that ends when the end is wished.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Observer, Progress};

/// The end was wished while this phase was going on. As the inner error of an [`io::Error`] it passes through
/// whatever reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} was cancelled")]
pub struct Cancelled(pub &'static str);

/// How many bytes of a phase are through. Its clones, and all readers that it counts, count together.
#[derive(Clone)]
pub struct Counter<'a> {
    phase: &'static str,
    done: Arc<AtomicU64>,
    total: u64,
    observer: &'a dyn Observer,
}

impl<'a> Counter<'a> {
    /// Begins a phase of `total` bytes.
    pub fn new(phase: &'static str, total: u64, observer: &'a dyn Observer) -> Self {
        Self { phase, done: Arc::default(), total, observer }
    }

    /// Counts what is read through it. Once the end is wished, reading fails with [`Cancelled`].
    pub fn read<R: Read>(&self, from: R) -> Counted<'a, R> {
        Counted { from, counter: self.clone() }
    }
}

/// What [`Counter::read`] counts.
pub struct Counted<'a, R> {
    from: R,
    counter: Counter<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Counter { phase, done, total, observer } = &self.counter;
        if observer.cancelled() {
            return Err(io::Error::other(Cancelled(phase)));
        }
        let read = self.from.read(buffer)?;
        let done = done.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        observer.progress(&Progress::bytes(*phase, done, Some(*total)));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::{
        cancel::Cancel,
        progress::{Cleanup, Ending, StepId, Unrecorded},
        text::Text,
    };

    /// Wishes the end at so many bytes.
    #[derive(Default)]
    struct Until(u64, Cancel, Mutex<Vec<Progress>>);

    impl Observer for Until {
        fn cancel(&self) -> &Cancel {
            &self.1
        }

        fn begin(&self, _: &Text, _: &Cleanup) -> Result<StepId, Unrecorded> {
            Ok(1)
        }

        fn end(&self, _: StepId, _: &Text, _: &Ending) -> Result<(), Unrecorded> {
            Ok(())
        }

        fn progress(&self, progress: &Progress) {
            self.2.lock().expect("not poisoned").push(progress.clone());
            if progress.done >= self.0 {
                self.1.cancel();
            }
        }

        fn note(&self, _: &Text) {}
    }

    #[test]
    fn readers_are_counted_together_until_the_end_is_wished() {
        let observer = Until(5, Cancel::new(), Mutex::default());
        let counter = Counter::new("copying", 9, &observer);
        let (mut one, mut two) = (counter.read(&b"abc"[..]), counter.read(&b"defghi"[..]));
        let mut buffer = [0; 2];
        let read = [one.read(&mut buffer), two.read(&mut buffer), one.read(&mut buffer)];
        assert_eq!(read.map(|read| read.expect("nobody wishes the end")), [2, 2, 1]);
        let error = two.read(&mut buffer).expect_err("the end is wished");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert_eq!(inner, Some(&Cancelled("copying")));
        assert_eq!(error.to_string(), "copying was cancelled");
        let told = observer.2.into_inner().expect("not poisoned");
        assert_eq!(told, [2, 4, 5].map(|done| Progress::bytes("copying", done, Some(9))));
    }
}
