//! The observer for a person at a terminal: a line now and then.

use std::{fmt, io::Write, sync::Mutex, time::Duration};

use super::{Cleanup, Ending, Measured, Meter, Observer, Progress, StepId, Unit, Unrecorded};
use crate::base::{cancel::Cancel, clock::Clock, text::Text, units};

/// Prints lines: phase, amount, rate, time left, and each note.
pub struct Lines {
    cancel: Cancel,
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    meter: Meter,
    steps: StepId,
}

impl Lines {
    /// Prints to `out`, usually standard error. That it cannot be written is no reason to stop the work.
    pub fn new(out: Box<dyn Write + Send>, cancel: Cancel, clock: &Clock) -> Self {
        let meter = Meter::new(Duration::from_secs(2), Duration::from_secs(15));
        Self { cancel, clock: clock.clone(), inner: Mutex::new(Inner { out, meter, steps: 0 }) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A thread that panicked while it printed has at worst left half a line.
        act(&mut self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Inner {
    fn say(&mut self, line: &str) {
        // Nobody may be looking.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    fn rest(&mut self) {
        if let Some(rest) = self.meter.rest() {
            self.say(&in_words(&rest));
        }
    }
}

impl Observer for Lines {
    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn begin(&self, _: &Text, _: &Cleanup) -> Result<StepId, Unrecorded> {
        Ok(self.with(|inner| {
            inner.steps += 1;
            inner.steps
        }))
    }

    fn end(&self, _: StepId, name: &Text, ending: &Ending) -> Result<(), Unrecorded> {
        self.with(|inner| {
            inner.rest();
            if let Ending::Undone(why) = ending {
                inner.say(&format!("{name}: failed and put away: {why}"));
            }
        });
        Ok(())
    }

    fn progress(&self, progress: &Progress) {
        let now = self.clock.now();
        self.with(|inner| {
            for measured in inner.meter.see(progress, now) {
                inner.say(&in_words(&measured));
            }
        });
    }

    fn note(&self, words: &Text) {
        self.with(|inner| inner.say(words));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.with(Inner::rest);
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// Progress on one line: `copying the data folder  1.2 GB of 4.0 GB  30 %  110 MB/s  26s left`.
pub fn in_words(measured: &Measured) -> String {
    let Measured { progress, rate, seconds_left } = measured;
    let amount = |n| match progress.unit {
        Unit::Bytes => units::bytes(n),
        Unit::Items => units::count(n),
    };
    let mut words = vec![progress.phase.to_string()];
    match progress.total {
        Some(total) if total > 0 => {
            words.push(format!("{} of {}", amount(progress.done), amount(total)));
            let percent = progress.done as f64 * 100.0 / total as f64;
            words.push(format!("{:.0} %", percent.floor()));
        }
        _ if progress.done > 0 => words.push(amount(progress.done)),
        _ => {}
    }
    if let Some(rate) = rate.filter(|rate| *rate > 0.0) {
        words.push(match progress.unit {
            Unit::Bytes => format!("{}/s", units::bytes(rate as u64)),
            Unit::Items => format!("{}/s", units::number(rate)),
        });
    }
    if let Some(left) = seconds_left.filter(|left| *left > 0) {
        words.push(format!("{} left", units::age(Duration::from_secs(left))));
    }
    if let Some(note) = &progress.note {
        words.push(format!("({note})"));
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What was printed.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_person_reads_how_far_it_is_and_how_long_it_takes() {
        let (page, clock) = (Page::default(), Clock::test());
        let lines = Lines::new(Box::new(page.clone()), Cancel::new(), &clock);
        let observer: &dyn Observer = &lines;
        let step = observer.step("base backup", &Cleanup::words("remove it")).expect("begun");
        let waiting = Progress::bytes("copying", 0, Some(4 << 30));
        observer.progress(&waiting.with_note("waiting for the checkpoint: silence is normal"));
        for second in 1..=10_u64 {
            clock.advance(Duration::from_secs(1));
            observer.progress(&Progress::bytes("copying", second << 27, Some(4 << 30)));
        }
        observer.note(&Text::from("a \u{1b}word"));
        step.undone("disk full").expect("told");
        drop(lines);
        let printed =
            String::from_utf8(page.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        let expected = [
            "copying  0 B of 4.0 GB  0 %  (waiting for the checkpoint: silence is normal)",
            "copying  128 MB of 4.0 GB  3 %  128 MB/s  31s left",
            "copying  384 MB of 4.0 GB  9 %  128 MB/s  29s left",
            "copying  640 MB of 4.0 GB  15 %  128 MB/s  27s left",
            "copying  896 MB of 4.0 GB  21 %  128 MB/s  25s left",
            "copying  1.1 GB of 4.0 GB  28 %  128 MB/s  23s left",
            "a ^[word",
            "copying  1.2 GB of 4.0 GB  31 %  128 MB/s  22s left",
            "base backup: failed and put away: disk full",
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    }
}
