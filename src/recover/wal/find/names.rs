//! From a table's name to the numbers of its files, by what the backups recorded.

use std::{fmt, str::FromStr};

use crate::{
    base::text::{Text, nearest},
    recover::{Fault, Kind, Repository, Result},
};

/// `pg_default`, where a database stands when nobody chose another place.
const DEFAULT_TABLESPACE: u32 = 1663;

/// A relation's file as WAL names it: tablespace, database, number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The tablespace; 0 where only "the database's own" is known.
    pub tablespace: u32,
    /// The database.
    pub database: u32,
    /// `pg_class.relfilenode`.
    pub number: u32,
}

impl FileId {
    /// True when both may be the same file. Numbers are unique in a database and tablespace.
    pub fn is(self, other: Self) -> bool {
        let places = [self.tablespace, other.tablespace];
        (self.database, self.number) == (other.database, other.number)
            && (places.contains(&0) || self.tablespace == other.tablespace)
    }

    /// Reads a path in the data folder: `base/5/16390`, `pg_tblspc/9/PG_15_202209061/5/7`.
    pub fn from_path(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let number = |text: &str| text.parse().ok();
        match parts.as_slice() {
            ["base", database, file] => Some(Self {
                tablespace: DEFAULT_TABLESPACE,
                database: number(database)?,
                number: number(file)?,
            }),
            ["pg_tblspc", tablespace, _, database, file] => Some(Self {
                tablespace: number(tablespace)?,
                database: number(database)?,
                number: number(file)?,
            }),
            _ => None,
        }
    }

    /// As `pg_waldump --relation` wants it.
    pub fn for_dump(self) -> String {
        let tablespace = if self.tablespace == 0 { DEFAULT_TABLESPACE } else { self.tablespace };
        format!("{tablespace}/{}/{}", self.database, self.number)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.for_dump())
    }
}

impl FromStr for FileId {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<u32>> = text.split('/').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[tablespace, database, number]) => Ok(Self { tablespace, database, number }),
            _ => Err(Fault::new(Kind::Usage, format!("'{text}' names no relation file"))
                .remedy("write tablespace/database/number, such as 1663/16384/16397")),
        }
    }
}

/// A file, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The file.
    pub file: FileId,
    /// Database, schema and table.
    pub label: Text,
}

/// The files that a table had when it was backed up, whichever backup that was. The table is called by its
/// name, with or without its schema, in one database or in any.
///
/// # Errors
/// [`Kind::Unavailable`] when no backup knows it.
pub fn files_of(
    repository: &Repository,
    table: &str,
    database: Option<&str>,
) -> Result<Vec<Known>> {
    let mut found: Vec<Known> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for entry in repository.backups()? {
        let databases = entry.manifest().map(|manifest| manifest.inventory.databases.as_slice());
        for held in databases.unwrap_or_default() {
            if database.is_some_and(|wanted| wanted != held.name) {
                continue;
            }
            for relation in held.relations.iter().filter(|r| r.filenode > 0) {
                let full = format!("{}.{}", relation.schema, relation.name);
                if table == relation.name || table == full {
                    let file = FileId {
                        tablespace: relation.tablespace,
                        database: held.oid,
                        number: relation.filenode,
                    };
                    let label = format!("{}.{full}", held.name).into();
                    let known = Known { file, label };
                    if !found.contains(&known) {
                        found.push(known);
                    }
                }
                names.push(full);
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let what = format!("no backup in the repository knows a table '{table}'");
    // Compared with as much of each name as was given: the table alone, with its schema, or all of it.
    let given = table.split('.').count();
    let tails = names.iter().filter_map(|full| {
        let parts: Vec<&str> = full.split('.').collect();
        let tail = parts.get(parts.len().checked_sub(given)?..)?;
        full.get(full.len() - tail.join(".").len()..)
    });
    let remedy = match nearest(table, tails) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            "name its file, such as --file 1663/16384/16397, if it was made after the newest backup"
                .to_owned()
        }
    };
    Err(Fault::new(Kind::Unavailable, what).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_wal_writes_them() {
        let file = FileId::from_path("base/5/16390").expect("a file");
        assert_eq!(file.to_string(), "1663/5/16390");
        let moved = FileId::from_path("pg_tblspc/9/PG_15_202209061/5/16390").expect("a file");
        assert!(!file.is(moved), "the same number in another tablespace");
        assert!(FileId { tablespace: 0, ..file }.is(moved), "the database's own is not known");
        assert_eq!(FileId::from_path("global/1262"), None);
        assert_eq!("1663/5/16390".parse::<FileId>().expect("a file"), file);
        assert!("5/16390".parse::<FileId>().is_err());
    }
}
