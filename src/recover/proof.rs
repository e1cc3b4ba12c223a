//! A proof: a restore that was really made, what it reached, and how long it took.

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Fault, Repository, Result,
    checkup::{Check, Counted, Verdict as Seen},
    physical::{recovering::Reached, restored::Times, target::both},
    repository::{
        key::Key,
        manifest::{BackupId, Level},
        storage::Overwrite,
    },
};
use crate::base::{clock::Timestamp, units};

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// What a restore proved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// The backup.
    pub backup: BackupId,
    /// When it began.
    pub at: Timestamp,
    /// The version of howdah that made it.
    pub howdah: String,
    /// What came of it.
    pub verdict: Verdict,
    /// Why it is not better than that, each naming the thing.
    pub findings: Vec<String>,
    /// The level of proof that the backup reached.
    pub level: Option<Level>,
    /// The moment that was wanted, in words.
    pub target: String,
    /// The timeline that it is on.
    pub timeline: Option<u32>,
    /// From when to when one could have returned.
    pub window: Option<(Timestamp, Option<Timestamp>)>,
    /// When the last transaction that was promised had ended.
    pub promised: Option<Timestamp>,
    /// What the server reached, by its own word.
    pub reached: Option<Reached>,
    /// How long it took.
    pub rto: Option<Times>,
    /// The promise for it, in seconds.
    pub rto_target: f64,
    /// What would have been lost.
    pub rpo: Option<Loss>,
    /// The promise for it, in seconds.
    pub rpo_target: f64,
    /// Bytes of the backup, unpacked.
    pub bytes: u64,
    /// Bytes of WAL that were replayed.
    pub replayed: u64,
    /// Settings with which the scratch cluster was faster than a real one: the times are those of a drill.
    pub settings: BTreeMap<String, String>,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// Rows of each table: the next proof compares.
    #[serde(default)]
    pub tables: Vec<Counted>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The backup comes back, within its targets.
    Proven,
    /// It comes back, and a target is missed.
    TargetMissed,
    /// It does not come back.
    Failed,
    /// It does not come back because what is kept is damaged.
    Damaged,
}

/// What would have been lost if the machine had died when the proof began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// The last commit that came back; none when nothing was committed after the backup.
    pub last_commit: Option<Timestamp>,
    /// When the newest WAL was archived.
    pub archived: Option<Timestamp>,
    /// Seconds from the last commit that came back, or the backup's beginning, to the proof's beginning: at
    /// most what would have been lost.
    pub at_most: f64,
}

impl Proof {
    /// The proof for a person, in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let word = match self.verdict {
            Verdict::Proven => "proven",
            Verdict::TargetMissed => "proven, but a target is missed",
            Verdict::Failed => "FAILED",
            Verdict::Damaged => "FAILED: what is kept is damaged",
        };
        writeln!(out, "# Proof of {}: {word}\n", self.backup)?;
        writeln!(out, "- made {}, by howdah {}", both(self.at), self.howdah)?;
        let level = self.level.map_or("none".to_owned(), |level| level.to_string());
        writeln!(out, "- level of proof: {level}")?;
        writeln!(
            out,
            "- target: {}{}",
            self.target,
            self.timeline.map_or(String::new(), |t| format!(", timeline {t}"))
        )?;
        if let Some((from, to)) = self.window {
            let to = to.map_or("nothing was committed after the backup".to_owned(), both);
            writeln!(out, "- reachable: {} to {to}", both(from))?;
        }
        if let Some(reached) = &self.reached {
            let last = reached.last_transaction.map_or("—".to_owned(), both);
            writeln!(out, "- reached: position {}, last transaction {last}", reached.lsn)?;
        }
        if let Some(rpo) = &self.rpo {
            writeln!(
                out,
                "- RPO: at most {} of {}",
                seconds(rpo.at_most),
                seconds(self.rpo_target)
            )?;
        }
        writeln!(
            out,
            "- size: {}, and {} of WAL replayed",
            units::bytes(self.bytes),
            units::bytes(self.replayed)
        )?;
        if !self.findings.is_empty() {
            writeln!(out, "\n## Findings\n")?;
            for finding in &self.findings {
                writeln!(out, "- {finding}")?;
            }
        }
        if let Some(rto) = &self.rto {
            writeln!(out, "\n## RTO (target {})\n", seconds(self.rto_target))?;
            writeln!(out, "| until | seconds |\n|---|---|")?;
            writeln!(out, "| first read | {:.1} |", rto.first_read)?;
            writeln!(out, "| caught up | {:.1} |", rto.caught_up)?;
            let write = rto.first_write.map_or("—".to_owned(), |seconds| format!("{seconds:.1}"));
            writeln!(out, "| first write | {write} |\n")?;
            writeln!(out, "| phase | seconds |\n|---|---|")?;
            for phase in &rto.phases {
                writeln!(out, "| {} | {:.1} |", phase.name, phase.seconds)?;
            }
        }
        if !self.settings.is_empty() {
            let told: Vec<String> =
                self.settings.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
            writeln!(
                out,
                "\nA scratch cluster with settings that a real one must not have: {}. A real restore takes longer.",
                told.join(", ")
            )?;
        }
        writeln!(out, "\n## Checks\n\n| check | verdict | seen | s |\n|---|---|---|---|")?;
        for check in &self.checks {
            let verdict = match check.verdict {
                Seen::Passed => "passed",
                Seen::Noted => "noted",
                Seen::Failed => "FAILED",
                Seen::NotDone => "not done",
            };
            writeln!(
                out,
                "| {} | {verdict} | {} | {:.1} |",
                check.name, check.seen, check.seconds
            )?;
        }
        for check in self.checks.iter().filter(|check| !check.findings.is_empty()) {
            for finding in &check.findings {
                writeln!(out, "\n- {}: {finding}", check.name)?;
            }
        }
        Ok(())
    }
}

fn seconds(seconds: f64) -> String {
    units::clock(std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

impl Repository {
    /// Keeps a proof: as JSON, and beside it for a person. Returns its name.
    pub fn keep_proof(&self, proof: &Proof) -> Result<Key> {
        let stem = proof.at.strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let json = self.proofs_key()?.join(&format!("{stem}.json"))?;
        let text = self.proofs_key()?.join(&format!("{stem}.md"))?;
        let mut upload = self.storage().create(&text, Overwrite::Never)?;
        upload
            .write_all(proof.markdown().as_bytes())
            .map_err(Fault::io(format!("cannot write '{text}'")))?;
        upload.finish()?;
        // Last: a proof exists when this does.
        self.write_json(&json, proof, Overwrite::Never)?;
        Ok(json)
    }

    /// The names of all proofs, oldest first.
    pub fn proofs(&self) -> Result<Vec<Key>> {
        let below = self.proofs_key()?;
        let names = self.storage().children(Some(&below))?;
        names
            .iter()
            .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "json"))
            .map(|name| below.join(name))
            .collect()
    }
}
