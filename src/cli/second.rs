//! The two-person rule: where a target asks for it, the gravest acts need a second name beside the actor's, and
//! both stand in the ledger. Switched on by `target.NAME.two_people`.

use clap::Args;
use serde_json::{Value, json};

use super::{Cli, Exit, Failure, setup};
use crate::base::config::Config;

/// Who confirms beside the actor.
#[derive(Args, Clone, Debug, Default)]
pub struct SecondArgs {
    /// The second person who confirms it, where the target asks for two
    #[arg(long, value_name = "NAME", requires = "apply")]
    pub second: Option<String>,
}

impl SecondArgs {
    /// Goes on only with a second person where the target asks for one; what the ledger is to say of them.
    pub fn agreed(
        &self,
        cli: &Cli,
        config: &Config,
        target: Option<&str>,
    ) -> Result<Value, Failure> {
        let name = target.or(config.default_target.as_deref());
        let asks = name.and_then(|name| config.targets.get(name)).is_some_and(|t| t.two_people);
        let person = |words: &str| words.split(" (").next().unwrap_or_default().trim().to_owned();
        let actor = person(&setup::who(cli).in_words());
        let refused = |what: &str| Err(Failure::new(Exit::Refused, what));
        match self.second.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            None if asks => refused(
                "this target asks for two people: --second NAME, or a guide and `howdah guide second`; nothing was touched",
            ),
            Some(second) if person(second) == actor => {
                refused("the second has to be another person than who acts; nothing was touched")
            }
            second => Ok(json!(second)),
        }
    }
}
