//! `howdah server wake`: SIGCONT to what a signal has stopped. A plan by default.

use std::{thread, time::Duration};

use serde_json::json;

use super::{
    Cli, Exit, Failure, WakeArgs,
    outside::{self, Outside, Verdict},
};
use crate::{
    base::{
        clock::Clock,
        digest::mark,
        ledger::{Act, Target},
        text::Text,
        units,
    },
    cli::{
        restore::{ONLY_A_PLAN, agreed, confirm::confirm, json as as_json, named, recorded},
        say, setup, target,
    },
    cluster::postmaster::Postmaster,
    recover::{Fault, Kind},
    resilience::conninfo::Settings,
};

/// How long a server that goes on may take to answer: it has much to catch up with.
const ANSWERS: Duration = Duration::from_secs(15);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(100);

/// Shows what would be signalled, or signals it.
pub(super) fn run(cli: &Cli, args: &WakeArgs) -> Result<Exit, Failure> {
    let plan = target::plan(&setup::config(cli)?, args.target.as_deref())?;
    let hosts = setup::runtime()?.block_on(outside::look(&plan.settings));
    let target = &plan.frame.target;
    if target.read_only {
        let what = format!("the target '{}' is read_only: nothing was touched", target.name);
        return Err(Failure::new(Exit::Refused, what));
    }
    let stopped = hosts.into_iter().find(|host| host.verdict == Verdict::Stopped);
    let Some(found) = stopped.as_ref().and_then(|host| host.postmaster.as_ref()) else {
        let what = "no signal has stopped a server that this account may see here (`howdah server look`): nothing was touched";
        return Err(Failure::new(Exit::Refused, what));
    };
    if found.condition.traced > 0 {
        let what = "a debugger holds it: whoever debugs it has to let it go; nothing was touched";
        return Err(Failure::new(Exit::Refused, what));
    }
    let wake = Wake { target: target.name.clone(), server: &found.itself, seen: stopped.as_ref() };
    if !args.apply.apply {
        return wake.show(args);
    }
    if !args.apply.json {
        say(&wake.text())?;
    }
    agreed(args.apply.plan.as_deref(), &wake.mark())?;
    confirm(&args.apply, &found.pid.to_string())?;
    let mut act = Act::new("server.wake").on(Target::new(target.name.clone(), None));
    if let Some(reason) = &args.apply.reason {
        act = act.because(reason);
    }
    let act = act
        .with(json!({ "pid": found.pid, "data": found.data, "stopped": found.condition.stopped }));
    let woken = recorded(cli, act, || wake.carry_out(&plan.settings))?;
    if args.apply.json {
        say(&as_json(&woken)?)?;
    } else {
        let answers = woken.seconds.map_or_else(
            || format!("it has not answered within {}", units::span(ANSWERS)),
            |seconds| format!("it answers after {seconds:.1} s"),
        );
        say(&format!("{} processes go on; {answers}\n", woken.signalled))?;
    }
    Ok(if woken.answers { Exit::Ok } else { Exit::Failure })
}

/// Seconds as a person reads them.
fn tenths(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}

struct Wake<'a> {
    target: Text,
    server: &'a Postmaster,
    seen: Option<&'a Outside>,
}

/// What came of it.
#[derive(Debug, serde::Serialize)]
struct Woken {
    signalled: usize,
    denied: usize,
    answers: bool,
    seconds: Option<f64>,
}

impl Wake<'_> {
    fn mark(&self) -> String {
        let Postmaster { process, data, port } = self.server;
        mark(&json!([self.target, process, data, port]))
    }

    fn show(&self, args: &WakeArgs) -> Result<Exit, Failure> {
        if args.apply.json {
            let text = self.text();
            let document = json!({ "target": self.target, "seen": self.seen, "text": text.lines().collect::<Vec<_>>(), "plan": self.mark() });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{}{ONLY_A_PLAN}\n{}", self.text(), named(&self.mark())))?;
        }
        Ok(Exit::Ok)
    }

    fn text(&self) -> String {
        let condition =
            self.seen.and_then(|seen| Some(seen.postmaster.as_ref()?.condition.clone()));
        let condition = condition.unwrap_or_default();
        format!(
            "server     postmaster {}, port {}, {}\n\
             stopped    {} of {} processes, by SIGSTOP or the like\n\
             effect     SIGCONT: they go on where they stood, and serve who waits\n\
             undo       nothing is lost by it; kill -STOP would stop them again\n",
            self.server.process.pid,
            self.server.port,
            self.server.data.display(),
            condition.stopped,
            condition.children + 1,
        )
    }

    fn carry_out(&self, settings: &Settings) -> crate::recover::Result<Woken> {
        let (signalled, denied) = self.server.wake();
        if signalled == 0 {
            let what = format!(
                "{denied} processes belong to another account: as root, or as the server's own account"
            );
            return Err(Fault::new(Kind::Refused, what));
        }
        let runtime = setup::runtime().map_err(|why| Fault::new(Kind::Failed, why.to_string()))?;
        let clock = Clock::system();
        let began = clock.now();
        while clock.now().since(began) < ANSWERS {
            let hosts = runtime.block_on(outside::look(settings));
            if hosts.iter().any(|host| host.verdict == Verdict::Well) {
                let seconds = Some(tenths(clock.now().since(began)));
                return Ok(Woken { signalled, denied, answers: true, seconds });
            }
            thread::sleep(LOOK);
        }
        Ok(Woken { signalled, denied, answers: false, seconds: None })
    }
}
