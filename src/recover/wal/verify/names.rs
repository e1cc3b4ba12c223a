//! What names alone tell.

use super::{Finding, Wrong, window};
use crate::{
    base::text::Text,
    recover::wal::{
        archive::{Listed, Listing},
        segment::{Segment, WalFile},
    },
};

/// Strangers, segments of another cut, and names that are there twice.
pub(super) fn by_name(listing: &Listing, size: u64) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for name in &listing.strangers {
        let what = Text::ours("no file of an archive is called so");
        findings.push(Finding { wrong: Wrong::Stranger, subject: name.clone(), what, lost: None });
    }
    let mut before: Option<&Listed> = None;
    for listed in &listing.files {
        let file = listed.kept.file;
        let subject: Text = file.to_string().into();
        if let WalFile::Segment(segment) = file
            && !segment.fits(size)
        {
            let what = format!("no segment of {size} bytes is called so").into();
            findings.push(Finding { wrong: Wrong::Stranger, subject, what, lost: None });
        } else if before.is_some_and(|before| {
            before.kept.file == file && before.kept.sha256 != listed.kept.sha256
        }) && findings.last().is_none_or(|finding| finding.subject != subject)
        {
            let what = "it is there more than once, each time with other content".into();
            let lost = window(file, size);
            findings.push(Finding { wrong: Wrong::Twice, subject, what, lost });
        }
        before = Some(listed);
    }
    findings
}

/// The segments that names say nothing against.
pub(super) fn segments<'a>(
    listing: &'a Listing,
    findings: &[Finding],
) -> impl Iterator<Item = (Segment, &'a Listed)> {
    let bad: Vec<Text> = findings.iter().map(|finding| finding.subject.clone()).collect();
    listing.files.iter().filter_map(move |listed| match listed.kept.file {
        WalFile::Segment(segment) if !bad.iter().any(|b| **b == *segment.to_string()) => {
            Some((segment, listed))
        }
        _ => None,
    })
}
