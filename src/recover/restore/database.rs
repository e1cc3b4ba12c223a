//! A whole database into a new one.

use serde_json::json;

use super::{
    Source, Target, check, messages,
    plan::{Wish, plan},
    record::{self, Record, What},
    source::Unpacked,
    stamp,
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        progress::{Cleanup, Observer, Progress},
    },
    recover::{Fault, Kind, Repository, Result, session::identifier, stopwatch::Stopwatch},
};

/// How it is done, besides what the plan says.
#[derive(Clone, Debug)]
pub struct How<'a> {
    /// Where the dump is unpacked.
    pub work: &'a std::path::Path,
    /// The user's own assertions: SQL statements, each of which must return true.
    pub assertions: Option<&'a str>,
}

/// Plans again, refuses if anything stands in the way, restores, checks and records. What a plan has
/// promised may have changed since: the new one counts.
///
/// Nothing is created before the dump was read to its end with both hashes right. When it fails or is
/// cancelled, only what this run has made is removed.
///
/// # Errors
/// [`Kind::Refused`] for what stands in the way; [`Kind::Damaged`] when the dump is not what was written.
/// Checks that find something wrong are no error: they stand in the record.
pub fn restore(
    repository: &Repository,
    source: &Source,
    target: &Target,
    wish: &Wish,
    how: &How<'_>,
    observer: &dyn Observer,
) -> Result<Record> {
    let plan = plan(repository, source, target, wish)?;
    plan.check()?;
    source.check_room(how.work)?;
    let (id, began) = record::begin();
    let mut watch = Stopwatch::start();
    let unpacked = source.unpack(repository, how.work, &|_, _| true, observer)?;
    watch.lap("unpack");

    make_roles(target, &plan.roles_made, observer)?;
    // In place of an old database the new one is made under a name of its own first, so that the old one
    // serves until the last moment.
    let name = match plan.aside {
        None => plan.into.clone(),
        Some(_) => format!("howdah_restoring_{}", stamp(Clock::system().wall())),
    };
    let cleanup = Cleanup::words(format!("drop the half-restored database '{name}'"));
    let step = observer.step(format!("restoring into the database '{name}'"), &cleanup)?;
    let checked = create(target, &unpacked, &name).and_then(|()| {
        let how_filled = Filling { jobs: plan.jobs, without_tablespaces: plan.without_tablespaces };
        let data_in = fill(target, how_filled, &unpacked, &name, observer)?;
        watch.lap_at("restore", data_in);
        watch.lap("post-data");
        let checked = check::database(target, source, &unpacked, &name, how.assertions, observer)?;
        watch.lap("checks");
        if let Some(aside) = &plan.aside {
            exchange(target, &plan.into, aside, &name)?;
        }
        Ok(checked)
    });
    let checked = match checked {
        Ok(checked) => checked,
        Err(fault) => return Err(put_away(target, &name, fault, step)),
    };
    step.done(json!({ "database": plan.into }))?;
    let record = Record {
        id,
        began,
        what: What::Database { database: plan.database, into: plan.into },
        backup: Some(plan.backup),
        server: plan.server,
        bytes: plan.bytes,
        phases: watch.phases,
        findings: checked.findings,
        unchecked: checked.unchecked,
    };
    repository.keep_restore(&record)?;
    Ok(record)
}

/// Makes roles that are missing, and nothing that could log in.
pub(super) fn make_roles(target: &Target, roles: &[String], observer: &dyn Observer) -> Result<()> {
    for role in roles {
        target.session.run(&format!("CREATE ROLE {} NOLOGIN", identifier(role)))?;
        observer.note(&format!("made the role '{role}': NOLOGIN, without a password").into());
    }
    Ok(())
}

/// Removes the database that this run has made, and says so if that fails, too.
fn put_away(
    target: &Target,
    name: &str,
    fault: Fault,
    step: crate::base::progress::Step<'_>,
) -> Fault {
    // Somebody else was quicker with that name: the database is theirs.
    if fault.what().contains("(42P04)") {
        return fault;
    }
    match target.drop_own(name) {
        Ok(()) => {
            // The fault is told in any case; a journal that cannot be written to is the smaller one.
            let _ = step.undone(fault.what().clone());
            fault
        }
        Err(left) => Fault::new(
            fault.kind,
            format!("{fault}; and the database '{name}' is left over: {}", left.what()),
        ),
    }
}

/// Makes the empty database, as the dump says it was: encoding, locale and their provider.
pub(in crate::recover) fn create(target: &Target, unpacked: &Unpacked, name: &str) -> Result<()> {
    let made = unpacked.toc.entries.iter().find(|entry| entry.desc == "DATABASE");
    // `CREATE DATABASE app WITH TEMPLATE = template0 ENCODING = 'UTF8' …;`, by pg_dump itself.
    let like = made.and_then(|entry| entry.definition.split_once(" WITH TEMPLATE = template0"));
    let like = like.map_or("", |(_, like)| like.trim().trim_end_matches(';'));
    // Its tablespace may not be here, and `pg_restore` would not put it there either.
    let like = like.split(" TABLESPACE = ").next().unwrap_or_default();
    let name = identifier(name);
    target.session.run(&format!("CREATE DATABASE {name} WITH TEMPLATE = template0 {like}"))
}

/// How a database is filled.
#[derive(Clone, Copy, Debug)]
pub(in crate::recover) struct Filling {
    /// Workers of `pg_restore`.
    pub jobs: u32,
    /// Everything goes where the database is.
    pub without_tablespaces: bool,
}

/// Loads a dump into an empty database. Returns when the last data were in: with several workers indexes are
/// built beside them before that, and the rest behind it.
pub(in crate::recover) fn fill(
    target: &Target,
    how: Filling,
    unpacked: &Unpacked,
    name: &str,
    observer: &dyn Observer,
) -> Result<Stamp> {
    let entries = unpacked.toc.entries.iter();
    let ids = entries.filter(|entry| !entry.desc.contains("SUBSCRIPTION")).map(|entry| entry.id);
    let list = unpacked.list(ids)?;
    let mut tool = target
        .tool("pg_restore", name)
        .args(["--exit-on-error", "--verbose", "--no-password"])
        .arg(format!("--jobs={}", how.jobs.max(1)))
        .arg("--use-list")
        .arg(&list);
    if how.without_tablespaces {
        tool = tool.arg("--no-tablespaces");
    }
    let mut heard = Heard::new(unpacked, observer);
    tool.arg(&unpacked.path)
        .run(observer.cancel(), &mut |line| heard.line(line))
        .map_err(messages::explain)?;
    Ok(heard.data_in)
}

/// Counts the entries that `pg_restore --verbose` names, and looks when the last of the data were in.
struct Heard<'a> {
    done: u64,
    total: u64,
    clock: Clock,
    data_in: Stamp,
    loading: bool,
    observer: &'a dyn Observer,
}

impl<'a> Heard<'a> {
    fn new(unpacked: &Unpacked, observer: &'a dyn Observer) -> Self {
        let clock = Clock::system();
        let (total, data_in) = (unpacked.toc.entries.len() as u64, clock.now());
        Self { done: 0, total, clock, data_in, loading: false, observer }
    }

    fn line(&mut self, line: &crate::base::text::Text) {
        let said = line.strip_prefix("pg_restore: ").unwrap_or(line);
        // One worker says when it begins with a table: whatever it says next comes behind it.
        let was_loading = std::mem::replace(&mut self.loading, of_data(said));
        if was_loading || self.loading {
            self.data_in = self.clock.now();
        }
        if ["creating ", "processing ", "executing "].iter().any(|verb| said.starts_with(verb)) {
            self.done += 1;
            let progress = Progress::items("restoring", self.done, Some(self.total));
            self.observer.progress(&progress.with_note(said));
        }
    }
}

/// True for what `pg_restore --verbose` says when it begins with data, or, with several workers, has ended.
fn of_data(said: &str) -> bool {
    let ended = |desc: &str| said.starts_with("finished item ") && said.contains(desc);
    said.starts_with("processing data for ")
        || said.starts_with("executing SEQUENCE SET ")
        || [" TABLE DATA ", " BLOBS ", " SEQUENCE SET "].iter().any(|desc| ended(desc))
}

/// Puts the new database in the place of the old one, which is kept under another name. Both renames are
/// one transaction.
fn exchange(target: &Target, into: &str, aside: &str, name: &str) -> Result<()> {
    let (into_q, aside_q, name_q) = (identifier(into), identifier(aside), identifier(name));
    target.session.run(&format!("ALTER DATABASE {into_q} WITH ALLOW_CONNECTIONS false"))?;
    let exchanged = target.end_sessions(into).and_then(|()| {
        target.end_sessions(name)?;
        target.session.run(&format!(
            "BEGIN; ALTER DATABASE {into_q} RENAME TO {aside_q}; \
             ALTER DATABASE {name_q} RENAME TO {into_q}; COMMIT"
        ))
    });
    match exchanged {
        Ok(()) => {
            target.session.run(&format!("ALTER DATABASE {aside_q} WITH ALLOW_CONNECTIONS true"))
        }
        Err(fault) => {
            // The transaction may be open; then the old database serves again.
            target.session.run("ROLLBACK")?;
            target.session.run(&format!("ALTER DATABASE {into_q} WITH ALLOW_CONNECTIONS true"))?;
            Err(Fault::new(
                Kind::Refused,
                format!("'{into}' cannot be moved aside: {}", fault.what()),
            ))
        }
    }
}
