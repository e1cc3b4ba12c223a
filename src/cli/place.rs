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
    let mut repository = repository::open(&location, &name)?.sealing_for(Recipients::parse(
        config.recipients.iter().map(String::as_str).filter(|word| !word.is_empty()),
    )?);
    if let Some(path) = &config.identity {
        repository = repository.opening_with(Keys::of_file(path));
    }
    Ok(repository)
}

/// Where the repository is, and what the target is called in it.
pub fn whereabouts(config: &Config, args: &PlaceArgs) -> Result<(String, String), Failure> {
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
    Ok((location.to_owned(), name.to_owned()))
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
        let exit = match fault.kind {
            Kind::Usage => Exit::Usage,
            Kind::Config => Exit::Config,
            Kind::Unavailable => Exit::Unavailable,
            Kind::Damaged => Exit::Damaged,
            Kind::NoSpace => Exit::CannotCreate,
            Kind::Refused => Exit::Refused,
            Kind::Cancelled => Exit::Cancelled,
            Kind::Failed => Exit::Failure,
        };
        Self::new(exit, fault)
    }
}
