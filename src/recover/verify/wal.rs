//! L3: the WAL that leads on from a backup is there without a gap, and sound. Segments that were found sound
//! before, and were not touched since, are not read again.

use std::path::PathBuf;

use super::{Ground, Rung};
use crate::recover::{
    Fault, Kind, Result,
    physical::{
        PlainFolder,
        archive::{self as follow, InRepository},
        chain::Shelf,
    },
    repository::manifest::{Level, Method, WalSpan},
    wal::{
        Archive,
        verify::{Depth, Wrong, verify},
    },
};

/// L3.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    /// A flat folder that something like `cp` fills; the repository where there is none.
    pub folder: Option<PathBuf>,
}

impl Rung for Wal {
    fn level(&self) -> Level {
        Level::L3
    }

    fn climb(&self, ground: &Ground<'_>) -> Result<Vec<String>> {
        // A logical backup is of one moment, and needs no WAL.
        if ground.manifest.method == Method::Logical {
            return Ok(Vec::new());
        }
        let Some(base) = &ground.manifest.wal else {
            return Ok(vec!["the manifest does not say which WAL it needs".to_owned()]);
        };
        match self.follow(ground, base) {
            Err(fault) if fault.kind == Kind::Damaged => Ok(vec![fault.what().as_str().to_owned()]),
            found => found,
        }
    }
}

impl Wal {
    fn follow(&self, ground: &Ground<'_>, base: &WalSpan) -> Result<Vec<String>> {
        let own = ground.manifest.cluster.system_identifier;
        let archive = match &self.folder {
            Some(folder) => Archive::folder(folder)?,
            None => Archive::Repository(ground.repository.clone()),
        };
        if archive.repository().is_some()
            && let Some(claim) = ground.repository.claimed()?
            && claim.cluster.system_identifier != own
        {
            let other = claim.cluster.system_identifier;
            return Ok(vec![format!(
                "the WAL in the archive is of the cluster {other}, not of {own}"
            )]);
        }
        let depth = Depth { from: Some(base.start), sample: 1, ..Depth::default() };
        let report = verify(&archive, depth, ground.observer)?;
        if let Some(why) = report.no_records.filter(|_| report.read > 0) {
            return Err(Fault::new(Kind::Unavailable, format!("records cannot be read: {why}")));
        }
        // A file that no recovery asks for stands in nobody's way.
        let harmless = [Wrong::Stranger, Wrong::Beside];
        let relevant = report.findings.iter().filter(|finding| !harmless.contains(&finding.wrong));
        let mut findings: Vec<String> = relevant.map(ToString::to_string).collect();
        if findings.is_empty() {
            findings.extend(self.gap_behind(ground, base)?);
        }
        Ok(findings)
    }

    /// What is missing between the backup's end and the first archived segment: only seen from the backup.
    fn gap_behind(&self, ground: &Ground<'_>, base: &WalSpan) -> Result<Option<String>> {
        let archive: Box<dyn follow::Archive> = if let Some(folder) = &self.folder {
            Box::new(PlainFolder::open(folder)?)
        } else {
            Box::new(InRepository::new(ground.repository.clone(), Vec::new()))
        };
        let shelf = Shelf::of(&*archive, base.segment_size)?;
        let newest = shelf.timelines_after(base).into_iter().max().unwrap_or(base.timeline);
        let chain = shelf.chain(base, newest)?;
        Ok(chain.gap.map(|gap| format!("{} is missing", chain.name(gap.first))))
    }
}
