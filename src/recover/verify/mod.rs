//! Raising a backup's level of proof, rung by rung.
//!
//! | file | its duty |
//! |---|---|
//! | [`files`] | L1: its files are those that were written |
//! | [`structure`] | L2: what is in them is whole |
//! | [`wal`] | L3: the WAL that leads on from it is there, and sound |
//!
//! Higher rungs come from elsewhere: a [`Verifier`] climbs as far as it has been given rungs for.

pub mod files;
pub mod structure;
pub mod wal;

use super::{
    Fault, Kind, Repository, Result,
    repository::manifest::{BackupId, Level, Manifest, Verification},
};
use crate::base::{clock::Clock, progress::Observer};

/// Where a rung stands.
pub struct Ground<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The backup.
    pub manifest: &'a Manifest,
    /// Who is told how long it goes on.
    pub observer: &'a dyn Observer,
}

impl Ground<'_> {
    /// [`Kind::Cancelled`] once the end is wished.
    pub fn go_on(&self) -> Result<()> {
        if self.observer.cancelled() {
            return Err(Fault::new(Kind::Cancelled, "the verification was cancelled"));
        }
        Ok(())
    }
}

/// One level of proof.
pub trait Rung {
    /// Which one.
    fn level(&self) -> Level;

    /// Looks for everything that this level can find wrong: each finding names the thing. None means that
    /// the level is reached.
    ///
    /// # Errors
    /// When it could not look: that is no finding.
    fn climb(&self, ground: &Ground<'_>) -> Result<Vec<String>>;
}

/// Climbs the levels that it has rungs for.
pub struct Verifier {
    rungs: Vec<Box<dyn Rung>>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::following(wal::Wal::default())
    }
}

impl Verifier {
    /// One without any rung; [`Verifier::default`] has those that need nothing but the repository.
    pub fn new() -> Self {
        Self { rungs: Vec::new() }
    }

    /// One with the rungs that need nothing but what is kept, WAL where it is.
    pub fn following(wal: wal::Wal) -> Self {
        Self::new().with(files::Files).with(structure::Structure).with(wal)
    }

    /// The same with one more rung.
    #[must_use]
    pub fn with(mut self, rung: impl Rung + 'static) -> Self {
        self.rungs.push(Box::new(rung));
        self.rungs.sort_by_key(|rung| rung.level());
        self
    }

    /// The highest level that can be climbed without a gap.
    pub fn top(&self) -> Option<Level> {
        let all = [Level::L1, Level::L2, Level::L3, Level::L4, Level::L5];
        let climbable =
            all.iter().zip(&self.rungs).take_while(|(level, rung)| rung.level() == **level);
        climbable.last().map(|(level, _)| *level)
    }

    /// Climbs to a level, or to where something is found wrong, and keeps the outcome beside the manifest.
    /// A manifest that cannot be understood is an error, not a finding: there is nothing to compare with.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a level that there is no rung for; [`Kind::Unavailable`] when there is no such
    /// backup; [`Kind::Damaged`] for a damaged manifest.
    pub fn verify(
        &self,
        repository: &Repository,
        id: &BackupId,
        asked: Level,
        observer: &dyn Observer,
    ) -> Result<Verification> {
        if self.top().is_none_or(|top| asked > top) {
            let what = format!("nothing here verifies at level {asked}");
            return Err(Fault::new(Kind::Usage, what));
        }
        let manifest = &repository.manifest(id)?;
        let ground = Ground { repository, manifest, observer };
        let (mut reached, mut findings) = (None, Vec::new());
        for rung in self.rungs.iter().filter(|rung| rung.level() <= asked) {
            ground.go_on()?;
            findings = rung.climb(&ground)?;
            if !findings.is_empty() {
                break;
            }
            reached = Some(rung.level());
        }
        let at = Clock::system().wall();
        let verification = Verification { id: id.clone(), at, reached, asked, findings };
        repository.keep_verification(&verification)?;
        Ok(verification)
    }
}
