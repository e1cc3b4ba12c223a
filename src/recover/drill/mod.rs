//! A drill: a backup is restored into a scratch cluster, looked at, measured, and thrown away.
//!
//! | file | its duty |
//! |---|---|
//! | `physical` | a base backup, to the last commit in the archive |
//! | `logical` | every dump of a logical backup, into a fresh cluster |
//! | [`drift`] | tables that have fewer rows than in the proof before |
//! | [`rungs`] | L4 and L5 of a verification, by such a drill |

pub mod drift;
mod logical;
mod physical;
pub mod rungs;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Kind, Repository, Result,
    checkup::{self, Orders, checkup},
    physical::{Archive, Target, plan::binaries, target::both},
    proof::{FORMAT, Proof, Verdict},
    repository::manifest::{Level, Manifest, Method, Verification},
    stopwatch::Stopwatch,
};
use crate::{
    base::{clock::Clock, progress::Observer},
    cluster::Binaries,
    resilience::conninfo::Settings,
};

/// What is to be proven, and how.
pub struct Drill<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its WAL.
    pub archive: &'a dyn Archive,
    /// The backup.
    pub manifest: &'a Manifest,
    /// The moment: the last commit, where nobody wants another.
    pub target: Target,
    /// The timeline; none for the newest.
    pub timeline: Option<u32>,
    /// This very program, which guards the scratch cluster.
    pub program: &'a Path,
    /// Leave the scratch cluster running.
    pub keep: bool,
    /// SQL of the user's own.
    pub assertions: Option<&'a str>,
    /// The promise for the RTO.
    pub rto_target: Duration,
    /// The promise for the RPO.
    pub rpo_target: Duration,
    /// How far: L4 leaves out the checks of what came back.
    pub upto: Level,
}

/// A scratch cluster that was left running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// How to connect, in words for libpq.
    pub conninfo: String,
}

impl Drill<'_> {
    /// Makes the drill, and keeps what it proved, beside the backup, too. What says nothing about the backup,
    /// such as a full disk or a missing program, is an error; everything else is a proof, of whichever
    /// verdict.
    pub fn run(&self, observer: &dyn Observer) -> Result<(Proof, Option<Kept>)> {
        let (proof, kept) = self.rehearse(observer)?;
        let findings = match proof.verdict {
            Verdict::Proven | Verdict::TargetMissed => Vec::new(),
            Verdict::Failed | Verdict::Damaged => proof.findings.clone(),
        };
        self.repository.keep_verification(&Verification {
            id: self.manifest.id.clone(),
            at: proof.at,
            reached: proof.level,
            asked: Level::L5,
            findings,
        })?;
        Ok((proof, kept))
    }

    /// The same without a word beside the backup.
    pub fn rehearse(&self, observer: &dyn Observer) -> Result<(Proof, Option<Kept>)> {
        let mut proof = self.blank();
        let programs = binaries(self.manifest)?;
        let mut watch = Stopwatch::start();
        let climbed = match self.manifest.method {
            Method::Physical => physical::climb(self, &mut proof, &programs, &mut watch, observer),
            Method::Logical => logical::climb(self, &mut proof, &programs, &mut watch, observer),
        };
        let kept = match climbed {
            Ok(kept) => kept,
            Err(fault) => {
                match fault.kind {
                    Kind::Damaged => proof.verdict = Verdict::Damaged,
                    Kind::Failed | Kind::Refused => proof.verdict = Verdict::Failed,
                    _ => return Err(fault),
                }
                proof.findings.push(fault.to_string());
                if proof.level.is_none() {
                    proof.level = self.files_only();
                }
                None
            }
        };
        judge(&mut proof, self.upto);
        self.repository.keep_proof(&proof)?;
        Ok((proof, kept))
    }

    /// Looks at what came back, and notes it in the proof.
    fn look(
        &self,
        proof: &mut Proof,
        settings: &Settings,
        programs: &Binaries,
        observer: &dyn Observer,
    ) -> Result<()> {
        proof.level = Some(Level::L4);
        if self.upto < Level::L5 {
            return Ok(());
        }
        let orders = Orders {
            settings,
            manifest: self.manifest,
            databases: None,
            exact: self.manifest.method == Method::Logical,
            amcheck: true,
            assertions: self.assertions,
            binaries: programs,
        };
        let seen = checkup(&orders, observer)?;
        (proof.checks, proof.tables) = (seen.checks, seen.tables);
        proof.checks.push(drift::check(self.repository, proof)?);
        proof.findings.extend(checkup::failures(&proof.checks));
        let undone = proof
            .checks
            .iter()
            .filter(|c| c.verdict == checkup::Verdict::NotDone && c.name == "pg_amcheck");
        let undone: Vec<String> =
            undone.map(|c| format!("{}: {}", c.name, c.findings.join("; "))).collect();
        if proof.findings.is_empty() && undone.is_empty() {
            proof.level = Some(Level::L5);
        }
        proof.findings.extend(undone);
        Ok(())
    }

    fn blank(&self) -> Proof {
        Proof {
            format: FORMAT,
            backup: self.manifest.id.clone(),
            at: Clock::system().wall(),
            howdah: env!("CARGO_PKG_VERSION").to_owned(),
            verdict: Verdict::Failed,
            findings: Vec::new(),
            level: None,
            target: match self.manifest.method {
                Method::Physical => self.target.to_string(),
                Method::Logical => format!("what was committed at {}", both(self.manifest.began)),
            },
            timeline: self.timeline,
            window: None,
            promised: None,
            reached: None,
            rto: None,
            rto_target: self.rto_target.as_secs_f64(),
            rpo: None,
            rpo_target: self.rpo_target.as_secs_f64(),
            bytes: self.manifest.content_size(),
            replayed: 0,
            settings: match self.manifest.method {
                Method::Physical => physical::SETTINGS,
                Method::Logical => logical::SETTINGS,
            }
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
            checks: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// The level of a backup that could not be restored: whether at least its files are as written.
    fn files_only(&self) -> Option<Level> {
        let sound = self
            .manifest
            .files
            .iter()
            .all(|file| self.repository.check_sealed(&file.stored).is_ok());
        sound.then_some(Level::L1)
    }
}

/// Holds what was measured against the targets.
fn judge(proof: &mut Proof, upto: Level) {
    if proof.level < Some(upto.min(Level::L5)) {
        return;
    }
    proof.verdict = Verdict::Proven;
    let took = proof.rto.as_ref().and_then(|rto| rto.first_write).unwrap_or(f64::INFINITY);
    if took > proof.rto_target {
        proof.verdict = Verdict::TargetMissed;
        proof.findings.push(format!("RTO missed: {took:.1} s of {:.0} s", proof.rto_target));
    }
    if let Some(rpo) = proof.rpo.as_ref().filter(|rpo| rpo.at_most > proof.rpo_target) {
        proof.verdict = Verdict::TargetMissed;
        proof.findings.push(format!(
            "RPO missed: the last commit that came back is {:.0} s old, of {:.0} s",
            rpo.at_most, proof.rpo_target
        ));
    }
}
