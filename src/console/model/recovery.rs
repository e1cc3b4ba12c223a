//! What the person has done to the Recovery screen, and what stands on it in which order.

use std::collections::BTreeMap;

use super::{Call, axis::Axis};
use crate::{
    base::{clock::Timestamp, text::Text},
    watch::snapshot::{
        Job, KeptBackup, KeptProof, Known, Reach, RunningBackup, Snapshot, Timeline,
    },
};

/// The lists of the Recovery screen, from above to below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The backups of the repository.
    #[default]
    Backups,
    /// Long work, running and past.
    Jobs,
    /// Restores that were made to see whether they can be made.
    Proofs,
}

impl Section {
    /// All lists, from above to below.
    pub const ALL: [Self; 3] = [Self::Backups, Self::Jobs, Self::Proofs];

    /// The words on its border.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Backups => "Backups",
            Self::Jobs => "Jobs",
            Self::Proofs => "Proofs",
        }
    }

    /// Its place in [`Section::ALL`].
    pub const fn place(self) -> usize {
        self as usize
    }
}

/// What the person has done to the Recovery screen.
#[derive(Clone, Debug, Default)]
pub struct RecoveryState {
    /// The list that has the keys.
    pub section: Section,
    /// The selected row of each list, by [`RecoveryRow::id`]. No entry: the first row.
    pub selected: BTreeMap<Section, Text>,
    /// The moment that was picked; none stands on the newest one that can be restored, and goes with it.
    pub moment: Option<Timestamp>,
    /// How often the line of time was spread out, four times each.
    pub scale: u8,
}

/// A row of one of the lists.
#[derive(Clone, Copy, Debug)]
pub enum RecoveryRow<'a> {
    /// A backup of the repository.
    Backup(&'a KeptBackup),
    /// A backup of another engine, by the engine's name.
    Other(&'a Text, &'a KeptBackup),
    /// A base backup that the server tells of, whoever takes it.
    Running(&'a RunningBackup),
    /// A job.
    Job(&'a Job),
    /// A proof.
    Proof(&'a KeptProof),
}

impl<'a> RecoveryRow<'a> {
    /// The backup that it shows, whoever keeps it.
    pub const fn backup(&self) -> Option<&'a KeptBackup> {
        match self {
            Self::Backup(backup) | Self::Other(_, backup) => Some(*backup),
            Self::Running(_) | Self::Job(_) | Self::Proof(_) => None,
        }
    }

    /// Which thing it shows, the same for as long as the thing exists.
    pub fn id(&self) -> Text {
        match self {
            Self::Backup(backup) => backup.id.clone(),
            Self::Other(engine, backup) => Text::from(format!("{engine}/{}", backup.id)),
            Self::Running(running) => Text::from(format!("process {}", running.pid)),
            Self::Job(job) => job.id.clone(),
            Self::Proof(proof) => proof.name.clone(),
        }
    }
}

/// The rows of a list in the order in which they are shown.
pub fn recovery_rows(snapshot: &Snapshot, section: Section) -> Vec<RecoveryRow<'_>> {
    let kept = snapshot.backup.repository.value();
    match section {
        Section::Backups => backups(snapshot),
        Section::Jobs => {
            let running = snapshot.backup.running.iter().map(RecoveryRow::Running);
            let jobs = snapshot.jobs.value().map_or(&[][..], Vec::as_slice);
            // What runs stands first: nobody should have to look for it.
            let (run, over): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| job.state.runs());
            running.chain(run.into_iter().chain(over).map(RecoveryRow::Job)).collect()
        }
        Section::Proofs => {
            kept.map_or_else(Vec::new, |kept| kept.proofs.iter().map(RecoveryRow::Proof).collect())
        }
    }
}

/// The backups of all who keep some, newest first.
fn backups(snapshot: &Snapshot) -> Vec<RecoveryRow<'_>> {
    let own = snapshot.backup.repository.value().into_iter().flat_map(|kept| &kept.backups);
    let own = own.map(|backup| (backup.began, RecoveryRow::Backup(backup)));
    let engines = snapshot.backup.engines.iter().filter_map(|(_, told)| told.value());
    let others = engines.flat_map(|engine| {
        let row = |backup| RecoveryRow::Other(&engine.name, backup);
        engine.backups.iter().map(move |backup| (backup.began, row(backup)))
    });
    let mut all: Vec<_> = own.chain(others).collect();
    all.sort_by_key(|(began, _)| std::cmp::Reverse(*began));
    all.into_iter().map(|(_, row)| row).collect()
}

impl RecoveryState {
    /// The place of the selected row among these; the first when the selected thing is gone.
    pub fn place(&self, section: Section, rows: &[RecoveryRow<'_>]) -> usize {
        let wanted = self.selected.get(&section);
        wanted.and_then(|wanted| rows.iter().position(|row| row.id() == *wanted)).unwrap_or(0)
    }

    /// The selected backup, whichever list has the keys.
    pub fn backup<'a>(&self, snapshot: &'a Snapshot) -> Option<RecoveryRow<'a>> {
        let rows = recovery_rows(snapshot, Section::Backups);
        rows.get(self.place(Section::Backups, &rows)).copied()
    }

    /// What calls for a way out where the cursor stands: a selected backup that is none, or a moment that somebody
    /// picked and that cannot be restored.
    pub fn call<'a>(&self, snapshot: &'a Snapshot) -> Option<Call<'a>> {
        let rows = recovery_rows(snapshot, self.section);
        let selected = rows.get(self.place(self.section, &rows)).and_then(RecoveryRow::backup);
        if let Some(backup) = selected.filter(|backup| backup.failure().is_some()) {
            return Some(Call { check: "backup_failed", subject: &backup.id });
        }
        match line_of_time(snapshot)?.reach(self.moment?) {
            Reach::Gap(_) => Some(Call { check: "pitr_gap", subject: "" }),
            _ => None,
        }
    }

    /// The moment that the cursor stands on; none without a base backup.
    pub fn moment(&self, snapshot: &Snapshot) -> Option<Timestamp> {
        let (_, newest) = line_of_time(snapshot)?.ends()?;
        Some(self.moment.unwrap_or(newest))
    }

    /// The line of time in so many cells, as it is spread out now.
    pub fn axis(&self, snapshot: &Snapshot, now: Timestamp, cells: u16) -> Option<Axis> {
        let (first, newest) = line_of_time(snapshot)?.ends()?;
        Axis::new((first, newest.max(now)), cells, self.scale, self.moment(snapshot)?)
    }
}

/// The line of time, if it is known.
pub fn line_of_time(snapshot: &Snapshot) -> Option<&Timeline> {
    match snapshot.backup.repository.value().map(|kept| &kept.timeline) {
        Some(Known::Is(line)) => Some(line),
        _ => None,
    }
}
