//! L2: what is in the files is whole: every member read, tables of contents, row counts.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

use super::{Ground, Rung};
use crate::{
    base::progress::Counter,
    recover::{
        Fault, Kind, Result,
        base_backup::{BaseManifest, Members, compare},
        dump::{Count, Input, Packed, Tally, Toc, walk},
        repository::manifest::{Database, File, Level, Method, Role},
    },
};

/// How much is read at once.
const PART: usize = 1 << 18;

/// The last words of `pg_dumpall` (`dumpDumpallFooter`, `main` of pg_dumpall.c).
const GLOBALS_END: &str = "-- PostgreSQL database cluster dump complete";

/// L2.
#[derive(Clone, Copy, Debug)]
pub struct Structure;

impl Rung for Structure {
    fn level(&self) -> Level {
        Level::L2
    }

    fn climb(&self, ground: &Ground<'_>) -> Result<Vec<String>> {
        let findings = match ground.manifest.method {
            Method::Logical => logical(ground),
            Method::Physical => physical(ground),
        };
        match findings {
            // What cannot be read any further is a finding: looking was possible.
            Err(fault) if fault.kind == Kind::Damaged => Ok(vec![fault.what().as_str().to_owned()]),
            findings => findings,
        }
    }
}

/// A file, unpacked and checked while it is read.
fn content<'a>(ground: &Ground<'a>, file: &File) -> Result<BufReader<impl Read + use<'a>>> {
    let counter = Counter::new("reading", file.stored.content_size, ground.observer);
    let content = counter.read(ground.repository.unseal(&file.stored)?);
    Ok(BufReader::with_capacity(PART, content))
}

fn cannot_read(file: &File) -> impl FnOnce(io::Error) -> Fault {
    Fault::io(format!("cannot read '{}'", file.stored.key))
}

fn logical(ground: &Ground<'_>) -> Result<Vec<String>> {
    let manifest = ground.manifest;
    let mut findings = Vec::new();
    if !manifest.files.iter().any(|file| file.role == Role::Globals) {
        findings.push("there is no file of roles and tablespaces".to_owned());
    }
    for database in &manifest.inventory.databases {
        let dump = manifest.files.iter().any(
            |file| matches!(&file.role, Role::Dump { database: name } if *name == database.name),
        );
        if !dump {
            findings.push(format!("there is no dump of the database '{}'", database.name));
        }
    }
    for file in &manifest.files {
        ground.go_on()?;
        let found = match &file.role {
            Role::Globals => globals(ground, file),
            Role::Dump { database } => {
                let inventory = manifest.inventory.databases.iter().find(|d| d.name == *database);
                dump(ground, file, inventory)
            }
            other => Ok(vec![format!("a logical backup has no such file: {other:?}")]),
        };
        findings.extend(told(found, file)?);
    }
    Ok(findings)
}

/// Damage of one file keeps nobody from looking at the next.
fn told(found: Result<Vec<String>>, file: &File) -> Result<Vec<String>> {
    match found {
        Err(fault) if fault.kind == Kind::Damaged => {
            Ok(vec![format!("'{}': {}", file.stored.key, fault.what())])
        }
        Ok(found) => Ok(found.into_iter().map(|f| format!("'{}': {f}", file.stored.key)).collect()),
        Err(fault) => Err(fault),
    }
}

fn globals(ground: &Ground<'_>, file: &File) -> Result<Vec<String>> {
    let mut text = Vec::new();
    content(ground, file)?.read_to_end(&mut text).map_err(cannot_read(file))?;
    Ok(globals_are_whole(&text).err().into_iter().collect())
}

/// Looks whether the text of `pg_dumpall --globals-only` has its end.
///
/// # Errors
/// What is wrong, in words.
pub fn globals_are_whole(text: &[u8]) -> std::result::Result<(), String> {
    let text = String::from_utf8_lossy(text);
    let last = text.lines().rev().find(|line| line.starts_with("-- PostgreSQL"));
    if last == Some(GLOBALS_END) {
        Ok(())
    } else {
        Err("the dump of roles and tablespaces has no end".to_owned())
    }
}

fn dump(ground: &Ground<'_>, file: &File, inventory: Option<&Database>) -> Result<Vec<String>> {
    let mut input = Input::new(content(ground, file)?);
    let toc = Toc::read(&mut input)?;
    let mut tally = Tally::default();
    // To the very end: that is where the hashes are checked.
    walk(&mut input, &toc, &mut tally)?;
    Ok(inventory.map_or_else(
        || vec!["its database is not in the inventory".to_owned()],
        |inventory| compare_dump(&toc, &tally, inventory),
    ))
}

/// What a dump holds other than the inventory says, each naming the thing; nothing when all is well. Rows
/// are compared where the inventory has them.
pub fn compare_dump(toc: &Toc, tally: &Tally, inventory: &Database) -> Vec<String> {
    let mut findings = Vec::new();
    let mut defined = BTreeMap::new();
    let mut data = BTreeMap::new();
    for entry in &toc.entries {
        let name = (entry.namespace.as_str(), entry.tag.as_str());
        match entry.desc.as_str() {
            "TABLE" | "SEQUENCE" | "MATERIALIZED VIEW" => {
                defined.insert(name, entry.desc.as_str());
            }
            "TABLE DATA" => {
                data.insert(name, (entry, tally.tables.get(&entry.id).copied()));
            }
            _ => {}
        }
    }
    for relation in &inventory.relations {
        let name = (relation.schema.as_str(), relation.name.as_str());
        let shown = format!("{}.{}", relation.schema, relation.name);
        // An identity column's sequence is made with its table.
        if relation.kind != 'S' && !defined.contains_key(&name) {
            findings.push(format!("the table of contents lacks {shown}"));
        }
        if relation.kind != 'r' {
            continue;
        }
        let Some((entry, Some(Count { rows: counted, ended, .. }))) = data.get(&name) else {
            findings.push(format!("it has no rows of {shown}, not even none"));
            continue;
        };
        if let Some(rows) = relation.rows
            && rows != *counted
        {
            findings.push(format!("it has {counted} rows of {shown} instead of {rows}"));
        }
        if !ended && toc.header.packed == Packed::No && entry.copy.starts_with("COPY ") {
            findings.push(format!("its rows of {shown} break off after {counted}"));
        }
    }
    if tally.large_objects != inventory.large_objects {
        let (found, wanted) = (tally.large_objects, inventory.large_objects);
        findings.push(format!("it has {found} large objects instead of {wanted}"));
    }
    findings
}

fn physical(ground: &Ground<'_>) -> Result<Vec<String>> {
    let manifest = ground.manifest;
    let Some(wal) = &manifest.wal else {
        return Ok(vec!["the manifest does not say which WAL it needs".to_owned()]);
    };
    let (mut members, mut listed, mut findings) = (Members::default(), None, Vec::new());
    for file in &manifest.files {
        ground.go_on()?;
        let mut content = content(ground, file)?;
        let found = match &file.role {
            Role::Base => members.read(&mut content, None),
            Role::Tablespace { oid, .. } => members.read(&mut content, Some(*oid)),
            Role::BackupManifest => {
                let mut text = Vec::new();
                content
                    .read_to_end(&mut text)
                    .map_err(cannot_read(file))
                    .and_then(|_| BaseManifest::parse(&text))
                    .map(|parsed| listed = Some(parsed))
            }
            Role::Wal => Ok(()),
            other => Err(Fault::new(
                Kind::Damaged,
                format!("a physical backup has no such file: {other:?}"),
            )),
        };
        // To the very end: that is where the hashes are checked.
        let found = found.and_then(|()| {
            io::copy(&mut content, &mut io::sink()).map(drop).map_err(cannot_read(file))
        });
        findings.extend(told(found.map(|()| Vec::new()), file)?);
    }
    let Some(listed) = listed else {
        findings.push("there is no readable backup_manifest".to_owned());
        return Ok(findings);
    };
    findings.extend(compare(&listed, &members, wal.segment_size));
    let (first, last) = (listed.wal.first(), listed.wal.last());
    if first.is_none_or(|range| range.start != wal.start)
        || last.is_none_or(|range| range.end != wal.stop)
    {
        findings.push("the manifest and backup_manifest need different WAL".to_owned());
    }
    let own = manifest.cluster.system_identifier;
    if listed.system_identifier.is_some_and(|it| it != own) {
        findings.push("backup_manifest is of another cluster".to_owned());
    }
    if let Some(other) = members.system_identifier.filter(|it| *it != own) {
        findings.push(format!("pg_control is of the cluster {other}, the manifest of {own}"));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globals_end_with_their_last_words() {
        let whole = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE x;\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
        assert_eq!(globals_are_whole(whole.as_bytes()), Ok(()));
        let cut = whole.split("complete").next().expect("a part");
        assert!(globals_are_whole(cut.as_bytes()).is_err());
        assert!(globals_are_whole(b"").is_err());
    }
}
