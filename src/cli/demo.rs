//! `howdah demo`: a real throw-away cluster, real applications, and incidents.

use std::fmt::Write as _;

use super::{
    Cli, Exit, Failure,
    args::{DemoArgs, DemoCommand, PlaceArgs},
    disks,
    guide::Ground,
    keeper, open, roster, say, setup, silence, target,
};
use crate::{
    base::{
        config::{Config, EndpointConfig},
        secret::Secret,
    },
    resilience::conninfo::{Environment as Surroundings, Settings},
    sandbox::{
        Demo, DemoOptions, DemoTarget, Incident, Kept, Registry, SandboxError, demo::remove_kept,
        incident::inject_running, keeping,
    },
    watch::{sampler::Plan, snapshot::Environment, sources::profiles::Profiles},
};

/// Opens the console on a demo, or does something to the one that runs.
pub fn run(cli: &Cli, options: &DemoArgs) -> Result<Exit, Failure> {
    match &options.command {
        None => show(cli, options),
        Some(DemoCommand::Incident { name: None }) => {
            let mut list = String::new();
            for incident in Incident::ALL {
                // Writing to a string cannot fail.
                let _ = writeln!(list, "{incident:<16} {}", incident.description());
            }
            say(&list)?;
            Ok(Exit::Ok)
        }
        Some(DemoCommand::Incident { name: Some(name) }) => {
            let incident: Incident =
                name.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
            inject_running(incident).map_err(unavailable)?;
            say(&format!("{incident}: done: {}\n", incident.description()))?;
            Ok(Exit::Ok)
        }
        Some(DemoCommand::Config) => {
            let demo = Registry::usual().and_then(|registry| registry.newest());
            say(&format!("{}\n", demo.map_err(unavailable)?.config().display()))?;
            Ok(Exit::Ok)
        }
        Some(DemoCommand::Remove) => {
            let count = remove_kept(&Registry::usual().map_err(unavailable)?);
            say(&format!("{count} removed\n"))?;
            Ok(Exit::Ok)
        }
    }
}

fn show(cli: &Cli, options: &DemoArgs) -> Result<Exit, Failure> {
    open::check_terminal()?;
    let config = setup::config(cli)?;
    let demo = Demo::start(&DemoOptions {
        keep: options.keep,
        port: options.port,
        no_load: options.no_load,
        ..DemoOptions::default()
    })
    .map_err(unavailable)?;
    let target = demo.target();
    // What guides do, they do as superuser, and by the demo's own configuration.
    let ground = Ground::by(cli, Some(&target.config), PlaceArgs::default())?;
    let plan = plan(&config, target)?;
    let left = open::open(&config, plan, Some(demo.handle().clone()), ground);
    if let Some(kept) = demo.finish().map_err(unavailable)? {
        say(&farewell(&kept))?;
    }
    left
}

fn plan(config: &Config, demo: DemoTarget) -> Result<Plan, Failure> {
    let mut settings = Settings::parse(&demo.conninfo, &Surroundings::bare())
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    settings.password = Some(demo.password);
    let mut plan = target::bare(config, settings, Environment::Demo);
    let profiles = Profiles::built_in();
    for app in demo.apps {
        let place = EndpointConfig { url: Secret::new(app.url), ..EndpointConfig::default() };
        let endpoint = target::endpoint(&app.name, &place, config.endpoint_interval, &profiles)?;
        plan.endpoints.push(endpoint);
    }
    let kept = PlaceArgs {
        repository: Some(demo.repository.to_string_lossy().into_owned()),
        name: Some(keeping::NAME.to_owned()),
        ..PlaceArgs::default()
    };
    plan.repository = keeper::keeper(config, &kept);
    plan.jobs = roster::keeper();
    plan.disks = Some(disks::plan(config, &kept, &plan.settings));
    plan.silences = silence::desk::keeper(&plan);
    Ok(plan)
}

fn farewell(kept: &Kept) -> String {
    format!(
        "The cluster is still running in {}\n  connect   PGPASSWORD=$(cat {}) psql '{}'\n  \
         remove    howdah demo remove    (or: {})\n",
        kept.folder.display(),
        kept.password_file.display(),
        kept.conninfo,
        kept.stop_command,
    )
}

fn unavailable(error: SandboxError) -> Failure {
    Failure::new(Exit::Unavailable, error)
}
