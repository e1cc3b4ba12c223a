//! The two-person rule: where a target asks for it, the gravest acts need a second name beside the actor's, and
//! both stand in the ledger. Switched on by `target.NAME.two_people`. Who is alone in the night may break the
//! glass: that is told loudly, and stands in the ledger for ever.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::{Cli, Exit, Failure, record::unrecorded, setup};
use crate::base::{
    config::Config,
    ledger::{Act, Target, Who},
    text::{Text, clean},
};

/// Who confirms beside the actor.
#[derive(Args, Clone, Debug, Default)]
pub struct SecondArgs {
    /// The second person who confirms it, where the target asks for two
    #[arg(long, value_name = "NAME", requires = "apply")]
    pub second: Option<String>,
    /// Go on alone where the target asks for two, for this reason: it is marked in the ledger for ever
    #[arg(long, value_name = "WHY", requires = "apply", conflicts_with = "second")]
    pub break_glass: Option<String>,
}

impl SecondArgs {
    /// Goes on only with a second person where the target asks for one; what the ledger is to say of them. It
    /// asks by the name that it is reached by, and by the one that it has in a repository.
    pub fn agreed(
        &self,
        cli: &Cli,
        config: &Config,
        target: Option<&str>,
        kept_as: Option<&str>,
    ) -> Result<Value, Failure> {
        let reached_as = target.or(config.default_target.as_deref());
        let asks = |name: &&str| config.targets.get(*name).is_some_and(|target| target.two_people);
        let asking = [reached_as, kept_as].into_iter().flatten().find(asks);
        let refused = |what: &str| Err(Failure::new(Exit::Refused, what));
        let said = |words: &Option<String>| -> Option<String> {
            words.as_deref().map(str::trim).filter(|words| !words.is_empty()).map(str::to_owned)
        };
        match (said(&self.second), said(&self.break_glass), asking) {
            (None, Some(why), Some(target)) => broken(cli, config, target, &why),
            (None, _, Some(_)) => refused(
                "this target asks for two people: --second NAME, or a guide and `howdah guide second`; alone in \
                 the night: --break-glass WHY; nothing was touched",
            ),
            (Some(second), ..)
                if Who::person(&second) == Who::person(&setup::who(cli).in_words()) =>
            {
                refused("the second has to be another person than who acts; nothing was touched")
            }
            (second, ..) => Ok(json!(second)),
        }
    }
}

/// Goes on alone: with a record of its own before anything is touched, and a word that nobody overlooks.
fn broken(cli: &Cli, config: &Config, target: &str, why: &str) -> Result<Value, Failure> {
    let act = Act::new("second.break-glass").on(Target::new(Text::from(target), None)).because(why);
    let entry = setup::ledger(cli, config)?.begin(act).map_err(unrecorded)?;
    entry.done(json!({ "alone": true })).map_err(unrecorded)?;
    // Nobody may be listening: the ledger has it.
    let _ = writeln!(
        std::io::stderr(),
        "howdah: THE GLASS IS BROKEN: '{}' asks for two people, and {} goes on alone: {}",
        clean(target),
        clean(&setup::who(cli).in_words()),
        clean(why)
    );
    tracing::error!(
        target,
        why,
        "the glass is broken: an act that needs two people is done by one"
    );
    Ok(json!({ "break_glass": why }))
}
