//! Into a side schema, by way of a scratch database.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufReader, BufWriter, Write as _},
    path::Path,
};

use serde_json::json;

use super::{Plan, Wish};
use crate::{
    base::{
        clock::Clock,
        progress::{Cleanup, Observer},
    },
    recover::{
        Fault, Kind, Result,
        backup::pump::{Output, pump},
        dump::{Input, Toc, seekable},
        restore::{
            Target, database, leftover, messages,
            privileges::Defaults,
            side::{Made, Side},
            source::Unpacked,
            stamp,
        },
        session::{Session, identifier, literal},
        stopwatch::Stopwatch,
    },
};

/// Tables on their way into a side schema.
pub(super) struct Aside<'a> {
    pub target: &'a Target,
    pub wish: &'a Wish,
    pub plan: &'a Plan,
    pub unpacked: &'a Unpacked,
    pub schema: &'a str,
    pub made: Made,
    pub defaults: Defaults,
}

impl Aside<'_> {
    pub fn carry_out(
        &self,
        list: &Path,
        watch: &mut Stopwatch,
        observer: &dyn Observer,
    ) -> Result<()> {
        let scratch = leftover::scratch_name(&stamp(Clock::system().wall()));
        let cleanup = Cleanup::words(format!("drop the scratch database '{scratch}'"));
        let step =
            observer.step(format!("restoring into the scratch database '{scratch}'"), &cleanup)?;
        database::create(self.target, self.unpacked, &scratch)?;
        let moved = leftover::sign(self.target, &scratch, &self.made)
            .and_then(|()| self.by_way_of(&scratch, list, watch, observer));
        let dropped = self.target.drop_own(&scratch);
        moved?;
        dropped?;
        step.done(json!({}))?;
        Ok(())
    }

    fn by_way_of(
        &self,
        scratch: &str,
        list: &Path,
        watch: &mut Stopwatch,
        observer: &dyn Observer,
    ) -> Result<()> {
        let tool = self
            .target
            .tool("pg_restore", scratch)
            .args(["--exit-on-error", "--no-password", "--no-tablespaces"])
            .arg(format!("--jobs={}", self.wish.jobs.max(1)))
            .arg("--use-list")
            .arg(list)
            .arg(&self.unpacked.path);
        tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain)?;
        watch.lap("restore");
        let side = Side {
            howdah_backup: self.plan.backup.clone(),
            tables: self.plan.tables.clone(),
            made: Some(self.made.clone()),
            schema: self.schema.to_owned(),
        };
        let session = self.target.database(scratch)?;
        move_into(&session, &side)?;
        let tables = self.plan.tables.iter().map(|table| table.name.as_str());
        let encoding = session.dump_encoding(tables.chain([self.schema]))?;
        drop(session);
        self.across(scratch, encoding, observer)?;
        watch.lap("across");
        Ok(())
    }

    /// Dumps the side schema and restores it into the database wished for, in one transaction.
    fn across(
        &self,
        scratch: &str,
        encoding: Option<&'static str>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let path = self.unpacked.folder().join("side");
        let cannot = || Fault::io(format!("cannot write '{}'", path.display()));
        let mut file = File::create(&path).map_err(cannot())?;
        let dump = self
            .target
            .tool("pg_dump", scratch)
            .args(["--format=custom", "--compress=0", "--no-password", "--no-publications"])
            .args(encoding)
            .arg("--strict-names")
            .arg(format!("--schema={}", identifier(self.schema)));
        let written = |output: Output<'_>| -> Result<()> {
            let mut input = Input::new(BufReader::with_capacity(1 << 18, output));
            let toc = Toc::read(&mut input)?.with_more(&|entry| self.defaults.taken_back(entry));
            let mut buffered = BufWriter::with_capacity(1 << 18, &mut file);
            seekable::write(&mut input, &toc, &mut buffered, &|_| true)?;
            buffered.flush().map_err(cannot())
        };
        pump(&dump, observer.cancel(), written, &mut |_, _| {})?;
        let schema = self.schema;
        let cleanup = Cleanup::words(format!(
            "the schema '{schema}', if it is there: the same call with --remove-leftovers removes it"
        ));
        let step = observer.step(format!("bringing the schema '{schema}' across"), &cleanup)?;
        let tool = self
            .target
            .tool("pg_restore", &self.wish.into)
            .args(["--exit-on-error", "--single-transaction", "--no-password"])
            .arg(&path);
        match tool.run(observer.cancel(), &mut |_| {}).map_err(messages::explain) {
            Ok(_) => Ok(step.done(json!({ "schema": schema }))?),
            Err(fault) => {
                step.undone(fault.what().as_str())?;
                Err(fault)
            }
        }
    }
}

/// In the scratch database: moves every object of a schema that belongs to nothing else into the side
/// schema. The server rewrites what refers to them.
fn move_into(scratch: &Session, side: &Side) -> Result<()> {
    let comment = serde_json::to_string(side)
        .map_err(|error| Fault::new(Kind::Failed, format!("no JSON: {error}")))?;
    let schema = &side.schema;
    let quoted = identifier(schema);
    scratch.run("SET search_path = ''")?;
    // Objects depend on their schema; what belongs to a table or to an extension moves with that, or stays.
    let sql = "SELECT i.type, i.identity FROM pg_depend d \
        JOIN pg_namespace n ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid \
        CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i \
        WHERE d.deptype = 'n' AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT EXISTS ( \
          SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid \
            AND (o.refclassid, o.refobjid) <> (o.classid, o.objid) AND ( \
            o.deptype IN ('e', 'i') AND o.refclassid <> 'pg_namespace'::regclass \
            OR o.deptype = 'a' AND o.refclassid = 'pg_class'::regclass AND o.classid = 'pg_class'::regclass \
               AND EXISTS (SELECT FROM pg_class s WHERE s.oid = o.objid AND s.relkind = 'S'))) \
        ORDER BY 1, 2";
    let objects = scratch.query(sql, &[])?;
    let mut script = format!("BEGIN; CREATE SCHEMA {quoted};\n");
    for row in &objects {
        let (kind, name): (&str, &str) = (row.get(0), row.get(1));
        let kind = match kind {
            "composite type" => "type",
            "statistics object" => "statistics",
            "default acl" => continue,
            other => other,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(script, "ALTER {} {name} SET SCHEMA {quoted};", kind.to_uppercase());
    }
    let _ = writeln!(script, "COMMENT ON SCHEMA {quoted} IS {}; COMMIT", literal(&comment));
    scratch.run(&script)?;
    // One that stayed would tie the side schema to the live table of that name.
    let sql = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
        WHERE relkind IN ('r', 'p', 'S', 'v', 'm') AND nspname <> $1 AND nspname !~ '^pg_' \
        AND nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend \
          WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') LIMIT 1";
    match scratch.query(sql, &[&schema])?.first() {
        None => Ok(()),
        Some(row) => {
            let name: String = row.get(0);
            Err(Fault::new(Kind::Failed, format!("{name} cannot be moved into a side schema")))
        }
    }
}
