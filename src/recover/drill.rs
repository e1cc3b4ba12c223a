//! A drill: a backup is restored into a scratch cluster, looked at, measured, and thrown away.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Kind, Repository, Result,
    checkup::{self, Orders, checkup},
    physical::{
        Archive, Order, Plan, Target, configure,
        plan::{Into, binaries},
        restore::{self, Restored, Stopwatch},
    },
    proof::{FORMAT, Loss, Proof, Verdict},
    repository::manifest::{Level, Manifest, Verification},
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        progress::Observer,
    },
    cluster::{Binaries, folder::PrivateFolder, guard::Guard},
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
    /// Makes the drill, and keeps what it proved. What says nothing about the backup, such as a full disk or
    /// a missing program, is an error; everything else is a proof, of whichever verdict.
    pub fn run(&self, observer: &dyn Observer) -> Result<(Proof, Option<Kept>)> {
        let mut proof = self.blank();
        let began = proof.at;
        let programs = binaries(self.manifest)?;
        let mut watch = Stopwatch::start();
        let scratch = PrivateFolder::create()?;
        let mut guard = Guard::start(self.program)?;
        guard.folder(scratch.path())?;
        let mut restored = None;
        let climbed = self.climb(
            &mut proof,
            scratch.path(),
            &programs,
            &mut guard,
            &mut watch,
            observer,
            &mut restored,
        );
        if let Err(fault) = climbed {
            match fault.kind {
                Kind::Damaged => proof.verdict = Verdict::Damaged,
                Kind::Failed | Kind::Refused => proof.verdict = Verdict::Failed,
                _ => return Err(fault),
            }
            proof.findings.push(fault.to_string());
            if proof.level.is_none() {
                proof.level = self.files_only();
            }
        }
        judge(&mut proof);
        self.repository.keep_proof(&proof)?;
        let findings = match proof.verdict {
            Verdict::Proven | Verdict::TargetMissed => Vec::new(),
            Verdict::Failed | Verdict::Damaged => proof.findings.clone(),
        };
        self.repository.keep_verification(&Verification {
            id: self.manifest.id.clone(),
            at: began,
            reached: proof.level,
            asked: Level::L5,
            findings,
        })?;
        let kept = restored.filter(|_| self.keep).map(|restored| Kept {
            folder: restored.folder.clone(),
            conninfo: format!(
                "host={} port={} user={} dbname=postgres",
                restored.record.private.display(),
                restored.record.port,
                restored.settings.user
            ),
        });
        if kept.is_some() {
            guard.release()?;
            scratch.keep();
        }
        // Otherwise the guard ends the server and removes the folder now.
        Ok((proof, kept))
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
            target: self.target.to_string(),
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
            settings: configure::FAST
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            checks: Vec::new(),
        }
    }

    /// From rung to rung; the proof holds how far it came.
    #[expect(clippy::too_many_arguments, reason = "everything that a drill has in its hands")]
    fn climb(
        &self,
        proof: &mut Proof,
        scratch: &Path,
        programs: &Binaries,
        guard: &mut Guard,
        watch: &mut Stopwatch,
        observer: &dyn Observer,
        done: &mut Option<Restored>,
    ) -> Result<()> {
        let order = Order {
            target: self.target.clone(),
            timeline: self.timeline,
            into: Into::Scratch(scratch.to_owned()),
            // Of the socket's name only: nothing listens on the network.
            port: 5432,
        };
        let plan = Plan::make(order, self.manifest.clone(), self.archive, programs, observer)?;
        watch.lap("check the WAL");
        proof.timeline = Some(plan.aim.timeline);
        proof.window = Some((plan.reach.from, plan.reach.to));
        proof.promised = plan.aim.promise.map(|promise| promise.at);
        proof.replayed = plan.aim.replay;
        proof.rpo = Some(self.loss(&plan, proof.at));
        let phases = watch.phases.len();
        let restored = restore::run(
            &plan,
            self.repository,
            self.archive,
            programs,
            Some(guard),
            watch,
            observer,
        );
        if watch.phases.len() > phases {
            // It was unpacked: every file and every member was read and was as written, and the WAL is sound.
            proof.level = self.other_files().map(|()| Level::L3);
        }
        let restored = done.insert(restored?);
        restored.promote(watch)?;
        proof.reached = Some(restored.reached.clone());
        proof.rto = Some(restored.times.clone());
        proof.level = Some(Level::L4);
        proof.checks = checkup(
            &Orders {
                settings: &restored.settings,
                manifest: self.manifest,
                databases: None,
                exact: false,
                amcheck: true,
                assertions: self.assertions,
                binaries: programs,
            },
            observer,
        )?;
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

    /// What was not unpacked, by its hashes.
    fn other_files(&self) -> Option<()> {
        use super::repository::manifest::Role;
        let others =
            self.manifest.files.iter().filter(|file| {
                !matches!(file.role, Role::Base | Role::Tablespace { .. } | Role::Wal)
            });
        others
            .into_iter()
            .all(|file| self.repository.check_sealed(&file.stored).is_ok())
            .then_some(())
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

    fn loss(&self, plan: &Plan, now: Timestamp) -> Loss {
        let last_commit = plan.survey.last_commit().map(|last| last.at);
        let safe = last_commit.unwrap_or(self.manifest.began);
        let at_most = now.duration_since(safe).as_secs_f64().max(0.0);
        Loss { last_commit, archived: plan.chain.archived(), at_most }
    }
}

/// Holds what was measured against the targets.
fn judge(proof: &mut Proof) {
    if proof.level < Some(Level::L5) {
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
