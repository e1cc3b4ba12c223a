//! `howdah breaker set`: a plan by default, the deed with `--apply` and the breaker's name.

use serde_json::json;

use super::{
    Cli, Exit, Failure, SetArgs,
    list::as_text,
    sight::{Seen, Sight},
    typed, words,
};
use crate::{
    base::{
        digest::mark,
        ledger::{Act, Target},
        text::{Text, clean},
        units,
    },
    cli::{
        restore::{ONLY_A_PLAN, agreed, confirm::confirm, json as as_json, named, recorded},
        say, setup,
    },
    recover::{Fault, Kind},
    resilience::{
        breaker::Mode,
        control::{self, CallError, Told, Wish},
    },
};

/// Shows what would be, or sets it.
pub(super) fn run(cli: &Cli, args: &SetArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let sight = Sight::of(&config, args.target.as_deref())?;
    let (target, read_only) = (sight.target.clone(), sight.read_only);
    let seen = sight.find(&args.name)?;
    let plan = Plan { target, seen, mode: args.mode.into(), args };
    if read_only {
        let what = format!("the target '{}' is read_only: nothing was touched", plan.target);
        return Err(Failure::new(Exit::Refused, what));
    }
    let wish = plan.wish(cli);
    // Before a plan is shown that nobody could carry out.
    wish.check().map_err(|why| Failure::new(Exit::Usage, why))?;
    if !args.apply.apply {
        return plan.show();
    }
    if !args.apply.json {
        say(&plan.text())?;
    }
    if args.apply.reason.is_none() {
        let what = "say why: --reason \"…\" stands in the ledger, and beside the breaker; nothing was touched";
        return Err(Failure::new(Exit::Usage, what));
    }
    agreed(args.apply.plan.as_deref(), &plan.mark())?;
    confirm(&args.apply, &plan.seen.id)?;
    if plan.is_idle() {
        return plan.done(None);
    }
    let act = plan.act(&wish);
    let told = recorded(cli, act, || plan.carry_out(&wish))?;
    plan.done(Some(told))
}

struct Plan<'a> {
    target: Text,
    seen: Seen,
    mode: Mode,
    args: &'a SetArgs,
}

impl Plan<'_> {
    /// The rules decide already.
    fn is_idle(&self) -> bool {
        (self.mode, self.seen.told.mode) == (Mode::Auto, Mode::Auto)
    }

    fn wish(&self, cli: &Cli) -> Wish {
        Wish {
            breaker: self.seen.told.name.to_string(),
            mode: self.mode,
            actor: setup::who(cli).in_words(),
            reason: self.args.apply.reason.clone().unwrap_or_else(|| "a plan only".to_owned()),
            expires_in: self.args.lasts.map(|lasts| format!("{}ms", lasts.as_millis())),
        }
    }

    /// By what stands there now and what shall be. The state is not in it: it changes by itself.
    fn mark(&self) -> String {
        let Seen { id, told, .. } = &self.seen;
        let lasts = self.args.lasts.map(|lasts| lasts.as_millis());
        mark(&json!([
            self.target,
            id,
            told.mode,
            told.hold,
            self.mode,
            lasts.map(|l| l.to_string())
        ]))
    }

    fn show(&self) -> Result<Exit, Failure> {
        if self.args.apply.json {
            let document = json!({
                "target": self.target,
                "now": self.seen,
                "mode": self.mode,
                "for_seconds": self.args.lasts.map(|lasts| lasts.as_secs_f64()),
                "plan": self.mark(),
            });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{}{ONLY_A_PLAN}\n{}", self.text(), named(&self.mark())))?;
        }
        Ok(Exit::Ok)
    }

    fn text(&self) -> String {
        let Seen { application, address, .. } = &self.seen;
        let mut out = format!("now        {}", as_text(&self.seen).replace('\n', "\n           "));
        out.truncate(out.trim_end().len());
        out += &format!("\nat         {address}\n");
        if self.is_idle() {
            return out + "then       as it is: its rules decide already\n";
        }
        let lasts = match (self.mode, self.args.lasts) {
            (Mode::Auto, _) => String::new(),
            (_, Some(lasts)) => format!(" for {}, then auto by itself", units::span(lasts)),
            (_, None) => " until somebody gives it back: --for sets an end".to_owned(),
        };
        out += &format!("then       {}{lasts}\n", words(self.mode));
        out += &match self.mode {
            Mode::Auto if self.seen.told.mode == Mode::ForcedOpen => {
                "effect     half-open: a few probes find out whether the database is well\n"
                    .to_owned()
            }
            Mode::Auto => "effect     its rules decide again\n".to_owned(),
            Mode::Disabled => format!(
                "effect     every call of {application} passes and is counted, also to a database that hangs\n"
            ),
            Mode::ForcedOpen => format!(
                "effect     every call of {application} is refused at once: it does without its database\n"
            ),
        };
        out + &format!("undo       {}\n", self.undo())
    }

    fn undo(&self) -> String {
        let left = self.seen.runs_out_in.as_ref();
        let lasts = left.map(|left| format!(" --for {left}")).unwrap_or_default();
        format!("howdah breaker set {} {}{lasts}", clean(&self.seen.id), typed(self.seen.told.mode))
    }

    fn act(&self, wish: &Wish) -> Act {
        Act::new("breaker.set")
            .on(Target::new(self.target.clone(), None))
            .because(&wish.reason)
            .with(json!({
                "breaker": self.seen.id,
                "address": self.seen.address,
                "from": self.seen.told.mode,
                "to": self.mode,
                "for": self.args.lasts.map(units::span),
            }))
    }

    fn carry_out(&self, wish: &Wish) -> crate::recover::Result<Told> {
        let runtime = setup::runtime().map_err(|why| Fault::new(Kind::Failed, why.to_string()))?;
        let told = runtime.block_on(control::set(&self.seen.door, wish)).map_err(|e| fault(&e))?;
        if told.mode == self.mode {
            return Ok(told);
        }
        let what = format!("it says that it is {}, not {}", words(told.mode), words(self.mode));
        Err(Fault::new(Kind::Failed, what))
    }

    fn done(self, told: Option<Told>) -> Result<Exit, Failure> {
        let json = self.args.apply.json;
        let seen = match told {
            Some(told) => self.seen.anew(told),
            None => self.seen,
        };
        say(&if json { as_json(&seen)? } else { as_text(&seen) })?;
        Ok(Exit::Ok)
    }
}

fn fault(error: &CallError) -> Fault {
    let kind = match error {
        CallError::Unreachable(_) => Kind::Unavailable,
        CallError::Refused { status: 401, .. } => Kind::Config,
        CallError::Refused { .. } | CallError::Garbled(_) | CallError::Late => Kind::Failed,
    };
    let late = matches!(error, CallError::Late);
    let fault = Fault::new(kind, error.to_string());
    if late { fault.remedy("`howdah breaker list` tells whether it was set") } else { fault }
}
