//! `howdah restore table`, `diff`, `copy-back` and `undo`: tables into a side schema, compared with the live
//! ones, copied back, and that undone.

use std::{fmt::Write as _, path::PathBuf};

use clap::{ArgGroup, Args};

use super::{
    ApplyArgs, FromArgs, ONLY_A_PLAN, act, agreed,
    confirm::confirm,
    database::{ending, outcome},
    json, named, resolve, work_folder,
};
use crate::{
    base::{
        text::{Text, clean},
        units::bytes,
    },
    cli::{Cli, Exit, Failure, args::PlaceArgs, say, work},
    recover::{
        Fault, Kind, Repository,
        physical::salvage::salvage,
        restore::{
            Source, Target,
            closure::{Name, Tie, parse_name},
            copy_back::{self, Mode, Script},
            diff::{Difference, Rows, diff},
            record::What,
            side::Side,
            tables::{self, Place, Plan, Wish, side_name},
        },
        session::Session,
    },
};

/// What `restore table` takes.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("where").args(["into_schema", "in_place"]))]
pub struct TableArgs {
    /// From where, and how
    #[command(flatten)]
    pub from: FromArgs,
    /// Out of a restored cluster that waits at its target, instead of a backup
    #[arg(long, value_name = "FOLDER", conflicts_with = "backup")]
    pub from_cluster: Option<PathBuf>,
    /// The database, by its name in the backup
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// A table, as SQL names it: schema.table; may be given several times
    #[arg(long = "table", value_name = "NAME", required = true, value_parser = name)]
    pub tables: Vec<Name>,
    /// The database that the tables come to [default: the one of that name]
    #[arg(long, value_name = "NAME")]
    pub into_database: Option<String>,
    /// The schema that is made for them [default: howdah_restore_ and the time]
    #[arg(long, value_name = "NAME")]
    pub into_schema: Option<String>,
    /// Bring tables that are gone back to where they were
    #[arg(long)]
    pub in_place: bool,
    /// First remove what restores of tables that were killed have left
    #[arg(long)]
    pub remove_leftovers: bool,
}

/// What `restore diff` takes.
#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// Which target
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The server, as a target or a connection string [default: the target itself]
    #[arg(long, value_name = "CONNINFO")]
    pub server: Option<String>,
    /// The database
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The schema that `restore table` made
    #[arg(long, value_name = "NAME")]
    pub schema: String,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `restore copy-back` takes.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("mode").required(true).args(["insert_missing", "upsert", "swap"]))]
pub struct CopyBackArgs {
    /// Which target
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The server, as a target or a connection string [default: the target itself]
    #[arg(long, value_name = "CONNINFO")]
    pub server: Option<String>,
    /// The database
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The schema that `restore table` made
    #[arg(long, value_name = "NAME")]
    pub schema: String,
    /// The live table, as SQL names it
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub table: Name,
    /// Bring back rows whose key the live table lacks
    #[arg(long)]
    pub insert_missing: bool,
    /// The same, and make rows that differ as they were
    #[arg(long)]
    pub upsert: bool,
    /// Put a new table with exactly the backup's rows in the live one's place, and keep that aside
    #[arg(long)]
    pub swap: bool,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// What `restore undo` takes.
#[derive(Args, Clone, Debug)]
pub struct UndoArgs {
    /// The name of the copy: its record's
    pub id: String,
    /// Which target
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The server, as a target or a connection string [default: the target itself]
    #[arg(long, value_name = "CONNINFO")]
    pub server: Option<String>,
    /// What may really happen
    #[command(flatten)]
    pub apply: ApplyArgs,
}

fn name(words: &str) -> Result<Name, String> {
    parse_name(words).map_err(|fault| fault.to_string())
}

/// Shows what comes and what stands outside, and brings it when that is wished.
pub fn run(cli: &Cli, args: &TableArgs) -> Result<Exit, Failure> {
    let from = &args.from;
    let place = resolve(cli, &from.place, from.server.as_deref())?;
    // The salvage and the restore have one: in the foreground it sets up the signals.
    let salvages = args.from_cluster.is_some();
    let quiet = from.apply.json || !from.apply.apply;
    let observer = salvages.then(|| work::observer(cli, quiet)).transpose()?;
    let salvaged = match (&args.from_cluster, &observer) {
        (Some(folder), Some(observer)) => Some(salvage(folder, &args.database, &**observer)?),
        _ => None,
    };
    let repository = salvaged.as_ref().unwrap_or(&place.repository);
    let source = Source::find(repository, &from.backup, &args.database)?;
    let target = Target::for_dump(&place.settings, &source.manifest.tool)?;
    let side = || args.into_schema.clone().unwrap_or_else(side_name);
    let wish = Wish {
        tables: args.tables.clone(),
        into: args.into_database.clone().unwrap_or_else(|| args.database.clone()),
        place: if args.in_place { Place::Original } else { Place::Side(side()) },
        with_roles: from.with_roles,
        without_leftovers: args.remove_leftovers,
        jobs: from.jobs,
    };
    let plan = tables::plan(repository, &source, &target, &wish)?;
    if from.apply.json {
        if !from.apply.apply {
            say(&json(&plan)?)?;
        }
    } else {
        say(&(describe(&plan, from.apply.apply) + &named(&plan.mark())))?;
    }
    plan.check()?;
    agreed(from.apply.plan.as_deref(), &plan.mark())?;
    if !from.apply.apply {
        return Ok(Exit::Ok);
    }
    confirm(&from.apply, &wish.into)?;
    let folder = work_folder(from.work.as_ref());
    let details = serde_json::json!({
        "backup": plan.backup, "into": wish.into, "schema": plan.schema, "removes": plan.removes,
        "tables": wish.tables.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let name = &place.frame.target.name;
    let observer = observer.map_or_else(|| work::observer(cli, quiet), Ok)?;
    let record = act(cli, "restore.table", name, &from.apply, details, || {
        let record = tables::restore(repository, &source, &target, &wish, &folder, &*observer)?;
        if salvaged.is_some() {
            // The salvage goes with the restored cluster; what was done stays on record.
            place.repository.keep_restore(&record)?;
        }
        Ok(record)
    })?;
    if from.apply.json {
        say(&json(&record)?)?;
    } else {
        say(&outcome(&record))?;
        if let What::Tables { schema: Some(schema), database, .. } = &record.what {
            let next =
                format!("next       howdah restore diff --database {database} --schema {schema}");
            say(&(clean(&next).into_owned() + "\n"))?;
        }
    }
    Ok(if record.findings.is_empty() { Exit::Ok } else { Exit::Damaged })
}

fn describe(plan: &Plan, apply: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |what: &str, text: &str| {
        let _ = writeln!(out, "{what:<10} {}", clean(text));
    };
    line(
        "from",
        &format!("backup {}, as of {}, database '{}'", plan.backup, plan.as_of, plan.from),
    );
    line("to", &format!("database '{}' on {}", plan.into, plan.server));
    match &plan.schema {
        Some(schema) => {
            line("schema", &format!("'{schema}', which is made; live tables are not touched"));
        }
        None => line("schema", "where they were; what exists is not touched"),
    }
    for left in &plan.removes {
        line("removes", left);
    }
    line("reads", &format!("the whole dump, {}, to check its hashes", bytes(plan.bytes)));
    line("comes", &format!("{} entries", plan.contents.len()));
    for (desc, name) in &plan.contents {
        line("", &format!("{desc} {name}"));
    }
    for outside in &plan.outside {
        let tie = match outside.is {
            Tie::ForeignKeyOut => "refers to a table that does not come",
            Tie::ForeignKeyIn => "refers to one of the tables",
            Tie::View => "reads one of the tables",
            Tie::Publication => "sends one of the tables",
            Tie::Other => "needs one of the tables",
        };
        line("outside", &format!("{} ({tie})", outside.what));
    }
    ending(&mut line, &plan.roles_made, &plan.notes, &plan.obstacles, apply);
    out
}

/// Compares a side schema with the live tables.
pub fn compare(cli: &Cli, args: &DiffArgs) -> Result<Exit, Failure> {
    let place = resolve(cli, &args.place, args.server.as_deref())?;
    let session = Target::open(&place.settings)?.database(&args.database)?;
    let differences = diff(&session, &Side::read(&session, &args.schema)?)?;
    if args.json {
        say(&json(&differences)?)?;
    } else {
        for difference in &differences {
            say(&told(difference))?;
        }
    }
    Ok(Exit::Ok)
}

fn told(found: &Difference) -> String {
    let mut out = format!("{}\n", clean(&found.table.to_string()));
    // Writing to a string cannot fail.
    let mut line = |what: &str, text: &str| {
        let _ = writeln!(out, "  {what:<10} {}", clean(text));
    };
    if found.gone {
        line("gone", &format!("all {} rows are missing", found.missing.count));
        return out;
    }
    let key = if found.key.is_empty() { "whole rows".to_owned() } else { found.key.join(", ") };
    line("by", &key);
    let mut rows = |what: &str, rows: &Rows| {
        let samples = rows.samples.join(" | ");
        let text =
            if rows.count == 0 { "0".to_owned() } else { format!("{}: {samples}", rows.count) };
        line(what, &text);
    };
    rows("missing", &found.missing);
    if let Some(changed) = &found.changed {
        rows("changed", changed);
    }
    rows("extra", &found.extra);
    for column in &found.columns {
        line("column", column);
    }
    for sequence in &found.sequences {
        let highest = sequence.highest.map_or("—".to_owned(), |highest| highest.to_string());
        line(
            "sequence",
            &format!(
                "{} stands at {}; {} in the backup goes up to {highest}",
                sequence.name, sequence.live, sequence.column
            ),
        );
    }
    for orphans in found.orphans.iter().filter(|orphans| orphans.rows > 0) {
        line(
            "orphans",
            &format!(
                "{} rows would break '{}' of {}",
                orphans.rows, orphans.constraint, orphans.of
            ),
        );
    }
    out
}

/// Shows the statements that copy back, and runs them when that is wished.
pub fn copy(cli: &Cli, args: &CopyBackArgs) -> Result<Exit, Failure> {
    let place = resolve(cli, &args.place, args.server.as_deref())?;
    let target = Target::open(&place.settings)?;
    let session = target.database(&args.database)?;
    let mode = match (args.insert_missing, args.upsert) {
        (true, _) => Mode::InsertMissing,
        (_, true) => Mode::Upsert,
        _ => Mode::Swap,
    };
    let side = Side::read(&session, &args.schema)?;
    let mut script = copy_back::plan(&session, &side, &args.table, mode)?;
    script.notes.extend(untold(&place.repository, &session, args)?);
    carry_out(cli, &place, &target, &args.database, &script, &args.apply)
}

/// What became of earlier copies into the table whose end nobody was told.
fn untold(
    repository: &Repository,
    session: &Session,
    args: &CopyBackArgs,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for record in repository.restores()? {
        let What::CopyBack { database, table, pending: Some(_), .. } = &record.what else {
            continue;
        };
        if (database, table) != (&args.database, &args.table) {
            continue;
        }
        let id = &record.id;
        notes.push(match copy_back::settled(repository, session, &record) {
            Ok(Some(_)) => format!("the copy {id}, which never told its end, was committed: `howdah restore undo {id}` undoes it"),
            Ok(None) => format!("the copy {id}, which never told its end, was not committed: nothing came of it"),
            Err(fault) => fault.to_string(),
        });
    }
    Ok(notes)
}

/// Shows the statements that undo a copy, and runs them when that is wished.
pub fn undo(cli: &Cli, args: &UndoArgs) -> Result<Exit, Failure> {
    let place = resolve(cli, &args.place, args.server.as_deref())?;
    let records = place.repository.restores()?;
    let Some(record) = records.iter().find(|record| record.id == args.id) else {
        let what = format!("there is no record of a restore '{}'", args.id);
        return Err(Fault::new(Kind::Usage, what).into());
    };
    let What::CopyBack { database, .. } = &record.what else {
        let what =
            format!("the restore {} copied nothing back: there is nothing to undo", record.id);
        return Err(Fault::new(Kind::Usage, what).into());
    };
    let target = Target::open(&place.settings)?;
    let session = target.database(database)?;
    let Some(record) = copy_back::settled(&place.repository, &session, record)? else {
        let what = format!(
            "the copy {} was never committed: nothing has changed, and nothing is to be undone",
            args.id
        );
        return Err(Fault::new(Kind::Usage, what).into());
    };
    let script = copy_back::undo(&session, &record)?;
    carry_out(cli, &place, &target, database, &script, &args.apply)
}

fn carry_out(
    cli: &Cli,
    place: &super::Place,
    target: &Target,
    database: &str,
    script: &Script,
    apply: &ApplyArgs,
) -> Result<Exit, Failure> {
    if !apply.json {
        say(&(statements(script, apply.apply) + &named(&script.mark())))?;
    } else if !apply.apply {
        say(&json(script)?)?;
    }
    script.check()?;
    agreed(apply.plan.as_deref(), &script.mark())?;
    if !apply.apply {
        return Ok(Exit::Ok);
    }
    confirm(apply, &script.table.to_string())?;
    let details = serde_json::json!({
        "database": database, "table": script.table.to_string(), "source": script.source.to_string(),
        "mode": script.mode, "kept": script.kept.to_string(),
    });
    let name = &place.frame.target.name;
    let observer = work::observer(cli, apply.json)?;
    let record = act(cli, "restore.copy-back", name, apply, details, || {
        copy_back::run(&place.repository, target, database, script, &*observer)
    })?;
    if apply.json {
        say(&json(&record)?)?;
    } else {
        say(&format!("done; undo: howdah restore undo {} --apply\n", record.id))?;
    }
    Ok(Exit::Ok)
}

fn statements(script: &Script, apply: bool) -> String {
    let mut out = String::from("BEGIN;\n");
    for statement in &script.statements {
        let _ = writeln!(out, "{};", Text::one_line(statement));
    }
    out += "COMMIT;\n";
    for statement in &script.after {
        let _ = writeln!(out, "{};", Text::one_line(statement));
    }
    for note in &script.notes {
        let _ = writeln!(out, "-- {}", clean(note));
    }
    for obstacle in &script.obstacles {
        let _ = writeln!(out, "-- IN THE WAY: {}", clean(obstacle));
    }
    if !apply {
        let _ = writeln!(out, "-- {ONLY_A_PLAN}");
    }
    out
}
