//! L4 and L5 of a verification: a drill, made once for both.

use std::{cell::RefCell, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use super::Drill;
use crate::recover::{
    Result,
    physical::{Archive, Target},
    proof::{Proof, Verdict},
    repository::manifest::Level,
    verify::{Ground, Rung, Verifier},
};

/// How the drill is made.
pub struct Rehearsal {
    /// The WAL.
    pub archive: Arc<dyn Archive>,
    /// The timeline; none for the newest.
    pub timeline: Option<u32>,
    /// This very program, which guards the scratch cluster.
    pub program: PathBuf,
    /// The promise for the RTO.
    pub rto_target: Duration,
    /// The promise for the RPO.
    pub rpo_target: Duration,
}

/// The verifier with the two rungs above those that need nothing but the repository. Its proofs are kept.
pub fn with_drill(verifier: Verifier, rehearsal: Rehearsal, upto: Level) -> Verifier {
    let stage = Rc::new(Stage { rehearsal, upto, proof: RefCell::new(None) });
    verifier
        .with(Restored { stage: Rc::clone(&stage), level: Level::L4 })
        .with(Restored { stage, level: Level::L5 })
}

struct Stage {
    rehearsal: Rehearsal,
    upto: Level,
    /// The last one made.
    proof: RefCell<Option<Proof>>,
}

/// One of the two.
struct Restored {
    stage: Rc<Stage>,
    level: Level,
}

impl Rung for Restored {
    fn level(&self) -> Level {
        self.level
    }

    fn climb(&self, ground: &Ground<'_>) -> Result<Vec<String>> {
        let made = self.stage.proof.borrow().clone();
        // L4 comes first, and makes a new one.
        let proof = match made.filter(|_| self.level == Level::L5) {
            Some(proof) => proof,
            None => self.stage.make(ground)?,
        };
        if proof.level >= Some(self.level) {
            return Ok(Vec::new());
        }
        let mut findings = proof.findings;
        if findings.is_empty() {
            findings.push(format!("the drill reached only {:?}", proof.level));
        }
        Ok(findings)
    }
}

impl Stage {
    fn make(&self, ground: &Ground<'_>) -> Result<Proof> {
        let Rehearsal { archive, timeline, program, rto_target, rpo_target } = &self.rehearsal;
        let drill = Drill {
            repository: ground.repository,
            archive: &**archive,
            manifest: ground.manifest,
            target: Target::Latest,
            timeline: *timeline,
            program,
            keep: false,
            assertions: None,
            rto_target: *rto_target,
            rpo_target: *rpo_target,
            upto: self.upto,
        };
        let (mut proof, _) = drill.rehearse(ground.observer)?;
        if matches!(proof.verdict, Verdict::Proven | Verdict::TargetMissed) {
            // A target that is missed says nothing against the backup.
            proof.findings.clear();
        }
        *self.proof.borrow_mut() = Some(proof.clone());
        Ok(proof)
    }
}
