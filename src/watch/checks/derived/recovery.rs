//! Judged of what could be brought back: backups, RPO, RTO, gaps in the WAL.

use super::{Facts, finding};
use crate::{
    base::{clock::Timestamp, text::Text, units},
    watch::snapshot::{BackupState, EngineHistory, Finding, Known, Repository},
};

/// Seconds from then until the moment of judging.
fn seconds_since(facts: &Facts<'_>, then: Timestamp) -> f64 {
    facts.wall.duration_since(then).as_secs_f64().max(0.0)
}

/// What the engines keep that have answered.
fn engines<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a EngineHistory> {
    facts.engines.iter().filter_map(|(_, told)| told.value())
}

pub(super) fn backup_failed(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().and_then(Repository::last_attempt);
    let own = own.map(|last| {
        let failure = last.failure();
        finding(&last.id, f64::from(u8::from(failure.is_some())), failure.map_or("", Text::as_str))
    });
    let theirs = engines(facts).map(|engine| {
        let last = engine.backups.iter().find(|backup| backup.state != BackupState::Unfinished);
        let failed = last.and_then(|last| Some(format!("{}: {}", last.id, last.failure()?)));
        let wrong = engine.complaints.first().map(ToString::to_string).or(failed);
        finding(&engine.name, f64::from(u8::from(wrong.is_some())), &wrong.unwrap_or_default())
    });
    own.into_iter().chain(theirs).collect()
}

/// Every place in which nothing is, when nothing is in any.
pub(super) fn backup_missing(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().map(|kept| (&kept.location, kept.newest()));
    let places: Vec<_> = own
        .into_iter()
        .chain(engines(facts).map(|engine| (&engine.name, engine.newest())))
        .collect();
    let missing = places.iter().all(|(_, newest)| newest.is_none());
    let detail = if missing { "it holds no backup of this target" } else { "" };
    let found = |(place, _): (&Text, _)| finding(place, f64::from(u8::from(missing)), detail);
    places.into_iter().map(found).collect()
}

pub(super) fn backup_age(facts: &Facts<'_>) -> Vec<Finding> {
    let own = facts.kept.value().and_then(Repository::newest);
    let all = own.into_iter().chain(engines(facts).filter_map(EngineHistory::newest));
    let newest = all.max_by_key(|backup| backup.began).into_iter();
    newest.map(|newest| finding(&newest.id, seconds_since(facts, newest.began), "")).collect()
}

pub(super) fn backup_unproven(facts: &Facts<'_>) -> Vec<Finding> {
    let Known::Is(kept) = facts.kept else { return Vec::new() };
    // Restored and started: below that it is a promise.
    let proven = |state: &BackupState| matches!(state, BackupState::Complete { level: Some(level), wrong: None } if *level >= 4);
    let whole = |state: &BackupState| matches!(state, BackupState::Complete { .. });
    let newest = kept.backups.iter().find(|backup| proven(&backup.state));
    let oldest = kept.backups.iter().rfind(|backup| whole(&backup.state));
    let found = match (newest, oldest) {
        (Some(newest), _) => finding(&newest.id, seconds_since(facts, newest.began), "restored"),
        (None, Some(oldest)) => {
            finding(&oldest.id, seconds_since(facts, oldest.began), "none was ever restored")
        }
        (None, None) => return Vec::new(),
    };
    vec![found]
}

pub(super) fn rpo_missed(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.recoverability;
    let share = all
        .rpo
        .value()
        .filter(|_| !all.rpo_target.is_zero())
        .map(|rpo| 100.0 * rpo.loss.as_secs_f64() / all.rpo_target.as_secs_f64());
    let detail = match &all.rpo {
        Known::Is(rpo) => format!("{} of {}", units::clock(rpo.loss), units::clock(all.rpo_target)),
        Known::Unknown(why) | Known::Blind(why) => why.to_string(),
    };
    vec![Finding { value: share, ..finding("RPO", 0.0, &detail) }]
}

pub(super) fn rto_missed(facts: &Facts<'_>) -> Vec<Finding> {
    let all = facts.recoverability;
    let Known::Is(rto) = &all.rto else { return Vec::new() };
    if all.rto_target.is_zero() {
        return Vec::new();
    }
    let share = 100.0 * rto.expected.as_secs_f64() / all.rto_target.as_secs_f64();
    let detail = format!("{} of {}", units::clock(rto.expected), units::clock(all.rto_target));
    vec![finding("RTO", share, &detail)]
}

pub(super) fn pitr_gap(facts: &Facts<'_>) -> Vec<Finding> {
    let Known::Is(pitr) = &facts.recoverability.pitr else { return Vec::new() };
    vec![finding("WAL in the repository", f64::from(pitr.gaps), "")]
}
