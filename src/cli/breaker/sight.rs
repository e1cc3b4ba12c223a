//! The breakers of a target's applications, as their control endpoints tell.

use serde::Serialize;

use crate::{
    base::{
        clock::{Clock, Timestamp},
        config::{Config, ControlConfig},
        secret::Secret,
        text::{Text, nearest},
        units,
    },
    cli::{Exit, Failure, setup, target},
    resilience::control::{self, Door, Told},
};

/// What is seen of a target.
pub struct Sight {
    /// The target's name.
    pub target: Text,
    /// Nothing may be changed on it.
    pub read_only: bool,
    /// The breakers, by application.
    pub breakers: Vec<Seen>,
    /// Applications that did not tell.
    pub silent: Vec<Silent>,
}

/// A breaker that was seen.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// What it is called here: its application, with its own name where that has several.
    pub id: Text,
    /// The application.
    pub application: Text,
    /// Where it was asked.
    pub address: Text,
    /// How long it is in its state, in words.
    pub age: String,
    /// Until its mode runs out, in words; null when it does not.
    pub runs_out_in: Option<String>,
    /// What it told.
    #[serde(flatten)]
    pub told: Told,
    #[serde(skip)]
    pub door: Door,
}

/// An application that did not tell.
#[derive(Debug, Serialize)]
pub struct Silent {
    /// The application.
    pub application: Text,
    /// Where it was asked.
    pub address: Text,
    /// Why.
    pub why: Text,
}

impl Sight {
    /// Asks every application of the target, all at the same time.
    pub fn of(config: &Config, words: Option<&str>) -> Result<Self, Failure> {
        // It names what is wrong with the words.
        let frame = target::plan(config, words)?.frame;
        let name = words.or(config.default_target.as_deref()).unwrap_or_default();
        let controls = config.targets.get(name).map(|target| &target.control);
        let Some(controls) = controls.filter(|controls| !controls.is_empty()) else {
            let what = format!(
                "no control endpoint of '{}' is configured: its applications and where they are controlled stand in [target.NAME.control] (`howdah config example`)",
                frame.target.name
            );
            return Err(Failure::new(Exit::Config, what));
        };
        let mut doors = Vec::new();
        for (app, control) in controls {
            doors.push((Text::from(app.as_str()), door(app, control)?));
        }
        let answers = setup::runtime()?.block_on(async {
            let asked: Vec<_> = doors
                .into_iter()
                .map(|(app, door)| {
                    let through = door.clone();
                    (app, door, tokio::spawn(async move { control::ask(&through).await }))
                })
                .collect();
            let mut answers = Vec::new();
            for (app, door, answer) in asked {
                answers.push((app, door, answer.await));
            }
            answers
        });
        let now = Clock::system().wall();
        let (mut breakers, mut silent) = (Vec::new(), Vec::new());
        for (application, door, answer) in answers {
            let why = match answer {
                Ok(Ok(told)) => {
                    breakers.extend(seen(&application, &door, told, now));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            silent.push(Silent { application, address: shown(&door), why: why.into() });
        }
        let (target, read_only) = (frame.target.name, frame.target.read_only);
        Ok(Self { target, read_only, breakers, silent })
    }

    /// The breaker of that name.
    pub fn find(self, name: &str) -> Result<Seen, Failure> {
        let known: Vec<String> = self.breakers.iter().map(|seen| seen.id.to_string()).collect();
        let full = |seen: &Seen| format!("{}/{}", seen.application, seen.told.name);
        let named = |seen: &Seen| *seen.id == *name || full(seen) == name;
        if let Some(silent) = self.silent.iter().find(|silent| *silent.application == *name) {
            let what = format!("'{name}' at {}: {}", silent.address, silent.why);
            return Err(Failure::new(Exit::Unavailable, what));
        }
        self.breakers.into_iter().find(named).ok_or_else(|| {
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || format!("there are: {}", known.join(", ")),
                |near| format!("did you mean '{near}'?"),
            );
            Failure::new(Exit::Usage, format!("no breaker is called '{name}'; {hint}"))
        })
    }
}

fn seen(application: &Text, door: &Door, told: Vec<Told>, now: Timestamp) -> Vec<Seen> {
    let alone = told.len() == 1;
    let breakers = told.into_iter().map(|told| {
        let id =
            if alone { application.clone() } else { format!("{application}/{}", told.name).into() };
        Seen { id, ..Seen::new(application, door, told, now) }
    });
    breakers.collect()
}

impl Seen {
    fn new(application: &Text, door: &Door, told: Told, now: Timestamp) -> Self {
        let until = told.hold.as_ref().and_then(|hold| hold.until);
        Self {
            id: application.clone(),
            application: application.clone(),
            address: shown(door),
            age: units::age(now.duration_since(told.since).try_into().unwrap_or_default()),
            runs_out_in: until
                .map(|until| units::age(until.duration_since(now).try_into().unwrap_or_default())),
            told,
            door: door.clone(),
        }
    }

    /// The same after it was set.
    pub fn anew(self, told: Told) -> Self {
        let now = Clock::system().wall();
        Self { id: self.id, ..Self::new(&self.application, &self.door, told, now) }
    }
}

fn shown(door: &Door) -> Text {
    door.to_string().into()
}

fn door(app: &str, control: &ControlConfig) -> Result<Door, Failure> {
    let wrong =
        |why: String| Failure::new(Exit::Config, format!("the control endpoint of '{app}': {why}"));
    let token = match &control.token_file {
        None => None,
        Some(file) => {
            let read = Secret::of_file(file);
            let why = |why| wrong(format!("its token_file '{}': {why}", file.display()));
            Some(read.map_err(why)?)
        }
    };
    Door::parse(&control.url, token).map_err(|error| wrong(error.to_string()))
}
