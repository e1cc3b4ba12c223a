//! The repository as the console watches it: what recovery reads, told as the watch's plain data.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{args::PlaceArgs, place};
use crate::{
    base::{
        clock::{Clock, Stamp},
        config::Config,
        text::Text,
    },
    recover::{
        Fault,
        physical::archive,
        proof::{Proof, Verdict},
        reach::{self, Line},
        repository::{
            catalogue::{Entry, State},
            manifest::Verification,
        },
        retention::Policy,
        window::{Reader, Recoverable, Told},
    },
    watch::{
        snapshot::{
            BackupState, BaseBackup, Expiry, KeptBackup, KeptProof, KeptWal, Known, Pitr, Problem,
            ProofVerdict, Repository as Seen, Rto, Timeline, WalPoint,
        },
        sources::keeper::{self, Keeper},
    },
};

/// How often a repository is read: backups come once a day, WAL once a minute.
const PERIOD: Duration = Duration::from_secs(5);
/// What would expire is found again after this long, or when the backups changed: to find it lists all WAL.
const EXPIRY: Duration = Duration::from_mins(1);
/// Backups that the console lists.
const SHOWN: usize = 100;
/// Proofs that the console lists.
const PROOFS: usize = 30;
/// Findings of a proof that are told one by one.
const FINDINGS: usize = 8;

/// The repository of a target, where one is configured. It is opened when it is first read, and again until
/// that succeeds: a console opens whether its repository is there or not.
pub fn keeper(config: &Config, args: &PlaceArgs) -> Option<Keeper> {
    let (location, _) = place::whereabouts(config, args).ok()?;
    let location = Text::from(location);
    let (config, args, shown) = (config.clone(), args.clone(), location.clone());
    let look: Mutex<Option<Look>> = Mutex::new(None);
    let read = move || {
        let mut look = look.lock().unwrap_or_else(PoisonError::into_inner);
        let look = match &mut *look {
            Some(look) => look,
            unopened => {
                let reader = open(&config, &args)?;
                unopened.insert(Look { reader, location: shown.clone(), expiry: None })
            }
        };
        look.read(&Clock::system()).map_err(|fault| problem(&fault))
    };
    Some(Keeper { location, period: PERIOD, read: keeper::Reader::Repository(Arc::new(read)) })
}

/// The same by the words that name a target.
pub fn of_target(config: &Config, words: Option<&str>) -> Option<Keeper> {
    keeper(config, &PlaceArgs { target: words.into(), ..PlaceArgs::default() })
}

fn open(config: &Config, args: &PlaceArgs) -> Result<Reader, Problem> {
    let repository = place::repository(config, args)
        .map_err(|failure| Problem { what: failure.to_string().into(), remedy: Text::default() })?;
    let wal = archive::InRepository::new(repository.clone(), Vec::new());
    Ok(Reader::new(repository, Some(Arc::new(wal))))
}

fn problem(fault: &Fault) -> Problem {
    Problem { what: fault.what().clone(), remedy: fault.advice().cloned().unwrap_or_default() }
}

/// A repository that is read again and again.
struct Look {
    reader: Reader,
    location: Text,
    /// What would expire, when that was found, and of which backups.
    expiry: Option<(Stamp, Vec<KeptBackup>, Known<Expiry>)>,
}

impl Look {
    fn read(&mut self, clock: &Clock) -> Result<Seen, Fault> {
        let found = self.reader.read(clock.wall())?;
        let mut backups: Vec<KeptBackup> = self.reader.entries().map(backup).collect();
        backups.reverse();
        backups.truncate(SHOWN);
        let proofs = self.reader.proofs().rev().take(PROOFS);
        let proofs = proofs.map(|(name, proof)| kept_proof(name, proof)).collect();
        let expiry = self.expiry(&backups, clock);
        Ok(Seen {
            location: self.location.clone(),
            backups,
            wal: known(&found.wal, |reach| KeptWal {
                timeline: reach.timeline,
                end: reach.end,
                at: reach.archived,
            }),
            rto: known(&found.rto, |rto| Rto {
                expected: rto.expected,
                measured: rto.measured,
                source: format!("{}: {}", rto.by.words(), rto.source).into(),
            }),
            pitr: pitr(&found),
            timeline: known(self.reader.line(), timeline),
            proofs,
            expiry,
        })
    }

    fn expiry(&mut self, backups: &[KeptBackup], clock: &Clock) -> Known<Expiry> {
        let now = clock.now();
        if let Some((at, of, expiry)) = &self.expiry
            && now.since(*at) < EXPIRY
            && of == backups
        {
            return expiry.clone();
        }
        let policy = Policy::default();
        let expiry = match self.reader.expiry(policy, clock.wall()) {
            Ok(plan) => Known::Is(Expiry {
                days: policy.days,
                at_least: policy.at_least,
                going: plan.going().map(|item| item.id.as_str().into()).collect(),
                wal: plan.wal_needed_from.map(|_| plan.wal.len() as u64),
                freed: plan.freed(),
                at: clock.wall(),
            }),
            Err(fault) => Known::Unknown(fault.what().clone()),
        };
        self.expiry = Some((now, backups.to_vec(), expiry.clone()));
        expiry
    }
}

fn pitr(found: &Recoverable) -> Known<Pitr> {
    let told = match &found.pitr {
        Told::Is(told) => told,
        Told::Unknown(why) => return Known::Unknown(why.as_str().into()),
    };
    match (told.windows.first(), told.windows.last()) {
        (Some(first), Some(last)) => {
            Known::Is(Pitr { from: first.from, to: last.to, gaps: told.gaps.len() as u32 })
        }
        _ => Known::Unknown(Text::ours("no moment can be restored")),
    }
}

fn timeline(line: &Line) -> Timeline {
    let base = |base: &reach::Base| BaseBackup {
        id: base.id.as_str().into(),
        from: base.from,
        to: base.to,
        start: base.start,
        missing: base.missing.as_deref().map(Text::from),
    };
    let point = |point: &reach::Point| WalPoint { at: point.at, end: point.end };
    Timeline {
        bases: line.bases.iter().map(base).collect(),
        wal: line.points.iter().map(point).collect(),
    }
}

fn kept_proof(name: &str, proof: &Proof) -> KeptProof {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    KeptProof {
        name: name.into(),
        backup: proof.backup.as_str().into(),
        at: proof.at,
        verdict: match proof.verdict {
            Verdict::Proven => ProofVerdict::Proven,
            Verdict::TargetMissed => ProofVerdict::TargetMissed,
            Verdict::Failed => ProofVerdict::Failed,
            Verdict::Damaged => ProofVerdict::Damaged,
        },
        level: proof.level.map(|level| level as u8 + 1),
        rto: proof.rto.as_ref().and_then(|rto| seconds(rto.first_write?)),
        rpo: proof.rpo.as_ref().and_then(|rpo| seconds(rpo.at_most)),
        drill: !proof.settings.is_empty(),
        findings: proof.findings.iter().take(FINDINGS).map(|f| Text::one_line(f)).collect(),
    }
}

fn known<T, U>(told: &Told<T>, as_seen: impl Fn(&T) -> U) -> Known<U> {
    match told {
        Told::Is(value) => Known::Is(as_seen(value)),
        Told::Unknown(why) => Known::Unknown(why.as_str().into()),
    }
}

fn backup(entry: &Entry) -> KeptBackup {
    let id = entry.id.as_str();
    let (method, began) = (entry.id.method(), entry.id.began());
    let (duration, size, state) = match &entry.state {
        State::Complete { manifest, verified } => {
            let state = BackupState::Complete {
                level: verified.as_ref().and_then(|v| v.reached).map(|level| level as u8 + 1),
                wrong: verified.as_ref().and_then(wrong),
            };
            (Some(manifest.duration()), Some(manifest.stored_size()), state)
        }
        State::Failed(failed) => {
            let took = failed.ended.duration_since(failed.began);
            let why = failed.why.as_str().into();
            let state = BackupState::Failed { why, cancelled: failed.cancelled };
            (took.try_into().ok(), None, state)
        }
        State::Unfinished => (None, None, BackupState::Unfinished),
        State::Damaged(fault) => (None, None, BackupState::Damaged { why: fault.what().clone() }),
    };
    let method = method.to_string().into();
    let verified = match &entry.state {
        State::Complete { verified: Some(verified), .. } => Some(verified.at),
        _ => None,
    };
    KeptBackup { id: id.into(), method, began, duration, size, verified, state }
}

/// What a verification found, in one line.
fn wrong(verification: &Verification) -> Option<Text> {
    let first = verification.findings.first()?;
    Some(match verification.findings.len() {
        1 => first.as_str().into(),
        many => format!("{first}, and {} more", many - 1).into(),
    })
}
