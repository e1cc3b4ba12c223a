//! What of this machine must not run out of room while a target is watched.

use super::{args::PlaceArgs, place, setup};
use crate::{
    base::config::Config,
    recover::repository::address::Address,
    resilience::conninfo::Settings,
    watch::sources::disks::{Limits, Plan},
};

/// The server's own folders, the repository where that is a folder, and the folder of our state.
pub fn plan(config: &Config, place: &PlaceArgs, settings: &Settings) -> Plan {
    let repository = place::whereabouts(config, place).ok();
    let repository = repository.and_then(|(location, _)| match Address::parse(location) {
        Ok(Address::Folder(folder)) => Some(folder),
        Ok(Address::Bucket(_)) | Err(_) => None,
    });
    let state = setup::paths().ok().map(|paths| paths.state);
    let limits = Limits { used: config.disk_used, full_in: config.disk_full };
    Plan { repository, state, hosts: settings.hosts.clone(), limits }
}

/// The same by the words that name a target.
pub fn of_target(config: &Config, words: Option<&str>, settings: &Settings) -> Plan {
    let place = PlaceArgs { target: words.into(), ..PlaceArgs::default() };
    plan(config, &place, settings)
}
