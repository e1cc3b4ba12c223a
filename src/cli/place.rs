//! From the words of a call to the target that is backed up or restored, and the repository that keeps it.

use std::time::Duration;

use super::{Exit, Failure, args::PlaceArgs, target};
use crate::{
    base::config::Config,
    recover::{
        Fault, Kind, Repository,
        repository::{
            self,
            encryption::{Keys, Recipients},
        },
    },
    resilience::conninfo::Settings,
};

/// A target and where its backups, WAL and proofs are kept.
pub struct Place {
    /// How to connect.
    pub settings: Settings,
    /// Its part of the repository.
    pub repository: Repository,
    /// Its promises, and how it is shown.
    pub frame: crate::watch::assemble::Frame,
}

/// The target and its repository, by the words of a call and the configuration.
pub fn place(config: &Config, args: &PlaceArgs) -> Result<Place, Failure> {
    let plan = target::plan(config, args.target.as_deref())?;
    let repository = repository(config, args)?;
    Ok(Place { settings: plan.settings, repository, frame: plan.frame })
}

/// The repository alone, for what needs no server.
pub fn repository(config: &Config, args: &PlaceArgs) -> Result<Repository, Failure> {
    let (location, name) = whereabouts(config, args)?;
    equipped(config, repository::open(location, name)?)
}

/// The same, making its folder where there is none.
pub fn new_repository(config: &Config, args: &PlaceArgs) -> Result<Repository, Failure> {
    let (location, name) = whereabouts(config, args)?;
    equipped(config, repository::make(location, name)?)
}

/// The repository's location, and what the target is called in it.
pub fn whereabouts<'a>(
    config: &'a Config,
    args: &'a PlaceArgs,
) -> Result<(&'a str, &'a str), Failure> {
    let words = args.target.as_deref().or(config.default_target.as_deref());
    let configured = words.and_then(|name| config.targets.get_key_value(name));
    let location = args
        .repository
        .as_deref()
        .or_else(|| configured.and_then(|(_, target)| target.repository.as_deref()))
        .or(config.repository.as_deref());
    let Some(location) = location else {
        let what = "no repository is configured: set recover.repository in the configuration, or give --repository";
        return Err(Failure::new(Exit::Config, what));
    };
    let name = args.name.as_deref().or(configured.map(|(name, _)| name.as_str()));
    let Some(name) = name else {
        let what = "what this target is called in the repository is not known: give --name, or configure the target";
        return Err(Failure::new(Exit::Config, what));
    };
    Ok((location, name))
}

/// The public keys for which everything new is encrypted.
pub fn recipients(config: &Config) -> Result<Recipients, Failure> {
    let words = config.recipients.iter().map(String::as_str).filter(|word| !word.is_empty());
    Ok(Recipients::parse(words)?)
}

/// With the keys and the habits that the configuration gives it.
fn equipped(config: &Config, repository: Repository) -> Result<Repository, Failure> {
    let repository = repository.sealing_for(recipients(config)?).with_md5(config.md5);
    Ok(match &config.identity {
        Some(path) => repository.opening_with(Keys::of_file(path)),
        None => repository,
    })
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Usage => Self::Usage,
            Kind::Config => Self::Config,
            Kind::Unavailable => Self::Unavailable,
            Kind::Damaged => Self::Damaged,
            Kind::NoSpace => Self::CannotCreate,
            Kind::Refused => Self::Refused,
            Kind::Cancelled => Self::Cancelled,
            Kind::Failed => Self::Failure,
        }
    }
}

/// The promises for RPO and RTO: the target's own, else those for all.
pub fn promises(config: &Config, args: &PlaceArgs) -> (Duration, Duration) {
    let words = args.target.as_deref().or(config.default_target.as_deref());
    let target = words.and_then(|name| config.targets.get(name));
    (
        target.and_then(|target| target.rpo_target).unwrap_or(config.rpo_target),
        target.and_then(|target| target.rto_target).unwrap_or(config.rto_target),
    )
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind.into(), fault)
    }
}
