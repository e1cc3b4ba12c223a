//! `howdah restore cluster`: a cluster as it was at one moment, planned first; then promoted or discarded.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{ONLY_A_PLAN, agreed, named, recorded_with};
use crate::{
    base::{
        clock::{Clock, Timestamp, parse_moment},
        config::Config,
        ledger::Act,
        progress::Observer,
        text::clean,
    },
    cli::{Cli, Exit, Failure, args::PlaceArgs, place, say, second::SecondArgs, setup, work},
    cluster::{Binaries, guard::Guard},
    recover::{
        Fault, Repository,
        checkup::{self, Orders, checkup},
        physical::{
            Archive, Order, PlainFolder, Plan, Target,
            archive::InRepository,
            plan::{self, Into},
            record::State,
            restore,
            restored::{self, Restored, Times},
        },
        repository::manifest::{BackupId, Manifest, Method, parse_lsn},
        restore::record::{self, Record, What},
        stopwatch::Stopwatch,
    },
};

/// A folder that a cluster was restored into.
#[derive(Args, Clone, Debug)]
pub struct FolderArgs {
    /// The folder that it was restored into
    pub folder: PathBuf,
}

/// Where archived WAL is.
#[derive(Args, Clone, Debug, Default)]
pub struct WalArgs {
    /// Read WAL from a flat folder that something like `cp` fills [default: the repository]
    #[arg(long, value_name = "FOLDER")]
    pub wal_folder: Option<PathBuf>,
    /// Follow this timeline [default: the newest, when there is no doubt which]
    #[arg(long, value_name = "N")]
    pub timeline: Option<u32>,
}

/// What `restore cluster` takes.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("moment").required(true), group = ArgGroup::new("where").required(true))]
pub struct ClusterArgs {
    /// Which target, and where its backups are
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The backup: its name, or `newest`: the newest one from which the moment can be reached
    #[arg(long, value_name = "ID", default_value = "newest")]
    pub backup: String,
    /// Everything committed up to this time: RFC 3339, or `DATE TIME` of UTC
    #[arg(long, value_name = "TIME", group = "moment", value_parser = moment)]
    pub to_time: Option<Timestamp>,
    /// Up to this position in the WAL
    #[arg(long, value_name = "LSN", group = "moment", value_parser = position)]
    pub to_lsn: Option<u64>,
    /// Up to this restore point
    #[arg(long, value_name = "NAME", group = "moment")]
    pub to_name: Option<String>,
    /// Up to the commit of this transaction
    #[arg(long, value_name = "XID", group = "moment")]
    pub to_xid: Option<u32>,
    /// Up to the last commit in the archive
    #[arg(long, group = "moment")]
    pub latest: bool,
    /// With --to-lsn or --to-xid: stop just before it
    #[arg(long)]
    pub exclusive: bool,
    /// Where the WAL is
    #[command(flatten)]
    pub wal: WalArgs,
    /// A new folder for it
    #[arg(long, value_name = "FOLDER", group = "where", requires = "port")]
    pub into: Option<PathBuf>,
    /// Put it in place of the stopped cluster with this data folder, which is moved aside
    #[arg(long, value_name = "DATA", group = "where")]
    pub in_place: Option<PathBuf>,
    /// The port of the restored cluster
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Stop at the moment, for reading only: then `howdah restore promote` or `discard`
    #[arg(long)]
    pub inspect: bool,
    /// SQL run in what was restored: each statement returns no row, or one truth value, true
    #[arg(long = "assert", value_name = "FILE")]
    pub assertions: Option<PathBuf>,
    /// Do it; without this the plan is shown and nothing is touched
    #[arg(long)]
    pub apply: bool,
    /// Only when the plan is still the one with this mark: its last line told it
    #[arg(long, value_name = "MARK", requires = "apply")]
    pub plan: Option<String>,
    /// With --in-place: the target's name in the repository, a slash, and the last four digits of the
    /// system identifier
    #[arg(long, value_name = "NAME/1234", requires = "apply")]
    pub confirm: Option<String>,
    /// Who confirms beside the actor what is put in place of a cluster
    #[command(flatten)]
    pub second: SecondArgs,
}

/// Promotes a cluster that waits at its target.
pub fn promote(cli: &Cli, args: &FolderArgs) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let observer = work::observer(cli, false)?;
    let act = Act::new("restore.promote").with(json!({ "folder": folder }));
    let server = recorded_with(cli, act, || {
        let server = restored::promote(folder, &*observer)?;
        let figures = json!({ "pid": server.pid() });
        Ok((server, figures))
    })?;
    say(&format!("'{}' takes writes (process {})\n", folder.display(), server.pid()))?;
    Ok(Exit::Ok)
}

/// Removes a cluster that was never promoted.
pub fn discard(cli: &Cli, args: &FolderArgs) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let act = Act::new("restore.discard").with(json!({ "folder": folder }));
    recorded_with(cli, act, || Ok((restored::discard(folder)?, json!({}))))?;
    say(&format!("'{}' is removed\n", folder.display()))?;
    Ok(Exit::Ok)
}

/// Plans a restore, and does it when that was asked for.
pub fn run(cli: &Cli, args: &ClusterArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let (_, name) = place::whereabouts(&config, &args.place)?;
    let repository = place::repository(&config, &args.place)?;
    let archive = archive(&config, &args.place, &args.wal, &repository)?;
    let target = args.target()?;
    let manifest = pick(&repository, &args.backup, &target)?;
    let binaries = plan::binaries(&manifest)?;
    let observer = work::observer(cli, false)?;
    let assertions = args.assertions.as_deref().map(checkup::assertions::read).transpose()?;
    let mut watch = Stopwatch::start();
    let plan = Plan::make(args.order(target)?, manifest, &*archive, &binaries, &*observer)?;
    watch.lap("check the WAL");
    say(&(plan.words() + &takes(&repository, &plan)? + &named(&plan.mark())))?;
    agreed(args.plan.as_deref(), &plan.mark())?;
    if !args.apply {
        say(&format!("{ONLY_A_PLAN}\n"))?;
        return Ok(Exit::Ok);
    }
    confirm(args, name, &plan.manifest)?;
    let second = match &args.in_place {
        Some(_) => args.second.agreed(cli, &config, args.place.target.as_deref(), Some(name))?,
        // A new folder takes nothing from anybody.
        None => Value::Null,
    };
    let details = json!({
        "backup": plan.manifest.id,
        "target": plan.order.target.to_string(),
        "folder": plan.folder,
        "second": second,
    });
    let deed = Deed { args, repository, archive, binaries, assertions, plan };
    recorded_with(cli, Act::new("restore.cluster").with(details), || {
        deed.carry_out(&mut watch, &*observer)
    })
}

/// All that a restore needs.
struct Deed<'a> {
    args: &'a ClusterArgs,
    repository: Repository,
    archive: Arc<dyn Archive>,
    binaries: Binaries,
    assertions: Option<String>,
    plan: Plan,
}

impl Deed<'_> {
    /// Restores, checks and tells; the figures are for the ledger.
    fn carry_out(
        &self,
        watch: &mut Stopwatch,
        observer: &dyn Observer,
    ) -> Result<(Exit, Value), Failure> {
        let Self { plan, repository, binaries, .. } = self;
        let began = record::begin();
        let mut guard = Guard::start(&program()?).map_err(Fault::from)?;
        let mut restored = restore::run(
            plan,
            repository,
            &*self.archive,
            binaries,
            Some(&mut guard),
            watch,
            observer,
        )?;
        if self.args.inspect {
            restored.note(State::Inspecting)?;
            guard.release().map_err(Fault::from)?;
            say(&waiting(&restored)?)?;
            return Ok((Exit::Ok, json!({ "state": "inspecting" })));
        }
        restored.promote(watch)?;
        let orders = Orders {
            settings: &restored.settings,
            manifest: &plan.manifest,
            databases: None,
            exact: false,
            amcheck: true,
            assertions: self.assertions.as_deref(),
            binaries,
        };
        let checks = checkup(&orders, observer)?.checks;
        let mut failures = checkup::failures(&checks);
        failures.extend(restored.doubt.iter().map(ToString::to_string));
        restored.note(State::Done)?;
        let (times, aside) = (restored.times.clone(), restored.aside.clone());
        keep_record(repository, plan, &times, &checks, &failures, began)?;
        let reached = restored.reached.clone();
        let server = restored.open(observer)?;
        guard.release().map_err(Fault::from)?;
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = report(&mut out, plan, &server, &times, &reached, &aside, &failures);
        say(&out)?;
        let exit = if failures.is_empty() { Exit::Ok } else { Exit::Failure };
        Ok((exit, json!({ "reached": reached, "times": times, "findings": failures })))
    }
}

/// How long it will take, by what was measured.
fn takes(repository: &Repository, plan: &Plan) -> Result<String, Fault> {
    let size = plan.manifest.content_size();
    Ok(match repository.expected(Method::Physical, size, plan.aim.replay)? {
        Some(takes) => format!("takes      {takes}\n"),
        None => {
            "takes      not known: no restore of a cluster was made and found right yet\n".into()
        }
    })
}

/// Keeps what was measured: the next answer to how long a restore takes.
fn keep_record(
    repository: &Repository,
    plan: &Plan,
    times: &Times,
    checks: &[checkup::Check],
    failures: &[String],
    (id, began): (String, Timestamp),
) -> Result<(), Fault> {
    let undone = checks.iter().filter(|check| check.verdict == checkup::Verdict::NotDone);
    let what = What::Cluster {
        target: plan.order.target.to_string(),
        folder: plan.folder.clone(),
        times: times.clone(),
        replayed: plan.aim.replay,
    };
    repository.keep_restore(&Record {
        id,
        began,
        what,
        backup: Some(plan.manifest.id.clone()),
        server: plan.places.data.to_string_lossy().into_owned(),
        bytes: plan.manifest.content_size(),
        phases: times.phases.clone(),
        findings: failures.to_vec(),
        unchecked: undone.map(|c| format!("{}: {}", c.name, c.findings.join("; "))).collect(),
    })
}

fn report(
    out: &mut String,
    plan: &Plan,
    server: &crate::recover::physical::recovering::Recovering,
    times: &Times,
    reached: &crate::recover::physical::recovering::Reached,
    aside: &[(PathBuf, PathBuf)],
    failures: &[String],
) -> std::fmt::Result {
    let last = reached.last_transaction.map_or("—".to_owned(), |at| at.to_string());
    writeln!(out, "restored   process {}, last transaction {last}", server.pid())?;
    let write = times.first_write.map_or("—".to_owned(), |seconds| format!("{seconds:.1} s"));
    writeln!(
        out,
        "RTO        first read {:.1} s, caught up {:.1} s, first write {write}",
        times.first_read, times.caught_up
    )?;
    if matches!(plan.order.into, Into::Folder(_)) {
        writeln!(
            out,
            "archiving  off (archive_mode in postgresql.auto.conf): turn it on when this cluster takes over"
        )?;
    }
    for (from, to) in aside {
        writeln!(
            out,
            "undo       stop it, then: mv '{}' elsewhere; mv '{}' '{}'",
            from.display(),
            to.display(),
            from.display()
        )?;
    }
    for failure in failures {
        writeln!(out, "found      {failure}")?;
    }
    Ok(())
}

fn waiting(restored: &Restored) -> Result<String, Failure> {
    let last = restored.reached.last_transaction.map_or("—".to_owned(), |at| at.to_string());
    let folder = restored.folder.display();
    let mut out = format!(
        "waiting    read only, at {}, last transaction {last}\n\
         look       psql 'host={} port={} user={} dbname=postgres'\n\
         then       howdah restore promote '{folder}', or: howdah restore discard '{folder}'\n",
        restored.reached.lsn,
        restored.record.private.display(),
        restored.record.port,
        restored.settings.user,
    );
    for (database, tables) in restored.server.locked(&restored.session)? {
        let tables = match tables {
            1 => "a table".to_owned(),
            n => format!("{n} tables"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "locked     {tables} of '{}', by the transaction that recovery stopped in: who reads them waits \
             until it is promoted, or `howdah restore table --from-cluster` has taken them out",
            clean(&database)
        );
    }
    Ok(out)
}

/// In place of a cluster only for who types which one it is.
fn confirm(args: &ClusterArgs, name: &str, manifest: &Manifest) -> Result<(), Failure> {
    if args.in_place.is_none() {
        return Ok(());
    }
    let wanted = format!("{name}/{:04}", manifest.cluster.system_identifier % 10_000);
    let given = args.confirm.as_deref().unwrap_or_default().replace(['…', '.'], "");
    if given == wanted.replace('.', "") {
        return Ok(());
    }
    let what = format!(
        "in place needs --confirm with the target's name and the last four digits of the system identifier: '{name}/…'"
    );
    Err(Failure::new(Exit::Refused, what))
}

impl ClusterArgs {
    fn target(&self) -> Result<Target, Failure> {
        let exclusive = self.exclusive;
        let target = match (self.to_time, self.to_lsn, &self.to_name, self.to_xid) {
            (Some(at), ..) => Target::Time(at),
            (_, Some(at), ..) => Target::Lsn { at, exclusive },
            (_, _, Some(name), _) => Target::Name(name.clone()),
            (.., Some(xid)) => Target::Xid { xid, exclusive },
            _ => Target::Latest,
        };
        if exclusive && !matches!(target, Target::Lsn { .. } | Target::Xid { .. }) {
            return Err(Failure::new(Exit::Usage, "--exclusive goes with --to-lsn or --to-xid"));
        }
        Ok(target)
    }

    fn order(&self, target: Target) -> Result<Order, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| Failure::new(Exit::Usage, error))
        };
        let into = match (&self.into, &self.in_place) {
            (Some(folder), _) => Into::Folder(absolute(folder)?),
            (None, Some(data)) => Into::Place(absolute(data)?),
            (None, None) => return Err(Failure::new(Exit::Usage, "give --into or --in-place")),
        };
        Ok(Order { target, timeline: self.wal.timeline, into, port: self.port.unwrap_or(5432) })
    }
}

/// This very binary.
pub fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Failure, format!("this program cannot be found: {error}"))
    })
}

/// The WAL of a target.
pub fn archive(
    config: &Config,
    place: &PlaceArgs,
    wal: &WalArgs,
    repository: &Repository,
) -> Result<Arc<dyn Archive>, Failure> {
    if let Some(folder) = &wal.wal_folder {
        return Ok(Arc::new(PlainFolder::open(folder)?));
    }
    let (location, name) = place::whereabouts(config, place)?;
    let program = program()?.to_string_lossy().into_owned();
    let words = [&*program, "wal", "fetch", "--repository", location, "--name", name];
    let words = words.into_iter().map(str::to_owned).collect();
    Ok(Arc::new(InRepository::new(repository.clone(), words)))
}

/// The backup of that name, or the newest physical one from which the moment can be reached.
pub fn pick(repository: &Repository, which: &str, target: &Target) -> Result<Manifest, Failure> {
    if which != "newest" {
        let id: BackupId = which.parse()?;
        return Ok(repository.manifest(&id)?);
    }
    let before = |manifest: &Manifest| match target {
        Target::Time(at) => manifest.ended <= *at,
        Target::Lsn { at, .. } => manifest.wal.as_ref().is_some_and(|wal| wal.stop <= *at),
        Target::Latest | Target::Name(_) | Target::Xid { .. } => true,
    };
    let entries = repository.backups()?;
    let physical = || {
        entries
            .iter()
            .rev()
            .filter_map(|entry| entry.manifest())
            .filter(|m| m.method == Method::Physical)
    };
    let found = physical().find(|manifest| before(manifest)).cloned();
    found.ok_or_else(|| match physical().next_back() {
        Some(oldest) => Failure::new(
            Exit::Refused,
            format!("{target} lies before the end of the oldest physical backup, {}", oldest.id),
        ),
        None => Failure::new(
            Exit::Unavailable,
            "there is no physical backup in the repository; `howdah backup` takes one",
        ),
    })
}

fn moment(text: &str) -> Result<Timestamp, String> {
    parse_moment(text, Clock::system().wall()).ok_or_else(|| {
        "a time is expected, such as '2026-11-09T02:00:00Z' or '2026-11-09 02:00'".to_owned()
    })
}

fn position(text: &str) -> Result<u64, String> {
    parse_lsn(text).ok_or_else(|| "a position is expected, such as '16/B374D848'".to_owned())
}
