//! Where silences are made and ended, whoever asks for it: a call, or the console. Each change stands in the
//! ledger.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    base::{
        clock::Clock,
        config::Config,
        ledger::{Act, Ledger, Target, Who},
        text::Text,
        units,
    },
    cli::{Exit, Failure, record::recorded_in, setup},
    recover::{Fault, Kind},
    watch::{
        sampler::Plan,
        silences::{SilenceError, Silences, Wish, about},
        snapshot::{Problem, Silence},
        sources::keeper::{Keeper, Reader},
    },
};

/// How often the file is read: what somebody else has silenced is seen within a second.
const PERIOD: Duration = Duration::from_secs(1);

/// The silences of a target, and in whose name they are changed.
#[derive(Clone, Debug)]
pub struct Desk {
    target: Text,
    silences: Silences,
    ledger: Ledger,
    by: Text,
}

/// The silences of what is watched, to be watched with it; none where no state folder is known.
pub fn keeper(plan: &Plan) -> Option<Keeper> {
    let silences = silences(plan).ok()?;
    let location = silences.file().to_string_lossy().as_ref().into();
    let read = move || silences.read().map_err(|error| problem(&error));
    Some(Keeper { location, period: PERIOD, read: Reader::Silences(Arc::new(read)) })
}

fn silences(plan: &Plan) -> Result<Silences, Failure> {
    let (folder, clock) = (setup::paths()?.silences(), Clock::system());
    Ok(Silences::of(&folder, &plan.frame.target.name, &plan.settings, &clock))
}

fn problem(error: &SilenceError) -> Problem {
    let remedy = match error {
        SilenceError::Garbled { .. } => "Move the file away, and silence again what has to be.",
        _ => "",
    };
    Problem { what: error.to_string().into(), remedy: Text::ours(remedy) }
}

impl Desk {
    /// That of a target, in somebody's name.
    pub fn of(plan: &Plan, config: &Config, who: &Who) -> Result<Self, Failure> {
        Ok(Self {
            target: plan.frame.target.name.clone(),
            silences: silences(plan)?,
            ledger: setup::ledger_of(config, who.clone())?,
            by: who.in_words().into(),
        })
    }

    /// What is silenced now.
    pub fn read(&self) -> Result<Vec<Silence>, Failure> {
        self.silences.read().map_err(failure)
    }

    /// Silences something.
    pub fn add(&self, wish: &Wish) -> Result<Silence, Failure> {
        let details = json!({
            "check": wish.check,
            "subject": wish.subject,
            "up_to": wish.up_to,
            "for": units::span(wish.lasts),
        });
        let act = self.act("silence.add").because(&wish.why).with(details);
        recorded_in(&self.ledger, act, || {
            let silence = self.silences.add(wish, &self.by).map_err(failure)?;
            let figures = json!({ "silence": silence.id, "until": silence.until });
            Ok((silence, figures))
        })
    }

    /// Ends the silence of that id.
    pub fn end(&self, id: &str, why: Option<&str>) -> Result<Silence, Failure> {
        let Some(silence) = self.read()?.into_iter().find(|silence| *silence.id == *id) else {
            return Err(gone(id));
        };
        let details = json!({
            "silence": silence.id,
            "of": about(&silence.check, silence.subject.as_ref()),
            "by": silence.by,
            "until": silence.until,
        });
        let act = self.act("silence.end").with(details);
        let act = why.into_iter().fold(act, Act::because);
        recorded_in(&self.ledger, act, || {
            let ended = self.silences.end(id).map_err(failure)?;
            Ok((ended.ok_or_else(|| gone(id))?, json!({})))
        })
    }

    fn act(&self, action: &'static str) -> Act {
        Act::new(action).on(Target::new(self.target.clone(), None))
    }
}

fn gone(id: &str) -> Failure {
    let what = format!("nothing is silenced as '{}': `howdah silence list`", Text::one_line(id));
    Failure::new(Exit::Usage, what)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: SilenceError) -> Failure {
    let kind = match error {
        SilenceError::Span(_) | SilenceError::NoReason => Kind::Usage,
        SilenceError::Garbled { .. } => Kind::Damaged,
        SilenceError::Held(_) => Kind::Failed,
        SilenceError::Io { .. } => Kind::NoSpace,
    };
    Fault::new(kind, error.to_string()).into()
}
