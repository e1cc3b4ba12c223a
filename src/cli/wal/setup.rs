//! `howdah wal setup`: lets the server archive with this program, and takes that back.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::json;

use super::{
    Cli, Exit, Failure,
    args::{SetupArgs, TrialArgs},
    calls,
};
use crate::{
    base::{
        config::Config,
        digest::mark,
        ledger::{self, Ledger},
        text::clean,
    },
    cli::{
        place::{self, Place},
        repo::table,
        restore::{
            ONLY_A_PLAN, agreed, cluster::program, confirm::confirm, json as as_json, named,
        },
        say, work,
    },
    recover::{
        repository::address::Address,
        session::{Session, literal},
        wal::setup::{
            self, Plan, Wish,
            apply::{self, Authority},
            archiver::Archiver,
            record::{Record, Records},
            survey::{self, Server},
            trial::{self, NextStart},
            wanted::Change,
        },
    },
};

/// Shows what would change, and with `--apply` writes it; with `--undo` takes it back.
pub fn run(cli: &Cli, args: &SetupArgs) -> Result<Exit, Failure> {
    let config = calls::config(cli)?;
    let call = Call {
        args,
        place: place::place(&config, &args.place)?,
        name: place::whereabouts(&config, &args.place)?.1.to_owned(),
    };
    let session = Session::open(&call.place.settings)?;
    if args.undo { call.undo(cli, &config, &session) } else { call.set_up(cli, &config, &session) }
}

/// The trial, in the process that the server started.
pub fn trial(cli: &Cli, args: &TrialArgs) -> Result<Exit, Failure> {
    let next = NextStart {
        postgres: args.postgres.clone(),
        data: args.data.clone(),
        config_file: args.config_file.clone(),
        names: args.settings.clone(),
    };
    let repository = super::repository(cli, &args.place)?;
    say(&as_json(&trial::look(Ok(repository), &next))?)?;
    Ok(Exit::Ok)
}

struct Call<'a> {
    args: &'a SetupArgs,
    place: Place,
    name: String,
}

impl Call<'_> {
    fn set_up(&self, cli: &Cli, config: &Config, session: &Session) -> Result<Exit, Failure> {
        let archiver = self.archiver(cli, config)?;
        let usual = || Wish::timeout_for(self.place.frame.rpo_target);
        let timeout = self.args.timeout.unwrap_or_else(usual);
        let wish = Wish { archiver: archiver.clone(), timeout };
        let plan = setup::plan(session, &self.place.repository, &wish)?;
        let mark = mark(&json!([plan.server.system_identifier, plan.changes]));
        if !self.args.apply.apply || plan.changes.is_empty() {
            self.show(&plan)?;
            if !self.args.apply.json {
                say(&named(&mark))?;
            }
            return Ok(if plan.refusal().is_some() { Exit::Refused } else { Exit::Ok });
        }
        if !self.args.apply.json {
            say(&as_text(&plan, false))?;
        }
        if let Some(fault) = plan.refusal() {
            return Err(fault.into());
        }
        agreed(self.args.apply.plan.as_deref(), &mark)?;
        confirm(&self.args.apply, &self.name)?;
        let observer = work::observer(cli, self.args.apply.json)?;
        let record = self.with_authority(cli, config, &plan.server, |by| {
            Ok(apply::apply(session, &plan, &archiver, by, &*observer)?)
        })?;
        self.done(&plan, &record)
    }

    fn undo(&self, cli: &Cli, config: &Config, session: &Session) -> Result<Exit, Failure> {
        let server = survey::server(session)?;
        survey::permitted(session, &server)?;
        self.with_authority(cli, config, &server, |by| {
            let record = apply::undoable(session, &server, by.records)?;
            let restart = record.changes.iter().any(|change| change.restart);
            if !self.args.apply.apply {
                if self.args.apply.json {
                    say(&as_json(&record)?)?;
                } else {
                    say(&undo_text(&record))?;
                    say(&format!("{ONLY_A_PLAN}\n"))?;
                }
                return Ok(Exit::Ok);
            }
            if !self.args.apply.json {
                say(&undo_text(&record))?;
            }
            confirm(&self.args.apply, &self.name)?;
            let observer = work::observer(cli, self.args.apply.json)?;
            let record = apply::undo(session, &server, record, by, &*observer)?;
            if self.args.apply.json {
                say(&as_json(&record)?)?;
            } else {
                say("The settings are what they were.\n")?;
                if restart {
                    say(&restart_text(&server))?;
                }
            }
            Ok(Exit::Ok)
        })
    }

    /// The command that the server is to run. It names a configuration only where WAL is encrypted: what it
    /// does not read cannot be in its way.
    fn archiver(&self, cli: &Cli, config: &Config) -> Result<Archiver, Failure> {
        let (location, name) = place::whereabouts(config, &self.args.place)?;
        let absolute = |path: &std::path::Path| {
            std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, error))
        };
        let location = match Address::parse(location)? {
            Address::Folder(folder) => absolute(&folder)?.to_string_lossy().into_owned(),
            Address::Bucket(_) => location.to_owned(),
        };
        let program = match &self.args.program {
            Some(program) => program.clone(),
            None => program()?,
        };
        let keys: Option<PathBuf> = if place::recipients(config)?.is_empty() {
            None
        } else if let Some(named) = &cli.config {
            Some(absolute(named)?)
        } else {
            Some(calls::paths()?.config_file())
        };
        Ok(Archiver::new(program, keys, &location, name)?)
    }

    fn with_authority<T>(
        &self,
        cli: &Cli,
        config: &Config,
        server: &Server,
        deed: impl FnOnce(&Authority<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ledger: Ledger = calls::ledger(cli, config)?;
        let records = Records::of(&calls::paths()?.setups(), &server.system_identifier);
        let identifier = server.system_identifier.parse().ok();
        deed(&Authority {
            ledger: &ledger,
            target: ledger::Target::new(self.place.frame.target.name.clone(), identifier),
            reason: self.args.apply.reason.as_deref(),
            records: &records,
        })
    }

    fn show(&self, plan: &Plan) -> Result<(), Failure> {
        if !self.args.apply.json {
            return say(&as_text(plan, true));
        }
        let mut document = json!(plan);
        document["summary"] = plan.summary().into();
        document["refusal"] = plan.refusal().map(|fault| fault.what().to_string()).into();
        say(&as_json(&document)?)
    }

    fn done(&self, plan: &Plan, record: &Record) -> Result<Exit, Failure> {
        if self.args.apply.json {
            say(&as_json(&json!({ "record": record, "restart": plan.restart }))?)?;
            return Ok(Exit::Ok);
        }
        say("The server has read the settings; `howdah wal setup --undo` takes them back.\n")?;
        match &plan.restart {
            Some(_) => say(&restart_text(&plan.server))?,
            None => say("Now: howdah wal canary\n")?,
        }
        Ok(Exit::Ok)
    }
}

fn restart_text(server: &Server) -> String {
    format!(
        "What needs a restart waits for one, as the server's account:\n    {}\n",
        clean(&server.restart_command())
    )
}

fn as_text(plan: &Plan, alone: bool) -> String {
    let mut out = String::new();
    let Plan { server, changes, kept, findings, restart } = plan;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "server     PostgreSQL {} at {}, cluster {}",
        server.major(),
        clean(&server.address),
        server.system_identifier
    );
    for change in changes {
        let _ = write!(out, "{}", change_text(change));
    }
    for setting in kept {
        let waits = if setting.pending_restart { ", which waits for a restart" } else { "" };
        let _ = writeln!(
            out,
            "stays      {} = {} ({}{waits})",
            setting.name,
            shown(&setting.name, &setting.now),
            clean(&setting.origin())
        );
    }
    out.push_str(&table(findings));
    match (changes.is_empty(), alone) {
        (true, _) if restart.is_some() => out.push_str(&restart_text(server)),
        (true, _) => out.push_str("Nothing is to be changed. Now: howdah wal canary\n"),
        (false, true) if plan.refusal().is_some() => {
            out.push_str("Nothing was touched, and nothing would be: see what is BAD.\n");
        }
        (false, true) => {
            let _ = writeln!(out, "{ONLY_A_PLAN}");
        }
        (false, false) => {}
    }
    out
}

fn change_text(change: &Change) -> String {
    let takes = if change.restart { "a restart" } else { "a reload" };
    format!(
        "change     {}, by {takes}\n             now    {} ({})\n             then   {}\n",
        change.name,
        shown(&change.name, &change.from),
        clean(&change.origin),
        shown(&change.name, &change.to)
    )
}

fn undo_text(record: &Record) -> String {
    let mut out = format!("set up     {}\n", record.at);
    for change in record.changes.iter().rev() {
        let _ = match &change.written {
            Some(value) => writeln!(out, "ALTER SYSTEM SET {} = {}", change.name, sql(value)),
            None => writeln!(out, "ALTER SYSTEM RESET {}", change.name),
        };
    }
    out
}

fn shown(name: &str, value: &str) -> String {
    match (name, value) {
        (_, "") => "''".to_owned(),
        ("archive_timeout", seconds) => format!("{} s", clean(seconds)),
        (_, value) => clean(value).into_owned(),
    }
}

fn sql(value: &str) -> String {
    clean(&literal(value)).into_owned()
}
