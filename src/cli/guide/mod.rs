//! `howdah guide`: walks a person through, line by line.

mod list;
mod words;

use std::{
    cell::Cell,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use clap::{Args, Subcommand};

use self::{list::shown, words::WordArgs};
use super::{
    Cli, Exit, Failure,
    args::PlaceArgs,
    place,
    restore::{ApplyArgs, confirm::confirm},
    say, setup,
};
use crate::{
    base::{clock::Clock, config::Config, ledger::Who, process, text::Text},
    cluster::free_port,
    guide::{
        GuideError,
        driver::{Driver, View},
        hands::Hands,
        library,
        machine::{TWO_PEOPLE, why_stopped},
        plain::{Left, walk},
        run::{Card, Run, Runs, Seen},
        spec::Kind,
        state::{Input, Over, Phase},
        told,
        values::Values,
    },
    recover::Fault,
};

/// How long the end of a run may take: what it is looking at has to be cancelled.
const ENDS: std::time::Duration = std::time::Duration::from_secs(20);

/// What can be done with guides.
#[derive(Debug, Subcommand)]
pub enum GuideCommand {
    /// List the guides with their age, and the runs that are not over
    List(PlaceArgs),
    /// Begin one
    Run(RunArgs),
    /// Go on with a run where it stands: its name, or `last`
    Resume {
        /// The run
        run: String,
    },
    /// Confirm as the second person what another one has confirmed in a run: its name, or `last`
    Second {
        /// The run
        run: String,
        /// What a severe act asks to be typed, for calls without a person at a terminal
        #[arg(long, value_name = "NAME/1234")]
        confirm: Option<String>,
    },
    /// End a run that nobody drives, where it stands: its name, or `last`
    End {
        /// The run
        run: String,
        /// Why
        #[arg(long, value_name = "WORDS")]
        reason: String,
    },
    /// Show where a run stands, without driving it: its name, or `last`
    Show {
        /// The run
        run: String,
    },
    /// Show how a run stands for whoever takes over: state, what was tried, what runs, what is next, its clocks
    Handover {
        /// The run
        run: String,
    },
    /// Write a note into the record of a run, whoever drives it: its name, or `last`
    Note(WordArgs),
    /// Write into the record of a run what is still to be done: its name, or `last`
    Todo(WordArgs),
    /// Print the record of a run: its answers, acts, commands, deviations, notes; its name, or `last`
    Export {
        /// The run
        run: String,
        /// As JSON; Markdown otherwise
        #[arg(long)]
        json: bool,
    },
}

/// What `guide run` takes.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Which one
    pub guide: String,
    /// On what
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Does one of them.
pub fn run(cli: &Cli, command: &GuideCommand) -> Result<Exit, Failure> {
    if let Err(why) = catch_up(&setup::config(cli)?, &setup::who(cli))? {
        // What was asked for can be done all the same.
        super::say_failure(&Failure::new(Exit::CannotCreate, why));
    }
    match command {
        GuideCommand::List(place) => list::list(cli, place),
        GuideCommand::Run(args) => {
            let card = card(&Ground::of(cli, args.place.clone())?, &args.guide)?;
            drive(cli, runs()?.begin(&card).map_err(wrong)?)
        }
        GuideCommand::Resume { run } => {
            let runs = runs()?;
            let id = runs.find(run).map_err(wrong)?;
            drive(cli, runs.drive(&id, &setup::who(cli)).map_err(wrong)?)
        }
        GuideCommand::Second { run, confirm } => second(cli, run, confirm.clone()),
        GuideCommand::End { run, reason } => end(cli, run, reason),
        GuideCommand::Show { run } => {
            let runs = runs()?;
            let id = runs.find(run).map_err(wrong)?;
            say(&shown(&runs.look(&id).map_err(wrong)?))?;
            Ok(Exit::Ok)
        }
        GuideCommand::Handover { run } => words::handover(run),
        GuideCommand::Note(args) => words::leave(cli, args, Input::Note),
        GuideCommand::Todo(args) => words::leave(cli, args, Input::Todo),
        GuideCommand::Export { run, json } => words::export(run, *json),
    }
}

/// The runs of this user.
pub fn runs() -> Result<Runs, Failure> {
    Ok(Runs::at(&setup::paths()?.runs(), &Clock::system()))
}

/// Records runs that are over and of which the ledger does not know: their driver was killed. Why that could not be
/// done, if so.
pub fn catch_up(config: &Config, who: &Who) -> Result<Result<(), Text>, Failure> {
    let ledger = setup::ledger_of(config, who.clone())?;
    Ok(told::catch_up(&runs()?, &ledger, who))
}

/// The job that a run waits for, if one runs.
pub fn job_of(run: &Seen) -> Option<crate::jobs::Job> {
    let Phase::Acting { job, .. } = &run.state.phase else { return None };
    setup::jobs().ok()?.get(&job.parse().ok()?).ok()
}

/// What went wrong with a guide, as an end of this program.
pub fn wrong(error: GuideError) -> Failure {
    let exit = match error {
        GuideError::Unknown { .. } | GuideError::NoRun(_) => Exit::Usage,
        GuideError::Spec(_) => Exit::Config,
        GuideError::Driven { .. } | GuideError::NotAsked(_) => Exit::Refused,
        GuideError::Garbled { .. } => Exit::Damaged,
        GuideError::Io { .. } => Exit::CannotCreate,
    };
    Failure::new(exit, error)
}

/// What runs begin on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The configuration.
    pub config: Config,
    /// The target, and where its backups are.
    pub place: PlaceArgs,
    /// Words that every command gets.
    pub common: Vec<String>,
    /// What who walks calls themselves.
    pub actor: Option<String>,
}

impl Ground {
    /// By the words of a call.
    pub fn of(cli: &Cli, place: PlaceArgs) -> Result<Self, Failure> {
        Self::by(cli, cli.config.as_deref(), place)
    }

    /// By another configuration file than the call names.
    pub fn by(cli: &Cli, file: Option<&Path>, place: PlaceArgs) -> Result<Self, Failure> {
        let config = setup::config_of(cli, file)?;
        Ok(Self { config, place, common: common(cli, file)?, actor: setup::actor(cli) })
    }

    /// Who walks. Looked up when it is asked: the way to where an SSH session comes from leads through
    /// all processes above, which a console that is about to open must not wait for.
    pub fn who(&self) -> Who {
        Who::current(self.actor.as_deref())
    }
}

/// A run that begins now: the guide, and what is known.
pub fn card(ground: &Ground, guide: &str) -> Result<Card, Failure> {
    let Ground { config, place: args, common, .. } = ground;
    let guide = library::guide(&setup::paths()?.guides(), guide).map_err(wrong)?;
    let (location, name) = place::whereabouts(config, args)?;
    let now = Clock::system().wall();
    let mut values = Values::default();
    values.set("name", name);
    values.set("repository", location);
    values.set_words("place", place_words(args));
    let target = args.target.as_ref().cloned().or_else(|| config.default_target.clone());
    values.set_words("at", target.clone().into_iter().collect());
    let asks = target.as_ref().and_then(|name| config.targets.get(name));
    let two = asks.is_some_and(|target| target.two_people);
    values.set(TWO_PEOPLE, if two { "yes" } else { "no" });
    // Runs that begin in the same second must not meet in one folder or schema.
    let stamp = now.strftime("%Y%m%d_%H%M%S_%3f").to_string();
    let scratch = std::env::temp_dir().join(format!("howdah-restored-{stamp}"));
    values.set("scratch", scratch.to_string_lossy());
    values.set("side", format!("howdah_restore_{stamp}"));
    values.set("port", free_port().map_err(Fault::from)?.to_string());
    Ok(Card {
        guide,
        values,
        began: now,
        who: ground.who(),
        host: process::host().into(),
        on: Text::one_line(name),
        budget: Some(place::promises(config, args).1.as_secs()),
        common: common.clone(),
    })
}

/// The words that lead to the target and its repository, as a person would give them.
pub fn place_words(args: &PlaceArgs) -> Vec<String> {
    let options =
        [("--target", &*args.target), ("--repository", &args.repository), ("--name", &args.name)];
    options
        .into_iter()
        .filter_map(|(option, value)| Some([option.to_owned(), value.clone()?]))
        .flatten()
        .collect()
}

/// The words of this call that its commands need, too.
fn common(cli: &Cli, file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    if let Some(config) = file {
        let path: PathBuf =
            std::path::absolute(config).map_err(|error| Failure::new(Exit::Usage, error))?;
        words.extend(["--config".to_owned(), path.to_string_lossy().into_owned()]);
    }
    if let Some(actor) = &cli.actor {
        words.extend(["--as".to_owned(), actor.clone()]);
    }
    Ok(words)
}

/// The hands of a run.
pub fn hands(config: &Config, who: &Who, run: &Run) -> Result<Hands, Failure> {
    Ok(Hands {
        program: super::restore::cluster::program()?,
        common: run.card().common.clone(),
        jobs: setup::jobs()?,
        who: who.clone(),
        ledger: setup::ledger_of(config, who.clone())?,
        run: run.id().to_owned(),
    })
}

fn drive(cli: &Cli, run: Run) -> Result<Exit, Failure> {
    let (wake, woken) = mpsc::channel();
    let who = setup::who(cli);
    let hands = hands(&setup::config(cli)?, &who, &run)?;
    let by = Text::from(who.in_words());
    let id = run.id().to_owned();
    let stopped = Cell::new(None);
    let tell = Box::new(move |view: &Arc<View>| {
        let stop = view.state.stopped.as_ref();
        if let Some(stop) = stop.filter(|stop| stopped.replace(Some(stop.at)) != Some(stop.at)) {
            // Whoever is just typing has to be told, too.
            let why = why_stopped(&view.card.guide, stop);
            let _ = writeln!(io::stderr(), "\n! {why}: Enter shows what can be done");
        }
        // Who walks may have left already.
        let _ = wake.send(());
    });
    let driver = Driver::start(run, hands, by, tell);
    let flush = || {
        if io::stdin().is_terminal() {
            // A terminal that cannot be flushed is asked all the same.
            let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
        }
    };
    let left = walk(&driver, &woken, &mut io::stdin().lock(), &mut io::stdout().lock(), &flush);
    let view = driver.view();
    drop(driver);
    match left.map_err(|error| Failure::new(Exit::Failure, error))? {
        Left::Waiting => {
            say(&format!("it waits where it stands: howdah guide resume {id}\n"))?;
            Ok(Exit::Ok)
        }
        Left::Over if view.state.phase == Phase::Over(Over::Finished) => Ok(Exit::Ok),
        Left::Over => Ok(Exit::Failure),
    }
}

/// Shows the plan that waits for a second person, and leaves their word for whoever drives the run.
fn second(cli: &Cli, run: &str, given: Option<String>) -> Result<Exit, Failure> {
    let runs = runs()?;
    let id = runs.find(run).map_err(wrong)?;
    let seen = runs.look(&id).map_err(wrong)?;
    say(&shown(&seen))?;
    let step = seen.card.guide.steps.get(seen.state.at);
    let challenge = match step.map(|step| &step.kind) {
        Some(Kind::Act { challenge, .. }) => challenge.as_deref().unwrap_or("y"),
        _ => "y",
    };
    let args = ApplyArgs { confirm: given, ..ApplyArgs::default() };
    confirm(&args, &seen.state.values.fill(challenge))?;
    runs.second(&id, &setup::who(cli).in_words().into()).map_err(wrong)?;
    let clock = Clock::system();
    let late = clock.now().plus(ENDS);
    let before = seen.state.ticket;
    while clock.now() < late {
        if runs.look(&id).map_err(wrong)?.state.ticket != before {
            say("it is confirmed, and begins\n")?;
            return Ok(Exit::Ok);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let what = "whoever drives the run did not take it: is it still open there, and are you another person?";
    Err(Failure::new(Exit::Refused, what))
}

/// Ends a run, and says what was done in it and what was not.
fn end(cli: &Cli, run: &str, reason: &str) -> Result<Exit, Failure> {
    let runs = runs()?;
    let id = runs.find(run).map_err(wrong)?;
    let who = setup::who(cli);
    let run = runs.drive(&id, &who).map_err(wrong)?;
    if matches!(run.state().phase, Phase::Over(_)) {
        return Err(Failure::new(Exit::Refused, format!("the run {id} is over already")));
    }
    let hands = hands(&setup::config(cli)?, &who, &run)?;
    let driver = Driver::start(run, hands, who.in_words().into(), Box::new(|_| {}));
    driver.input(Input::Abort(reason.to_owned()));
    let clock = Clock::system();
    let late = clock.now().plus(ENDS);
    while !matches!(driver.view().state.phase, Phase::Over(_)) {
        if let Some(why) = driver.view().refusal.clone() {
            return Err(Failure::new(Exit::CannotCreate, why));
        }
        if clock.now() >= late {
            return Err(Failure::new(Exit::Failure, format!("the run {id} does not end")));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(driver);
    say(&shown(&runs.look(&id).map_err(wrong)?))?;
    Ok(Exit::Ok)
}
