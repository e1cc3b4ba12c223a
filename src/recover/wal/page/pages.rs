//! The pages of a segment, one after the other, as they are read: no segment has to be held as a whole.

use super::{
    ALL_FLAGS, About, CONTINUED, Flaw, HAS_LONG, Head, LONG, SHORT, check_place, head, u16_at,
    u32_at, u64_at,
};
use crate::recover::wal::segment::{Segment, USUAL_SIZE};

/// A record's own header (`SizeOfXLogRecord`); a record that ends a segment early is nothing else.
pub(super) const RECORD: usize = 24;
/// `XLOG_SWITCH` of the resource manager 0.
pub(super) const SWITCH: u8 = 0x40;

/// Checks a segment against its name while its bytes come, cut in any way: size, place, timeline, and the
/// header of every page. What is wrong is told at the end, for what matters most is known only then.
#[derive(Clone, Debug)]
pub struct Pages {
    name: Segment,
    /// Bytes that came.
    length: u64,
    /// Bytes of whole pages that were looked at.
    checked: u64,
    /// What has come of the next page.
    rest: Vec<u8>,
    /// The two pages before: a switch record may begin on one and end on the other.
    before: Vec<u8>,
    head: Option<Head>,
    last_timeline: u32,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Pages with headers.
    Written,
    /// Nothing but zeros so far, from the first byte on.
    Nothing,
    /// Nothing but zeros from that byte on: the end of the switch record that explains them, or what is wrong.
    Zeros { from: u64, explained: Result<u64, Flaw> },
    /// What comes now no longer matters.
    Flawed(Flaw),
}

impl Pages {
    /// Begins with the segment of that name.
    pub fn of(name: Segment) -> Self {
        Self {
            name,
            length: 0,
            checked: 0,
            rest: Vec::new(),
            before: Vec::new(),
            head: None,
            last_timeline: 0,
            stage: Stage::Written,
        }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let mut bytes = bytes;
        while !bytes.is_empty() && !matches!(self.stage, Stage::Flawed(_)) {
            if let Stage::Nothing = self.stage {
                return self.still_nothing(bytes);
            }
            // Before the head is read a page is as long as that.
            let page = self.head.map_or(LONG, |head| head.page_size as usize);
            if self.rest.is_empty() && bytes.len() >= page && self.head.is_some() {
                let whole = bytes.len() / page * page;
                self.whole_pages(&bytes[..whole], page);
                bytes = &bytes[whole..];
            } else {
                let more = (page - self.rest.len()).min(bytes.len());
                self.rest.extend_from_slice(&bytes[..more]);
                bytes = &bytes[more..];
                if self.rest.len() == page {
                    self.rest_is_whole(page);
                }
            }
        }
    }

    /// The verdict, when all bytes have come.
    pub fn finish(self) -> Result<About, Flaw> {
        if self.length < LONG as u64 {
            return Err(Flaw::Size { is: self.length, should: USUAL_SIZE });
        }
        let Some(head) = self.head else {
            return Err(match self.stage {
                Stage::Flawed(flaw) => flaw,
                _ => Flaw::Zeroed,
            });
        };
        if self.length != head.segment_size {
            return Err(Flaw::Size { is: self.length, should: head.segment_size });
        }
        check_place(self.name, &head)?;
        let switched_at = match self.stage {
            Stage::Written | Stage::Nothing => None,
            Stage::Zeros { explained, .. } => Some(explained?),
            Stage::Flawed(flaw) => return Err(flaw),
        };
        Ok(About { head, last_timeline: self.last_timeline, switched_at })
    }

    fn still_nothing(&mut self, bytes: &[u8]) {
        if !all_zero(bytes) {
            self.stage = Stage::Flawed(Flaw::NoHeader(0));
        }
    }

    /// The next page, put together from pieces; before the head is read, its first bytes.
    fn rest_is_whole(&mut self, page: usize) {
        if self.head.is_some() {
            let whole = std::mem::take(&mut self.rest);
            self.whole_pages(&whole, page);
            self.rest = whole;
            self.rest.clear();
            return;
        }
        match head(&self.rest) {
            Ok(head) => {
                self.head = Some(head);
                self.last_timeline = head.timeline;
            }
            Err(Flaw::Zeroed) => self.stage = Stage::Nothing,
            Err(flaw) => self.stage = Stage::Flawed(flaw),
        }
    }

    fn whole_pages(&mut self, bytes: &[u8], size: usize) {
        let Some(head) = self.head else { return };
        for (number, page) in bytes.chunks_exact(size).enumerate() {
            let at = self.checked;
            self.checked += size as u64;
            // The first page was looked at as the head; what stands behind the last one shows in the length.
            if at == 0 || at >= head.segment_size {
                continue;
            }
            match self.stage {
                Stage::Written if u16_at(page, 0) == Some(0) && all_zero(page) => {
                    let here = bytes.get(..number * size).unwrap_or_default();
                    let before = [self.before.as_slice(), here].concat();
                    let explained = switch_before(&before, at, size, head.position);
                    self.stage = Stage::Zeros { from: at, explained };
                }
                Stage::Written => {
                    match check_page(page, &head, at, self.last_timeline, self.name.timeline) {
                        Ok(timeline) => self.last_timeline = timeline,
                        Err(flaw) => self.stage = Stage::Flawed(flaw),
                    }
                }
                Stage::Zeros { from, .. } if !all_zero(page) => {
                    self.stage = Stage::Flawed(Flaw::Page { at: from, why: "holds only zeros" });
                }
                _ => {}
            }
        }
        self.remember(bytes, 2 * size);
    }

    /// Keeps the last bytes, as many as a switch record can reach over.
    fn remember(&mut self, bytes: &[u8], most: usize) {
        let new = bytes.get(bytes.len().saturating_sub(most)..).unwrap_or_default();
        let old = (self.before.len() + new.len()).saturating_sub(most);
        self.before.drain(..old.min(self.before.len()));
        self.before.extend_from_slice(new);
    }
}

/// Checks a page's short header; returns its timeline.
fn check_page(page: &[u8], head: &Head, at: u64, before: u32, most: u32) -> Result<u32, Flaw> {
    let info = u16_at(page, 2).unwrap_or_default();
    let remaining = u32_at(page, 16);
    let wrong = |why| Err(Flaw::Page { at, why });
    if u16_at(page, 0) != Some(head.magic) {
        return wrong("has no page header");
    }
    if u64_at(page, 8) != head.position + at {
        return wrong("says another position");
    }
    if info & !ALL_FLAGS != 0 || info & HAS_LONG != 0 {
        return wrong("has impossible flags");
    }
    if (info & CONTINUED != 0) != (remaining > 0) {
        return wrong("contradicts itself on whether it begins with the rest of a record");
    }
    let timeline = u32_at(page, 4);
    if timeline < before || timeline > most {
        return Err(Flaw::Timeline { at, is: timeline });
    }
    Ok(timeline)
}

/// The end of the switch record behind which a segment is zeros from its byte `zeros` on; `before` are whole
/// pages up to there. Only such a record leaves pages without headers behind (`CopyXLogRecordToWAL` clears them
/// so that they compress better).
fn switch_before(before: &[u8], zeros: u64, page: usize, position: u64) -> Result<u64, Flaw> {
    let none = Flaw::ZeroTail { at: zeros };
    let base = zeros - before.len() as u64;
    let last = before.iter().rposition(|byte| *byte != 0);
    // Records begin at multiples of 8, and the last byte of its checksum may be zero.
    let end = (last.ok_or_else(|| none.clone())? + 8) / 8 * 8;
    // A record runs on behind the header of the next page.
    let in_page = end % page;
    let header = if base + (end - in_page) as u64 == 0 { LONG } else { SHORT };
    let mut record = Vec::with_capacity(RECORD);
    let here = if in_page == 0 { RECORD } else { in_page.saturating_sub(header).min(RECORD) };
    let spilled = RECORD - here;
    if spilled > 0 {
        let page_start = end - in_page;
        let from = page_start.checked_sub(spilled).ok_or_else(|| none.clone())?;
        record.extend_from_slice(before.get(from..page_start).unwrap_or_default());
    }
    record.extend_from_slice(before.get(end - here..end).unwrap_or_default());
    let end = base + end as u64;
    let fits = record.len() == RECORD
        && u32_at(&record, 0) == RECORD as u32
        && u64_at(&record, 8) < position + end
        && record.get(16) == Some(&SWITCH)
        && record.get(17) == Some(&0);
    if fits { Ok(end) } else { Err(none) }
}

/// True for zeros only; compared in blocks, since most of a segment may be zeros.
pub(super) fn all_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|block| ZEROS.get(..block.len()) == Some(block))
}
