//! What the whole tells.

use super::{Depth, Finding, Wrong};
use crate::{
    base::text::Text,
    recover::wal::{
        chain::{self, Chain, Origin},
        segment::Segment,
    },
};

/// Gaps, histories that are missing, and timelines that should not be.
pub(super) fn of_chain(chain: &Chain, depth: Depth) -> Vec<Finding> {
    let mut findings = Vec::new();
    for gap in chain.gaps() {
        let inside = depth.from.is_none_or(|from| gap.end > from)
            && depth.to.is_none_or(|to| gap.start < to);
        if inside {
            let what = chain::named(&gap, chain.segment_size).into();
            let subject = Segment::at(gap.timeline, gap.start, chain.segment_size);
            let subject = subject.to_string().into();
            findings.push(Finding { wrong: Wrong::Gap, subject, what, lost: Some(gap) });
        }
    }
    for timeline in &chain.timelines {
        let what = match &timeline.origin {
            Origin::First | Origin::From(_) => continue,
            Origin::Missing => Text::ours("it is not in the archive: recovery cannot follow it"),
            Origin::Damaged(why) => why.clone(),
        };
        let subject = format!("{:08X}.history", timeline.id).into();
        findings.push(Finding { wrong: Wrong::History, subject, what, lost: None });
    }
    for (id, what) in chain.unexpected() {
        let subject = format!("{id:08X}.history").into();
        findings.push(Finding { wrong: Wrong::Unexpected, subject, what, lost: None });
    }
    findings
}
