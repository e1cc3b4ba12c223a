//! `howdah [TARGET]`: the console.

#[cfg(feature = "console")]
mod console;
#[cfg(not(feature = "console"))]
#[path = "headless.rs"]
mod console;
#[cfg(feature = "console")]
mod guides;

use super::{
    Cli, Exit, Failure, args::PlaceArgs, disks, guide::Ground, histories, keeper, roster, setup,
    silence, target,
};

pub use console::{check_looks, check_terminal, keys, open};

/// Opens the console on the target of the call.
pub fn run(cli: &Cli) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let mut plan = target::plan(&config, cli.target.as_deref())?;
    plan.repository = keeper::of_target(&config, cli.target.as_deref());
    plan.engines = histories::keepers(&config, cli.target.as_deref())?;
    plan.jobs = roster::keeper();
    plan.disks = Some(disks::of_target(&config, cli.target.as_deref(), &plan.settings));
    plan.silences = silence::desk::keeper(&plan);
    check_terminal()?;
    let place = PlaceArgs { target: cli.target.clone(), ..PlaceArgs::default() };
    open(&config, plan, None, Ground::of(cli, place)?)
}
