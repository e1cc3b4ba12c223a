//! Sets a server up to archive with howdah: looks, says what would change, tries it as the server's own
//! account, writes it by `ALTER SYSTEM`, and can take it back. It never restarts the server.
//!
//! | file | its duty |
//! |---|---|
//! | [`archiver`] | the command that the server runs for each file |
//! | [`survey`] | what the server says of its settings, and what our role may do |
//! | [`trial`] | what the server's own account can do: run us, read the keys, write; and its next start |
//! | [`wanted`] | which settings should be otherwise: pure |
//! | [`apply`] | writes them, sees that the server took them, takes them back |
//! | [`record`] | what they were before |

pub mod apply;
pub mod archiver;
pub mod record;
pub mod survey;
pub mod trial;
pub mod wanted;

use std::time::Duration;

use serde::Serialize;

use self::{
    archiver::Archiver,
    survey::{Server, Setting},
    trial::{NextStart, Trial},
    wanted::Change,
};
use crate::{
    base::text::Text,
    recover::{
        Fault, Kind, Repository, Result,
        repository::checkup::{Finding, Verdict},
        session::Session,
    },
};

/// What is wished.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The command.
    pub archiver: Archiver,
    /// A segment is ended at the latest after this time, even when it is not full.
    pub timeout: Duration,
}

impl Wish {
    /// The timeout that keeps a promise: half of it, so that as much is left for the archiving itself. The
    /// documentation of `archive_timeout` calls a minute or so reasonable; less is taken only when a
    /// promise of less than two minutes asks for it.
    pub fn timeout_for(rpo_target: Duration) -> Duration {
        Duration::from_secs((rpo_target.as_secs() / 2).max(1))
    }
}

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The server.
    pub server: Server,
    /// What would be written; empty when all is as it should be.
    pub changes: Vec<Change>,
    /// Settings that are as they should be.
    pub kept: Vec<Setting>,
    /// What was looked at beforehand.
    pub findings: Vec<Finding>,
    /// The command that restarts the server, where a restart is needed before it archives.
    pub restart: Option<Text>,
}

impl Plan {
    /// How much would change, in a few words.
    pub fn summary(&self) -> String {
        match (self.changes.len(), &self.restart) {
            (0, None) => "nothing is to change".to_owned(),
            (0, Some(_)) => "nothing is to change; a restart is waited for".to_owned(),
            (1, _) => "1 is to change".to_owned(),
            (n, _) => format!("{n} are to change"),
        }
    }

    /// Why it must not be carried out.
    pub fn refusal(&self) -> Option<Fault> {
        let bad = self.findings.iter().find(|finding| finding.verdict == Verdict::Bad)?;
        let kind = bad.kind.unwrap_or(Kind::Refused);
        Some(Fault::new(kind, format!("{}: {}", bad.what, bad.detail)))
    }
}

/// Looks at the server, tries the command as its account, and says what would change. Nothing is changed.
///
/// # Errors
/// [`Kind::Refused`] for a standby, or when our role may not look or write: the privileges are named.
pub fn plan(session: &Session, repository: &Repository, wish: &Wish) -> Result<Plan> {
    let server = survey::server(session)?;
    survey::permitted(session, &server)?;
    let settings = survey::settings(session, &server)?;
    let next = NextStart::of(&server, &settings);
    let trial = trial::ask(session, &wish.archiver, &next)?;
    let wanted = wanted::wanted(&settings, &trial.next, wish);
    let mut findings = trial::judge(&trial, repository);
    findings.extend(survey::findings(session, &server)?);
    findings.extend(wanted::findings(&wanted.changes, &settings));
    findings.push(owner(repository, session));
    let restart = (wanted.changes.iter().any(|change| change.restart)
        || settings.iter().any(|setting| setting.pending_restart))
    .then(|| server.restart_command());
    let wanted::Wanted { changes, kept } = wanted;
    Ok(Plan { server, changes, kept, findings, restart })
}

/// Whose the archive is: seen from here; the server's account has its own sight of it.
fn owner(repository: &Repository, session: &Session) -> Finding {
    let looked = || {
        let own = session.cluster()?;
        Ok(match repository.claimed()? {
            None => Finding::new("archive", Verdict::Good, "it is nobody's yet"),
            Some(claim) => match claim.cluster.differs(&own) {
                None if claim.encrypted && !repository.encrypts() => {
                    let detail =
                        "what is in it is encrypted, and no recipients are configured here";
                    Finding::bad("archive", Kind::Config, detail)
                }
                None => Finding::new("archive", Verdict::Good, "it is this cluster's"),
                Some(_) => {
                    let other = claim.cluster.system_identifier;
                    let detail = format!("it is the cluster {other}'s: choose another --name");
                    Finding::bad("archive", Kind::Refused, detail)
                }
            },
        })
    };
    Finding::of("archive", looked())
}

/// A trial after which the server's next start would have these values.
fn next_values(session: &Session, server: &Server, archiver: &Archiver) -> Result<Trial> {
    let settings = survey::settings(session, server)?;
    trial::ask(session, archiver, &NextStart::of(server, &settings))
}
