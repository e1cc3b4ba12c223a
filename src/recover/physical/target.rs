//! The moment that is wanted, and what reaching it must look like.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    chain::Chain,
    survey::{Ended, Survey},
};
use crate::{
    base::clock::Timestamp,
    recover::{
        Fault, Kind, Result,
        repository::manifest::{Manifest, lsn},
    },
};

/// A moment to return to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The last commit that can be reached.
    Latest,
    /// Everything that was committed up to this time.
    Time(Timestamp),
    /// This position in the WAL; `exclusive` stops just before the record there.
    Lsn {
        /// The position.
        at: u64,
        /// Stop just before it.
        exclusive: bool,
    },
    /// A point that was named by `pg_create_restore_point`.
    Name(String),
    /// This transaction and what was committed before it; `exclusive` leaves it out.
    Xid {
        /// Its number.
        xid: u32,
        /// Leave it out.
        exclusive: bool,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = |exclusive: &bool| if *exclusive { "just before " } else { "" };
        match self {
            Self::Latest => f.write_str("the last commit in the archive"),
            Self::Time(at) => write!(f, "{}", both(*at)),
            Self::Lsn { at, exclusive } => write!(f, "{}position {}", before(exclusive), lsn(*at)),
            Self::Name(name) => write!(f, "the restore point '{name}'"),
            Self::Xid { xid, exclusive } => write!(f, "{}transaction {xid}", before(exclusive)),
        }
    }
}

/// A moment in UTC and, where that differs, in local time.
pub fn both(at: Timestamp) -> String {
    let utc = at.strftime("%Y-%m-%d %H:%M:%S%.fZ").to_string();
    let local = at.to_zoned_datetime(jiff::tz::TimeZone::system());
    if local.offset().is_zero() {
        utc
    } else {
        format!("{utc} ({} here)", local.strftime("%Y-%m-%d %H:%M:%S%.f %:z"))
    }
}

/// Which moments can be reached from one backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reach {
    /// From here on: the backup is consistent.
    pub from: Timestamp,
    /// The last commit behind the backup; none when nothing was committed after it.
    pub to: Option<Timestamp>,
    /// The position behind the last sound WAL.
    pub end: u64,
}

impl Reach {
    /// By what was found in the WAL. Where the WAL of the backup itself is in the archive, its last commit
    /// bounds the window; else the backup's end does.
    pub fn of(manifest: &Manifest, survey: &Survey) -> Self {
        Self {
            from: survey.before.map_or(manifest.ended, |ended| ended.at),
            to: survey.last_commit().map(|ended| ended.at),
            end: survey.end,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "{} to {}", both(self.from), both(to)),
            None => write!(f, "{} alone: nothing was committed after the backup", both(self.from)),
        }
    }
}

/// What the server is told, and what it must then have reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// `recovery_target_…` settings; never empty.
    pub settings: Vec<(&'static str, String)>,
    /// The last transaction that must be there; none when none ended behind the backup.
    pub promise: Option<Ended>,
    /// The last transaction that the server will tell of: it does not count the record itself at which it
    /// stops for a position (xlogrecovery.c, `recoveryStopsAfter`).
    pub told: Option<Ended>,
    /// At least up to here the WAL must have been replayed.
    pub least: u64,
    /// The timeline that it is on.
    pub timeline: u32,
    /// Commits in the archive that this target leaves out.
    pub left_out: usize,
    /// Bytes of WAL to replay.
    pub replay: u64,
}

impl Aim {
    /// What reaches `target` with the WAL that was found.
    ///
    /// # Errors
    /// [`Kind::Refused`] with the window when the target lies outside it; [`Kind::Damaged`] when damage lies
    /// in front of it.
    pub fn at(
        target: &Target,
        manifest: &Manifest,
        chain: &Chain,
        survey: &Survey,
    ) -> Result<Self> {
        let stop = manifest.wal.as_ref().map_or(0, |wal| wal.stop);
        let reach = Reach::of(manifest, survey);
        let outside = |why: String| {
            let window = format!("from this backup one can reach {reach}");
            match &survey.damage {
                Some(damage) => {
                    Fault::new(Kind::Damaged, format!("{why}: {}", damage.what())).remedy(window)
                }
                None => match chain.gap {
                    Some(gap) => {
                        let missing = chain.name(gap.first);
                        Fault::new(
                            Kind::Damaged,
                            format!("{why}: the segment '{missing}' is missing"),
                        )
                        .remedy(window)
                    }
                    None => Fault::new(Kind::Refused, why).remedy(window),
                },
            }
        };
        let newest = survey.last_commit();
        // A promise of the last transaction that begins before a position, or at it.
        let by = |at: u64, exclusive: bool| {
            survey.ends.iter().rev().find(|e| e.lsn < at || !exclusive && e.lsn == at).copied()
        };
        // Up to the end of one transaction: no other record is as sure a sign.
        let through = |last: &Ended| {
            let settings = vec![("recovery_target_xid", last.xid.to_string())];
            (settings, Some(*last), last.lsn)
        };
        let (settings, promise, least) = match target {
            Target::Latest => {
                if let Some(damage) = &survey.damage {
                    let window = format!("choose a target in front of it: one can reach {reach}");
                    return Err(damage.clone().remedy(window));
                }
                if let Some(gap) = chain.gap.filter(|gap| gap.resumes.is_some()) {
                    let what = format!(
                        "the segment '{}' is missing, and WAL behind it is there",
                        chain.name(gap.first)
                    );
                    let window = format!("choose a target in front of it: one can reach {reach}");
                    return Err(Fault::new(Kind::Damaged, what).remedy(window));
                }
                newest.map_or_else(
                    || (vec![("recovery_target", "immediate".to_owned())], None, stop),
                    through,
                )
            }
            Target::Time(at) => {
                let beyond = newest.is_none_or(|last| *at > last.at);
                if *at < reach.from || beyond {
                    return Err(outside(format!("{target} lies outside what can be reached")));
                }
                // The server stops at the first commit after the time, and fails when there is none.
                let kept = survey.ends.iter().take_while(|e| e.at <= *at).last().copied();
                if survey.ends.iter().any(|e| e.committed && e.at > *at) {
                    let text = at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
                    (vec![("recovery_target_time", text)], kept, kept.map_or(stop, |e| e.lsn))
                } else {
                    newest.map_or((Vec::new(), None, stop), through)
                }
            }
            Target::Lsn { at, exclusive } => {
                if *at < stop || newest.is_none_or(|last| *at > last.lsn) {
                    return Err(outside(format!("{target} lies outside what can be reached")));
                }
                // Not exclusive, the server replays the first record that begins at or behind the position.
                let settings = vec![("recovery_target_lsn", lsn(*at)), inclusive(!exclusive)];
                (settings, by(*at, *exclusive), if *exclusive { stop } else { *at })
            }
            Target::Name(name) => {
                let Some(point) = survey.points.iter().find(|point| point.name == *name) else {
                    let known: Vec<&str> = survey.points.iter().map(|p| p.name.as_str()).collect();
                    let known =
                        if known.is_empty() { "none".to_owned() } else { known.join("', '") };
                    return Err(outside(format!(
                        "there is no restore point '{name}' (known: '{known}')"
                    )));
                };
                (vec![("recovery_target_name", name.clone())], by(point.lsn, true), point.lsn)
            }
            Target::Xid { xid, exclusive } => {
                let Some(ended) = survey.ends.iter().find(|e| e.committed && e.xid == *xid) else {
                    return Err(outside(format!(
                        "transaction {xid} was not committed in what can be reached"
                    )));
                };
                let settings =
                    vec![("recovery_target_xid", xid.to_string()), inclusive(!exclusive)];
                (settings, by(ended.lsn, *exclusive), if *exclusive { stop } else { ended.lsn })
            }
        };
        let reached = promise.map_or(stop, |promise| promise.lsn);
        let left_out = survey.ends.iter().filter(|e| e.committed && e.lsn > reached).count();
        let start = manifest.wal.as_ref().map_or(0, |wal| wal.start);
        let told = match target {
            Target::Lsn { at, .. } => by(*at, true),
            _ => promise,
        };
        let (timeline, replay) = (chain.timeline, reached.saturating_sub(start));
        Ok(Self { settings, promise, told, least, timeline, left_out, replay })
    }
}

fn inclusive(yes: bool) -> (&'static str, String) {
    ("recovery_target_inclusive", if yes { "on" } else { "off" }.to_owned())
}
