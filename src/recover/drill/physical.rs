//! A base backup, restored to the last commit in the archive.

use super::{Drill, Kept};
use crate::{
    base::{clock::Timestamp, progress::Observer},
    cluster::{Binaries, folder::PrivateFolder, guard::Guard},
    recover::{
        Result,
        physical::{Order, Plan, configure, plan::Into, restore},
        proof::{Loss, Proof},
        repository::manifest::{Level, Role},
        stopwatch::Stopwatch,
    },
};

/// Settings of the scratch cluster that a real one must not have.
pub(super) const SETTINGS: &[(&str, &str)] = configure::FAST;

/// From rung to rung; the proof holds how far it came.
pub(super) fn climb(
    drill: &Drill<'_>,
    proof: &mut Proof,
    programs: &Binaries,
    watch: &mut Stopwatch,
    observer: &dyn Observer,
) -> Result<Option<Kept>> {
    let scratch = PrivateFolder::create()?;
    // Ends the server and removes the folder, unless it is let go.
    let mut guard = Guard::start(drill.program)?;
    guard.folder(scratch.path())?;
    let order = Order {
        target: drill.target.clone(),
        timeline: drill.timeline,
        into: Into::Scratch(scratch.path().to_owned()),
        // Of the socket's name only: nothing listens on the network.
        port: 5432,
    };
    let plan = Plan::make(order, drill.manifest.clone(), drill.archive, programs, observer)?;
    watch.lap("check the WAL");
    proof.timeline = Some(plan.aim.timeline);
    proof.window = Some((plan.reach.from, plan.reach.to));
    proof.promised = plan.aim.promise.map(|promise| promise.at);
    proof.replayed = plan.aim.replay;
    proof.rpo = Some(loss(drill, &plan, proof.at));
    let phases = watch.phases.len();
    let restored = restore::run(
        &plan,
        drill.repository,
        drill.archive,
        programs,
        Some(&mut guard),
        watch,
        observer,
    );
    if watch.phases.len() > phases {
        // It was unpacked: every file and every member was read and was as written, and the WAL is sound.
        proof.level = others_are_sound(drill).then_some(Level::L3);
    }
    let mut restored = restored?;
    restored.promote(watch)?;
    proof.reached = Some(restored.reached.clone());
    proof.rto = Some(restored.times.clone());
    proof.findings.extend(restored.doubt.iter().map(ToString::to_string));
    drill.look(proof, &restored.settings, programs, observer)?;
    if !drill.keep {
        return Ok(None);
    }
    let kept = Kept {
        folder: restored.folder.clone(),
        conninfo: format!(
            "host={} port={} user={} dbname=postgres",
            restored.record.private.display(),
            restored.record.port,
            restored.settings.user
        ),
    };
    guard.release()?;
    scratch.keep();
    Ok(Some(kept))
}

/// What was not unpacked, by its hashes.
fn others_are_sound(drill: &Drill<'_>) -> bool {
    let unpacked = |role: &Role| matches!(role, Role::Base | Role::Tablespace { .. } | Role::Wal);
    let mut others = drill.manifest.files.iter().filter(|file| !unpacked(&file.role));
    others.all(|file| drill.repository.check_sealed(&file.stored).is_ok())
}

fn loss(drill: &Drill<'_>, plan: &Plan, now: Timestamp) -> Loss {
    let last_commit = plan.survey.last_commit().map(|last| last.at);
    let safe = last_commit.unwrap_or(drill.manifest.began);
    let at_most = now.duration_since(safe).as_secs_f64().max(0.0);
    Loss { last_commit, archived: plan.chain.archived(), at_most }
}
