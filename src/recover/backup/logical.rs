//! Logical backups: `pg_dumpall --globals-only`, then `pg_dump` of each database, each in a snapshot that
//! our inventory shares.

use std::{
    io::{BufRead, BufReader},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::json;

use super::{
    count,
    expect::{Expected, Times, large_objects_phase, told_as},
    inventory::{self, Found, Members},
    pump::{Tee, pump},
    run::Run,
    tools::Program,
};
use crate::{
    base::{exec::Tool, progress::Progress, text::Text},
    recover::{
        Fault, Kind, Result,
        dump::{Input, Tally, Toc, walk},
        libpq::connecting,
        repository::{
            key::{Key, escaped},
            manifest::{Database, File, Inventory, Role},
            sealed::{Compression, Stored},
        },
        session::Session,
        verify::structure::{compare_dump, globals_are_whole},
    },
};

/// How much of a dump is read at once.
const PART: usize = 1 << 18;
/// How long `pg_dump`, and the inventory, wait for a table that somebody has locked, in milliseconds.
const LOCK_WAIT: u32 = 300_000;

/// What was taken.
pub(super) struct Taken {
    pub files: Vec<File>,
    pub inventory: Inventory,
    pub tool: String,
}

/// Takes the databases, one after the other. `session` is closed before the first of them.
pub(super) fn take(
    run: &Run<'_>,
    session: Session,
    databases: &[String],
    counts: bool,
) -> Result<Taken> {
    let dump = Program::find("pg_dump", session.version)?;
    dump.fits(session.version)?;
    let mut inventory = inventory::cluster(&session)?;
    // Its version is not asked for: it refuses a server that is later than itself (pg_dumpall.c).
    let mut files = vec![globals(run, &session, dump.beside("pg_dumpall"))?];
    drop(session);
    for name in databases {
        let (file, database) = one(run, &dump, name, counts)?;
        files.push(file);
        inventory.databases.push(database);
    }
    Ok(Taken { files, inventory, tool: dump.says })
}

fn globals(run: &Run<'_>, session: &Session, dumpall: Tool) -> Result<File> {
    let key = run.repository.backup_key(&run.id)?.join("globals.sql.zst")?;
    let mut tool = connecting(dumpall, &run.settings, session.host(), None)
        .args(["--globals-only", "--no-password", "--database"])
        // A name with `=` in it would be taken for a connection string.
        .arg(format!("dbname='{}'", conninfo_quoted(&run.settings.dbname)));
    let secret: bool =
        session.one("SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')", &[])?.get(0);
    if !secret {
        tool = tool.arg("--no-role-passwords");
        run.observer.note(
            &"this role may not read the passwords of roles: the globals are without them".into(),
        );
    }
    run.step("globals", "dump roles and tablespaces", &run.files_cleanup(), || {
        let (stored, ()) = sealed(run, &tool, &key, read_globals, &mut |bytes, _| {
            run.observer.progress(&Progress::bytes("dumping roles and tablespaces", bytes, None));
        })?;
        let details = json!({ "bytes": stored.size, "passwords": secret });
        Ok((File { role: Role::Globals, stored }, details))
    })
}

/// One database: our session exports its snapshot, and stays to read the inventory and what else a dump does
/// not hold.
fn one(run: &Run<'_>, dump: &Program, name: &str, counts: bool) -> Result<(File, Database)> {
    let session = Session::open_database(&run.settings, name)?;
    // Sizes and definitions wait for tables that somebody has locked, as pg_dump does. A count of a view is
    // compiled for longer than it then takes.
    session.run(&format!(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
         SET lock_timeout = {LOCK_WAIT}; SET row_security = off; SET jit = off; \
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    ))?;
    let snapshot: String = session.one("SELECT pg_export_snapshot()", &[])?.get(0);
    let mut found = inventory::database(&session, Members::LeftOut)?;
    let expected = Expected::of(&found.database, run.previous.as_ref());
    let key = run.repository.backup_key(&run.id)?.join(&format!("{}.dump.zst", escaped(name)))?;
    let names = found.database.relations.iter().flat_map(|it| [it.schema.as_str(), &it.name]);
    let encoding = session.dump_encoding(names)?;
    let tool = connecting(dump.tool(), &run.settings, session.host(), Some(name))
        .args(["-Fc", "-Z0", "--verbose", "--no-password"])
        .args(encoding)
        .arg(format!("--lock-wait-timeout={LOCK_WAIT}"))
        .arg(format!("--snapshot={snapshot}"));
    let what = format!("dump the database {}", Text::foreign(name));
    let mut times = Times::new(&run.clock);
    let (stored, (toc, tally)) = run.step("dump", what, &run.files_cleanup(), || {
        let (stopped, asked) = (AtomicBool::new(!counts), AtomicU64::new(0));
        let (dumped, unknown) = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let stop = || stopped.load(Ordering::Relaxed) || run.observer.cancelled();
                count::ask(&session, &mut found, &stop, &|| {
                    asked.fetch_add(1, Ordering::Relaxed);
                })
            });
            let phase = Text::from(format!("dumping {}", Text::foreign(name)));
            let dumped = sealed(run, &tool, &key, read_dump, &mut |bytes, lines| {
                for line in lines {
                    times.hear(line);
                }
                let total = Some(expected.total(bytes, &times));
                let progress = Progress::bytes(phase.clone(), bytes, total);
                run.observer.progress(&progress.with_note(expected.word()));
            });
            times.close();
            if dumped.is_err() {
                stopped.store(true, Ordering::Relaxed);
            }
            while !asking.is_finished() {
                let done = asked.load(Ordering::Relaxed);
                run.observer.progress(&Progress::items("asking for largest keys", done, None));
                if dumped.is_err() || run.observer.cancelled() {
                    // A long count hears nothing: its session is ended on the server.
                    run.end_sessions();
                }
                thread::sleep(std::time::Duration::from_millis(20));
            }
            // It only asks the server and fills in what it says.
            let unknown = asking.join().unwrap_or_else(|_| Ok(Vec::new()));
            (dumped, unknown)
        });
        let (stored, read) = dumped.map_err(|fault| without_equivalent(fault, name))?;
        run.go_on()?;
        for why in unknown? {
            run.observer.note(&why.into());
        }
        let details = json!({ "bytes": stored.size, "unpacked": stored.content_size });
        Ok(((stored, read), details))
    })?;
    let wrong = compare_dump(&toc, &tally, &found.database);
    if let Some(first) = wrong.first() {
        let what = format!(
            "the dump of {} is not whole, {} findings: {first}",
            Text::foreign(name),
            wrong.len()
        );
        return Err(Fault::new(Kind::Damaged, what));
    }
    if let Some(seconds) = times.large_objects {
        run.timed(large_objects_phase(name), seconds);
    }
    let Found { mut database, .. } = found;
    count::rows(&mut database, &toc, &tally);
    for relation in &mut database.relations {
        relation.seconds = times.tables.get(&told_as(&relation.schema, &relation.name)).copied();
    }
    Ok((File { role: Role::Dump { database: name.to_owned() }, stored }, database))
}

/// A dump in UTF-8 that met bytes which have no equivalent there. Databases with no names beyond ASCII are not dumped
/// so: see [`Session::dump_encoding`].
fn without_equivalent(fault: Fault, database: &str) -> Fault {
    if !fault.what().contains("has no equivalent in encoding \"UTF8\"") {
        return fault;
    }
    let what = format!(
        "the database '{}' has names beyond ASCII, so that it is dumped in UTF-8, and a value that cannot be told \
         there: {}",
        Text::foreign(database),
        fault.what()
    );
    Fault::new(fault.kind, what).remedy(
        "correct that value, or give schemas and tables names in ASCII, or take a physical backup, which takes bytes \
         as they are",
    )
}

/// Runs a tool and seals what it prints under a name, which appears only when the tool went well and
/// `understand` has read all of it.
fn sealed<T: Send>(
    run: &Run<'_>,
    tool: &Tool,
    key: &Key,
    understand: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send,
    look: &mut dyn FnMut(u64, &[Text]),
) -> Result<(Stored, T)> {
    let into = run.repository.seal_as(key, Compression::Zstd, run.threads)?;
    let (sealing, understood) = pump(
        tool,
        run.observer.cancel(),
        move |from| {
            let mut tee = BufReader::with_capacity(PART, Tee::new(from, into));
            let understood = understand(&mut tee);
            tee.into_inner().finish(understood)
        },
        look,
    )?;
    Ok((sealing.finish()?, understood))
}

/// Reads a dump as it comes: its table of contents, and what stands in each block.
fn read_dump(stream: &mut dyn BufRead) -> Result<(Toc, Tally)> {
    let mut input = Input::new(stream);
    let toc = Toc::read(&mut input)?;
    let mut tally = Tally::default();
    walk(&mut input, &toc, &mut tally)?;
    Ok((toc, tally))
}

/// Reads the text of `pg_dumpall`, and looks whether it has its end.
fn read_globals(stream: &mut dyn BufRead) -> Result<()> {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(Fault::io("cannot keep the globals"))?;
    globals_are_whole(&text).map_err(|why| Fault::new(Kind::Damaged, why))
}

fn conninfo_quoted(value: &str) -> String {
    value.replace('\\', r"\\").replace('\'', r"\'")
}
