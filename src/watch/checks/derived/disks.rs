//! Judged of the disks of this machine.

use super::{DISKS, Facts, as_seen, finding};
use crate::{
    base::{text::Text, units},
    watch::snapshot::{Disk, Finding, Folder, Known},
};

/// The disks that could be measured, each by the first of the folders on it, with the others.
fn disks<'a>(facts: &Facts<'a>) -> Vec<(&'a Folder, Disk, Vec<&'a str>)> {
    let mut all: Vec<(&Folder, Disk, Vec<&str>)> = Vec::new();
    for folder in facts.folders {
        let Known::Is(disk) = folder.disk else { continue };
        match all.iter_mut().find(|(_, known, _)| known.device == disk.device) {
            Some((_, _, others)) => others.push(folder.name.as_str()),
            None => all.push((folder, disk, Vec::new())),
        }
    }
    all
}

/// What there is to know of a disk, in a line.
fn disk_detail(folder: &Folder, disk: &Disk, others: &[&str]) -> String {
    let (free, size) = (units::bytes(disk.free), units::bytes(disk.size));
    let end = disk.full_in.map(|left| format!(", full in {}", units::span(left)));
    let others =
        if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
    format!("{free} free of {size} at {}{}{others}", folder.path, end.unwrap_or_default())
}

pub(super) fn disk_used(facts: &Facts<'_>) -> Vec<Finding> {
    let seen = disks(facts).into_iter().map(|(folder, disk, others)| {
        finding(&folder.name, disk.used_percent, &disk_detail(folder, &disk, &others))
    });
    let unseen = facts.folders.iter().filter_map(|folder| {
        let why = folder.disk.reason()?;
        Some(Finding { value: None, ..finding(&folder.name, 0.0, why) })
    });
    let source = Text::ours(DISKS);
    seen.chain(unseen).map(|found| as_seen(facts, &source, found)).collect()
}

/// Those that fill: of one that does not there is no end to be told.
pub(super) fn disk_full(facts: &Facts<'_>) -> Vec<Finding> {
    let found = disks(facts).into_iter().filter_map(|(folder, disk, others)| {
        let left = disk.full_in?.as_secs_f64();
        Some(finding(&folder.name, left, &disk_detail(folder, &disk, &others)))
    });
    let source = Text::ours(DISKS);
    found.map(|found| as_seen(facts, &source, found)).collect()
}
