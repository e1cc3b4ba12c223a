//! From the words of a call to what is watched.

use std::{fs, sync::Arc, time::Duration};

use super::{Exit, Failure, setup};
use crate::{
    base::{
        config::{Config, EndpointConfig, TargetConfig},
        text::{Text, nearest},
    },
    resilience::conninfo::{Entry, Environment as Surroundings, Origin, Settings},
    watch::{
        assemble::Frame,
        sampler::Plan,
        snapshot::{Environment, Target},
        sources::{
            address::{Auth, Endpoint},
            pgbouncer,
            profile::Profile,
            profiles::Profiles,
        },
    },
};

/// What to watch, by the words of a call and the configuration.
pub fn plan(config: &Config, words: Option<&str>) -> Result<Plan, Failure> {
    let words = words.or(config.default_target.as_deref());
    let surroundings = Surroundings::current();
    match words {
        Some(name) if !looks_like_conninfo(name) => {
            let target = config.targets.get(name).ok_or_else(|| unknown(config, name))?;
            named(config, name, target, &surroundings)
        }
        Some(conninfo) => {
            let settings = parse(conninfo, &surroundings)?;
            refuse_spoken_password(&settings)?;
            Ok(bare(config, settings, Environment::Unknown))
        }
        None => {
            let settings = Settings::from_env(&surroundings).map_err(wrong)?;
            Ok(bare(config, settings, Environment::Unknown))
        }
    }
}

/// A plan for connection settings that the configuration says nothing about.
pub fn bare(config: &Config, settings: Settings, environment: Environment) -> Plan {
    let name = Text::from(settings.dbname.as_str());
    Plan {
        frame: Frame {
            target: Target {
                name,
                environment,
                address: Text::from(settings.describe()),
                read_only: false,
            },
            period: config.interval,
            rpo_target: config.rpo_target,
            rto_target: config.rto_target,
        },
        settings,
        endpoints: Vec::new(),
        bouncers: Vec::new(),
        repository: None,
        jobs: None,
        engines: Vec::new(),
        silences: None,
        disks: None,
    }
}

/// An endpoint of the configuration.
pub fn endpoint(
    name: &str,
    place: &EndpointConfig,
    period: Duration,
    profiles: &Arc<Profiles>,
) -> Result<Endpoint, Failure> {
    let wrong =
        |why: &str| Failure::new(Exit::Config, format!("the metrics endpoint '{name}': {why}"));
    if place.url.expose().is_empty() {
        return Err(wrong("it has no url"));
    }
    let mut endpoint =
        Endpoint::new(name, place.url.expose()).map_err(|error| wrong(&error.to_string()))?;
    if let Some(file) = &place.token_file {
        if !matches!(endpoint.auth, Auth::None) {
            return Err(wrong("it has a token_file and a user in its url: one of them must go"));
        }
        endpoint.auth = Auth::BearerFile(file.clone());
    }
    if place.ca_file.is_some() && !endpoint.tls {
        return Err(wrong("it has a ca_file, which only https:// has a use for"));
    }
    endpoint.ca_file.clone_from(&place.ca_file);
    endpoint.period = period;
    endpoint.profiles = Arc::clone(profiles);
    Ok(endpoint)
}

fn named(
    config: &Config,
    name: &str,
    target: &TargetConfig,
    surroundings: &Surroundings,
) -> Result<Plan, Failure> {
    let settings = match target.url.expose() {
        "" => Settings::from_env(surroundings).map_err(wrong)?,
        url => parse(url, surroundings)?,
    };
    let environment = match target.environment.as_deref() {
        Some("production") => Environment::Production,
        Some("staging") => Environment::Staging,
        Some("development") => Environment::Development,
        _ => Environment::Unknown,
    };
    let mut plan = bare(config, settings, environment);
    plan.frame.target.name = name.into();
    plan.frame.target.read_only = target.read_only;
    plan.frame.rpo_target = target.rpo_target.unwrap_or(config.rpo_target);
    plan.frame.rto_target = target.rto_target.unwrap_or(config.rto_target);
    let profiles = profiles()?;
    for (app, place) in &target.metrics {
        plan.endpoints.push(endpoint(app, place, config.endpoint_interval, &profiles)?);
    }
    if let Some(url) = &target.pgbouncer {
        let settings = parse(url.expose(), surroundings)?;
        plan.bouncers.push(pgbouncer::Bouncer {
            period: config.endpoint_interval,
            ..pgbouncer::Bouncer::new("pgbouncer", settings)
        });
    }
    Ok(plan)
}

/// The built-in profiles and the user's own: each `NAME.toml` in the folder `profiles`.
fn profiles() -> Result<Arc<Profiles>, Failure> {
    let folder = setup::paths()?.config.join("profiles");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut own = Vec::new();
    for path in files {
        let wrong = |why: String| {
            Failure::new(Exit::Config, format!("the profile '{}': {why}", path.display()))
        };
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        own.push(Profile::from_toml(&text).map_err(|error| wrong(error.to_string()))?);
    }
    Profiles::with(own).map_err(|error| Failure::new(Exit::Config, error))
}

/// As psql tells a connection string from a name: it has a `=` or begins like a URL.
fn looks_like_conninfo(words: &str) -> bool {
    words.contains('=') || words.contains("://")
}

/// The command line is open to everybody on the machine (`ps`).
fn refuse_spoken_password(settings: &Settings) -> Result<(), Failure> {
    let spoken = |entry: &Entry| entry.keyword == "password" && entry.origin == Origin::String;
    if settings.entries().iter().any(spoken) {
        let what = "a password on the command line can be read by everybody on this machine; put it \
                    into ~/.pgpass (mode 0600), PGPASSWORD or a service file";
        return Err(Failure::new(Exit::Usage, what));
    }
    Ok(())
}

fn parse(text: &str, surroundings: &Surroundings) -> Result<Settings, Failure> {
    Settings::parse(text, surroundings).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Config, format!("the connection settings: {error}"))
}

fn unknown(config: &Config, name: &str) -> Failure {
    let known = config.targets.keys().map(String::as_str);
    let hint = match nearest(name, known) {
        Some(near) => format!("; did you mean '{near}'?"),
        None if config.targets.is_empty() => {
            "; no target is configured (`howdah config example` shows how), \
             and a connection string has a '=' or '://'"
                .to_owned()
        }
        None => {
            let names: Vec<&str> = config.targets.keys().map(String::as_str).collect();
            format!("; configured are {}", names.join(", "))
        }
    };
    Failure::new(Exit::Config, format!("there is no target '{name}'{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::{Layers, load};

    fn plan_of(words: &str) -> Result<Plan, Failure> {
        plan(&load(&Layers::default()).expect("the defaults"), Some(words))
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        for words in ["postgresql://me:hunter2@db/app", "host=db password=hunter2"] {
            let failure = plan_of(words).expect_err(words);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
    }

    #[test]
    fn words_that_are_no_connection_string_name_a_target() {
        let failure = plan_of("prod").expect_err("not configured");
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.to_string().contains("config example"), "{failure}");
        let plan = plan_of("host=db.example user=me dbname=app").expect("a plan");
        assert_eq!(&*plan.frame.target.address, "db.example:5432/app as me");
        assert_eq!(plan.frame.target.environment, Environment::Unknown);
    }
}
