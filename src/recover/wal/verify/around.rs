//! The commits next to a loss.

use super::reading::transactions;
use crate::{
    base::{cancel::Cancel, clock::Timestamp},
    recover::{
        Result,
        wal::{
            archive::Archive,
            chain::Window,
            dump::{Dump, Scratch},
            page,
            segment::{Segment, WalFile},
            verified::Memory,
        },
    },
};

/// How far the commits around a loss are looked for, in segments.
const LOOK_AROUND: u64 = 16;

/// Finds the commits next to a loss: the last one before it and the first one behind it.
pub(super) fn look_around(
    archive: &Archive,
    dump: &Dump,
    memory: &Memory,
    size: u64,
    lost: &mut Window,
    cancel: &Cancel,
) -> Result<()> {
    let (first, behind) = (lost.start / size, lost.end / size);
    let commits =
        |number: u64| commits_of(archive, dump, memory, lost.timeline, number, size, cancel);
    if lost.after.is_none() {
        for number in (first.saturating_sub(LOOK_AROUND)..first).rev() {
            let Some((_, newest)) = commits(number)? else { break };
            if newest.is_some() {
                lost.after = newest;
                break;
            }
        }
    }
    if lost.before.is_none() {
        for number in behind..behind + LOOK_AROUND {
            let Some((first, _)) = commits(number)? else { break };
            if first.is_some() {
                lost.before = first;
                break;
            }
        }
    }
    Ok(())
}

type Commits = (Option<Timestamp>, Option<Timestamp>);

/// The first and the last commit in a segment; none when it is not there or cannot be read.
fn commits_of(
    archive: &Archive,
    dump: &Dump,
    memory: &Memory,
    timeline: u32,
    number: u64,
    size: u64,
    cancel: &Cancel,
) -> Result<Option<Commits>> {
    let segment = Segment::numbered(timeline, number, size);
    if let Some(seen) = memory.get(&segment.to_string()).filter(|seen| seen.records) {
        return Ok(Some((seen.first_commit, seen.last_commit)));
    }
    let kept = archive.find(WalFile::Segment(segment))?;
    let [kept] = kept.as_slice() else { return Ok(None) };
    let Ok(content) = archive.read(kept) else { return Ok(None) };
    if page::check(segment, &content).is_err() {
        return Ok(None);
    }
    commits_in(dump, segment, &content, cancel).map(Some)
}

/// The first and the last commit in the content of a segment, as far as its records are sound.
pub fn commits_in(
    dump: &Dump,
    segment: Segment,
    content: &[u8],
    cancel: &Cancel,
) -> Result<Commits> {
    let scratch = Scratch::new()?;
    scratch.put(segment, content)?;
    let (mut first, mut last) = (None, None);
    dump.read(scratch.path(), (segment, segment), &transactions(), cancel, &mut |record| {
        if let Some(outcome) = record.outcome().filter(|outcome| outcome.committed) {
            first = first.or(Some(outcome.at));
            last = Some(outcome.at);
        }
    })?;
    Ok((first, last))
}
