//! `howdah pgbouncer pause` and `resume`: a plan by default, the deed with `--apply` and the database's name.

use std::{ffi::OsString, thread, time::Duration};

use serde_json::json;

use super::{
    Cli, Exit, Failure, PauseArgs, ResumeArgs,
    door::{Door, HOLD, Lease, fault},
    list::as_text,
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        digest::mark,
        ledger::{Act, Target},
        units,
    },
    cli::{
        restore::{
            ApplyArgs, ONLY_A_PLAN, agreed, confirm::confirm, json as as_json, named, recorded,
        },
        say, setup,
    },
    jobs::{JobId, JobSpec, Patience},
    recover::{Fault, Kind, Result as Done},
    watch::sources::pgbouncer::admin::Database,
};

/// The longest lease.
const LONGEST: Duration = Duration::from_hours(1);
/// How often the holder is looked at while it pauses.
const LOOK: Duration = Duration::from_millis(50);
/// What the holder may take beside the pause itself: to begin, to connect, to resume.
const BESIDE: Duration = Duration::from_secs(15);

/// Shows what a pause would be, or has one held.
pub(super) fn pause(cli: &Cli, args: &PauseArgs) -> Result<Exit, Failure> {
    let plan = Pause::of(cli, args)?;
    if !args.apply.apply {
        return plan.show();
    }
    if !args.apply.json {
        say(&plan.text())?;
    }
    if args.apply.reason.is_none() {
        let what = "say why: --reason \"…\" stands in the ledger, and beside the pause; nothing was touched";
        return Err(Failure::new(Exit::Usage, what));
    }
    agreed(args.apply.plan.as_deref(), &plan.mark())?;
    confirm(&args.apply, &args.database)?;
    let until = Clock::system().wall() + args.lasts;
    let job = recorded(cli, plan.act(until), || plan.carry_out(cli, until))?;
    let (database, _) = plan.door.database(&args.database)?;
    let lease = plan.door.lease(&args.database)?.map(|(_, lease)| lease);
    if args.apply.json {
        let document = json!({ "database": database, "paused": database.paused, "job": job, "until": until, "lease": lease });
        say(&as_json(&document)?)?;
    } else {
        say(&as_text(&database, lease.as_ref()))?;
    }
    Ok(Exit::Ok)
}

struct Pause<'a> {
    door: Door,
    database: Database,
    patience: Option<Duration>,
    args: &'a PauseArgs,
}

impl<'a> Pause<'a> {
    fn of(cli: &Cli, args: &'a PauseArgs) -> Result<Self, Failure> {
        let refused = |what: String| Err(Failure::new(Exit::Refused, what));
        if args.lasts > LONGEST || args.lasts < Duration::from_secs(1) {
            let what = format!("--for {}: a second to an hour", units::span(args.lasts));
            return Err(Failure::new(Exit::Usage, what));
        }
        let door = Door::of(cli, args.target.as_deref())?;
        let (database, patience) = door.database(&args.database)?;
        if door.read_only {
            return refused(format!(
                "the target '{}' is read_only: nothing was touched",
                door.target
            ));
        }
        if database.paused {
            return refused(format!(
                "'{}' is paused already; `howdah pgbouncer list` shows until when; nothing was touched",
                args.database
            ));
        }
        Ok(Self { door, database, patience, args })
    }

    fn mark(&self) -> String {
        let (lasts, within) = (self.args.lasts.as_millis(), self.args.within.as_millis());
        mark(&json!([
            self.door.address(),
            self.database.name,
            self.database.host,
            lasts.to_string(),
            within.to_string(),
        ]))
    }

    fn text(&self) -> String {
        let lasts = units::span(self.args.lasts);
        let mut out = format!("now        {}", as_text(&self.database, None));
        out += &format!("at         {}\n", self.door.address());
        out += &format!(
            "then       paused once the transactions that run are over, within {}; else nothing is paused\n",
            units::span(self.args.within)
        );
        out += "effect     every client waits from then on: nobody is refused, nobody is served\n";
        out += &match self.patience {
            Some(patience) if patience <= self.args.lasts => format!(
                "cut off    who has waited for {} (query_wait_timeout): sooner than the pause ends\n",
                units::span(patience)
            ),
            Some(patience) => format!(
                "cut off    nobody: clients may wait for {} (query_wait_timeout)\n",
                units::span(patience)
            ),
            None => "cut off    nobody: clients wait as long as it takes\n".to_owned(),
        };
        out += &format!(
            "ends       by itself after {lasts}, also when this terminal, the console or the holder dies\n"
        );
        out + &format!("undo       howdah pgbouncer resume {}\n", self.database.name)
    }

    fn show(&self) -> Result<Exit, Failure> {
        if self.args.apply.json {
            let document = json!({
                "target": self.door.target,
                "database": self.database,
                "for_seconds": self.args.lasts.as_secs_f64(),
                "query_wait_timeout": self.patience.map(|patience| patience.as_secs_f64()),
                "text": self.text().lines().collect::<Vec<_>>(),
                "plan": self.mark(),
            });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{}{ONLY_A_PLAN}\n{}", self.text(), named(&self.mark())))?;
        }
        Ok(Exit::Ok)
    }

    fn act(&self, until: Timestamp) -> Act {
        let details = json!({
            "database": self.database.name,
            "at": self.door.address(),
            "for": units::span(self.args.lasts),
            "until": until,
            "clients": self.database.active,
        });
        act("pgbouncer.pause", &self.door, &self.args.apply).with(details)
    }

    /// Starts the holder, and waits until nobody is served any more.
    fn carry_out(&self, cli: &Cli, until: Timestamp) -> Done<String> {
        let failed = |error: crate::jobs::JobError| Fault::new(Kind::Failed, error.to_string());
        let jobs = setup::jobs().map_err(|error| Fault::new(Kind::Failed, error.to_string()))?;
        let spec = JobSpec::new(HOLD, self.words(cli, until), setup::who(cli))
            .on(Target::new(self.door.target.clone(), None))
            .because(self.args.apply.reason.as_deref().unwrap_or_default())
            .tagged(&self.door.tag(&self.args.database));
        let job = jobs.spawn(&spec).map_err(failed)?;
        let clock = Clock::system();
        let end = clock.now().plus(self.args.within + BESIDE);
        while clock.now() < end {
            let state = jobs.state(&job).map_err(failed)?;
            if state.over() {
                let why = jobs.get(&job).map_err(failed)?.state.reason().map(ToString::to_string);
                return Err(Fault::new(
                    Kind::Failed,
                    why.unwrap_or_else(|| "it is over".to_owned()),
                ));
            }
            if self.door.is_paused(&self.args.database).unwrap_or(false) && holds(&jobs, &job) {
                return Ok(job.to_string());
            }
            thread::sleep(LOOK);
        }
        let what = format!("job {job} did not pause in time: `howdah jobs log {job}`");
        Err(Fault::new(Kind::Failed, what))
    }

    fn words(&self, cli: &Cli, until: Timestamp) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            ["pgbouncer", "hold", &self.args.database].map(Into::into).into();
        words.extend(self.args.target.iter().map(Into::into));
        words.extend(["--until".into(), until.to_string().into()]);
        words.extend(["--within".into(), format!("{}ms", self.args.within.as_millis()).into()]);
        words.extend(common(cli));
        words
    }
}

/// Words of this call that its helpers need, too.
pub(super) fn common(cli: &Cli) -> Vec<OsString> {
    let mut words = Vec::new();
    if let Some(config) = &cli.config {
        let path = std::path::absolute(config).unwrap_or_else(|_| config.clone());
        words.extend(["--config".into(), path.into_os_string()]);
    }
    if let Some(actor) = &cli.actor {
        words.extend(["--as".into(), actor.into()]);
    }
    words
}

/// True once the holder has said that it holds.
fn holds(jobs: &crate::jobs::Jobs, job: &JobId) -> bool {
    jobs.get(job).is_ok_and(|job| job.story.progress.is_some())
}

fn act(action: &'static str, door: &Door, args: &ApplyArgs) -> Act {
    let act = Act::new(action).on(Target::new(door.target.clone(), None));
    match &args.reason {
        Some(reason) => act.because(reason),
        None => act,
    }
}

/// Shows what a RESUME would be, or sends it.
pub(super) fn resume(cli: &Cli, args: &ResumeArgs) -> Result<Exit, Failure> {
    let door = Door::of(cli, args.target.as_deref())?;
    let (database, _) = door.database(&args.database)?;
    let lease = door.lease(&args.database)?;
    let held = lease.as_ref().map(|(_, lease)| lease);
    let name = &database.name;
    let plan = mark(&json!([door.address(), name, database.paused, held.map(|lease| &lease.job)]));
    if !args.apply.apply {
        let text = resume_text(&database, held);
        if args.apply.json {
            let document = json!({ "target": door.target, "database": database, "lease": held, "text": text.lines().collect::<Vec<_>>(), "plan": plan });
            say(&as_json(&document)?)?;
        } else {
            say(&format!("{text}{ONLY_A_PLAN}\n{}", named(&plan)))?;
        }
        return Ok(Exit::Ok);
    }
    agreed(args.apply.plan.as_deref(), &plan)?;
    confirm(&args.apply, &args.database)?;
    let details = json!({ "database": name, "at": door.address(), "lease": held });
    recorded(cli, act("pgbouncer.resume", &door, &args.apply).with(details), || {
        door.resume(&args.database).map_err(fault)?;
        let Some((job, _)) = &lease else { return Ok(()) };
        // The holder sees by itself that nothing is paused any more; it is not waited for in vain.
        let jobs = setup::jobs().map_err(|error| Fault::new(Kind::Failed, error.to_string()))?;
        jobs.cancel(job, Patience::default())
            .map_err(|error| Fault::new(Kind::Failed, error.to_string()))?;
        Ok(())
    })?;
    let (database, _) = door.database(&args.database)?;
    if args.apply.json {
        say(&as_json(&json!({ "database": database, "paused": database.paused }))?)?;
    } else {
        say(&as_text(&database, None))?;
    }
    Ok(if database.paused { Exit::Failure } else { Exit::Ok })
}

fn resume_text(database: &Database, lease: Option<&Lease>) -> String {
    let mut out = format!("now        {}", as_text(database, lease));
    out += if database.paused {
        "effect     clients are served again, those that wait first\n"
    } else {
        "effect     none: it is not paused\n"
    };
    out + &format!("undo       howdah pgbouncer pause {} --for 5m\n", database.name)
}
