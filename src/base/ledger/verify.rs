//! Finds the first line that is not as it was written.

use std::{collections::BTreeSet, fmt, path::Path};

use serde::Serialize;

use super::{
    LedgerError,
    lines::{self, Place},
    record::{Line, Outcome},
    tail::Head,
};

/// What is wrong with a ledger; the first thing in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// This line is not what was written there.
    Altered {
        /// Where it stands, from 1.
        line: u64,
    },
    /// Lines are missing.
    Removed {
        /// The number of the first missing one.
        from: u64,
        /// The number of the last missing one.
        to: u64,
    },
    /// A line stands where another belongs, which stands elsewhere; or a line stands there again.
    Reordered {
        /// Where, from 1.
        line: u64,
        /// The number of what stands there.
        found: u64,
        /// The number of what belongs there.
        expected: u64,
    },
    /// Lines are missing at the end: the head names a later one.
    CutOff {
        /// The number of the first missing one.
        from: u64,
        /// The number that the head names.
        to: u64,
    },
    /// The head is missing or cannot be read, so that nobody can tell whether lines were cut off the end.
    NoHead {
        /// The number of the last line.
        last: u64,
    },
    /// The head is an old one, or somebody else has written lines behind it.
    OldHead {
        /// The number that it names.
        head: u64,
        /// The number of the last line.
        last: u64,
    },
}

impl Fault {
    /// The number of the first line that is concerned.
    pub const fn line(&self) -> u64 {
        match self {
            Self::Altered { line } => *line,
            Self::Removed { from, .. } | Self::CutOff { from, .. } => *from,
            Self::Reordered { expected, .. } => *expected,
            Self::NoHead { last } => *last + 1,
            Self::OldHead { head, .. } => *head + 1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { line } => write!(f, "line {line} was altered"),
            Self::Removed { from, to } if from == to => write!(f, "line {from} was removed"),
            Self::Removed { from, to } => write!(f, "lines {from} to {to} were removed"),
            Self::Reordered { line, found, expected } if found < expected => {
                write!(f, "line {line} holds number {found} again, where {expected} belongs")
            }
            Self::Reordered { line, found, expected } => {
                write!(f, "line {line} holds number {found}, where {expected} belongs: reordered")
            }
            Self::CutOff { from, to } if from == to => {
                write!(f, "line {from} was cut off the end")
            }
            Self::CutOff { from, to } => write!(f, "lines {from} to {to} were cut off the end"),
            Self::NoHead { last } => {
                write!(
                    f,
                    "the head is missing: whether lines behind {last} were cut off, nobody can tell"
                )
            }
            Self::OldHead { head, last } => write!(
                f,
                "the head names line {head}, but the ledger goes on to {last}: it is an old head, or \
                 lines were written by others"
            ),
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many whole lines were read.
    pub lines: u64,
    /// The last good line's number and hash: note it elsewhere, and a later ledger can be held against it.
    pub head: Option<Head>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// Acts whose end is not recorded, by the number of the line that began them: still going on, or their
    /// process was killed. Told as far as the lines are good.
    pub open: BTreeSet<u64>,
    /// The numbers of lines that tell of something put right: a torn line moved aside, a lost head.
    pub mended: Vec<u64>,
    /// A line at the end was never finished. The next act moves it aside and records that.
    pub torn: bool,
}

/// Verifies the ledger of a folder. A ledger that is not there yet is whole.
pub fn verify(folder: &Path) -> Result<Verdict, LedgerError> {
    let mut check = Check::from(Head::origin());
    let head = {
        let lines = lines::of_folder(folder)?;
        // The head is read while the lines are locked.
        let head = Head::read(folder);
        check.expect(head.as_ref());
        for line in lines {
            let (_, place) = line?;
            check.see(place);
        }
        head
    };
    Ok(check.against(head.as_ref()))
}

/// A verification under way.
pub(super) struct Check {
    before: Head,
    /// The number before the first line: with it, places in the file become numbers.
    origin: u64,
    verdict: Verdict,
    /// A number that was missing where it belongs; whether it comes later tells reordered from removed.
    missing: Option<Missing>,
    /// The number that the head names, and the hash of that line.
    named: u64,
    named_hash: Option<String>,
}

struct Missing {
    line: u64,
    expected: u64,
    found: u64,
}

impl Check {
    /// Begins behind the line that `before` names.
    pub fn from(before: Head) -> Self {
        let (origin, verdict) = (before.seq, Verdict::default());
        Self { before, origin, verdict, missing: None, named: 0, named_hash: None }
    }

    /// Says beforehand which line is to be held against the head.
    pub fn expect(&mut self, head: Option<&Head>) {
        self.named = head.map_or(0, |head| head.seq);
        self.named_hash = (self.named == self.origin).then(|| self.before.hash.clone());
    }

    fn place(&self) -> u64 {
        self.origin + self.verdict.lines
    }

    /// Looks at the next line.
    pub fn see(&mut self, place: Place) {
        if matches!(place, Place::Torn) {
            self.verdict.torn = true;
            return;
        }
        self.verdict.lines += 1;
        match (&mut self.missing, place) {
            (Some(missing), Place::Good(line)) if line.record.seq == missing.expected => {
                self.verdict.fault = Some(Fault::Reordered {
                    line: missing.line,
                    found: missing.found,
                    expected: missing.expected,
                });
                self.missing = None;
            }
            (Some(_), _) => {}
            (None, _) if self.verdict.fault.is_some() => {}
            (None, Place::Good(line)) => self.chain(*line),
            (None, _) => self.fault(Fault::Altered { line: self.place() }),
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.verdict.fault.get_or_insert(fault);
    }

    fn chain(&mut self, line: Line) {
        let (at, expected) = (self.place(), self.before.seq + 1);
        let Line { record, hash } = line;
        if record.seq > expected {
            self.missing = Some(Missing { line: at, expected, found: record.seq });
            return;
        }
        if record.seq < expected {
            return self.fault(Fault::Reordered { line: at, found: record.seq, expected });
        }
        if record.prev != self.before.hash {
            // Its own hash is right, so the line before has another one than when this was written.
            return self.fault(Fault::Altered { line: (at - 1).max(self.origin + 1) });
        }
        match record.begun {
            Some(begun) => drop(self.verdict.open.remove(&begun)),
            None if record.outcome == Outcome::Begun => drop(self.verdict.open.insert(record.seq)),
            None => {}
        }
        if &*record.action == "ledger.mended" {
            self.verdict.mended.push(record.seq);
        }
        if record.seq == self.named {
            self.named_hash = Some(hash.clone());
        }
        self.before = Head { seq: record.seq, hash };
    }

    /// The verdict on what was seen, with what the head says.
    pub fn against(mut self, head: Option<&Head>) -> Verdict {
        if let Some(missing) = self.missing.take() {
            self.fault(Fault::Removed { from: missing.expected, to: missing.found - 1 });
        }
        let last = self.before.seq;
        let fault = match head {
            // The process that wrote the very first line may have died before it wrote the head.
            None => (last > 1).then_some(Fault::NoHead { last }),
            Some(head) if head.seq > last => Some(Fault::CutOff { from: last + 1, to: head.seq }),
            Some(head) if self.named_hash.as_ref() != Some(&head.hash) => {
                Some(Fault::Altered { line: head.seq })
            }
            // One process may have died between its line and the head.
            Some(head) if head.seq + 1 < last => Some(Fault::OldHead { head: head.seq, last }),
            Some(_) => None,
        };
        if let Some(fault) = fault {
            self.fault(fault);
        }
        self.verdict.head = (last > self.origin).then_some(self.before);
        self.verdict
    }
}
