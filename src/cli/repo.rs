//! `howdah repo`: makes, checks and describes a repository.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Cli, Exit, Failure,
    args::{PlaceArgs, RepoCommand},
    place,
    record::recorded_with,
    say, setup,
};
use crate::{
    base::{
        clock::{Clock, Timestamp, passed},
        ledger::Act,
        text::clean,
        units,
    },
    recover::{
        Kind, Repository,
        repository::{
            address::Address,
            catalogue::{Entry, State},
            checkup::{self, Finding, Verdict},
            storage::{Leftover, Object},
        },
        session::Session,
    },
};

/// Makes, checks or describes a repository.
pub fn run(cli: &Cli, what: &RepoCommand) -> Result<Exit, Failure> {
    match what {
        RepoCommand::Init { place, unencrypted } => init(cli, place, *unencrypted),
        RepoCommand::Check { place, all, clean, json } => {
            let config = setup::config(cli)?;
            let repository = place::repository(&config, place)?;
            let findings = checkup::check(&repository, *all);
            let leftovers = Leftovers::look(&repository, *clean)?;
            say(&if *json {
                leftovers.json(&findings)
            } else {
                table(&findings) + &leftovers.table()
            })?;
            if leftovers.all().iter().any(|leftover| leftovers.goes(leftover)) {
                let details = json!({ "repository": name(&repository) });
                recorded(cli, Act::new("repo.clean").with(details), || {
                    leftovers.remove(&repository)
                })?;
            }
            Ok(verdict(&findings))
        }
        RepoCommand::Info { place, json } => {
            let repository = place::repository(&setup::config(cli)?, place)?;
            let info = Info::read(&repository)?;
            say(&if *json { info.json() } else { info.text() })?;
            Ok(Exit::Ok)
        }
    }
}

fn init(cli: &Cli, args: &PlaceArgs, unencrypted: bool) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    if unencrypted && !place::recipients(&config)?.is_empty() {
        let what = "--unencrypted: the configuration has recover.recipients";
        return Err(Failure::new(Exit::Usage, what));
    }
    let (location, target) = place::whereabouts(&config, args)?;
    // One that holds a secret is refused before it is written down.
    Address::parse(location)?;
    let details = json!({ "repository": location, "name": target, "unencrypted": unencrypted });
    recorded(cli, Act::new("repo.init").with(details), || {
        let repository = place::new_repository(&config, args)?;
        if unencrypted {
            repository.stop_encrypting()?;
        }
        if args.target.is_some() {
            claim(&place::place(&config, args)?)?;
        }
        let findings = checkup::check(&repository, false);
        say(&table(&findings))?;
        Ok(verdict(&findings))
    })
}

/// Writes down whose the repository is.
fn claim(place: &place::Place) -> Result<(), Failure> {
    let session = Session::open(&place.settings)?;
    place.repository.claim(&session.cluster()?)?;
    Ok(())
}

/// Does something that changes the repository, with its beginning and its end in the ledger.
fn recorded<T>(
    cli: &Cli,
    act: Act,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    recorded_with(cli, act, || Ok((work()?, Value::Null)))
}

fn name(repository: &Repository) -> String {
    format!("{}/{}", repository.storage().describe(), repository.target())
}

/// How the process ends: damage before everything else, then the first trouble.
fn verdict(findings: &[Finding]) -> Exit {
    let mut kinds = findings.iter().filter_map(|finding| finding.kind);
    if kinds.clone().any(|kind| kind == Kind::Damaged) {
        return Exit::Damaged;
    }
    kinds.next().map_or(Exit::Ok, Exit::from)
}

pub fn table(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let word = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Unknown => "unknown",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{word:<8} {:<12} {}", finding.what, clean(&finding.detail));
    }
    out
}

/// What interrupted writers left behind, and which of it is to go.
struct Leftovers {
    found: Option<Vec<Leftover>>,
    clean: bool,
    now: Timestamp,
}

impl Leftovers {
    fn look(repository: &Repository, clean: bool) -> Result<Self, Failure> {
        Ok(Self { found: repository.leftovers()?, clean, now: Clock::system().wall() })
    }

    fn all(&self) -> &[Leftover] {
        self.found.as_deref().unwrap_or_default()
    }

    fn goes(&self, leftover: &Leftover) -> bool {
        self.clean && leftover.abandoned(self.now)
    }

    fn table(&self) -> String {
        let Some(found) = &self.found else {
            return "unknown  leftovers    interrupted uploads cannot be listed; let the bucket remove \
                    them by a lifecycle rule (AbortIncompleteMultipartUpload)\n"
                .to_owned();
        };
        if found.is_empty() {
            return "ok       leftovers    none\n".to_owned();
        }
        let mut out = String::new();
        for leftover in found {
            let size = leftover.size.map_or_else(|| "—".to_owned(), units::bytes);
            let age = leftover.age(self.now).map_or_else(|| "—".to_owned(), units::age);
            let fate = if self.goes(leftover) { "; is removed now" } else { "" };
            let _ = writeln!(
                out,
                "warning  leftovers    {} was not finished: {size}, {age} old{fate}",
                leftover.key
            );
        }
        out
    }

    fn json(&self, findings: &[Finding]) -> String {
        let list = |found: &Vec<Leftover>| -> Vec<_> {
            found
                .iter()
                .map(|leftover| {
                    json!({
                        "key": leftover.key,
                        "size": leftover.size,
                        "age_seconds": leftover.age(self.now).map(|age| age.as_secs()),
                        "removed": self.goes(leftover),
                    })
                })
                .collect()
        };
        let leftovers = self.found.as_ref().map(list);
        // What could not be looked at is not well either.
        let wrong: Vec<String> = findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Good)
            .map(|finding| format!("{}: {}", finding.what, finding.detail))
            .collect();
        let all = json!({ "findings": findings, "wrong": wrong, "leftovers": leftovers });
        format!("{all:#}\n")
    }

    fn remove(&self, repository: &Repository) -> Result<(), Failure> {
        for leftover in self.all().iter().filter(|leftover| self.goes(leftover)) {
            repository.storage().remove_leftover(leftover)?;
        }
        Ok(())
    }
}

/// What a repository keeps of a target.
struct Info {
    place: String,
    backups: Vec<Entry>,
    wal: Vec<Object>,
    proofs: Vec<Object>,
    now: Timestamp,
}

impl Info {
    fn read(repository: &Repository) -> Result<Self, Failure> {
        Ok(Self {
            place: name(repository),
            backups: repository.backups()?,
            wal: repository.storage().list(&repository.wal_key()?)?,
            proofs: repository.storage().list(&repository.proofs_key()?)?,
            now: Clock::system().wall(),
        })
    }

    fn text(&self) -> String {
        let mut out = format!("{}\n", clean(&self.place));
        if self.backups.is_empty() {
            out.push_str("backup   none\n");
        }
        for entry in &self.backups {
            let (word, size, at) = describe(entry);
            let size = size.map_or_else(|| "—".to_owned(), units::bytes);
            let age = at.map_or_else(|| "—".to_owned(), |at| units::age(passed(at, self.now)));
            let _ = writeln!(out, "backup   {:<28} {size:>8}  {age:>6} old  {word}", entry.id);
        }
        for (what, objects) in [("wal", &self.wal), ("proofs", &self.proofs)] {
            let Some(newest) = objects.iter().map(|object| object.modified).max() else {
                let _ = writeln!(out, "{what:<8} none");
                continue;
            };
            let size = objects.iter().map(|object| object.size).sum();
            let _ = writeln!(
                out,
                "{what:<8} {} objects, {}, the newest {} old",
                objects.len(),
                units::bytes(size),
                units::age(passed(newest, self.now))
            );
        }
        out
    }

    fn json(&self) -> String {
        let group = |objects: &[Object]| {
            json!({
                "objects": objects.len(),
                "bytes": objects.iter().map(|object| object.size).sum::<u64>(),
                "newest": objects.iter().map(|object| object.modified).max(),
            })
        };
        let backups = self.backups.iter().map(|entry| {
            let (word, size, at) = describe(entry);
            json!({
                "id": entry.id,
                "state": word,
                "bytes": size,
                "at": at,
                "level": entry.level(),
            })
        });
        let value = json!({
            "place": clean(&self.place),
            "backups": backups.collect::<Vec<_>>(),
            "wal": group(&self.wal),
            "proofs": group(&self.proofs),
        });
        format!("{value:#}\n")
    }
}

/// A backup's state in words, its size as stored, and when it ended.
fn describe(entry: &Entry) -> (String, Option<u64>, Option<Timestamp>) {
    match &entry.state {
        State::Complete { manifest, verified } => {
            let word = match (verified, entry.level()) {
                (None, _) => "complete, not verified".to_owned(),
                (Some(_), Some(level)) => format!("complete, verified to {level}"),
                (Some(_), None) => "complete, and its last verification found it wrong".to_owned(),
            };
            (word, Some(manifest.stored_size()), Some(manifest.ended))
        }
        State::Failed(failed) => {
            let why = clean(&failed.why).into_owned();
            (format!("failed: {why}"), None, Some(failed.ended))
        }
        State::Unfinished => ("unfinished: it runs, or was killed".to_owned(), None, None),
        State::Damaged(fault) => (format!("damaged: {fault}"), None, None),
    }
}
