//! `howdah session cancel` and `end`: a plan by default, the deed with `--apply` and the process's number.

use std::{thread, time::Duration};

use serde_json::json;

use super::{Cli, Exit, Failure, Seat, SignalArgs, list::as_text};
use crate::{
    base::{
        clock::Clock,
        digest::mark,
        ledger::{Act, Target},
        text::fit,
        units,
    },
    cli::{
        restore::{ONLY_A_PLAN, agreed, confirm::confirm, json as as_json, named, recorded},
        say,
    },
    recover::{Fault, Kind},
    watch::server::sessions::{CANCEL, END, Sitting},
};

/// How long what was signalled may take to obey before that is said.
const OBEYS: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// What is done to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Cancel,
    End,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::End => "end",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Cancel => "session.cancel",
            Self::End => "session.end",
        }
    }
}

/// Shows what would happen, or does it.
pub(super) fn run(cli: &Cli, args: &SignalArgs, verb: Verb) -> Result<Exit, Failure> {
    let seat = Seat::take(cli, args.target.as_deref())?;
    let found = seat.sittings()?.into_iter().find(|sitting| sitting.pid == args.pid);
    let Some(sitting) = found else {
        let what = format!(
            "no client's session is served by process {}: it is gone, or it is none; nothing was touched",
            args.pid
        );
        return Err(Failure::new(Exit::Refused, what));
    };
    if seat.read_only {
        let what = format!("the target '{}' is read_only: nothing was touched", seat.target);
        return Err(Failure::new(Exit::Refused, what));
    }
    let plan = Plan { seat, sitting, verb, args };
    plan.possible()?;
    if !args.apply.apply {
        return plan.show();
    }
    if !args.apply.json {
        say(&plan.text())?;
    }
    agreed(args.apply.plan.as_deref(), &plan.mark())?;
    confirm(&args.apply, &args.pid.to_string())?;
    let took = recorded(cli, plan.act(), || plan.carry_out())?;
    plan.done(took)
}

struct Plan<'a> {
    seat: Seat,
    sitting: Sitting,
    verb: Verb,
    args: &'a SignalArgs,
}

impl Plan<'_> {
    fn possible(&self) -> Result<(), Failure> {
        let active = self.sitting.state.as_deref() == Some("active");
        if self.verb == Verb::Cancel && !active {
            let what = format!(
                "the session runs no statement that could be cancelled (it is {}): `howdah session end {}` rolls its transaction back; nothing was touched",
                self.sitting.state.as_deref().unwrap_or("not for our role to see"),
                self.sitting.pid
            );
            return Err(Failure::new(Exit::Refused, what));
        }
        Ok(())
    }

    /// The moment that must still be the same: of the statement that is cancelled, of the transaction that is
    /// rolled back.
    fn moment(&self) -> Option<i64> {
        match self.verb {
            Verb::Cancel => self.sitting.statement,
            Verb::End => self.sitting.transaction,
        }
    }

    fn mark(&self) -> String {
        let Sitting { pid, began, .. } = &self.sitting;
        mark(&json!([self.seat.target, self.verb.word(), pid, began, self.moment()]))
    }

    fn show(&self) -> Result<Exit, Failure> {
        if self.args.apply.json {
            let document = json!({
                "target": self.seat.target,
                "verb": self.verb.word(),
                "session": self.sitting,
                "plan": self.mark(),
            });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{}{ONLY_A_PLAN}\n{}", self.text(), named(&self.mark())))?;
        }
        Ok(Exit::Ok)
    }

    fn text(&self) -> String {
        let mut out = as_text(&self.sitting);
        out += match (self.verb, self.sitting.transaction) {
            (Verb::Cancel, _) => {
                "effect     its statement fails (57014); its connection stays, its transaction has to be rolled back by its client\n"
            }
            (Verb::End, Some(_)) => {
                "effect     its connection breaks (57P01), and all that its transaction did is rolled back\n"
            }
            (Verb::End, None) => {
                "effect     its connection breaks (57P01); it has no transaction open\n"
            }
        };
        out += &match self.sitting.blocks {
            0 => "frees      nobody waits for it\n".to_owned(),
            1 => "frees      one session that waits for it\n".to_owned(),
            n => format!("frees      {n} sessions that wait for it\n"),
        };
        out + "NO UNDO\n"
    }

    fn act(&self) -> Act {
        let Sitting { pid, user, database, application, client, blocks, query, .. } = &self.sitting;
        let act = Act::new(self.verb.action())
            .on(Target::new(self.seat.target.clone(), None))
            .with(json!({
                "pid": pid, "user": user, "database": database, "application": application,
                "client": client, "blocks": blocks, "query": fit(query, 200, "…"),
            }));
        match &self.args.apply.reason {
            Some(reason) => act.because(reason),
            None => act,
        }
    }

    /// Signals the very session that the plan is about; how long it took to obey, or none when it did not.
    fn carry_out(&self) -> crate::recover::Result<Option<Duration>> {
        let Sitting { pid, began, .. } = &self.sitting;
        let statement = match self.verb {
            Verb::Cancel => CANCEL,
            Verb::End => END,
        };
        let clock = Clock::system();
        let start = clock.now();
        let rows = self.seat.session.query(statement, &[pid, began, &self.moment()])?;
        match rows.first().map(|row| row.get::<_, bool>(0)) {
            None => {
                let what =
                    "the session is gone, or does something else by now: nobody was signalled";
                return Err(Fault::new(Kind::Refused, what));
            }
            Some(false) => {
                return Err(Fault::new(Kind::Failed, "the server could not signal the process"));
            }
            Some(true) => {}
        }
        while clock.now().since(start) < OBEYS {
            if self.obeyed()? {
                return Ok(Some(clock.now().since(start)));
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    fn obeyed(&self) -> crate::recover::Result<bool> {
        let same = |now: &Sitting| (now.pid, now.began) == (self.sitting.pid, self.sitting.began);
        let now = self.seat.sittings()?.into_iter().find(same);
        Ok(now.is_none_or(|now| {
            self.verb == Verb::Cancel
                && (now.statement != self.sitting.statement
                    || now.state.as_deref() != Some("active"))
        }))
    }

    fn done(&self, took: Option<Duration>) -> Result<Exit, Failure> {
        if self.args.apply.json {
            let document = json!({
                "pid": self.sitting.pid,
                "obeyed": took.is_some(),
                "seconds": took.map(|took| took.as_secs_f64()),
            });
            say(&as_json(&document)?)?;
        } else if let Some(took) = took {
            let what = if self.verb == Verb::End { "ended" } else { "its statement is cancelled" };
            say(&format!("{}: {what}, after {}\n", self.sitting.pid, units::span(took)))?;
        } else {
            let what = format!(
                "{}: signalled, and not over after {}: it rolls back, or waits for what cannot be interrupted (`howdah session list`)\n",
                self.sitting.pid,
                units::span(OBEYS)
            );
            say(&what)?;
        }
        Ok(if took.is_some() { Exit::Ok } else { Exit::Failure })
    }
}
